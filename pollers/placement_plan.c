/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers/placement_plan.h"

#include "pollers/placement_rules.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- words ------------------------------------------------------------------------------- */

__attribute__((format(printf, 3, 4))) static void append(char *text, size_t text_bytes,
                                                         const char *format, ...)
{
    size_t used = strlen(text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + used, text_bytes - used, format, arguments);
    va_end(arguments);
}

/* The rule in the words of this machine. */
static void name_rule(const struct scene *scene, const struct rule *rule, uint32_t cost, char *name,
                      size_t name_bytes)
{
    snprintf(name, name_bytes, "%s", rule->name);
    if (rule->word == RULE_NEAR && scene->vcpu_count > 0) {
        enum placement_near near_kind = scene->vcpus[0]->near_kind;
        snprintf(name, name_bytes, "%s of %s%s", placement_near_name(near_kind),
                 cost > 0 && cost < scene->vcpu_count ? "all its vCPUs" : "its vCPUs",
                 near_kind == PLACEMENT_NEAR_L3 ? "" : " (no L3 is known)");
    } else if (rule->word == RULE_ISOLATED && cost && scene->machine->isolated_count == 0) {
        append(name, name_bytes, " (no CPU is)");
    }
}

/* A rule that holds is worth a word where breaking it was possible. */
static bool made_a_difference(const struct scene *scene, const struct rule *rule)
{
    for (size_t i = 0; i < scene->machine->cpu_count; i++)
        if (scene->machine->cpus[i].is_usable && rule->cost(scene, &scene->machine->cpus[i]) > 0)
            return true;
    return false;
}

static void explain(const struct scene *scene, const struct placement_cpu *cpu,
                    struct placement_seat *seat)
{
    struct rules rules = placement_rules(scene->wish);
    char given_up[PLACEMENT_TEXT_BYTES] = "";
    bool is_asked = scene->wish->cpu != PLACEMENT_ANY;
    snprintf(seat->why, sizeof(seat->why), "%s", is_asked ? "asked for" : "");
    for (size_t i = 0; i < rules.count; i++) {
        const struct rule *rule = &rules.list[i];
        uint32_t cost = rule->cost(scene, cpu);
        bool is_shown = cost > 0 || made_a_difference(scene, rule);
        /* whoever asks for CPU 0 knows that it is CPU 0 */
        if (!is_shown || (is_asked && rule->word == RULE_CPU_0))
            continue;
        char name[80];
        name_rule(scene, rule, cost, name, sizeof(name));
        char *text = cost > 0 ? given_up : seat->why;
        append(text, PLACEMENT_TEXT_BYTES, "%s%s", text[0] ? ", " : "", name);
    }
    if (given_up[0])
        append(seat->why, sizeof(seat->why), "%s%sgiven up: %s", seat->why[0] ? "; " : "",
               is_asked ? "with that " : "", given_up);
    if (!seat->why[0])
        snprintf(seat->why, sizeof(seat->why), "all CPUs are the same to it");
    if (scene->wish->role == PLACEMENT_POLLER && scene->wish->vcpu_cpu_count == 0)
        append(seat->why, sizeof(seat->why), "; the CPUs of its vCPUs are not known");
    if (scene->unknown_count > 0)
        append(seat->why, sizeof(seat->why),
               "; %zu of its vCPUs' CPUs are offline: their cores are not known",
               scene->unknown_count);
}

/* Who breaks rule: another thread that has its seat, whose wish it returns, or a vCPU. */
static const struct placement_wish *name_culprit(const struct scene *scene, const struct rule *rule,
                                                 const struct placement_cpu *cpu, char *name,
                                                 size_t name_bytes)
{
    snprintf(name, name_bytes, "another thread");
    for (size_t i = 0; i < scene->count && rule->culprit != BY_VCPU; i++) {
        const struct placement_cpu *other = placement_find(scene->machine, scene->seats[i].cpu);
        bool is_there = rule->on_core ? other && other != cpu && other->core == cpu->core
                                      : other && other == cpu;
        bool is_poller = scene->wishes[i].role == PLACEMENT_POLLER;
        if (is_there && &scene->wishes[i] != scene->wish &&
            (is_poller || rule->culprit == BY_ANYONE)) {
            snprintf(name, name_bytes, "%s%s", is_poller ? "poller " : "the thread ",
                     scene->wishes[i].name);
            return &scene->wishes[i];
        }
    }
    for (size_t i = 0; i < scene->machine->cpu_count && rule->culprit == BY_VCPU; i++) {
        const struct placement_cpu *other = &scene->machine->cpus[i];
        bool is_there = rule->on_core ? other != cpu && other->core == cpu->core : other == cpu;
        if (is_there && scene->on_cpu[i].vcpus > 0) {
            snprintf(name, name_bytes, rule->on_core ? "a vCPU (CPU %u)" : "a vCPU", other->cpu);
            return NULL;
        }
    }
    return NULL;
}

/* The worst of what will hurt, if anything. */
static void warn(const struct scene *scene, const struct placement_cpu *cpu,
                 struct placement_seat *seat)
{
    struct rules rules = placement_rules(scene->wish);
    for (size_t i = 0; i < rules.count; i++) {
        const struct rule *rule = &rules.list[i];
        if (!rule->warning || rule->cost(scene, cpu) == 0)
            continue;
        char culprit[48], harm[PLACEMENT_TEXT_BYTES];
        const struct placement_wish *other =
            name_culprit(scene, rule, cpu, culprit, sizeof(culprit));
        /* our own texts, each with one %s */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
        snprintf(harm, sizeof(harm), rule->warning, culprit);
#pragma GCC diagnostic pop
        /* what idle: could help is done already */
        bool is_poller = scene->wish->role == PLACEMENT_POLLER;
        char *or_idle = strstr(harm, ", or ");
        if (or_idle && !rule->on_core && other && other->gives_way &&
            (!is_poller || scene->wish->gives_way))
            *or_idle = '\0';
        snprintf(seat->warning, sizeof(seat->warning), "CPU %u: %.320s", cpu->cpu, harm);
        return;
    }
}

/* ---- one thread -------------------------------------------------------------------------- */

static void begin(struct scene *scene, size_t index)
{
    scene->wish = &scene->wishes[index];
    scene->vcpu_count = 0;
    scene->unknown_count = 0;
    memset(scene->is_own_vcpu, 0, scene->machine->cpu_count * sizeof(*scene->is_own_vcpu));
    for (size_t i = 0; i < scene->wish->vcpu_cpu_count; i++) {
        const struct placement_cpu *cpu = placement_find(scene->machine, scene->wish->vcpu_cpus[i]);
        bool is_known = cpu && cpu->is_online;
        scene->unknown_count += !is_known;
        if (!is_known || scene->is_own_vcpu[cpu - scene->machine->cpus])
            continue;
        scene->is_own_vcpu[cpu - scene->machine->cpus] = true;
        scene->vcpus[scene->vcpu_count++] = cpu;
    }
}

/* The explanation is of what was there before. */
static void sit(struct scene *scene, size_t index, const struct placement_cpu *cpu)
{
    struct placement_seat *seat = &scene->seats[index];
    explain(scene, cpu, seat);
    warn(scene, cpu, seat);
    seat->cpu = cpu->cpu;
    bool is_poller = scene->wish->role == PLACEMENT_POLLER;
    struct occupancy *places[] = {&scene->on_cpu[cpu - scene->machine->cpus],
                                  &scene->on_core[cpu->core]};
    for (size_t i = 0; i < 2; i++) {
        places[i]->pollers += is_poller;
        places[i]->housekeepers += !is_poller;
    }
}

/* A thread that was asked onto the same CPU, and one of the two does not give way; or NULL. */
static const struct placement_wish *find_rival(const struct scene *scene, size_t index)
{
    const struct placement_wish *wish = &scene->wishes[index];
    for (size_t i = 0; i < scene->count; i++) {
        const struct placement_wish *other = &scene->wishes[i];
        if (i != index && scene->seats[i].cpu == wish->cpu &&
            !(other->gives_way && wish->gives_way))
            return other;
    }
    return NULL;
}

static void seat_asked(struct scene *scene, size_t index)
{
    struct placement_seat *seat = &scene->seats[index];
    begin(scene, index);
    uint32_t cpu = scene->wish->cpu;
    if (!placement_check(scene->machine, cpu, seat->refusal, sizeof(seat->refusal)))
        return;
    const struct placement_wish *rival = find_rival(scene, index);
    if (rival)
        snprintf(seat->refusal, sizeof(seat->refusal),
                 "CPU %u is taken by %s %s; expected another CPU, any, or idle: yield or sleep for "
                 "those that share it",
                 cpu, rival->role == PLACEMENT_POLLER ? "poller" : "the thread", rival->name);
    else
        sit(scene, index, placement_find(scene->machine, cpu));
}

/* ---- all of them ------------------------------------------------------------------------- */

static void count_vcpus(struct scene *scene)
{
    for (size_t i = 0; i < scene->count; i++) {
        begin(scene, i);
        for (size_t k = 0; k < scene->vcpu_count; k++) {
            struct occupancy *place = &scene->on_cpu[scene->vcpus[k] - scene->machine->cpus];
            if (place->vcpus == 0) /* how many share it does not matter here */
                scene->on_core[scene->vcpus[k]->core].vcpus++;
            place->vcpus = 1;
        }
    }
}

/* In which turn a thread is placed: who has the least choice goes first. */
static int turn_of(const struct placement_wish *wish)
{
    if (wish->cpu != PLACEMENT_ANY)
        return wish->role == PLACEMENT_POLLER ? 0 : 1;
    if (wish->role != PLACEMENT_POLLER)
        return wish->role == PLACEMENT_CONTROL ? 4 : 5;
    return wish->vcpu_cpu_count > 0 ? 2 : 3;
}

static int seat_all(struct scene *scene)
{
    int result = 0;
    count_vcpus(scene);
    for (int turn = 0; turn <= 5; turn++) {
        for (size_t i = 0; i < scene->count; i++) {
            if (turn_of(&scene->wishes[i]) != turn)
                continue;
            if (turn <= 1) {
                seat_asked(scene, i);
            } else {
                begin(scene, i);
                sit(scene, i, placement_choose(scene));
            }
            if (scene->seats[i].refusal[0])
                result = -EINVAL;
        }
    }
    return result;
}

static void occupy(struct scene *scene, const struct placement_cpu *cpu, uint32_t more)
{
    scene->on_cpu[cpu - scene->machine->cpus].housekeepers += more;
    scene->on_core[cpu->core].housekeepers += more;
}

/* Housekeeping again, as it turned out: who had a CPU of its own may have got company. */
static void explain_housekeeping(struct scene *scene)
{
    for (size_t i = 0; i < scene->count; i++) {
        const struct placement_cpu *cpu = placement_find(scene->machine, scene->seats[i].cpu);
        if (!cpu || scene->wishes[i].role == PLACEMENT_POLLER)
            continue;
        begin(scene, i);
        occupy(scene, cpu, UINT32_MAX); /* one less */
        explain(scene, cpu, &scene->seats[i]);
        occupy(scene, cpu, 1);
    }
}

int placement_plan(const struct placement_machine *machine, const struct placement_wish *wishes,
                   size_t count, struct placement_seat *seats)
{
    if (machine->usable_count == 0)
        return -ENODEV;
    for (size_t i = 0; i < count; i++)
        seats[i] = (struct placement_seat){.cpu = PLACEMENT_NONE};
    struct scene scene = {
        .machine = machine,
        .wishes = wishes,
        .seats = seats,
        .count = count,
        .on_cpu = calloc(machine->cpu_count, sizeof(*scene.on_cpu)),
        .on_core = calloc(machine->core_count + 1, sizeof(*scene.on_core)),
        .vcpus = calloc(machine->cpu_count, sizeof(*scene.vcpus)),
        .is_own_vcpu = calloc(machine->cpu_count, sizeof(*scene.is_own_vcpu)),
    };
    int result = -ENOMEM;
    if (scene.on_cpu && scene.on_core && scene.vcpus && scene.is_own_vcpu)
        result = seat_all(&scene);
    if (result == 0)
        explain_housekeeping(&scene);
    free(scene.on_cpu);
    free(scene.on_core);
    free(scene.vcpus);
    free(scene.is_own_vcpu);
    return result;
}
