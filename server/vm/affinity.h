/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * affinity.h - on which CPUs the vCPU threads of a run go: those of --cpus, or else all that the
 * process may use but the poller's.
 *
 * Flow:    affinity_init once the page is there -> affinity_apply first in each vCPU thread ->
 *          affinity_print, affinity_print_hint in the report.
 * Threads: fixed before the first thread.
 * Memory:  plain data.
 * Errors:  apply: a negative errno with a line.
 *
 * A vCPU on the poller's CPU gets its answer when the scheduler next lets the poller run:
 * milliseconds instead of a microsecond.
 */
#ifndef SERVER_VM_AFFINITY_H
#define SERVER_VM_AFFINITY_H

#include "server/vm/options.h"
#include "server/vm/traffic.h"

#include <sched.h>

struct affinity {
    struct cpu_list pinned; /* a CPU a vCPU; count 0: cpus is for all */
    cpu_set_t cpus;
    uint32_t poller_cpu; /* or REQUESTER_CPU_UNKNOWN */
};

/* cpus: of --cpus, at least vcpu_count or none. */
void affinity_init(struct affinity *affinity, const struct cpu_list *cpus, uint32_t vcpu_count,
                   uint32_t poller_cpu);
/* The same with the CPUs that the process may use. */
void affinity_choose(struct affinity *affinity, const cpu_set_t *allowed,
                     const struct cpu_list *cpus, uint32_t vcpu_count, uint32_t poller_cpu);

/* Whether a vCPU may run on the poller's CPU; false if nobody knows that. */
bool affinity_meets_poller(const struct affinity *affinity);
/* One line on stderr if --cpus named the poller's CPU. */
void affinity_warn(const struct affinity *affinity, const char *command);

/* For the calling thread, which is vcpu's. 0, or a negative errno with a line in error. */
int affinity_apply(const struct affinity *affinity, uint32_t vcpu, char *error, size_t error_bytes);

/* "0,2-3", or "1,1,0" where each vCPU has its own. */
void affinity_describe(const struct affinity *affinity, char *text, size_t text_bytes);
/* A line of the report. */
void affinity_print(const struct affinity *affinity, FILE *out);
/* Two members of a JSON object, "cpus" and "poller_cpu", and a comma behind them. */
void affinity_print_json(const struct affinity *affinity, FILE *out);
/* A line of the report where the round trips are what a shared CPU makes of them. */
void affinity_print_hint(const struct affinity *affinity, const struct traffic *traffic, FILE *out);

#endif
