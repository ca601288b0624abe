/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * slot_record.h - who owns a slot, kept in private memory where the requester cannot reach it.
 *
 * Flow:    a request that is handed to somebody else goes through IN_FLIGHT: whoever wins the ticket
 *          alone writes the slot. One that the sweeping poller answers itself, before it looks at
 *          anything else, goes through HANDLING: nobody else has its ticket, so nothing is to be won.
 *
 *              open            win                close
 *      IDLE ---------> IN_FLIGHT ---------> SETTLING ---------> IDLE, next sequence
 *           ---------> HANDLING -------------------------------> IDLE
 *              hold                               close
 *
 *          Who may take which step, of the record and of the page: slot_transitions.def.
 *
 * Threads: open: the sweeping poller. win: anybody who holds the ticket: the poller that handled
 *          the request, a reset, a shutdown; the compare-and-swap lets exactly one through. A
 *          ticket of an earlier request never wins: its sequence is over. hold: the sweeping poller,
 *          which closes too, unless it hangs in the device for good: see page_settle_frozen.
 * Memory:  one cache line a slot.
 */
#ifndef POLLERS_SLOT_RECORD_H
#define POLLERS_SLOT_RECORD_H

#include "pollers/prefetch.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum slot_phase {
    SLOT_PHASE_IDLE = 1, /* zero is never valid */
    SLOT_PHASE_IN_FLIGHT = 2,
    SLOT_PHASE_SETTLING = 3,
    SLOT_PHASE_HANDLING = 4,
};
#define SLOT_PHASE_BITS 3
#define SLOT_PHASE_MASK ((1u << SLOT_PHASE_BITS) - 1)

struct slot_record {
    /* Sequence above the phase. A ticket is this word as it was while IN_FLIGHT. */
    _Alignas(64) _Atomic uint64_t word;
    /* What the answer depends on; written before open or hold, read by who settles. */
    uint8_t type;
    uint8_t size_bytes;
    bool is_read;
    bool notify_wanted;
    bool was_full;      /* its client's inbox was full: counted once a request */
    uint32_t odd_state; /* last state that is none of the four, so that each is counted once */
};

static inline enum slot_phase slot_record_phase(uint64_t word)
{
    return (enum slot_phase)(word & SLOT_PHASE_MASK);
}

static inline void slot_record_init(struct slot_record *record)
{
    atomic_init(&record->word, SLOT_PHASE_IDLE);
    record->odd_state = 0;
}

/* Sweeping poller. Acquire: pairs with slot_record_close, so that the next claim comes after all
 * that the last settler stored. */
static inline bool slot_record_is_idle(struct slot_record *record)
{
    uint64_t word = atomic_load_explicit(&record->word, memory_order_acquire);
    return slot_record_phase(word) == SLOT_PHASE_IDLE;
}

/* Release: pairs with slot_record_win, whose winner reads what the answer depends on. */
static inline uint64_t slot_record_begin(struct slot_record *record, enum slot_phase phase)
{
    uint64_t word = atomic_load_explicit(&record->word, memory_order_relaxed);
    uint64_t ticket = (((word >> SLOT_PHASE_BITS) + 1) << SLOT_PHASE_BITS) | phase;
    atomic_store_explicit(&record->word, ticket, memory_order_release);
    return ticket;
}

/* Sweeping poller, while idle. Returns the ticket. */
static inline uint64_t slot_record_open(struct slot_record *record)
{
    return slot_record_begin(record, SLOT_PHASE_IN_FLIGHT);
}

/* Sweeping poller, while idle, before the claim: it will answer by itself, and close with what this
 * returns. Spares
 * the compare-and-swap of a win between the claim and the answer: 16 to 19 % of a round trip, as the
 * shorter that time, the less often the requester's next look takes the line away (ioreq-bench rtt).
 */
static inline uint64_t slot_record_hold(struct slot_record *record)
{
    return slot_record_begin(record, SLOT_PHASE_HANDLING);
}

/* The current word, for a settler that holds no ticket (reset, shutdown) and for display. */
static inline uint64_t slot_record_word(const struct slot_record *record)
{
    return atomic_load_explicit(&record->word, memory_order_acquire);
}

/* Asks for the line that slot_record_win is about to write. */
static inline void slot_record_prefetch(const struct slot_record *record)
{
    prefetch_to_write(&record->word);
}

/* True for one caller a ticket. Acquire: pairs with slot_record_open; the slot is touched only
 * after the win. */
static inline bool slot_record_win(struct slot_record *record, uint64_t ticket)
{
    uint64_t settling = (ticket & ~(uint64_t)SLOT_PHASE_MASK) | SLOT_PHASE_SETTLING;
    return atomic_compare_exchange_strong_explicit(&record->word, &ticket, settling,
                                                   memory_order_acquire, memory_order_relaxed);
}

/* The winner or holder, after its last store to the slot. Release: pairs with slot_record_is_idle. */
static inline void slot_record_close(struct slot_record *record, uint64_t ticket)
{
    uint64_t idle = (ticket & ~(uint64_t)SLOT_PHASE_MASK) | SLOT_PHASE_IDLE;
    atomic_store_explicit(&record->word, idle, memory_order_release);
}

#endif
