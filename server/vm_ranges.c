/* SPDX-License-Identifier: BSD-3-Clause */
/* vm_client.h's ranges: a change goes into the router in use, a new set of ranges into a new one. */
#include "server/vm_client.h"

#include "server/notify/ioeventfd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

int vm_quiesce(struct vm *vm)
{
    int result = poller_quiesce(vm->poller, VM_CALL_TIMEOUT_NS);
    if (result < 0)
        return result;
    router_destroy(vm->retired);
    vm->retired = NULL;
    router_reclaim(vm->router);
    return 0;
}

static size_t count_ranges(const struct vm *vm)
{
    size_t count = ioeventfds_gather_ranges(vm, NULL);
    for (uint32_t i = 0; i < vm->client_count; i++)
        count += vm->clients[i]->range_count;
    return count;
}

int vm_publish_router(struct vm *vm)
{
    struct router_range *ranges = calloc(count_ranges(vm) + 1, sizeof(*ranges));
    if (!ranges)
        return -ENOMEM;
    size_t count = ioeventfds_gather_ranges(vm, ranges);
    for (uint32_t i = 0; i < vm->client_count; i++) {
        const struct vm_client *client = vm->clients[i];
        if (client->range_count)
            memcpy(ranges + count, client->ranges, client->range_count * sizeof(*ranges));
        count += client->range_count;
    }
    struct router *old = vm->router, *next = NULL;
    int result = router_create(ranges, count, vm->node, &next, NULL);
    free(ranges);
    if (result < 0)
        return result;
    vm->router = next;
    /* Release: pairs with the poller's acquire; the tree is complete before it is seen. */
    atomic_store_explicit(&vm->page->router, next, memory_order_release);
    old->older = vm->retired;
    vm->retired = old;
    vm_quiesce(vm); /* a poller that is stuck finds the new one when it is well again */
    return 0;
}

/* ---- one stretch of addresses ------------------------------------------------------------ */

struct range_list {
    struct router_range *ranges; /* [count], room for [capacity] */
    size_t count;
    size_t capacity;
};

static int list_add(struct range_list *list, const struct router_range *range)
{
    if (list->count == list->capacity) {
        size_t capacity = 2 * list->capacity + 16;
        struct router_range *grown = realloc(list->ranges, capacity * sizeof(*grown));
        if (!grown)
            return -ENOMEM;
        list->ranges = grown;
        list->capacity = capacity;
    }
    list->ranges[list->count++] = *range;
    return 0;
}

/* Adds those of ranges [count] that touch first..last. */
static int list_touching(struct range_list *list, const struct router_range *ranges, size_t count,
                         const struct router_range *span)
{
    int result = 0;
    for (size_t i = 0; i < count && result == 0; i++)
        if (ranges[i].first <= span->last && ranges[i].last >= span->first &&
            ranges[i].type == span->type)
            result = list_add(list, &ranges[i]);
    return result;
}

static int list_touching_doorbells(struct range_list *list, const struct vm *vm,
                                   const struct router_range *span)
{
    size_t count = ioeventfds_gather_ranges(vm, NULL);
    if (count == 0)
        return 0;
    struct router_range *ranges = calloc(count, sizeof(*ranges));
    if (!ranges)
        return -ENOMEM;
    ioeventfds_gather_ranges(vm, ranges);
    int result = list_touching(list, ranges, count, span);
    free(ranges);
    return result;
}

int vm_publish_range(struct vm *vm, uint32_t type, uint64_t first, uint64_t last)
{
    const struct router_range span = {.type = type, .first = first, .last = last};
    struct range_list touching = {0};
    int result = count_ranges(vm) > ROUTER_RANGES_MAX ? -E2BIG : 0;
    if (result == 0)
        result = list_touching_doorbells(&touching, vm, &span);
    for (uint32_t i = 0; i < vm->client_count && result == 0; i++)
        result =
            list_touching(&touching, vm->clients[i]->ranges, vm->clients[i]->range_count, &span);
    if (result == 0)
        result =
            router_change(vm->router, type, first, last, touching.ranges, touching.count, NULL);
    free(touching.ranges);
    if (result == 0)
        vm_quiesce(vm); /* if the poller is stuck, what was replaced is kept until it is well */
    return result;
}

static bool is_range_valid(uint32_t type, uint64_t first, uint64_t last)
{
    uint64_t space_last = type == REQUEST_PORTIO   ? PORT_LAST
                          : type == REQUEST_PCICFG ? PCICFG_LAST
                                                   : UINT64_MAX;
    return type < ROUTER_TREES && first <= last && last <= space_last;
}

int vm_client_add_range(struct vm_client *client, uint32_t type, uint64_t first, uint64_t last,
                        uint32_t priority)
{
    if (!is_range_valid(type, first, last) || priority == VM_PRIORITY_DOORBELL)
        return -EINVAL;
    struct router_range *ranges =
        realloc(client->ranges, (client->range_count + 1) * sizeof(*ranges));
    if (!ranges)
        return -ENOMEM;
    client->ranges = ranges;
    ranges[client->range_count++] = (struct router_range){
        .first = first,
        .last = last,
        .client = &client->client,
        .type = type,
        .range_index = client->next_range_index,
        .priority = priority,
    };
    int result = vm_publish_range(client->vm, type, first, last);
    if (result < 0)
        client->range_count--;
    else
        client->next_range_index++;
    return result;
}

/* The range of these bounds; of several priorities the one in front. NULL: there is none. */
static struct router_range *find_range(const struct vm_client *client, uint32_t type,
                                       uint64_t first, uint64_t last)
{
    struct router_range *found = NULL;
    for (size_t i = 0; i < client->range_count; i++) {
        struct router_range *range = &client->ranges[i];
        if (range->type == type && range->first == first && range->last == last &&
            (!found || range->priority > found->priority))
            found = range;
    }
    return found;
}

uint32_t vm_client_priority(const struct vm_client *client, uint32_t type, uint64_t first,
                            uint64_t last)
{
    const struct router_range *range = find_range(client, type, first, last);
    return range ? range->priority : 0;
}

int vm_client_delete_range(struct vm_client *client, uint32_t type, uint64_t first, uint64_t last)
{
    struct router_range *range = find_range(client, type, first, last);
    if (!range)
        return -ENOENT;
    struct router_range deleted = *range;
    *range = client->ranges[--client->range_count];
    int result = vm_publish_range(client->vm, type, first, last);
    if (result < 0) {
        client->ranges[client->range_count++] = *range;
        *range = deleted;
    }
    return result;
}

/* Ranges of one client, taken out of those of its VM. */
static int take_ranges(struct vm_client *client, const struct router_range *ranges, size_t count,
                       struct router_range **taken, size_t *taken_count)
{
    size_t own_count = 0; /* of many clients each may have few */
    for (size_t i = 0; i < count; i++)
        own_count += ranges[i].client == &client->client;
    *taken = calloc(own_count + 1, sizeof(**taken));
    if (!*taken)
        return -ENOMEM;
    *taken_count = 0;
    for (size_t i = 0; i < count; i++) {
        if (ranges[i].client != &client->client)
            continue;
        if (!is_range_valid(ranges[i].type, ranges[i].first, ranges[i].last) ||
            ranges[i].priority == VM_PRIORITY_DOORBELL)
            return -EINVAL;
        (*taken)[(*taken_count)++] = ranges[i];
    }
    return 0;
}

static void swap_ranges(struct vm *vm, struct router_range **ranges, size_t *counts)
{
    for (uint32_t i = 0; i < vm->client_count; i++) {
        struct router_range *old = vm->clients[i]->ranges;
        size_t old_count = vm->clients[i]->range_count;
        vm->clients[i]->ranges = ranges[i];
        vm->clients[i]->range_count = counts[i];
        ranges[i] = old;
        counts[i] = old_count;
    }
}

/* A range that is added later gets an index of its own. */
static void count_indices(struct vm_client *client)
{
    for (size_t i = 0; i < client->range_count; i++)
        if (client->next_range_index <= client->ranges[i].range_index)
            client->next_range_index = client->ranges[i].range_index + 1;
}

int vm_set_ranges(struct vm *vm, const struct router_range *ranges, size_t count)
{
    struct router_range *taken[VM_CLIENTS_MAX] = {NULL};
    size_t counts[VM_CLIENTS_MAX] = {0};
    size_t taken_in_all = 0;
    int result = count > ROUTER_RANGES_MAX ? -E2BIG : 0;
    for (uint32_t i = 0; i < vm->client_count && result == 0; i++) {
        result = take_ranges(vm->clients[i], ranges, count, &taken[i], &counts[i]);
        taken_in_all += counts[i];
    }
    if (result == 0 && taken_in_all != count)
        result = -EINVAL; /* a client of another VM */
    if (result == 0) {
        swap_ranges(vm, taken, counts);
        result = vm_publish_router(vm);
        if (result < 0)
            swap_ranges(vm, taken, counts);
    }
    for (uint32_t i = 0; i < vm->client_count; i++) {
        if (result == 0)
            count_indices(vm->clients[i]);
        free(taken[i]);
    }
    return result;
}
