/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers/notifier.h"

#include "pollers/memory.h"
#include "tests/support/eventfd.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>
/* after those, as it asks */
#include <cmocka.h>

#define FULL (UINT64_MAX - 1) /* what an eventfd holds at most */

struct bench {
    struct notifier *notifier;
    struct notifier_port *port;
    int descriptor; /* an eventfd */
    uint32_t signal;
};

static int setup(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    assert_non_null(bench);
    assert_int_equal(notifier_create(&bench->notifier), 0);
    assert_int_equal(notifier_add_port(bench->notifier, MEMORY_ANY_NODE, &bench->port), 0);
    bench->descriptor = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert_true(bench->descriptor >= 0);
    assert_int_equal(notifier_add(bench->notifier, bench->descriptor, &bench->signal), 0);
    *state = bench;
    return 0;
}

static int teardown(void **state)
{
    struct bench *bench = *state;
    notifier_destroy(bench->notifier);
    close(bench->descriptor);
    free(bench);
    return 0;
}

static uint64_t take_soon(int descriptor)
{
    uint64_t count;
    while ((count = eventfd_take(descriptor)) == 0)
        sched_yield();
    return count;
}

static void add_refuses_what_is_no_descriptor(void **state)
{
    struct bench *bench = *state;
    uint32_t signal;
    assert_int_equal(notifier_add(bench->notifier, -1, &signal), -EBADF);
    assert_int_equal(notifier_add(bench->notifier, 99999, &signal), -EBADF);
}

static void remove_refuses_what_was_never_added(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(notifier_remove(bench->notifier, 0), -ENOENT);
    assert_int_equal(notifier_remove(bench->notifier, bench->signal + 1), -ENOENT);
    assert_int_equal(notifier_remove(bench->notifier, bench->signal + NOTIFIER_SIGNALS_MAX),
                     -ENOENT);
    assert_int_equal(notifier_remove(bench->notifier, bench->signal), 0);
    assert_int_equal(notifier_remove(bench->notifier, bench->signal), -ENOENT);
}

static void ports_end_at_their_limit(void **state)
{
    struct bench *bench = *state;
    struct notifier_port *port;
    for (uint32_t i = 1; i < NOTIFIER_PORTS_MAX; i++)
        assert_int_equal(notifier_add_port(bench->notifier, MEMORY_ANY_NODE, &port), 0);
    assert_int_equal(notifier_add_port(bench->notifier, MEMORY_ANY_NODE, &port), -ENOSPC);
}

static void signals_end_at_their_limit_and_are_never_zero(void **state)
{
    struct bench *bench = *state;
    static uint32_t signals[NOTIFIER_SIGNALS_MAX];
    uint32_t count = 0;
    int result;
    while (count < NOTIFIER_SIGNALS_MAX &&
           (result = notifier_add(bench->notifier, bench->descriptor, &signals[count])) == 0)
        assert_int_not_equal(signals[count++], 0);
    if (result == -EMFILE)
        print_message("skip: fewer descriptors than signals here\n");
    else
        assert_int_equal(result, -ENOSPC);
    assert_int_equal(notifier_figures(bench->notifier).live, count + 1);
    while (count > 0)
        assert_int_equal(notifier_remove(bench->notifier, signals[--count]), 0);
}

static void pushes_of_one_round_are_one_write_that_counts_them(void **state)
{
    struct bench *bench = *state;
    for (int i = 0; i < 5; i++)
        notifier_push(bench->port, bench->signal);
    assert_int_equal(eventfd_take(bench->descriptor), 0); /* nobody has written yet */
    assert_int_equal(notifier_round(bench->notifier), 1);
    assert_int_equal(eventfd_take(bench->descriptor), 5);
    assert_int_equal(notifier_round(bench->notifier), 0);
    assert_int_equal(notifier_figures(bench->notifier).writes, 1);
    assert_int_equal(notifier_figures(bench->notifier).signals, 5);
}

static void full_ring_loses_no_signal(void **state)
{
    struct bench *bench = *state;
    int late = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    uint32_t late_signal;
    assert_int_equal(notifier_add(bench->notifier, late, &late_signal), 0);
    for (uint32_t i = 0; i < NOTIFIER_RING_ENTRIES; i++)
        notifier_push(bench->port, bench->signal);
    for (uint32_t i = 0; i < 7; i++) { /* find no place */
        notifier_push(bench->port, late_signal);
        notifier_push(bench->port, bench->signal);
    }
    assert_int_equal(notifier_round(bench->notifier), 2);
    assert_int_equal(eventfd_take(bench->descriptor), NOTIFIER_RING_ENTRIES + 1);
    assert_int_equal(eventfd_take(late), 1); /* seven coalesced into one */
    assert_int_equal(notifier_figures(bench->notifier).overflows, 2);
    notifier_push(bench->port, late_signal); /* there is place again */
    assert_int_equal(notifier_round(bench->notifier), 1);
    assert_int_equal(eventfd_take(late), 1);
    close(late);
}

static void indices_wrap(void **state)
{
    struct bench *bench = *state;
    atomic_store(&bench->port->pushed, UINT32_MAX - 1);
    atomic_store(&bench->port->popped, UINT32_MAX - 1);
    bench->port->popped_seen = UINT32_MAX - 1;
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < NOTIFIER_RING_ENTRIES; i++)
            notifier_push(bench->port, bench->signal);
        notifier_round(bench->notifier);
        assert_int_equal(eventfd_take(bench->descriptor), NOTIFIER_RING_ENTRIES);
    }
    assert_int_equal(notifier_figures(bench->notifier).overflows, 0);
}

static void full_eventfd_is_signalled_already(void **state)
{
    struct bench *bench = *state;
    uint64_t full = FULL;
    assert_int_equal(write(bench->descriptor, &full, sizeof(full)), sizeof(full));
    notifier_push(bench->port, bench->signal);
    assert_int_equal(notifier_round(bench->notifier), 1);
    assert_int_equal(eventfd_take(bench->descriptor), FULL);
    notifier_push(bench->port, bench->signal);
    notifier_round(bench->notifier);
    assert_int_equal(eventfd_take(bench->descriptor), 1);
}

static void full_eventfd_that_blocks_holds_up_nobody(void **state)
{
    struct bench *bench = *state;
    int blocking = eventfd(0, EFD_CLOEXEC);
    uint64_t full = FULL;
    uint32_t signal;
    assert_int_equal(write(blocking, &full, sizeof(full)), sizeof(full));
    assert_int_equal(notifier_add(bench->notifier, blocking, &signal), 0);
    notifier_push(bench->port, signal);
    notifier_push(bench->port, bench->signal);
    notifier_round(bench->notifier);
    assert_int_equal(eventfd_take(bench->descriptor), 1);
    assert_int_equal(notifier_figures(bench->notifier).jams, 0);
    close(blocking);
}

/* Its owner lets it block behind the notifier's back: one delay, and it is given up. */
static void eventfd_that_comes_to_block_is_given_up(void **state)
{
    struct bench *bench = *state;
    int hostile = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    uint64_t full = FULL;
    uint32_t signal;
    assert_int_equal(notifier_add(bench->notifier, hostile, &signal), 0);
    assert_int_equal(write(hostile, &full, sizeof(full)), sizeof(full));
    assert_int_equal(fcntl(hostile, F_SETFL, 0), 0);
    assert_int_equal(notifier_start(bench->notifier), 0);
    notifier_push(bench->port, signal);
    notifier_push(bench->port, bench->signal);
    assert_int_equal(take_soon(bench->descriptor), 1);
    while (notifier_figures(bench->notifier).jams == 0)
        sched_yield();
    notifier_push(bench->port, signal);
    notifier_push(bench->port, bench->signal);
    assert_int_equal(take_soon(bench->descriptor), 1);
    notifier_stop(bench->notifier);
    assert_int_equal(notifier_figures(bench->notifier).jams, 1);
    close(hostile);
}

static void stale_signal_rings_nobody(void **state)
{
    struct bench *bench = *state;
    uint32_t old = bench->signal;
    assert_int_equal(notifier_remove(bench->notifier, old), 0);
    assert_int_equal(notifier_add(bench->notifier, bench->descriptor, &bench->signal), 0);
    assert_int_equal(old % NOTIFIER_SIGNALS_MAX, bench->signal % NOTIFIER_SIGNALS_MAX);
    notifier_push(bench->port, old);
    notifier_round(bench->notifier);
    assert_int_equal(eventfd_take(bench->descriptor), 0);
}

static void remove_writes_what_was_pushed_before(void **state)
{
    struct bench *bench = *state;
    notifier_push(bench->port, bench->signal);
    assert_int_equal(notifier_remove(bench->notifier, bench->signal), 0);
    assert_int_equal(eventfd_take(bench->descriptor), 1);
}

static void stop_writes_what_was_pushed_before(void **state)
{
    struct bench *bench = *state;
    for (int i = 0; i < 20; i++) {
        assert_int_equal(notifier_start(bench->notifier), 0);
        notifier_push(bench->port, bench->signal);
        notifier_stop(bench->notifier);
        assert_int_equal(eventfd_take(bench->descriptor), 1);
    }
}

static void thread_sleeps_and_wakes(void **state)
{
    struct bench *bench = *state;
    struct timespec pause = {.tv_nsec = 3000000};
    assert_int_equal(notifier_start(bench->notifier), 0);
    for (int i = 0; i < 20; i++) {
        nanosleep(&pause, NULL); /* asleep by now */
        notifier_push(bench->port, bench->signal);
        assert_int_equal(take_soon(bench->descriptor), 1);
    }
}

/* ---- a poller of its own ----------------------------------------------------------------- */

#define PUSHES 200000u

struct pusher {
    struct notifier_port *port;
    uint32_t signals[2];
    pthread_t thread;
};

static void *push_all(void *argument)
{
    struct pusher *pusher = argument;
    for (uint32_t i = 0; i < PUSHES; i++)
        notifier_push(pusher->port, pusher->signals[i & 1]);
    return NULL;
}

/* After the last push of each poller every eventfd is written at least once; nothing is invented. */
static void no_signal_is_lost_under_load(void **state)
{
    struct bench *bench = *state;
    struct pusher pushers[2];
    int descriptors[2][2];
    uint64_t sums[2][2] = {{0}};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(notifier_add_port(bench->notifier, MEMORY_ANY_NODE, &pushers[i].port), 0);
        for (int k = 0; k < 2; k++) {
            descriptors[i][k] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
            assert_int_equal(
                notifier_add(bench->notifier, descriptors[i][k], &pushers[i].signals[k]), 0);
        }
    }
    assert_int_equal(notifier_start(bench->notifier), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&pushers[i].thread, NULL, push_all, &pushers[i]), 0);
    for (int i = 0; i < 2; i++)
        pthread_join(pushers[i].thread, NULL);
    for (int i = 0; i < 2; i++)
        for (int k = 0; k < 2; k++) {
            assert_int_equal(notifier_remove(bench->notifier, pushers[i].signals[k]), 0);
            sums[i][k] = eventfd_take(descriptors[i][k]);
            assert_true(sums[i][k] >= 1 && sums[i][k] <= PUSHES / 2);
            close(descriptors[i][k]);
        }
    struct notifier_figures figures = notifier_figures(bench->notifier);
    print_message("%llu pushes: %llu signals in %llu writes, %llu overflows\n", 2ull * PUSHES,
                  (unsigned long long)figures.signals, (unsigned long long)figures.writes,
                  (unsigned long long)figures.overflows);
    assert_int_equal(sums[0][0] + sums[0][1] + sums[1][0] + sums[1][1], figures.signals);
}

/* One at a time, each awaited: a lost one would hang here. */
static void every_awaited_signal_arrives(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(notifier_start(bench->notifier), 0);
    for (int i = 0; i < 20000; i++) {
        notifier_push(bench->port, bench->signal);
        assert_int_equal(take_soon(bench->descriptor), 1);
    }
}

static void removed_descriptor_is_not_written_while_others_are(void **state)
{
    struct bench *bench = *state;
    struct pusher pusher = {.port = bench->port, .signals = {bench->signal, bench->signal}};
    struct notifier_port *own;
    assert_int_equal(notifier_add_port(bench->notifier, MEMORY_ANY_NODE, &own), 0);
    assert_int_equal(notifier_start(bench->notifier), 0);
    assert_int_equal(pthread_create(&pusher.thread, NULL, push_all, &pusher), 0);
    for (int i = 0; i < 300; i++) {
        uint32_t signal;
        int descriptor = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        assert_int_equal(notifier_add(bench->notifier, descriptor, &signal), 0);
        for (int k = 0; k < 3; k++)
            notifier_push(own, signal);
        assert_int_equal(notifier_remove(bench->notifier, signal), 0);
        assert_int_equal(eventfd_take(descriptor), 3); /* before remove returned, all of them */
        sched_yield();
        assert_int_equal(eventfd_take(descriptor), 0); /* and nothing after */
        close(descriptor);
    }
    pthread_join(pusher.thread, NULL);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(add_refuses_what_is_no_descriptor),
        CASE(remove_refuses_what_was_never_added),
        CASE(ports_end_at_their_limit),
        CASE(signals_end_at_their_limit_and_are_never_zero),
        CASE(pushes_of_one_round_are_one_write_that_counts_them),
        CASE(full_ring_loses_no_signal),
        CASE(indices_wrap),
        CASE(full_eventfd_is_signalled_already),
        CASE(full_eventfd_that_blocks_holds_up_nobody),
        CASE(eventfd_that_comes_to_block_is_given_up),
        CASE(stale_signal_rings_nobody),
        CASE(remove_writes_what_was_pushed_before),
        CASE(stop_writes_what_was_pushed_before),
        CASE(thread_sleeps_and_wakes),
        CASE(no_signal_is_lost_under_load),
        CASE(every_awaited_signal_arrives),
        CASE(removed_descriptor_is_not_written_while_others_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
