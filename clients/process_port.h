/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * process_port.h - where the process that is a client's device plugs in: what it was given, what it
 * owes, and what becomes of requests that it does not answer in time.
 *
 *              attach                       died                  deadline missed too often
 *      ABSENT ------> SERVING ------------------------> AWAITED ---------------> QUARANTINED
 *         ^             |  ^        attach               |                         |
 *         |    left     |  '-----------------------------'------ attach -----------'
 *         '-------------'
 *                       '--- deadline missed too often, or it broke its channel --> QUARANTINED
 *
 *          ABSENT, QUARANTINED: requests are answered at once by the policy. AWAITED: they wait for
 *          the next incarnation, up to their deadline.
 * Flow:    pollers/process_serve.h.
 * Threads: the poller that sweeps the client's VM, where the client lives; figures and state: read by
 *          anybody. Control takes `verdict` from the poller that set it.
 * Memory:  the client's; the channel is its registration's.
 */
#ifndef CLIENTS_PROCESS_PORT_H
#define CLIENTS_PROCESS_PORT_H

#include "clients/channel.h"
#include "clients/device.h"
#include "clients/late.h"

#define PROCESS_SLOTS 16u

struct notifier_port;

enum process_state { PROCESS_ABSENT = 1, PROCESS_SERVING, PROCESS_AWAITED, PROCESS_QUARANTINED };

struct process_policy {
    uint64_t deadline_ticks; /* from the poller's first look; 0: none */
    enum late_kind late;
    uint64_t late_value;
    uint64_t quarantine_after; /* missed deadlines; 0: never */
    bool reissues; /* what a dead incarnation had taken is asked again of the next one */
};

/* What of a client must be known to the server after this one, one word so that it is never half: the
 * epoch of its last incarnation; by how much that is more than the one by which the same process was known
 * to an earlier server, 0: it was not; whether somebody served or was awaited; and, on top, what fits
 * all that. It lies where it outlives this process (server/restart/journal.h). */
struct process_kept {
    _Atomic uint64_t word;
};

struct process_kept_words {
    uint32_t epoch;
    uint32_t from_epoch; /* 0: none. A process that never heard of epoch still calls itself that. */
    bool is_served;
};

#define PROCESS_KEPT_SERVED 0x4au
#define PROCESS_KEPT_ABSENT 0x91u

static inline uint64_t process_kept_check(uint64_t low)
{
    uint64_t mixed = (low ^ 0x5bd1e995u) * 0x9e3779b97f4a7c15u;
    return mixed >> 48;
}

/* Relaxed: read after the end of whoever wrote it. */
static inline void process_kept_set(struct process_kept *kept, struct process_kept_words words)
{
    uint32_t steps = words.from_epoch ? words.epoch - words.from_epoch : 0;
    uint64_t mark = words.is_served ? PROCESS_KEPT_SERVED : PROCESS_KEPT_ABSENT;
    uint64_t low = (uint64_t)(steps > 255 ? 0 : steps) << 40 | mark << 32 | words.epoch;
    atomic_store_explicit(&kept->word, process_kept_check(low) << 48 | low, memory_order_relaxed);
}

/* False: it is damaged, and nothing was stored. */
static inline bool process_kept_get(const struct process_kept *kept,
                                    struct process_kept_words *words)
{
    uint64_t word = atomic_load_explicit(&kept->word, memory_order_relaxed);
    uint64_t low = word & 0xffffffffffffu;
    uint32_t mark = low >> 32 & 0xff, steps = low >> 40 & 0xff;
    if ((mark != PROCESS_KEPT_SERVED && mark != PROCESS_KEPT_ABSENT) ||
        word >> 48 != process_kept_check(low))
        return false;
    words->epoch = (uint32_t)low;
    words->from_epoch = steps ? words->epoch - steps : 0;
    words->is_served = mark == PROCESS_KEPT_SERVED;
    return true;
}

/* Why the poller hung up on a process; 0: it did not. */
enum process_verdict { PROCESS_BROKE_CHANNEL = 1, PROCESS_STRAY_ANSWERS, PROCESS_LATE };

/* A request that is with the process, or waits for the next one. */
struct process_hold {
    uint64_t ticket;
    uint64_t number; /* in the channel's ring */
    uint32_t place;  /* enum slot_place */
    struct request request;
};

struct process_port {
    struct channel *channel; /* NULL: nobody serves */
    struct process_policy policy;
    struct notifier_port *notifier_port; /* the poller's; NULL: nobody is woken */
    uint32_t wake_signal;
    uint32_t held;      /* bit per slot */
    uint64_t woken_for; /* count of requests at the last wake-up */
    uint64_t misses;    /* deadlines; forgiven after PROCESS_FORGIVEN_AFTER answers */
    uint64_t timely;    /* answers since the last miss */
    uint64_t owed;      /* answers that may still come for requests settled otherwise */
    uint64_t strays;    /* answers to nothing that was asked */
    struct process_hold holds[PROCESS_SLOTS];
    struct process_kept *kept; /* NULL: nobody keeps it */
    uint32_t owner;            /* its number there; 0: none */
    uint32_t adopted_epoch;    /* of who served when an earlier server died; 0: nobody did */
    uint32_t adopted_from;     /* what that one calls itself, if it never heard of that epoch; 0 */
    uint32_t adopted_taken;    /* how much of its channel that one had taken; 0: nobody knows */
    uint32_t from_epoch;       /* the same of the one that serves */
    uint64_t grace_until;      /* ticks; until then requests wait for it, whatever their deadline */
    struct late_cell last[LATE_CELLS]; /* for policy.late */

    /* Relaxed, all: figures, and nobody orders anything by the state. */
    _Alignas(64) _Atomic uint32_t state;
    _Atomic uint64_t late;        /* deadlines missed: completed by the policy */
    _Atomic uint64_t refused;     /* answers that came late, twice, or to nothing */
    _Atomic uint64_t unserved;    /* answered at once: nobody was there, or its ring full */
    _Atomic uint64_t handed_on;   /* to the next incarnation, not yet taken by the last */
    _Atomic uint64_t asked_again; /* taken by the last incarnation, which died */
    _Atomic uint64_t failed;      /* taken by one that died; completed by the policy */
    _Atomic uint64_t quarantines; /* times a verdict was spoken */
    _Atomic uint32_t verdict;     /* enum process_verdict; 0: none */
};

/* The device kind `process`, as far as it is one: its options. */
struct process_device {
    struct device device;
    struct process_policy policy;
};

extern const struct device_ops device_process;

/* NULL: another kind. */
static inline const struct process_device *process_device_of(const struct device *device)
{
    return device && device->ops == &device_process ? (const struct process_device *)device : NULL;
}

#endif
