/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers/notifier_internal.h"

#include "pollers/counter.h"
#include "pollers/memory.h"
#include "pollers/ticks.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define START_POLL_NS     20000l
#define REMOVE_TIMEOUT_NS 1000000000ull
#define GENERATION_COUNT  (UINT32_MAX / NOTIFIER_SIGNALS_MAX + 1u)

static void place_clear(struct place *place)
{
    if (place->target.kind == NOTIFY_EVENTFD || place->target.kind == NOTIFY_CONTROL)
        close(place->target.descriptor);
    place->target = (struct notify_target){.descriptor = -1};
}

/* ---- life -------------------------------------------------------------------------------- */

int notifier_create(struct notifier **notifier)
{
    struct notifier *created = calloc(1, sizeof(*created));
    if (!created)
        return -ENOMEM;
    if (sem_init(&created->wake, 0, 0) < 0) {
        int result = -errno;
        free(created);
        return result;
    }
    *notifier = created;
    return 0;
}

int notifier_add_port(struct notifier *notifier, int node, struct notifier_port **port)
{
    if (notifier->port_count == NOTIFIER_PORTS_MAX)
        return -ENOSPC;
    *port = memory_allocate(sizeof(**port), node);
    if (!*port)
        return -ENOMEM;
    notifier->ports[notifier->port_count++] = *port;
    return 0;
}

/* The periodic signal that ends a write which blocks. */
static void set_jam_timer(struct notifier *notifier, bool is_on)
{
    struct itimerspec period = {0};
    if (is_on)
        period.it_interval.tv_nsec = period.it_value.tv_nsec = NOTIFIER_JAM_NS;
    if (notifier->has_thread)
        timer_settime(notifier->jam_timer, 0, &period, NULL);
}

void notifier_place(struct notifier *notifier, const struct placement *placement, uint32_t cpu)
{
    notifier->placement = placement;
    notifier->cpu = cpu;
}

int notifier_start(struct notifier *notifier)
{
    ticks_per_second(); /* calibrates before anything is timed */
    atomic_store_explicit(&notifier->start_result, 1, memory_order_relaxed);
    atomic_store_explicit(&notifier->is_stopping, false, memory_order_relaxed);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, MEMORY_STACK_BYTES);
    int result = -pthread_create(&notifier->thread, &attributes, notifier_thread, notifier);
    pthread_attr_destroy(&attributes);
    if (result < 0)
        return result;
    struct timespec pause = {.tv_nsec = START_POLL_NS};
    while ((result = atomic_load_explicit(&notifier->start_result, memory_order_acquire)) > 0)
        nanosleep(&pause, NULL);
    if (result < 0) {
        pthread_join(notifier->thread, NULL);
        return result;
    }
    notifier->has_thread = true;
    pthread_setname_np(notifier->thread, "notifier");
    set_jam_timer(notifier, atomic_load_explicit(&notifier->live, memory_order_relaxed) > 0);
    return 0;
}

void notifier_stop(struct notifier *notifier)
{
    if (!notifier->has_thread)
        return;
    atomic_store_explicit(&notifier->is_stopping, true, memory_order_release);
    sem_post(&notifier->wake);
    pthread_join(notifier->thread, NULL);
    timer_delete(notifier->jam_timer);
    notifier->has_thread = false;
}

void notifier_destroy(struct notifier *notifier)
{
    if (!notifier)
        return;
    notifier_stop(notifier);
    for (uint32_t i = 0; i < NOTIFIER_SIGNALS_MAX; i++)
        place_clear(&notifier->places[i]);
    for (uint32_t i = 0; i < notifier->port_count; i++)
        memory_free(notifier->ports[i], sizeof(*notifier->ports[i]));
    sem_destroy(&notifier->wake);
    free(notifier);
}

/* ---- signals ----------------------------------------------------------------------------- */

int notifier_add_target(struct notifier *notifier, const struct notify_target *target,
                        uint32_t vcpu, uint32_t *signal)
{
    uint32_t index = 0;
    while (index < NOTIFIER_SIGNALS_MAX && notifier->places[index].target.kind)
        index++;
    if (index == NOTIFIER_SIGNALS_MAX)
        return -ENOSPC;
    struct place *place = &notifier->places[index];
    bool has_descriptor = target->kind == NOTIFY_EVENTFD || target->kind == NOTIFY_CONTROL;
    if (!has_descriptor && target->kind != NOTIFY_CALL)
        return -EINVAL;
    int duplicate = has_descriptor ? fcntl(target->descriptor, F_DUPFD_CLOEXEC, 0) : -1;
    if (has_descriptor && duplicate < 0)
        return -errno;
    place->target = *target;
    place->target.descriptor = duplicate;
    place->vcpu = vcpu;
    place->may_block =
        target->kind == NOTIFY_EVENTFD && (fcntl(duplicate, F_GETFL) & O_NONBLOCK) == 0;
    place->is_jammed = false;
    place->generation = place->generation % (GENERATION_COUNT - 1) + 1; /* 1.. */
    *signal = place->generation * NOTIFIER_SIGNALS_MAX + index;
    /* Release: pairs with the drains' acquire. */
    atomic_store_explicit(&place->signal, *signal, memory_order_release);
    if (atomic_fetch_add_explicit(&notifier->live, 1, memory_order_relaxed) == 0) {
        set_jam_timer(notifier, true);
        sem_post(&notifier->wake);
    }
    return 0;
}

int notifier_add(struct notifier *notifier, int descriptor, uint32_t *signal)
{
    const struct notify_target target = {.kind = NOTIFY_EVENTFD, .descriptor = descriptor};
    return notifier_add_target(notifier, &target, 0, signal);
}

void notifier_tend_with(struct notifier *notifier, uint64_t (*tend)(void *context), void *context)
{
    notifier->tend = tend;
    notifier->tend_context = context;
}

void notifier_wake(struct notifier *notifier)
{
    sem_post(&notifier->wake);
}

/* Waits until the thread has taken the posted removal on. */
static int wait_for_removal(struct notifier *notifier)
{
    struct timespec pause = {.tv_nsec = START_POLL_NS};
    uint64_t deadline = ticks_now() + ticks_from_ns(REMOVE_TIMEOUT_NS);
    /* Acquire: pairs with notifier_round's release. */
    while (atomic_load_explicit(&notifier->removal, memory_order_acquire)) {
        if (ticks_now() > deadline)
            return atomic_exchange_explicit(&notifier->removal, 0, memory_order_acquire)
                       ? -ETIMEDOUT
                       : 0;
        nanosleep(&pause, NULL);
    }
    return 0;
}

int notifier_remove(struct notifier *notifier, uint32_t signal)
{
    struct place *place = &notifier->places[signal % NOTIFIER_SIGNALS_MAX];
    if (signal == 0 || atomic_load_explicit(&place->signal, memory_order_relaxed) != signal)
        return -ENOENT;
    int result = 0;
    /* Release: whatever happened before, pushes among it, is seen by the round that follows. */
    atomic_store_explicit(&notifier->removal, signal, memory_order_release);
    if (notifier->has_thread) {
        sem_post(&notifier->wake);
        result = wait_for_removal(notifier);
    } else {
        notifier_round(notifier);
    }
    if (result < 0)
        return result;
    /* Relaxed: no entry in any ring leads here any more. */
    atomic_store_explicit(&place->signal, 0, memory_order_relaxed);
    place_clear(place);
    if (atomic_fetch_sub_explicit(&notifier->live, 1, memory_order_relaxed) == 1)
        set_jam_timer(notifier, false);
    return 0;
}

struct notifier_figures notifier_figures(const struct notifier *notifier)
{
    return (struct notifier_figures){
        .writes = counter_read(&notifier->writes),
        .signals = counter_read(&notifier->signals),
        .overflows = counter_read(&notifier->overflows),
        .jams = counter_read(&notifier->jams),
        .live = atomic_load_explicit(&notifier->live, memory_order_relaxed),
    };
}
