/* SPDX-License-Identifier: BSD-3-Clause */
/* What a poller does in one round: every slot of its VMs, what came back from other pollers, then the
 * inboxes of its clients. */
#include "tests/model/reference.h"

#include <assert.h>
#include <string.h>

/* ---- answering --------------------------------------------------------------------------- */

static uint64_t ones(uint64_t size_bytes)
{
    uint64_t value = 0;
    for (uint64_t i = 0; i < size_bytes && i < 8; i++)
        value = value << 8 | 0xff;
    return value;
}

/* Ports and configuration space have answers of 32 bits. */
static void write_value(struct acrn_io_request *slot, uint32_t type, uint64_t value)
{
    if (type == REQUEST_PORTIO || type == REQUEST_PCICFG)
        slot->reqs.pio_request.value = (uint32_t)value;
    else
        slot->reqs.mmio_request.value = value;
}

bool reference_settle(struct reference_vm *vm, uint32_t slot_index, uint64_t value)
{
    struct reference_flight *flight = &vm->flights[slot_index];
    struct acrn_io_request *slot = &vm->slots[slot_index];
    assert(flight->client);
    flight->client = NULL;
    if (slot->processed != SLOT_PROCESSING) {
        vm->settled[PAGE_DROPPED]++;
        return false;
    }
    if (flight->request.direction == REQUEST_READ)
        write_value(slot, flight->type, value & ones(flight->request.size_bytes));
    slot->processed = SLOT_COMPLETE;
    vm->settled[PAGE_UNNOTIFIED] += !flight->is_polling;
    return true;
}

/* Without any client, and counted as `reason`. */
static void answer_at_once(struct reference_vm *vm, struct acrn_io_request *slot, uint64_t value,
                           uint32_t reason)
{
    vm->counters[PAGE_REQUESTS]++;
    if (reason != PAGE_REQUESTS)
        vm->counters[reason]++;
    vm->odd_state[slot - vm->slots] = 0;
    if (slot->reqs.mmio_request.direction != REQUEST_WRITE)
        write_value(slot, slot->type, value);
    slot->processed = SLOT_COMPLETE;
    vm->settled[PAGE_UNNOTIFIED] += slot->completion_polling == 0;
}

static uint64_t handle(struct reference_client *client, struct request *request)
{
    uint64_t value = UINT64_MAX;
    if (!client->is_broken) {
        if (client->handle(client->context, request) == 0)
            value = request->value;
        else if (++client->errors == client->broken_after)
            client->is_broken = true;
    }
    return value;
}

static void answer(struct reference_vm *vm, struct reference_client *client, uint32_t slot_index,
                   uint64_t value)
{
    reference_settle(vm, slot_index, value);
    client->accesses++;
}

/* ---- checking ---------------------------------------------------------------------------- */

/* What is wrong with a slot's content; otherwise REQUEST_FAULT_NONE, and *request says what is
 * asked. */
static enum request_fault check(const struct acrn_io_request *slot, struct request *request)
{
    const struct acrn_mmio_request *mmio = &slot->reqs.mmio_request;
    const struct acrn_pci_request *pci = &slot->reqs.pci_request;
    uint64_t size = mmio->size;
    bool is_wide = slot->type == REQUEST_MMIO || slot->type == REQUEST_WP;
    if (slot->type > REQUEST_WP)
        return REQUEST_FAULT_TYPE;
    if (mmio->direction != REQUEST_READ && mmio->direction != REQUEST_WRITE)
        return REQUEST_FAULT_DIRECTION;
    if (size == 0)
        return REQUEST_FAULT_EMPTY;
    if (size != 1 && size != 2 && size != 4 && !(size == 8 && is_wide))
        return REQUEST_FAULT_SIZE;
    *request = (struct request){
        .address = mmio->address,
        .value = mmio->direction == REQUEST_WRITE ? mmio->value & ones(size) : 0,
        .type = (uint8_t)slot->type,
        .direction = (uint8_t)mmio->direction,
        .size_bytes = (uint8_t)size,
    };
    __uint128_t end = (__uint128_t)mmio->address + size;
    if (is_wide && end > (__uint128_t)UINT64_MAX + 1)
        return REQUEST_FAULT_ADDRESS;
    if (slot->type == REQUEST_PORTIO && end > 0x10000)
        return REQUEST_FAULT_ADDRESS;
    if (slot->type == REQUEST_PCICFG) {
        if (pci->bus > 255 || pci->dev > 31 || pci->func > 7 || pci->reg + size > 4096)
            return REQUEST_FAULT_ADDRESS;
        request->address = ((pci->bus * 32ull + pci->dev) * 8 + pci->func) * 4096 + pci->reg;
    }
    return REQUEST_FAULT_NONE;
}

static uint64_t fault_answer(enum request_fault fault, uint64_t size_bytes)
{
    if (fault == REQUEST_FAULT_EMPTY)
        return 0;
    return size_bytes == 0 ? UINT64_MAX : ones(size_bytes); /* of an unknown type, say */
}

/* ---- dispatching ------------------------------------------------------------------------- */

/* Ports 0xcf8 and 0xcfc of a VM that has them. True: answered; false: route the request. */
static bool take_pci_ports(struct reference_vm *vm, struct acrn_io_request *slot,
                           struct request *request)
{
    uint64_t port = request->address, end = port + request->size_bytes;
    uint32_t a = vm->pci_address;
    if (!vm->has_pci || request->type != REQUEST_PORTIO)
        return false;
    if (port == 0xcf8 && request->size_bytes == 4) {
        if (request->direction == REQUEST_WRITE)
            vm->pci_address = (uint32_t)request->value;
        answer_at_once(vm, slot, a, PAGE_REQUESTS);
        return true;
    }
    if (port < 0xcfc || port > 0xcff)
        return false;
    if (end > 0xd00) {
        answer_at_once(vm, slot, ones(request->size_bytes), PAGE_BAD_PCI_PORT);
        return true;
    }
    if (a < 0x80000000) {
        answer_at_once(vm, slot, ones(request->size_bytes), PAGE_REQUESTS);
        return true;
    }
    uint64_t bus = (a >> 16) & 255, dev = (a >> 11) & 31, func = (a >> 8) & 7;
    uint64_t reg = (a & 0xfc) + ((a >> 16) & 0xf00) + (port - 0xcfc);
    request->type = REQUEST_PCICFG;
    request->address = ((bus * 32 + dev) * 8 + func) * 4096 + reg;
    return false;
}

static struct reference_client *route(const struct reference_vm *vm, struct request *request)
{
    struct reference_client *client = NULL;
    const struct reference_range *range =
        reference_route(vm, request->type, request->address, request->size_bytes, &client);
    request->offset = range ? request->address - range->first : request->address;
    request->range_index = range ? range->range_index : REQUEST_NO_RANGE;
    return range ? client : vm->default_client;
}

static void hand_over(struct reference *reference, struct reference_vm *vm,
                      struct reference_client *client, struct request *request)
{
    struct reference_flight *flight = &vm->flights[request->vcpu];
    struct acrn_io_request *slot = &vm->slots[request->vcpu];
    vm->counters[PAGE_REQUESTS]++;
    vm->odd_state[request->vcpu] = 0;
    if (!client->is_prompt || client->is_far)
        slot->kernel_handled = client->is_default ? 0 : 1;
    slot->processed = SLOT_PROCESSING;
    *flight = (struct reference_flight){
        .client = client,
        .request = *request,
        .type = slot->type,
        .is_polling = slot->completion_polling != 0,
        .sequence = ++reference->sequence,
    };
    if (client->is_far) {
        if (vm->asked[request->vcpu].client)
            reference_abandon(vm, request->vcpu);
        client->inbox[client->inbox_count++] =
            (struct reference_entry){*request, flight->sequence, false};
        vm->asked[request->vcpu] =
            (struct reference_asked){.client = client, .sequence = flight->sequence};
    } else if (!client->is_external)
        answer(vm, client, request->vcpu, handle(client, request));
}

static void dispatch(struct reference *reference, struct reference_vm *vm, uint32_t slot_index)
{
    struct acrn_io_request *slot = &vm->slots[slot_index];
    struct request request;
    if (vm->flights[slot_index].client)
        return; /* asked again before the answer */
    enum request_fault fault = check(slot, &request);
    request.vcpu = (uint16_t)slot_index;
    if (fault != REQUEST_FAULT_NONE) {
        answer_at_once(vm, slot, fault_answer(fault, slot->reqs.mmio_request.size),
                       (uint32_t)fault);
        return;
    }
    if (vm->is_clearing) {
        answer_at_once(vm, slot, ones(request.size_bytes), PAGE_CLEARED);
        return;
    }
    if (take_pci_ports(vm, slot, &request))
        return;
    struct reference_client *client = route(vm, &request);
    if (!client)
        answer_at_once(vm, slot, ones(request.size_bytes), PAGE_UNROUTED);
    else if (client->is_far && client->inbox_count == REFERENCE_INBOX_MAX) {
        vm->counters[PAGE_INBOX_FULL] += !vm->has_waited[slot_index];
        vm->has_waited[slot_index] = true;
    } else
        hand_over(reference, vm, client, &request);
}

/* ---- a round ----------------------------------------------------------------------------- */

/* One slot a round, in turn: a state that is none, or a request beyond the vCPUs. */
static void watch(struct reference_vm *vm)
{
    uint32_t i = vm->watch_next;
    uint32_t state = vm->slots[i].processed;
    vm->watch_next = i + 1 == SLOT_COUNT ? 0 : i + 1;
    if (state > SLOT_FREE && state != vm->odd_state[i]) {
        vm->counters[PAGE_ODD_STATE]++;
        vm->odd_state[i] = state;
    }
    if (i < vm->vcpus)
        return;
    bool is_pending = state == SLOT_PENDING;
    vm->counters[PAGE_STRAY_SLOT] += is_pending && !vm->stray_was_seen[i];
    vm->stray_was_seen[i] = is_pending;
}

static void sweep(struct reference *reference, struct reference_vm *vm)
{
    for (uint32_t i = 0; i < vm->vcpus; i++) {
        uint32_t state = vm->slots[i].processed;
        if (state == SLOT_PENDING)
            dispatch(reference, vm, i);
        if (state == SLOT_PENDING && vm->slots[i].processed != SLOT_PENDING) {
            reference->requests[vm->poller_index]++; /* taken on, whoever answers it */
            vm->has_waited[i] = false;
        }
    }
    watch(vm);
}

/* What clients on other pollers answered, unless it was settled meanwhile. */
static void take_answers(struct reference_vm *vm)
{
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        struct reference_asked *asked = &vm->asked[i];
        const struct reference_flight *flight = &vm->flights[i];
        if (!asked->client || !asked->is_answered)
            continue;
        if (flight->client && flight->sequence == asked->sequence)
            answer(vm, asked->client, i, asked->value);
        asked->client = NULL;
    }
}

/* Up to 16 entries, and those between them that are nobody's any more. */
static void drain(struct reference *reference, struct reference_vm *vm,
                  struct reference_client *client)
{
    for (uint32_t handled = 0; handled < SLOT_COUNT && client->inbox_count > 0;) {
        struct reference_entry entry = client->inbox[0];
        memmove(&client->inbox[0], &client->inbox[1], --client->inbox_count * sizeof(entry));
        if (entry.is_revoked)
            continue;
        handled++;
        reference->requests[client->poller_index]++;
        uint64_t value = handle(client, &entry.request);
        struct reference_asked *asked = &vm->asked[entry.request.vcpu];
        if (asked->client && asked->sequence == entry.sequence) {
            asked->is_answered = true;
            asked->value = value;
        }
    }
}

void reference_round(struct reference *reference, uint32_t poller_index)
{
    for (struct reference_vm *vm = reference->vms; vm; vm = vm->next) {
        if (vm->poller_index != poller_index)
            continue;
        if (vm->is_swept)
            sweep(reference, vm);
        take_answers(vm);
    }
    for (struct reference_vm *vm = reference->vms; vm; vm = vm->next)
        for (struct reference_client *client = vm->clients; client; client = client->next)
            if (client->is_far && client->poller_index == poller_index)
                drain(reference, vm, client);
    reference->rounds[poller_index]++;
}
