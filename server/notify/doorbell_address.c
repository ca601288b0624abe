/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/notify/doorbell_address.h"

#include "server/vm_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

uint64_t doorbell_address_last(const struct doorbell_address *address)
{
    uint32_t length_bytes = 1;
    for (uint32_t i = 0; i < address->entry_count; i++)
        if (address->entries[i].bell.length_bytes > length_bytes)
            length_bytes = address->entries[i].bell.length_bytes;
    return address->doorbell.options.address + (length_bytes - 1);
}

/* On the sweeping poller: between two requests, so that nothing of the old one is in use. */
static void install_table(void *context)
{
    struct doorbell_address *address = context;
    doorbell_set_table(&address->doorbell, address->next_table);
}

static struct doorbell_table *build_table(const struct doorbell_address *address)
{
    struct doorbell_table *table =
        calloc(1, sizeof(*table) + address->entry_count * sizeof(table->bells[0]));
    if (!table)
        return NULL;
    table->count = address->entry_count;
    for (uint32_t i = 0; i < table->count; i++)
        table->bells[i] = address->entries[i].bell;
    return table;
}

/* Lets the poller see the entries as they are now; it does not push for any other any more.
 * -ETIMEDOUT, -ENOMEM: it still sees what it saw. */
static int apply_entries(struct doorbell_address *address)
{
    struct vm *vm = address->vm;
    struct doorbell_table *old = address->table;
    address->next_table = build_table(address);
    if (!address->next_table)
        return -ENOMEM;
    int result = poller_call_brief(vm->poller, install_table, address, VM_CALL_TIMEOUT_NS);
    if (result == 0)
        address->table = address->next_table;
    free(result == 0 ? old : address->next_table);
    return result;
}

static void ring(void *context, uint32_t signal)
{
    notifier_push(context, signal);
}

struct doorbell_address *doorbell_address_create(struct vm *vm,
                                                 const struct ioeventfd_options *options)
{
    struct doorbell_address *address = calloc(1, sizeof(*address));
    if (!address)
        return NULL;
    address->vm = vm;
    address->type = options->type;
    address->reads = options->reads;
    const struct doorbell_options doorbell = {
        .address = options->address,
        .read_value = options->reads == IOEVENTFD_READS_ONES ? UINT64_MAX : 0,
        .latency = &vm->ioeventfds->latency,
        .figures = &vm->ioeventfds->figures,
        .ring = ring,
        .ring_context = vm->topology->pollers[vm->poller_index].notifier_port,
    };
    doorbell_init(&address->doorbell, &doorbell);
    return address;
}

void doorbell_address_add(struct doorbell_address *address, const struct ioeventfd_options *options,
                          uint64_t eventfd_id, uint32_t signal)
{
    address->entries[address->entry_count++] = (struct doorbell_entry){
        .eventfd_id = eventfd_id,
        .bell =
            {
                .data = options->has_datamatch ? options->data : 0,
                .length_bytes = options->length_bytes,
                .signal = signal,
                .is_wildcard = !options->has_datamatch,
            },
    };
}

static void unlink_address(struct doorbell_address *address)
{
    struct doorbell_address **link = &address->vm->ioeventfds->addresses;
    while (*link != address)
        link = &(*link)->next;
    *link = address->next;
}

void doorbell_address_destroy(struct doorbell_address *address)
{
    free(address->table);
    free(address);
}

/* Its route is other than before: as far as the longest doorbell reaches, for an attempt that failed
 * may have left it longer than it is. */
static int publish_route(const struct doorbell_address *address)
{
    uint64_t first = address->doorbell.options.address;
    uint64_t last = first <= UINT64_MAX - 7 ? first + 7 : UINT64_MAX;
    return vm_publish_range(address->vm, address->type, first, last);
}

/* The doorbell is complete before its route is published. */
int doorbell_address_open(struct doorbell_address *address)
{
    struct vm *vm = address->vm;
    address->table = build_table(address);
    if (!address->table) {
        doorbell_address_destroy(address);
        return -ENOMEM;
    }
    doorbell_set_table(&address->doorbell, address->table);
    address->next = vm->ioeventfds->addresses;
    vm->ioeventfds->addresses = address;
    int result = publish_route(address);
    if (result < 0) {
        unlink_address(address);
        doorbell_address_destroy(address);
    }
    return result;
}

int doorbell_address_extend(struct doorbell_address *address, uint64_t last_before)
{
    int result = apply_entries(address);
    if (result == 0 && doorbell_address_last(address) != last_before) {
        result = publish_route(address);
        if (result == 0)
            return 0;
        address->entry_count--;
        apply_entries(address);
        return result;
    }
    if (result < 0)
        address->entry_count--;
    return result;
}

int doorbell_address_close(struct doorbell_address *address)
{
    struct vm *vm = address->vm;
    uint32_t signal = address->entries[0].bell.signal;
    int result = vm_quiesce(vm); /* with a poller that does not answer now nothing is begun */
    if (result < 0)
        return result;
    unlink_address(address);
    result = publish_route(address);
    if (result < 0) {
        address->next = vm->ioeventfds->addresses;
        vm->ioeventfds->addresses = address;
        return result;
    }
    result = vm_quiesce(vm);
    if (result < 0) { /* it may still come here */
        address->next = vm->ioeventfds->retired;
        vm->ioeventfds->retired = address;
        return result;
    }
    doorbell_address_destroy(address);
    return notifier_remove(doorbell_notifier(vm), signal);
}

int doorbell_address_shrink(struct doorbell_address *address, uint32_t index)
{
    struct vm *vm = address->vm;
    struct doorbell_entry before[DOORBELL_BELLS_MAX];
    uint64_t last_before = doorbell_address_last(address);
    memcpy(before, address->entries, sizeof(before));
    address->entry_count--;
    memmove(&address->entries[index], &before[index + 1],
            (address->entry_count - index) * sizeof(before[0]));
    int result = apply_entries(address);
    if (result < 0) {
        memcpy(address->entries, before, sizeof(before));
        address->entry_count++;
        return result;
    }
    /* Without memory for that the route stays longer until its next change: wide writes miss. */
    if (doorbell_address_last(address) != last_before)
        publish_route(address);
    return notifier_remove(doorbell_notifier(vm), before[index].bell.signal);
}
