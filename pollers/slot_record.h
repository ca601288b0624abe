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
 *          On a page with a kernel driver (page_driver.h) an answer is out only when the driver was told:
 *          HANDLING and SETTLING go on to FINISHING, and who told the driver closes.
 *
 *          Who may take which step, of the record and of the page: slot_transitions.def.
 *
 * Threads: open: the sweeping poller. win: anybody who holds the ticket: the sweeping poller with an
 *          answer, an external client, a reset, a shutdown; the compare-and-swap lets exactly one through. A
 *          ticket of an earlier request never wins: its sequence is over. hold: the sweeping poller,
 *          which closes too, unless it hangs in the device for good: see page_settle_frozen.
 * Memory:  one cache line a slot. It may lie in memory that outlives the process (server/restart/journal.h):
 *          what is stored here is, between any two stores, what page_adopt.h needs to settle the slot
 *          once, and what has been damaged does not look like it.
 */
#ifndef POLLERS_SLOT_RECORD_H
#define POLLERS_SLOT_RECORD_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum slot_phase {
    SLOT_PHASE_IDLE = 1, /* zero is never valid */
    SLOT_PHASE_IN_FLIGHT = 2,
    SLOT_PHASE_SETTLING = 3,
    SLOT_PHASE_HANDLING = 4,
    SLOT_PHASE_FINISHING = 5,
};
#define SLOT_PHASE_BITS 3
#define SLOT_PHASE_MASK ((1u << SLOT_PHASE_BITS) - 1)

/* Where a request is that was handed over, for whoever finds it after this process. */
enum slot_place {
    SLOT_PLACE_HERE = 1,  /* with a device of this process, which dies with it */
    SLOT_PLACE_WAITS = 2, /* for another process, which has not got it */
    SLOT_PLACE_SENT = 3,  /* in the channel of another process, which may have taken it */
    SLOT_PLACE_TAKEN = 4, /* somebody else has it for certain */
};

#define SLOT_NO_OWNER 0u /* owners are 1..255: the journal's number of a client */

struct slot_record {
    /* Sequence above the phase. A ticket is this word as it was while IN_FLIGHT. */
    _Alignas(64) _Atomic uint64_t word;
    uint64_t begun;          /* complement of the word that began this sequence; stored before it */
    _Atomic uint64_t handed; /* slot_handed_make; of this sequence, if it was handed over */
    uint64_t answer;         /* while SETTLING: what is stored next, if answer_check fits it */
    uint64_t answer_check;
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

/* A sequence that no ticket of an earlier life has, where one may still come. */
static inline void slot_record_init_at(struct slot_record *record, uint64_t sequence)
{
    uint64_t word = sequence << SLOT_PHASE_BITS | SLOT_PHASE_IDLE;
    record->begun = ~word;
    atomic_init(&record->word, word);
    atomic_init(&record->handed, 0);
    record->answer = record->answer_check = 0;
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
    record->begun = ~ticket;
    atomic_store_explicit(&record->word, ticket, memory_order_release);
    return ticket;
}

/* Sweeping poller, while idle. Returns the ticket. */
static inline uint64_t slot_record_open(struct slot_record *record)
{
    return slot_record_begin(record, SLOT_PHASE_IN_FLIGHT);
}

/* Sweeping poller, while idle, before it claims the slot or asks a prompt device: it will answer by itself,
 * and close with what this returns. That spares the compare-and-swap of a win before the answer, 16 to 19 %
 * of a round trip (ioreq-bench rtt). */
static inline uint64_t slot_record_hold(struct slot_record *record)
{
    return slot_record_begin(record, SLOT_PHASE_HANDLING);
}

/* The current word, for a settler that holds no ticket (reset, shutdown) and for display. */
static inline uint64_t slot_record_word(const struct slot_record *record)
{
    return atomic_load_explicit(&record->word, memory_order_acquire);
}

/* True for one caller a ticket. Acquire: pairs with slot_record_open; the slot is touched only
 * after the win. */
static inline bool slot_record_win(struct slot_record *record, uint64_t ticket)
{
    uint64_t settling = (ticket & ~(uint64_t)SLOT_PHASE_MASK) | SLOT_PHASE_SETTLING;
    return atomic_compare_exchange_strong_explicit(&record->word, &ticket, settling,
                                                   memory_order_acquire, memory_order_relaxed);
}

/* Release: pairs with slot_record_is_idle, or with slot_record_word in page_driver_is_due. */
static inline void slot_record_leave(struct slot_record *record, uint64_t ticket,
                                     enum slot_phase phase)
{
    uint64_t left = (ticket & ~(uint64_t)SLOT_PHASE_MASK) | phase;
    atomic_store_explicit(&record->word, left, memory_order_release);
}

/* The winner or holder, once the answer is in the slot, where a driver is yet to be told. */
static inline void slot_record_finish(struct slot_record *record, uint64_t ticket)
{
    slot_record_leave(record, ticket, SLOT_PHASE_FINISHING);
}

/* The winner or holder, after its last store to the slot. */
static inline void slot_record_close(struct slot_record *record, uint64_t ticket)
{
    slot_record_leave(record, ticket, SLOT_PHASE_IDLE);
}

/* ---- what a successor of this process needs ---------------------------------------------- */

static inline uint64_t slot_record_mix(uint64_t a, uint64_t b)
{
    uint64_t mixed = (a ^ (b << 29 | b >> 35)) * 0x9e3779b97f4a7c15u;
    return mixed ^ mixed >> 32;
}

/* One word, so that it is never half of one and half of another: number, owner, place and, on top,
 * sixteen bits that fit them and the sequence. */
static inline uint64_t slot_handed_make(uint64_t sequence, enum slot_place place, uint32_t owner,
                                        uint32_t number)
{
    uint64_t low = (uint64_t)place << 40 | (uint64_t)(owner & 0xff) << 32 | number;
    return slot_record_mix(low, sequence) << 48 | low;
}

static inline enum slot_place slot_handed_place(uint64_t handed)
{
    return (enum slot_place)(handed >> 40 & 0xff);
}

static inline uint32_t slot_handed_owner(uint64_t handed)
{
    return (uint32_t)(handed >> 32 & 0xff);
}

static inline uint32_t slot_handed_number(uint64_t handed)
{
    return (uint32_t)handed;
}

static inline bool slot_handed_is_sound(uint64_t handed, uint64_t sequence)
{
    enum slot_place place = slot_handed_place(handed);
    return place >= SLOT_PLACE_HERE && place <= SLOT_PLACE_TAKEN &&
           handed == slot_handed_make(sequence, place, slot_handed_owner(handed),
                                      slot_handed_number(handed));
}

/* Sweeping poller, before it opens the record: where the request goes. Relaxed: the release of open
 * comes after it, and nobody else in this process reads it. */
static inline void slot_record_hand(struct slot_record *record, enum slot_place place,
                                    uint32_t owner)
{
    uint64_t word = atomic_load_explicit(&record->word, memory_order_relaxed);
    atomic_store_explicit(&record->handed,
                          slot_handed_make((word >> SLOT_PHASE_BITS) + 1, place, owner, 0),
                          memory_order_relaxed);
}

/* The same while it is in flight, for the ticket's request. Relaxed: the release of channel_push comes
 * after it, so that a process takes nothing that is not noted. */
static inline void slot_record_hand_on(struct slot_record *record, uint64_t ticket,
                                       enum slot_place place, uint32_t owner, uint32_t number)
{
    atomic_store_explicit(&record->handed,
                          slot_handed_make(ticket >> SLOT_PHASE_BITS, place, owner, number),
                          memory_order_relaxed);
}

static inline uint64_t slot_record_answer_check(const struct slot_record *record, uint64_t ticket)
{
    uint64_t shape =
        (uint64_t)record->type << 16 | (uint64_t)record->size_bytes << 8 | record->is_read;
    return slot_record_mix(slot_record_mix(record->answer, ticket >> SLOT_PHASE_BITS), shape);
}

/* The winner of a ticket, before it touches the slot. */
static inline void slot_record_note_answer(struct slot_record *record, uint64_t ticket,
                                           uint64_t value)
{
    record->answer = value;
    record->answer_check = slot_record_answer_check(record, ticket);
}

#endif
