/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * thread_plan.h - what the configuration asks of placement, for every thread of the server.
 *
 * Flow:    config + machine -> thread_plan_check (reports) -> thread_plan_create -> seats of the
 *          pollers, of control and of the notifier -> thread_plan_destroy.
 * Threads: control.
 * Memory:  the plan owns its wishes and seats; names are config's and need to live as long.
 * Errors:  negative errno.
 */
#ifndef SERVER_THREADS_THREAD_PLAN_H
#define SERVER_THREADS_THREAD_PLAN_H

#include "config/config.h"
#include "pollers/placement_plan.h"

struct thread_plan {
    struct placement_wish *wishes; /* [count]: pollers as in config, control, the notifier */
    struct placement_seat *seats;  /* [count] */
    size_t count;
    const struct placement_seat *control; /* among seats */
    const struct placement_seat *notifier;
    uint32_t *vcpu_cpus; /* what wishes point to */
};

/* -EINVAL: some CPU is refused; thread_plan_check says which. -ENOMEM. */
int thread_plan_create(const struct config *config, const struct placement_machine *machine,
                       struct thread_plan **plan);
void thread_plan_destroy(struct thread_plan *plan);

/* Reports (config_report) each CPU of config that does not exist or is not to be had, and why. config
 * may have problems already. */
void thread_plan_check(struct config *config, const struct placement_machine *machine);

/* Where each thread goes and why, and what will hurt, as lines of the log. */
void thread_plan_log(const struct thread_plan *plan);

#endif
