/* SPDX-License-Identifier: BSD-3-Clause */
/* "Weak points of the existing implementations, each one a test for ours". */
#include "tests/server/conformance/table.h"

#include <pthread.h>

struct fixture {
    struct vm *vm;
    struct world_device device, rest;
};

/* One MMIO and one port range, and a default client beside them. */
static void fixture_init(struct fixture *fixture, struct world *world)
{
    fixture->vm = world_vm(world, "vm", 2);
    struct vm_client *client = world_client(fixture->vm, "client", 0, &fixture->device);
    world_range(client, REQUEST_MMIO, WORLD_MMIO, WORLD_MMIO + 0xfff);
    world_range(client, REQUEST_PORTIO, WORLD_PORT, WORLD_PORT + 15);
    world_default(fixture->vm, "rest", &fixture->rest);
}

static void wrapping_accesses(struct world *world)
{
    struct fixture fixture;
    fixture_init(&fixture, world);
    const struct world_access wrapping[] = {
        world_read(REQUEST_MMIO, UINT64_MAX, 2),
        world_read(REQUEST_MMIO, WORLD_MMIO + 0x1000, 0), /* no bytes, one past the end */
        world_read(REQUEST_MMIO, WORLD_MMIO + 0x800, UINT64_MAX - 255),
        world_read(REQUEST_MMIO, UINT64_MAX - 6, 8),
    };
    const uint64_t answers[] = {0xffff, 0, UINT64_MAX, UINT64_MAX};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(world_do(world, fixture.vm, wrapping[i]), answers[i]);
    assert_int_equal(fixture.device.calls + fixture.rest.calls, 0);
}

static void sizes(struct world *world)
{
    struct fixture fixture;
    fixture_init(&fixture, world);
    for (uint64_t size = 0; size < 300; size++) {
        bool is_valid = size == 1 || size == 2 || size == 4 || size == 8;
        fixture.device.calls = 0;
        world_do(world, fixture.vm, world_read(REQUEST_MMIO, WORLD_MMIO, size));
        assert_int_equal(fixture.device.calls, is_valid);
        fixture.device.calls = 0;
        world_do(world, fixture.vm, world_read(REQUEST_PORTIO, WORLD_PORT, size));
        assert_int_equal(fixture.device.calls, is_valid && size != 8);
    }
    assert_int_equal(fixture.rest.calls, 0);
}

static void vm_without_a_page(struct world *world)
{
    struct vm *absent = NULL;
    const struct vm_options options = {.name = "absent", .vcpus = 4};
    assert_int_equal(vm_create(&world->topology, &options, &absent), 0);
    assert_int_equal(vm_start(absent), 0);
    struct vm *vm = world_vm(world, "vm", 1);
    assert_int_equal(world_do(world, vm, world_read(REQUEST_MMIO, 0, 1)), 0xff);
}

static void stuck_client(struct world *world)
{
    struct vm *stuck = world_vm(world, "stuck", 16), *vm = world_vm(world, "vm", 1);
    world_external(stuck, "never answers");
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        world_ask(stuck, i, world_read(REQUEST_MMIO, 0, 1));
    for (int i = 0; i < 100; i++)
        assert_int_equal(world_do(world, vm, world_read(REQUEST_MMIO, 0, 1)), 0xff);
    assert_int_equal(page_in_flight(stuck->page), 16);
}

static void completion_checks_the_owner(struct world *world)
{
    struct vm *vm = world_vm(world, "vm", 2);
    struct world_device device;
    world_range(world_client(vm, "far", 1, &device), REQUEST_MMIO, WORLD_MMIO, WORLD_MMIO + 7);
    struct vm_client *outside = world_external(vm, "outside");
    world_ask(vm, 0, world_read(REQUEST_MMIO, WORLD_MMIO, 4)); /* the device's */
    world_ask(vm, 1, world_read(REQUEST_MMIO, 0, 4));          /* the outside's */
    poller_round(world->pollers[0].poller);
    assert_int_equal(vm_client_finish(outside, 0, 1), -ENOENT);
    assert_int_equal(world_state(vm, 0), SLOT_PROCESSING);
    world_set_state(vm, 1, SLOT_FREE); /* taken back */
    assert_int_equal(vm_client_finish(outside, 1, 1), -ENOENT);
    assert_int_equal(world_state(vm, 1), SLOT_FREE);
    assert_int_equal(world_settled(vm, PAGE_DROPPED), 1);
}

static void unknown_types(struct world *world)
{
    struct fixture fixture;
    fixture_init(&fixture, world);
    const uint32_t types[] = {4, 5, 7, 255, 256, 0x80000000, UINT32_MAX};
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(world_do(world, fixture.vm, world_read(types[i], WORLD_MMIO, 4)),
                         0xffffffff);
    assert_int_equal(world_counter(fixture.vm, REQUEST_FAULT_TYPE), 7);
    assert_int_equal(fixture.device.calls + fixture.rest.calls, 0);
}

static void last_byte(struct world *world)
{
    struct fixture fixture;
    fixture_init(&fixture, world);
    world_do(world, fixture.vm, world_read(REQUEST_MMIO, WORLD_MMIO + 0xfff, 2));
    world_do(world, fixture.vm, world_read(REQUEST_PORTIO, WORLD_PORT + 15, 4));
    assert_int_equal(fixture.device.calls, 0);
    assert_int_equal(fixture.rest.calls, 2);
}

static void ports_beyond(struct world *world)
{
    struct fixture fixture;
    fixture_init(&fixture, world);
    const uint64_t ports[] = {0xfffffffffffffff0, 0x10000, 0x100000000 + WORLD_PORT, 0xffff};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(
            world_do(world, fixture.vm, world_read(REQUEST_PORTIO, ports[i], 2)) & 0xffff, 0xffff);
    assert_int_equal(world_counter(fixture.vm, REQUEST_FAULT_ADDRESS), 4);
    assert_int_equal(fixture.device.calls + fixture.rest.calls, 0);
}

/* ---- a requester that changes its mind --------------------------------------------------- */

struct flipper {
    struct acrn_io_request *slot;
    _Atomic bool is_stopping;
    pthread_t thread;
};

static void *flip(void *argument)
{
    struct flipper *flipper = argument;
    struct acrn_io_request *slot = flipper->slot;
    for (uint32_t i = 0; !atomic_load(&flipper->is_stopping); i++) {
        const uint32_t types[] = {REQUEST_PORTIO, 9, REQUEST_MMIO, UINT32_MAX};
        __atomic_store_n(&slot->type, types[i & 3], __ATOMIC_RELAXED);
        __atomic_store_n(&slot->reqs.mmio_request.size, i & 15, __ATOMIC_RELAXED);
        __atomic_store_n(&slot->reqs.mmio_request.address,
                         i & 1 ? WORLD_MMIO + (i & 0x1fff) : WORLD_PORT, __ATOMIC_RELAXED);
        __atomic_store_n(&slot->reqs.mmio_request.direction, i & 3, __ATOMIC_RELAXED);
    }
    return NULL;
}

static void fields_that_flip(struct world *world)
{
    struct fixture fixture;
    fixture_init(&fixture, world);
    struct flipper flipper = {.slot = &fixture.vm->source.slots[0]};
    pthread_create(&flipper.thread, NULL, flip, &flipper);
    for (uint32_t i = 0; i < 20000; i++) {
        world_set_state(fixture.vm, 0, SLOT_PENDING);
        fixture.device.calls = 0;
        world_await(world, fixture.vm, 0);
        const struct request *request = &fixture.device.last;
        if (fixture.device.calls == 0)
            continue;
        /* What the device saw is one of the requests that were there, whole. */
        uint64_t first = request->type == REQUEST_MMIO ? WORLD_MMIO : WORLD_PORT;
        uint64_t last = request->type == REQUEST_MMIO ? WORLD_MMIO + 0xfff : WORLD_PORT + 15;
        assert_true(request->type <= REQUEST_MMIO && request->direction <= REQUEST_WRITE);
        assert_true(request->address >= first &&
                    request->address + request->size_bytes - 1 <= last);
        assert_int_equal(request->offset, request->address - first);
    }
    atomic_store(&flipper.is_stopping, true);
    pthread_join(flipper.thread, NULL);
}

static const struct row rows[] = {
    {"access_that_wraps_reaches_nobody",
     "address + size - 1 wraps: 2^64-1 size 2, size 0 one past the end, size 2^64-256.",
     "all are routed to a client", "answered at once and counted", "no such access exists",
     wrapping_accesses},
    {"size_is_1_2_4_or_8", "Size never validated.", "any 64-bit size reaches a client",
     "1, 2, 4, for MMIO and WP 8; else all-ones (no bytes: 0) and counted",
     "clients index arrays by it", sizes},
    {"vm_without_a_page_hides_nobody", "One VM without a page hides the VMs after it.",
     "stops looking at it", "is passed over", "VMs are none of each other's business",
     vm_without_a_page},
    {"stuck_client_delays_its_own_requests_only", "One VM without a page hides the VMs after it.",
     "one work queue for all", "slots wait each for itself", "the same", stuck_client},
    {"completion_checks_owner_and_state", "Completion does not check ownership or state.",
     "completes any slot", "ENOENT, counted; the slot is not touched",
     "who owns a slot is decided in private memory", completion_checks_the_owner},
    {"unknown_type_is_answered", "The device model exits on an unknown type.", "exit",
     "all-ones, counted", "a guest must not end the server", unknown_types},
    {"last_byte_counts_too", "Checks only an access's first byte.", "the device model: first byte",
     "the whole access lies in the range, or it is not the client's", "it would read past its end",
     last_byte},
    {"port_beyond_the_port_space_reaches_nobody", "Turns port 0xfffffffffffffff0 into index -16.",
     "the device model: index -16", "all-ones, counted", "there are 65536 ports", ports_beyond},
    {"fields_that_flip_give_one_whole_request",
     "Works in place on the shared page; a switch compiled into two loads crashed.", "double fetch",
     "each field is read once, by one instruction, and only the copy is used",
     "what is checked must be what is used", fields_that_flip},
};

int main(int argc, char **argv)
{
    return table_run(argc, argv, "Weak points of the existing implementations", rows,
                     sizeof(rows) / sizeof(rows[0]));
}
