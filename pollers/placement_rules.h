/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * placement_rules.h - what it costs to put a thread on a CPU, rule by rule, and the CPU where that is
 * least. Inside pollers/placement_*.c only.
 *
 * Flow:    scene of who is where -> placement_choose, or each rule's cost for the reasons.
 * Threads: any; pure functions.
 * Memory:  the scene is placement_plan.c's.
 * Errors:  none.
 */
#ifndef POLLERS_PLACEMENT_RULES_H
#define POLLERS_PLACEMENT_RULES_H

#include "pollers/placement_plan.h"

/* Who is on a CPU, or on a core. */
struct occupancy {
    uint32_t vcpus;
    uint32_t pollers;
    uint32_t housekeepers;
};

struct scene {
    const struct placement_machine *machine;
    const struct placement_wish *wishes;
    struct placement_seat *seats;
    size_t count;
    struct occupancy *on_cpu;  /* [machine->cpu_count] */
    struct occupancy *on_core; /* [machine->core_count] */
    /* Of the thread that is being placed: */
    const struct placement_wish *wish;
    const struct placement_cpu **vcpus; /* [vcpu_count]; those known here, each once */
    size_t vcpu_count;
    size_t unknown_count; /* CPUs of its vCPUs that are offline here, or not there at all */
    bool *is_own_vcpu;    /* [machine->cpu_count] */
};

/* What a rule's name stands for where the machine has another word for it. */
enum rule_word { RULE_PLAIN, RULE_NEAR, RULE_ISOLATED, RULE_CPU_0 };

/* One rule; its name reads well behind "given up:", too. */
struct rule {
    const char *name;
    /* 0: it holds */
    uint32_t (*cost)(const struct scene *scene, const struct placement_cpu *cpu);
    const char *warning; /* when it is broken; %s: who is in the way. NULL: no harm worth a word */
    enum { BY_NOBODY, BY_VCPU, BY_POLLER, BY_ANYONE } culprit;
    bool on_core; /* the culprit is on another CPU of the core */
    enum rule_word word;
};

/* The most important first. */
struct rules {
    const struct rule *list;
    size_t count;
    bool highest_first; /* among equals */
};

struct rules placement_rules(const struct placement_wish *wish);

/* For scene->wish: the usable CPU that breaks the least important rules; among equals the highest
 * or the lowest number. Never NULL where a CPU may be used. */
const struct placement_cpu *placement_choose(const struct scene *scene);

#endif
