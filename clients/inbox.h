/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inbox.h - requests from the poller that sweeps a VM to the poller a client lives on, and the answers
 * back, each in the cell that its request came in.
 *
 * Flow:    sweeping poller: inbox_try_push. The client's poller: inbox_try_pop, the device,
 *          inbox_answer. Sweeping poller: inbox_is_answered, inbox_take; or inbox_abandon, where
 *          somebody else was faster, and the device is not asked any more.
 *
 *                       push                 pop, answer
 *              ANSWERED ------> ASKED ------------------------> ANSWERED, to be taken
 *                                 |  abandon
 *                                 '-------> REVOKED ----------> ANSWERED, free
 *                                                 popped
 *
 *          One cache line goes there and comes back; neither side looks at any other of the other's.
 * Threads: one producer, one consumer (a client belongs to one VM, a VM to one poller); both
 *          wait-free. Init before, and no access after, the life of both: control's business.
 * Memory:  the caller's, so that it may lie on a chosen NUMA node; cells by value, no pointers, so
 *          that an entry outlives whatever the requester does with its slot.
 * Errors:  full: push refuses and the slot stays PENDING; nobody waits.
 * Source:  FastForward (Giacomoni, Moseley, Vachharajani, 2008): the cell itself says whose it is.
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
#define INBOX_ALIGN_BYTES 128
/* A VM has 16 slots, each in flight at most once; what a reset settled may still lie here. */
#define INBOX_CAPACITY 64u
#define INBOX_MASK     (INBOX_CAPACITY - 1)

/* One handed-over request, and the ticket that its answer needs. */
struct inbox_entry {
    struct request request;
    uint64_t ticket; /* which life of the slot record this belongs to */
};

enum inbox_state {
    INBOX_ANSWERED = 1, /* or never used. The producer's, free unless it awaits this answer */
    INBOX_ASKED,        /* the consumer's */
    INBOX_REVOKED,      /* the consumer's, to be given back unasked if it is not asked yet */
};

struct inbox_cell {
    alignas(64) _Atomic uint32_t state;
    struct inbox_entry entry; /* request.value: the answer, once there is one */
};
static_assert(sizeof(struct inbox_cell) == 64, "a cell is one cache line");

struct inbox {
    alignas(INBOX_ALIGN_BYTES) uint64_t awaited; /* producer: a bit a cell: not taken yet */
    uint32_t pushed;                             /* producer: entries since init */
    alignas(INBOX_ALIGN_BYTES) uint32_t popped;  /* consumer: entries since init */
    alignas(INBOX_ALIGN_BYTES) struct inbox_cell cells[INBOX_CAPACITY];
};

/* Makes an empty inbox in memory [sizeof(struct inbox)], aligned to INBOX_ALIGN_BYTES. The memory
 * stays the caller's; there is nothing to undo. Cannot fail. */
struct inbox *inbox_init(void *memory);

static inline uint64_t inbox_bit(const struct inbox *inbox, const struct inbox_cell *cell)
{
    return 1ull << (cell - inbox->cells);
}

/* Acquire: pairs with the release of whoever gave the cell away; what it stored there is whole. */
static inline uint32_t inbox_state(const struct inbox_cell *cell)
{
    return atomic_load_explicit(&cell->state, memory_order_acquire);
}

/* Any thread: entries that the consumer has still to do with; for the rest it touches no cell. */
static inline uint32_t inbox_count(const struct inbox *inbox)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < INBOX_CAPACITY; i++)
        count += inbox_state(&inbox->cells[i]) != INBOX_ANSWERED;
    return count;
}

/* ---- producer: the sweeping poller ------------------------------------------------------- */

/* True when the next push will succeed. */
static inline bool inbox_has_space(const struct inbox *inbox)
{
    const struct inbox_cell *cell = &inbox->cells[inbox->pushed & INBOX_MASK];
    return inbox_state(cell) == INBOX_ANSWERED && !(inbox->awaited & inbox_bit(inbox, cell));
}

/* Asks for the line that the next push writes, which the consumer looks at. It comes while the slot is
 * claimed: 5 % of a hop (ioreq-bench hop). Not __builtin_prefetch, which fetches for reading unless the
 * compiler is told of the processor; on one without the instruction it does nothing. */
static inline void inbox_prefetch(const struct inbox *inbox)
{
    const void *cell = &inbox->cells[inbox->pushed & INBOX_MASK];
    __asm__ volatile("prefetchw %0" : : "m"(*(const char *)cell));
}

/* Copies *entry in, and awaits its answer in the cell that it returns; NULL when full. */
static inline struct inbox_cell *inbox_try_push(struct inbox *inbox,
                                                const struct inbox_entry *entry)
{
    if (!inbox_has_space(inbox))
        return NULL;
    struct inbox_cell *cell = &inbox->cells[inbox->pushed++ & INBOX_MASK];
    inbox->awaited |= inbox_bit(inbox, cell);
    cell->entry = *entry;
    /* release: inbox_state acquires it in inbox_try_pop, and with it the entry */
    atomic_store_explicit(&cell->state, INBOX_ASKED, memory_order_release);
    return cell;
}

/* The cell's request was answered: request.value, of a read, is the answer. */
static inline bool inbox_is_answered(const struct inbox_cell *cell)
{
    return inbox_state(cell) == INBOX_ANSWERED;
}

/* An answered cell may be pushed into again: its answer was taken out, or is nobody's. */
static inline void inbox_take(struct inbox *inbox, const struct inbox_cell *cell)
{
    inbox->awaited &= ~inbox_bit(inbox, cell);
}

/* A cell whose request was settled without its answer: the device is not asked if it was not yet. */
static inline void inbox_abandon(struct inbox *inbox, struct inbox_cell *cell)
{
    uint32_t asked = INBOX_ASKED;
    /* relaxed: nothing is handed over with it; fails where it was answered, and that is not looked at */
    atomic_compare_exchange_strong_explicit(&cell->state, &asked, INBOX_REVOKED,
                                            memory_order_relaxed, memory_order_relaxed);
    inbox_take(inbox, cell);
}

/* ---- consumer: the client's poller ------------------------------------------------------- */

/* True when nothing can be popped now, unless all that is there was revoked. */
static inline bool inbox_is_empty(const struct inbox *inbox)
{
    return inbox_state(&inbox->cells[inbox->popped & INBOX_MASK]) == INBOX_ANSWERED;
}

/* The oldest cell that is not revoked, the consumer's until it is answered, and that before anything else
 * is popped; NULL: empty. */
static inline struct inbox_cell *inbox_try_pop(struct inbox *inbox)
{
    for (;;) { /* INBOX_CAPACITY times at most: a cell that is given back says ANSWERED */
        struct inbox_cell *cell = &inbox->cells[inbox->popped & INBOX_MASK];
        uint32_t state = inbox_state(cell);
        if (state == INBOX_ANSWERED)
            return NULL;
        inbox->popped++;
        if (__builtin_expect(state == INBOX_ASKED, 1))
            return cell;
        /* relaxed: nothing of it was looked at */
        atomic_store_explicit(&cell->state, INBOX_ANSWERED, memory_order_relaxed);
    }
}

/* Gives a popped cell back: its request.value is the answer. */
static inline void inbox_answer(struct inbox_cell *cell)
{
    /* release: inbox_is_answered acquires it, and with it the value */
    atomic_store_explicit(&cell->state, INBOX_ANSWERED, memory_order_release);
}

#endif
