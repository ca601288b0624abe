/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inbox.h - requests on their way from the poller that sweeps a VM to the poller a client lives on.
 *
 * Flow:    sweeping poller: inbox_try_push. The client's poller: inbox_try_pop, handle, complete.
 * Threads: one producer, one consumer (a client belongs to one VM, a VM to one poller); both
 *          wait-free. Init before, and no access after, the life of both: control's business.
 * Memory:  the caller's, so that it may lie on a chosen NUMA node; cells by value, no pointers, so
 *          that an entry outlives whatever the requester does with its slot.
 * Errors:  full: push refuses and the slot stays PENDING; nobody waits.
 * Source:  FastForward (Giacomoni, Moseley, Vachharajani, 2008): the cell itself says whether it is
 *          full; the consumer's index is fetched only when the cached one says that there is no space.
 */
#ifndef CLIENTS_INBOX_H
#define CLIENTS_INBOX_H

#include "clients/request.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Two cache lines: the adjacent-line prefetcher of x86 fetches lines in pairs. */
#define INBOX_ALIGN_BYTES  128
#define INBOX_CAPACITY_MAX 65536u

/* One handed-over request, and the ticket that its answer needs. */
struct inbox_entry {
    struct request request;
    uint64_t ticket; /* which life of the slot record this belongs to */
};

/* An entry and the number of its push, which tells the consumer that it is there: one cache line goes
 * from CPU to CPU, not one with a count and then another one with the entry. */
struct inbox_cell {
    alignas(64) _Atomic uint32_t turn;
    struct inbox_entry entry;
};
static_assert(sizeof(struct inbox_cell) == 64, "a cell is one cache line");

/* `pushed` and `popped` count entries since init and wrap at 2^32; a cell is a count & mask.
 * Full: pushed - popped == capacity. Empty: the next cell's turn is not popped + 1. */
struct inbox {
    alignas(INBOX_ALIGN_BYTES) _Atomic uint32_t pushed; /* written by the producer */
    uint32_t popped_seen;                               /* producer's last look at `popped` */
    uint32_t producer_mask;
    alignas(INBOX_ALIGN_BYTES) _Atomic uint32_t popped; /* written by the consumer */
    uint32_t consumer_mask;
    alignas(INBOX_ALIGN_BYTES) struct inbox_cell cells[];
};

/* Bytes of an inbox of `capacity` entries: a power of two, 2..INBOX_CAPACITY_MAX. A multiple of
 * INBOX_ALIGN_BYTES. 64 is ample: a VM has 16 slots, each in flight at most once. */
size_t inbox_size_bytes(uint32_t capacity);

/* Makes an empty inbox in memory [inbox_size_bytes(capacity)], aligned to INBOX_ALIGN_BYTES. The
 * memory stays the caller's; there is nothing to undo. Cannot fail. */
struct inbox *inbox_init(void *memory, uint32_t capacity);

/* Producer. True when the next push will succeed. */
static inline bool inbox_has_space(struct inbox *inbox)
{
    /* relaxed: only this thread writes `pushed` */
    uint32_t pushed = atomic_load_explicit(&inbox->pushed, memory_order_relaxed);
    if (pushed - inbox->popped_seen <= inbox->producer_mask)
        return true;
    /* acquires the release of `popped` in inbox_try_pop: that cell has been copied out */
    inbox->popped_seen = atomic_load_explicit(&inbox->popped, memory_order_acquire);
    return pushed - inbox->popped_seen <= inbox->producer_mask;
}

/* Producer. Copies *entry in; false when full. */
static inline bool inbox_try_push(struct inbox *inbox, const struct inbox_entry *entry)
{
    if (!inbox_has_space(inbox))
        return false;
    /* relaxed: only this thread writes `pushed` */
    uint32_t pushed = atomic_load_explicit(&inbox->pushed, memory_order_relaxed);
    struct inbox_cell *cell = &inbox->cells[pushed & inbox->producer_mask];
    cell->entry = *entry;
    /* relaxed: ordered by the store below */
    atomic_store_explicit(&inbox->pushed, pushed + 1, memory_order_relaxed);
    /* release: inbox_is_empty acquires it and with it the entry and `pushed` */
    atomic_store_explicit(&cell->turn, pushed + 1, memory_order_release);
    return true;
}

/* Any thread: entries pushed and not popped. Acquire: pairs with the consumer's release, and with
 * `popped` come the pushes that it took out; relaxed is then enough for `pushed`. */
static inline uint32_t inbox_count(struct inbox *inbox)
{
    uint32_t popped = atomic_load_explicit(&inbox->popped, memory_order_acquire);
    return atomic_load_explicit(&inbox->pushed, memory_order_relaxed) - popped;
}

/* Consumer. True when nothing can be popped now. */
static inline bool inbox_is_empty(struct inbox *inbox)
{
    /* relaxed: only this thread writes `popped` */
    uint32_t popped = atomic_load_explicit(&inbox->popped, memory_order_relaxed);
    const struct inbox_cell *cell = &inbox->cells[popped & inbox->consumer_mask];
    /* acquires the release of the turn in inbox_try_push */
    return atomic_load_explicit(&cell->turn, memory_order_acquire) != popped + 1;
}

/* Consumer. Moves the oldest entry into *entry; false when empty. */
static inline bool inbox_try_pop(struct inbox *inbox, struct inbox_entry *entry)
{
    if (inbox_is_empty(inbox))
        return false;
    /* relaxed: only this thread writes `popped` */
    uint32_t popped = atomic_load_explicit(&inbox->popped, memory_order_relaxed);
    *entry = inbox->cells[popped & inbox->consumer_mask].entry;
    /* release: inbox_has_space acquires it before the cell is written again */
    atomic_store_explicit(&inbox->popped, popped + 1, memory_order_release);
    return true;
}

#endif
