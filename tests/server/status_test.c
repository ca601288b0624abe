/* SPDX-License-Identifier: BSD-3-Clause */
/* What status and the log tell of a topology whose load the test knows. */
#include "server/events.h"
#include "server/status.h"
#include "tests/support/captured_stderr.h"
#include "tests/support/world.h"

#include <stdio.h>

#define WORK_TICKS 20000u
#define REQUESTS   20u

static int work(void *context, struct request *request)
{
    uint64_t begin = ticks_now();
    while (ticks_now() - begin < WORK_TICKS)
        ticks_pause();
    return world_handle(context, request);
}

static struct vm *vm_with_worker(struct world *world, struct world_device *device)
{
    struct vm *vm = world_vm(world, "vm", 1);
    struct vm_client *client = NULL;
    const struct vm_client_options options = {.name = "worker", .handle = work, .context = device};
    *device = (struct world_device){.answer = WORLD_ANSWER};
    assert_int_equal(vm_client_create(vm, &options, &client), 0);
    world_range(client, REQUEST_MMIO, WORLD_MMIO, WORLD_MMIO + 0xfff);
    return vm;
}

/* The number behind the first "key": of the status. */
static double read_number(struct topology *topology, const char *key)
{
    char quoted[64];
    snprintf(quoted, sizeof(quoted), "\"%s\": ", key);
    char *text = status_json(topology);
    assert_non_null(text);
    const char *found = strstr(text, quoted);
    assert_non_null(found);
    double number = strtod(found + strlen(quoted), NULL);
    free(text);
    return number;
}

static void busy_share_is_that_of_the_time_since_the_last_look(void **state)
{
    (void)state;
    struct world world;
    struct world_device device;
    world_create(&world, 1);
    struct vm *vm = vm_with_worker(&world, &device);
    uint64_t before = ticks_now();
    read_number(&world.topology, "busy");
    for (uint32_t i = 0; i < REQUESTS; i++)
        world_do(&world, vm, world_read(REQUEST_MMIO, WORLD_MMIO, 4));
    uint64_t after = ticks_now();
    double share = read_number(&world.topology, "busy");
    /* However long this thread was kept away, the device worked that long at least. */
    double least = (double)(REQUESTS * WORK_TICKS) / (double)(ticks_now() - before);
    assert_true(share >= 0.99 * least);
    assert_true(share <= 1);
    assert_true(after > before);
    assert_true(read_number(&world.topology, "busy") == 0);
    assert_true(read_number(&world.topology, "busy") == 0);
    /* The other figures count from the start. */
    assert_true(read_number(&world.topology, "requests") == REQUESTS);
    assert_true(read_number(&world.topology, "accesses") == REQUESTS);
    world_destroy(&world);
}

/* ---- the log ----------------------------------------------------------------------------- */

/* What events_report says now. */
static const char *report(const struct topology *topology)
{
    static struct captured_stderr captured;
    capture_begin(&captured);
    events_report(topology);
    return capture_end(&captured);
}

static void each_rise_of_a_counter_is_told_once(void **state)
{
    (void)state;
    struct world world;
    world_create(&world, 1);
    struct vm *vm = world_vm(&world, "vm", 1);
    assert_string_equal(report(&world.topology), "");
    world_do(&world, vm, world_read(REQUEST_MMIO, WORLD_MMIO, 3));
    assert_string_equal(report(&world.topology), "ioreqd: warning: vm vm: invalid_size: 1 more\n");
    assert_string_equal(report(&world.topology), "");
    for (int i = 0; i < 3; i++)
        world_do(&world, vm, world_read(REQUEST_MMIO, WORLD_MMIO, 5));
    world_do(&world, vm, world_read(REQUEST_PORTIO, 0x10000, 1));
    assert_string_equal(report(&world.topology),
                        "ioreqd: warning: vm vm: invalid_size: 3 more\n"
                        "ioreqd: warning: vm vm: invalid_address: 1 more\n");
    world_destroy(&world);
}

static void requests_alone_are_no_event(void **state)
{
    (void)state;
    struct world world;
    struct world_device device;
    world_create(&world, 1);
    struct vm *vm = vm_with_worker(&world, &device);
    world_do(&world, vm, world_read(REQUEST_MMIO, WORLD_MMIO, 4));
    assert_string_equal(report(&world.topology), "");
    world_destroy(&world);
}

static void dropped_answers_and_failing_devices_are_told(void **state)
{
    (void)state;
    struct world world;
    struct world_device device;
    world_create(&world, 2);
    struct vm *vm = world_vm(&world, "vm", 1);
    struct vm_client *client = world_client(vm, "far", 1, &device);
    world_range(client, REQUEST_MMIO, WORLD_MMIO, WORLD_MMIO + 0xfff);
    client->client.broken_after = 2;
    device.result = -EIO;
    world_ask(vm, 0, world_read(REQUEST_MMIO, WORLD_MMIO, 4));
    poller_round(world.pollers[0].poller);
    world_set_state(vm, 0, SLOT_FREE);
    poller_round(world.pollers[1].poller);
    poller_round(world.pollers[0].poller); /* the answer is back, for nobody */
    assert_string_equal(report(&world.topology),
                        "ioreqd: warning: vm vm: dropped: 1 more\n"
                        "ioreqd: warning: vm vm: client far: 1 more errors of its device\n");
    world_do(&world, vm, world_read(REQUEST_MMIO, WORLD_MMIO, 4));
    assert_non_null(strstr(report(&world.topology),
                           "1 more errors of its device; it is broken and asked no more\n"));
    assert_string_equal(report(&world.topology), "");
    world_destroy(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(busy_share_is_that_of_the_time_since_the_last_look),
        cmocka_unit_test(each_rise_of_a_counter_is_told_once),
        cmocka_unit_test(requests_alone_are_no_event),
        cmocka_unit_test(dropped_answers_and_failing_devices_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
