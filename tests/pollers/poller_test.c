/* SPDX-License-Identifier: BSD-3-Clause */
/* The poller as a thread: where it runs, how it is called and stopped, and what a hostile requester
 * can do to it and to its other VMs. */
#include "tests/support/chosen_cpu.h"
#include "tests/support/guest.h"

#include "pollers/placement.h"
#include "pollers/ticks.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <time.h>

#define TIMEOUT_NS 20000000000ull

static struct placement *placement;

static int open_placement(void **state)
{
    (void)state;
    return placement_open(&placement);
}

static int close_placement(void **state)
{
    (void)state;
    placement_close(placement);
    return 0;
}

/* A poller of the guest's page that is a thread, on the CPU placement would choose. */
static void start_thread(struct guest *guest)
{
    guest->poller->options.placement = placement;
    guest->poller->options.cpu = chosen_cpu(placement, 0, 1);
    assert_int_equal(poller_start(guest->poller), 0);
}

static void stop_thread(struct guest *guest)
{
    assert_int_equal(poller_stop(guest->poller, TIMEOUT_NS), 0);
}

static void cpu_that_does_not_exist_is_refused(void **state)
{
    (void)state;
    char reason[320] = "";
    assert_false(placement_check(placement_machine(placement), 9999, reason, sizeof(reason)));
    assert_non_null(strstr(reason, "CPU 9999 does not exist"));
    assert_non_null(strstr(reason, "expected one of 0"));
    assert_false(
        placement_check(placement_machine(placement), UINT32_MAX - 1, reason, sizeof(reason)));
    struct guest *guest = guest_create((struct guest_options){.vcpus = 1});
    guest->poller->options.placement = placement;
    guest->poller->options.cpu = 9999;
    assert_true(poller_start(guest->poller) < 0);
    guest_destroy(guest);
}

static void chosen_cpus_differ_while_there_are_some(void **state)
{
    (void)state;
    char reason[320];
    uint32_t first = chosen_cpu(placement, 0, 2);
    assert_true(placement_check(placement_machine(placement), first, reason, sizeof(reason)));
    uint32_t second = chosen_cpu(placement, 1, 2);
    assert_true(placement_check(placement_machine(placement), second, reason, sizeof(reason)));
    cpu_set_t allowed;
    assert_int_equal(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
    if (CPU_COUNT(&allowed) > 1)
        assert_int_not_equal(first, second);
}

static void read_cpu(void *context)
{
    *(int *)context = sched_getcpu();
}

static void runs_on_its_cpu(void **state)
{
    (void)state;
    struct guest *guest = guest_create((struct guest_options){.vcpus = 1});
    start_thread(guest);
    int cpu = -1;
    assert_int_equal(poller_call(guest->poller, read_cpu, &cpu, TIMEOUT_NS), 0);
    assert_int_equal(cpu, guest->poller->options.cpu);
    stop_thread(guest);
    guest_destroy(guest);
}

static void calls_of_a_poller_without_a_thread_are_made_here(void **state)
{
    (void)state;
    struct guest *guest = guest_create((struct guest_options){.vcpus = 1});
    int cpu = -1;
    assert_int_equal(poller_call(guest->poller, read_cpu, &cpu, 1), 0);
    assert_true(cpu >= 0);
    start_thread(guest);
    stop_thread(guest);
    assert_true(poller_is_gone(guest->poller));
    cpu = -1;
    assert_int_equal(poller_call(guest->poller, read_cpu, &cpu, 1), 0);
    assert_true(cpu >= 0);
    guest_destroy(guest);
}

/* Waits until the server has answered, letting it run: two cores. */
static void wait_for_complete(struct guest *guest, uint32_t slot_index)
{
    while (guest_state(guest, slot_index) != SLOT_COMPLETE)
        sched_yield();
}

/* A device that does not come back until it is told to. */
static _Atomic bool stuck_is_over;

static int stuck_handle(struct device *device, struct request *request)
{
    (void)device;
    (void)request;
    while (!atomic_load(&stuck_is_over))
        sched_yield();
    return 0;
}

static void set_flag(void *context)
{
    atomic_store((_Atomic bool *)context, true);
}

static void call_of_a_stuck_poller_is_taken_back(void **state)
{
    (void)state;
    static const struct device_ops stuck_ops = {.name = "stuck", .handle = stuck_handle};
    struct guest *guest = guest_create((struct guest_options){.vcpus = 1});
    guest->device.device.ops = &stuck_ops;
    atomic_store(&stuck_is_over, false);
    start_thread(guest);
    guest_ask(guest, 0, (struct guest_access){REQUEST_MMIO, REQUEST_READ, GUEST_MMIO, 8, 0});
    while (guest_state(guest, 0) != SLOT_PROCESSING)
        sched_yield();
    _Atomic bool late = false, next = false;
    assert_int_equal(poller_call(guest->poller, set_flag, &late, 1000000), -ETIMEDOUT);
    atomic_store(&stuck_is_over, true);
    wait_for_complete(guest, 0);
    assert_int_equal(poller_call(guest->poller, set_flag, &next, TIMEOUT_NS), 0);
    assert_true(next);
    assert_false(late); /* never made after all */
    stop_thread(guest);
    guest_destroy(guest);
}

static uint64_t random_next(uint64_t *random)
{
    *random = *random * 6364136223846793005u + 1442695040888963407u;
    return *random >> 33;
}

struct hostile {
    struct guest *guest;
    _Atomic bool is_over;
    bool only_states;
    uint64_t rewrites;
};

/* Rewrites words of the page as fast as it can: wild values, plausible ones, and states. */
static void *hostile_main(void *argument)
{
    struct hostile *hostile = argument;
    uint64_t random = 42;
    uint32_t *words = (uint32_t *)(void *)hostile->guest->slots;
    while (!atomic_load_explicit(&hostile->is_over, memory_order_relaxed)) {
        uint64_t choice = random_next(&random);
        uint32_t slot_index = choice % SLOT_COUNT;
        if (hostile->only_states || choice & 0x10) {
            uint32_t state = (uint32_t)random_next(&random) & 7;
            __atomic_store_n(&words[slot_index * 64 + 34], state < 5 ? 0u : state,
                             __ATOMIC_RELEASE);
        } else {
            uint32_t word = (uint32_t)random_next(&random) % 36;
            const uint32_t values[] = {
                0, 1, 2, 4, (uint32_t)GUEST_MMIO, (uint32_t)random, UINT32_MAX, 0x80000000};
            __atomic_store_n(&words[slot_index * 64 + word], values[random_next(&random) % 8],
                             __ATOMIC_RELAXED);
        }
        hostile->rewrites++;
        if (hostile->rewrites % 4096 == 0)
            sched_yield(); /* two cores, three threads */
    }
    return NULL;
}

/* A well-behaved VM shares the poller with a hostile one: every answer is right. */
static void serve_beside_hostile(bool only_states)
{
    struct guest *good = guest_create((struct guest_options){.vcpus = 1});
    struct guest *bad =
        guest_create((struct guest_options){.vcpus = 16, .has_default_client = true});
    assert_int_equal(poller_add_page(good->poller, bad->page), 0);
    struct hostile hostile = {.guest = bad, .only_states = only_states};
    pthread_t thread;
    start_thread(good);
    assert_int_equal(pthread_create(&thread, NULL, hostile_main, &hostile), 0);
    for (uint64_t i = 0; i < 20000; i++) {
        struct guest_access access = {REQUEST_MMIO, REQUEST_READ, GUEST_MMIO + i % 256, 4, 0};
        guest_ask(good, 0, access);
        wait_for_complete(good, 0);
        assert_int_equal(guest_value(good, 0), GUEST_ANSWER & 0xffffffff);
        guest_set_state(good, 0, SLOT_FREE);
    }
    atomic_store(&hostile.is_over, true);
    pthread_join(thread, NULL);
    stop_thread(good);
    assert_int_equal(good->device.calls, 20000);
    assert_true(guest_counter(bad, PAGE_REQUESTS) > 0);
    /* What the devices of the hostile VM saw passed every check. */
    const struct request *seen = &bad->device.last;
    if (bad->device.calls)
        assert_true(seen->size_bytes <= 8 && seen->offset + seen->size_bytes <= 0x1000);
    printf("hostile: %llu rewrites, %llu requests taken on\n", (unsigned long long)hostile.rewrites,
           (unsigned long long)guest_counter(bad, PAGE_REQUESTS));
    guest_destroy(good);
    guest_destroy(bad);
}

/* As if it had got no CPU right after it took the command. */
static void linger_and_set_flag(void *context)
{
    struct timespec pause = {.tv_nsec = 100000000};
    nanosleep(&pause, NULL);
    set_flag(context);
}

static void brief_call_that_was_begun_is_waited_for(void **state)
{
    (void)state;
    struct guest *guest = guest_create((struct guest_options){.vcpus = 1});
    start_thread(guest);
    _Atomic bool flag = false;
    /* Given back, or begun and then done: never left with a context that is gone. */
    int result = poller_call_brief(guest->poller, linger_and_set_flag, &flag, 10000000);
    assert_true(result == 0 || result == -ETIMEDOUT);
    assert_int_equal(atomic_load(&flag), result == 0);
    stop_thread(guest);
    assert_int_equal(atomic_load(&flag), result == 0);
    guest_destroy(guest);
}

static void row17_flapping_states_disturb_no_other_vm(void **state)
{
    (void)state;
    serve_beside_hostile(true);
}

static void row18_page_rewritten_at_full_speed_disturbs_no_other_vm(void **state)
{
    (void)state;
    serve_beside_hostile(false);
}

/* Work of one sweep is bounded by the page, whatever flaps. */
static void row17_one_round_answers_each_slot_at_most_once(void **state)
{
    (void)state;
    struct guest *guest = guest_create((struct guest_options){.vcpus = 16});
    struct hostile hostile = {.guest = guest, .only_states = true};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, hostile_main, &hostile), 0);
    for (int i = 0; i < 20000; i++)
        assert_true(poller_round(guest->poller) <= SLOT_COUNT);
    atomic_store(&hostile.is_over, true);
    pthread_join(thread, NULL);
    guest_destroy(guest);
}

struct tearing {
    struct guest *guest;
    _Atomic bool is_over;
};

/* Two addresses whose halves mix: one in the range, one not; written half by half. */
static void *tear_main(void *argument)
{
    struct tearing *tearing = argument;
    uint32_t *halves = (uint32_t *)(void *)&tearing->guest->slots[0].reqs.mmio_request.address;
    uint32_t upper = 0;
    while (!atomic_load_explicit(&tearing->is_over, memory_order_relaxed)) {
        for (int i = 0; i < 1024; i++) {
            __atomic_store_n(&halves[0], (uint32_t)GUEST_MMIO + (uint32_t)(i & 0xff8),
                             __ATOMIC_RELAXED);
            upper = !upper;
            __atomic_store_n(&halves[1], upper, __ATOMIC_RELAXED);
        }
        sched_yield();
    }
    return NULL;
}

static void row22_torn_address_is_used_as_it_was_checked(void **state)
{
    (void)state;
    struct guest *guest =
        guest_create((struct guest_options){.vcpus = 1, .has_default_client = true});
    struct tearing tearing = {.guest = guest};
    guest_ask(guest, 0, (struct guest_access){REQUEST_MMIO, REQUEST_READ, GUEST_MMIO, 8, 0});
    guest_set_state(guest, 0, SLOT_FREE);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, tear_main, &tearing), 0);
    for (int i = 0; i < 50000; i++) {
        guest_set_state(guest, 0, SLOT_PENDING);
        uint64_t inside = guest->device.calls, outside = guest->default_device.calls;
        poller_round(guest->poller);
        /* Exactly one of the two, and the address it saw is the one it was routed by. */
        assert_int_equal(guest->device.calls + guest->default_device.calls, inside + outside + 1);
        if (guest->device.calls > inside)
            assert_true(guest->device.last.address - GUEST_MMIO <= 0xff8);
        else
            assert_true(guest->default_device.last.address >> 32);
        if (i % 64 == 0)
            sched_yield();
    }
    atomic_store(&tearing.is_over, true);
    pthread_join(thread, NULL);
    guest_destroy(guest);
}

/* A client that lives on another poller: every request answered once, by that poller. */
static void client_on_another_poller_answers_through_its_inbox(void **state)
{
    (void)state;
    struct guest *guest = guest_create((struct guest_options){.vcpus = 4, .with_inbox = true});
    const struct poller_options options = {.name = "home",
                                           .placement = placement,
                                           .cpu = guest->poller->options.cpu,
                                           .idle = POLLER_IDLE_YIELD};
    struct poller *home = NULL;
    assert_int_equal(poller_create(&options, &home), 0);
    assert_int_equal(poller_add_inbox(home, &guest->client), 0);
    start_thread(guest);
    assert_int_equal(poller_start(home), 0);
    for (uint32_t i = 0; i < 2000; i++) {
        for (uint32_t slot = 0; slot < 4; slot++)
            guest_ask(guest, slot,
                      (struct guest_access){REQUEST_MMIO, REQUEST_READ, GUEST_MMIO + i % 64, 8, 0});
        for (uint32_t slot = 0; slot < 4; slot++) {
            wait_for_complete(guest, slot);
            assert_int_equal(guest_value(guest, slot), GUEST_ANSWER);
            guest_set_state(guest, slot, SLOT_FREE);
        }
    }
    assert_int_equal(poller_stop(home, TIMEOUT_NS), 0);
    stop_thread(guest);
    assert_int_equal(guest->device.calls, 8000);
    assert_int_equal(histogram_count(guest->latency), 8000);
    poller_destroy(home);
    guest_destroy(guest);
}

static void idle_strategies_all_serve(void **state)
{
    (void)state;
    const enum poller_idle strategies[] = {POLLER_IDLE_SPIN, POLLER_IDLE_PAUSE, POLLER_IDLE_YIELD,
                                           POLLER_IDLE_SLEEP};
    for (size_t i = 0; i < 4; i++) {
        struct guest *guest = guest_create((struct guest_options){.vcpus = 1});
        guest->poller->options.idle = strategies[i];
        guest->poller->options.idle_sleep_ns = 50000;
        start_thread(guest);
        for (int k = 0; k < 200; k++) {
            guest_ask(guest, 0,
                      (struct guest_access){REQUEST_MMIO, REQUEST_READ, GUEST_MMIO, 8, 0});
            wait_for_complete(guest, 0);
            guest_set_state(guest, 0, SLOT_FREE);
        }
        stop_thread(guest);
        guest_destroy(guest);
    }
}

/* As if poller_freeze came while the thread was ending. */
static void end_and_be_frozen(void *context)
{
    struct poller *poller = context;
    atomic_store(&poller->state, POLLER_STOPPED);
    raise(SIGRTMAX - 1);
    poller->is_stopping = true;
}

static void freezing_takes_only_a_poller_at_work(void **state)
{
    (void)state;
    struct guest *guest = guest_create((struct guest_options){.vcpus = 1});
    assert_int_equal(poller_freeze(guest->poller, TIMEOUT_NS), 0); /* no thread */
    start_thread(guest);
    pthread_kill(pthread_self(), SIGRTMAX - 1); /* somebody else's, to a thread that is no poller */
    pthread_t thread = guest->poller->thread;
    assert_int_equal(poller_call(guest->poller, end_and_be_frozen, guest->poller, TIMEOUT_NS), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(poller_freeze(guest->poller, TIMEOUT_NS), 0);
    assert_false(poller_is_frozen(guest->poller));
    assert_true(poller_is_gone(guest->poller));
    guest_destroy(guest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cpu_that_does_not_exist_is_refused),
        cmocka_unit_test(chosen_cpus_differ_while_there_are_some),
        cmocka_unit_test(runs_on_its_cpu),
        cmocka_unit_test(calls_of_a_poller_without_a_thread_are_made_here),
        cmocka_unit_test(call_of_a_stuck_poller_is_taken_back),
        cmocka_unit_test(brief_call_that_was_begun_is_waited_for),
        cmocka_unit_test(row17_flapping_states_disturb_no_other_vm),
        cmocka_unit_test(row17_one_round_answers_each_slot_at_most_once),
        cmocka_unit_test(row18_page_rewritten_at_full_speed_disturbs_no_other_vm),
        cmocka_unit_test(row22_torn_address_is_used_as_it_was_checked),
        cmocka_unit_test(client_on_another_poller_answers_through_its_inbox),
        cmocka_unit_test(idle_strategies_all_serve),
        cmocka_unit_test(freezing_takes_only_a_poller_at_work),
    };
    return cmocka_run_group_tests(tests, open_placement, close_placement);
}
