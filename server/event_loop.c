/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/event_loop.h"

#include "pollers/ring.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>

#define QUEUE_ENTRIES   256
#define SUBMIT_ATTEMPTS 16      /* for a place in the queue, before it is tried a turn later */
#define RETRY_NS        1000000 /* until that turn, if nothing else happens */

struct event_loop {
    struct ring *ring;     /* NULL: poll(2) instead */
    struct pollfd *polled; /* then: [polled_space], what is polled in this turn */
    size_t polled_space;
    struct event_watch *watches; /* all that exist, for destroy */
    bool has_deferred;           /* some watch could not be armed or cancelled: next turn */
    bool is_stopping;
};

/* One poll request at a time is with the kernel; it is asked again after each answer, which makes
 * the watch level-triggered. */
struct event_watch {
    struct event_loop *loop;
    void (*ready)(void *context, uint32_t events);
    void *context;
    struct event_watch *next;
    struct event_watch **link;
    int descriptor;
    uint32_t events;
    bool is_armed;      /* the kernel owes an answer that names this watch */
    bool is_delivering; /* inside ready() */
    bool is_failed;     /* its descriptor cannot be polled: told once, never armed again */
    bool is_dead;
    bool is_arm_due; /* deferred */
    bool is_cancel_due;
};

int event_loop_create(struct event_loop **loop)
{
    struct event_loop *created = calloc(1, sizeof(*created));
    if (!created)
        return -ENOMEM;
    const struct ring_options options = {.entries = QUEUE_ENTRIES};
    if (ring_create(&options, &created->ring) < 0)
        created->ring = NULL;
    *loop = created;
    return 0;
}

bool event_loop_has_ring(const struct event_loop *loop)
{
    return loop->ring != NULL;
}

static void watch_free(struct event_watch *watch)
{
    *watch->link = watch->next;
    if (watch->next)
        watch->next->link = watch->link;
    free(watch);
}

void event_loop_destroy(struct event_loop *loop)
{
    if (!loop)
        return;
    ring_destroy(loop->ring);
    free(loop->polled);
    while (loop->watches)
        watch_free(loop->watches);
    free(loop);
}

/* A queue that is full is given to the kernel. False: it takes nothing now. */
static bool watch_try_arm(struct event_watch *watch)
{
    struct ring *ring = watch->loop->ring;
    if (!ring)
        return true; /* every turn asks for all */
    watch->is_armed = ring_push_poll(ring, watch->descriptor, watch->events, watch);
    for (int i = 0; !watch->is_armed && i < SUBMIT_ATTEMPTS; i++) {
        ring_submit(ring);
        watch->is_armed = ring_push_poll(ring, watch->descriptor, watch->events, watch);
    }
    return watch->is_armed;
}

static void watch_arm(struct event_watch *watch)
{
    watch->is_arm_due = !watch_try_arm(watch);
    watch->loop->has_deferred |= watch->is_arm_due;
}

int event_loop_watch(struct event_loop *loop, int descriptor, uint32_t events,
                     void (*ready)(void *context, uint32_t events), void *context,
                     struct event_watch **watch)
{
    struct event_watch *created = calloc(1, sizeof(*created));
    if (!created)
        return -ENOMEM;
    *created = (struct event_watch){
        .loop = loop,
        .ready = ready,
        .context = context,
        .next = loop->watches,
        .link = &loop->watches,
        .descriptor = descriptor,
        .events = events,
    };
    if (loop->watches)
        loop->watches->link = &created->next;
    loop->watches = created;
    if (!watch_try_arm(created)) {
        watch_free(created);
        return -EBUSY;
    }
    *watch = created;
    return 0;
}

/* Takes back the poll request; its answer, -ECANCELED, arms the watch anew or frees it. */
static void watch_cancel(struct event_watch *watch)
{
    struct ring *ring = watch->loop->ring;
    if (!ring)
        return;
    bool is_pushed = ring_push_poll_remove(ring, watch);
    for (int i = 0; !is_pushed && i < SUBMIT_ATTEMPTS; i++) {
        ring_submit(ring);
        is_pushed = ring_push_poll_remove(ring, watch);
    }
    watch->is_cancel_due = !is_pushed;
    watch->loop->has_deferred |= watch->is_cancel_due;
    if (is_pushed)
        ring_submit(ring);
}

void event_watch_change(struct event_watch *watch, uint32_t events)
{
    if (watch->events == events)
        return;
    watch->events = events;
    if (watch->is_armed)
        watch_cancel(watch);
}

void event_loop_unwatch(struct event_watch *watch)
{
    watch->is_dead = true;
    if (watch->is_armed)
        watch_cancel(watch);
    else if (!watch->is_delivering) /* else deliver() frees it */
        watch_free(watch);
}

static void deliver(struct event_watch *watch, int result)
{
    watch->is_armed = false;
    watch->is_cancel_due = false;
    watch->is_failed = result < 0 && result != -ECANCELED;
    /* The kernel may have answered before it heard of a change. */
    uint32_t events = watch->is_failed ? POLLERR : result > 0 ? (uint32_t)result : 0;
    events &= watch->events | POLLERR | POLLHUP | POLLNVAL;
    if (!watch->is_dead && events) {
        watch->is_delivering = true;
        watch->ready(watch->context, events);
        watch->is_delivering = false;
    }
    if (watch->is_dead)
        watch_free(watch);
    else if (!watch->is_failed)
        watch_arm(watch);
}

static void retry_deferred(struct event_loop *loop)
{
    loop->has_deferred = false;
    for (struct event_watch *watch = loop->watches; watch; watch = watch->next) {
        if (watch->is_arm_due)
            watch_arm(watch);
        if (watch->is_cancel_due)
            watch_cancel(watch);
    }
}

/* ---- on poll(2) -------------------------------------------------------------------------- */

/* All that can be polled, in the order of the watches. -ENOMEM. */
static int gather_polled(struct event_loop *loop, size_t *count)
{
    *count = 0;
    for (struct event_watch *watch = loop->watches; watch; watch = watch->next) {
        if (*count == loop->polled_space) {
            size_t space = 2 * loop->polled_space + 16;
            struct pollfd *grown = realloc(loop->polled, space * sizeof(*grown));
            if (!grown)
                return -ENOMEM;
            loop->polled = grown;
            loop->polled_space = space;
        }
        loop->polled[(*count)++] = (struct pollfd){.fd = watch->is_failed ? -1 : watch->descriptor,
                                                   .events = (short)watch->events};
        watch->is_armed = true; /* so that nobody frees it until it was delivered */
    }
    return 0;
}

static int poll_turn(struct event_loop *loop)
{
    size_t count;
    if (gather_polled(loop, &count) < 0)
        return -ENOMEM;
    if (poll(loop->polled, count, -1) < 0)
        return errno == EINTR ? 0 : -errno;
    /* What ready() adds goes before the first; what it ends stays until its turn. */
    struct event_watch *watch = loop->watches, *next;
    for (size_t i = 0; i < count; i++, watch = next) {
        next = watch->next;
        short events = loop->polled[i].revents;
        if (watch->is_failed) { /* was told of */
            watch->is_armed = false;
            if (watch->is_dead)
                watch_free(watch);
            continue;
        }
        deliver(watch, events & POLLNVAL ? -EBADF : loop->is_stopping ? 0 : events);
    }
    return 0;
}

int event_loop_run(struct event_loop *loop)
{
    loop->is_stopping = false;
    while (!loop->ring && !loop->is_stopping) {
        int result = poll_turn(loop);
        if (result < 0)
            return result;
    }
    while (!loop->is_stopping) {
        if (loop->has_deferred)
            retry_deferred(loop);
        int result = ring_wait(loop->ring, loop->has_deferred ? RETRY_NS : RING_FOREVER);
        if (result < 0 && result != -EINTR && result != -EBUSY && result != -EAGAIN)
            return result;
        struct ring_answer answer;
        while (!loop->is_stopping && ring_pop(loop->ring, &answer))
            if (answer.tag)
                deliver(answer.tag, answer.result);
    }
    return 0;
}

void event_loop_stop(struct event_loop *loop)
{
    loop->is_stopping = true;
}
