/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/topology.h"

#include "clients/inbox.h"
#include "pollers/histogram.h"
#include "pollers/memory.h"
#include "pollers/ticks.h"
#include "server/device_options.h"
#include "server/log.h"
#include "server/sandbox.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A VM has 16 slots, so an inbox can hold each request four times over: what a reset abandoned may
 * still lie in it. */
#define INBOX_CAPACITY 64

_Static_assert((int)POLLER_IDLE_SPIN == (int)CONFIG_IDLE_SPIN, "same order");
_Static_assert((int)POLLER_IDLE_PAUSE == (int)CONFIG_IDLE_PAUSE, "same order");
_Static_assert((int)POLLER_IDLE_YIELD == (int)CONFIG_IDLE_YIELD, "same order");
_Static_assert((int)POLLER_IDLE_SLEEP == (int)CONFIG_IDLE_SLEEP, "same order");
_Static_assert(CONFIG_NAME_MAX == CLIENT_NAME_MAX, "one length of name");

struct machine_facts machine_facts_read(void)
{
    return (struct machine_facts){.tsc_is_invariant = ticks_are_invariant()};
}

void topology_check(struct config *config, const struct placement *placement,
                    const struct machine_facts *facts)
{
    for (size_t i = 0; i < config->poller_count; i++) {
        const struct config_poller *poller = &config->pollers[i];
        char reason[320];
        if (poller->cpu != CONFIG_CPU_ANY &&
            !placement_check(placement, poller->cpu, reason, sizeof(reason)))
            config_report(config, poller->cpu_mark, "%s", reason);
        if (poller->sandbox && !facts->tsc_is_invariant)
            config_report(
                config, poller->sandbox_mark.line ? poller->sandbox_mark : poller->mark,
                "this processor's time-stamp counter is not invariant, so a poller cannot "
                "tell time without system calls; expected sandbox: false");
    }
}

/* ---- building -----------------------------------------------------------------------------------
 */

static int build_pollers(struct topology *topology)
{
    const struct config *config = topology->config;
    uint32_t taken[POLLER_PAGES_MAX];
    size_t taken_count = 0;
    for (size_t i = 0; i < config->poller_count; i++)
        if (config->pollers[i].cpu != CONFIG_CPU_ANY)
            taken[taken_count++] = config->pollers[i].cpu;
    for (size_t i = 0; i < config->poller_count; i++) {
        const struct config_poller *from = &config->pollers[i];
        struct topology_poller *poller = &topology->pollers[i];
        poller->name = from->name;
        poller->idle = (enum poller_idle)from->idle;
        poller->cpu = from->cpu;
        if (from->cpu == CONFIG_CPU_ANY) {
            poller->cpu = placement_choose(topology->placement, taken, taken_count);
            taken[taken_count++] = poller->cpu;
        }
        topology->poller_count++;
        int result = from->sandbox ? sandbox_create(poller->idle, &poller->sandbox) : 0;
        if (result < 0)
            return result;
        struct poller_options options = {
            .name = from->name,
            .placement = topology->placement,
            .cpu = poller->cpu,
            .idle = poller->idle,
            .idle_sleep_ns = from->idle_sleep_ns,
            .arm = poller->sandbox ? sandbox_arm : NULL,
            .arm_context = poller->sandbox,
        };
        result = poller_create(&options, &poller->poller);
        if (result < 0)
            return result;
    }
    return 0;
}

static int create_device(const struct config_client *from, struct client *client)
{
    const struct device_ops *ops = device_kinds[from->device];
    struct device_value *values = device_values(ops, from->values);
    struct device_range *ranges = calloc(from->range_count + 1, sizeof(*ranges));
    char error[256] = "";
    int result = -ENOMEM;
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
            .error_bytes = sizeof(error),
        };
        result = ops->create(&setup, &client->device);
    }
    if (result < 0)
        log_error("client %s: %s: %s", from->name, ops->name, error[0] ? error : strerror(-result));
    free(ranges);
    device_values_destroy(ops, values);
    return result;
}

static int build_client(struct topology *topology, struct vm *vm, uint32_t client_index,
                        struct vm_client *client)
{
    const struct config_client *from = &topology->config->clients[client_index];
    struct topology_poller *home = &topology->pollers[from->poller];
    int node = memory_node_of_cpu(home->cpu);
    client->poller = home->poller;
    client->poller_index = from->poller;
    snprintf(client->client.name, sizeof(client->client.name), "%s", from->name);
    client->client.is_default = topology->config->vms[from->vm].default_client == client_index;
    client->latency = memory_allocate(sizeof(*client->latency), node);
    if (!client->latency)
        return -ENOMEM;
    client->client.latency = client->latency;
    int result = create_device(from, &client->client);
    if (result < 0 || client->poller == vm->poller)
        return result;
    client->inbox_memory = memory_allocate(inbox_size_bytes(INBOX_CAPACITY), node);
    if (!client->inbox_memory)
        return -ENOMEM;
    client->client.inbox = inbox_init(client->inbox_memory, INBOX_CAPACITY);
    return poller_add_inbox(client->poller, &client->client, vm->page);
}

static int build_router(struct topology *topology, uint32_t vm_index, struct vm *vm, int node)
{
    const struct config *config = topology->config;
    size_t count = 0;
    for (size_t i = 0; i < config->client_count; i++)
        count += config->clients[i].vm == vm_index ? config->clients[i].range_count : 0;
    struct router_range *ranges = calloc(count + 1, sizeof(*ranges));
    if (!ranges)
        return -ENOMEM;
    size_t filled = 0;
    struct vm_client *client = vm->clients;
    for (size_t i = 0; i < config->client_count; i++) {
        const struct config_client *from = &config->clients[i];
        if (from->vm != vm_index)
            continue;
        for (uint32_t k = 0; k < from->range_count; k++)
            ranges[filled++] = (struct router_range){
                .first = from->ranges[k].first,
                .last = from->ranges[k].last,
                .client = &client->client,
                .type = (uint32_t)from->ranges[k].type,
                .range_index = k,
            };
        client++;
    }
    int result = router_create(ranges, count, node, &vm->router, NULL);
    free(ranges);
    return result;
}

static int build_vm(struct topology *topology, uint32_t vm_index)
{
    const struct config *config = topology->config;
    const struct config_vm *from = &config->vms[vm_index];
    struct vm *vm = &topology->vms[vm_index];
    struct topology_poller *sweeper = &topology->pollers[from->poller];
    int node = memory_node_of_cpu(sweeper->cpu);
    snprintf(vm->name, sizeof(vm->name), "%s", from->name);
    vm->poller = sweeper->poller;
    vm->poller_index = from->poller;
    vm->page = memory_allocate(sizeof(*vm->page), node);
    for (size_t i = 0; i < config->client_count; i++)
        vm->client_count += config->clients[i].vm == vm_index;
    vm->clients = calloc(vm->client_count + 1, sizeof(*vm->clients));
    topology->vm_count++;
    if (!vm->page || !vm->clients)
        return -ENOMEM;
    struct client *default_client = NULL;
    struct vm_client *client = vm->clients;
    for (uint32_t i = 0; i < config->client_count; i++) {
        if (config->clients[i].vm != vm_index)
            continue;
        int result = build_client(topology, vm, i, client);
        if (result < 0)
            return result;
        if (client->client.is_default)
            default_client = &client->client;
        client++;
    }
    int result = build_router(topology, vm_index, vm, node);
    if (result < 0)
        return result;
    result = page_init(vm->page, from->vcpus, vm->router, default_client);
    return result < 0 ? result : poller_add_page(vm->poller, vm->page);
}

int topology_create(const struct config *config, struct placement *placement,
                    struct topology **topology)
{
    struct topology *created = calloc(1, sizeof(*created));
    if (!created)
        return -ENOMEM;
    created->config = config;
    created->placement = placement;
    created->pollers = calloc(config->poller_count, sizeof(*created->pollers));
    created->vms = calloc(config->vm_count, sizeof(*created->vms));
    int result = created->pollers && created->vms ? build_pollers(created) : -ENOMEM;
    for (uint32_t i = 0; result == 0 && i < config->vm_count; i++)
        result = build_vm(created, i);
    if (result < 0) {
        topology_destroy(created);
        return result;
    }
    *topology = created;
    return 0;
}

/* ---- taking apart ---------------------------------------------------------------------------- */

/* A sandboxed poller cannot exit, a stuck one does not: what it can reach is left to the end of the
 * process. */
static bool pollers_are_gone(const struct topology *topology)
{
    for (size_t i = 0; i < topology->poller_count; i++)
        if (topology->pollers[i].poller && !poller_is_gone(topology->pollers[i].poller))
            return false;
    return true;
}

static void destroy_vm(struct vm *vm)
{
    for (size_t i = 0; vm->clients && i < vm->client_count; i++) {
        struct vm_client *client = &vm->clients[i];
        if (client->client.device)
            client->client.device->ops->destroy(client->client.device);
        memory_free(client->inbox_memory, inbox_size_bytes(INBOX_CAPACITY));
        memory_free(client->latency, sizeof(*client->latency));
    }
    free(vm->clients);
    router_destroy(vm->router);
    memory_free(vm->page, sizeof(*vm->page));
    if (vm->source.slots)
        source_memfd_close(&vm->source);
}

void topology_destroy(struct topology *topology)
{
    if (!topology || !pollers_are_gone(topology))
        return;
    for (size_t i = 0; i < topology->vm_count; i++)
        destroy_vm(&topology->vms[i]);
    for (size_t i = 0; topology->pollers && i < topology->poller_count; i++) {
        poller_destroy(topology->pollers[i].poller);
        sandbox_destroy(topology->pollers[i].sandbox);
    }
    free(topology->vms);
    free(topology->pollers);
    free(topology);
}

struct vm *topology_find_vm(struct topology *topology, const char *name)
{
    for (size_t i = 0; i < topology->vm_count; i++)
        if (strcmp(topology->vms[i].name, name) == 0)
            return &topology->vms[i];
    return NULL;
}
