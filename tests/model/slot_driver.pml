/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * slot_driver.pml - the life of slots on a page with a kernel driver, every interleaving of it.
 *
 * Flow:    vcpu: FREE -> PENDING, waits for COMPLETE, -> FREE. driver: PENDING -> PROCESSING, for a client in
 *          the kernel, which it completes itself, or for us. sweeper: the record idle, then PROCESSING and
 *          not the kernel's: answers at once, or hands over. client, clear: settle through the gate.
 *          teller: tells the driver, which makes the slot COMPLETE, and closes the record.
 *          tests/model/run.sh runs this file, and every mutant of it.
 * Threads: one process each. The clear comes once, at any time, or never, and the hypervisor resets after
 *          it, as ACRN does: that a reset at any time leaves the driver a window, between our look and its
 *          store, is known (page_driver.h) and not modelled.
 * Memory:  one step is one access to a shared word, as in pollers/page_driver.c. Interleavings only.
 * Errors:  safety by assertion: each step is in pollers/slot_transitions.def; a request is taken once, its
 *          words are its own, an answer is written once and before COMPLETE. Liveness: every request is
 *          answered, with weak fairness.
 * Source:  Linux drivers/virt/acrn/ioreq.c (facts). slot_life.pml, which has the page without a driver.
 */
#define SLOTS    2
#define REQUESTS 2
#define LAST_SLOT (SLOTS - 1)

#ifndef MUTANT
#define MUTANT 0
#endif

#define SLOT_PENDING    0
#define SLOT_COMPLETE   1
#define SLOT_PROCESSING 2
#define SLOT_FREE       3

#define SLOT_PHASE_IDLE      1
#define SLOT_PHASE_IN_FLIGHT 2
#define SLOT_PHASE_SETTLING  3
#define SLOT_PHASE_HANDLING  4
#define SLOT_PHASE_FINISHING 5

#define REQUESTER 1
#define RESET     2
#define SWEEPER   3
#define SETTLER   4
#define FREEZER   5
#define DRIVER    6
#define TELLER    7

/* LOCAL: the sweeping poller may be made to stand still, wherever it is. */
#ifdef LOCAL
bool frozen;
#define UNLESS_FROZEN provided (!frozen)
#else
#define UNLESS_FROZEN
#endif

#define STALE 0
#define ONES  3
byte page[SLOTS] = SLOT_FREE;
byte words[SLOTS]; /* which request stands there, 1..REQUESTS */
byte value[SLOTS];
bool kernel_handled[SLOTS];

byte phase[SLOTS] = SLOT_PHASE_IDLE;
byte sequence[SLOTS];
bool due[SLOTS]; /* the teller's signals */

chan inbox = [4] of {bit, byte, byte}; /* slot, sequence, words */

bool clearing;
bool paused;
/* What only the proof knows. */
bool answered[SLOTS];
byte taken[SLOTS]; /* the last request that was taken on there */
byte ended;
bool clear_ended;

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

inline complete(who, slot)
{
    d_step {
        page_move(who, slot, SLOT_COMPLETE);
        assert(!answered[slot] && value[slot] != STALE);
        answered[slot] = true
    }
}

proctype vcpu(bit slot)
{
    byte request = 1;
    do
    :: request <= REQUESTS ->
       atomic {
           !paused;
           assert(page[slot] == SLOT_FREE);
           words[slot] = request;
           value[slot] = STALE;
           answered[slot] = false;
           taken[slot] = 0;
           page_move(REQUESTER, slot, SLOT_PENDING)
       }
       atomic { page[slot] == SLOT_COMPLETE ->
           assert(value[slot] == request || value[slot] == ONES);
           words[slot] = 0;
           value[slot] = STALE;
           page_move(REQUESTER, slot, SLOT_FREE)
       }
       request++
    :: else -> break
    od;
    ended++
}

/* One slot of the driver's worker: kernel_handled first, then PROCESSING with a release. */
proctype driver(bit slot)
{
end_none:
    do
    :: page[slot] == SLOT_PENDING ->
       if
       :: kernel_handled[slot] = false;
          d_step { page_move(DRIVER, slot, SLOT_PROCESSING) }
       :: kernel_handled[slot] = true;
          d_step { page_move(DRIVER, slot, SLOT_PROCESSING) };
          value[slot] = words[slot];
          complete(DRIVER, slot)
       fi
    od
}

/* slot_put_answer, slot_record_finish, page_notify; or past the driver. */
inline answer(who, slot, result)
{
#ifdef DIRECT
    value[slot] = result;
    complete(who, slot);
    d_step { record_move(who, slot, SLOT_PHASE_IDLE) }
#else
    if
    :: page[slot] == SLOT_PROCESSING ->
#if MUTANT == 31
       d_step { record_move(who, slot, SLOT_PHASE_FINISHING) };
       due[slot] = true;
       value[slot] = result
#elif MUTANT == 32
       value[slot] = result;
       d_step { record_move(who, slot, SLOT_PHASE_IDLE) };
       due[slot] = true
#else
       value[slot] = result;
       d_step { record_move(who, slot, SLOT_PHASE_FINISHING) };
       due[slot] = true
#endif
    :: else -> assert(false) /* nobody takes it back here */
    fi
#endif
}

inline note_taken(slot)
{
    assert(words[slot] == copy && taken[slot] == 0); /* its own words, and once */
    taken[slot] = copy
}

inline dispatch(slot)
{
    copy = words[slot];
    if
    :: true -> /* it lives here, or is answered at once */
       d_step { record_move(SWEEPER, slot, SLOT_PHASE_HANDLING) };
       if
       :: d_step { page[slot] == SLOT_PROCESSING && !kernel_handled[slot] -> note_taken(slot) };
          if
          :: clearing -> answer(SWEEPER, slot, ONES)
          :: else -> answer(SWEEPER, slot, copy)
          fi
       :: else -> d_step { record_move(SWEEPER, slot, SLOT_PHASE_IDLE) }
       fi
#ifndef LOCAL
    :: !clearing && len(inbox) < 4 ->
       if
       :: d_step { page[slot] == SLOT_PROCESSING && !kernel_handled[slot] -> note_taken(slot) };
          d_step {
              record_move(SWEEPER, slot, SLOT_PHASE_IN_FLIGHT);
              sequence[slot] = sequence[slot] + 1
          }
          inbox!slot, sequence[slot], copy
       :: else
       fi
#endif
    fi;
    copy = 0
}

#define IS_OFFERED(slot) (page[slot] == SLOT_PROCESSING && !kernel_handled[slot])

proctype sweeper() UNLESS_FROZEN
{
    byte slot, copy;
end_idle:
    do
    :: IS_OFFERED(0) || IS_OFFERED(LAST_SLOT) ->
       slot = 0;
       do
       :: slot < SLOTS ->
#if MUTANT == 30
          if
          :: page[slot] == SLOT_PROCESSING ->
             if
             :: !kernel_handled[slot] && phase[slot] == SLOT_PHASE_IDLE -> dispatch(slot)
             :: else
             fi
          :: else
          fi;
#else
          if
          :: phase[slot] == SLOT_PHASE_IDLE ->
             if
             :: page[slot] == SLOT_PROCESSING ->
                if
                :: !kernel_handled[slot] -> dispatch(slot)
                :: else
                fi
             :: else
             fi
          :: else
          fi;
#endif
          slot++
       :: else -> slot = 0; break
       od
    od
}

proctype client()
{
    byte copy, ticket;
    bit slot;
end_empty:
    do
    :: inbox?slot, ticket, copy;
       if
       :: atomic { phase[slot] == SLOT_PHASE_IN_FLIGHT && sequence[slot] == ticket ->
             record_move(SETTLER, slot, SLOT_PHASE_SETTLING) };
          answer(SETTLER, slot, copy)
       :: !(phase[slot] == SLOT_PHASE_IN_FLIGHT && sequence[slot] == ticket) /* settled before */
       fi;
       d_step { copy = 0; ticket = 0; slot = 0 }
    od
}

/* page_driver_is_due, NOTIFY_REQUEST_FINISH, page_driver_close */
proctype teller()
{
    byte slot;
end_none:
    do
    :: due[0] || due[LAST_SLOT] ->
       if
       :: due[0] -> slot = 0
       :: due[LAST_SLOT] -> slot = LAST_SLOT
       fi;
       due[slot] = false;
#if MUTANT == 32
       if
       :: page[slot] == SLOT_PROCESSING -> complete(DRIVER, slot)
       :: else
       fi;
#else
       if
       :: phase[slot] == SLOT_PHASE_FINISHING ->
#if MUTANT == 33
          d_step { record_move(TELLER, slot, SLOT_PHASE_IDLE) };
          if
          :: page[slot] == SLOT_PROCESSING -> complete(DRIVER, slot)
          :: else
          fi
#else
          if
          :: page[slot] == SLOT_PROCESSING -> complete(DRIVER, slot)
          :: else -> assert(false) /* nobody takes it back here */
          fi;
          d_step { record_move(TELLER, slot, SLOT_PHASE_IDLE) }
#endif
       :: else /* one signal too many */
       fi;
#endif
       slot = 0
    od
}

#ifdef LOCAL
/* poller_freeze, page_driver_settle_frozen: of what was handled, for a server that ends. */
inline settle_frozen(slot)
{
    if
    :: phase[slot] == SLOT_PHASE_HANDLING && page[slot] == SLOT_PROCESSING && taken[slot] > 0 &&
       value[slot] == STALE ->
       value[slot] = ONES;
       d_step { record_move(FREEZER, slot, SLOT_PHASE_FINISHING) };
       due[slot] = true
    :: else
    fi
}

proctype freezer()
{
    if
    :: phase[0] == SLOT_PHASE_HANDLING || phase[LAST_SLOT] == SLOT_PHASE_HANDLING ->
       frozen = true;
       settle_frozen(0);
       settle_frozen(LAST_SLOT)
    :: true
    fi
}
#endif

inline clear_slot(slot)
{
    if
    :: atomic { phase[slot] == SLOT_PHASE_IN_FLIGHT ->
          record_move(SETTLER, slot, SLOT_PHASE_SETTLING) };
       answer(SETTLER, slot, ONES)
    :: else
    fi;
#if MUTANT != 34
    phase[slot] == SLOT_PHASE_IDLE
#endif
}

/* The driver's CLEAR is left out: it completes what came while it lasts, and nothing comes while the VM
 * is paused. */
proctype clear()
{
    byte slot;
    if
    :: true ->
       paused = true;
       clearing = true;
       /* The sweeping poller has seen it: its answers from here on are all-ones. */
       clear_slot(0);
       clear_slot(LAST_SLOT);
       /* One more round before normal service, and the vCPUs take their answers. */
#if MUTANT != 34
       page[0] == SLOT_FREE;
       page[LAST_SLOT] == SLOT_FREE;
       phase[0] == SLOT_PHASE_IDLE && phase[LAST_SLOT] == SLOT_PHASE_IDLE;
#endif
       d_step {
           clearing = false;
           slot = 0;
           do
           :: slot < SLOTS ->
              assert(phase[slot] == SLOT_PHASE_IDLE);
              slot++
           :: else -> break
           od;
           slot = 0;
           paused = false
       }
    :: true
    fi;
    clear_ended = true
}

init {
    atomic {
        run vcpu(0);
        run vcpu(LAST_SLOT);
        run driver(0);
        run driver(LAST_SLOT);
        run sweeper();
        run teller();
#ifdef LOCAL
        run freezer();
        clear_ended = true
#else
        run client();
#ifdef CLEAR
        run clear()
#else
        clear_ended = true
#endif
#endif
    }
}

#ifdef LIVENESS
ltl all_end { <> (ended == 2 && clear_ended) }
#endif
