/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * notifier.h - writes eventfds, and makes calls, on behalf of pollers, which make no system calls.
 *
 * Flow:    notifier_create -> notifier_add_port, one a poller -> notifier_start ->
 *          notifier_add, a signal for an eventfd -> notifier_push (poller) -> write(2) (thread) ->
 *          notifier_remove -> notifier_stop -> notifier_destroy.
 *
 *              poller --ring--> \                       / eventfd
 *              poller --ring-->  > notifier's thread --<  eventfd
 *                     (full: one bit a signal)          \ eventfd
 *
 * Threads: one of its own, on the CPU that notifier_place names; push is the port's poller's, everything
 *          else is control's. Without a thread (not started, or stopped) notifier_round makes its steps.
 *          While signals come it runs; then it yields 64 times and sleeps 10 us, 20 us, ... 200 us:
 *          idle with signals added it used 7 % of a CPU of the slow VM it was measured in,
 *          without any it waits and uses none.
 * Memory:  ports lie on their pollers' nodes; the notifier owns a duplicate of every eventfd.
 * Errors:  a signal is never lost: in a full ring it becomes a bit of its own, so that several
 *          count as one, as they may with an eventfd that nobody reads in between. EAGAIN: the
 *          eventfd is full, therefore signalled. An eventfd whose owner lets a write block is given
 *          up after NOTIFIER_JAM_NS (SIGRTMIN interrupts it) and counted, so that it delays the
 *          others once.
 * Source:  Lamport's single-producer single-consumer queue, see clients/inbox.h; eventfd(2).
 */
#ifndef POLLERS_NOTIFIER_H
#define POLLERS_NOTIFIER_H

#include "pollers/notify_target.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>

#define NOTIFIER_SIGNALS_MAX  1024u /* at a time; a power of two, up to 64 * 64 */
#define NOTIFIER_RING_ENTRIES 1024u /* of a port; a power of two */
#define NOTIFIER_PORTS_MAX    64u
#define NOTIFIER_JAM_NS       100000000

struct notifier;
struct placement;

/* One poller's way in. `pushed` and `popped` count signals and wrap at 2^32. */
struct notifier_port {
    alignas(128) _Atomic uint32_t pushed; /* written by the poller */
    uint32_t popped_seen;                 /* poller's last look at `popped` */
    alignas(128) _Atomic uint32_t popped; /* written by the thread */
    /* What found the ring full: a bit for each signal, and a bit for each word of those. */
    alignas(128) _Atomic uint64_t overflow_words;
    _Atomic uint64_t overflow[NOTIFIER_SIGNALS_MAX / 64];
    alignas(128) uint32_t cells[NOTIFIER_RING_ENTRIES];
};

/* Without ports, signals and thread. -ENOMEM. */
int notifier_create(struct notifier **notifier);

/* Before notifier_start; the port is the notifier's. -ENOSPC: NOTIFIER_PORTS_MAX. -ENOMEM. */
int notifier_add_port(struct notifier *notifier, int node, struct notifier_port **port);

/* Before notifier_start: where its thread runs; placement outlives it. Without: anywhere. */
void notifier_place(struct notifier *notifier, const struct placement *placement, uint32_t cpu);

/* Starts the thread. -EXDEV: it does not run on its CPU; -EAGAIN: the machine has no thread for us. */
int notifier_start(struct notifier *notifier);

/* Writes what was pushed and ends the thread. Nobody pushes any more. */
void notifier_stop(struct notifier *notifier);

/* Stops it if need be, and closes what it owns. NULL does nothing. */
void notifier_destroy(struct notifier *notifier);

/* *signal, never 0, adds 1 to descriptor, an eventfd, of which the notifier keeps a duplicate. -ENOSPC:
 * NOTIFIER_SIGNALS_MAX. -EBADF, -EMFILE. */
int notifier_add(struct notifier *notifier, int descriptor, uint32_t *signal);

/* The same for any target that is not a store; a call gets vcpu, and is made as often as the signal was
 * pushed. It may wait, and then all others do. -EINVAL: a store. */
int notifier_add_target(struct notifier *notifier, const struct notify_target *target,
                        uint32_t vcpu, uint32_t *signal);

/* Before notifier_start: what its thread does besides, between two rounds. tend says in how many ns at
 * the latest it is to be called again; UINT64_MAX: once notifier_wake was called. */
void notifier_tend_with(struct notifier *notifier, uint64_t (*tend)(void *context), void *context);
/* Any thread. */
void notifier_wake(struct notifier *notifier);

/* Writes what was pushed of signal; after it returned its eventfd is not touched any more. Nobody
 * pushes it any more: its poller has passed a quiescent point since. -ENOENT: there is none.
 * -ETIMEDOUT: the thread does not answer within a second; the signal stays. */
int notifier_remove(struct notifier *notifier, uint32_t signal);

/* For display; any thread. */
struct notifier_figures {
    uint64_t writes;    /* to eventfds */
    uint64_t signals;   /* that these stood for, without those that coalesced in a full ring */
    uint64_t overflows; /* times the thread found a signal's bit */
    uint64_t jams;      /* eventfds given up */
    uint32_t live;      /* signals added now */
};
struct notifier_figures notifier_figures(const struct notifier *notifier);

/* One round of the thread, while there is none: tests. How many eventfds it wrote. */
uint32_t notifier_round(struct notifier *notifier);

/* Poller. The eventfd is written soon, and after whatever the poller did before. Wait-free, no
 * system call. */
static inline void notifier_push(struct notifier_port *port, uint32_t signal)
{
    /* relaxed: only this thread writes `pushed` */
    uint32_t pushed = atomic_load_explicit(&port->pushed, memory_order_relaxed);
    if (pushed - port->popped_seen >= NOTIFIER_RING_ENTRIES)
        /* acquires the thread's release of `popped`: those cells have been read */
        port->popped_seen = atomic_load_explicit(&port->popped, memory_order_acquire);
    if (pushed - port->popped_seen < NOTIFIER_RING_ENTRIES) {
        port->cells[pushed % NOTIFIER_RING_ENTRIES] = signal;
        /* release: the thread acquires it, and with it the cell and all that came before */
        atomic_store_explicit(&port->pushed, pushed + 1, memory_order_release);
        return;
    }
    uint32_t index = signal % NOTIFIER_SIGNALS_MAX;
    /* release, twice: the thread acquires both, the word's bit first */
    atomic_fetch_or_explicit(&port->overflow[index / 64], 1ull << index % 64, memory_order_release);
    atomic_fetch_or_explicit(&port->overflow_words, 1ull << index / 64, memory_order_release);
}

#endif
