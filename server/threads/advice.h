/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * advice.h - what will hurt latency on this machine, each in one line with its remedy.
 *
 * Flow:    facts of the machine and of the pollers' CPUs (machine_facts.h) -> advice_give -> lines.
 *          Nothing but its arguments is looked at.
 * Threads: any.
 * Memory:  none.
 * Errors:  none; nothing here stops the server.
 *
 * Pollers and vCPUs in each other's way are not told here but with the plan (thread_plan.h).
 * Of pollers that yield or sleep little is said: they are for CPUs that are shared.
 */
#ifndef SERVER_THREADS_ADVICE_H
#define SERVER_THREADS_ADVICE_H

#include "server/threads/machine_facts.h"

#include <stddef.h>

#define ADVICE_IDLE_US_MAX 10u /* exit latency of an idle state that nobody needs to hear of */

struct advice_poller {
    const char *name;
    uint32_t cpu;
    bool is_busy; /* spins or pauses: the CPU is meant to be its own */
    struct machine_cpu_facts facts;
};

struct advice_case {
    const struct machine_facts *machine;
    const struct advice_poller *pollers; /* [poller_count] */
    size_t poller_count;
    bool locks_memory;      /* as configured */
    bool wants_cpu_latency; /* as configured */
};

/* line lives during the call. Not a warning: worth knowing, and usual on a machine that is not set
 * up for this. */
typedef void advice_tell(void *context, bool is_warning, const char *line);

void advice_give(const struct advice_case *advised, advice_tell *tell, void *context);

#endif
