/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * slot_life.pml - the life of SLOTS slots with REQUESTS requests each, every interleaving of it.
 *
 * Flow:    vcpu: FREE -> PENDING, waits for COMPLETE, -> FREE. sweeper: PENDING and the record
 *          idle: claims, opens the record, pushes into the inbox. client, deadline and clear: settle
 *          through the gate. reset: every slot FREE. tests/model/run.sh runs this file, and every
 *          mutant of it.
 * Threads: one process each; the client may stop for good at any request, the deadline may come at
 *          any time, the clear and the reset may come once, at any time, or never.
 * Memory:  one step is one access to a shared word, as in pollers/slot.h, slot_record.h and
 *          page_settle.h. Interleavings only; what weak memory adds is relacy's (relacy/).
 * Errors:  safety by assertion: each step is in pollers/slot_transitions.def; an answer is written
 *          once, by its own ticket, value first; nothing is in flight when a clear is over.
 *          Liveness by `all_end`, with weak fairness: every request is answered or taken back, and
 *          the clear ends; with finite work, "each eventually" is "all end". `clear_ends`: it ends
 *          even if a client is stuck and nobody keeps deadlines.
 * Source:  <linux/acrn.h>; ACRN hypervisor, dm/io_req.c (facts): states, reset, clear. Holzmann, "The
 *          SPIN Model Checker", 2003.
 *
 * Two hypervisors, since they allow different claims:
 *   orderly (default)  resets after a clear, its vCPUs paused meanwhile, as ACRN does. Then no
 *                      store of ours ever falls into a slot that is not ours.
 *   WILD               resets at any time. The state word stays right even so. Two windows stay
 *                      open that no server can close, since the page has no sequence: the value of
 *                      a late answer may fall into the next request's (before that is claimed), and
 *                      a copy may be of the request before the one that is claimed. A third is the
 *                      price of answers without a claim: the same from the copy to COMPLETE (slot.h).
 *                      1: with a deadline, 2: with a clear; both together are too many states.
 */
#define SLOTS 2
#ifndef REQUESTS
#define REQUESTS 2
#endif

#ifndef MUTANT
#define MUTANT 0
#endif

#if !defined(WILD) || WILD == 1
#define DEADLINE
#endif
#if !defined(LOCAL) && (!defined(WILD) || WILD == 2)
#define CLEAR
#endif
#ifdef DEADLINE
#define STUCK /* a client may be: somebody will answer for it */
#endif
#if MUTANT == 14 || defined(NO_DEADLINE)
#undef DEADLINE
#endif

/* LOCAL: clients live on the sweeping poller; it may hang in one for good, and is then made to stand
 * still, wherever it is, and what it was handling is settled. A server that ends answers no more. */
#ifdef LOCAL
bool frozen;
#undef DEADLINE
#undef STUCK
#define UNLESS_FROZEN provided (!frozen)
#else
#define UNLESS_FROZEN
#endif

/* A client that stops leaves all its tickets in the inbox: with room for fewer, a request could
 * stay PENDING for ever, in reach of neither the deadline nor a clear. */
#if MUTANT == 15
#define INBOX 2
#else
#define INBOX 4
#endif

#define SLOT_PENDING    0
#define SLOT_COMPLETE   1
#define SLOT_PROCESSING 2
#define SLOT_FREE       3

#define SLOT_PHASE_IDLE      1
#define SLOT_PHASE_IN_FLIGHT 2
#define SLOT_PHASE_SETTLING  3
#define SLOT_PHASE_HANDLING  4
#define SLOT_PHASE_FINISHING 5 /* slot_driver.pml */

#define REQUESTER 1
#define RESET     2
#define SWEEPER   3
#define SETTLER   4
#define FREEZER   5
#define DRIVER    6 /* and TELLER: slot_driver.pml */
#define TELLER    7

/* The page. words: which request the requester wrote there, 1..REQUESTS. */
#define STALE 0
#define ONES  3
byte page[SLOTS] = SLOT_FREE;
byte words[SLOTS];
byte value[SLOTS];

/* The records: one word each, here in two parts. */
byte phase[SLOTS] = SLOT_PHASE_IDLE;
byte sequence[SLOTS];

chan inbox = [INBOX] of {bit, byte, byte}; /* slot, sequence, words */

#define NONE      0
#define CLEAR_ON  1
#define NOTHING   2
#define CLEAR_OFF 3
byte command; /* the sweeping poller's mailbox */
bool clearing;        /* the sweeping poller's own */

/* What only the proof knows. */
bool waiting[SLOTS];         /* the vCPU waits for this request */
bool answered[SLOTS];        /* the current request has its COMPLETE */
byte claimed[SLOTS]; /* which request the record was opened for */
bool paused;                 /* no new requests: the VM is about to be reset */
bool settled;                /* the clear is through, and has not ended yet */
bool prompt[SLOTS];          /* being answered as it stands, PENDING */
bool mistaken[SLOTS];        /* WILD: the third window */
byte ended;          /* vCPUs that have had all their requests */
bool clear_ended;

#define LAST_SLOT (SLOTS - 1)

/* Prints each row of the table at its first use: the runner wants to see all of them. */
c_decl {
    static unsigned char used[4096];
    static void use(int line, const char *row)
    {
        if (!used[line]) {
            used[line] = 1;
            printf("used: %s\n", row);
        }
    }
};

inline record_move(who, slot, to)
{
    if
#define SLOT_RECORD_TRANSITION(by, from, next) \
    :: who == by && phase[slot] == SLOT_PHASE_##from && to == SLOT_PHASE_##next -> \
       c_code { use(__LINE__, "record " #by " " #from " " #next); }
#include "pollers/slot_transitions.def"
    :: else -> assert(false); /* a step of the record that is not in the table */
    fi;
    phase[slot] = to
}

inline page_move(who, slot, to)
{
    if
#define SLOT_PAGE_TRANSITION(by, from, next) \
    :: who == by && page[slot] == SLOT_##from && to == SLOT_##next -> \
       c_code { use(__LINE__, "page " #by " " #from " " #next); }
#include "pollers/slot_transitions.def"
    :: else -> assert(false); /* a step of the page that is not in the table */
    fi;
    page[slot] = to
}

/* slot_answer */
inline store_value(slot, answer)
{
    d_step {
#ifndef WILD
        assert(page[slot] == SLOT_PROCESSING || (prompt[slot] && page[slot] == SLOT_PENDING));
#endif
        value[slot] = answer
    }
}

/* The compare-and-swap of slot_complete, for request `mine`. */
inline store_complete(who, slot, from, mine)
{
    if
#if MUTANT == 7 || MUTANT == 8
    :: true ->
#else
    :: atomic { page[slot] == from ->
#endif
       d_step {
           page_move(who, slot, SLOT_COMPLETE);
#ifdef WILD
           mistaken[slot] = words[slot] != mine && from == SLOT_PENDING;
#endif
           assert(words[slot] == mine || mistaken[slot]); /* nobody else's request */
           assert(!answered[slot]);     /* and once */
           answered[slot] = true
       }
#if MUTANT != 7 && MUTANT != 8
       }
    :: else
#endif
    fi
}

/* slot_record_close */
inline close_record(slot)
{
    d_step { record_move(SETTLER, slot, SLOT_PHASE_IDLE); claimed[slot] = 0 }
}

/* slot_complete: look, value, COMPLETE. mine: the request it is for, for the proof. */
inline complete(who, slot, from, result, mine)
{
    if
#if MUTANT == 7
    :: true ->
#else
    :: page[slot] == from ->
#endif
#if MUTANT == 9
       store_complete(who, slot, from, mine);
       store_value(slot, result)
#else
       store_value(slot, result);
       store_complete(who, slot, from, mine)
#endif
#if MUTANT != 7
    :: else /* taken back */
#endif
    fi
}

/* page_settle, once it has won. */
inline answer(slot, result, mine)
{
#if MUTANT == 3
    close_record(slot);
    complete(SETTLER, slot, SLOT_PROCESSING, result, mine);
#elif MUTANT == 13
    if
    :: page[slot] == SLOT_PROCESSING ->
       complete(SETTLER, slot, SLOT_PROCESSING, result, mine);
       close_record(slot)
    :: else
    fi;
#else
    complete(SETTLER, slot, SLOT_PROCESSING, result, mine);
    close_record(slot);
#endif
    mine = 0
}

/* slot_record_win */
inline win(slot, mine)
{
    d_step { record_move(SETTLER, slot, SLOT_PHASE_SETTLING); mine = claimed[slot] }
}

/* What a FREE slot says means nothing: one state instead of many. */
inline forget(slot)
{
    words[slot] = 0;
    value[slot] = STALE;
    answered[slot] = false;
    mistaken[slot] = false;
    waiting[slot] = false
}

proctype vcpu(bit slot)
{
    byte request = 1;
    do
    :: request <= REQUESTS ->
       atomic {
           !paused;
           assert(page[slot] == SLOT_FREE); /* else the guest's access fails */
           words[slot] = request;
           value[slot] = STALE;
           answered[slot] = false;
           waiting[slot] = true;
           page_move(REQUESTER, slot, SLOT_PENDING)
       }
       if
       :: atomic { page[slot] == SLOT_COMPLETE && waiting[slot] ->
              assert(answered[slot]);
#ifdef WILD
              assert(value[slot] != STALE || mistaken[slot]);
#else
              assert(value[slot] == request || value[slot] == ONES);
#endif
              forget(slot);
              page_move(REQUESTER, slot, SLOT_FREE)
          }
       :: !waiting[slot] /* taken back */
       fi;
       request++
    :: else -> break
    od;
    ended++
}

inline reset_slots()
{
    d_step {
        slot = 0;
        do
        :: slot < SLOTS ->
           if
           :: page[slot] != SLOT_FREE -> page_move(RESET, slot, SLOT_FREE)
           :: else
           fi;
           forget(slot);
           slot++
        :: else -> break
        od;
        slot = 0
    }
}

#ifdef WILD
proctype reset()
{
    byte slot;
    if
    :: reset_slots()
    :: true
    fi
}
#endif

/* answer_unclaimed of poller_loop.c: nothing is handed over. */
inline answer_unclaimed(slot, result)
{
    prompt[slot] = true;
    complete(SWEEPER, slot, SLOT_PENDING, result, copy);
    prompt[slot] = false
}

/* slot_claim, slot_record_open, inbox_try_push */
inline hand_over(slot)
{
    if
#if MUTANT == 2
    :: true ->
#else
    :: atomic { page[slot] == SLOT_PENDING ->
#endif
       d_step {
           page_move(SWEEPER, slot, SLOT_PROCESSING);
#ifdef WILD
           copy = words[slot];
#endif
       }
#if MUTANT != 2
       }
#endif
       d_step {
           record_move(SWEEPER, slot, SLOT_PHASE_IN_FLIGHT);
#if MUTANT != 5
           sequence[slot] = sequence[slot] + 1;
#endif
           claimed[slot] = copy;
           assert(!settled) /* the clear has looked already */
       }
       d_step { assert(len(inbox) < INBOX); inbox!slot, sequence[slot], copy }
    :: else
    fi
}

/* slot_record_hold, slot_claim, the device, page_answer; of a prompt device without the claim. */
inline handle_here(slot)
{
    record_move(SWEEPER, slot, SLOT_PHASE_HANDLING);
    if
    :: atomic { page[slot] == SLOT_PENDING ->
       d_step {
           page_move(SWEEPER, slot, SLOT_PROCESSING);
           copy = words[slot]
       } }
       complete(SWEEPER, slot, SLOT_PROCESSING, copy, copy)
    :: answer_unclaimed(slot, copy)
    :: page[slot] != SLOT_PENDING
    fi;
    record_move(SWEEPER, slot, SLOT_PHASE_IDLE)
}

/* hand_over, for where a poller may be frozen in it: what comes of it after the record is open is the
 * other runs' business, so here it is one step. */
inline hand_over_at_once(slot)
{
    if
    :: atomic { page[slot] == SLOT_PENDING ->
       d_step {
           page_move(SWEEPER, slot, SLOT_PROCESSING);
           copy = words[slot]
       } }
       d_step {
           record_move(SWEEPER, slot, SLOT_PHASE_IN_FLIGHT);
           sequence[slot] = sequence[slot] + 1;
           record_move(SETTLER, slot, SLOT_PHASE_SETTLING);
           if
           :: page[slot] == SLOT_PROCESSING ->
              assert(words[slot] == copy && !answered[slot]);
              value[slot] = copy;
              page_move(SETTLER, slot, SLOT_COMPLETE);
              answered[slot] = true
           :: else
           fi;
           record_move(SETTLER, slot, SLOT_PHASE_IDLE)
       }
    :: else
    fi
}

#define LEAVE     0
#define AT_ONCE   1
#define HAND_OVER 2

/* The copy and the choice are one step: the flag is the poller's own, and room in the inbox only
 * grows under its producer. */
inline dispatch(slot)
{
    if
#if MUTANT == 1
    :: true ->
#else
    :: phase[slot] == SLOT_PHASE_IDLE ->
#endif
       d_step {
           copy = words[slot];
           if
           :: clearing -> way = AT_ONCE
           :: !clearing && len(inbox) < INBOX -> way = HAND_OVER
           :: else -> way = LEAVE
           fi
       }
       if
       :: way == AT_ONCE -> answer_unclaimed(slot, ONES)
#ifdef LOCAL
       :: way == HAND_OVER -> answer_unclaimed(slot, ONES) /* malformed, or nobody's */
#endif
#ifdef LOCAL
       :: way == HAND_OVER -> handle_here(slot)
       :: way == HAND_OVER -> hand_over_at_once(slot)
#else
       :: way == HAND_OVER -> hand_over(slot)
#endif
       :: else
       fi;
       d_step { copy = 0; way = LEAVE }
#if MUTANT != 1
    :: else
#endif
    fi
}

proctype sweeper() UNLESS_FROZEN
{
    byte slot, copy, way;
end_idle:
    do
    :: page[0] == SLOT_PENDING || page[LAST_SLOT] == SLOT_PENDING || command != NONE ->
       do
       :: slot < SLOTS ->
          if
          :: page[slot] == SLOT_PENDING -> dispatch(slot)
          :: else
          fi;
          slot++
       :: else -> break
       od;
       /* between two rounds */
       atomic {
           slot = 0;
           if
           :: command == NOTHING -> command = NONE
           :: command == CLEAR_ON || command == CLEAR_OFF ->
              clearing = (command == CLEAR_ON);
              command = NONE
           :: else
           fi
       }
    od
}

#if MUTANT == 4
#define HOLDS(slot, ticket) (phase[slot] == SLOT_PHASE_IN_FLIGHT)
#else
#define HOLDS(slot, ticket) (phase[slot] == SLOT_PHASE_IN_FLIGHT && sequence[slot] == ticket)
#endif

proctype client()
{
    byte copy, ticket, mine;
    bit slot;
end_empty:
    do
    :: inbox?slot, ticket, copy;
       if
       :: HOLDS(slot, ticket) ->
          /* the device takes its time here, and may never come back */
          if
          :: atomic { HOLDS(slot, ticket) -> win(slot, mine) }
             answer(slot, copy, mine)
          :: !HOLDS(slot, ticket) /* late */
#ifdef STUCK
          :: true -> break
#endif
          fi
       :: else /* settled while it waited here */
       fi;
       d_step { copy = 0; ticket = 0; slot = 0 }
    od;
end_stuck:
    false
}

/* Whoever holds no ticket takes the record's word for one. Reading and winning are one step: if
 * somebody came between them, nothing would happen. */
#ifdef DEADLINE
proctype deadline()
{
    byte mine;
end_none:
    do
#if MUTANT == 11
    :: phase[0] == SLOT_PHASE_IN_FLIGHT ->
       complete(SETTLER, 0, SLOT_PROCESSING, ONES, claimed[0])
#else
    :: atomic { phase[0] == SLOT_PHASE_IN_FLIGHT -> win(0, mine) }
       answer(0, ONES, mine)
#endif
    :: atomic { phase[LAST_SLOT] == SLOT_PHASE_IN_FLIGHT -> win(LAST_SLOT, mine) }
       answer(LAST_SLOT, ONES, mine)
    od
}
#endif

#ifdef LOCAL
/* poller_freeze, page_settle_frozen */
inline settle_frozen(slot)
{
#if MUTANT == 19
    if
    :: phase[slot] == SLOT_PHASE_HANDLING ->
       complete(FREEZER, slot, SLOT_PROCESSING, ONES, words[slot])
    :: else
    fi;
#else
    complete(FREEZER, slot, SLOT_PROCESSING, ONES, words[slot]);
#endif
    if
#if MUTANT != 21
    :: phase[slot] == SLOT_PHASE_HANDLING && page[slot] == SLOT_PENDING ->
       d_step { prompt[slot] = true; mine = words[slot] };
       complete(FREEZER, slot, SLOT_PENDING, ONES, mine)
#endif
    :: else
    fi;
    if
    :: phase[slot] == SLOT_PHASE_HANDLING -> record_move(FREEZER, slot, SLOT_PHASE_IDLE)
    :: else
    fi
}

#define HOLDS_PROMPT(slot) (phase[slot] == SLOT_PHASE_HANDLING && page[slot] == SLOT_PENDING)

/* The poller was seen to handle something; it may have come back since. */
proctype freezer()
{
    byte mine;
    byte held[SLOTS]; /* what it was asking a prompt device for */
    if
    :: phase[0] == SLOT_PHASE_HANDLING || phase[LAST_SLOT] == SLOT_PHASE_HANDLING ->
#if MUTANT != 20
       d_step {
           frozen = true;
           held[0] = (HOLDS_PROMPT(0) -> words[0] : 0);
           held[LAST_SLOT] = (HOLDS_PROMPT(LAST_SLOT) -> words[LAST_SLOT] : 0)
       };
#endif
       settle_frozen(0);
       settle_frozen(LAST_SLOT);
       d_step {
           assert(page[0] != SLOT_PROCESSING || !frozen);
           assert(page[LAST_SLOT] != SLOT_PROCESSING || !frozen);
           assert(!held[0] || page[0] != SLOT_PENDING || words[0] != held[0]);
           assert(!held[LAST_SLOT] || page[LAST_SLOT] != SLOT_PENDING ||
                  words[LAST_SLOT] != held[LAST_SLOT])
       }
    :: true
    fi
}
#endif

inline clear_slot(slot)
{
#if MUTANT == 10
    if
    :: phase[slot] == SLOT_PHASE_IN_FLIGHT -> close_record(slot)
    :: else
    fi
#elif MUTANT != 6
    if
    :: atomic { phase[slot] == SLOT_PHASE_IN_FLIGHT -> win(slot, mine) }
       answer(slot, ONES, mine)
    :: else
    fi;
#if MUTANT != 18
    phase[slot] == SLOT_PHASE_IDLE /* another settler is between win and close */
#endif
#else
    skip
#endif
}

proctype clear()
{
    byte slot, mine;
    if
    :: true ->
#ifndef WILD
       paused = true;
#endif
#if MUTANT == 12
       clearing = true;
#else
       command = CLEAR_ON;
       command == NONE;
#endif
       /* The clients' time is over whenever it likes to be: the steps of the others say when. */
#if MUTANT == 16
       phase[0] == SLOT_PHASE_IDLE && phase[LAST_SLOT] == SLOT_PHASE_IDLE;
#endif
       clear_slot(0);
       clear_slot(LAST_SLOT);
       d_step {
           slot = 0;
           do
           :: slot < SLOTS ->
              assert(phase[slot] == SLOT_PHASE_IDLE);
              assert(page[slot] != SLOT_PROCESSING);
              slot++
           :: else -> break
           od;
           slot = 0;
           settled = true
       }
#if MUTANT != 17
       /* A vCPU may have asked again before its record was closed, and the sweep have passed it:
        * one more round, from its beginning, before normal service. */
       command = NOTHING;
       command == NONE;
#endif
       atomic { command = CLEAR_OFF; settled = false };
       command == NONE;
#ifndef WILD
       d_step {
           assert(page[0] != SLOT_PENDING && page[0] != SLOT_PROCESSING);
           assert(page[LAST_SLOT] != SLOT_PENDING && page[LAST_SLOT] != SLOT_PROCESSING)
       }
       reset_slots();
       paused = false
#endif
    :: true
    fi;
    clear_ended = true
}

init {
    atomic {
        run vcpu(0);
        run vcpu(LAST_SLOT);
        run sweeper();
#ifdef LOCAL
        run freezer();
#else
        run client();
#endif
#ifdef DEADLINE
        run deadline();
#endif
#ifdef CLEAR
        run clear();
#else
        clear_ended = true;
#endif
#ifdef WILD
        run reset();
#endif
    }
}

#ifdef LIVENESS
#ifdef NO_DEADLINE
ltl clear_ends { <> clear_ended }
#else
ltl all_end { <> (ended == 2 && clear_ended) }
#endif
#endif
