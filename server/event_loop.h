/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * event_loop.h - control's wait for sockets, signals and timers, on an io_uring (ring.h), or on
 *          poll(2) where io_uring is not to be had.
 *
 * Flow:    event_loop_create -> event_loop_watch... -> event_loop_run until event_loop_stop.
 * Threads: control only.
 * Memory:  a watch lives until event_loop_unwatch; the descriptor stays the caller's.
 * Errors:  negative errno.
 */
#ifndef SERVER_EVENT_LOOP_H
#define SERVER_EVENT_LOOP_H

#include <stdbool.h>
#include <stdint.h>

struct event_loop;
struct event_watch;

/* -ENOMEM. Without io_uring it is made all the same. */
int event_loop_create(struct event_loop **loop);
/* False: it is on poll(2). */
bool event_loop_has_ring(const struct event_loop *loop);
void event_loop_destroy(struct event_loop *loop);

/*
 * Calls ready(context, events) whenever any of `events` (POLLIN, POLLOUT) or an error or hang-up
 * stands on descriptor, again and again as long as it stands. ready may unwatch itself and others.
 * A descriptor that cannot be polled at all is told of once, as POLLERR.
 */
int event_loop_watch(struct event_loop *loop, int descriptor, uint32_t events,
                     void (*ready)(void *context, uint32_t events), void *context,
                     struct event_watch **watch);

/* Other events from now on. */
void event_watch_change(struct event_watch *watch, uint32_t events);

/* ready is not called any more. The descriptor may be closed right after. */
void event_loop_unwatch(struct event_watch *watch);

/* 0 after event_loop_stop, which ready may call; or a negative errno. */
int event_loop_run(struct event_loop *loop);
void event_loop_stop(struct event_loop *loop);

#endif
