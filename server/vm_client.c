/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/vm_client.h"

#include "clients/external.h"
#include "clients/process_port.h"
#include "pollers/histogram.h"
#include "pollers/inbox_serve.h"
#include "pollers/memory.h"
#include "pollers/ticks.h"
#include "server/devices/service.h"
#include "server/notify/ioeventfd.h"
#include "server/processes/launcher.h"
#include "server/processes/registration.h"
#include "server/restart/adoption.h"
#include "server/topology.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* All of a client that a poller touches, its device apart, in one allocation on the node of the
 * poller it lives on: few pages to lock, and one place to look at. */
struct client_block {
    struct vm_client client;
    _Alignas(64) struct histogram latency;
    _Alignas(INBOX_ALIGN_BYTES) unsigned char rest
        []; /* an external, a process_port, an inbox, or nothing */
};

struct inbox_rest {
    struct inbox inbox;
    struct late late; /* the sweeping poller's, as the inbox's answers are */
};

static size_t rest_size_bytes(const struct vm *vm, const struct vm_client_options *options)
{
    if (options->is_external)
        return sizeof(struct external);
    if (process_device_of(options->device))
        return sizeof(struct process_port);
    return options->poller_index == vm->poller_index ? 0 : sizeof(struct inbox_rest);
}

/* ---- a handler as a device --------------------------------------------------------------- */

struct handler_device {
    struct device device;
    int (*handle)(void *context, struct request *request);
    void *context;
};

static int handler_handle(struct device *device, struct request *request)
{
    struct handler_device *handler = (struct handler_device *)device;
    return handler->handle(handler->context, request);
}

static void handler_destroy(struct device *device)
{
    free(device);
}

static const struct device_ops handler_ops = {
    .name = "handler", .handle = handler_handle, .destroy = handler_destroy};

static const struct device_ops prompt_handler_ops = {
    .name = "handler", .handle = handler_handle, .is_prompt = true, .destroy = handler_destroy};

static struct device *handler_create(const struct vm_client_options *options)
{
    struct handler_device *handler = calloc(1, sizeof(*handler));
    if (!handler)
        return NULL;
    handler->device.ops = options->is_prompt ? &prompt_handler_ops : &handler_ops;
    handler->handle = options->handle;
    handler->context = options->context;
    return &handler->device;
}

/* ---- the default client ------------------------------------------------------------------ */

struct default_change {
    struct page *page;
    struct client *client;
};

static void set_default(void *context)
{
    struct default_change *change = context;
    if (change->page->default_client)
        change->page->default_client->is_default = false;
    page_set_default_client(change->page, change->client);
    if (change->client)
        change->client->is_default = true;
}

int vm_set_default_client(struct vm *vm, struct vm_client *client)
{
    if (client && client->vm != vm)
        return -EINVAL;
    struct default_change change = {vm->page, client ? &client->client : NULL};
    return poller_call_brief(vm->poller, set_default, &change, VM_CALL_TIMEOUT_NS);
}

/* ---- life -------------------------------------------------------------------------------- */

static int check_options(const struct vm *vm, const struct vm_client_options *options)
{
    size_t length = options->name ? strlen(options->name) : 0;
    int answering = (options->device != NULL) + (options->handle != NULL) + options->is_external;
    if (length < 1 || length > CLIENT_NAME_MAX || answering != 1 ||
        (options->is_external && !options->is_default) ||
        options->poller_index >= vm->topology->poller_count)
        return -EINVAL;
    if (options->device && options->device->ops->completed &&
        options->poller_index != vm->poller_index)
        return -EINVAL; /* the answer goes out on the VM's poller, and nobody tells another */
    for (uint32_t i = 0; i < vm->client_count; i++)
        if (strcmp(vm->clients[i]->client.name, options->name) == 0)
            return -EEXIST;
    if (options->is_default && vm->page->default_client)
        return -EEXIST;
    return vm->client_count == VM_CLIENTS_MAX ? -ENOSPC : 0;
}

static void client_free(struct vm_client *client, bool with_device)
{
    struct device *device = client->client.device;
    if (device && (with_device || device->ops->handle == handler_handle))
        device->ops->destroy(device);
    free(client->ranges);
    memory_free(client, client->size_bytes);
}

/* Its poller is the one that sweeps: whoever pushes into a channel takes the answers out. */
static int process_build(struct client_block *block, const struct process_device *device)
{
    struct vm_client *client = &block->client;
    struct vm *vm = client->vm;
    client->poller = vm->poller;
    client->poller_index = vm->poller_index;
    struct process_port *port = (struct process_port *)(void *)block->rest;
    port->policy = device->policy;
    atomic_init(&port->state, PROCESS_ABSENT);
    client->client.process = port;
    adoption_place_client(client);
    return poller_add_process(client->poller, &client->client, vm->page);
}

static int client_build(struct client_block *block, const struct vm_client_options *options)
{
    struct vm_client *client = &block->client;
    struct vm *vm = client->vm;
    const struct topology_poller *home = &vm->topology->pollers[options->poller_index];
    client->poller = options->is_external ? vm->poller : home->poller;
    client->poller_index = options->is_external ? vm->poller_index : options->poller_index;
    snprintf(client->client.name, sizeof(client->client.name), "%s", options->name);
    client->client.broken_after = options->broken_after;
    client->interrupt_route = options->interrupt;
    client->client.device = options->handle ? handler_create(options) : options->device;
    client->latency = &block->latency;
    client->client.latency = client->latency;
    if (options->is_external) {
        client->client.external = (struct external *)(void *)block->rest;
        return 0;
    }
    if (!client->client.device)
        return -ENOMEM;
    const struct process_device *process = process_device_of(client->client.device);
    if (process)
        return process_build(block, process);
    if (client->poller == vm->poller)
        return 0;
    client->client.deadline_ticks = ticks_from_ns(options->deadline_ns);
    struct inbox_rest *rest = (struct inbox_rest *)(void *)block->rest;
    client->client.inbox = inbox_init(&rest->inbox);
    rest->late.kind = options->late;
    rest->late.value = options->late_value;
    if (options->late != LATE_ONES)
        client->client.late_answers = &rest->late;
    return poller_add_inbox(client->poller, &client->client);
}

int vm_client_create(struct vm *vm, const struct vm_client_options *options,
                     struct vm_client **client)
{
    int result = check_options(vm, options);
    if (result < 0)
        return result;
    size_t size_bytes = sizeof(struct client_block) + rest_size_bytes(vm, options);
    uint32_t home_cpu = vm->topology->pollers[options->poller_index].cpu;
    struct client_block *block = memory_allocate(size_bytes, memory_node_of_cpu(home_cpu));
    if (!block)
        return -ENOMEM;
    struct vm_client *created = &block->client;
    created->vm = vm;
    created->size_bytes = size_bytes;
    result = client_build(block, options);
    if (result == 0 && created->client.device && created->client.device->ops->reset)
        created->client.device->ops->reset(created->client.device); /* nothing leads there yet */
    if (result == 0 && options->is_default) {
        result = vm_set_default_client(vm, created);
        /* A poller that still lists the inbox looks into it: the client then stays, unreachable. */
        if (result < 0 && ((created->client.inbox &&
                            poller_remove_inbox(created->poller, &created->client) < 0) ||
                           (created->client.process &&
                            poller_remove_process(created->poller, &created->client) < 0)))
            return result;
    }
    if (result < 0) {
        client_free(created, false);
        return result;
    }
    vm->clients[vm->client_count++] = created;
    *client = created;
    return 0;
}

static void forget_client(struct vm_client *client)
{
    struct vm *vm = client->vm;
    for (uint32_t i = 0; i < vm->client_count; i++) {
        if (vm->clients[i] != client)
            continue;
        vm->client_count--;
        memmove(&vm->clients[i], &vm->clients[i + 1],
                (vm->client_count - i) * sizeof(vm->clients[0]));
        return;
    }
}

static void settle_external(struct vm_client *client)
{
    struct request request;
    for (uint32_t vcpu = 0; vcpu < client->vm->page->vcpu_count; vcpu++) {
        uint64_t ticket = external_take(client->client.external, vcpu, &request);
        if (ticket)
            page_settle(client->vm->page, vcpu, ticket, UINT64_MAX);
    }
    /* Whoever waits sees is_destroying within a pause. */
    while (atomic_load_explicit(&client->waiters, memory_order_acquire) > 0)
        ticks_pause();
}

static void forget_inbox(void *context)
{
    struct vm_client *client = context;
    page_forget_client(client->vm->page, &client->client);
}

/* No more requests come: every entry of the inbox is handled by its poller, which is not stuck, or it is
 * gone and nobody is left who would. */
static int drain_inbox(struct vm_client *client)
{
    uint64_t deadline = ticks_now() + ticks_from_ns(VM_CALL_TIMEOUT_NS);
    while (!poller_is_gone(client->poller) && inbox_count(client->client.inbox) > 0) {
        if (ticks_now() > deadline)
            return -ETIMEDOUT;
        int result = poller_quiesce(client->poller, VM_CALL_TIMEOUT_NS);
        if (result < 0)
            return result;
    }
    int result = poller_remove_inbox(client->poller, &client->client);
    return result < 0
               ? result
               : poller_call_brief(client->vm->poller, forget_inbox, client, VM_CALL_TIMEOUT_NS);
}

/* Nothing is routed to the client any more once this returned 0; otherwise nothing changed. */
static int unpublish(struct vm_client *client)
{
    struct vm *vm = client->vm;
    struct router_range *ranges = client->ranges;
    size_t range_count = client->range_count;
    int result = vm_quiesce(vm); /* a poller that does not answer now is not begun with */
    if (result < 0)
        return result;
    client->ranges = NULL;
    client->range_count = 0;
    result = vm_publish_router(vm);
    if (result < 0) {
        client->ranges = ranges;
        client->range_count = range_count;
        return result;
    }
    free(ranges);
    if (vm->page->default_client == &client->client)
        result = vm_set_default_client(vm, NULL);
    return result < 0 ? result : vm_quiesce(vm);
}

int vm_client_destroy(struct vm_client *client)
{
    int result = unpublish(client);
    if (result < 0)
        return result;
    atomic_store_explicit(&client->is_destroying, true, memory_order_release);
    if (client->client.external)
        settle_external(client);
    if (client->client.process) {
        launcher_remove(client);
        result = registration_remove_client(client);
    }
    if (client->client.inbox)
        result = drain_inbox(client);
    adoption_forget_client(client);
    forget_client(client);
    service_close(client);
    if (result == 0)
        client_free(client, true);
    else
        client->vm->is_stuck = true; /* its poller hangs in it: it stays, unreachable */
    return result;
}
