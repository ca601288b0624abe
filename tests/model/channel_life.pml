/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * channel_life.pml - requests to a device in another process, and what becomes of them when it is
 * late, hangs, dies, comes again or lies; every interleaving of it.
 *
 * Flow:    vcpu: asks, waits for COMPLETE. poller: hands over, drains, keeps deadlines, attaches and
 *          detaches (pollers/process_serve.c), each between the others as on its one thread.
 *          process(e): takes, acts, answers (clients/channel_peer.h); may die or hang at any step.
 *          clear: settles what is in flight, once, at any time. tests/model/run.sh runs this file,
 *          and every mutant of it.
 * Threads: one process each; incarnations may overlap, an old one that hangs with the one after it.
 * Memory:  one step is one access to the shared memory, or one duty of the poller on what is private
 *          to it. A ring has as many cells as there are slots, so that it does become full; numbers
 *          of turns are not cut. Interleavings only: what weak memory adds to a cell and its turn is
 *          relacy's (relacy/inbox.cpp, the same way of handing over).
 * Errors:  safety by assertion: a request is completed once, with its own answer or all-ones; by
 *          all-ones only where the policy allows it; acted on once with on_death: fail; an answer
 *          of an earlier incarnation is never taken; an honest process is never blamed. Liveness by
 *          `all_end`, with weak fairness: every request is answered.
 * Source:  clients/channel.h, process_port.h; Holzmann, "The SPIN Model Checker", 2003.
 *
 * Variants:
 *   CRASH       an incarnation but the last may die at any step
 *   CLOSES      it may lose its connection at any step and go on all the same
 *   REISSUE     on_death: reissue; without: fail
 *   DEADLINES n the deadline may pass n times, whenever it likes
 *   HANG        an incarnation may stop for good; DEADLINES must suffice
 *   PATIENCE n  missed deadlines to a quarantine (0: never)
 *   CLEAR       the VM is cleared once
 *   HOSTILE     the first incarnation may answer what it likes, once, and break its ring
 *   SLEEPS      it sleeps when there is nothing, until it is woken
 */
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef REQUESTS
#define REQUESTS 2
#endif
#ifndef EPOCHS
#define EPOCHS 2
#endif
#ifndef DEADLINES
#define DEADLINES 0
#endif
#ifndef PATIENCE
#define PATIENCE 0
#endif
#ifndef MUTANT
#define MUTANT 0
#endif

#define RING  SLOTS /* cells */
#define FIRST RING  /* number of the first turn; 0 is none */

#define FREE       0
#define PENDING    1
#define PROCESSING 2
#define COMPLETE   3

#define ABSENT      1
#define SERVING     2
#define AWAITED     3
#define QUARANTINED 4

#define NOTHING 0
#define ONES    9

/* The page and the records. */
byte page[SLOTS] = FREE;
byte words[SLOTS]; /* which request of the vCPU's, from 1 */
byte value[SLOTS];
byte record[SLOTS]; /* the ticket in flight; 0: idle */
byte ticket[SLOTS]; /* the last one */

/* The channel of each incarnation; MUTANT 1 gives the next one the memory of the last. */
typedef memory {
    byte request_turn[RING];
    byte request_slot[RING];
    byte request_ticket[RING];
    byte request_word[RING];
    byte taken = FIRST;
    byte answer_turn[RING];
    byte answer_slot[RING];
    byte answer_ticket[RING];
    byte answer_word[RING];
    byte answer_epoch[RING];
    byte answers_read = FIRST;
    bool is_over;
    bool is_asleep;
    bool is_woken; /* the eventfd */
}
#define MEMORIES (EPOCHS + 1)
memory shared[MEMORIES];
#if MUTANT == 1
#define MEMORY(epoch) shared[1]
#else
#define MEMORY(epoch) shared[epoch]
#endif

/* What the server sees of a process besides. */
bool is_dead[MEMORIES];   /* by its pidfd */
bool has_closed[MEMORIES]; /* by its connection */
byte registering;         /* the incarnation that wants to serve */

/* What only the proof knows. Index: slot and request. */
#define DEED(slot, word) deeds[(slot) * (REQUESTS + 1) + (word)]
byte deeds[SLOTS * (REQUESTS + 1)];  /* how often a process acted on it */
#define GOT(slot, word) got[(slot) * (REQUESTS + 1) + (word)]
bool got[SLOTS * (REQUESTS + 1)];    /* an incarnation counts it as taken */
byte ended;                          /* vCPUs that have had all their answers */
bool was_cleared;
bool has_lied;
byte deadlines = DEADLINES; /* that may still pass */

byte state = ABSENT; /* the poller's */

proctype vcpu(byte slot)
{
    byte word = 1;
    state != ABSENT; /* else all-ones, at once */
    do
    :: word <= REQUESTS ->
       d_step { words[slot] = word; value[slot] = NOTHING; page[slot] = PENDING }
       atomic { page[slot] == COMPLETE ->
           assert(value[slot] == word || value[slot] == ONES);
#if DEADLINES == 0 && !defined(CLEAR) && !defined(HOSTILE) && defined(REISSUE)
           assert(value[slot] != ONES); /* nobody had a reason */
#endif
           page[slot] = FREE;
           word++
       }
    :: else -> break
    od;
    ended++
}

/* ---- the poller, private ------------------------------------------------------------------- */

byte channel; /* the incarnation that serves; 0: none */
byte pushed, taken_seen, answers_read, woken_for;
bool held[SLOTS];
byte hold_ticket[SLOTS], hold_number[SLOTS], hold_word[SLOTS];
byte misses, owed;

#define IN_FLIGHT(slot) (record[slot] == hold_ticket[slot])

/* page_settle: whoever wins the record, and nobody else, writes the slot. */
inline settle(at, with, what)
{
    if
    :: record[at] == with ->
       record[at] = 0;
       assert(page[at] == PROCESSING);
       value[at] = what;
       page[at] = COMPLETE
    :: else
    fi
}

inline give_up(given)
{
    held[given] = false;
    settle(given, hold_ticket[given], ONES)
}

inline give_up_all()
{
    for (i : 0 .. SLOTS - 1) {
        if
        :: held[i] -> give_up(i)
        :: else
        fi
    }
}

inline condemn()
{
    MEMORY(channel).is_over = true;
    channel = 0;
    state = QUARANTINED;
#if MUTANT != 13
    give_up_all()
#endif
}

inline push(pushing)
{
    assert(pushed - taken_seen < RING);
    hold_number[pushing] = pushed;
    MEMORY(channel).request_slot[pushed % RING] = pushing;
    MEMORY(channel).request_ticket[pushed % RING] = hold_ticket[pushing];
    MEMORY(channel).request_word[pushed % RING] = hold_word[pushing];
    MEMORY(channel).request_turn[pushed % RING] = pushed;
    pushed++
}

/* process_has_room: one look at the count, if the last one seen does not do. What is larger than what
 * was pushed, or less than before, breaks the channel. */
#define HAS_ROOM  (pushed - taken_seen < RING)
#define TAKEN     MEMORY(channel).taken
#define IS_BROKEN (!HAS_ROOM && (TAKEN < taken_seen || TAKEN > pushed))
#if MUTANT == 10 || DEADLINES > 0 && MUTANT != 18
#define CAN_GO(slot) (page[slot] == PENDING)
#else
#define CAN_GO(slot) (page[slot] == PENDING && (channel == 0 || HAS_ROOM || TAKEN != taken_seen))
#endif

inline look_for_room()
{
    if
    :: channel != 0 && IS_BROKEN -> condemn()
    :: channel != 0 && !HAS_ROOM && !IS_BROKEN -> taken_seen = TAKEN
    :: else
    fi
}

inline hand_over(handed)
{
    page[handed] = PROCESSING;
    ticket[handed]++;
    record[handed] = ticket[handed];
    if
    :: state != SERVING && state != AWAITED -> settle(handed, ticket[handed], ONES)
#if DEADLINES > 0 && MUTANT != 10
    :: channel != 0 && !HAS_ROOM -> settle(handed, ticket[handed], ONES)
#endif
    :: else ->
#if MUTANT != 12
       owed = owed + held[handed];
#endif
       held[handed] = true;
       hold_ticket[handed] = ticket[handed];
       hold_word[handed] = words[handed];
       if
       :: channel != 0 -> push(handed)
       :: else
       fi
    fi
}

#if MUTANT == 2
#define IS_EXPECTED(cell) held[MEMORY(channel).answer_slot[cell]]
#elif MUTANT == 1
#define IS_EXPECTED(cell) (held[MEMORY(channel).answer_slot[cell]] && \
     MEMORY(channel).answer_ticket[cell] == hold_ticket[MEMORY(channel).answer_slot[cell]])
#else
#define IS_EXPECTED(cell) (held[MEMORY(channel).answer_slot[cell]] && \
     MEMORY(channel).answer_epoch[cell] == channel && \
     MEMORY(channel).answer_ticket[cell] == hold_ticket[MEMORY(channel).answer_slot[cell]])
#endif

#define IS_ANSWERED  (MEMORY(channel).answer_turn[answers_read % RING] == answers_read)
#define HAS_JUMPED   (MEMORY(channel).answer_turn[answers_read % RING] > answers_read)

/* take_answer and channel_release: the one that channel_look saw. */
inline take_answer()
{
    cell = answers_read % RING;
    answers_read++;
    if
    :: IS_EXPECTED(cell) ->
       slot = MEMORY(channel).answer_slot[cell];
       assert(MEMORY(channel).answer_epoch[cell] == channel);
       held[slot] = false;
       settle(slot, hold_ticket[slot], MEMORY(channel).answer_word[cell]);
#if MUTANT == 7
       MEMORY(channel).answers_read = answers_read
#endif
    :: else ->
       /* An honest process may be late, and answers nothing else. */
       assert(owed > 0 || (has_lied && channel == 1));
       if
       :: owed > 0 -> owed--
       :: else -> condemn()
       fi
    fi;
    if
#if MUTANT != 7
    :: channel != 0 -> MEMORY(channel).answers_read = answers_read
#endif
    :: else
    fi;
    cell = 0; slot = 0
}

/* All that lie there: an atomic step, as the poller's look ends with the first turn not yet come. */
inline take_answers()
{
    do
    :: channel != 0 && IS_ANSWERED -> take_answer()
    :: channel != 0 && HAS_JUMPED -> condemn()
    :: else -> break
    od
}

/* process_miss */
inline miss(late_slot)
{
    take_answers();
    if
    :: held[late_slot] ->
#if MUTANT != 11
       owed = owed + (channel != 0);
#endif
       misses++;
#if MUTANT == 3
       held[late_slot] = false;
       assert(page[late_slot] == PROCESSING); /* a second answer, or into another request */
       record[late_slot] = 0;
       value[late_slot] = ONES;
       page[late_slot] = COMPLETE;
#else
       give_up(late_slot);
#endif
       if
       :: PATIENCE > 0 && misses >= PATIENCE && channel != 0 -> condemn()
       :: else
       fi
    :: else
    fi
}

/* process_attach */
inline attach(incarnation)
{
    channel = incarnation;
    pushed = FIRST; taken_seen = FIRST; answers_read = FIRST; woken_for = FIRST;
    misses = 0; owed = 0;
    state = SERVING;
    registering = 0;
    for (i : 0 .. SLOTS - 1) {
        if
#if MUTANT == 15
        :: held[i] -> skip
#elif MUTANT == 9
        :: held[i] -> assert(IN_FLIGHT(i)); push(i)
#else
        :: held[i] && IN_FLIGHT(i) -> push(i)
        :: held[i] && !IN_FLIGHT(i) -> held[i] = false
#endif
        :: else
        fi
    }
}

#if MUTANT == 4
#define WAS_TAKEN(slot) (hold_number[slot] + 1 < taken_seen)
#elif MUTANT == 5
#define WAS_TAKEN(slot) (hold_number[slot] <= taken_seen)
#else
#define WAS_TAKEN(slot) (hold_number[slot] < taken_seen)
#endif

/* process_detach, sort_holds */
inline detach()
{
#if MUTANT != 14
    take_answers();
#endif
    if
    :: channel != 0 ->
       /* If it lied, it took all. */
       taken_seen = (TAKEN < taken_seen || TAKEN > pushed -> pushed : TAKEN);
       for (i : 0 .. SLOTS - 1) {
           if
#ifdef REISSUE
           :: false
#else
           :: held[i] && WAS_TAKEN(i) ->
              if
              :: IN_FLIGHT(i) ->
                 assert(GOT(i, hold_word[i])); /* nobody took it: the next one might have */
                 assert(!IS_ANSWERED) /* what was published counts */
              :: else
              fi;
              give_up(i)
#endif
#if MUTANT == 8
           :: held[i] && !WAS_TAKEN(i) -> held[i] = false
#endif
           :: else
           fi
       }
       MEMORY(channel).is_over = true;
       channel = 0;
       state = AWAITED
    :: else
    fi
}

/* wake: asked in each round while something is held */
#if MUTANT == 16
#define WANTS_WAKING (woken_for != pushed)
#else
#define WANTS_WAKING (woken_for != pushed && MEMORY(channel).is_asleep)
#endif
#define HOLDS_ANY (held[0] || held[SLOTS - 1])

inline wake()
{
    woken_for = pushed;
    if
    :: MEMORY(channel).is_asleep -> MEMORY(channel).is_woken = true
    :: else
    fi
}

proctype poller()
{
    byte i, slot, cell;
end_idle:
    do
    :: atomic { CAN_GO(0) -> look_for_room(); hand_over(0) }
#if SLOTS > 1
    :: atomic { CAN_GO(1) -> look_for_room(); hand_over(1) }
#endif
    :: atomic { channel != 0 && IS_ANSWERED -> take_answer() }
#ifdef HOSTILE
    :: atomic { channel != 0 && HAS_JUMPED -> condemn() }
#endif
#if DEADLINES > 0
    :: deadlines > 0 && held[0] && IN_FLIGHT(0) -> atomic { deadlines--; miss(0) }
#if SLOTS > 1
    :: deadlines > 0 && held[1] && IN_FLIGHT(1) -> atomic { deadlines--; miss(1) }
#endif
#endif
    :: atomic { channel != 0 && (is_dead[channel] || has_closed[channel]) -> detach() }
    :: atomic { channel == 0 && registering != 0 -> attach(registering) }
#ifdef SLEEPS
    :: atomic { channel != 0 && HOLDS_ANY && WANTS_WAKING -> wake() }
#endif
    od
}

/* ---- the process ------------------------------------------------------------------------- */

/* The next incarnation registers when this one is seen to be over; a hung one does not end. */
inline next_comes()
{
    if
    :: epoch < EPOCHS -> run process(epoch + 1)
    :: else
    fi
}

#if defined(CRASH)
#define MAY_DIE :: atomic { epoch < EPOCHS -> is_dead[epoch] = true; next_comes(); goto end_dead }
#else
#define MAY_DIE
#endif
#if defined(HANG)
#define MAY_HANG :: goto end_hung
#else
#define MAY_HANG
#endif
#define OR_WORSE MAY_DIE MAY_HANG

#define HAS_REQUEST (MEMORY(epoch).request_turn[taken % RING] == taken)

inline act_on(in_slot)
{
    DEED(in_slot, word[in_slot]) = DEED(in_slot, word[in_slot]) + 1;
#if !defined(REISSUE) && !defined(CLOSES)
    assert(DEED(in_slot, word[in_slot]) == 1) /* on_death: fail */
#endif
}

/* Counts as taken before anybody acts on it. */
inline take()
{
    atomic { HAS_REQUEST ->
        in_hand = MEMORY(epoch).request_slot[taken % RING];
        word[in_hand] = MEMORY(epoch).request_word[taken % RING];
        token[in_hand] = MEMORY(epoch).request_ticket[taken % RING];
        taken++
    }
#if MUTANT == 6
    if
    :: true -> act_on(in_hand)
    OR_WORSE
    fi;
#endif
    if
    :: atomic { true -> MEMORY(epoch).taken = taken; GOT(in_hand, word[in_hand]) = true }
    OR_WORSE
    fi;
#if MUTANT != 6
    if
    :: atomic { true -> act_on(in_hand) }
    OR_WORSE
    fi;
#endif
    d_step { has[in_hand] = true; in_hand = 0 }
}

/* One that has room and a request that was taken, in any order. What was given up meanwhile lies in
 * `token` until the slot's next request takes its place: then its answer is never given. */
inline answer(of_slot)
{
    MEMORY(epoch).answer_slot[answered % RING] = of_slot;
    MEMORY(epoch).answer_ticket[answered % RING] = token[of_slot];
    MEMORY(epoch).answer_word[answered % RING] = word[of_slot];
    MEMORY(epoch).answer_epoch[answered % RING] = epoch;
    MEMORY(epoch).answer_turn[answered % RING] = answered;
    answered++;
    has[of_slot] = false; token[of_slot] = 0; word[of_slot] = 0
}
#define MAY_ANSWER(of_slot) \
    (has[of_slot] && answered - MEMORY(epoch).answers_read < RING && !MEMORY(epoch).is_over)

#ifdef HOSTILE
/* Any token, any turn, any epoch. */
inline lie()
{
    has_lied = true;
    if
    :: MEMORY(epoch).answer_turn[answered % RING] = answered + RING
    :: MEMORY(epoch).answer_slot[answered % RING] = 0;
       if
       :: MEMORY(epoch).answer_ticket[answered % RING] = 0
       :: MEMORY(epoch).answer_ticket[answered % RING] = 2
       fi;
       MEMORY(epoch).answer_word[answered % RING] = ONES;
       MEMORY(epoch).answer_epoch[answered % RING] = epoch;
       MEMORY(epoch).answer_turn[answered % RING] = answered;
       answered++
    :: MEMORY(epoch).taken = FIRST
    fi
}
#endif

/* Cut off: it registers anew, as the next incarnation. */
proctype process(byte epoch)
{
    byte taken = FIRST, answered = FIRST, in_hand, token[SLOTS], word[SLOTS];
    bool has[SLOTS];
#ifdef SLEEPS
    bool sees_one;
#endif
    registering == 0;
    registering = epoch;
end_serve:
    do
    :: HAS_REQUEST && !MEMORY(epoch).is_over -> take()
    :: atomic { MAY_ANSWER(0) -> answer(0) }
#if SLOTS > 1
    :: atomic { MAY_ANSWER(1) -> answer(1) }
#endif
    :: atomic { MEMORY(epoch).is_over ->
                if
                :: !has_closed[epoch] -> next_comes()
                :: else
                fi;
                goto end_dead }
#ifdef CLOSES
    :: atomic { !has_closed[epoch] && epoch < EPOCHS && channel == epoch ->
                has_closed[epoch] = true; run process(epoch + 1) }
#endif
#ifdef HOSTILE
    :: atomic { epoch == 1 && channel == 1 && !has_lied -> lie() }
#endif
#ifdef SLEEPS
    :: !HAS_REQUEST && !has[0] && !has[SLOTS - 1] ->
       /* What woke us before, first. Then it says that it sleeps, and looks once more; the processor may
        * do these two in either order. */
#if MUTANT == 17
       MEMORY(epoch).is_asleep = true;
       sees_one = HAS_REQUEST;
       MEMORY(epoch).is_woken = false;
#else
       MEMORY(epoch).is_woken = false;
       if
       :: MEMORY(epoch).is_asleep = true; sees_one = HAS_REQUEST
       :: sees_one = HAS_REQUEST; MEMORY(epoch).is_asleep = true
       fi;
#endif
end_asleep:
       sees_one || MEMORY(epoch).is_woken || MEMORY(epoch).is_over;
       sees_one = false;
       MEMORY(epoch).is_asleep = false
#endif
    OR_WORSE
    od;
end_hung:
    false;
end_dead:
    skip
}

#ifdef CLEAR
proctype clear()
{
    byte slot;
    do
    :: slot < SLOTS ->
       atomic {
           if
           :: record[slot] != 0 -> settle(slot, record[slot], ONES)
           :: else
           fi;
           slot++
       }
    :: else -> break
    od
}
#endif

init {
    atomic {
        run poller();
        run process(1);
        run vcpu(0);
#if SLOTS > 1
        run vcpu(1);
#endif
#ifdef CLEAR
        run clear()
#endif
    }
}

#ifdef LIVENESS
ltl all_end { <> (ended == SLOTS) }
#endif
