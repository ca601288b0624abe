/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wait.pml - a poller that waits for upcalls loses no request and no notification, in every interleaving.
 *
 * Flow:    vcpu: PENDING, raises its upcall, sleeps until it is notified. sweeper: sweeps its page, takes PENDING on, gives every other request to `client`; tells what is due; with
 *          nothing to do it may wait at any moment (the bound it spins for is no part of this), as
 *          pollers/poller_wait.c does. kernel: polls an upcall that was armed, then reads it: two
 *          answers. control: posts a command and raises the wake.
 * Threads: one process each; the kernel one an upcall.
 * Memory:  one step is one access to a shared word. Interleavings only.
 * Errors:  an end state in which somebody sleeps who should not, or more or fewer notifications than
 *          requests.
 * Source:  pollers/poller_wait.h; Holzmann, "The SPIN Model Checker", 2003.
 */
#define PAGES    1
#define REQUESTS 3
#define UPCALLS  (PAGES + 1) /* the last one is the wake's */

#ifndef MUTANT
#define MUTANT 0
#endif

#define FREE     0
#define PENDING  1
#define COMPLETE 2
#define TAKEN    3

byte slot[PAGES];
byte raised[UPCALLS]; /* an upcall's count */
bool armed[UPCALLS];  /* the kernel has it */
byte answers[UPCALLS]; /* of the kernel's, not heard yet */
byte owed[UPCALLS];    /* sweeper's: answers it expects */
bool in_flight[PAGES], due[PAGES];
byte told[PAGES];      /* notifications that were not taken */
byte asked[PAGES];
bool command;
bool worked;

inline tell(p)
{
    atomic {
        told[p]++;
        assert(told[p] == 1) /* never twice */
    }
}

inline complete(p)
{
    slot[p] = COMPLETE
}

active [PAGES] proctype vcpu()
{
    byte p = _pid;
    do
    :: asked[p] < REQUESTS ->
        asked[p]++;
        if
        :: MUTANT == 1 -> raised[p]++; slot[p] = PENDING
        :: else -> slot[p] = PENDING; raised[p]++
        fi;
        told[p] > 0;
        told[p]--;
        assert(slot[p] == COMPLETE);
        slot[p] = FREE
    :: else -> break
    od
}

active proctype client()
{
    byte p;
end:
    do
    :: in_flight[p] && slot[p] == TAKEN ->
        complete(p);
        if
        :: MUTANT == 2 -> in_flight[p] = false; due[p] = true
        :: else -> due[p] = true; in_flight[p] = false
        fi
    od
}

active proctype control()
{
    command = true;
    if
    :: MUTANT == 3 -> skip
    :: else -> raised[PAGES]++
    fi;
    !command
}

active [UPCALLS] proctype kernel()
{
    byte u = _pid - PAGES - 2;
end:
    do
    :: armed[u] && raised[u] > 0 ->
        answers[u]++; /* it is readable */
        d_step { raised[u] = 0; answers[u]++; armed[u] = false }
    od
}

#define HEAR(u)                                                                                    \
    if                                                                                             \
    :: answers[u] > 0 -> heard = true; owed[u] = owed[u] - answers[u]; answers[u] = 0              \
    :: else -> skip                                                                                \
    fi
#define ARM(u)                                                                                     \
    if                                                                                             \
    :: owed[u] == 0 -> armed[u] = true; owed[u] = 2                                                \
    :: else -> skip                                                                                \
    fi

/* What the kernel answered until now: one look at its tail. */
inline hear()
{
    d_step { HEAR(0); HEAR(1) }
}

inline sweep_page(p)
{
    if
    :: slot[p] == PENDING && !in_flight[p] ->
        worked = true;
        if
        :: asked[p] % 2 == 0 -> in_flight[p] = true; slot[p] = TAKEN
        :: else -> complete(p); tell(p)
        fi
    :: else -> skip
    fi
}

inline tell_due(p)
{
    if
    :: due[p] -> due[p] = false; tell(p); worked = true
    :: else -> skip
    fi
}

active proctype sweeper()
{
    bool heard;
    do
    :: d_step { worked = false; heard = false };
        sweep_page(0);
        tell_due(0);
        if
        :: command -> command = false; worked = true
        :: else -> skip
        fi;
        if
        :: worked -> skip
        :: !worked -> skip /* not long enough without work yet */
        :: !worked -> /* waits */
            if
            :: MUTANT == 4 -> skip
            :: else ->
                if
                :: in_flight[0] -> goto again
                :: else -> skip
                fi;
                if
                :: due[0] -> goto again
                :: else -> skip
                fi
            fi;
            hear();
            if
            :: heard && MUTANT != 5 -> goto again /* another sweep first */
            :: else -> skip
            fi;
            d_step { ARM(0); ARM(1) }
end:        (answers[0] + answers[1] > 0);
            hear()
        fi;
again:  skip
    od
}
