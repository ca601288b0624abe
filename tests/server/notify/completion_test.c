/* SPDX-License-Identifier: BSD-3-Clause */
/* Whoever completes a slot whose vCPU does not poll tells it exactly once, in every way there is and to
 * every kind of target; and nobody who polls is told. No poller has a thread, the notifier has. */
#include "server/notify/completion.h"

#include "tests/support/child.h"
#include "tests/support/eventfd.h"
#include "tests/support/world.h"

#include <fcntl.h>
#include <poll.h>
#include <seccomp.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#define VCPUS       4u
#define ANSWERED_AT WORLD_MMIO
#define REMOTE_AT   (WORLD_MMIO + 0x10000)
#define VALUE       0x12345678u

struct scene {
    struct world world;
    struct vm *vm;
    struct vm_client *external;
    struct world_device near, far;
    int eventfds[VCPUS];
};

static int set_up(void **state, enum config_notify notify)
{
    struct scene *scene = calloc(1, sizeof(*scene));
    assert_non_null(scene);
    struct topology *topology = &scene->world.topology;
    world_create(&scene->world, WORLD_POLLERS);
    assert_int_equal(
        completion_create(topology, notify, topology->pollers[1].cpu, &topology->completion), 0);
    assert_int_equal(notifier_start(topology->notifier), 0);
    scene->vm = world_vm_with(&scene->world, (struct vm_options){.name = "guest",
                                                                 .vcpus = VCPUS,
                                                                 .has_pci = true,
                                                                 .clear_timeout_ns = 1000000});
    scene->external = world_external(scene->vm, "rest");
    struct vm_client *near = world_client(scene->vm, "near", 0, &scene->near);
    struct vm_client *far = world_client(scene->vm, "far", 1, &scene->far);
    world_range(near, REQUEST_MMIO, ANSWERED_AT, ANSWERED_AT + 0xfff);
    world_range(far, REQUEST_MMIO, REMOTE_AT, REMOTE_AT + 0xfff);
    for (uint32_t i = 0; i < VCPUS; i++) {
        scene->eventfds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        assert_true(scene->eventfds[i] >= 0);
    }
    *state = scene;
    return 0;
}

static int set_up_sqpoll(void **state)
{
    return set_up(state, CONFIG_NOTIFY_SQPOLL);
}

static int set_up_submit(void **state)
{
    return set_up(state, CONFIG_NOTIFY_SUBMIT);
}

static int set_up_thread(void **state)
{
    return set_up(state, CONFIG_NOTIFY_THREAD);
}

static int tear_down(void **state)
{
    struct scene *scene = *state;
    struct completion *completion = scene->world.topology.completion;
    world_destroy(&scene->world);
    completion_destroy(completion);
    for (uint32_t i = 0; i < VCPUS; i++)
        close(scene->eventfds[i]);
    free(scene);
    return 0;
}

static void assign(struct scene *scene, uint32_t vcpu)
{
    const struct notify_target target = {.kind = NOTIFY_EVENTFD,
                                         .descriptor = scene->eventfds[vcpu]};
    assert_int_equal(completion_assign(scene->vm, vcpu, &target), 0);
}

static void ask(const struct scene *scene, uint32_t vcpu, struct world_access access,
                bool is_polling)
{
    world_fill(scene->vm, vcpu, access);
    scene->vm->source.slots[vcpu].completion_polling = is_polling;
    world_set_state(scene->vm, vcpu, SLOT_PENDING);
}

/* All that was given away is written now; the pollers have no threads. */
static void settle(struct scene *scene)
{
    for (int i = 0; i < 4; i++)
        world_round(&scene->world);
    completion_settle(&scene->world.topology);
    notifier_stop(scene->world.topology.notifier);
    assert_int_equal(notifier_start(scene->world.topology.notifier), 0);
}

static void expect_complete(struct scene *scene, uint32_t vcpu, uint64_t told)
{
    settle(scene);
    assert_int_equal(world_state(scene->vm, vcpu), SLOT_COMPLETE);
    assert_int_equal(eventfd_take(scene->eventfds[vcpu]), told);
    world_set_state(scene->vm, vcpu, SLOT_FREE);
}

/* ---- every path -------------------------------------------------------------------------- */

static void each_answer_of_the_sweeping_poller_is_told_once(void **state)
{
    struct scene *scene = *state;
    assign(scene, 1);
    const struct world_access accesses[] = {
        world_read(REQUEST_MMIO, ANSWERED_AT, 4),     world_write(REQUEST_MMIO, ANSWERED_AT, 4, 1),
        world_read(REQUEST_MMIO, ANSWERED_AT, 3),     world_read(77, ANSWERED_AT, 4),
        world_read(REQUEST_PORTIO, 0xcf8, 4),         world_read(REQUEST_PORTIO, 0xcfc, 4),
        world_write(REQUEST_PORTIO, 0xcf8, 4, 0x800),
    };
    for (size_t i = 0; i < sizeof(accesses) / sizeof(accesses[0]); i++) {
        ask(scene, 1, accesses[i], false);
        expect_complete(scene, 1, 1);
        ask(scene, 1, accesses[i], true);
        expect_complete(scene, 1, 0);
    }
    assert_int_equal(counter_read(&scene->vm->page->settled[PAGE_UNNOTIFIED]), 0);
}

static void answer_of_another_poller_is_told_once(void **state)
{
    struct scene *scene = *state;
    assign(scene, 2);
    for (int i = 0; i < 3; i++) {
        ask(scene, 2, world_read(REQUEST_MMIO, REMOTE_AT, 4), false);
        expect_complete(scene, 2, 1);
        ask(scene, 2, world_read(REQUEST_MMIO, REMOTE_AT, 4), true);
        expect_complete(scene, 2, 0);
    }
    assert_int_equal(scene->far.calls, 6);
}

static void answer_of_an_external_client_is_told_once(void **state)
{
    struct scene *scene = *state;
    assign(scene, 0);
    ask(scene, 0, world_read(REQUEST_MMIO, 0x1000, 4), false);
    settle(scene);
    assert_int_equal(eventfd_take(scene->eventfds[0]), 0); /* not answered yet */
    assert_int_equal(vm_client_finish(scene->external, 0, 7), 0);
    expect_complete(scene, 0, 1);
    assert_int_equal(vm_client_finish(scene->external, 0, 7), -ENOENT);
    settle(scene);
    assert_int_equal(eventfd_take(scene->eventfds[0]), 0);
}

static void what_a_reset_completes_is_told_once(void **state)
{
    struct scene *scene = *state;
    assign(scene, 0);
    assign(scene, 3);
    ask(scene, 0, world_read(REQUEST_MMIO, 0x1000, 4), false);
    world_round(&scene->world);
    assert_int_equal(vm_clear_begin(scene->vm), 0);
    ask(scene, 3, world_read(REQUEST_MMIO, ANSWERED_AT, 4), false); /* while it lasts */
    expect_complete(scene, 3, 1);
    while (vm_clear_poll(scene->vm) == -EAGAIN)
        sched_yield();
    expect_complete(scene, 0, 1);
    assert_int_equal(scene->near.calls, 0);
}

static void what_is_in_flight_at_the_end_is_told_once(void **state)
{
    struct scene *scene = *state;
    assign(scene, 0);
    assign(scene, 1);
    ask(scene, 0, world_read(REQUEST_MMIO, 0x1000, 4), false);
    ask(scene, 1, world_read(REQUEST_MMIO, 0x1000, 4), true);
    world_round(&scene->world);
    assert_int_equal(page_settle_all(scene->vm->page), 2);
    completion_settle(&scene->world.topology); /* no poller makes a round any more */
    assert_int_equal(eventfd_take(scene->eventfds[0]), 1);
    assert_int_equal(eventfd_take(scene->eventfds[1]), 0);
}

static void what_a_frozen_poller_was_handling_is_told(void **state)
{
    struct scene *scene = *state;
    assign(scene, 0);
    struct page *page = scene->vm->page;
    ask(scene, 0, world_read(REQUEST_MMIO, ANSWERED_AT, 4), false);
    slot_record_hold(&page->records[0]);
    assert_true(slot_claim(&page->slots[0], true));
    assert_int_equal(page_settle_frozen(page), 1);
    completion_settle(&scene->world.topology);
    assert_int_equal(eventfd_take(scene->eventfds[0]), 1);
    world_set_state(scene->vm, 0, SLOT_FREE);
}

/* ---- every kind -------------------------------------------------------------------------- */

struct called {
    _Atomic uint32_t count;
    _Atomic uint32_t vcpu;
};

static void count_call(void *context, uint32_t vcpu)
{
    struct called *called = context;
    atomic_store(&called->vcpu, vcpu);
    atomic_fetch_add(&called->count, 1);
}

static void every_kind_of_target_is_told(void **state)
{
    struct scene *scene = *state;
    int pipes[2];
    uint32_t doorbell = 0, written[2] = {0};
    struct called called = {0};
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    const struct notify_target targets[VCPUS] = {
        {.kind = NOTIFY_CONTROL, .descriptor = pipes[1], .value = VALUE},
        {.kind = NOTIFY_DOORBELL, .address = &doorbell, .value = VALUE},
        {.kind = NOTIFY_CALL, .call = count_call, .context = &called},
        {.kind = NOTIFY_EVENTFD, .descriptor = scene->eventfds[3]},
    };
    for (uint32_t i = 0; i < VCPUS; i++) {
        assert_int_equal(completion_assign(scene->vm, i, &targets[i]), 0);
        ask(scene, i, world_read(REQUEST_MMIO, ANSWERED_AT, 4), false);
    }
    settle(scene);
    struct pollfd entry = {.fd = pipes[0], .events = POLLIN};
    assert_int_equal(poll(&entry, 1, 20000),
                     1); /* a pipe may be written by a thread of the kernel's */
    assert_int_equal(read(pipes[0], written, sizeof(written)), sizeof(written[0]));
    assert_int_equal(written[0], VALUE);
    assert_int_equal(doorbell, VALUE);
    assert_int_equal(called.count, 1);
    assert_int_equal(called.vcpu, 2);
    assert_int_equal(eventfd_take(scene->eventfds[3]), 1);
    /* With the page everything goes: nobody else has the pipe's other end. */
    vm_detach(scene->vm);
    close(pipes[1]);
    assert_int_equal(read(pipes[0], written, sizeof(written)), 0);
    close(pipes[0]);
}

static void target_is_replaced(void **state)
{
    struct scene *scene = *state;
    assign(scene, 0);
    ask(scene, 0, world_read(REQUEST_MMIO, ANSWERED_AT, 4), false);
    world_round(&scene->world);
    const struct notify_target other = {.kind = NOTIFY_EVENTFD, .descriptor = scene->eventfds[1]};
    assert_int_equal(completion_assign(scene->vm, 0, &other), 0);
    assert_int_equal(eventfd_take(scene->eventfds[0]), 1); /* what was COMPLETE before */
    world_set_state(scene->vm, 0, SLOT_FREE);
    ask(scene, 0, world_read(REQUEST_MMIO, ANSWERED_AT, 4), false);
    settle(scene);
    assert_int_equal(eventfd_take(scene->eventfds[0]), 0);
    assert_int_equal(eventfd_take(scene->eventfds[1]), 1);
}

/* ---- bad input --------------------------------------------------------------------------- */

static void target_that_is_none_is_refused(void **state)
{
    struct scene *scene = *state;
    int blocking = eventfd(0, EFD_CLOEXEC), pipes[2];
    assert_int_equal(pipe2(pipes, O_CLOEXEC | O_NONBLOCK), 0);
    const struct notify_target targets[] = {
        {.kind = 0},
        {.kind = NOTIFY_CALL + 1},
        {.kind = NOTIFY_CALL},
        {.kind = NOTIFY_DOORBELL},
        {.kind = NOTIFY_EVENTFD, .descriptor = -1},
        {.kind = NOTIFY_CONTROL, .descriptor = -1},
        {.kind = NOTIFY_EVENTFD, .descriptor = blocking},
        {.kind = NOTIFY_EVENTFD, .descriptor = pipes[1]},
    };
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        int result = completion_assign(scene->vm, 0, &targets[i]);
        assert_int_equal(result, targets[i].descriptor < 0 ? -EBADF : -EINVAL);
    }
    const struct notify_target good = {.kind = NOTIFY_EVENTFD, .descriptor = scene->eventfds[0]};
    assert_int_equal(completion_assign(scene->vm, VCPUS, &good), -EINVAL);
    ask(scene, 0, world_read(REQUEST_MMIO, ANSWERED_AT, 4), false);
    settle(scene);
    assert_int_equal(counter_read(&scene->vm->page->settled[PAGE_UNNOTIFIED]), 1);
    close(blocking), close(pipes[0]), close(pipes[1]);
}

/* ---- where io_uring is refused ----------------------------------------------------------- */

/* In a process of its own: what completion_choose makes of `wanted`, and whether it says so. */
static void expect_choice(int error, enum config_notify wanted, enum config_notify chosen)
{
    int pipes[2];
    char line[1024] = "";
    assert_int_equal(pipe(pipes), 0);
    pid_t child = child_fork();
    if (child == 0) {
        dup2(pipes[1], STDERR_FILENO);
        scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
        if (!filter ||
            (error && seccomp_rule_add(filter, SCMP_ACT_ERRNO((uint32_t)error),
                                       SCMP_SYS(io_uring_setup), 0) < 0) ||
            seccomp_load(filter) < 0)
            _exit(255);
        _exit((int)completion_choose(wanted));
    }
    close(pipes[1]);
    int status = child_wait(child);
    ssize_t length = read(pipes[0], line, sizeof(line) - 1);
    close(pipes[0]);
    assert_int_equal(WEXITSTATUS(status), chosen);
    assert_int_equal(length > 0, chosen != wanted); /* one line */
    if (length > 0)
        assert_ptr_equal(strchr(line, '\n'), line + length - 1);
    if (error == EPERM && length > 0)
        assert_non_null(strstr(line, "kernel.io_uring_disabled"));
    if (error == ENOSYS && length > 0)
        assert_non_null(strstr(line, "seccomp"));
}

static void refused_io_uring_is_told_and_done_without(void **state)
{
    (void)state;
    const int errors[] = {EPERM, ENOSYS};
    for (int i = 0; i < 2; i++) {
        expect_choice(errors[i], CONFIG_NOTIFY_SQPOLL, CONFIG_NOTIFY_THREAD);
        expect_choice(errors[i], CONFIG_NOTIFY_SUBMIT, CONFIG_NOTIFY_THREAD);
        expect_choice(errors[i], CONFIG_NOTIFY_THREAD, CONFIG_NOTIFY_THREAD);
    }
    expect_choice(0, CONFIG_NOTIFY_SQPOLL, CONFIG_NOTIFY_SQPOLL);
    expect_choice(0, CONFIG_NOTIFY_SUBMIT, CONFIG_NOTIFY_SUBMIT);
}

#define EACH_WAY(function)                                                \
    {"sqpoll: " #function, function, set_up_sqpoll, tear_down, NULL},     \
        {"submit: " #function, function, set_up_submit, tear_down, NULL}, \
    {                                                                     \
        "thread: " #function, function, set_up_thread, tear_down, NULL    \
    }

int main(void)
{
    if (completion_choose(CONFIG_NOTIFY_SQPOLL) != CONFIG_NOTIFY_SQPOLL)
        return 77; /* it said why */
    const struct CMUnitTest tests[] = {
        EACH_WAY(target_that_is_none_is_refused),
        EACH_WAY(each_answer_of_the_sweeping_poller_is_told_once),
        EACH_WAY(answer_of_another_poller_is_told_once),
        EACH_WAY(answer_of_an_external_client_is_told_once),
        EACH_WAY(what_a_reset_completes_is_told_once),
        EACH_WAY(what_is_in_flight_at_the_end_is_told_once),
        EACH_WAY(what_a_frozen_poller_was_handling_is_told),
        EACH_WAY(every_kind_of_target_is_told),
        EACH_WAY(target_is_replaced),
        cmocka_unit_test(refused_io_uring_is_told_and_done_without),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
