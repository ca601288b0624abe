/* SPDX-License-Identifier: BSD-3-Clause */
/* irqfds: what the server keeps of them, and what a requester is told, over a real connection. */
#include "server/notify/irqfd.h"

#include "server/log.h"
#include "server/socket/connection.h"
#include "server/socket/wire.h"
#include "tests/support/descriptors.h"
#include "tests/support/world.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

static struct world world;
static struct vm *vm;
static int eventfds[2];
static const struct irqfd_route line_5 = {.kind = IRQFD_GSI, .gsi = 5};

static int setup(void **state)
{
    (void)state;
    struct vm_options options = {.name = "guest", .vcpus = 1};
    world_create(&world, 1);
    assert_int_equal(vm_create(&world.topology, &options, &vm), 0);
    for (int i = 0; i < 2; i++)
        eventfds[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    world_destroy(&world);
    close(eventfds[0]);
    close(eventfds[1]);
    return 0;
}

/* ---- what the server keeps --------------------------------------------------------------- */

static void nonsense_is_refused(void **state)
{
    (void)state;
    int pipes[2];
    assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
    const struct irqfd_route odd[] = {{.kind = 0},
                                      {.kind = (enum irqfd_kind)(IRQFD_LEVEL + 1)},
                                      {.kind = IRQFD_GSI, .gsi = IRQFD_LINE_LAST + 1},
                                      {.kind = IRQFD_LEVEL, .gsi = IRQFD_LINE_LAST + 1}};
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
        assert_int_equal(vm_irqfd_assign(vm, eventfds[0], &odd[i]), -EINVAL);
    assert_int_equal(vm_irqfd_assign(vm, -1, &line_5), -EBADF);
    assert_int_equal(vm_irqfd_assign(vm, pipes[0], &line_5), -EINVAL);
    assert_int_equal(vm_irqfd_deassign(vm, -1), -EBADF);
    assert_int_equal(vm_irqfd_deassign(vm, pipes[0]), -EINVAL);
    assert_int_equal(vm_irqfd_deassign(vm, eventfds[0]), -ENOENT);
    assert_int_equal(vm_irqfd_count(vm), 0);
    close(pipes[0]), close(pipes[1]);
}

static void one_eventfd_raises_one_interrupt(void **state)
{
    (void)state;
    int duplicate = dup(eventfds[0]);
    const struct irqfd_route msi = {.kind = IRQFD_MSI, .address = 0xfee00000, .data = 0x40};
    assert_int_equal(vm_irqfd_assign(vm, eventfds[0], &line_5), 0);
    assert_int_equal(vm_irqfd_assign(vm, eventfds[0], &msi), -EBUSY);
    assert_int_equal(vm_irqfd_assign(vm, duplicate, &msi), -EBUSY);
    assert_int_equal(vm_irqfd_assign(vm, eventfds[1], &line_5), 0); /* a line may have two */
    assert_int_equal(vm_irqfd_count(vm), 2);
    assert_int_equal(vm_irqfd_deassign(vm, duplicate), 0);
    assert_int_equal(vm_irqfd_deassign(vm, eventfds[0]), -ENOENT);
    assert_int_equal(vm_irqfd_assign(vm, eventfds[0], &msi), 0);
    close(duplicate);
}

static void there_is_a_limit_and_the_end_leaks_nothing(void **state)
{
    (void)state;
    int more[IRQFDS_MAX + 1];
    uint32_t before = descriptors_count(getpid());
    for (uint32_t i = 0; i <= IRQFDS_MAX; i++) {
        more[i] = eventfd(0, EFD_CLOEXEC);
        assert_int_equal(vm_irqfd_assign(vm, more[i], &line_5), i < IRQFDS_MAX ? 0 : -ENOSPC);
    }
    assert_int_equal(vm_destroy(vm), 0);
    for (uint32_t i = 0; i <= IRQFDS_MAX; i++)
        close(more[i]);
    assert_int_equal(descriptors_count(getpid()), before);
}

/* ---- what a requester is told ------------------------------------------------------------ */

/* The event loop runs in the test's thread, as control; the peer is a thread of its own. It asks
 * control to make a step by writing `step`; control writes `done` once it is made. */
struct scene {
    struct connections connections;
    struct event_watch *step_watch;
    int step, done;
    int peer; /* its end of the connection */
    void (*make_step)(struct scene *scene, uint64_t number);
    void (*play)(struct scene *scene);
    uint64_t steps;
};

static void step_ready(void *context, uint32_t events)
{
    struct scene *scene = context;
    uint64_t one = 1;
    (void)events;
    assert_int_equal(read(scene->step, &one, sizeof(one)), sizeof(one));
    if (scene->make_step)
        scene->make_step(scene, ++scene->steps);
    one = 1;
    assert_int_equal(write(scene->done, &one, sizeof(one)), sizeof(one));
}

static void stop_ready(struct scene *scene, uint64_t number)
{
    (void)number;
    event_loop_stop(scene->connections.loop);
}

static void ask_for_step(struct scene *scene)
{
    uint64_t one = 1;
    assert_int_equal(write(scene->step, &one, sizeof(one)), sizeof(one));
    assert_int_equal(read(scene->done, &one, sizeof(one)), sizeof(one));
}

static void *play(void *context)
{
    struct scene *scene = context;
    scene->play(scene);
    scene->make_step = stop_ready;
    ask_for_step(scene);
    return NULL;
}

static void run_scene(void (*play_peer)(struct scene *scene),
                      void (*make_step)(struct scene *scene, uint64_t number))
{
    struct scene scene = {.play = play_peer, .make_step = make_step};
    int ends[2];
    pthread_t peer;
    assert_int_equal(event_loop_create(&scene.connections.loop), 0);
    scene.connections.context.topology = &world.topology;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    assert_int_equal(fcntl(ends[0], F_SETFL, O_NONBLOCK), 0);
    scene.peer = ends[1];
    scene.step = eventfd(0, EFD_CLOEXEC);
    scene.done = eventfd(0, EFD_CLOEXEC);
    assert_int_equal(event_loop_watch(scene.connections.loop, scene.step, POLLIN, step_ready,
                                      &scene, &scene.step_watch),
                     0);
    connection_open(&scene.connections, ends[0], WORLD_PID, true);
    assert_int_equal(pthread_create(&peer, NULL, play, &scene), 0);
    assert_int_equal(event_loop_run(scene.connections.loop), 0);
    pthread_join(peer, NULL);
    connections_end(&scene.connections);
    event_loop_destroy(scene.connections.loop);
    close(scene.peer), close(scene.step), close(scene.done);
}

static void attach_as_requester(struct scene *scene)
{
    char line[WIRE_LINE_MAX];
    const char *text;
    int page = -1;
    assert_int_equal(wire_send_line(scene->peer, "attach guest"), 0);
    assert_int_equal(wire_receive_line(scene->peer, line, sizeof(line), &page), 0);
    assert_int_equal(wire_parse_reply(line, &text), 0);
    assert_true(page >= 0);
    close(page);
}

/* The next line; what came with it is this eventfd (-1: nothing). */
static void expect_line(struct scene *scene, const char *expected, int eventfd_expected)
{
    char line[WIRE_LINE_MAX];
    int passed = -1;
    uint64_t one = 1;
    assert_int_equal(wire_receive_line(scene->peer, line, sizeof(line), &passed), 0);
    assert_string_equal(line, expected);
    if (eventfd_expected < 0) {
        assert_int_equal(passed, -1);
        return;
    }
    assert_int_equal(write(passed, &one, sizeof(one)), sizeof(one));
    assert_int_equal(read(eventfd_expected, &one, sizeof(one)), sizeof(one));
    close(passed);
}

static void change_while_attached(struct scene *scene, uint64_t number)
{
    (void)scene;
    const struct irqfd_route msi = {.kind = IRQFD_MSI, .address = 0xfee00000, .data = 0x4041};
    if (number == 1)
        assert_int_equal(vm_irqfd_assign(vm, eventfds[1], &msi), 0);
    else
        assert_int_equal(vm_irqfd_deassign(vm, eventfds[0]), 0);
}

static void peer_hears_all(struct scene *scene)
{
    attach_as_requester(scene);
    expect_line(scene, "irqfd assign 1 line 5", eventfds[0]);
    ask_for_step(scene);
    expect_line(scene, "irqfd assign 2 msi 0xfee00000 0x4041", eventfds[1]);
    ask_for_step(scene);
    expect_line(scene, "irqfd deassign 1", -1);
}

static void peer_hears_what_is_left(struct scene *scene)
{
    attach_as_requester(scene);
    expect_line(scene, "irqfd assign 2 msi 0xfee00000 0x4041", eventfds[1]);
}

static void a_requester_is_told_at_attach_and_after(void **state)
{
    (void)state;
    log_info("descriptors are counted from here on"); /* the log opens its own for its first line */
    uint32_t before = descriptors_count(getpid());
    assert_int_equal(vm_irqfd_assign(vm, eventfds[0], &line_5), 0);
    run_scene(peer_hears_all, change_while_attached);
    run_scene(peer_hears_what_is_left, NULL); /* the next one */
    assert_int_equal(vm_irqfd_deassign(vm, eventfds[1]), 0);
    assert_int_equal(descriptors_count(getpid()), before);
}

static void change_for_ever(struct scene *scene, uint64_t number)
{
    (void)scene;
    (void)number;
    for (uint32_t i = 0; i < 100; i++) {
        assert_int_equal(vm_irqfd_assign(vm, eventfds[0], &line_5), 0);
        assert_int_equal(vm_irqfd_deassign(vm, eventfds[0]), 0);
    }
}

static void peer_never_reads(struct scene *scene)
{
    char bytes[4096];
    attach_as_requester(scene);
    for (uint32_t i = 0; i < 40; i++) /* more than socket and queue hold */
        ask_for_step(scene);
    ssize_t count;
    while ((count = recv(scene->peer, bytes, sizeof(bytes), 0)) > 0)
        ; /* what was on its way */
    assert_int_equal(count, 0);
}

static void requester_that_does_not_read_is_cut(void **state)
{
    (void)state;
    uint32_t before = descriptors_count(getpid());
    run_scene(peer_never_reads, change_for_ever);
    assert_null(vm->link);
    assert_int_equal(descriptors_count(getpid()), before);
}

static void destroy_the_vm(struct scene *scene, uint64_t number)
{
    (void)scene;
    (void)number;
    assert_int_equal(vm_destroy(vm), 0);
}

static void peer_sees_the_end(struct scene *scene)
{
    char byte;
    attach_as_requester(scene);
    expect_line(scene, "irqfd assign 1 line 5", eventfds[0]);
    ask_for_step(scene);
    assert_int_equal(recv(scene->peer, &byte, 1, 0), 0);
}

static void requester_of_a_destroyed_vm_is_cut(void **state)
{
    (void)state;
    assert_int_equal(vm_irqfd_assign(vm, eventfds[0], &line_5), 0);
    run_scene(peer_sees_the_end, destroy_the_vm);
    assert_int_equal(world.topology.vm_count, 0);
}

/* ---- descriptors that come with a line --------------------------------------------------- */

static void send_with(int peer, const char *text, int count)
{
    int passed[253];
    for (int i = 0; i < count; i++)
        passed[i] = eventfds[0];
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(sizeof(passed))];
    } control = {0};
    struct iovec piece = {(char *)(uintptr_t)text, strlen(text)};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = CMSG_SPACE((size_t)count * sizeof(int))};
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
    memcpy(CMSG_DATA(header), passed, (size_t)count * sizeof(int));
    assert_int_equal(sendmsg(peer, &message, MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static int descriptor_count;

static void peer_passes_many(struct scene *scene)
{
    char line[WIRE_LINE_MAX];
    send_with(scene->peer, "stat", descriptor_count);
    send_with(scene->peer, "us\n", descriptor_count);
    assert_int_equal(wire_receive_line(scene->peer, line, sizeof(line), NULL), 0);
    assert_string_equal(line, "error 22 at most one descriptor may come with a line");
}

static void row39_descriptors_that_nobody_asked_for_are_closed(void **state)
{
    (void)state;
    const int counts[] = {1, 2, 3, 253}; /* in each of two pieces */
    uint32_t before = descriptors_count(getpid());
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++) {
        descriptor_count = counts[i];
        run_scene(peer_passes_many, NULL);
        assert_int_equal(descriptors_count(getpid()), before);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(nonsense_is_refused),
        CASE(one_eventfd_raises_one_interrupt),
        CASE(there_is_a_limit_and_the_end_leaks_nothing),
        CASE(a_requester_is_told_at_attach_and_after),
        CASE(requester_that_does_not_read_is_cut),
        CASE(requester_of_a_destroyed_vm_is_cut),
        CASE(row39_descriptors_that_nobody_asked_for_are_closed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
