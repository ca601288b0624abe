/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/notify/ioeventfd.h"

#include "clients/doorbell.h"
#include "pollers/histogram.h"
#include "pollers/memory.h"
#include "pollers/notifier.h"
#include "pollers/pci_ports.h"
#include "server/notify/eventfd.h"
#include "server/topology.h"
#include "server/vm_client.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* One entry of an address, in the order of their assignment. */
struct entry {
    uint64_t eventfd_id;
    struct doorbell_bell bell;
};

/* One address. */
struct address {
    struct address *next;
    struct vm *vm;
    uint32_t type;
    enum ioeventfd_reads reads;
    struct doorbell doorbell;
    struct doorbell_table *table;      /* the doorbell's */
    struct doorbell_table *next_table; /* on its way there */
    uint32_t entry_count;
    struct entry entries[DOORBELL_BELLS_MAX];
};

struct ioeventfds {
    struct address *addresses;
    struct address *retired; /* without a route; the poller did not answer since */
    struct doorbell_figures figures;
    struct histogram latency;
};

static struct notifier *vm_notifier(const struct vm *vm)
{
    return vm->topology->notifier;
}

/* The last address of the widest entry. */
static uint64_t last_of(const struct address *address)
{
    uint32_t length_bytes = 1;
    for (uint32_t i = 0; i < address->entry_count; i++)
        if (address->entries[i].bell.length_bytes > length_bytes)
            length_bytes = address->entries[i].bell.length_bytes;
    return address->doorbell.options.address + (length_bytes - 1);
}

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

static bool is_same_place(const struct address *address, const struct ioeventfd_options *options)
{
    return address->type == options->type && address->doorbell.options.address == options->address;
}

/* *found: the address that is there already, or NULL. */
static int check_conflicts(const struct vm *vm, const struct ioeventfd_options *options,
                           uint64_t eventfd_id, struct address **found)
{
    uint64_t last = options->address + (options->length_bytes - 1);
    *found = NULL;
    if (vm->has_pci && options->type == REQUEST_PORTIO &&
        ranges_overlap(options->address, last, PCI_PORT_ADDRESS, PCI_PORT_DATA_LAST))
        return -EEXIST;
    for (struct address *each = vm->ioeventfds->addresses; each; each = each->next) {
        if (is_same_place(each, options))
            *found = each;
        else if (each->type == options->type &&
                 ranges_overlap(options->address, last, each->doorbell.options.address,
                                last_of(each)))
            return -EEXIST;
    }
    if (!*found)
        return 0;
    if ((*found)->reads != options->reads)
        return -EEXIST;
    for (uint32_t i = 0; i < (*found)->entry_count; i++) {
        const struct entry *entry = &(*found)->entries[i];
        if (entry->eventfd_id == eventfd_id &&
            (!options->has_datamatch || entry->bell.is_wildcard ||
             entry->bell.data == options->data))
            return -EEXIST;
    }
    return (*found)->entry_count == DOORBELL_BELLS_MAX ? -ENOSPC : 0;
}

/* ---- tables ------------------------------------------------------------------------------ */

/* On the sweeping poller: between two requests, so that nothing of the old one is in use. */
static void install_table(void *context)
{
    struct address *address = context;
    doorbell_set_table(&address->doorbell, address->next_table);
}

static struct doorbell_table *build_table(const struct address *address)
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
static int apply_entries(struct address *address)
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

/* ---- assign ------------------------------------------------------------------------------ */

static void ring(void *context, uint32_t signal)
{
    notifier_push(context, signal);
}

static struct address *address_create(struct vm *vm, const struct ioeventfd_options *options)
{
    struct address *address = calloc(1, sizeof(*address));
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

static void add_entry(struct address *address, const struct ioeventfd_options *options,
                      uint64_t eventfd_id, uint32_t signal)
{
    address->entries[address->entry_count++] = (struct entry){
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

static void unlink_address(struct address *address)
{
    struct address **link = &address->vm->ioeventfds->addresses;
    while (*link != address)
        link = &(*link)->next;
    *link = address->next;
}

static void address_free(struct address *address)
{
    free(address->table);
    free(address);
}

/* Its route is other than before: as far as the longest doorbell reaches, for an attempt that failed
 * may have left it longer than it is. */
static int publish_route(const struct address *address)
{
    uint64_t first = address->doorbell.options.address;
    uint64_t last = first <= UINT64_MAX - 7 ? first + 7 : UINT64_MAX;
    return vm_publish_range(address->vm, address->type, first, last);
}

/* A doorbell where there was none: complete before its route is published. */
static int open_address(struct address *address)
{
    struct vm *vm = address->vm;
    address->table = build_table(address);
    if (!address->table) {
        address_free(address);
        return -ENOMEM;
    }
    doorbell_set_table(&address->doorbell, address->table);
    address->next = vm->ioeventfds->addresses;
    vm->ioeventfds->addresses = address;
    int result = publish_route(address);
    if (result < 0) {
        unlink_address(address);
        address_free(address);
    }
    return result;
}

/* One more entry where there are others; a longer one makes the route longer. */
static int extend_address(struct address *address, uint64_t last_before)
{
    int result = apply_entries(address);
    if (result == 0 && last_of(address) != last_before) {
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

static int assign(struct vm *vm, const struct ioeventfd_options *options, uint64_t eventfd_id,
                  struct address *address)
{
    uint32_t signal;
    int result = notifier_add(vm_notifier(vm), options->descriptor, &signal);
    if (result < 0)
        return result;
    struct address *target = address ? address : address_create(vm, options);
    result = -ENOMEM;
    if (target) {
        uint64_t last_before = last_of(target);
        add_entry(target, options, eventfd_id, signal);
        result = address ? extend_address(target, last_before) : open_address(target);
    }
    if (result < 0 && !vm->is_stuck)
        notifier_remove(vm_notifier(vm), signal);
    return result;
}

int vm_ioeventfd_assign(struct vm *vm, const struct ioeventfd_options *options)
{
    uint64_t eventfd_id;
    struct address *address;
    int result = check_options(options);
    if (result == 0)
        result = eventfd_identify(options->descriptor, &eventfd_id);
    if (result < 0)
        return result;
    if (vm->is_stuck)
        return -EINPROGRESS;
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

static bool is_entry(const struct entry *entry, const struct ioeventfd_options *options,
                     uint64_t eventfd_id)
{
    return entry->eventfd_id == eventfd_id && entry->bell.length_bytes == options->length_bytes &&
           entry->bell.is_wildcard == !options->has_datamatch &&
           (entry->bell.is_wildcard || entry->bell.data == options->data);
}

/* Takes the route back, then the doorbell. */
static int close_address(struct address *address)
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
    address_free(address);
    return notifier_remove(vm_notifier(vm), signal);
}

static int shrink_address(struct address *address, uint32_t index)
{
    struct vm *vm = address->vm;
    struct entry before[DOORBELL_BELLS_MAX];
    uint64_t last_before = last_of(address);
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
    if (last_of(address) != last_before)
        publish_route(address);
    return notifier_remove(vm_notifier(vm), before[index].bell.signal);
}

int vm_ioeventfd_deassign(struct vm *vm, const struct ioeventfd_options *options)
{
    uint64_t eventfd_id;
    int result = check_options(options);
    if (result == 0)
        result = eventfd_identify(options->descriptor, &eventfd_id);
    if (result < 0)
        return result;
    if (vm->is_stuck)
        return -EINPROGRESS;
    for (struct address *each = vm->ioeventfds ? vm->ioeventfds->addresses : NULL; each;
         each = each->next) {
        if (!is_same_place(each, options))
            continue;
        for (uint32_t i = 0; i < each->entry_count; i++)
            if (is_entry(&each->entries[i], options, eventfd_id))
                return each->entry_count == 1 ? close_address(each) : shrink_address(each, i);
    }
    return -ENOENT;
}

/* ---- for the VM -------------------------------------------------------------------------- */

size_t ioeventfds_gather_ranges(const struct vm *vm, struct router_range *ranges)
{
    size_t count = 0;
    if (!vm->ioeventfds)
        return 0;
    for (struct address *each = vm->ioeventfds->addresses; each; each = each->next, count++)
        if (ranges)
            ranges[count] = (struct router_range){
                .first = each->doorbell.options.address,
                .last = last_of(each),
                .client = &each->doorbell.client,
                .type = each->type,
                .priority = VM_PRIORITY_DOORBELL,
            };
    return count;
}

static void destroy_addresses(struct vm *vm, struct address *first)
{
    while (first) {
        struct address *next = first->next;
        for (uint32_t i = 0; i < first->entry_count; i++)
            notifier_remove(vm_notifier(vm), first->entries[i].bell.signal);
        address_free(first);
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
    for (const struct address *each = vm->ioeventfds->addresses; each; each = each->next)
        figures.assigned += each->entry_count;
    figures.rings = counter_read(&vm->ioeventfds->figures.rings);
    figures.misses = counter_read(&vm->ioeventfds->figures.misses);
    return figures;
}
