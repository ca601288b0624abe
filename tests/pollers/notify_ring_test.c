/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers/notify_ring.h"

#include "pollers/memory.h"
#include "tests/support/child.h"
#include "tests/support/eventfd.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
/* after those, as it asks */
#include <cmocka.h>

#define FULL    (UINT64_MAX - 1) /* what an eventfd holds at most */
#define IDLE_MS 4u               /* the kernel's thread falls asleep often */

struct bench {
    struct notify_ring *ring;
    struct notify_ring_port *port;
    int descriptor; /* an eventfd */
    uint32_t signal;
};

static int create(enum notify_ring_kind kind, struct notify_ring **ring)
{
    const struct notify_ring_options options = {
        .kind = kind, .sqpoll_cpu = RING_ANY_CPU, .idle_ms = IDLE_MS, .node = MEMORY_ANY_NODE};
    return notify_ring_create(&options, ring);
}

static int setup(void **state, enum notify_ring_kind kind)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    assert_non_null(bench);
    assert_int_equal(create(kind, &bench->ring), 0);
    bench->port = notify_ring_port(bench->ring);
    bench->descriptor = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    assert_true(bench->descriptor >= 0);
    assert_int_equal(notify_ring_add(bench->ring, bench->descriptor, &bench->signal), 0);
    *state = bench;
    return 0;
}

static int setup_sqpoll(void **state)
{
    return setup(state, NOTIFY_RING_SQPOLL);
}

static int setup_submit(void **state)
{
    return setup(state, NOTIFY_RING_SUBMIT);
}

static int teardown(void **state)
{
    struct bench *bench = *state;
    notify_ring_destroy(bench->ring);
    close(bench->descriptor);
    free(bench);
    return 0;
}

/* Until `wanted` was written in all: more would stay and be found by the next look. */
static void take_all(struct bench *bench, int descriptor, uint64_t wanted)
{
    uint64_t sum = 0;
    while (sum < wanted) {
        notify_ring_tend(bench->ring);
        sum += eventfd_take(descriptor);
        sched_yield();
    }
    assert_int_equal(sum, wanted);
    assert_int_equal(eventfd_take(descriptor), 0);
}

/* ---- bad input ----------------------------------------------------------------------------- */

static int create_where_it_is_refused(int error)
{
    pid_t child = child_fork();
    if (child == 0) {
        scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
        if (!filter ||
            seccomp_rule_add(filter, SCMP_ACT_ERRNO((uint32_t)error), SCMP_SYS(io_uring_setup), 0) <
                0 ||
            seccomp_load(filter) < 0)
            _exit(255);
        struct notify_ring *refused;
        _exit(-create(NOTIFY_RING_SQPOLL, &refused));
    }
    return WEXITSTATUS(child_wait(child));
}

static void create_fails_where_io_uring_is_not_to_be_had(void **state)
{
    (void)state;
    assert_int_equal(create_where_it_is_refused(EPERM), EPERM); /* as the sysctl has it */
    assert_int_equal(create_where_it_is_refused(ENOSYS), ENOSYS);
    assert_non_null(strstr(ring_explain(-EPERM), "kernel.io_uring_disabled"));
    assert_non_null(strstr(ring_explain(-ENOSYS), "seccomp"));
}

static void create_refuses_a_cpu_that_is_not_there(void **state)
{
    (void)state;
    struct notify_ring *ring;
    const struct notify_ring_options options = {
        .kind = NOTIFY_RING_SQPOLL, .sqpoll_cpu = 1u << 20, .node = MEMORY_ANY_NODE};
    assert_int_equal(notify_ring_create(&options, &ring), -EINVAL);
}

static void add_refuses_what_it_cannot_write(void **state)
{
    struct bench *bench = *state;
    uint32_t signal;
    int blocking = eventfd(0, EFD_CLOEXEC);
    assert_int_equal(notify_ring_add(bench->ring, -1, &signal), -EBADF);
    assert_int_equal(notify_ring_add(bench->ring, 99999, &signal), -EBADF);
    assert_int_equal(notify_ring_add(bench->ring, blocking, &signal), -EINVAL);
    assert_int_equal(notify_ring_figures(bench->ring).live, 1);
    close(blocking);
}

static void remove_refuses_what_was_never_added(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(notify_ring_remove(bench->ring, 0), -ENOENT);
    assert_int_equal(notify_ring_remove(bench->ring, bench->signal + 1), -ENOENT);
    assert_int_equal(notify_ring_remove(bench->ring, NOTIFY_RING_ENTRIES), -ENOENT);
    assert_int_equal(notify_ring_remove(bench->ring, UINT32_MAX), -ENOENT);
    assert_int_equal(notify_ring_remove(bench->ring, bench->signal), 0);
    assert_int_equal(notify_ring_remove(bench->ring, bench->signal), -ENOENT);
}

static void signals_end_at_their_limit_and_are_never_zero(void **state)
{
    struct bench *bench = *state;
    uint32_t signal = 0, count = 1;
    int result;
    while ((result = notify_ring_add(bench->ring, bench->descriptor, &signal)) == 0) {
        assert_int_not_equal(signal, 0);
        count++;
    }
    if (result == -EMFILE)
        print_message("skip: fewer descriptors than signals here\n");
    else
        assert_int_equal(result, -ENOSPC);
    assert_int_equal(notify_ring_figures(bench->ring).live, count);
    for (; signal >= 1; signal--)
        assert_int_equal(notify_ring_remove(bench->ring, signal), 0);
    assert_int_equal(notify_ring_figures(bench->ring).live, 0);
}

/* A signal that is no more rings nobody, and is counted. */
static void stale_signal_fails(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(notify_ring_remove(bench->ring, bench->signal), 0);
    notify_ring_push(bench->port, bench->signal);
    notify_ring_submit(bench->port);
    while (notify_ring_figures(bench->ring).failures == 0)
        notify_ring_tend(bench->ring);
    assert_int_equal(eventfd_take(bench->descriptor), 0);
}

/* ---- SUBMIT: the queue stands still between two calls ---------------------------------------- */

static void push_waits_for_submit_and_submit_writes(void **state)
{
    struct bench *bench = *state;
    for (int i = 0; i < 5; i++)
        notify_ring_push(bench->port, bench->signal);
    notify_ring_tend(bench->ring);
    assert_int_equal(eventfd_take(bench->descriptor), 0); /* nobody has written yet */
    assert_int_equal(notify_ring_submit(bench->port), 0);
    assert_int_equal(eventfd_take(bench->descriptor), 5);
    assert_int_equal(notify_ring_submit(bench->port), 0); /* nothing to do */
    assert_int_equal(eventfd_take(bench->descriptor), 0);
}

static void full_queue_loses_no_signal(void **state)
{
    struct bench *bench = *state;
    int late = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    uint32_t late_signal;
    assert_int_equal(notify_ring_add(bench->ring, late, &late_signal), 0);
    for (uint32_t i = 0; i < NOTIFY_RING_ENTRIES; i++)
        notify_ring_push(bench->port, bench->signal);
    assert_int_equal(notify_ring_figures(bench->ring).overflows, 0);
    for (uint32_t i = 0; i < 7; i++) { /* find no place */
        notify_ring_push(bench->port, late_signal);
        notify_ring_push(bench->port, bench->signal);
    }
    assert_int_equal(notify_ring_figures(bench->ring).overflows, 14);
    notify_ring_tend(bench->ring); /* writes these, and these only */
    assert_int_equal(eventfd_take(late), 7);
    assert_int_equal(eventfd_take(bench->descriptor), 7);
    assert_int_equal(notify_ring_submit(bench->port), 0);
    assert_int_equal(eventfd_take(bench->descriptor), NOTIFY_RING_ENTRIES);
    notify_ring_push(bench->port, late_signal); /* there is place again */
    assert_int_equal(notify_ring_submit(bench->port), 0);
    assert_int_equal(eventfd_take(late), 1);
    assert_int_equal(notify_ring_figures(bench->ring).overflows, 14);
    close(late);
}

static void full_eventfd_is_signalled_already(void **state)
{
    struct bench *bench = *state;
    uint64_t full = FULL;
    assert_int_equal(write(bench->descriptor, &full, sizeof(full)), sizeof(full));
    notify_ring_push(bench->port, bench->signal);
    assert_int_equal(notify_ring_submit(bench->port), 0);
    notify_ring_tend(bench->ring);
    assert_int_equal(notify_ring_figures(bench->ring).full, 1);
    assert_int_equal(notify_ring_figures(bench->ring).failures, 0);
    assert_int_equal(eventfd_take(bench->descriptor), FULL);
    notify_ring_push(bench->port, bench->signal);
    assert_int_equal(notify_ring_submit(bench->port), 0);
    assert_int_equal(eventfd_take(bench->descriptor), 1);
}

/* Its owner lets it block behind the ring's back, and fills it: a write would never end. */
static void eventfd_that_comes_to_block_holds_up_nobody(void **state)
{
    struct bench *bench = *state;
    int hostile = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    uint64_t full = FULL;
    uint32_t signal;
    assert_int_equal(notify_ring_add(bench->ring, hostile, &signal), 0);
    assert_int_equal(write(hostile, &full, sizeof(full)), sizeof(full));
    assert_int_equal(fcntl(hostile, F_SETFL, 0), 0);
    for (uint32_t i = 0; i < NOTIFY_RING_ENTRIES; i++)
        notify_ring_push(bench->port, signal);
    notify_ring_push(bench->port, signal); /* two find no place */
    notify_ring_push(bench->port, bench->signal);
    notify_ring_tend(bench->ring);
    assert_int_equal(notify_ring_figures(bench->ring).full, 1);
    assert_int_equal(eventfd_take(bench->descriptor), 1);
    assert_int_equal(notify_ring_submit(bench->port), 0);
    notify_ring_tend(bench->ring);
    assert_int_equal(notify_ring_figures(bench->ring).full, 1 + NOTIFY_RING_ENTRIES);
    assert_int_equal(eventfd_take(hostile), FULL); /* nothing waited to be added */
    assert_int_equal(fcntl(hostile, F_SETFL, O_NONBLOCK), 0);
    assert_int_equal(eventfd_take(hostile), 0);
    assert_int_equal(notify_ring_remove(bench->ring, signal), 0);
    close(hostile);
}

static void remove_writes_what_overflowed_before(void **state)
{
    struct bench *bench = *state;
    for (uint32_t i = 0; i < NOTIFY_RING_ENTRIES + 3; i++)
        notify_ring_push(bench->port, bench->signal);
    assert_int_equal(notify_ring_submit(bench->port), 0);
    assert_int_equal(notify_ring_remove(bench->ring, bench->signal), 0);
    assert_int_equal(eventfd_take(bench->descriptor), NOTIFY_RING_ENTRIES + 3);
}

static void queue_wraps(void **state)
{
    struct bench *bench = *state;
    for (uint32_t round = 0; round < 70; round++) {
        for (uint32_t i = 0; i < 1000; i++)
            notify_ring_push(bench->port, bench->signal);
        assert_int_equal(notify_ring_submit(bench->port), 0);
        assert_int_equal(eventfd_take(bench->descriptor), 1000);
    }
    assert_int_equal(notify_ring_figures(bench->ring).overflows, 0);
}

/* ---- SQPOLL -------------------------------------------------------------------------------- */

static void every_push_is_one_more(void **state)
{
    struct bench *bench = *state;
    for (uint32_t i = 1; i <= 300; i++) {
        for (uint32_t k = 0; k < i % 7 + 1; k++)
            notify_ring_push(bench->port, bench->signal);
        take_all(bench, bench->descriptor, i % 7 + 1);
    }
}

static bool sleeps(const struct bench *bench)
{
    return notify_ring_figures(bench->ring).is_asleep;
}

static void tend_wakes_a_sleeping_kernel_thread(void **state)
{
    struct bench *bench = *state;
    for (int i = 0; i < 5; i++) {
        struct timespec pause = {.tv_nsec = 1000000};
        while (!sleeps(bench))
            nanosleep(&pause, NULL);
        notify_ring_push(bench->port, bench->signal);
        nanosleep(&pause, NULL);
        assert_int_equal(eventfd_take(bench->descriptor), 0); /* nobody woke it */
        assert_int_equal(notify_ring_tend(bench->ring), NOTIFY_RING_TEND_SOON_NS);
        take_all(bench, bench->descriptor, 1);
    }
    assert_true(notify_ring_figures(bench->ring).wakes >= 5);
}

static void remove_writes_what_was_pushed_before(void **state)
{
    struct bench *bench = *state;
    for (int i = 0; i < 3; i++) {
        while (i == 2 && !sleeps(bench)) /* the last time it sleeps */
            sched_yield();
        notify_ring_push(bench->port, bench->signal);
        assert_int_equal(notify_ring_remove(bench->ring, bench->signal), 0);
        assert_int_equal(eventfd_take(bench->descriptor), 1);
        assert_int_equal(notify_ring_add(bench->ring, bench->descriptor, &bench->signal), 0);
    }
}

static void destroy_writes_what_was_pushed_before(void **state)
{
    struct bench *bench = *state;
    notify_ring_push(bench->port, bench->signal);
    notify_ring_destroy(bench->ring);
    bench->ring = NULL;
    assert_int_equal(eventfd_take(bench->descriptor), 1);
}

static void rings_share_a_kernel_thread(void **state)
{
    struct bench *bench = *state;
    struct notify_ring *other;
    const struct notify_ring_options options = {.kind = NOTIFY_RING_SQPOLL,
                                                .sqpoll_cpu = RING_ANY_CPU,
                                                .idle_ms = IDLE_MS,
                                                .node = MEMORY_ANY_NODE,
                                                .shares = bench->ring};
    assert_int_equal(notify_ring_create(&options, &other), 0);
    int descriptor = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    uint32_t signal;
    assert_int_equal(notify_ring_add(other, descriptor, &signal), 0);
    notify_ring_push(notify_ring_port(other), signal);
    notify_ring_push(bench->port, bench->signal);
    take_all(bench, bench->descriptor, 1);
    while (eventfd_take(descriptor) == 0)
        notify_ring_tend(other);
    notify_ring_destroy(other);
    close(descriptor);
}

/* ---- a poller of its own ------------------------------------------------------------------- */

#define PUSHES       200000u
#define SIGNAL_COUNT 4u

struct pusher {
    struct notify_ring_port *port;
    uint32_t signals[SIGNAL_COUNT];
    _Atomic bool is_done;
};

static void *push_all(void *argument)
{
    struct pusher *pusher = argument;
    struct timespec nap = {.tv_nsec = 6000000}; /* longer than the kernel's thread stays awake */
    for (uint32_t i = 0; i < PUSHES; i++) {
        notify_ring_push(pusher->port, pusher->signals[i % SIGNAL_COUNT]);
        if (i % (PUSHES / 8) == 0)
            nanosleep(&nap, NULL);
    }
    atomic_store(&pusher->is_done, true);
    return NULL;
}

/* As fast as it can, so that the queue fills too: each push arrives once. */
static void no_signal_is_lost_or_doubled_under_load(void **state)
{
    struct bench *bench = *state;
    struct pusher pusher = {.port = bench->port};
    int descriptors[SIGNAL_COUNT];
    uint64_t sums[SIGNAL_COUNT] = {0};
    pthread_t thread;
    for (uint32_t i = 0; i < SIGNAL_COUNT; i++) {
        descriptors[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        assert_int_equal(notify_ring_add(bench->ring, descriptors[i], &pusher.signals[i]), 0);
    }
    assert_int_equal(pthread_create(&thread, NULL, push_all, &pusher), 0);
    while (!atomic_load(&pusher.is_done)) {
        notify_ring_tend(bench->ring);
        for (uint32_t i = 0; i < SIGNAL_COUNT; i++)
            sums[i] += eventfd_take(descriptors[i]);
        sched_yield();
    }
    pthread_join(thread, NULL);
    for (uint32_t i = 0; i < SIGNAL_COUNT; i++) {
        assert_int_equal(notify_ring_remove(bench->ring, pusher.signals[i]), 0);
        sums[i] += eventfd_take(descriptors[i]);
        assert_int_equal(sums[i], PUSHES / SIGNAL_COUNT);
        close(descriptors[i]);
    }
    struct notify_ring_figures figures = notify_ring_figures(bench->ring);
    print_message("%u pushes, %llu by way of a full queue, %llu wakes\n", PUSHES,
                  (unsigned long long)figures.overflows, (unsigned long long)figures.wakes);
    assert_int_equal(figures.failures, 0);
}

int main(void)
{
    struct notify_ring *ring;
    int result = create(NOTIFY_RING_SQPOLL, &ring);
    if (result < 0) {
        print_message("skip: %s\n", ring_explain(result));
        return 77;
    }
    notify_ring_destroy(ring);
#define SQPOLL(name) cmocka_unit_test_setup_teardown(name, setup_sqpoll, teardown)
#define SUBMIT(name) cmocka_unit_test_setup_teardown(name, setup_submit, teardown)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(create_fails_where_io_uring_is_not_to_be_had),
        cmocka_unit_test(create_refuses_a_cpu_that_is_not_there),
        SQPOLL(add_refuses_what_it_cannot_write),
        SQPOLL(remove_refuses_what_was_never_added),
        SUBMIT(signals_end_at_their_limit_and_are_never_zero),
        SQPOLL(stale_signal_fails),
        SUBMIT(stale_signal_fails),
        SUBMIT(push_waits_for_submit_and_submit_writes),
        SUBMIT(full_queue_loses_no_signal),
        SUBMIT(full_eventfd_is_signalled_already),
        SUBMIT(eventfd_that_comes_to_block_holds_up_nobody),
        SUBMIT(remove_writes_what_overflowed_before),
        SUBMIT(queue_wraps),
        SQPOLL(every_push_is_one_more),
        SQPOLL(tend_wakes_a_sleeping_kernel_thread),
        SQPOLL(remove_writes_what_was_pushed_before),
        SQPOLL(destroy_writes_what_was_pushed_before),
        SUBMIT(destroy_writes_what_was_pushed_before),
        SQPOLL(rings_share_a_kernel_thread),
        SQPOLL(no_signal_is_lost_or_doubled_under_load),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
