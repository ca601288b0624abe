/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers/placement_rules.h"

static const struct occupancy *occupancy_of(const struct scene *scene,
                                            const struct placement_cpu *cpu)
{
    return &scene->on_cpu[cpu - scene->machine->cpus];
}

static uint32_t cost_on_vcpu(const struct scene *scene, const struct placement_cpu *cpu)
{
    return occupancy_of(scene, cpu)->vcpus;
}

static uint32_t cost_on_poller(const struct scene *scene, const struct placement_cpu *cpu)
{
    return occupancy_of(scene, cpu)->pollers;
}

/* Housekeeping is placed after the pollers, unless it was asked onto a CPU. */
static uint32_t cost_shared(const struct scene *scene, const struct placement_cpu *cpu)
{
    return occupancy_of(scene, cpu)->pollers + occupancy_of(scene, cpu)->housekeepers;
}

static uint32_t cost_vcpu_sibling(const struct scene *scene, const struct placement_cpu *cpu)
{
    return scene->on_core[cpu->core].vcpus - occupancy_of(scene, cpu)->vcpus;
}

static uint32_t cost_poller_sibling(const struct scene *scene, const struct placement_cpu *cpu)
{
    return scene->on_core[cpu->core].pollers - occupancy_of(scene, cpu)->pollers;
}

/* Whoever starts the server with an affinity means it; isolated CPUs are in none. */
static uint32_t cost_outside(const struct scene *scene, const struct placement_cpu *cpu)
{
    (void)scene;
    return !cpu->is_inherited && !cpu->is_isolated;
}

static uint32_t cost_not_inherited(const struct scene *scene, const struct placement_cpu *cpu)
{
    (void)scene;
    return !cpu->is_inherited;
}

static uint32_t cost_cpu_0(const struct scene *scene, const struct placement_cpu *cpu)
{
    (void)scene;
    return cpu->cpu == 0;
}

static uint32_t cost_far(const struct scene *scene, const struct placement_cpu *cpu)
{
    uint32_t far = 0;
    for (size_t i = 0; i < scene->vcpu_count; i++)
        far += !placement_is_near(cpu, scene->vcpus[i]);
    return far;
}

static uint32_t cost_not_isolated(const struct scene *scene, const struct placement_cpu *cpu)
{
    (void)scene;
    return !cpu->is_isolated;
}

static uint32_t cost_isolated(const struct scene *scene, const struct placement_cpu *cpu)
{
    (void)scene;
    return cpu->is_isolated;
}

static uint32_t cost_slow(const struct scene *scene, const struct placement_cpu *cpu)
{
    return scene->machine->kind_count - 1 - cpu->kind;
}

static uint32_t cost_far_node(const struct scene *scene, const struct placement_cpu *cpu)
{
    uint32_t far = 0;
    for (size_t i = 0; i < scene->vcpu_count; i++)
        far += cpu->node != scene->vcpus[i]->node;
    return far;
}

static uint32_t cost_far_from_pollers(const struct scene *scene, const struct placement_cpu *cpu)
{
    uint32_t far = 0;
    for (size_t i = 0; i < scene->count; i++) {
        const struct placement_cpu *other = placement_find(scene->machine, scene->seats[i].cpu);
        far += scene->wishes[i].role == PLACEMENT_POLLER && other && other->node != cpu->node;
    }
    return far;
}

static const struct rule poller_rules[] = {
    {"off the vCPUs' CPUs", cost_on_vcpu,
     "is on the CPU of %s: each waits while the other runs; give it another CPU", BY_VCPU, false,
     RULE_PLAIN},
    {"a CPU of its own", cost_shared,
     "shares its CPU with %s: each waits while the other runs; give each its own cpu:, or idle: "
     "yield",
     BY_ANYONE, false, RULE_PLAIN},
    {"no SMT sibling of a vCPU", cost_vcpu_sibling,
     "is an SMT sibling of %s: each slows the other down; leave its core to it", BY_VCPU, true,
     RULE_PLAIN},
    {"no SMT sibling of a poller", cost_poller_sibling,
     "is an SMT sibling of %s: each slows the other down; give it another CPU, or idle: pause",
     BY_POLLER, true, RULE_PLAIN},
    {"in the affinity of the start", cost_outside, NULL, BY_NOBODY, false, RULE_PLAIN},
    {"not CPU 0", cost_cpu_0, NULL, BY_NOBODY, false, RULE_CPU_0},
    {"near its vCPUs", cost_far, NULL, BY_NOBODY, false, RULE_NEAR},
    {"isolated", cost_not_isolated, NULL, BY_NOBODY, false, RULE_ISOLATED},
    {"fastest kind of core", cost_slow, NULL, BY_NOBODY, false, RULE_PLAIN},
    {"NUMA node of its vCPUs", cost_far_node, NULL, BY_NOBODY, false, RULE_PLAIN},
};

static const struct rule housekeeping_rules[] = {
    {"off the pollers' CPUs", cost_on_poller,
     "shares its CPU with %s: it may wait long, and delays requests; leave a CPU to it, or let "
     "that poller idle: yield",
     BY_POLLER, false, RULE_PLAIN},
    {"off the vCPUs' CPUs", cost_on_vcpu, "is on the CPU of %s and delays it; leave a CPU to it",
     BY_VCPU, false, RULE_PLAIN},
    {"in the affinity of the start", cost_not_inherited, NULL, BY_NOBODY, false, RULE_PLAIN},
    {"not isolated", cost_isolated, NULL, BY_NOBODY, false, RULE_PLAIN},
    {"no SMT sibling of a poller", cost_poller_sibling, NULL, BY_NOBODY, false, RULE_PLAIN},
    {"no SMT sibling of a vCPU", cost_vcpu_sibling, NULL, BY_NOBODY, false, RULE_PLAIN},
    {"a CPU of its own", cost_shared, NULL, BY_NOBODY, false, RULE_PLAIN},
    {"NUMA node of the pollers", cost_far_from_pollers, NULL, BY_NOBODY, false, RULE_PLAIN},
};

struct rules placement_rules(const struct placement_wish *wish)
{
    if (wish->role == PLACEMENT_POLLER)
        return (struct rules){poller_rules, sizeof(poller_rules) / sizeof(poller_rules[0]), true};
    return (struct rules){housekeeping_rules,
                          sizeof(housekeeping_rules) / sizeof(housekeeping_rules[0]), false};
}

const struct placement_cpu *placement_choose(const struct scene *scene)
{
    struct rules rules = placement_rules(scene->wish);
    const struct placement_cpu *best = NULL;
    for (size_t i = 0; i < scene->machine->cpu_count; i++) {
        const struct placement_cpu *cpu = &scene->machine->cpus[i];
        if (!cpu->is_usable)
            continue;
        bool is_better = !best || (cpu->cpu > best->cpu) == rules.highest_first;
        for (size_t rule = 0; best && rule < rules.count; rule++) {
            uint32_t cost = rules.list[rule].cost(scene, cpu);
            uint32_t best_cost = rules.list[rule].cost(scene, best);
            if (cost == best_cost)
                continue;
            is_better = cost < best_cost;
            break;
        }
        if (is_better)
            best = cpu;
    }
    return best;
}
