/* SPDX-License-Identifier: BSD-3-Clause */
/* What operators, clients and resets can do wrong, row by row of tests/faults.md: 37, 38, 46. */
#include "tests/support/world.h"

#include <pthread.h>
#include <stdio.h>

/* ---- 37: registration that must be refused, without a trace ------------------------------ */

struct fixture {
    struct world world;
    struct vm *vm;
    struct vm_client *client;
    struct world_device device;
    const struct router *router; /* as it was before */
};

static void fixture_init(struct fixture *fixture)
{
    world_create(&fixture->world, WORLD_POLLERS);
    fixture->vm = world_vm(&fixture->world, "vm", 1);
    fixture->client = world_client(fixture->vm, "client", 0, &fixture->device);
    world_range(fixture->client, REQUEST_MMIO, WORLD_MMIO, WORLD_MMIO + 0xfff);
    fixture->router = atomic_load(&fixture->vm->page->router);
}

/* Nothing that can be seen has changed. */
static void fixture_fini(struct fixture *fixture)
{
    assert_ptr_equal(atomic_load(&fixture->vm->page->router), fixture->router);
    assert_int_equal(fixture->vm->client_count, 1);
    assert_int_equal(fixture->client->range_count, 1);
    assert_int_equal(fixture->client->next_range_index, 1);
    assert_null(fixture->vm->page->default_client);
    assert_int_equal(
        world_do(&fixture->world, fixture->vm, world_read(REQUEST_MMIO, WORLD_MMIO, 8)),
        WORLD_ANSWER);
    assert_int_equal(world_do(&fixture->world, fixture->vm, world_read(REQUEST_MMIO, 0, 8)),
                     UINT64_MAX);
    world_destroy(&fixture->world);
}

static void row37_overlapping_range_is_refused(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    const uint64_t bounds[][2] = {{WORLD_MMIO, WORLD_MMIO + 0xfff},
                                  {WORLD_MMIO + 0xfff, WORLD_MMIO + 0x1000},
                                  {0, WORLD_MMIO},
                                  {0, UINT64_MAX},
                                  {WORLD_MMIO + 8, WORLD_MMIO + 8}};
    for (size_t i = 0; i < 5; i++)
        assert_int_equal(
            vm_client_add_range(fixture.client, REQUEST_MMIO, bounds[i][0], bounds[i][1], 0),
            -EEXIST);
    fixture_fini(&fixture);
}

static void row37_range_that_runs_backwards_is_refused(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    assert_int_equal(vm_client_add_range(fixture.client, REQUEST_MMIO, 8, 7, 0), -EINVAL);
    assert_int_equal(vm_client_add_range(fixture.client, REQUEST_MMIO, UINT64_MAX, 0, 0), -EINVAL);
    fixture_fini(&fixture);
}

static void row37_range_beyond_its_space_is_refused(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    const struct {
        uint32_t type;
        uint64_t first, last;
    } invalid[] = {
        {REQUEST_PORTIO, 0xfff0, 0x10000},
        {REQUEST_PORTIO, 0, UINT64_MAX},
        {REQUEST_PORTIO, UINT64_MAX, UINT64_MAX},
        {REQUEST_PCICFG, 0, 0x10000000},
        {REQUEST_PCICFG, 0, UINT64_MAX},
        {REQUEST_WP, 0, 1},
        {4, 0, 1},
        {UINT32_MAX, 0, UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++)
        assert_int_equal(vm_client_add_range(fixture.client, invalid[i].type, invalid[i].first,
                                             invalid[i].last, 0),
                         -EINVAL);
    fixture_fini(&fixture);
}

static void row37_one_range_too_many_is_refused(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    struct router_range *ranges = calloc(ROUTER_RANGES_MAX + 1, sizeof(*ranges));
    assert_non_null(ranges);
    for (uint32_t i = 0; i <= ROUTER_RANGES_MAX; i++)
        ranges[i] = (struct router_range){.first = i * 16ull,
                                          .last = i * 16ull + 15,
                                          .client = &fixture.client->client,
                                          .type = REQUEST_MMIO,
                                          .range_index = i};
    assert_int_equal(vm_set_ranges(fixture.vm, ranges, ROUTER_RANGES_MAX + 1), -E2BIG);
    assert_int_equal(vm_set_ranges(fixture.vm, ranges, ROUTER_RANGES_MAX), 0);
    assert_int_equal(vm_client_add_range(fixture.client, REQUEST_PORTIO, 0, 0, 0), -E2BIG);
    world_do(&fixture.world, fixture.vm, world_read(REQUEST_MMIO, 65535 * 16 + 8, 8));
    assert_int_equal(fixture.device.last.range_index, 65535);
    assert_int_equal(vm_client_delete_range(fixture.client, REQUEST_MMIO, 0, 15), 0);
    assert_int_equal(vm_client_add_range(fixture.client, REQUEST_PORTIO, 0, 0, 0), 0);
    free(ranges);
    world_destroy(&fixture.world);
}

static void row37_name_that_is_taken_or_too_long_is_refused(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    struct vm_client *client = NULL;
    struct world_device device = {0};
    struct vm_client_options options = world_client_options("client", &device);
    assert_int_equal(vm_client_create(fixture.vm, &options, &client), -EEXIST);
    options.name = "0123456789abcdef";
    assert_int_equal(vm_client_create(fixture.vm, &options, &client), -EINVAL);
    options.is_default = true; /* neither does it become the default client */
    assert_int_equal(vm_client_create(fixture.vm, &options, &client), -EINVAL);
    assert_null(client);
    struct vm *vm = NULL;
    struct vm_options vm_options = {.name = "vm", .vcpus = 1};
    assert_int_equal(vm_create(&fixture.world.topology, &vm_options, &vm), -EEXIST);
    vm_options.name = "0123456789abcdef";
    assert_int_equal(vm_create(&fixture.world.topology, &vm_options, &vm), -EINVAL);
    assert_null(vm);
    assert_int_equal(fixture.world.topology.vm_count, 1);
    fixture_fini(&fixture);
}

static void row37_another_vms_client_is_refused(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture);
    struct vm *other = world_vm(&fixture.world, "other", 1);
    struct world_device device;
    struct vm_client *stranger = world_client(other, "stranger", 0, &device);
    const struct router_range ranges[] = {
        {.first = 0, .last = 7, .client = &fixture.client->client, .type = REQUEST_MMIO},
        {.first = 8, .last = 15, .client = &stranger->client, .type = REQUEST_MMIO}};
    assert_int_equal(vm_set_ranges(fixture.vm, ranges, 2), -EINVAL);
    assert_int_equal(vm_set_default_client(fixture.vm, stranger), -EINVAL);
    fixture_fini(&fixture);
    assert_int_equal(device.calls, 0);
}

static void row37_vms_and_clients_have_limits(void **state)
{
    (void)state;
    struct world world;
    world_create(&world, 1);
    struct vm *vm = NULL;
    struct vm_client *client = NULL;
    struct world_device device;
    char name[16];
    for (uint32_t i = 0; i <= TOPOLOGY_VMS_MAX; i++) {
        snprintf(name, sizeof(name), "%u", i);
        const struct vm_options options = {.name = name, .vcpus = 1};
        assert_int_equal(vm_create(&world.topology, &options, &vm),
                         i < TOPOLOGY_VMS_MAX ? 0 : -ENOSPC);
    }
    for (uint32_t i = 0; i <= VM_CLIENTS_MAX; i++) {
        snprintf(name, sizeof(name), "%u", i);
        struct vm_client_options options = world_client_options(name, &device);
        assert_int_equal(vm_client_create(vm, &options, &client), i < VM_CLIENTS_MAX ? 0 : -ENOSPC);
    }
    world_destroy(&world);
}

/* ---- 38: unregistering under load -------------------------------------------------------- */

static void row38_requests_in_flight_with_an_unregistered_client_are_settled(void **state)
{
    (void)state;
    struct world world;
    world_create(&world, WORLD_POLLERS);
    struct vm *vm = world_vm(&world, "vm", 16);
    struct vm_client *outside = world_external(vm, "outside");
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        world_ask(vm, i, world_read(REQUEST_MMIO, 0, 4));
    world_round(&world);
    assert_int_equal(page_in_flight(vm->page), 16);
    assert_int_equal(vm_client_destroy(outside), 0);
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        assert_int_equal(world_await(&world, vm, i), 0xffffffff);
    assert_int_equal(page_in_flight(vm->page), 0);
    world_destroy(&world);
}

/* A vCPU that asks again and again, and takes what it gets: a client's answer or all-ones. */
struct vcpu {
    struct vm *vm;
    uint32_t index;
    uint64_t answered, served;
    _Atomic bool is_stopping;
    pthread_t thread;
};

static void *vcpu_run(void *argument)
{
    struct vcpu *vcpu = argument;
    while (!atomic_load(&vcpu->is_stopping)) {
        world_ask(vcpu->vm, vcpu->index, world_read(REQUEST_MMIO, WORLD_MMIO, 8));
        while (world_state(vcpu->vm, vcpu->index) != SLOT_COMPLETE)
            sched_yield();
        uint64_t value = world_value(vcpu->vm, vcpu->index);
        world_set_state(vcpu->vm, vcpu->index, SLOT_FREE);
        assert_true(value == WORLD_ANSWER || value == UINT64_MAX);
        vcpu->answered++;
        vcpu->served += value == WORLD_ANSWER;
    }
    return NULL;
}

static void row38_register_and_unregister_under_load_loses_nothing(void **state)
{
    (void)state;
    struct world world;
    world_create(&world, WORLD_POLLERS);
    world_start(&world);
    struct vm *vm = world_vm(&world, "vm", 2);
    struct vcpu vcpus[2] = {{.vm = vm, .index = 0}, {.vm = vm, .index = 1}};
    for (uint32_t i = 0; i < 2; i++)
        pthread_create(&vcpus[i].thread, NULL, vcpu_run, &vcpus[i]);
    uint64_t calls = 0;
    for (uint32_t i = 0; i < 300; i++) {
        struct world_device device;
        struct vm_client *client = i % 3 == 2 ? world_default(vm, "comes and goes", &device)
                                              : world_client(vm, "comes and goes", i % 3, &device);
        if (i % 3 != 2)
            world_range(client, REQUEST_MMIO, WORLD_MMIO, WORLD_MMIO + 7);
        uint64_t before = world_counter(vm, PAGE_REQUESTS);
        while (world_counter(vm, PAGE_REQUESTS) < before + 3)
            sched_yield();
        assert_int_equal(vm_client_destroy(client), 0);
        calls += device.calls;
    }
    uint64_t served = 0, answered = 0;
    for (uint32_t i = 0; i < 2; i++) {
        atomic_store(&vcpus[i].is_stopping, true);
        pthread_join(vcpus[i].thread, NULL);
        served += vcpus[i].served;
        answered += vcpus[i].answered;
    }
    /* Nothing was lost, and nothing was answered twice. */
    assert_int_equal(served, calls);
    assert_true(served > 0);
    assert_int_equal(world_counter(vm, PAGE_REQUESTS), answered);
    assert_int_equal(world_settled(vm, PAGE_DROPPED), 0);
    assert_int_equal(world_counter(vm, PAGE_REVOKED), 0);
    world_destroy(&world);
}

/* ---- 46: resets in flight ---------------------------------------------------------------- */

struct flight {
    struct world world;
    struct vm *vm;
    struct vm_client *far, *outside;
    struct world_device device;
};

/* vCPU 0's request lies in an inbox, vCPU 1's is with an external client. */
static void flight_init(struct flight *flight)
{
    world_create(&flight->world, WORLD_POLLERS);
    flight->vm = world_vm_with(
        &flight->world, (struct vm_options){.name = "vm", .vcpus = 2, .clear_timeout_ns = 1});
    flight->far = world_client(flight->vm, "far", 1, &flight->device);
    world_range(flight->far, REQUEST_MMIO, WORLD_MMIO, WORLD_MMIO + 7);
    flight->outside = world_external(flight->vm, "outside");
    world_ask(flight->vm, 0, world_read(REQUEST_MMIO, WORLD_MMIO, 8));
    world_ask(flight->vm, 1, world_read(REQUEST_MMIO, 0, 8));
    poller_round(flight->world.pollers[0].poller);
    assert_int_equal(page_in_flight(flight->vm->page), 2);
}

/* Late answers change nothing, and the VM serves on. */
static void flight_fini(struct flight *flight)
{
    assert_int_equal(vm_client_finish(flight->outside, 1, 5), -ENOENT);
    poller_round(flight->world.pollers[1].poller);
    assert_int_equal(flight->device.calls, 0);
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(world_state(flight->vm, i), SLOT_FREE);
    assert_int_equal(world_do(&flight->world, flight->vm, world_read(REQUEST_MMIO, WORLD_MMIO, 8)),
                     WORLD_ANSWER);
    world_destroy(&flight->world);
}

static void row46_reset_in_flight_completes_with_all_ones(void **state)
{
    (void)state;
    struct flight flight;
    flight_init(&flight);
    assert_int_equal(vm_reset(flight.vm), 2);
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(world_await(&flight.world, flight.vm, i), UINT64_MAX);
    flight_fini(&flight);
}

static void row46_hypervisors_reset_in_flight_is_not_written(void **state)
{
    (void)state;
    struct flight flight;
    flight_init(&flight);
    /* It freed the slots itself before anybody told us. */
    for (uint32_t i = 0; i < 2; i++)
        world_set_state(flight.vm, i, SLOT_FREE);
    struct acrn_io_request before[2];
    memcpy(before, flight.vm->source.slots, sizeof(before));
    assert_int_equal(vm_reset(flight.vm), 0);
    assert_memory_equal(before, flight.vm->source.slots, sizeof(before));
    assert_int_equal(world_settled(flight.vm, PAGE_DROPPED), 2);
    flight_fini(&flight);
}

static void row46_second_reset_finds_nothing(void **state)
{
    (void)state;
    struct flight flight;
    flight_init(&flight);
    assert_int_equal(vm_reset(flight.vm), 2);
    assert_int_equal(vm_reset(flight.vm), 0);
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(world_await(&flight.world, flight.vm, i), UINT64_MAX);
    flight_fini(&flight);
}

static void row46_reset_that_begins_twice_ends_once(void **state)
{
    (void)state;
    struct flight flight;
    flight_init(&flight);
    assert_int_equal(vm_clear_begin(flight.vm), 0);
    assert_int_equal(vm_reset_begin(flight.vm), 0);
    world_set_state(flight.vm, 0, SLOT_FREE);
    assert_int_equal(vm_clear_poll(flight.vm), 1); /* the other was taken back */
    assert_int_equal(vm_clear_poll(flight.vm), 1);
    assert_false(flight.vm->page->is_clearing);
    assert_int_equal(world_await(&flight.world, flight.vm, 1), UINT64_MAX);
    flight_fini(&flight);
}

static void row46_client_destroyed_during_a_reset(void **state)
{
    (void)state;
    struct flight flight;
    flight_init(&flight);
    assert_int_equal(vm_reset_begin(flight.vm), 0);
    assert_int_equal(vm_client_destroy(flight.outside), 0);
    assert_int_equal(world_await(&flight.world, flight.vm, 1), UINT64_MAX);
    /* A new one of that name, and one request more, before the reset is over. */
    flight.outside = world_external(flight.vm, "outside");
    world_ask(flight.vm, 1, world_read(REQUEST_MMIO, 0, 8));
    poller_round(flight.world.pollers[0].poller);
    assert_int_equal(world_await(&flight.world, flight.vm, 1), UINT64_MAX);
    assert_int_equal(vm_clear_poll(flight.vm), 1);
    assert_int_equal(world_await(&flight.world, flight.vm, 0), UINT64_MAX);
    flight_fini(&flight);
}

static void row46_vm_destroyed_in_flight_and_during_a_reset(void **state)
{
    (void)state;
    for (uint32_t during_reset = 0; during_reset < 2; during_reset++) {
        struct flight flight;
        flight_init(&flight);
        if (during_reset)
            assert_int_equal(vm_reset_begin(flight.vm), 0);
        assert_int_equal(vm_destroy(flight.vm), 0);
        for (int i = 0; i < 10; i++)
            world_round(&flight.world); /* nothing of it is touched any more */
        assert_int_equal(flight.device.calls, 0);
        world_destroy(&flight.world);
    }
}

static void row46_requester_gone_during_a_reset(void **state)
{
    (void)state;
    struct flight flight;
    int descriptor;
    flight_init(&flight);
    assert_int_equal(vm_reset_begin(flight.vm), 0);
    vm_detach(flight.vm);
    assert_int_equal(vm_clear_poll(flight.vm), 0);
    assert_int_equal(vm_attach(flight.vm, WORLD_PID, &descriptor), 0);
    flight_fini(&flight);
}

static void row46_resets_under_load_lose_nothing(void **state)
{
    (void)state;
    struct world world;
    world_create(&world, WORLD_POLLERS);
    world_start(&world);
    struct vm *vm =
        world_vm_with(&world, (struct vm_options){.name = "vm", .vcpus = 2, .clear_timeout_ns = 1});
    struct world_device device;
    world_range(world_client(vm, "far", 1, &device), REQUEST_MMIO, WORLD_MMIO, WORLD_MMIO + 7);
    struct vcpu vcpus[2] = {{.vm = vm, .index = 0}, {.vm = vm, .index = 1}};
    for (uint32_t i = 0; i < 2; i++)
        pthread_create(&vcpus[i].thread, NULL, vcpu_run, &vcpus[i]);
    for (int i = 0; i < 200; i++)
        assert_true(vm_reset(vm) >= 0);
    uint64_t answered = 0;
    for (uint32_t i = 0; i < 2; i++) {
        atomic_store(&vcpus[i].is_stopping, true);
        pthread_join(vcpus[i].thread, NULL);
        answered += vcpus[i].answered;
    }
    assert_int_equal(world_counter(vm, PAGE_REQUESTS), answered);
    assert_int_equal(world_settled(vm, PAGE_DROPPED), 0);
    assert_int_equal(world_counter(vm, PAGE_REVOKED), 0);
    world_destroy(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row37_overlapping_range_is_refused),
        cmocka_unit_test(row37_range_that_runs_backwards_is_refused),
        cmocka_unit_test(row37_range_beyond_its_space_is_refused),
        cmocka_unit_test(row37_one_range_too_many_is_refused),
        cmocka_unit_test(row37_name_that_is_taken_or_too_long_is_refused),
        cmocka_unit_test(row37_another_vms_client_is_refused),
        cmocka_unit_test(row37_vms_and_clients_have_limits),
        cmocka_unit_test(row38_requests_in_flight_with_an_unregistered_client_are_settled),
        cmocka_unit_test(row38_register_and_unregister_under_load_loses_nothing),
        cmocka_unit_test(row46_reset_in_flight_completes_with_all_ones),
        cmocka_unit_test(row46_hypervisors_reset_in_flight_is_not_written),
        cmocka_unit_test(row46_second_reset_finds_nothing),
        cmocka_unit_test(row46_reset_that_begins_twice_ends_once),
        cmocka_unit_test(row46_client_destroyed_during_a_reset),
        cmocka_unit_test(row46_vm_destroyed_in_flight_and_during_a_reset),
        cmocka_unit_test(row46_requester_gone_during_a_reset),
        cmocka_unit_test(row46_resets_under_load_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
