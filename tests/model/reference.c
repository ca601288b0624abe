/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/model/reference.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* ---- VMs --------------------------------------------------------------------------------- */

struct reference_vm *reference_vm_add(struct reference *reference, uint32_t poller_index,
                                      uint32_t vcpus, bool has_pci)
{
    struct reference_vm *vm = calloc(1, sizeof(*vm));
    assert(vm);
    vm->poller_index = poller_index;
    vm->vcpus = vcpus;
    vm->has_pci = has_pci;
    vm->next = reference->vms;
    reference->vms = vm;
    return vm;
}

void reference_vm_remove(struct reference *reference, struct reference_vm *vm)
{
    while (vm->clients) {
        reference_forget_ranges(vm->clients);
        reference_client_remove(vm, vm->clients);
    }
    struct reference_vm **link = &reference->vms;
    while (*link != vm)
        link = &(*link)->next;
    *link = vm->next;
    free(vm);
}

void reference_open(struct reference_vm *vm, bool is_running)
{
    memset(vm->slots, 0, sizeof(vm->slots));
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        vm->slots[i].processed = SLOT_FREE;
        vm->stray_was_seen[i] = false;
    }
    vm->pci_address = 0;
    vm->is_swept = is_running;
}

void reference_close(struct reference_vm *vm)
{
    vm->is_swept = false;
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        vm->flights[i].client = NULL;
    reference_abandon_settled(vm);
}

void reference_abandon(struct reference_vm *vm, uint32_t slot_index)
{
    struct reference_asked *asked = &vm->asked[slot_index];
    for (uint32_t i = 0; i < asked->client->inbox_count; i++)
        if (asked->client->inbox[i].sequence == asked->sequence)
            asked->client->inbox[i].is_revoked = true;
    asked->client = NULL;
}

void reference_abandon_settled(struct reference_vm *vm)
{
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        if (vm->asked[i].client &&
            !(vm->flights[i].client && vm->flights[i].sequence == vm->asked[i].sequence))
            reference_abandon(vm, i);
}

int reference_settle_all(struct reference_vm *vm)
{
    int settled = 0;
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        if (vm->flights[i].client)
            settled += reference_settle(vm, i, UINT64_MAX);
    return settled;
}

/* ---- clients ----------------------------------------------------------------------------- */

struct reference_client *reference_client_add(struct reference_vm *vm, uint32_t poller_index,
                                              bool is_external)
{
    struct reference_client *client = calloc(1, sizeof(*client));
    assert(client);
    client->poller_index = is_external ? vm->poller_index : poller_index;
    client->is_external = is_external;
    client->is_far = client->poller_index != vm->poller_index;
    client->next = vm->clients;
    vm->clients = client;
    return client;
}

void reference_client_remove(struct reference_vm *vm, struct reference_client *client)
{
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        if (vm->flights[i].client == client)
            reference_settle(vm, i, UINT64_MAX);
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        if (vm->asked[i].client == client)
            vm->asked[i].client = NULL;
    if (vm->default_client == client)
        vm->default_client = NULL;
    struct reference_client **link = &vm->clients;
    while (*link != client)
        link = &(*link)->next;
    *link = client->next;
    free(client);
}

void reference_set_default(struct reference_vm *vm, struct reference_client *client)
{
    if (vm->default_client)
        vm->default_client->is_default = false;
    vm->default_client = client;
    if (client)
        client->is_default = true;
}

/* ---- ranges ------------------------------------------------------------------------------ */

static bool is_range_valid(const struct reference_range *range)
{
    if (range->last < range->first)
        return false;
    switch (range->type) {
    case REQUEST_PORTIO:
        return range->last <= 0xffff;
    case REQUEST_MMIO:
        return true;
    case REQUEST_PCICFG: /* 256 buses of 32 devices of 8 functions of 4096 bytes */
        return range->last < 256ull * 32 * 8 * 4096;
    default:
        return false;
    }
}

static bool do_collide(const struct reference_range *a, const struct reference_range *b)
{
    return a->type == b->type && a->priority == b->priority && a->first <= b->last &&
           b->first <= a->last;
}

static struct reference_range *range_copy(const struct reference_range *range)
{
    struct reference_range *copy = malloc(sizeof(*copy));
    assert(copy);
    *copy = *range;
    return copy;
}

static void range_append(struct reference_client *client, const struct reference_range *range)
{
    struct reference_range *copy = range_copy(range);
    copy->next = client->ranges;
    client->ranges = copy;
    if (client->next_range_index <= range->range_index)
        client->next_range_index = range->range_index + 1;
}

int reference_add_range(struct reference_vm *vm, struct reference_client *client,
                        const struct reference_range *range)
{
    if (!is_range_valid(range))
        return -EINVAL;
    for (const struct reference_client *other = vm->clients; other; other = other->next)
        for (const struct reference_range *old = other->ranges; old; old = old->next)
            if (do_collide(old, range))
                return -EEXIST;
    struct reference_range added = *range;
    added.range_index = client->next_range_index;
    range_append(client, &added);
    return 0;
}

int reference_delete_range(struct reference_client *client, uint32_t type, uint64_t first,
                           uint64_t last)
{
    struct reference_range **deleted = NULL;
    /* Of several priorities the one that is in front. */
    for (struct reference_range **link = &client->ranges; *link; link = &(*link)->next)
        if ((*link)->type == type && (*link)->first == first && (*link)->last == last &&
            (!deleted || (*link)->priority > (*deleted)->priority))
            deleted = link;
    if (!deleted)
        return -ENOENT;
    struct reference_range *range = *deleted;
    *deleted = range->next;
    free(range);
    return 0;
}

void reference_forget_ranges(struct reference_client *client)
{
    while (client->ranges) {
        struct reference_range *range = client->ranges;
        client->ranges = range->next;
        free(range);
    }
}

int reference_set_ranges(struct reference_vm *vm, struct reference_client *const *owners,
                         const struct reference_range *ranges, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!owners[i] || !is_range_valid(&ranges[i]))
            return -EINVAL;
    for (size_t i = 0; i < count; i++)
        for (size_t k = 0; k < i; k++)
            if (do_collide(&ranges[i], &ranges[k]))
                return -EEXIST;
    for (struct reference_client *client = vm->clients; client; client = client->next)
        reference_forget_ranges(client);
    for (size_t i = 0; i < count; i++)
        range_append(owners[i], &ranges[i]);
    return 0;
}

/* Who owns one address: of the ranges that hold it, the one of the highest priority. */
static const struct reference_range *owner_of(const struct reference_vm *vm, uint32_t type,
                                              uint64_t address, struct reference_client **client)
{
    const struct reference_range *owner = NULL;
    for (struct reference_client *candidate = vm->clients; candidate; candidate = candidate->next) {
        for (const struct reference_range *range = candidate->ranges; range; range = range->next) {
            if (range->type != type || address < range->first || address > range->last ||
                (owner && owner->priority > range->priority))
                continue;
            owner = range;
            *client = candidate;
        }
    }
    return owner;
}

const struct reference_range *reference_route(const struct reference_vm *vm, uint32_t type,
                                              uint64_t address, uint32_t size_bytes,
                                              struct reference_client **client)
{
    const struct reference_range *owner = owner_of(vm, type, address, client);
    struct reference_client *other;
    for (uint32_t i = 1; i < size_bytes; i++)
        if (owner_of(vm, type, address + i, &other) != owner)
            return NULL;
    return owner;
}

/* ---- external clients -------------------------------------------------------------------- */

uint32_t reference_waiting(const struct reference_vm *vm, const struct reference_client *client)
{
    uint32_t waiting = 0;
    for (uint32_t i = 0; i < vm->vcpus; i++)
        if (vm->flights[i].client == client)
            waiting |= 1u << i;
    return waiting;
}

int reference_look(const struct reference_vm *vm, const struct reference_client *client,
                   uint32_t vcpu, struct request *request)
{
    if (!client->is_external || vcpu >= vm->vcpus)
        return -EINVAL;
    if (vm->flights[vcpu].client != client)
        return -ENOENT;
    *request = vm->flights[vcpu].request;
    return 0;
}

int reference_finish(struct reference_vm *vm, struct reference_client *client, uint32_t vcpu,
                     uint64_t value)
{
    if (!client->is_external || vcpu >= vm->vcpus)
        return -EINVAL;
    if (vm->flights[vcpu].client == client && reference_settle(vm, vcpu, value)) {
        client->accesses++;
        return 0;
    }
    vm->settled[PAGE_REFUSED]++;
    return -ENOENT;
}
