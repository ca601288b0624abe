/* SPDX-License-Identifier: BSD-3-Clause */
/* The end of the server with requests in flight at somebody who does not answer: every requester has
 * its answer, in bounded time. */
#include "server/threads/sandbox.h"
#include "tests/support/child.h"
#include "tests/support/ioreqd.h"
#include "tests/support/skip.h"
#include "tests/support/world.h"

#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

/* ---- a device that hangs ----------------------------------------------------------------- */

struct stuck_device {
    _Atomic bool has_begun;
    _Atomic bool is_over;
};

static int stuck_handle(void *context, struct request *request)
{
    struct stuck_device *device = context;
    (void)request;
    atomic_store(&device->has_begun, true);
    while (!atomic_load(&device->is_over))
        sched_yield();
    return 0;
}

/* Two pollers, a VM on each side of the stuck device: its own, and one that shares its poller. */
struct scene {
    struct world world;
    struct vm *vm;
    struct stuck_device device;
};

static void scene_prepare(struct scene *scene, uint32_t stuck_poller, struct sandbox *sandbox)
{
    *scene = (struct scene){0};
    world_create(&scene->world, 2);
    for (int i = 0; i < 2 && sandbox; i++) {
        scene->world.pollers[i].poller->options.arm = sandbox_arm;
        scene->world.pollers[i].poller->options.arm_context = sandbox;
    }
    scene->world.topology.settle_ns = 10000000;
    scene->vm = world_vm(&scene->world, "vm", 2);
    struct vm_client *client = NULL;
    const struct vm_client_options options = {.name = "stuck",
                                              .poller_index = stuck_poller,
                                              .handle = stuck_handle,
                                              .context = &scene->device};
    assert_int_equal(vm_client_create(scene->vm, &options, &client), 0);
    world_range(client, REQUEST_MMIO, WORLD_MMIO, WORLD_MMIO + 0xfff);
}

static void scene_begin(struct scene *scene)
{
    world_start(&scene->world);
    world_ask(scene->vm, 0, world_read(REQUEST_MMIO, WORLD_MMIO, 4));
    while (!atomic_load(&scene->device.has_begun))
        sched_yield();
}

static void scene_create(struct scene *scene, uint32_t stuck_poller, struct sandbox *sandbox)
{
    scene_prepare(scene, stuck_poller, sandbox);
    scene_begin(scene);
}

/* Of a poller that stands still for good the world stays. What is reached only through a mapping,
 * where the leak checker does not look, goes. */
static void world_leave(struct world *world)
{
    for (size_t i = 0; i < world->topology.vm_count; i++) {
        struct vm *vm = world->topology.vms[i];
        for (uint32_t k = 0; k < vm->client_count; k++) {
            struct device *device = vm->clients[k]->client.device;
            device->ops->destroy(device);
            free(vm->clients[k]->ranges);
        }
        router_destroy(vm->retired);
        router_destroy(vm->router);
    }
}

/* That it returns at all is the bound: the device comes back only afterwards. */
static void settling_ends_although_a_device_never_returns(void **state)
{
    (void)state;
    static struct scene scenes[2]; /* of a poller that stands still for good the scene stays */
    for (uint32_t stuck_poller = 0; stuck_poller < 2; stuck_poller++) {
        struct scene *scene = &scenes[stuck_poller];
        scene_create(scene, stuck_poller, NULL);
        assert_int_equal(topology_settle(&scene->world.topology), -ETIMEDOUT);
        assert_int_equal(world_state(scene->vm, 0), SLOT_COMPLETE);
        assert_int_equal(world_value(scene->vm, 0) & 0xffffffff, 0xffffffff);
        assert_false(poller_is_gone(scene->world.pollers[stuck_poller].poller));
        assert_true(poller_is_gone(scene->world.pollers[!stuck_poller].poller));
        world_set_state(scene->vm, 0, SLOT_FREE);
        /* It stands still for good: the late answer is nobody's. What it can reach is left to the end
         * of the process. */
        atomic_store(&scene->device.is_over, true);
        assert_true(poller_is_frozen(scene->world.pollers[stuck_poller].poller));
        assert_int_equal(world_state(scene->vm, 0), SLOT_FREE);
        world_leave(&scene->world);
    }
}

/* Its poller hangs in a device of another VM, which comes back once all is settled. */
static void settled_vm_is_not_served_by_a_poller_that_comes_back(void **state)
{
    (void)state;
    static struct scene scene;
    static struct world_device device;
    scene_prepare(&scene, 1, NULL);
    struct vm *other = world_vm_with(
        &scene.world, (struct vm_options){.name = "other", .vcpus = 1, .poller_index = 1});
    struct vm_client *client = world_client(other, "here", 1, &device);
    world_range(client, REQUEST_MMIO, WORLD_MMIO, WORLD_MMIO + 0xfff);
    scene_begin(&scene);
    struct poller *poller = scene.world.pollers[1].poller;
    world_ask(other, 0, world_read(REQUEST_MMIO, WORLD_MMIO, 4));
    assert_int_equal(topology_settle(&scene.world.topology), -ETIMEDOUT);
    atomic_store(&scene.device.is_over, true);
    assert_int_equal(poller_quiesce(poller, VM_CALL_TIMEOUT_NS), -ETIMEDOUT);
    assert_int_equal(world_state(other, 0), SLOT_PENDING);
    assert_int_equal(device.calls, 0);
    world_leave(&scene.world);
}

/* Hangs until the first poller has ended. */
static int handle_late(void *context, struct request *request)
{
    const struct poller *first = context;
    (void)request;
    while (!poller_is_gone(first))
        sched_yield();
    return 0;
}

/* The second poller could not be told to pause; now it hands a request over to the first, which is no
 * more. */
static void request_handed_to_a_poller_that_has_ended_is_answered(void **state)
{
    (void)state;
    static struct world world;
    static struct world_device device;
    world_create(&world, 2);
    world.topology.settle_ns = 10000000;
    struct vm *vm =
        world_vm_with(&world, (struct vm_options){.name = "vm", .vcpus = 2, .poller_index = 1});
    struct vm_client *far = world_client(vm, "far", 0, &device), *late = NULL;
    const struct vm_client_options options = {.name = "late",
                                              .poller_index = 1,
                                              .handle = handle_late,
                                              .context = world.pollers[0].poller};
    assert_int_equal(vm_client_create(vm, &options, &late), 0);
    world_range(late, REQUEST_MMIO, WORLD_MMIO, WORLD_MMIO + 0xfff);
    world_range(far, REQUEST_PORTIO, WORLD_PORT, WORLD_PORT + 7);
    world_ask(vm, 0, world_read(REQUEST_MMIO, WORLD_MMIO, 4));
    world_ask(vm, 1, world_read(REQUEST_PORTIO, WORLD_PORT, 4));
    world_start(&world);
    assert_int_equal(topology_settle(&world.topology), -ETIMEDOUT);
    assert_int_equal(world_state(vm, 0), SLOT_COMPLETE);
    /* Or it stands still, and has not taken it on. */
    assert_int_not_equal(world_state(vm, 1), SLOT_PROCESSING);
    assert_int_equal(page_in_flight(vm->page), 0);
    if (poller_is_gone(world.pollers[1].poller))
        world_destroy(&world);
    else
        world_leave(&world);
}

/* Standing still is no system call: the process lives, and the answer is there. */
static void settling_ends_under_the_sandbox_too(void **state)
{
    (void)state;
    skip_if(IOREQD_SANITIZE[0], SKIP_SANITIZERS_CALL);
    pid_t child = child_fork();
    if (child == 0) {
        struct scene scene;
        struct sandbox *sandbox;
        if (sandbox_create(POLLER_IDLE_YIELD, SANDBOX_NO_CALLS, &sandbox) < 0)
            _exit(2);
        scene_create(&scene, 0, sandbox);
        bool is_late = topology_settle(&scene.world.topology) == -ETIMEDOUT;
        _exit(is_late && world_state(scene.vm, 0) == SLOT_COMPLETE ? 0 : 1);
    }
    assert_int_equal(child_wait(child), 0);
}

static void *come_back_soon(void *device)
{
    struct timespec pause = {.tv_nsec = 50000000};
    nanosleep(&pause, NULL);
    atomic_store(&((struct stuck_device *)device)->is_over, true);
    return NULL;
}

static void settling_waits_for_who_answers_in_time(void **state)
{
    (void)state;
    struct scene scene;
    scene_create(&scene, 1, NULL);
    scene.world.topology.settle_ns = 60000000000;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, come_back_soon, &scene.device), 0);
    assert_int_equal(topology_settle(&scene.world.topology), 0);
    pthread_join(thread, NULL);
    assert_int_equal(world_state(scene.vm, 0), SLOT_COMPLETE);
    /* What the device left there: no all-ones were written over it. */
    assert_int_equal(world_value(scene.vm, 0) & 0xffffffff, 0);
    for (int i = 0; i < 2; i++)
        assert_true(poller_is_gone(scene.world.pollers[i].poller));
    world_destroy(&scene.world);
}

static void settled_vm_takes_on_no_more(void **state)
{
    (void)state;
    struct scene scene;
    scene_create(&scene, 0, NULL);
    atomic_store(&scene.device.is_over, true);
    assert_int_equal(topology_settle(&scene.world.topology), 0);
    world_ask(scene.vm, 1, world_read(REQUEST_MMIO, WORLD_MMIO, 4));
    world_round(&scene.world);
    assert_int_equal(world_state(scene.vm, 1), SLOT_PENDING);
    world_destroy(&scene.world);
}

/* ---- ioreqd ------------------------------------------------------------------------------ */

static int start(void **state)
{
    ioreqd_init(state);
    ioreqd_start(", settle: 50ms");
    return 0;
}

/* Sends a line and expects ok; a descriptor that comes with the reply goes to *descriptor. */
static int converse(const char *line, int *descriptor)
{
    char reply[WIRE_LINE_MAX];
    const char *text;
    int server = daemon_connect(&ioreqd);
    assert_int_equal(wire_send_line(server, "%s", line), 0);
    assert_int_equal(wire_receive_line(server, reply, sizeof(reply), descriptor), 0);
    assert_int_equal(wire_parse_reply(reply, &text), 0);
    return server;
}

static void sigterm_answers_what_an_external_client_never_will(void **state)
{
    (void)state;
    int descriptor = -1;
    close(converse("client-create-external other model", NULL));
    int attached = converse("attach other", &descriptor);
    assert_true(descriptor >= 0);
    struct acrn_io_request *slot =
        mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    assert_true(slot != MAP_FAILED);
    slot->type = REQUEST_MMIO;
    slot->completion_polling = 1;
    slot->reqs.mmio_request.direction = REQUEST_READ;
    slot->reqs.mmio_request.address = 0x12345678;
    slot->reqs.mmio_request.size = 4;
    __atomic_store_n(&slot->processed, SLOT_PENDING, __ATOMIC_RELEASE);
    close(converse("client-attach other model", NULL)); /* it has it now */
    assert_int_equal(__atomic_load_n(&slot->processed, __ATOMIC_ACQUIRE), SLOT_PROCESSING);
    assert_int_equal(daemon_stop(&ioreqd), 0);
    assert_int_equal(__atomic_load_n(&slot->processed, __ATOMIC_ACQUIRE), SLOT_COMPLETE);
    assert_int_equal(slot->reqs.mmio_request.value, 0xffffffff);
    assert_true(daemon_file_has(ioreqd.err, "vm other: 1 requests were not answered in time"));
    munmap(slot, PAGE_BYTES);
    close(descriptor);
    close(attached);
}

static void sigterm_with_nothing_in_flight_says_nothing_of_it(void **state)
{
    (void)state;
    close(converse("client-create-external other model", NULL));
    assert_int_equal(daemon_stop(&ioreqd), 0);
    assert_false(daemon_file_has(ioreqd.err, "not answered in time"));
}

#define DAEMON_TEST(function) cmocka_unit_test_setup_teardown(function, start, ioreqd_fini)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settling_ends_under_the_sandbox_too), /* forks: before any thread */
        cmocka_unit_test(settling_ends_although_a_device_never_returns),
        cmocka_unit_test(settled_vm_is_not_served_by_a_poller_that_comes_back),
        cmocka_unit_test(request_handed_to_a_poller_that_has_ended_is_answered),
        cmocka_unit_test(settling_waits_for_who_answers_in_time),
        cmocka_unit_test(settled_vm_takes_on_no_more),
        DAEMON_TEST(sigterm_answers_what_an_external_client_never_will),
        DAEMON_TEST(sigterm_with_nothing_in_flight_says_nothing_of_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
