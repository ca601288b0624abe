/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * placement_machine.h - the CPUs of a machine as plain facts: who shares a core, a cache, a node with
 * whom, and which may be used. Without hwloc, so that what is decided on them is a pure function.
 *
 * Flow:    placement_machine_create -> cpus[] filled in -> placement_machine_finish -> queries ->
 *          placement_machine_destroy. placement.h does that for this machine and for invented ones.
 * Threads: any, once finished.
 * Memory:  one owner; one allocation for the CPUs, one for their numbers.
 * Errors:  negative errno.
 */
#ifndef POLLERS_PLACEMENT_MACHINE_H
#define POLLERS_PLACEMENT_MACHINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PLACEMENT_CPUS_MAX   8192u      /* the most a kernel is built for */
#define PLACEMENT_NONE       UINT32_MAX /* no such CPU, core, package ... */
#define PLACEMENT_LIST_BYTES 256u       /* of a list of CPUs in a message */

/* What CPUs that are near each other share: the best thing the machine tells of. */
enum placement_near {
    PLACEMENT_NEAR_L3 = 1,
    PLACEMENT_NEAR_PACKAGE,
    PLACEMENT_NEAR_NODE,
    PLACEMENT_NEAR_MACHINE,
};

/* One CPU: a hardware thread. Cores, packages and what is near count from 0 in hwloc's order. */
struct placement_cpu {
    uint32_t cpu; /* the kernel's number */
    uint32_t core;
    uint32_t package; /* or PLACEMENT_NONE */
    uint32_t node;    /* the kernel's number */
    enum placement_near near_kind;
    uint32_t near;     /* counts the L3s, packages ... separately */
    uint32_t kind;     /* 0 is the slowest */
    uint32_t l3_KiB;   /* 0: unknown */
    bool is_online;    /* if not, nothing else is known of it */
    bool is_usable;    /* online, and the cgroup allows it */
    bool is_isolated;  /* usable, and the kernel keeps other threads away from it */
    bool is_inherited; /* in the affinity that this process was started with (taskset, systemd) */
};

struct placement_machine {
    struct placement_cpu *cpus; /* [cpu_count], neighbours together; those offline at the end */
    size_t cpu_count;
    uint32_t core_count;
    uint32_t kind_count; /* 1: all the same, or not known */
    bool is_this_system; /* threads can be bound to its CPUs */
    /* Set by placement_machine_finish: */
    uint32_t *index_of; /* [number_count]: by the kernel's number; PLACEMENT_NONE: there is none */
    uint32_t number_count;
    size_t usable_count;
    size_t isolated_count;
};

/* cpu_count zeroed CPUs. -ENOMEM; -E2BIG: more than PLACEMENT_CPUS_MAX. */
int placement_machine_create(size_t cpu_count, struct placement_machine **machine);
/* -ENOMEM. -EINVAL: a number stands twice. */
int placement_machine_finish(struct placement_machine *machine);
void placement_machine_destroy(struct placement_machine *machine);

/* NULL: there is none of that number. */
const struct placement_cpu *placement_find(const struct placement_machine *machine, uint32_t cpu);

bool placement_is_near(const struct placement_cpu *one, const struct placement_cpu *other);

/* "L3", "package", "NUMA node" or "machine". */
const char *placement_near_name(enum placement_near near_kind);

enum placement_set { PLACEMENT_USABLE, PLACEMENT_ISOLATED, PLACEMENT_OFFLINE, PLACEMENT_FORBIDDEN };
bool placement_is_in(const struct placement_cpu *cpu, enum placement_set set);

/* Those CPUs as "0-3,8", cut off with "..." where text [text_bytes] ends; "none". */
void placement_list(const struct placement_machine *machine, enum placement_set set, char *text,
                    size_t text_bytes);

/* True if cpu exists and may be used; otherwise reason [reason_bytes] says why not and which can. */
bool placement_check(const struct placement_machine *machine, uint32_t cpu, char *reason,
                     size_t reason_bytes);

#endif
