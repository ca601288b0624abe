/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/event_loop.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <seccomp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>
/* after those, as it asks */
#include <cmocka.h>

static struct event_loop *loop;

/* ---- a kernel that takes nothing for a while --------------------------------------------- */

static bool refuses_submissions;

int io_uring_submit(struct io_uring *ring)
{
    static int (*real)(struct io_uring *);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "io_uring_submit");
    return refuses_submissions ? -EBUSY : real(ring);
}

static int init(void **state)
{
    (void)state;
    refuses_submissions = false;
    return event_loop_create(&loop);
}

static int fini(void **state)
{
    (void)state;
    event_loop_destroy(loop);
    return 0;
}

struct probe {
    struct event_watch *watch;
    int descriptor;
    int calls;
    uint32_t events;            /* of the last call */
    int stop_after;             /* stops the loop at that call */
    struct event_watch *victim; /* unwatched in ready; NULL: none */
    struct probe *rings;        /* made readable in ready */
    uint32_t change_to;         /* 0: no change */
    bool drains;
};

static void ring(const struct probe *probe)
{
    const uint64_t one = 1;
    assert_int_equal(write(probe->descriptor, &one, sizeof(one)), sizeof(one));
}

static void ready(void *context, uint32_t events)
{
    struct probe *probe = context;
    probe->calls++;
    probe->events = events;
    uint64_t value;
    if (probe->drains)
        assert_int_equal(read(probe->descriptor, &value, sizeof(value)), sizeof(value));
    if (probe->victim)
        event_loop_unwatch(probe->victim);
    probe->victim = NULL;
    if (probe->rings)
        ring(probe->rings);
    if (probe->change_to)
        event_watch_change(probe->watch, probe->change_to);
    if (probe->calls == probe->stop_after)
        event_loop_stop(loop);
}

static struct probe probe_make(unsigned value)
{
    struct probe probe = {.descriptor = eventfd(value, EFD_CLOEXEC | EFD_NONBLOCK)};
    assert_true(probe.descriptor >= 0);
    return probe;
}

static void probe_watch(struct probe *probe, uint32_t events)
{
    assert_int_equal(event_loop_watch(loop, probe->descriptor, events, ready, probe, &probe->watch),
                     0);
}

/* Turns until the last of a few rounds: whatever is queued has been delivered by then. */
static void turn(void)
{
    struct probe last = probe_make(1);
    last.stop_after = 4;
    probe_watch(&last, POLLIN);
    assert_int_equal(event_loop_run(loop), 0);
    event_loop_unwatch(last.watch);
    close(last.descriptor);
}

/* ---- tests ------------------------------------------------------------------------------- */

static void ready_is_called_as_long_as_the_event_stands(void **state)
{
    (void)state;
    struct probe probe = probe_make(1);
    probe.stop_after = 3;
    probe_watch(&probe, POLLIN);
    assert_int_equal(event_loop_run(loop), 0);
    assert_int_equal(probe.calls, 3);
    assert_int_equal(probe.events, POLLIN);
    uint64_t value;
    assert_int_equal(read(probe.descriptor, &value, sizeof(value)), sizeof(value));
    int calls = probe.calls;
    turn();
    assert_true(probe.calls <= calls + 1); /* what was queued when it was read */
    event_loop_unwatch(probe.watch);
    close(probe.descriptor);
}

static void unwatch_inside_ready_is_the_last_call(void **state)
{
    (void)state;
    struct probe probe = probe_make(1);
    probe_watch(&probe, POLLIN);
    probe.victim = probe.watch;
    turn();
    assert_int_equal(probe.calls, 1);
    close(probe.descriptor);
}

static void unwatch_of_another_whose_event_is_queued_keeps_it_silent(void **state)
{
    (void)state;
    struct probe a = probe_make(1), b = probe_make(1);
    probe_watch(&a, POLLIN);
    probe_watch(&b, POLLIN);
    a.victim = b.watch;
    b.victim = a.watch;
    turn();
    assert_int_equal(a.calls + b.calls > 1 && a.calls > 0 && b.calls > 0, 0);
    event_loop_unwatch(a.calls ? a.watch : b.watch);
    close(a.descriptor), close(b.descriptor);
}

static void unwatch_of_an_armed_one_keeps_it_silent(void **state)
{
    (void)state;
    struct probe probe = probe_make(0);
    probe_watch(&probe, POLLIN);
    turn();
    event_loop_unwatch(probe.watch);
    ring(&probe);
    close(probe.descriptor);
    turn();
    assert_int_equal(probe.calls, 0);
}

static void changed_events_are_the_only_ones_told(void **state)
{
    (void)state;
    struct probe probe = probe_make(1); /* readable and writable */
    probe_watch(&probe, POLLIN);
    turn();
    assert_int_equal(probe.events, POLLIN);
    probe.calls = 0;
    event_watch_change(probe.watch, POLLOUT);
    probe.stop_after = 2;
    assert_int_equal(event_loop_run(loop), 0);
    assert_int_equal(probe.events, POLLOUT);
    probe.change_to = POLLIN; /* inside ready */
    turn();
    assert_int_equal(probe.events, POLLIN);
    event_watch_change(probe.watch, 0);
    probe.change_to = 0;
    probe.events = 0;
    turn();
    assert_int_equal(probe.events, 0);
    event_loop_unwatch(probe.watch);
    close(probe.descriptor);
}

static void hang_up_is_told_unasked(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    struct probe probe = {.descriptor = ends[0], .stop_after = 1};
    probe_watch(&probe, 0);
    close(ends[1]);
    assert_int_equal(event_loop_run(loop), 0);
    assert_int_equal(probe.events, POLLHUP);
    event_loop_unwatch(probe.watch);
    close(ends[0]);
}

static void descriptor_that_cannot_be_polled_is_told_once(void **state)
{
    (void)state;
    struct probe probe = {.descriptor = 987654};
    probe_watch(&probe, POLLIN);
    turn();
    turn();
    assert_int_equal(probe.calls, 1);
    assert_int_equal(probe.events, POLLERR);
    event_loop_unwatch(probe.watch); /* its owner's pointer is still good */
}

#define MANY 700 /* more than the queue has places, for requests and for answers */

static struct probe many[MANY];

static void many_watch(void)
{
    for (int i = 0; i < MANY; i++) {
        many[i] = probe_make(1);
        many[i].drains = true;
        probe_watch(&many[i], POLLIN);
    }
}

static void many_unwatch(void)
{
    for (int i = 0; i < MANY; i++) {
        event_loop_unwatch(many[i].watch);
        close(many[i].descriptor);
    }
}

static void more_watches_than_queue_entries_are_all_served(void **state)
{
    (void)state;
    many_watch();
    turn();
    turn();
    for (int i = 0; i < MANY; i++)
        assert_int_equal(many[i].calls, 1);
    many_unwatch();
    turn();
}

static void refuse_from_now_on(void *context, uint32_t events)
{
    struct probe *probe = context;
    refuses_submissions = true;
    ready(probe, events);
}

static void watch_that_cannot_be_armed_anew_is_armed_later(void **state)
{
    (void)state;
    struct probe first = probe_make(1);
    first.drains = true;
    assert_int_equal(
        event_loop_watch(loop, first.descriptor, POLLIN, refuse_from_now_on, &first, &first.watch),
        0);
    many_watch();
    many[MANY - 1].stop_after = 1;
    assert_int_equal(event_loop_run(loop), 0);
    refuses_submissions = false;
    turn();
    for (int i = 0; i < MANY; i++)
        ring(&many[i]);
    turn();
    turn();
    for (int i = 0; i < MANY; i++)
        assert_int_equal(many[i].calls, 2);
    many_unwatch();
    event_loop_unwatch(first.watch);
    close(first.descriptor);
    turn();
}

static void unwatch_that_cannot_be_told_the_kernel_is_told_later(void **state)
{
    (void)state;
    for (int i = 0; i < MANY; i++) {
        many[i] = probe_make(0);
        probe_watch(&many[i], POLLIN);
    }
    turn();
    refuses_submissions = true;
    many_unwatch();
    refuses_submissions = false;
    turn();
    for (int i = 0; i < MANY; i++)
        assert_int_equal(many[i].calls, 0);
}

/* ---- where io_uring is refused ----------------------------------------------------------- */

/* EPERM: as the sysctl has it; ENOSYS: as containers' filters do. */
static void refuse_rings(int error)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    assert_non_null(filter);
    assert_int_equal(
        seccomp_rule_add(filter, SCMP_ACT_ERRNO((uint32_t)error), SCMP_SYS(io_uring_setup), 0), 0);
    assert_int_equal(seccomp_load(filter), 0);
    seccomp_release(filter);
}

static void create_does_with_poll_where_io_uring_is_refused(void **state)
{
    (void)state;
    assert_false(event_loop_has_ring(loop));
}

#define LOOP_TEST(function) cmocka_unit_test_setup_teardown(function, init, fini)

/* The same tests in a process of their own, on poll(2). 0: all passed. */
static int run_refused(int error)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(create_does_with_poll_where_io_uring_is_refused),
        LOOP_TEST(ready_is_called_as_long_as_the_event_stands),
        LOOP_TEST(unwatch_inside_ready_is_the_last_call),
        LOOP_TEST(unwatch_of_another_whose_event_is_queued_keeps_it_silent),
        LOOP_TEST(unwatch_of_an_armed_one_keeps_it_silent),
        LOOP_TEST(changed_events_are_the_only_ones_told),
        LOOP_TEST(hang_up_is_told_unasked),
        LOOP_TEST(more_watches_than_queue_entries_are_all_served),
    };
    int status = 0;
    pid_t child = fork();
    if (child == 0) {
        refuse_rings(error);
        exit(cmocka_run_group_tests_name(error == EPERM ? "EPERM" : "ENOSYS", tests, NULL, NULL));
    }
    return child > 0 && waitpid(child, &status, 0) == child ? status : -1;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        LOOP_TEST(ready_is_called_as_long_as_the_event_stands),
        LOOP_TEST(unwatch_inside_ready_is_the_last_call),
        LOOP_TEST(unwatch_of_another_whose_event_is_queued_keeps_it_silent),
        LOOP_TEST(unwatch_of_an_armed_one_keeps_it_silent),
        LOOP_TEST(changed_events_are_the_only_ones_told),
        LOOP_TEST(hang_up_is_told_unasked),
        LOOP_TEST(descriptor_that_cannot_be_polled_is_told_once),
        LOOP_TEST(more_watches_than_queue_entries_are_all_served),
        LOOP_TEST(watch_that_cannot_be_armed_anew_is_armed_later),
        LOOP_TEST(unwatch_that_cannot_be_told_the_kernel_is_told_later),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return failed || run_refused(EPERM) || run_refused(ENOSYS);
}
