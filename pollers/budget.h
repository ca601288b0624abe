/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * budget.h - what a client or a VM may have of a poller in each period: time and requests.
 *
 * Flow:    budget_is_over before a request, budget_charge after it. A period begins with the first
 *          request after the last one's end; what was not used is not kept. The request that uses up
 *          the budget is finished: a share is exceeded by one request at most (excess_ticks tells by
 *          how much), unless the action is to count.
 *
 *              COUNT         nothing else happens
 *              DEPRIORITISE  its requests wait for the next period: in the page, or in the inbox
 *              QUARANTINE    its requests are answered for at once until the next period
 *
 * Threads: the poller where it is charged: the sweeping one for a VM, for clients that live there and
 *          for processes; its own for a client on another poller. Figures: read by anybody.
 * Memory:  whose budget it is.
 * Errors:  none. No division: a period is over when its last tick is.
 */
#ifndef POLLERS_BUDGET_H
#define POLLERS_BUDGET_H

#include "pollers/counter.h"

#include <stdbool.h>

enum budget_action { BUDGET_COUNT, BUDGET_DEPRIORITISE, BUDGET_QUARANTINE };

struct budget_limits {
    uint64_t ticks;    /* UINT64_MAX: any */
    uint64_t requests; /* UINT64_MAX: any */
    uint64_t period_ticks;
    enum budget_action action;
};

struct budget {
    struct budget_limits limits;
    uint64_t end_ticks; /* of this period */
    uint64_t used_ticks, used_requests;
    bool was_over;   /* in this period, and counted */
    bool is_holding; /* in this period, and counted */
    /* Relaxed, all: figures. */
    _Atomic uint64_t overruns;                  /* periods in which it was used up */
    _Atomic uint64_t held_back;                 /* requests that had to wait for the next period */
    _Atomic uint64_t answered_for;              /* requests that its client did not see */
    _Atomic uint64_t most_ticks, most_requests; /* of one period */
    _Atomic uint64_t excess_ticks;              /* the most that one period took beyond `ticks` */
};

static inline void budget_raise(_Atomic uint64_t *most, uint64_t value)
{
    if (value > counter_read(most))
        atomic_store_explicit(most, value, memory_order_relaxed);
}

/* True if nothing is left for a request that comes now. Begins the next period, if it is time: so it is
 * asked whatever the action is. */
static inline bool budget_is_over(struct budget *budget, uint64_t now)
{
    if ((int64_t)(now - budget->end_ticks) >= 0) {
        budget->end_ticks = now + budget->limits.period_ticks;
        budget->used_ticks = budget->used_requests = 0;
        budget->was_over = budget->is_holding = false;
    }
    return budget->used_requests >= budget->limits.requests ||
           budget->used_ticks >= budget->limits.ticks;
}

static inline void budget_charge(struct budget *budget, uint64_t ticks, uint32_t requests)
{
    const struct budget_limits *limits = &budget->limits;
    budget->used_ticks += ticks;
    budget->used_requests += requests;
    budget_raise(&budget->most_ticks, budget->used_ticks);
    budget_raise(&budget->most_requests, budget->used_requests);
    if (budget->used_ticks < limits->ticks && budget->used_requests < limits->requests)
        return;
    if (budget->used_ticks > limits->ticks)
        budget_raise(&budget->excess_ticks, budget->used_ticks - limits->ticks);
    if (!budget->was_over)
        counter_add(&budget->overruns, 1);
    budget->was_over = true;
}

#endif
