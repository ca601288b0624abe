/* SPDX-License-Identifier: BSD-3-Clause */
/* Stands in for pollers/poller_wait.h: no poller of a suite has one. */
#ifndef RELACY_POLLER_WAIT_H
#define RELACY_POLLER_WAIT_H

struct poller;
struct poller_wait;

static inline void poller_wait_wake(struct poller_wait *)
{
}

static inline void poller_wait_if_idle(struct poller *, bool)
{
}

#endif
