/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * router_reader.h - a thread that looks up in a router, as a poller does, while the test changes it.
 *
 * Flow:    router_reader_start -> a change, now and then router_reader_pass, after which router_reclaim is
 *          right -> router_reader_stop, and what was counted as wrong.
 */
#ifndef TESTS_SUPPORT_ROUTER_READER_H
#define TESTS_SUPPORT_ROUTER_READER_H

#include "pollers/router.h"

#include <pthread.h>
#include <sched.h>

struct router_reader {
    struct router *router;
    void (*look)(struct router_reader *reader); /* some lookups between two quiescent points */
    struct router_hint hint;
    uint64_t random_state;
    uint64_t wrong; /* what look counts; read after router_reader_stop */
    _Atomic uint64_t rounds;
    _Atomic bool is_over;
    pthread_t thread;
};

/* 0..count - 1, of the reader's own. */
static inline uint64_t router_reader_pick(struct router_reader *reader, uint64_t count)
{
    reader->random_state = reader->random_state * 6364136223846793005u + 1442695040888963407u;
    return (reader->random_state >> 33) % count;
}

static inline void *router_reader_main(void *argument)
{
    struct router_reader *reader = argument;
    while (!atomic_load_explicit(&reader->is_over, memory_order_acquire)) {
        reader->look(reader);
        /* Release: pairs with router_reader_pass's acquire; a quiescent point. */
        atomic_store_explicit(&reader->rounds, reader->rounds + 1, memory_order_release);
        sched_yield();
    }
    return NULL;
}

static inline int router_reader_start(struct router_reader *reader, struct router *router,
                                      void (*look)(struct router_reader *reader))
{
    *reader = (struct router_reader){.router = router, .look = look, .random_state = 1};
    return pthread_create(&reader->thread, NULL, router_reader_main, reader);
}

/* Waits until the reader has passed a quiescent point. */
static inline void router_reader_pass(struct router_reader *reader)
{
    uint64_t rounds = atomic_load_explicit(&reader->rounds, memory_order_acquire);
    while (atomic_load_explicit(&reader->rounds, memory_order_acquire) < rounds + 2)
        sched_yield();
}

static inline void router_reader_stop(struct router_reader *reader)
{
    atomic_store_explicit(&reader->is_over, true, memory_order_release);
    pthread_join(reader->thread, NULL);
}

#endif
