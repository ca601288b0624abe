/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/threads/residence.h"

#include "pollers/notifier.h"
#include "pollers/slot.h"
#include "server/log.h"
#include "server/vm_client.h"

#include <malloc.h>
#include <stdio.h>

#define TOLD_MAX 4u /* lines; more would say no more */

/* What is being looked at, for the line that may be said of it. */
struct look {
    residence_check *check;
    bool is_told;
    int node;
    uint32_t strays;
    uint32_t told;
};

static void look_at(struct look *look, struct memory_block block, const char *kind,
                    const char *name, const char *what)
{
    int found;
    if (!block.memory || look->check(block, look->node, &found))
        return;
    look->strays++;
    /* What is not in memory at all is nowhere wrong; locking memory is what helps there. */
    if (!look->is_told || found == MEMORY_ANY_NODE || look->told++ >= TOLD_MAX)
        return;
    log_warning("%s %s: its %s lies on NUMA node %d, wanted was node %d: every access crosses "
                "nodes; free memory on node %d (numastat -m), or give the poller a CPU of node %d",
                kind, name, what, found, look->node, look->node, found);
}

/* A device and its rings come from malloc, which knows their sizes; one that is no device of ours
 * may not. */
static struct memory_block heap_block(const void *memory)
{
    return (struct memory_block){memory, malloc_usable_size((void *)(uintptr_t)memory)};
}

static bool is_device_of_ours(const struct device *device)
{
    for (size_t i = 0; device && device_kinds[i]; i++)
        if (device->ops == device_kinds[i])
            return true;
    return false;
}

static void look_at_client(struct look *look, const struct vm_client *client)
{
    const char *name = client->client.name;
    const struct device *device = client->client.device;
    look_at(look, (struct memory_block){client, client->size_bytes}, "client", name,
            "state (counters, histogram, inbox)");
    if (!is_device_of_ours(device))
        return;
    look_at(look, heap_block(device), "client", name, "device");
    if (device->output)
        look_at(look, heap_block(device->output), "client", name, "output ring");
    if (device->input)
        look_at(look, heap_block(device->input), "client", name, "input ring");
    if (device->image)
        look_at(look, heap_block(device->image), "client", name, "image");
}

static void look_at_page(struct look *look, const struct vm *vm)
{
    if (vm->is_attached && vm->source.kind->is_ours) /* a device's memory is where the device is */
        look_at(look, (struct memory_block){vm->source.slots, PAGE_BYTES}, "vm", vm->name, "page");
}

static void look_at_vm(struct look *look, const struct vm *vm)
{
    look_at_page(look, vm);
    look_at(look, (struct memory_block){vm->page, sizeof(*vm->page)}, "vm", vm->name,
            "slot records");
    struct memory_block block;
    for (size_t i = 0; (block = router_block(vm->router, i)).memory; i++)
        look_at(look, block, "vm", vm->name, "router");
}

uint32_t residence_count_strays(const struct topology *topology, size_t poller_index,
                                residence_check *check, bool is_told)
{
    const struct topology_poller *poller = &topology->pollers[poller_index];
    struct look look = {
        .check = check, .is_told = is_told, .node = memory_node_of_cpu(poller->cpu)};
    look_at(&look, poller_memory(poller->poller), "poller", poller->name, "state");
    look_at(&look, poller_thread(poller->poller).stack, "poller", poller->name, "stack");
    look_at(&look, (struct memory_block){poller->notifier_port, sizeof(*poller->notifier_port)},
            "poller", poller->name, "ring to the notifier");
    for (size_t i = 0; i < topology->vm_count; i++) {
        const struct vm *vm = topology->vms[i];
        if (vm->poller_index == poller_index)
            look_at_vm(&look, vm);
        for (uint32_t k = 0; k < vm->client_count; k++)
            if (vm->clients[k]->poller_index == poller_index)
                look_at_client(&look, vm->clients[k]);
    }
    if (look.told > TOLD_MAX)
        log_warning("poller %s: %u more blocks of memory lie on other nodes than its own",
                    poller->name, look.told - TOLD_MAX);
    return look.strays;
}

void residence_tell_page(const struct vm *vm, residence_check *check)
{
    struct look look = {.check = check, .is_told = true, .node = vm->node};
    look_at_page(&look, vm);
}
