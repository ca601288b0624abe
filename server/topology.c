/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/topology.h"

#include "pollers/memory.h"
#include "pollers/notifier.h"
#include "pollers/poller_wait.h"
#include "pollers/ring.h"
#include "pollers/ticks.h"
#include "server/budgets.h"
#include "server/devices/device_options.h"
#include "server/devices/service.h"
#include "server/log.h"
#include "server/notify/completion.h"
#include "server/processes/launcher.h"
#include "server/restart/adoption.h"
#include "server/restart/journal.h"
#include "server/restart/script.h"
#include "server/sources/lost_page.h"
#include "server/threads/sandbox.h"
#include "server/vm_client.h"
#include "server/vm_source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

_Static_assert((int)POLLER_IDLE_SPIN == (int)CONFIG_IDLE_SPIN, "same order");
_Static_assert((int)POLLER_IDLE_PAUSE == (int)CONFIG_IDLE_PAUSE, "same order");
_Static_assert((int)POLLER_IDLE_YIELD == (int)CONFIG_IDLE_YIELD, "same order");
_Static_assert((int)POLLER_IDLE_SLEEP == (int)CONFIG_IDLE_SLEEP, "same order");
_Static_assert((int)LATE_ONES == (int)CONFIG_LATE_ONES, "same order");
_Static_assert((int)LATE_LAST == (int)CONFIG_LATE_LAST, "same order");
_Static_assert((int)LATE_VALUE == (int)CONFIG_LATE_VALUE, "same order");
_Static_assert(CONFIG_NAME_MAX == CLIENT_NAME_MAX, "one length of name");

/* ---- building ---------------------------------------------------------------------------- */

/* A waiter, where a VM of that poller may be waited for and io_uring is to be had. */
static void build_wait(struct topology_poller *poller, const struct config *config,
                       size_t poller_index)
{
    bool is_wanted = false;
    for (size_t i = 0; i < config->vm_count; i++)
        is_wanted |= config->vms[i].poller == poller_index && config->vms[i].wait_after_ns;
    int result = is_wanted ? poller_wait_create(&poller->wait) : 0;
    if (result < 0)
        log_warning("poller %s: it spins, wait_after or not: %s", poller->name,
                    ring_explain(result));
}

static int build_pollers(struct topology *topology, const struct config *config,
                         enum config_notify notify)
{
    for (size_t i = 0; i < config->poller_count; i++) {
        const struct config_poller *from = &config->pollers[i];
        struct topology_poller *poller = &topology->pollers[i];
        snprintf(poller->name, sizeof(poller->name), "%s", from->name);
        poller->idle = (enum poller_idle)from->idle;
        poller->cpu = topology->plan->seats[i].cpu;
        poller->watch.stuck_after_ns = from->stuck_after_ns;
        topology->poller_count++;
        build_wait(poller, config, i);
        bool calls_ring = notify == CONFIG_NOTIFY_SUBMIT || poller->wait;
        enum sandbox_calls calls = calls_ring ? SANDBOX_SUBMIT_CALL : SANDBOX_NO_CALLS;
        int result = from->sandbox ? sandbox_create(poller->idle, calls, &poller->sandbox) : 0;
        if (result < 0)
            return result;
        struct poller_options options = {
            .name = from->name,
            .placement = topology->placement,
            .cpu = poller->cpu,
            .idle = poller->idle,
            .idle_spins = from->idle_spins,
            .idle_sleep_ns = from->idle_sleep_ns,
            .wait = poller->wait,
            .arm = poller->sandbox ? sandbox_arm : NULL,
            .arm_context = poller->sandbox,
        };
        result = notifier_add_port(topology->notifier, memory_node_of_cpu(poller->cpu),
                                   &poller->notifier_port);
        if (result == 0)
            result = poller_create(&options, &poller->poller);
        if (result < 0)
            return result;
    }
    return 0;
}

int topology_build_device(const struct config_client *from, struct device **device, char *error,
                          size_t error_bytes)
{
    const struct device_ops *ops = device_kinds[from->device];
    struct device_value *values = device_values(ops, from->values);
    struct device_range *ranges = calloc(from->range_count + 1, sizeof(*ranges));
    int result = -ENOMEM;
    error[0] = '\0';
    if (values && ranges) {
        for (size_t i = 0; i < from->range_count; i++)
            ranges[i] = (struct device_range){from->ranges[i].first, from->ranges[i].last,
                                              (uint32_t)from->ranges[i].type};
        struct device_setup setup = {
            .values = values,
            .ranges = ranges,
            .range_count = from->range_count,
            .ticks_per_second = ticks_per_second(),
            .start_ticks = ticks_now(),
            .wall_clock_s = time(NULL),
            .error = error,
            .error_bytes = error_bytes,
        };
        result = ops->create(&setup, device);
    }
    if (result < 0 && !error[0])
        snprintf(error, error_bytes, "%s", strerror(-result));
    free(ranges);
    device_values_destroy(ops, values);
    return result;
}

int topology_create_device(const struct topology *topology, const struct config_client *from,
                           struct device **device)
{
    char error[TOPOLOGY_REASON_BYTES];
    struct memory_policy policy; /* what a device allocates is for its poller to touch */
    memory_policy_push(memory_node_of_cpu(topology->pollers[from->poller].cpu), &policy);
    int result = topology_build_device(from, device, error, sizeof(error));
    memory_policy_pop(&policy);
    if (result < 0)
        log_error("client %s: %s: %s", from->name, device_kinds[from->device]->name, error);
    return result;
}

int topology_create_client(struct vm *vm, const struct config_client *from, struct device *device,
                           struct vm_client **client)
{
    const struct vm_client_options options = {
        .name = from->name,
        .poller_index = from->poller,
        .device = device,
        .broken_after = from->broken_after,
        .deadline_ns = from->deadline_ns,
        .late = (enum late_kind)from->late,
        .late_value = from->late_value,
        .interrupt = from->interrupt,
    };
    int result = vm_client_create(vm, &options, client);
    if (result < 0)
        log_error("vm %s: client %s: %s", vm->name, from->name, strerror(-result));
    if (result < 0)
        return result;
    /* Their failures are told, and cost the client nothing. */
    launcher_set(vm->topology->launcher, *client, &from->start);
    vm_client_set_budget(*client, &from->budget);
    return 0;
}

int topology_create_vm(struct topology *topology, const struct config_vm *from, struct vm **vm)
{
    const struct vm_options options = {
        .name = from->name,
        .vcpus = from->vcpus,
        .poller_index = from->poller,
        .clear_timeout_ns = from->clear_timeout_ns,
        .wait_after_ns = from->wait_after_ns,
        .has_pci = from->pci,
        .source = page_source_kind(from->source),
        .place = &from->place,
    };
    int result = vm_create(topology, &options, vm);
    if (result < 0)
        log_error("vm %s: %s", from->name, strerror(-result));
    else
        vm_set_budget(*vm, &from->budget); /* its failure is told */
    return result;
}

/* Where config describes that client of that VM, or NULL. */
static const struct config_client *find_described(const struct config *config, const struct vm *vm,
                                                  const struct vm_client *client)
{
    for (size_t i = 0; i < config->client_count; i++)
        if (strcmp(config->clients[i].name, client->client.name) == 0 &&
            strcmp(config->vms[config->clients[i].vm].name, vm->name) == 0)
            return &config->clients[i];
    return NULL;
}

/* ranges: NULL to count only. */
static size_t gather_ranges(const struct vm *vm, const struct config *config,
                            struct router_range *ranges)
{
    size_t count = 0;
    for (uint32_t i = 0; i < vm->client_count; i++) {
        struct vm_client *client = vm->clients[i];
        const struct config_client *from = find_described(config, vm, client);
        /* Without a name: being replaced by one that has it, and its ranges. */
        size_t own_count = from || client->client.name[0] == '\0' ? 0 : client->range_count;
        for (size_t k = 0; k < own_count; k++, count++)
            if (ranges)
                ranges[count] = client->ranges[k];
        for (uint32_t k = 0; from && k < from->range_count; k++, count++)
            if (ranges)
                ranges[count] = (struct router_range){
                    .first = from->ranges[k].first,
                    .last = from->ranges[k].last,
                    .client = &client->client,
                    .type = (uint32_t)from->ranges[k].type,
                    .range_index = k,
                    .priority = from->ranges[k].priority,
                };
    }
    return count;
}

/* NULL: no memory. */
static struct router_range *wanted_ranges(const struct vm *vm, const struct config *config,
                                          size_t *count)
{
    *count = gather_ranges(vm, config, NULL);
    struct router_range *ranges = calloc(*count + 1, sizeof(*ranges));
    if (ranges)
        gather_ranges(vm, config, ranges);
    return ranges;
}

int topology_apply_ranges(struct vm *vm, const struct config *config)
{
    size_t count;
    struct router_range *ranges = wanted_ranges(vm, config, &count);
    int result = ranges ? vm_set_ranges(vm, ranges, count) : -ENOMEM;
    free(ranges);
    return result;
}

int topology_check_ranges(const struct vm *vm, const struct config *config)
{
    size_t count;
    struct router_range *ranges = wanted_ranges(vm, config, &count);
    int result = ranges ? router_check(ranges, count, NULL) : -ENOMEM;
    free(ranges);
    return result;
}

static int populate_vm(struct topology *topology, const struct config *config, size_t vm_index)
{
    struct vm *vm = NULL;
    int result = topology_create_vm(topology, &config->vms[vm_index], &vm);
    for (size_t i = 0; i < config->client_count && result == 0; i++) {
        struct device *device = NULL;
        struct vm_client *client;
        if (config->clients[i].vm != vm_index)
            continue;
        result = topology_create_device(topology, &config->clients[i], &device);
        if (result < 0)
            return result;
        result = topology_create_client(vm, &config->clients[i], device, &client);
        if (result < 0)
            device->ops->destroy(device);
        else
            result = service_open(client);
        if (result == 0 && config->vms[vm_index].default_client == i)
            result = vm_set_default_client(vm, client);
    }
    if (result == 0)
        result = topology_apply_ranges(vm, config);
    if (result == 0)
        vm->is_to_run = true;
    return result;
}

int topology_populate(struct topology *topology, const struct config *config)
{
    int result = 0;
    for (size_t i = 0; i < config->vm_count && result == 0; i++)
        result = populate_vm(topology, config, i);
    return result;
}

static int take_on(struct vm *vm)
{
    adoption_take_vm(vm);
    int result = vm->is_to_run ? vm_start(vm) : 0;
    /* A device's page that cannot be had now is that VM's trouble, and was told. */
    if (result < 0 && vm_has_device(vm) && !vm->is_attached)
        return 0;
    return result == 0 && vm->is_to_run && vm->adopts_paused ? vm_pause(vm) : result;
}

int topology_take_on(struct topology *topology)
{
    int result = 0;
    for (size_t i = 0; i < topology->vm_count && result == 0; i++)
        result = take_on(topology->vms[i]);
    return result;
}

int topology_create(const struct config *config, struct placement *placement,
                    struct topology **topology)
{
    struct topology *created = calloc(1, sizeof(*created));
    if (!created)
        return -ENOMEM;
    created->placement = placement;
    created->settle_ns = config->server.settle_ns;
    created->locks_memory = config->server.lock_memory;
    created->wants_cpu_latency = config->server.cpu_dma_latency == CONFIG_CPU_DMA_LATENCY_HOLD;
    created->pollers = calloc(config->poller_count, sizeof(*created->pollers));
    int result = created->pollers ? lost_pages_start() : -ENOMEM;
    if (result == 0)
        result = notifier_create(&created->notifier);
    if (result == 0)
        result = thread_plan_create(config, placement_machine(placement), &created->plan);
    if (result == 0) {
        notifier_place(created->notifier, placement, created->plan->notifier->cpu);
        enum config_notify notify = completion_choose(config->server.notify);
        result =
            completion_create(created, notify, created->plan->notifier->cpu, &created->completion);
        if (result == 0)
            result = build_pollers(created, config, notify);
    }
    if (result < 0) {
        topology_destroy(created);
        return result;
    }
    *topology = created;
    return 0;
}

/* ---- taking apart ------------------------------------------------------------------------ */

/* A sandboxed poller cannot exit, a stuck one does not: what it can reach is left to the end of the
 * process. */
static bool pollers_are_gone(const struct topology *topology)
{
    for (size_t i = 0; i < topology->poller_count; i++)
        if (topology->pollers[i].poller && !poller_is_gone(topology->pollers[i].poller))
            return false;
    return true;
}

bool topology_destroy(struct topology *topology)
{
    if (!topology)
        return true;
    if (topology->is_left || !pollers_are_gone(topology))
        return false;
    while (topology->vm_count > 0)
        if (vm_destroy(topology->vms[0]) < 0)
            return false;
    for (size_t i = 0; topology->pollers && i < topology->poller_count; i++) {
        poller_destroy(topology->pollers[i].poller);
        poller_wait_destroy(topology->pollers[i].wait);
        sandbox_destroy(topology->pollers[i].sandbox);
    }
    notifier_destroy(topology->notifier);
    completion_destroy(topology->completion);
    thread_plan_destroy(topology->plan);
    journal_close(topology->journal);
    script_close(topology->script);
    free(topology->pollers);
    free(topology);
    return true;
}

/* ---- looking up -------------------------------------------------------------------------- */

struct vm *topology_find_vm(const struct topology *topology, const char *name)
{
    for (size_t i = 0; i < topology->vm_count; i++)
        if (strcmp(topology->vms[i]->name, name) == 0)
            return topology->vms[i];
    return NULL;
}

struct vm_client *topology_find_client(const struct vm *vm, const char *name)
{
    for (uint32_t i = 0; i < vm->client_count; i++)
        if (strcmp(vm->clients[i]->client.name, name) == 0)
            return vm->clients[i];
    return NULL;
}
