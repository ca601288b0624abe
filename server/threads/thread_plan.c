/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/threads/thread_plan.h"

#include "server/log.h"

#include <errno.h>
#include <stdlib.h>

_Static_assert(CONFIG_CPU_ANY == PLACEMENT_ANY, "one word for it");

/* True if poller answers requests of VM `vm`: it sweeps its page, or one of its clients lives there. */
static bool poller_serves(const struct config *config, size_t poller, size_t vm)
{
    if (config->vms[vm].poller == poller)
        return true;
    for (size_t i = 0; i < config->client_count; i++)
        if (config->clients[i].vm == vm && config->clients[i].poller == poller)
            return true;
    return false;
}

/* Into cpus, or NULL to count only. */
static size_t gather_vcpus(const struct config *config, size_t poller, uint32_t *cpus)
{
    size_t count = 0;
    for (size_t i = 0; i < config->vm_count; i++) {
        const struct config_vm *vm = &config->vms[i];
        for (size_t k = 0; poller_serves(config, poller, i) && k < vm->vcpu_cpu_count; k++, count++)
            if (cpus)
                cpus[count] = vm->vcpu_cpus[k];
    }
    return count;
}

static void fill_pollers(struct thread_plan *plan, const struct config *config)
{
    uint32_t *next = plan->vcpu_cpus;
    for (size_t i = 0; i < config->poller_count; i++) {
        const struct config_poller *poller = &config->pollers[i];
        size_t count = gather_vcpus(config, i, next);
        plan->wishes[i] = (struct placement_wish){
            .name = poller->name ? poller->name : "?", /* reported already */
            .role = PLACEMENT_POLLER,
            .cpu = poller->cpu,
            .gives_way = poller->idle == CONFIG_IDLE_YIELD || poller->idle == CONFIG_IDLE_SLEEP,
            .vcpu_cpus = next,
            .vcpu_cpu_count = count,
        };
        next += count;
    }
}

/* The plan even where it holds refusals; NULL: no memory, or no CPU at all. */
static struct thread_plan *plan_threads(const struct config *config,
                                        const struct placement_machine *machine, int *result)
{
    size_t vcpu_cpu_count = 0;
    for (size_t i = 0; i < config->poller_count; i++)
        vcpu_cpu_count += gather_vcpus(config, i, NULL);
    struct thread_plan *plan = calloc(1, sizeof(*plan));
    *result = -ENOMEM;
    if (!plan)
        return NULL;
    plan->count = config->poller_count + 2;
    plan->wishes = calloc(plan->count, sizeof(*plan->wishes));
    plan->seats = calloc(plan->count, sizeof(*plan->seats));
    plan->vcpu_cpus = calloc(vcpu_cpu_count + 1, sizeof(*plan->vcpu_cpus));
    if (plan->wishes && plan->seats && plan->vcpu_cpus) {
        fill_pollers(plan, config);
        plan->wishes[plan->count - 2] = (struct placement_wish){.name = "control",
                                                                .role = PLACEMENT_CONTROL,
                                                                .cpu = config->server.cpu,
                                                                .gives_way = true};
        plan->wishes[plan->count - 1] = (struct placement_wish){.name = "notifier",
                                                                .role = PLACEMENT_NOTIFIER,
                                                                .cpu = config->server.notify_cpu,
                                                                .gives_way = true};
        plan->control = &plan->seats[plan->count - 2];
        plan->notifier = &plan->seats[plan->count - 1];
        *result = placement_plan(machine, plan->wishes, plan->count, plan->seats);
    }
    if (*result == 0 || *result == -EINVAL)
        return plan;
    thread_plan_destroy(plan);
    return NULL;
}

int thread_plan_create(const struct config *config, const struct placement_machine *machine,
                       struct thread_plan **plan)
{
    int result;
    struct thread_plan *created = plan_threads(config, machine, &result);
    if (result == 0)
        *plan = created;
    else
        thread_plan_destroy(created);
    return result;
}

void thread_plan_destroy(struct thread_plan *plan)
{
    if (!plan)
        return;
    free(plan->wishes);
    free(plan->seats);
    free(plan->vcpu_cpus);
    free(plan);
}

/* vCPUs may run where this process may not, and on CPUs that are offline to Linux. */
static void check_vcpu_cpus(struct config *config, const struct placement_machine *machine)
{
    for (size_t i = 0; i < config->vm_count; i++) {
        const struct config_vm *vm = &config->vms[i];
        for (size_t k = 0; k < vm->vcpu_cpu_count; k++) {
            if (placement_find(machine, vm->vcpu_cpus[k]))
                continue;
            config_report(config, vm->vcpu_cpus_mark,
                          "vcpu_cpus: CPU %u does not exist; expected CPUs up to %u",
                          vm->vcpu_cpus[k], machine->number_count - 1);
            break;
        }
    }
}

void thread_plan_check(struct config *config, const struct placement_machine *machine)
{
    int result;
    struct thread_plan *plan = plan_threads(config, machine, &result);
    if (plan && plan->control->refusal[0])
        config_report(config, config->server.cpu_mark, "%s", plan->control->refusal);
    if (plan && plan->notifier->refusal[0])
        config_report(config, config->server.notify_cpu_mark, "%s", plan->notifier->refusal);
    for (size_t i = 0; plan && i < config->poller_count; i++)
        if (plan->seats[i].refusal[0])
            config_report(config, config->pollers[i].cpu_mark, "%s", plan->seats[i].refusal);
    check_vcpu_cpus(config, machine);
    thread_plan_destroy(plan);
}

void thread_plan_log(const struct thread_plan *plan)
{
    for (size_t i = 0; i < plan->count; i++) {
        const struct placement_seat *seat = &plan->seats[i];
        const char *role = plan->wishes[i].role == PLACEMENT_POLLER ? "poller " : "";
        log_info("%s%s: CPU %u: %s", role, plan->wishes[i].name, seat->cpu, seat->why);
        if (seat->warning[0])
            log_warning("%s%s: %s", role, plan->wishes[i].name, seat->warning);
    }
}
