/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * notifier_internal.h - what notifier.c (its life, ports and signals: control's side) and
 * notifier_thread.c (the thread that drains the ports and writes) share.
 */
#ifndef POLLERS_NOTIFIER_INTERNAL_H
#define POLLERS_NOTIFIER_INTERNAL_H

#include "pollers/notifier.h"

#include <pthread.h>
#include <semaphore.h>
#include <time.h>

_Static_assert((NOTIFIER_SIGNALS_MAX & (NOTIFIER_SIGNALS_MAX - 1)) == 0, "a power of two");
_Static_assert((NOTIFIER_RING_ENTRIES & (NOTIFIER_RING_ENTRIES - 1)) == 0, "a power of two");

/* A place for a signal. The signal is generation * NOTIFIER_SIGNALS_MAX + index. */
struct place {
    _Atomic uint32_t signal;     /* 0: free */
    uint32_t generation;         /* control: of the last signal here */
    struct notify_target target; /* its descriptor is a duplicate; kind 0: free */
    uint32_t vcpu;
    bool may_block; /* at a write; was so when it was added */
    /* The thread's: */
    bool is_jammed;
    uint64_t count; /* pushed and not written, within a round */
};

struct notifier {
    struct place places[NOTIFIER_SIGNALS_MAX];
    struct notifier_port *ports[NOTIFIER_PORTS_MAX];
    uint32_t port_count;
    uint32_t touched[NOTIFIER_SIGNALS_MAX]; /* the thread's: places with a count */
    uint32_t touched_count;

    uint64_t (*tend)(void *context); /* the thread's; NULL: nothing */
    void *tend_context;

    sem_t wake;                        /* ends a sleep */
    const struct placement *placement; /* NULL: its thread runs anywhere */
    uint32_t cpu;
    pthread_t thread;
    bool has_thread;
    timer_t jam_timer;            /* with the thread; armed while signals are added */
    _Atomic int32_t start_result; /* 1: not known yet */
    _Atomic bool is_stopping;
    _Atomic uint32_t live;
    /* Control posts a signal with release; the thread exchanges it for 0 once it will not touch it
     * any more, or control, to take it back. */
    _Atomic uint32_t removal;
    _Atomic uint64_t writes, signals, overflows, jams;
};

/* The thread; argument: the notifier. It says in start_result how it began, and ends with is_stopping,
 * when all that was pushed has been written. */
void *notifier_thread(void *argument);

#endif
