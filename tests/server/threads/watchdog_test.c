/* SPDX-License-Identifier: BSD-3-Clause */
/* Rows 28 and 42 of tests/faults.md: a poller that hangs, in a device or elsewhere, or has no CPU, is
 * seen, with the place. */
#include "tests/support/captured_stderr.h"
#include "tests/support/world.h"

#include <pthread.h>
#include <semaphore.h>

#define WINDOW_NS 20000000u

static _Atomic bool is_in, may_go;
static sem_t gate;

/* An endless loop, until the test has seen it. */
static int loop(void *context, struct request *request)
{
    (void)context;
    atomic_store(&is_in, true);
    while (!atomic_load(&may_go))
        ticks_pause();
    request->value = WORLD_ANSWER;
    return 0;
}

/* As a thread without a CPU. */
static int sleep_on(void *context, struct request *request)
{
    (void)context;
    atomic_store(&is_in, true);
    sem_wait(&gate);
    request->value = WORLD_ANSWER;
    return 0;
}

static void fixture_init(struct world *world, uint32_t poller_count)
{
    world_create(world, poller_count);
    atomic_store(&is_in, false);
    atomic_store(&may_go, false);
    assert_int_equal(sem_init(&gate, 0, 0), 0);
    for (uint32_t i = 0; i < poller_count; i++)
        world->pollers[i].watch.stuck_after_ns = WINDOW_NS;
}

static struct vm_client *client_that(struct vm *vm, uint32_t poller_index,
                                     int (*handle)(void *context, struct request *request))
{
    struct vm_client *client;
    const struct vm_client_options options = {
        .name = "hanging", .poller_index = poller_index, .handle = handle};
    assert_int_equal(vm_client_create(vm, &options, &client), 0);
    world_range(client, REQUEST_MMIO, WORLD_MMIO, WORLD_MMIO + 0xfff);
    return client;
}

static void look_until(struct world *world, uint32_t poller_index, bool is_stuck)
{
    while (world->pollers[poller_index].watch.is_stuck != is_stuck) {
        watchdog_look(&world->topology, ticks_now());
        sched_yield();
    }
}

static void hang(struct world *world, struct vm *vm, uint32_t poller_index)
{
    look_until(world, poller_index, false);
    world_ask(vm, 0, world_read(REQUEST_MMIO, WORLD_MMIO, 8));
    while (!atomic_load(&is_in))
        sched_yield();
    look_until(world, poller_index, true);
}

static void let_go(struct world *world, struct vm *vm, uint32_t poller_index)
{
    const struct watch *watch = &world->pollers[poller_index].watch;
    atomic_store(&may_go, true);
    sem_post(&gate);
    assert_int_equal(world_await(world, vm, 0), WORLD_ANSWER);
    look_until(world, poller_index, false);
    assert_int_equal(watch->stuck_count, 1);
    assert_true(watch->longest_gap_ns >= WINDOW_NS);
}

static void row28_endless_loop_in_a_device_is_seen_with_its_client(void **state)
{
    (void)state;
    static struct world world;
    struct captured_stderr said;
    fixture_init(&world, 1);
    struct vm *vm = world_vm(&world, "vm", 1);
    client_that(vm, 0, loop);
    world_start(&world);
    capture_begin(&said);
    hang(&world, vm, 0);
    assert_non_null(strstr(world.pollers[0].watch.place, "in client hanging of VM vm (handler)"));
    let_go(&world, vm, 0);
    capture_end(&said);
    assert_non_null(strstr(said.text, "error: poller a: stuck for "));
    assert_non_null(strstr(said.text, "in client hanging of VM vm (handler)"));
    assert_non_null(strstr(said.text, "warning: poller a: goes on after "));
    world_destroy(&world);
}

static void row28_loop_in_a_device_on_another_poller_is_that_pollers(void **state)
{
    (void)state;
    static struct world world;
    fixture_init(&world, 2);
    struct vm *vm = world_vm(&world, "vm", 1);
    client_that(vm, 1, sleep_on);
    world_start(&world);
    hang(&world, vm, 1);
    assert_non_null(strstr(world.pollers[1].watch.place, "in client hanging of VM vm"));
    let_go(&world, vm, 1);
    world_destroy(&world);
}

static void row42_poller_without_a_cpu_is_seen_and_the_gap_is_kept(void **state)
{
    (void)state;
    static struct world world;
    fixture_init(&world, 1);
    struct vm *vm = world_vm(&world, "vm", 1);
    client_that(vm, 0, sleep_on);
    world_start(&world);
    hang(&world, vm, 0);
    assert_non_null(strstr(world.pollers[0].watch.place, ", without its CPU"));
    uint64_t gap_ns = world.pollers[0].watch.longest_gap_ns;
    while (world.pollers[0].watch.longest_gap_ns == gap_ns)
        watchdog_look(&world.topology, ticks_now());
    assert_int_equal(world.pollers[0].watch.stuck_count, 1); /* told once */
    let_go(&world, vm, 0);
    world_destroy(&world);
}

static void wait_at_gate(void *context)
{
    (void)context;
    atomic_store(&is_in, true);
    sem_wait(&gate);
}

static void *call_thread(void *poller)
{
    assert_int_equal(poller_call_brief(poller, wait_at_gate, NULL, VM_CALL_TIMEOUT_NS), 0);
    return NULL;
}

static void row42_poller_stuck_outside_of_devices_is_seen(void **state)
{
    (void)state;
    static struct world world;
    pthread_t caller;
    fixture_init(&world, 1);
    world_start(&world);
    look_until(&world, 0, false);
    assert_int_equal(pthread_create(&caller, NULL, call_thread, world.pollers[0].poller), 0);
    look_until(&world, 0, true);
    assert_non_null(strstr(world.pollers[0].watch.place, "outside of any device"));
    sem_post(&gate);
    pthread_join(caller, NULL);
    look_until(&world, 0, false);
    world_destroy(&world);
}

/* By a clock of the test's: no thread, no time. */
static void poller_that_moves_is_never_stuck_and_one_that_does_not_is_at_the_window(void **state)
{
    (void)state;
    static struct world world;
    fixture_init(&world, 1);
    const struct watch *watch = &world.pollers[0].watch;
    uint64_t now = ticks_now(), step = ticks_from_ns(WINDOW_NS / 2);
    for (uint32_t i = 0; i < 10; i++) {
        world_round(&world);
        watchdog_look(&world.topology, now += step);
    }
    assert_int_equal(watch->stuck_count, 0);
    watchdog_look(&world.topology, now += step);
    assert_false(watch->is_stuck);
    watchdog_look(&world.topology, now += step + ticks_from_ns(1000));
    assert_true(watch->is_stuck);
    world_round(&world);
    watchdog_look(&world.topology, now += step);
    assert_false(watch->is_stuck);
    world.pollers[0].watch.stuck_after_ns = 0;
    watchdog_look(&world.topology, now += 100 * step);
    assert_false(watch->is_stuck);
    world_destroy(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        /* First: the log keeps what it has opened. */
        cmocka_unit_test(row28_endless_loop_in_a_device_is_seen_with_its_client),
        cmocka_unit_test(poller_that_moves_is_never_stuck_and_one_that_does_not_is_at_the_window),
        cmocka_unit_test(row28_loop_in_a_device_on_another_poller_is_that_pollers),
        cmocka_unit_test(row42_poller_without_a_cpu_is_seen_and_the_gap_is_kept),
        cmocka_unit_test(row42_poller_stuck_outside_of_devices_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
