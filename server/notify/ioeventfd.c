/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/notify/doorbell_address.h"

#include "pollers/memory.h"
#include "pollers/pci_ports.h"
#include "server/notify/eventfd.h"
#include "server/vm_client.h"

#include <errno.h>

static bool ranges_overlap(uint64_t first, uint64_t last, uint64_t other_first, uint64_t other_last)
{
    return first <= other_last && other_first <= last;
}

/* ---- checks ------------------------------------------------------------------------------ */

static int check_options(const struct ioeventfd_options *options)
{
    uint32_t length = options->length_bytes;
    uint64_t space_last = options->type == REQUEST_PORTIO ? PORT_LAST : UINT64_MAX;
    bool is_length_valid = length == 1 || length == 2 || length == 4 || length == 8;
    if ((options->type != REQUEST_PORTIO && options->type != REQUEST_MMIO) || !is_length_valid ||
        options->address > space_last || length - 1 > space_last - options->address ||
        (options->reads != IOEVENTFD_READS_ZERO && options->reads != IOEVENTFD_READS_ONES))
        return -EINVAL;
    return 0;
}

/* What an assign and a deassign ask first. */
static int begin_change(const struct vm *vm, const struct ioeventfd_options *options,
                        uint64_t *eventfd_id)
{
    int result = check_options(options);
    if (result == 0)
        result = eventfd_identify(options->descriptor, eventfd_id);
    return result == 0 && vm->is_stuck ? -EINPROGRESS : result;
}

static bool is_same_place(const struct doorbell_address *address,
                          const struct ioeventfd_options *options)
{
    return address->type == options->type && address->doorbell.options.address == options->address;
}

/* *found: the address that is there already, or NULL. */
static int check_conflicts(const struct vm *vm, const struct ioeventfd_options *options,
                           uint64_t eventfd_id, struct doorbell_address **found)
{
    uint64_t last = options->address + (options->length_bytes - 1);
    *found = NULL;
    if (vm->has_pci && options->type == REQUEST_PORTIO &&
        ranges_overlap(options->address, last, PCI_PORT_ADDRESS, PCI_PORT_DATA_LAST))
        return -EEXIST;
    for (struct doorbell_address *each = vm->ioeventfds->addresses; each; each = each->next) {
        if (is_same_place(each, options))
            *found = each;
        else if (each->type == options->type &&
                 ranges_overlap(options->address, last, each->doorbell.options.address,
                                doorbell_address_last(each)))
            return -EEXIST;
    }
    if (!*found)
        return 0;
    if ((*found)->reads != options->reads)
        return -EEXIST;
    for (uint32_t i = 0; i < (*found)->entry_count; i++) {
        const struct doorbell_entry *entry = &(*found)->entries[i];
        if (entry->eventfd_id == eventfd_id &&
            (!options->has_datamatch || entry->bell.is_wildcard ||
             entry->bell.data == options->data))
            return -EEXIST;
    }
    return (*found)->entry_count == DOORBELL_BELLS_MAX ? -ENOSPC : 0;
}

/* ---- assign ------------------------------------------------------------------------------ */

static int assign(struct vm *vm, const struct ioeventfd_options *options, uint64_t eventfd_id,
                  struct doorbell_address *address)
{
    uint32_t signal;
    int result = notifier_add(doorbell_notifier(vm), options->descriptor, &signal);
    if (result < 0)
        return result;
    struct doorbell_address *target = address ? address : doorbell_address_create(vm, options);
    result = -ENOMEM;
    if (target) {
        uint64_t last_before = doorbell_address_last(target);
        doorbell_address_add(target, options, eventfd_id, signal);
        result =
            address ? doorbell_address_extend(target, last_before) : doorbell_address_open(target);
    }
    if (result < 0 && !vm->is_stuck)
        notifier_remove(doorbell_notifier(vm), signal);
    return result;
}

int vm_ioeventfd_assign(struct vm *vm, const struct ioeventfd_options *options)
{
    uint64_t eventfd_id;
    struct doorbell_address *address;
    int result = begin_change(vm, options, &eventfd_id);
    if (result < 0)
        return result;
    if (!vm->ioeventfds)
        vm->ioeventfds = memory_allocate(sizeof(*vm->ioeventfds), vm->node);
    if (!vm->ioeventfds)
        return -ENOMEM;
    result = check_conflicts(vm, options, eventfd_id, &address);
    if (result < 0)
        return result;
    struct memory_policy policy; /* doorbells are for the sweeping poller to touch */
    memory_policy_push(vm->node, &policy);
    result = assign(vm, options, eventfd_id, address);
    memory_policy_pop(&policy);
    return result;
}

/* ---- deassign ---------------------------------------------------------------------------- */

static bool is_entry(const struct doorbell_entry *entry, const struct ioeventfd_options *options,
                     uint64_t eventfd_id)
{
    return entry->eventfd_id == eventfd_id && entry->bell.length_bytes == options->length_bytes &&
           entry->bell.is_wildcard == !options->has_datamatch &&
           (entry->bell.is_wildcard || entry->bell.data == options->data);
}

int vm_ioeventfd_deassign(struct vm *vm, const struct ioeventfd_options *options)
{
    uint64_t eventfd_id;
    int result = begin_change(vm, options, &eventfd_id);
    if (result < 0)
        return result;
    for (struct doorbell_address *each = vm->ioeventfds ? vm->ioeventfds->addresses : NULL; each;
         each = each->next) {
        if (!is_same_place(each, options))
            continue;
        for (uint32_t i = 0; i < each->entry_count; i++)
            if (is_entry(&each->entries[i], options, eventfd_id))
                return each->entry_count == 1 ? doorbell_address_close(each)
                                              : doorbell_address_shrink(each, i);
    }
    return -ENOENT;
}

/* ---- for the VM -------------------------------------------------------------------------- */

size_t ioeventfds_gather_ranges(const struct vm *vm, struct router_range *ranges)
{
    size_t count = 0;
    if (!vm->ioeventfds)
        return 0;
    for (struct doorbell_address *each = vm->ioeventfds->addresses; each;
         each = each->next, count++)
        if (ranges)
            ranges[count] = (struct router_range){
                .first = each->doorbell.options.address,
                .last = doorbell_address_last(each),
                .client = &each->doorbell.client,
                .type = each->type,
                .priority = VM_PRIORITY_DOORBELL,
            };
    return count;
}

static void destroy_addresses(struct vm *vm, struct doorbell_address *first)
{
    while (first) {
        struct doorbell_address *next = first->next;
        for (uint32_t i = 0; i < first->entry_count; i++)
            notifier_remove(doorbell_notifier(vm), first->entries[i].bell.signal);
        doorbell_address_destroy(first);
        first = next;
    }
}

void ioeventfds_destroy(struct vm *vm)
{
    if (!vm->ioeventfds)
        return;
    destroy_addresses(vm, vm->ioeventfds->addresses);
    destroy_addresses(vm, vm->ioeventfds->retired);
    memory_free(vm->ioeventfds, sizeof(*vm->ioeventfds));
    vm->ioeventfds = NULL;
}

struct ioeventfd_figures vm_ioeventfd_figures(const struct vm *vm)
{
    struct ioeventfd_figures figures = {0};
    if (!vm->ioeventfds)
        return figures;
    for (const struct doorbell_address *each = vm->ioeventfds->addresses; each; each = each->next)
        figures.assigned += each->entry_count;
    figures.rings = counter_read(&vm->ioeventfds->figures.rings);
    figures.misses = counter_read(&vm->ioeventfds->figures.misses);
    return figures;
}
