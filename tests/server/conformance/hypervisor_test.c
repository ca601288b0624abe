/* SPDX-License-Identifier: BSD-3-Clause */
/* "The page" and "What the hypervisor does": what it relies on, and what it must never see. */
#include "tests/server/conformance/table.h"

static void free_slots_at_registration(struct world *world)
{
    struct vm *vm = NULL;
    int descriptor;
    const struct vm_options options = {.name = "vm", .vcpus = 16};
    assert_int_equal(vm_create(&world->topology, &options, &vm), 0);
    assert_int_equal(vm_attach(vm, WORLD_PID, &descriptor), 0);
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        assert_int_equal(world_state(vm, i), SLOT_FREE);
}

static void zeroed_page(struct world *world)
{
    struct vm *vm = world_vm(world, "vm", 16);
    memset(vm->source.slots, 0, PAGE_BYTES);
    world_round(world);
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        assert_int_equal(world_state(vm, i), SLOT_COMPLETE);
        assert_int_equal(world_value(vm, i), 0);
    }
    assert_int_equal(world_counter(vm, REQUEST_FAULT_EMPTY), 16);
}

static void slots_of_the_hypervisor(struct world *world)
{
    struct vm *vm = world_vm(world, "vm", 4);
    const uint32_t states[] = {SLOT_FREE, SLOT_COMPLETE, SLOT_PROCESSING, 4};
    for (uint32_t i = 0; i < 4; i++) {
        world_fill(vm, i, world_read(REQUEST_MMIO, WORLD_MMIO, 4));
        world_set_state(vm, i, states[i]);
    }
    struct acrn_io_request before[SLOT_COUNT];
    memcpy(before, vm->source.slots, sizeof(before));
    for (int i = 0; i < 40; i++)
        world_round(world);
    assert_int_equal(vm_clear(vm), 0);
    assert_memory_equal(before, vm->source.slots, sizeof(before));
}

static void request_read_once_it_is_pending(struct world *world)
{
    struct vm *vm = world_vm(world, "vm", 1);
    struct world_device device;
    struct vm_client *client = world_client(vm, "far", 1, &device);
    world_range(client, REQUEST_MMIO, WORLD_MMIO, WORLD_MMIO + 0xfff);
    world_ask(vm, 0, world_write(REQUEST_MMIO, WORLD_MMIO + 8, 4, 0x12345678));
    poller_round(world->pollers[0].poller);
    assert_int_equal(world_state(vm, 0), SLOT_PROCESSING);
    /* Whatever stands there now, it is not what was asked. */
    world_fill(vm, 0, world_read(REQUEST_PORTIO, 0, 1));
    poller_round(world->pollers[1].poller);
    poller_round(world->pollers[0].poller);
    assert_int_equal(device.last.type, REQUEST_MMIO);
    assert_int_equal(device.last.offset, 8);
    assert_int_equal(device.last.value, 0x12345678);
    assert_int_equal(world_state(vm, 0), SLOT_COMPLETE);
}

static void polling_word_never_written(struct world *world)
{
    struct vm *vm = world_vm(world, "vm", 1);
    for (uint32_t polling = 0; polling < 2; polling++) {
        world_fill(vm, 0, world_read(REQUEST_MMIO, WORLD_MMIO, 4));
        vm->source.slots[0].completion_polling = polling;
        world_set_state(vm, 0, SLOT_PENDING);
        world_await(world, vm, 0);
        assert_int_equal(vm->source.slots[0].completion_polling, polling);
    }
}

static void no_upcall_needed(struct world *world)
{
    struct vm *vm = world_vm(world, "vm", 16);
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        world_ask(vm, i, world_read(REQUEST_MMIO, WORLD_MMIO, 4));
    assert_int_equal(poller_round(world->pollers[0].poller), 16);
}

static void complete_is_all_a_polling_vm_needs(struct world *world)
{
    struct vm *vm = world_vm(world, "vm", 1);
    world_do(world, vm, world_read(REQUEST_MMIO, WORLD_MMIO, 4));
    assert_int_equal(world_settled(vm, PAGE_UNNOTIFIED), 0);
}

static void three_words_written(struct world *world)
{
    struct vm *vm = world_vm(world, "vm", 1);
    struct world_device device;
    world_range(world_client(vm, "near", 0, &device), REQUEST_MMIO, WORLD_MMIO, WORLD_MMIO + 7);
    struct acrn_io_request *slot = &vm->source.slots[0];
    memset(slot, 0xee, sizeof(*slot));
    world_set_state(vm, 0, SLOT_FREE);
    world_ask(vm, 0, world_read(REQUEST_MMIO, WORLD_MMIO, 8));
    struct acrn_io_request expected = *slot;
    world_round(world);
    expected.processed = SLOT_COMPLETE;
    expected.kernel_handled = 1;
    expected.reqs.mmio_request.value = WORLD_ANSWER;
    assert_memory_equal(slot, &expected, sizeof(expected));
}

static void late_complete_after_reset(struct world *world)
{
    struct vm *vm = world_vm(world, "vm", 1);
    struct world_device device;
    world_range(world_client(vm, "far", 1, &device), REQUEST_MMIO, WORLD_MMIO, WORLD_MMIO + 7);
    world_ask(vm, 0, world_read(REQUEST_MMIO, WORLD_MMIO, 4));
    poller_round(world->pollers[0].poller);
    world_set_state(vm, 0, SLOT_FREE); /* the hypervisor's reset */
    struct acrn_io_request before = vm->source.slots[0];
    poller_round(world->pollers[1].poller);
    poller_round(world->pollers[0].poller);
    assert_memory_equal(&vm->source.slots[0], &before, sizeof(before));
    assert_int_equal(world_settled(vm, PAGE_DROPPED), 1);
}

static void what_nobody_serves(struct world *world)
{
    struct vm *vm = world_vm(world, "vm", 1);
    for (uint64_t size = 1; size <= 8; size *= 2) {
        assert_int_equal(world_do(world, vm, world_read(REQUEST_MMIO, WORLD_MMIO, size)),
                         request_ones((uint32_t)size));
        struct world_access write = world_write(REQUEST_MMIO, WORLD_MMIO, size, 0x55);
        assert_int_equal(world_do(world, vm, write), 0x55); /* dropped, and no answer written */
    }
    assert_int_equal(world_counter(vm, PAGE_UNROUTED), 8);
}

static void stale_value_on_a_read(struct world *world)
{
    struct vm *vm = world_vm(world, "vm", 1);
    struct world_device device;
    struct vm_client *client = world_client(vm, "near", 0, &device);
    world_range(client, REQUEST_MMIO, WORLD_MMIO, WORLD_MMIO + 7);
    device.answer = 0;
    assert_int_equal(world_do(world, vm, world_read(REQUEST_MMIO, WORLD_MMIO, 4)), 0);
    assert_int_equal(device.last.value, 0); /* nor does a device see it */
    device.answer = UINT64_MAX;
    assert_int_equal(world_do(world, vm, world_read(REQUEST_MMIO, WORLD_MMIO, 2)), 0xffff);
}

static const struct row rows[] = {
    {"page_is_registered_with_free_slots",
     "The hypervisor writes FREE to all 16 slots only when the page is registered.", "relies on it",
     "the server frees the slots of a page that it makes itself",
     "until then a new page, all zero, reads as 16 requests", free_slots_at_registration},
    {"zeroed_page_is_sixteen_invalid_reads",
     "PENDING is 0: a page of zeroes reads as 16 pending 0-byte port reads.",
     "routes them: address 0 - 1 wraps", "each answered with 0, counted, shown to nobody",
     "an access of no bytes has no address to route by", zeroed_page},
    {"slot_of_the_hypervisor_is_never_written",
     "A slot must be FREE, else the guest's access fails.", "finish writes COMPLETE into any slot",
     "only a slot that is PENDING, or that was claimed, is written",
     "one wrong store breaks that vCPU's I/O for good", slots_of_the_hypervisor},
    {"request_is_copied_once_it_is_pending",
     "Writes type, request, completion_polling, barrier, PENDING.",
     "acquire load of the state, then works in place", "acquire load, one copy, then the copy only",
     "the page is hostile: what is read twice may differ", request_read_once_it_is_pending},
    {"completion_polling_is_only_read", "completion_polling is never written back to 0.",
     "reads it", NULL, NULL, polling_word_never_written},
    {"served_without_an_upcall", "A server may poll without waiting for the upcall.",
     "waits for the upcall", "one sweep serves all slots", "the upcall is what polling saves",
     no_upcall_needed},
    {"polling_vm_is_not_notified",
     "Polling VM: spins for COMPLETE. Others: sleep until the hypercall.",
     "no hypercall for a polling VM", NULL, NULL, complete_is_all_a_polling_vm_needs},
    {"only_value_state_and_handled_mark_are_written", "On COMPLETE reads back only value.",
     "writes value in place, kernel_handled, state",
     "the same; what is answered at once is not marked: value and state",
     "nobody else looks at it meanwhile", three_words_written},
    {"late_complete_after_a_reset_is_not_written",
     "VM reset: all 16 slots set to FREE. A late COMPLETE breaks the next access.",
     "writes COMPLETE", "the slot is looked at once more; the answer is dropped and counted",
     "the slot is the hypervisor's again", late_complete_after_reset},
    {"unserved_read_is_all_ones_and_write_is_dropped",
     "There is no failed state: all-ones for the size, drop writes, complete.",
     "leaves it PENDING without a client", "answered at once and counted",
     "a vCPU that waits for ever is worse than a missing device", what_nobody_serves},
    {"stale_value_never_comes_back",
     "`value` on a read arrives stale: never complete without writing.",
     "completes reads unwritten at a clear", "every answered read is written, cut to its size",
     "old register content would leak into a device's answer", stale_value_on_a_read},
};

int main(int argc, char **argv)
{
    return table_run(argc, argv, "What the hypervisor does", rows, sizeof(rows) / sizeof(rows[0]));
}
