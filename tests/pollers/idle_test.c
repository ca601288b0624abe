/* SPDX-License-Identifier: BSD-3-Clause */
/* What a poller does while there is nothing to do: when it begins to yield or to sleep, and that it
 * then does. */
#include "tests/support/guest.h"
#include "tests/support/chosen_cpu.h"

#include "pollers/placement.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>

#define TIMEOUT_NS 20000000000ull
#define SLEEP_NS   2000000u

/* ---- what the loop asks of the kernel, seen from here ------------------------------------ */

/* The poller whose loop the test's own thread runs; it stops at the watch's last call. */
struct watch {
    struct guest *guest;
    uint32_t yields, sleeps;
    uint32_t last;
    uint64_t sweeps[4]; /* at each call */
    struct timespec pause;
    bool asks_after_first;
};

static struct watch *watch;

static void note_call(uint32_t *count)
{
    struct poller *poller = watch->guest->poller;
    if (*count < 4)
        watch->sweeps[*count] = poller_figures(poller).sweeps;
    if (++*count == watch->last)
        poller->is_stopping = true;
    if (*count == 1 && watch->asks_after_first)
        guest_ask(watch->guest, 0,
                  (struct guest_access){REQUEST_MMIO, REQUEST_READ, GUEST_MMIO, 4, 0});
}

/* In place of libc's. */
int sched_yield(void)
{
    if (watch)
        note_call(&watch->yields);
    return 0;
}

long syscall(long number, ...)
{
    long arguments[6];
    va_list list;
    va_start(list, number);
    for (size_t i = 0; i < 6; i++)
        arguments[i] = va_arg(list, long);
    va_end(list);
    if (watch && number == SYS_clock_nanosleep) {
        assert_int_equal(arguments[0], CLOCK_MONOTONIC);
        assert_int_equal(arguments[1], 0);
        memcpy(&watch->pause, (const void *)arguments[2], sizeof(watch->pause));
        note_call(&watch->sleeps);
    }
    long result;
    register long fourth __asm__("r10") = arguments[3];
    register long fifth __asm__("r8") = arguments[4];
    register long sixth __asm__("r9") = arguments[5];
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "a"(number), "D"(arguments[0]), "S"(arguments[1]), "d"(arguments[2]),
                       "r"(fourth), "r"(fifth), "r"(sixth)
                     : "rcx", "r11", "memory");
    if (result >= 0 || result < -4095)
        return result;
    errno = (int)-result;
    return -1;
}

/* Runs the loop until its `last` call. */
static struct watch run_loop(struct guest *guest, enum poller_idle idle, uint32_t spins,
                             uint32_t last, bool asks)
{
    struct watch made = {.guest = guest, .last = last, .asks_after_first = asks};
    guest->poller->options.idle = idle;
    guest->poller->options.idle_spins = spins;
    guest->poller->options.idle_sleep_ns = SLEEP_NS;
    watch = &made;
    poller_loop(guest->poller);
    watch = NULL;
    return made;
}

static const uint32_t bounds[] = {1, 2, 64, 1024, 100000};
#define BOUND_COUNT (sizeof(bounds) / sizeof(bounds[0]))

static void yields_after_as_many_empty_sweeps_as_told_and_then_after_each(void **state)
{
    (void)state;
    for (size_t i = 0; i < BOUND_COUNT; i++) {
        struct guest *guest = guest_create((struct guest_options){.vcpus = 1});
        struct watch seen = run_loop(guest, POLLER_IDLE_YIELD, bounds[i], 3, false);
        assert_int_equal(seen.yields, 3);
        assert_int_equal(seen.sleeps, 0);
        for (uint64_t k = 0; k < 3; k++)
            assert_int_equal(seen.sweeps[k], bounds[i] + k);
        guest_destroy(guest);
    }
}

static void sleeps_after_as_many_empty_sweeps_and_for_as_long_as_told(void **state)
{
    (void)state;
    for (size_t i = 0; i < BOUND_COUNT; i++) {
        struct guest *guest = guest_create((struct guest_options){.vcpus = 1});
        struct watch seen = run_loop(guest, POLLER_IDLE_SLEEP, bounds[i], 3, false);
        assert_int_equal(seen.sleeps, 3);
        assert_int_equal(seen.yields, 0);
        for (uint64_t k = 0; k < 3; k++)
            assert_int_equal(seen.sweeps[k], bounds[i] + k);
        assert_int_equal(seen.pause.tv_sec, 0);
        assert_int_equal(seen.pause.tv_nsec, SLEEP_NS);
        guest_destroy(guest);
    }
}

static void bounds_that_nobody_gave_are_64_and_1024(void **state)
{
    (void)state;
    const struct {
        enum poller_idle idle;
        uint32_t given, expected;
    } cases[] = {
        {POLLER_IDLE_YIELD, 0, 64},
        {POLLER_IDLE_SLEEP, 0, 1024},
        {POLLER_IDLE_YIELD, 7, 7},
        {POLLER_IDLE_SLEEP, 7, 7},
    };
    for (size_t i = 0; i < 4; i++) {
        const struct poller_options options = {
            .name = "bound", .idle = cases[i].idle, .idle_spins = cases[i].given};
        struct poller *poller;
        assert_int_equal(poller_create(&options, &poller), 0);
        assert_int_equal(poller->options.idle_spins, cases[i].expected);
        poller_destroy(poller);
    }
}

static void a_request_makes_it_count_empty_sweeps_anew(void **state)
{
    (void)state;
    const struct {
        enum poller_idle idle;
        uint64_t sweeps;
    } cases[] = {{POLLER_IDLE_YIELD, 64}, {POLLER_IDLE_SLEEP, 1024}};
    for (size_t i = 0; i < 2; i++) {
        struct guest *guest = guest_create((struct guest_options){.vcpus = 1});
        struct watch seen = run_loop(guest, cases[i].idle, (uint32_t)cases[i].sweeps, 2, true);
        assert_int_equal(guest_state(guest, 0), SLOT_COMPLETE);
        assert_int_equal(seen.sweeps[0], cases[i].sweeps);
        assert_int_equal(seen.sweeps[1], cases[i].sweeps + 1 + cases[i].sweeps);
        guest_destroy(guest);
    }
}

/* ---- what the kernel says of it ---------------------------------------------------------- */

static void read_usage(void *context)
{
    getrusage(RUSAGE_THREAD, context);
}

static uint64_t cpu_ns(const struct rusage *usage)
{
    return (uint64_t)(usage->ru_utime.tv_sec + usage->ru_stime.tv_sec) * 1000000000 +
           (uint64_t)(usage->ru_utime.tv_usec + usage->ru_stime.tv_usec) * 1000;
}

/* What a thread without work used while this one slept for 200 ms. */
static void measure_idle(enum poller_idle idle, uint64_t *cpu, long *waits)
{
    struct placement *placement = NULL;
    assert_int_equal(placement_open(&placement), 0);
    struct guest *guest = guest_create((struct guest_options){.vcpus = 1});
    guest->poller->options.placement = placement;
    guest->poller->options.cpu = chosen_cpu(placement, 0, 1);
    guest->poller->options.idle = idle;
    guest->poller->options.idle_sleep_ns = SLEEP_NS;
    assert_int_equal(poller_start(guest->poller), 0);
    struct rusage before, after;
    assert_int_equal(poller_call(guest->poller, read_usage, &before, TIMEOUT_NS), 0);
    struct timespec pause = {.tv_nsec = 200000000};
    nanosleep(&pause, NULL);
    assert_int_equal(poller_call(guest->poller, read_usage, &after, TIMEOUT_NS), 0);
    assert_int_equal(poller_stop(guest->poller, TIMEOUT_NS), 0);
    *cpu = cpu_ns(&after) - cpu_ns(&before);
    *waits = after.ru_nvcsw - before.ru_nvcsw;
    printf("idle %d: CPU %llu us, waited %ld times\n", (int)idle, (unsigned long long)(*cpu / 1000),
           *waits);
    guest_destroy(guest);
    placement_close(placement);
}

static void sleeping_thread_waits_and_leaves_its_cpu_to_others(void **state)
{
    (void)state;
    uint64_t cpu;
    long waits;
    measure_idle(POLLER_IDLE_SLEEP, &cpu, &waits);
    assert_true(waits >= 1);
    assert_true(cpu < 150000000); /* of 200 ms or more */
}

static void spinning_thread_never_waits(void **state)
{
    (void)state;
    const enum poller_idle strategies[] = {POLLER_IDLE_SPIN, POLLER_IDLE_PAUSE};
    for (size_t i = 0; i < 2; i++) {
        uint64_t cpu;
        long waits;
        measure_idle(strategies[i], &cpu, &waits);
        assert_int_equal(waits, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(yields_after_as_many_empty_sweeps_as_told_and_then_after_each),
        cmocka_unit_test(sleeps_after_as_many_empty_sweeps_and_for_as_long_as_told),
        cmocka_unit_test(bounds_that_nobody_gave_are_64_and_1024),
        cmocka_unit_test(a_request_makes_it_count_empty_sweeps_anew),
        cmocka_unit_test(sleeping_thread_waits_and_leaves_its_cpu_to_others),
        cmocka_unit_test(spinning_thread_never_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
