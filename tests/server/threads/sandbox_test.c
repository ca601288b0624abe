/* SPDX-License-Identifier: BSD-3-Clause */
/* A poller under a filter that kills on any system call: it serves, and a device that makes one
 * ends the process (row 43); and what each filter allows, call by call. Each case in a process of its
 * own. */
#include "server/threads/sandbox.h"

#include "pollers/placement.h"
#include "pollers/ticks.h"
#include "tests/support/child.h"
#include "tests/support/chosen_cpu.h"
#include "tests/support/guest.h"
#include "tests/support/skip.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

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
    pid_t child = child_fork();
    if (child == 0)
        serve_in_sandbox(idle, ops, count);
    return child_wait(child);
}

/* ---- the filter itself: one call, in a child of its own ---------------------------------- */

static long call_none(void)
{
    return 0;
}

static long call_getpid(void)
{
    return syscall(SYS_getpid);
}

static long call_write(void)
{
    return syscall(SYS_write, -1, "", 0);
}

static long call_read(void)
{
    return syscall(SYS_read, -1, NULL, 0);
}

static long call_mmap(void)
{
    return syscall(SYS_mmap, NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static long call_brk(void)
{
    return syscall(SYS_brk, 0);
}

static long call_madvise(void)
{
    return syscall(SYS_madvise, NULL, 0, 0);
}

static long call_futex(void)
{
    uint32_t word = 0;
    return syscall(SYS_futex, &word, 1 /* FUTEX_WAKE */, 1, NULL, NULL, 0);
}

static long call_clock_gettime(void)
{
    struct timespec now;
    return syscall(SYS_clock_gettime, CLOCK_MONOTONIC, &now);
}

static long call_nanosleep(void)
{
    const struct timespec pause = {.tv_nsec = 1};
    return syscall(SYS_nanosleep, &pause, NULL);
}

static long call_clock_nanosleep(void)
{
    const struct timespec pause = {.tv_nsec = 1};
    return syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &pause, NULL);
}

static long call_sched_yield(void)
{
    return syscall(SYS_sched_yield);
}

static long call_openat(void)
{
    return syscall(SYS_openat, -1, "", 0);
}

static long call_ioctl(void)
{
    return syscall(SYS_ioctl, -1, 0, 0);
}

static long call_sendmsg(void)
{
    return syscall(SYS_sendmsg, -1, NULL, 0);
}

static long call_io_uring_setup(void)
{
    return syscall(SYS_io_uring_setup, 0, NULL);
}

static long call_io_uring_register(void)
{
    return syscall(SYS_io_uring_register, -1, 0, NULL, 0);
}

/* On no ring: refused with EBADF, if it may be made at all. */
static long call_io_uring_enter(void)
{
    return syscall(SYS_io_uring_enter, -1, 1, 0, 0, NULL, 0);
}

static long call_seccomp(void)
{
    return syscall(SYS_seccomp, 0, 0, NULL);
}

static long call_clone(void)
{
    return syscall(SYS_clone, 0, NULL, NULL, NULL, 0);
}

static long call_exit(void)
{
    return syscall(SYS_exit, 0);
}

static long call_unknown(void)
{
    return syscall(4000);
}

static long call_x32_getpid(void)
{
    return syscall(0x40000000 | SYS_getpid);
}

/* getpid by the 32-bit door. */
static long call_int80(void)
{
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
    return result;
}

struct one_call {
    const char *name;
    long (*make)(void);
};

#define CALL(name)         \
    {                      \
#name, call_##name \
    }

static const struct one_call forbidden_calls[] = {
    CALL(getpid),
    CALL(write),
    CALL(read),
    CALL(mmap),
    CALL(brk),
    CALL(madvise),
    CALL(futex),
    CALL(clock_gettime),
    CALL(nanosleep),
    CALL(openat),
    CALL(ioctl),
    CALL(sendmsg),
    CALL(io_uring_setup),
    CALL(io_uring_register),
    CALL(seccomp),
    CALL(clone),
    CALL(exit),
    CALL(unknown),
    CALL(x32_getpid),
    CALL(int80),
};
#define FORBIDDEN_COUNT (sizeof(forbidden_calls) / sizeof(forbidden_calls[0]))

static _Atomic bool was_made;

struct caller {
    struct sandbox *sandbox;
    long (*make)(void);
};

/* Arms, makes the call, and stays: a thread that armed cannot leave. */
static void *arm_and_call(void *argument)
{
    const struct caller *caller = argument;
    if (sandbox_arm(caller->sandbox) < 0)
        _exit(11);
    caller->make();
    atomic_store(&was_made, true);
    for (;;)
        ticks_pause();
}

/* The wait status of a child with a thread that made the call under a filter; 0: it lives on. A
 * child of several threads, as ioreqd is: the filter must end all of them. */
static int status_after(enum poller_idle idle, enum sandbox_calls calls, long (*make)(void))
{
    pid_t child = child_fork();
    if (child == 0) {
        struct caller caller = {.make = make};
        pthread_t thread;
        if (sandbox_create(idle, calls, &caller.sandbox) < 0 ||
            pthread_create(&thread, NULL, arm_and_call, &caller) != 0)
            _exit(10);
        for (uint32_t i = 0; i < 5000 && !atomic_load(&was_made); i++) {
            struct timespec pause = {.tv_nsec = 1000000};
            nanosleep(&pause, NULL);
        }
        _exit(atomic_load(&was_made) ? 0 : 12);
    }
    return child_wait(child);
}

static void assert_lives(enum poller_idle idle, enum sandbox_calls calls, struct one_call call)
{
    int status = status_after(idle, calls, call.make);
    if (status != 0)
        fail_msg("idle %d, calls %d: %s: status %#x", (int)idle, (int)calls, call.name,
                 (unsigned)status);
}

static void assert_dies(enum poller_idle idle, enum sandbox_calls calls, struct one_call call)
{
    int status = status_after(idle, calls, call.make);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
        fail_msg("idle %d, calls %d: %s: not ended by SIGSYS but %#x", (int)idle, (int)calls,
                 call.name, (unsigned)status);
}

static void requests_are_served_without_any_system_call(void **state)
{
    (void)state;
    skip_if(IOREQD_SANITIZE[0], SKIP_SANITIZERS_CALL);
    assert_int_equal(run_child(POLLER_IDLE_SPIN, NULL, 200000), 0);
    assert_int_equal(run_child(POLLER_IDLE_PAUSE, NULL, 20000), 0);
}

static void idle_strategies_may_make_their_own_call(void **state)
{
    (void)state;
    skip_if(IOREQD_SANITIZE[0], SKIP_SANITIZERS_CALL);
    assert_int_equal(run_child(POLLER_IDLE_YIELD, NULL, 2000), 0);
    assert_int_equal(run_child(POLLER_IDLE_SLEEP, NULL, 200), 0);
}

static void row43_system_call_of_a_device_ends_the_process(void **state)
{
    (void)state;
    skip_if(IOREQD_SANITIZE[0], SKIP_SANITIZERS_CALL);
    const enum poller_idle strategies[] = {POLLER_IDLE_SPIN, POLLER_IDLE_PAUSE, POLLER_IDLE_YIELD,
                                           POLLER_IDLE_SLEEP};
    for (size_t i = 0; i < 4; i++) {
        int status = run_child(strategies[i], &calling_ops, 1);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGSYS);
    }
}

/* A kernel without 32-bit processes has no such door. */
static bool has_int80(void)
{
    pid_t child = child_fork();
    if (child == 0)
        _exit(call_int80() < 0);
    return child_wait(child) == 0;
}

static void every_other_call_ends_the_process(void **state)
{
    (void)state;
    skip_if(IOREQD_SANITIZE[0], SKIP_SANITIZERS_CALL);
    for (size_t i = 0; i < FORBIDDEN_COUNT; i++) {
        if (forbidden_calls[i].make == call_int80 && !has_int80())
            continue;
        assert_dies(POLLER_IDLE_SPIN, SANDBOX_NO_CALLS, forbidden_calls[i]);
        assert_dies(POLLER_IDLE_SLEEP, SANDBOX_SUBMIT_CALL, forbidden_calls[i]);
    }
    assert_dies(POLLER_IDLE_YIELD, SANDBOX_NO_CALLS, forbidden_calls[0]);
    assert_lives(POLLER_IDLE_SPIN, SANDBOX_NO_CALLS, (struct one_call)CALL(none));
}

static void only_the_idle_strategys_own_call_is_allowed(void **state)
{
    (void)state;
    skip_if(IOREQD_SANITIZE[0], SKIP_SANITIZERS_CALL);
    for (int idle = POLLER_IDLE_SPIN; idle <= POLLER_IDLE_SLEEP; idle++) {
        (idle == POLLER_IDLE_YIELD ? assert_lives : assert_dies)(
            (enum poller_idle)idle, SANDBOX_NO_CALLS, (struct one_call)CALL(sched_yield));
        (idle == POLLER_IDLE_SLEEP ? assert_lives : assert_dies)(
            (enum poller_idle)idle, SANDBOX_NO_CALLS, (struct one_call)CALL(clock_nanosleep));
    }
}

static void submitting_is_allowed_to_those_that_submit(void **state)
{
    (void)state;
    skip_if(IOREQD_SANITIZE[0], SKIP_SANITIZERS_CALL);
    for (int idle = POLLER_IDLE_SPIN; idle <= POLLER_IDLE_SLEEP; idle++) {
        const struct one_call enter = CALL(io_uring_enter);
        assert_lives((enum poller_idle)idle, SANDBOX_SUBMIT_CALL, enter);
        assert_dies((enum poller_idle)idle, SANDBOX_NO_CALLS, enter);
    }
    assert_dies(POLLER_IDLE_SPIN, SANDBOX_SUBMIT_CALL, (struct one_call)CALL(sched_yield));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_are_served_without_any_system_call),
        cmocka_unit_test(idle_strategies_may_make_their_own_call),
        cmocka_unit_test(row43_system_call_of_a_device_ends_the_process),
        cmocka_unit_test(every_other_call_ends_the_process),
        cmocka_unit_test(only_the_idle_strategys_own_call_is_allowed),
        cmocka_unit_test(submitting_is_allowed_to_those_that_submit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
