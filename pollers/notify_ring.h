/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * notify_ring.h - writes eventfds on behalf of one poller through io_uring: the poller queues the
 * write, the kernel makes it.
 *
 * Flow:    notify_ring_create -> notify_ring_add, a signal for an eventfd -> notify_ring_push
 *          (poller) -> the kernel writes -> notify_ring_remove -> notify_ring_destroy.
 *
 *              poller --order of entries--> kernel thread (SQPOLL) ------> eventfd
 *                |    \--notify_ring_submit, once a sweep (SUBMIT) ------> eventfd
 *                 \--full: a count a signal--> notify_ring_tend, write --> eventfd
 *
 *          Every signal has an entry of its own in the submission queue, made by add and never
 *          changed by a push: that is one store of its number and one of the queue's tail.
 *
 *          SQPOLL: the poller makes no system call, nor does it look at what the kernel writes,
 *          unless the queue may be full. The kernel's thread sleeps once nothing came for idle_ms;
 *          it is woken by notify_ring_tend, on a housekeeping thread: what is pushed to a sleeping
 *          ring waits for the next tend, and is never lost. One thread serves all rings that share
 *          it.
 *          SUBMIT: where no CPU can be spared. The poller makes one system call a sweep in which it
 *          pushed anything.
 * Threads: push and submit are one poller's; tend, add, remove and the rest control's (or one
 *          other's), one at a time.
 * Memory:  64 bytes a signal, in the kernel's mapping, and the registered files: the ring keeps
 *          the eventfd open, the caller may close its descriptor.
 * Errors:  create: as ring_create, and -EOPNOTSUPP where the kernel cannot write without an answer
 *          (before 5.17). A push is never lost and arrives as one more in the eventfd's count.
 *          No write ever waits, in the kernel or here: an eventfd that is full is signalled already
 *          (counted in `full`). One without O_NONBLOCK is refused by add, for io_uring would not
 *          write it then; an owner who takes O_NONBLOCK away later gets nothing.
 * Source:  io_uring(7); Lamport's queue, see clients/inbox.h; eventfd(2).
 */
#ifndef POLLERS_NOTIFY_RING_H
#define POLLERS_NOTIFY_RING_H

#include "pollers/ring.h"

#include <stdalign.h>
#include <stdatomic.h>

#define NOTIFY_RING_ENTRIES      1024u /* a power of two */
#define NOTIFY_RING_SIGNALS_MAX  (NOTIFY_RING_ENTRIES - 1)
#define NOTIFY_RING_IDLE_MS      100u /* a housekeeping CPU spins for so long after a signal */
#define NOTIFY_RING_IDLE_MIN_MS  4u
#define NOTIFY_RING_TEND_SOON_NS 200000u
#define NOTIFY_RING_TEND_LATE_NS 1000000u /* while the kernel's thread is known to be awake */

enum notify_ring_kind { NOTIFY_RING_SQPOLL = 1, NOTIFY_RING_SUBMIT };

struct notify_ring_options {
    enum notify_ring_kind kind;
    uint32_t sqpoll_cpu;              /* a housekeeping CPU, or RING_ANY_CPU */
    uint32_t idle_ms;                 /* 0: NOTIFY_RING_IDLE_MS */
    int node;                         /* of the poller's memory */
    const struct notify_ring *shares; /* its kernel thread; NULL: one of its own */
};

/* The poller's part, on its node. */
struct notify_ring_port {
    alignas(128) uint32_t pushed;    /* as the tail, which the kernel reads */
    uint32_t taken_seen;             /* the last look at the kernel's head */
    uint32_t submitted;              /* SUBMIT */
    struct ring_queue queue;         /* constant */
    struct ring *ring;               /* constant */
    _Atomic uint64_t overflow_total; /* pushes that found the queue full */
    /* The same that tend has yet to write. */
    alignas(128) _Atomic uint32_t overflow[NOTIFY_RING_ENTRIES];
};

struct notify_ring;

int notify_ring_create(const struct notify_ring_options *options, struct notify_ring **ring);
/* What was pushed is written if the kernel still answers. NULL does nothing. */
void notify_ring_destroy(struct notify_ring *ring);

/* For the poller; the ring's. */
struct notify_ring_port *notify_ring_port(struct notify_ring *ring);

/* A signal, never 0, that adds 1 to descriptor, an eventfd with O_NONBLOCK. -EINVAL: without.
 * -ENOSPC: NOTIFY_RING_SIGNALS_MAX. -EBADF, -EMFILE, ... */
int notify_ring_add(struct notify_ring *ring, int descriptor, uint32_t *signal);

/* The same for a file that is written value, 4 bytes, each time; those may wait, in the kernel. */
int notify_ring_add_value(struct notify_ring *ring, int descriptor, uint32_t value,
                          uint32_t *signal);

/* Writes what was pushed of signal; after it returned its eventfd is not touched any more. Nobody
 * pushes it any more: its poller has passed a quiescent point since, and submitted. -ENOENT: there
 * is none. -ETIMEDOUT: the kernel takes nothing for a second; the signal stays. */
int notify_ring_remove(struct notify_ring *ring, uint32_t signal);

/* Writes all that was pushed, of a poller that pushes no more. -ETIMEDOUT: the kernel takes nothing for
 * a second. */
int notify_ring_flush(struct notify_ring *ring);

/* Housekeeping: wakes the kernel's thread if it sleeps over queued signals, writes what found the
 * queue full, hears of failures. In how many ns at the latest it is to be called again:
 * NOTIFY_RING_TEND_SOON_NS or _LATE_NS. */
uint64_t notify_ring_tend(struct notify_ring *ring);

/* For display; any thread. */
struct notify_ring_figures {
    uint64_t overflows; /* pushes that found the queue full and went by way of tend */
    uint64_t wakes;     /* of the kernel's thread */
    uint64_t full;      /* writes to an eventfd that held all it can, or that came to block */
    uint64_t failures;  /* writes that failed otherwise */
    uint32_t live;      /* signals added now */
    bool is_asleep;     /* the kernel's thread, now */
};
struct notify_ring_figures notify_ring_figures(const struct notify_ring *ring);

/* The queue is full: counts, for tend. */
void notify_ring_overflow(struct notify_ring_port *port, uint32_t signal);

/* Poller. The eventfd's count grows by 1 soon, and after whatever the poller did before. Wait-free,
 * no system call; SUBMIT: once notify_ring_submit was called. */
static inline void notify_ring_push(struct notify_ring_port *port, uint32_t signal)
{
    uint32_t pushed = port->pushed, entry_count = port->queue.entry_count;
    if (__builtin_expect(pushed - port->taken_seen >= entry_count, 0)) {
        /* acquires the kernel's release: it has read those places of `order` */
        port->taken_seen = atomic_load_explicit(port->queue.head, memory_order_acquire);
        if (pushed - port->taken_seen >= entry_count) {
            notify_ring_overflow(port, signal);
            return;
        }
    }
    port->queue.order[pushed & (entry_count - 1)] = signal;
    port->pushed = pushed + 1;
    /* release: the kernel acquires it, and with it the order and all that came before */
    atomic_store_explicit(port->queue.tail, pushed + 1, memory_order_release);
}

/* Poller, SUBMIT: gives the kernel what was pushed since the last time: a system call if that is
 * anything. 0, or a negative errno; then it is tried again the next time. */
int notify_ring_submit(struct notify_ring_port *port);

#endif
