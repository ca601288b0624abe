/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/partner.h"

#include "pollers/placement.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct partner {
    uint32_t cpu;
    void *context;                      /* of function; written before it */
    _Atomic(void (*)(void *)) function; /* NULL: idle */
    bool is_quitting;                   /* the partner's own */
    sem_t wake; /* idle, the thread sleeps: its CPU is for whoever else is measured */
    pthread_t thread;
};

int bench_bind_self(uint32_t cpu)
{
    struct placement *placement;
    int result = placement_open(&placement);
    if (result == 0) {
        result = placement_bind_self(placement, cpu);
        placement_close(placement);
    }
    if (result < 0)
        fprintf(stderr,
                "ioreq-bench: cannot run on CPU %u: %s; expected one that is online and allowed\n",
                cpu, strerror(-result));
    return result;
}

static void quit(void *context)
{
    ((struct partner *)context)->is_quitting = true;
}

static void *partner_main(void *argument)
{
    struct partner *partner = argument;
    bench_bind_self(partner->cpu); /* elsewhere the figures are worse, and the line says why */
    while (!partner->is_quitting) {
        /* Acquire: pairs with partner_run. */
        void (*function)(void *) = atomic_load_explicit(&partner->function, memory_order_acquire);
        if (!function) {
            sem_wait(&partner->wake);
            continue;
        }
        function(partner->context);
        /* Release: pairs with partner_wait. */
        atomic_store_explicit(&partner->function, NULL, memory_order_release);
    }
    return NULL;
}

int partner_create(uint32_t cpu, struct partner **partner)
{
    struct partner *created = calloc(1, sizeof(*created));
    if (!created)
        return -ENOMEM;
    created->cpu = cpu;
    atomic_init(&created->function, NULL);
    sem_init(&created->wake, 0, 0);
    int error = pthread_create(&created->thread, NULL, partner_main, created);
    if (error != 0) {
        free(created);
        return -error;
    }
    *partner = created;
    return 0;
}

void partner_destroy(struct partner *partner)
{
    if (!partner)
        return;
    partner_run(partner, quit, partner);
    pthread_join(partner->thread, NULL);
    free(partner);
}

void partner_run(struct partner *partner, void (*function)(void *context), void *context)
{
    partner->context = context;
    atomic_store_explicit(&partner->function, function, memory_order_release);
    sem_post(&partner->wake);
}

void partner_wait(struct partner *partner)
{
    while (atomic_load_explicit(&partner->function, memory_order_acquire))
        sched_yield();
}
