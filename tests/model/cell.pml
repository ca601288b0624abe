/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cell.pml - requests to a device on another poller and their answers, in the cells of its inbox, in every
 * interleaving: each request is answered once, by its own device call or with all-ones, and no device is
 * asked for what a clear has settled.
 *
 * Flow:    vcpu: asks, waits for COMPLETE. sweeper: claims, opens the record, pushes; takes answers; gives
 *          up what a deadline or the clear settled (clients/inbox.h, pollers/inbox_serve.c). device: pops,
 *          is asked, answers (pollers/inbox_drain.h). clear: settles through the gate, has the sweeper
 *          give up what it settled, and then resets the device on its own poller.
 * Threads: one process each.
 * Memory:  one step is one access to a shared word; a cell's entry is touched in steps of its own.
 *          Interleavings only; what weak memory adds is relacy's (relacy/inbox.cpp, handoff.cpp).
 * Errors:  by assertion, and an end state in which a request waits.
 * Source:  Holzmann, "The SPIN Model Checker", 2003.
 */
#define SLOTS    2
#define REQUESTS 2
#define CELLS    2 /* fewer than can be in flight with what was given up: full happens */

#ifndef MUTANT
#define MUTANT 0
#endif

#define ANSWERED 0
#define ASKED    1
#define REVOKED  2

#define IDLE      0
#define IN_FLIGHT 1
#define SETTLING  2

#define NONE 15 /* no cell */
#define ONES 15

/* A slot: PENDING or PROCESSING while it waits; the request's number, the same for its answer. */
bool pending[SLOTS], processing[SLOTS], complete[SLOTS];
byte number[SLOTS], value[SLOTS];
byte phase[SLOTS], sequence[SLOTS];

/* A cell. */
byte cell_state[CELLS], cell_slot[CELLS], cell_number[CELLS], cell_value[CELLS];

/* The sweeping poller's own. */
byte asked[SLOTS] = NONE; /* the cell that slot's request is in */
byte ticket[SLOTS];
bool awaited[CELLS];
byte pushed;
bool clearing;

/* The client's poller's own. */
byte popped;

byte command; /* of control's to the sweeping poller: 1 clear begins, 2 give up what is settled, 3 ends */
bool reset_command; /* to the client's poller */
bool was_reset;     /* what was asked before is not to be asked now */
byte before[SLOTS]; /* numbers up to here are of before the reset */
bool clear_ended;

/* slot_record_win, slot_complete, slot_record_close */
inline settle(s, mine, answer)
{
    if
    :: atomic { MUTANT == 1 && processing[s] -> phase[s] = SETTLING } /* whoever comes */
        value[s] = answer;
        d_step { assert(!complete[s]); complete[s] = true; processing[s] = false };
        phase[s] = IDLE
    :: atomic { phase[s] == IN_FLIGHT && sequence[s] == mine -> phase[s] = SETTLING }
        value[s] = answer;
        d_step {
            assert(processing[s] && !complete[s]);
            assert(answer == ONES || answer == number[s]); /* nobody else's */
            processing[s] = false;
            complete[s] = true
        };
        phase[s] = IDLE
    :: else
    fi
}

inline abandon(s)
{
    if
    :: MUTANT == 2 -> cell_state[asked[s]] = REVOKED
    :: MUTANT != 2 ->
        if
        :: atomic { cell_state[asked[s]] == ASKED -> cell_state[asked[s]] = REVOKED }
        :: else
        fi
    fi;
    d_step { awaited[asked[s]] = false; asked[s] = NONE }
}

inline take_answer(s)
{
    if
    :: asked[s] != NONE ->
        if
        :: cell_state[asked[s]] == ANSWERED ->
            settle(s, ticket[s], cell_value[asked[s]]);
            d_step { awaited[asked[s]] = false; asked[s] = NONE }
        :: else
        fi
    :: else
    fi
}

#define NEXT (pushed % CELLS)
#define HAS_SPACE \
    ((cell_state[NEXT] == ANSWERED || MUTANT == 4) && (!awaited[NEXT] || MUTANT == 5))

inline hand_over(s)
{
    d_step { pending[s] = false; processing[s] = true };
    d_step { sequence[s]++; phase[s] = IN_FLIGHT };
    if
    :: asked[s] != NONE && MUTANT != 6 -> abandon(s)
    :: else
    fi;
    d_step { cell_slot[NEXT] = s; cell_number[NEXT] = number[s]; cell_value[NEXT] = 0 };
    d_step { asked[s] = NEXT; ticket[s] = sequence[s]; awaited[NEXT] = true };
    cell_state[NEXT] = ASKED;
    pushed = (pushed + 1) % CELLS
}

inline sweep(s)
{
    if
    :: pending[s] && phase[s] == IDLE ->
        if
        :: clearing ->
            d_step { pending[s] = false; complete[s] = true; value[s] = ONES }
        :: !clearing && HAS_SPACE -> hand_over(s)
        :: else
        fi
    :: else
    fi
}

/* A deadline, at any time. */
inline miss(s)
{
    if
    :: asked[s] != NONE && phase[s] == IN_FLIGHT && sequence[s] == ticket[s] ->
        settle(s, ticket[s], ONES);
        abandon(s)
    :: true
    fi
}

inline give_up_settled(s)
{
    if
    :: asked[s] != NONE && !(phase[s] == IN_FLIGHT && sequence[s] == ticket[s]) && MUTANT != 3 ->
        abandon(s)
    :: else
    fi
}

/* Otherwise a round finds nothing: it stands still, so that whoever is forgotten is seen to wait. */
#define CAN_SWEEP(s) (pending[s] && phase[s] == IDLE && (clearing || HAS_SPACE))
#define CAN_TAKE(s)  (asked[s] != NONE && cell_state[asked[s]] == ANSWERED)
#define CAN_MISS     (asked[0] != NONE && phase[0] == IN_FLIGHT && sequence[0] == ticket[0])

active proctype sweeper()
{
end:
    do
    :: CAN_SWEEP(0) || CAN_SWEEP(1) || CAN_TAKE(0) || CAN_TAKE(1) || CAN_MISS || command != 0 ->
        sweep(0);
        sweep(1);
        take_answer(0);
        take_answer(1);
        miss(0);
        if
        :: command == 1 -> clearing = true; command = 0
        :: command == 2 -> give_up_settled(0); give_up_settled(1); command = 0
        :: command == 3 -> clearing = false; command = 0
        :: else
        fi
    od
}

#define HERE (popped % CELLS)

active proctype device()
{
    byte mine, whose;
end:
    do
    :: cell_state[HERE] == ASKED ->
        d_step { mine = cell_number[HERE]; whose = cell_slot[HERE] };
        assert(!was_reset || mine > before[whose]);
        if
        :: MUTANT == 7 -> cell_state[HERE] = ANSWERED; cell_value[HERE] = mine
        :: else -> cell_value[HERE] = mine; cell_state[HERE] = ANSWERED
        fi;
        popped = (popped + 1) % CELLS
    :: cell_state[HERE] == REVOKED ->
        if
        :: MUTANT == 8 -> skip /* kept */
        :: else -> cell_state[HERE] = ANSWERED
        fi;
        popped = (popped + 1) % CELLS
    :: reset_command -> d_step { was_reset = true; reset_command = false }
    od
}

/* The VM's vCPUs go on while it is cleared, as after a guest's own reset: what they ask then is answered
 * at once. */
active proctype clear()
{
    byte mine;
    if
    :: true ->
        command = 1;
        command == 0;
        mine = sequence[0];
        settle(0, mine, ONES);
        phase[0] == IDLE;
        mine = sequence[1];
        settle(1, mine, ONES);
        phase[1] == IDLE;
        d_step { before[0] = number[0]; before[1] = number[1] };
        command = 2;
        command == 0;
        reset_command = true;
        !reset_command;
        command = 3;
        command == 0
    :: true -> /* a shutdown settles what is in flight, and says nothing */
        mine = sequence[0];
        settle(0, mine, ONES)
    :: true
    fi;
    clear_ended = true
}

active [SLOTS] proctype vcpu()
{
    byte s = _pid - 3;
    byte request = 1;
    do
    :: request <= REQUESTS ->
        d_step {
            number[s] = request;
            value[s] = 0;
            complete[s] = false;
            pending[s] = true
        };
        complete[s];
        assert(value[s] == request || value[s] == ONES);
        request++
    :: else -> break
    od
}
