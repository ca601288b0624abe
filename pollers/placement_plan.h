/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * placement_plan.h - chooses a CPU for each thread, and says why.
 *
 * Flow:    wishes (who wants where, whose vCPUs it serves) + machine -> placement_plan -> seats.
 *
 *          Asked-for CPUs come first: one that cannot be had is refused. The others get the CPU that
 *          breaks the least important rules. For a poller, the most important first: off the vCPUs'
 *          CPUs; a CPU of its own; no SMT sibling of a vCPU; none of another poller; within the
 *          affinity the server was started with, unless isolated; not CPU 0; the
 *          L3 of its vCPUs; isolated; the fastest kind; the node of its vCPUs; then the highest
 *          number. For housekeeping (control, notifier): no poller's CPU; no vCPU's; that affinity; not isolated;
 *          no SMT sibling of a poller, or of a vCPU; a CPU of its own; the node of most pollers; then
 *          the lowest number.
 * Threads: any; a pure function of its arguments.
 * Memory:  the caller's; what it needs meanwhile is freed again.
 * Errors:  refusals stand in the seats, in words.
 */
#ifndef POLLERS_PLACEMENT_PLAN_H
#define POLLERS_PLACEMENT_PLAN_H

#include "pollers/placement_machine.h"

#define PLACEMENT_ANY        UINT32_MAX /* the plan chooses */
#define PLACEMENT_TEXT_BYTES 384u

enum placement_role { PLACEMENT_POLLER, PLACEMENT_CONTROL, PLACEMENT_NOTIFIER };

struct placement_wish {
    const char *name; /* of the thread */
    enum placement_role role;
    uint32_t cpu;              /* asked for, or PLACEMENT_ANY */
    bool gives_way;            /* when idle: two such threads may be asked onto one CPU */
    const uint32_t *vcpu_cpus; /* [vcpu_cpu_count], of the VMs it serves; ones of no use here are
                                  passed over, repetitions too */
    size_t vcpu_cpu_count;
};

struct placement_seat {
    uint32_t cpu; /* PLACEMENT_NONE: refused */
    char why[PLACEMENT_TEXT_BYTES];
    char refusal[PLACEMENT_TEXT_BYTES]; /* "": not refused; otherwise why, and what to ask for */
    char warning[PLACEMENT_TEXT_BYTES]; /* "": nothing that must hurt */
};

/* Seats [count] for wishes [count]. -EINVAL: some are refused, the others stand. -ENOMEM. -ENODEV: no
 * CPU may be used. */
int placement_plan(const struct placement_machine *machine, const struct placement_wish *wishes,
                   size_t count, struct placement_seat *seats);

#endif
