/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers/notify_ring.h"

#include "pollers/counter.h"
#include "pollers/memory.h"
#include "pollers/ticks.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h> /* the kernel's constants */
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define TIMEOUT_NS 1000000000ull /* for the kernel to take what is queued */
#define POLL_NS    20000l

_Static_assert((NOTIFY_RING_ENTRIES & (NOTIFY_RING_ENTRIES - 1)) == 0, "a power of two");

/* What every notification writes; the kernel reads it when it makes the write. */
static const uint64_t one = 1;

struct notify_ring {
    struct notify_ring_port *port;
    struct ring *ring;
    bool has_sqpoll;
    uint32_t idle_ms;
    struct ring *spill; /* tend's own, with one entry: what found the queue full */
    uint64_t spilled;   /* being written there; 0: nothing */
    int descriptors[NOTIFY_RING_ENTRIES]; /* duplicates, of signals; -1: free */
    bool has_value[NOTIFY_RING_ENTRIES];  /* written `values`; false: an eventfd */
    uint32_t values[NOTIFY_RING_ENTRIES];
    uint32_t tail_seen; /* by tend */
    uint64_t overflow_seen;
    _Atomic uint64_t wakes, full, failures;
    _Atomic uint32_t live;
};

/* ---- poller -------------------------------------------------------------------------------- */

void notify_ring_overflow(struct notify_ring_port *port, uint32_t signal)
{
    /* Release: pairs with tend's exchange; the write comes after what the poller did before. */
    atomic_fetch_add_explicit(&port->overflow[signal], 1, memory_order_release);
    /* Release: pairs with tend's acquire, which then finds the count. One writer: no locked add. */
    uint64_t total = atomic_load_explicit(&port->overflow_total, memory_order_relaxed);
    atomic_store_explicit(&port->overflow_total, total + 1, memory_order_release);
}

int notify_ring_submit(struct notify_ring_port *port)
{
    uint32_t count = port->pushed - port->submitted;
    if (count == 0)
        return 0;
    int taken = ring_enter(port->ring, count);
    if (taken < 0)
        return taken;
    port->submitted += (uint32_t)taken;
    return 0;
}

/* ---- life ---------------------------------------------------------------------------------- */

static int set_up(struct notify_ring *ring, const struct notify_ring_options *options)
{
    const struct ring_options ring_options = {
        .entries = NOTIFY_RING_ENTRIES,
        .has_sqpoll = ring->has_sqpoll,
        .sqpoll_cpu = options->sqpoll_cpu,
        .sqpoll_idle_ms = ring->idle_ms,
        .shares = options->shares ? options->shares->ring : NULL,
    };
    int result = ring_create(&ring_options, &ring->ring);
    if (result == 0 && !ring_can_skip_answers(ring->ring))
        result = -EOPNOTSUPP;
    if (result == 0)
        result = ring_register_files(ring->ring, NOTIFY_RING_ENTRIES);
    const struct ring_options spill_options = {.entries = 1};
    if (result == 0)
        result = ring_create(&spill_options, &ring->spill);
    if (result < 0)
        return result;
    ring->port = memory_allocate(sizeof(*ring->port), options->node);
    if (!ring->port)
        return -ENOMEM;
    ring->port->ring = ring->ring;
    ring_queue(ring->ring, &ring->port->queue);
    for (uint32_t i = 0; i < NOTIFY_RING_ENTRIES; i++)
        ring_prepare_write_now(&ring->port->queue.entries[i], i, &one, (void *)(uintptr_t)i);
    return 0;
}

int notify_ring_create(const struct notify_ring_options *options, struct notify_ring **ring)
{
    struct notify_ring *created = calloc(1, sizeof(*created));
    if (!created)
        return -ENOMEM;
    created->has_sqpoll = options->kind == NOTIFY_RING_SQPOLL;
    created->idle_ms = options->idle_ms ? options->idle_ms : NOTIFY_RING_IDLE_MS;
    if (created->idle_ms < NOTIFY_RING_IDLE_MIN_MS)
        created->idle_ms = NOTIFY_RING_IDLE_MIN_MS; /* else a late tend might find it asleep */
    for (uint32_t i = 0; i < NOTIFY_RING_ENTRIES; i++)
        created->descriptors[i] = -1;
    int result = set_up(created, options);
    if (result < 0)
        notify_ring_destroy(created);
    else
        *ring = created;
    return result;
}

struct notify_ring_port *notify_ring_port(struct notify_ring *ring)
{
    return ring->port;
}

/* ---- housekeeping -------------------------------------------------------------------------- */

/* Relaxed: what is not seen now is seen by the next tend, which comes in time. */
static bool has_queued(const struct notify_ring *ring)
{
    const struct ring_queue *queue = &ring->port->queue;
    return atomic_load_explicit(queue->head, memory_order_relaxed) !=
           atomic_load_explicit(queue->tail, memory_order_relaxed);
}

static bool is_asleep(const struct notify_ring *ring)
{
    return ring->has_sqpoll &&
           (atomic_load_explicit(ring->port->queue.flags, memory_order_relaxed) &
            IORING_SQ_NEED_WAKEUP);
}

static void note_result(struct notify_ring *ring, int result)
{
    if (result < 0)
        counter_add(result == -EAGAIN ? &ring->full : &ring->failures, 1);
}

static void hear_failures(struct notify_ring *ring)
{
    struct ring_answer answer;
    while (ring_pop(ring->ring, &answer))
        note_result(ring, answer.result);
}

/* True once nothing is left of the write that was begun. */
static bool spill_finish(struct notify_ring *ring)
{
    struct ring_answer answer = {.result = -EIO};
    if (ring->spilled == 0)
        return true;
    if (ring_submit(ring->spill) != 1)
        return false; /* the kernel is short of something: the next tend tries again */
    ring_pop(ring->spill, &answer);
    note_result(ring, answer.result);
    ring->spilled = 0;
    return true;
}

/* Through io_uring too: a write(2) would hold up this thread when the eventfd is full and its owner
 * lets it block. False: it is begun, but not finished. */
static bool spill(struct notify_ring *ring, uint32_t signal)
{
    /* Acquire: pairs with notify_ring_overflow. */
    uint64_t count =
        atomic_exchange_explicit(&ring->port->overflow[signal], 0, memory_order_acquire);
    if (count == 0 || ring->descriptors[signal] < 0)
        return true;
    ring->spilled = count;
    if (ring->has_value[signal])
        ring_push_write(ring->spill, ring->descriptors[signal], &ring->values[signal],
                        sizeof(ring->values[signal]), 0, NULL);
    else
        ring_push_write_now(ring->spill, ring->descriptors[signal], &ring->spilled, NULL);
    return spill_finish(ring);
}

/* False: not all of it. */
static bool drain_overflow(struct notify_ring *ring)
{
    /* Acquire: pairs with notify_ring_overflow; the counts are there. */
    uint64_t total = atomic_load_explicit(&ring->port->overflow_total, memory_order_acquire);
    if (!spill_finish(ring))
        return false;
    if (total == ring->overflow_seen)
        return true;
    for (uint32_t i = 1; i < NOTIFY_RING_ENTRIES; i++)
        if (!spill(ring, i))
            return false;
    ring->overflow_seen = total;
    return true;
}

uint64_t notify_ring_tend(struct notify_ring *ring)
{
    /* Relaxed: only compared with the last look. */
    uint32_t tail = atomic_load_explicit(ring->port->queue.tail, memory_order_relaxed);
    bool was_quiet = tail == ring->tail_seen;
    bool sleeps = is_asleep(ring);
    ring->tail_seen = tail;
    if (sleeps && has_queued(ring) && ring_wake(ring->ring) >= 0)
        counter_add(&ring->wakes, 1);
    drain_overflow(ring);
    hear_failures(ring);
    /* It stays awake for idle_ms from a signal on, and there was one since the last look. */
    bool stays_awake = ring->has_sqpoll && !sleeps && !was_quiet;
    return stays_awake ? NOTIFY_RING_TEND_LATE_NS : NOTIFY_RING_TEND_SOON_NS;
}

/* Until the kernel has taken all that is queued now; it moves the head after it made the writes. */
static int wait_until_taken(struct notify_ring *ring)
{
    struct timespec pause = {.tv_nsec = POLL_NS};
    uint64_t deadline = ticks_now() + ticks_from_ns(TIMEOUT_NS);
    const struct ring_queue *queue = &ring->port->queue;
    /* Relaxed: whoever stopped pushing was waited for. */
    uint32_t tail = atomic_load_explicit(queue->tail, memory_order_relaxed);
    /* Acquire: pairs with the kernel's release after the writes. */
    while ((int32_t)(atomic_load_explicit(queue->head, memory_order_acquire) - tail) < 0) {
        if (ticks_now() > deadline)
            return -ETIMEDOUT;
        if (is_asleep(ring))
            ring_wake(ring->ring);
        nanosleep(&pause, NULL);
    }
    return 0;
}

void notify_ring_destroy(struct notify_ring *ring)
{
    if (!ring)
        return;
    if (ring->port) {
        notify_ring_submit(ring->port);
        wait_until_taken(ring);
        drain_overflow(ring);
    }
    ring_destroy(ring->ring);
    ring_destroy(ring->spill);
    for (uint32_t i = 0; i < NOTIFY_RING_ENTRIES; i++)
        if (ring->descriptors[i] >= 0)
            close(ring->descriptors[i]);
    if (ring->port)
        memory_free(ring->port, sizeof(*ring->port));
    free(ring);
}

/* ---- signals ------------------------------------------------------------------------------- */

/* A place for it, with a duplicate of descriptor. */
static int add(struct notify_ring *ring, int descriptor, uint32_t *signal)
{
    uint32_t index = 1; /* 0 is never a signal */
    while (index < NOTIFY_RING_ENTRIES && ring->descriptors[index] >= 0)
        index++;
    if (index == NOTIFY_RING_ENTRIES)
        return -ENOSPC;
    int duplicate = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
    if (duplicate < 0)
        return -errno;
    int result = ring_set_file(ring->ring, index, duplicate);
    if (result < 0) {
        close(duplicate);
        return result;
    }
    ring->descriptors[index] = duplicate;
    atomic_fetch_add_explicit(&ring->live, 1, memory_order_relaxed);
    *signal = index;
    return 0;
}

int notify_ring_add(struct notify_ring *ring, int descriptor, uint32_t *signal)
{
    int flags = fcntl(descriptor, F_GETFL);
    if (flags < 0)
        return -errno;
    return flags & O_NONBLOCK ? add(ring, descriptor, signal) : -EINVAL;
}

int notify_ring_add_value(struct notify_ring *ring, int descriptor, uint32_t value,
                          uint32_t *signal)
{
    int result = add(ring, descriptor, signal);
    if (result < 0)
        return result;
    ring->has_value[*signal] = true;
    ring->values[*signal] = value;
    /* Nobody pushes it yet; the poller is told of the signal by what orders this store, too. */
    ring_prepare_write(&ring->port->queue.entries[*signal], *signal, &ring->values[*signal],
                       sizeof(value), (void *)(uintptr_t)*signal);
    return 0;
}

static int settle(struct notify_ring *ring)
{
    int result = wait_until_taken(ring);
    if (result == 0 && !drain_overflow(ring))
        result = -ETIMEDOUT;
    hear_failures(ring);
    return result;
}

int notify_ring_flush(struct notify_ring *ring)
{
    if (!ring->has_sqpoll)
        notify_ring_submit(ring->port);
    return settle(ring);
}

int notify_ring_remove(struct notify_ring *ring, uint32_t signal)
{
    if (signal >= NOTIFY_RING_ENTRIES || ring->descriptors[signal] < 0)
        return -ENOENT;
    int result = settle(ring);
    if (result < 0)
        return result;
    ring_set_file(ring->ring, signal, -1);
    close(ring->descriptors[signal]);
    ring->descriptors[signal] = -1;
    if (ring->has_value[signal])
        ring_prepare_write_now(&ring->port->queue.entries[signal], signal, &one,
                               (void *)(uintptr_t)signal);
    ring->has_value[signal] = false;
    atomic_fetch_sub_explicit(&ring->live, 1, memory_order_relaxed);
    return 0;
}

struct notify_ring_figures notify_ring_figures(const struct notify_ring *ring)
{
    return (struct notify_ring_figures){
        /* relaxed: figures */
        .overflows = atomic_load_explicit(&ring->port->overflow_total, memory_order_relaxed),
        .wakes = counter_read(&ring->wakes),
        .full = counter_read(&ring->full),
        .failures = counter_read(&ring->failures),
        .live = atomic_load_explicit(&ring->live, memory_order_relaxed),
        .is_asleep = is_asleep(ring),
    };
}
