/* SPDX-License-Identifier: BSD-3-Clause */
/* A poller under a filter that kills on any system call: it serves, and a device that makes one
 * ends the process (row 43). Each case in a process of its own. */
#include "server/sandbox.h"

#include "pollers/placement.h"
#include "pollers/ticks.h"
#include "tests/support/guest.h"
#include "tests/support/chosen_cpu.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#define TIMEOUT_NS 20000000000ull

static int calling_handle(struct device *device, struct request *request)
{
    (void)device;
    request->value = (uint64_t)syscall(SYS_getppid);
    return 0;
}

static const struct device_ops calling_ops = {.name = "calling", .handle = calling_handle};

/* In the child: a sandboxed poller answers `count` requests of ops' device; exit 0 when all came.
 */
static void serve_in_sandbox(enum poller_idle idle, const struct device_ops *ops, uint32_t count)
{
    struct placement *placement;
    struct sandbox *sandbox;
    if (placement_open(&placement) < 0 || sandbox_create(idle, SANDBOX_NO_CALLS, &sandbox) < 0)
        _exit(10);
    struct guest *guest = guest_create((struct guest_options){.vcpus = 1});
    if (ops)
        guest->device.device.ops = ops;
    guest->poller->options.placement = placement;
    guest->poller->options.cpu = chosen_cpu(placement, 0, 1);
    guest->poller->options.idle = idle;
    guest->poller->options.idle_sleep_ns = 10000;
    guest->poller->options.arm = sandbox_arm;
    guest->poller->options.arm_context = sandbox;
    if (poller_start(guest->poller) < 0)
        _exit(11);
    for (uint32_t i = 0; i < count; i++) {
        guest_ask(guest, 0, (struct guest_access){REQUEST_MMIO, i & 1, GUEST_MMIO + i % 512, 8, i});
        while (guest_state(guest, 0) != SLOT_COMPLETE)
            sched_yield();
        guest_set_state(guest, 0, SLOT_FREE);
    }
    if (poller_stop(guest->poller, TIMEOUT_NS) < 0)
        _exit(12);
    _exit(guest->device.calls == count || ops ? 0 : 13);
}

/* The child's wait status. */
static int run_child(enum poller_idle idle, const struct device_ops *ops, uint32_t count)
{
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0)
        serve_in_sandbox(idle, ops, count);
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

static void skip_under_sanitizers(void)
{
    if (!IOREQD_SANITIZE[0])
        return;
    print_message("skip: the sanitizers' run time makes system calls of its own\n");
    skip();
}

static void requests_are_served_without_any_system_call(void **state)
{
    (void)state;
    skip_under_sanitizers();
    assert_int_equal(run_child(POLLER_IDLE_SPIN, NULL, 200000), 0);
    assert_int_equal(run_child(POLLER_IDLE_PAUSE, NULL, 20000), 0);
}

static void idle_strategies_may_make_their_own_call(void **state)
{
    (void)state;
    skip_under_sanitizers();
    assert_int_equal(run_child(POLLER_IDLE_YIELD, NULL, 2000), 0);
    assert_int_equal(run_child(POLLER_IDLE_SLEEP, NULL, 200), 0);
}

static void row43_system_call_of_a_device_ends_the_process(void **state)
{
    (void)state;
    skip_under_sanitizers();
    const enum poller_idle strategies[] = {POLLER_IDLE_SPIN, POLLER_IDLE_PAUSE, POLLER_IDLE_YIELD,
                                           POLLER_IDLE_SLEEP};
    for (size_t i = 0; i < 4; i++) {
        int status = run_child(strategies[i], &calling_ops, 1);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGSYS);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_served_without_any_system_call),
        cmocka_unit_test(idle_strategies_may_make_their_own_call),
        cmocka_unit_test(row43_system_call_of_a_device_ends_the_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
