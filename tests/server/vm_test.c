/* SPDX-License-Identifier: BSD-3-Clause */
/* A VM's page over many requesters and while a poller hangs in a device: when it may go, who is
 * refused meanwhile, and that all of it ends well once the device comes back. */
#include "tests/support/descriptors.h"
#include "tests/support/world.h"

#include <stdatomic.h>
#include <unistd.h>

/* A device that does not come back until it is told to. */
struct stuck_device {
    _Atomic bool has_begun;
    _Atomic bool is_over;
};

static int stuck_handle(void *context, struct request *request)
{
    struct stuck_device *device = context;
    atomic_store(&device->has_begun, true);
    while (!atomic_load(&device->is_over))
        sched_yield();
    request->value = WORLD_ANSWER;
    return 0;
}

static struct vm_client *stuck_client(struct vm *vm, uint32_t poller_index,
                                      struct stuck_device *device)
{
    struct vm_client *client = NULL;
    const struct vm_client_options options = {
        .name = "stuck", .poller_index = poller_index, .handle = stuck_handle, .context = device};
    assert_int_equal(vm_client_create(vm, &options, &client), 0);
    world_range(client, REQUEST_MMIO, WORLD_MMIO, WORLD_MMIO + 0xfff);
    return client;
}

static void wait_until_it_hangs(const struct vm *vm, struct stuck_device *device)
{
    world_ask(vm, 0, world_read(REQUEST_MMIO, WORLD_MMIO, 8));
    while (!atomic_load(&device->has_begun))
        sched_yield();
}

/* Until the poller finds what control asks of it again. */
static void come_back(struct vm *vm, struct stuck_device *device)
{
    atomic_store(&device->is_over, true);
    while (vm->is_detaching) {
        sched_yield();
        vm_detach_again(vm);
    }
}

/* ---- states ------------------------------------------------------------------------------ */

static void vm_starts_once_and_pauses_and_resumes_in_turn(void **state)
{
    (void)state;
    struct world world;
    world_create(&world, 1);
    struct vm *vm = NULL;
    const struct vm_options options = {.name = "vm", .vcpus = 1};
    assert_int_equal(vm_create(&world.topology, &options, &vm), 0);
    assert_int_equal(vm->state, VM_STOPPED);
    assert_int_equal(vm_pause(vm), -EINVAL);
    assert_int_equal(vm_resume(vm), -EINVAL);
    assert_int_equal(vm_start(vm), 0);
    assert_int_equal(vm->state, VM_RUNNING);
    assert_int_equal(vm_start(vm), -EINVAL);
    assert_int_equal(vm_resume(vm), -EINVAL);
    assert_int_equal(vm_pause(vm), 0);
    assert_int_equal(vm->state, VM_PAUSED);
    assert_int_equal(vm_pause(vm), -EINVAL);
    assert_int_equal(vm_start(vm), -EINVAL);
    assert_int_equal(vm_resume(vm), 0);
    assert_int_equal(vm->state, VM_RUNNING);
    world_destroy(&world);
}

static void page_is_swept_while_its_vm_runs_and_only_then(void **state)
{
    (void)state;
    struct world world;
    world_create(&world, 1);
    struct vm *vm = NULL;
    int descriptor;
    const struct vm_options options = {.name = "vm", .vcpus = 1};
    assert_int_equal(vm_create(&world.topology, &options, &vm), 0);
    /* Attached before it was started. */
    assert_int_equal(vm_attach(vm, WORLD_PID, &descriptor), 0);
    world_ask(vm, 0, world_read(REQUEST_MMIO, WORLD_MMIO, 4));
    assert_int_equal(world_round(&world), 0);
    assert_int_equal(vm_start(vm), 0);
    assert_int_equal(world_await(&world, vm, 0) & 0xffffffff, 0xffffffff);
    assert_int_equal(vm_pause(vm), 0);
    world_ask(vm, 0, world_read(REQUEST_MMIO, WORLD_MMIO, 4));
    assert_int_equal(world_round(&world), 0);
    /* The next requester finds it paused, too. */
    vm_detach(vm);
    assert_int_equal(vm_attach(vm, WORLD_PID, &descriptor), 0);
    world_ask(vm, 0, world_read(REQUEST_MMIO, WORLD_MMIO, 4));
    assert_int_equal(world_round(&world), 0);
    assert_int_equal(world_state(vm, 0), SLOT_PENDING);
    assert_int_equal(vm_resume(vm), 0);
    assert_int_equal(world_round(&world), 1);
    world_destroy(&world);
}

static void state_may_change_while_nobody_is_attached(void **state)
{
    (void)state;
    struct world world;
    world_create(&world, 1);
    struct vm *vm = world_vm(&world, "vm", 1);
    vm_detach(vm);
    assert_int_equal(vm_pause(vm), 0);
    assert_int_equal(world_round(&world), 0); /* nothing is left to sweep */
    assert_int_equal(vm_resume(vm), 0);
    assert_int_equal(world_round(&world), 0);
    int descriptor;
    assert_int_equal(vm_attach(vm, WORLD_PID, &descriptor), 0);
    world_ask(vm, 0, world_read(REQUEST_MMIO, WORLD_MMIO, 4));
    assert_int_equal(world_round(&world), 1);
    world_destroy(&world);
}

/* ---- attaching --------------------------------------------------------------------------- */

static void second_requester_is_refused_and_changes_nothing(void **state)
{
    (void)state;
    struct world world;
    world_create(&world, 1);
    struct vm *vm = world_vm(&world, "vm", 1);
    struct acrn_io_request *slots = vm->source.slots;
    int descriptor = -1;
    assert_int_equal(vm_attach(vm, WORLD_PID + 1, &descriptor), -EEXIST);
    assert_int_equal(descriptor, -1);
    assert_ptr_equal(vm->source.slots, slots);
    assert_int_equal(vm->requester_pid, WORLD_PID);
    world_ask(vm, 0, world_read(REQUEST_MMIO, WORLD_MMIO, 4));
    assert_int_equal(world_await(&world, vm, 0) & 0xffffffff, 0xffffffff);
    world_destroy(&world);
}

static void hundred_requesters_leave_no_descriptor_behind(void **state)
{
    (void)state;
    struct world world;
    world_create(&world, 1);
    struct vm *vm = world_vm(&world, "vm", 1);
    vm_detach(vm);
    uint32_t before = descriptors_count(getpid());
    for (int i = 0; i < 100; i++) {
        int descriptor = -1;
        assert_int_equal(vm_attach(vm, WORLD_PID, &descriptor), 0);
        assert_int_equal(descriptors_count(getpid()), before + 1);
        world_ask(vm, 0, world_read(REQUEST_MMIO, WORLD_MMIO, 4));
        world_round(&world);
        vm_detach(vm);
        vm_detach(vm); /* of no effect */
    }
    assert_int_equal(descriptors_count(getpid()), before);
    world_destroy(&world);
}

/* ---- a poller that hangs ----------------------------------------------------------------- */

/* It writes to no page: the next requester has one at once, and waits for its own answer. */
static void page_goes_while_a_device_of_another_poller_hangs(void **state)
{
    (void)state;
    struct world world;
    struct stuck_device device = {false};
    world_create(&world, 2);
    struct vm *vm = world_vm(&world, "vm", 1);
    stuck_client(vm, 1, &device);
    world_start(&world);
    wait_until_it_hangs(vm, &device);
    vm_detach(vm);
    assert_false(vm->is_attached);
    while (vm->is_detaching) { /* a busy machine: the VM's own poller has no CPU */
        sched_yield();
        vm_detach_again(vm);
    }
    assert_null(vm->source.slots);
    assert_int_equal(page_in_flight(vm->page), 0);
    int descriptor = -1;
    assert_int_equal(vm_attach(vm, WORLD_PID, &descriptor), 0);
    world_ask(vm, 0, world_read(REQUEST_MMIO, WORLD_MMIO, 4));
    while (world_state(vm, 0) != SLOT_PROCESSING)
        sched_yield();
    atomic_store(&device.is_over, true);
    assert_int_equal(world_await(&world, vm, 0), WORLD_ANSWER & UINT32_MAX);
    /* The late answer was nobody's. */
    assert_int_equal(world_settled(vm, PAGE_DROPPED), 0);
    world_destroy(&world);
}

static void page_stays_while_its_own_poller_hangs(void **state)
{
    (void)state;
    struct world world;
    struct stuck_device device = {false};
    world_create(&world, 1);
    struct vm *vm = world_vm(&world, "vm", 1);
    stuck_client(vm, 0, &device);
    world_start(&world);
    wait_until_it_hangs(vm, &device);
    assert_int_equal(vm_pause(vm), -ETIMEDOUT);
    assert_int_equal(vm->state, VM_RUNNING); /* nothing half applied */
    vm_detach(vm);
    assert_true(vm->is_detaching);
    assert_non_null(vm->source.slots);
    come_back(vm, &device);
    assert_null(vm->source.slots);
    world_destroy(&world);
}

/* Another VM of the same poller has no page yet. */
static void requester_of_a_stuck_poller_is_refused_until_it_is_well(void **state)
{
    (void)state;
    struct world world;
    struct stuck_device device = {false};
    world_create(&world, 1);
    struct vm *vm = world_vm(&world, "vm", 1);
    struct vm *other = world_vm(&world, "other", 1);
    vm_detach(other);
    stuck_client(vm, 0, &device);
    world_start(&world);
    wait_until_it_hangs(vm, &device);
    uint32_t before = descriptors_count(getpid());
    int descriptor = -1;
    for (int i = 0; i < 3; i++)
        assert_int_equal(vm_attach(other, WORLD_PID, &descriptor), -ETIMEDOUT);
    assert_false(other->is_attached);
    assert_int_equal(descriptors_count(getpid()), before);
    atomic_store(&device.is_over, true);
    int result = -ETIMEDOUT;
    while (result == -ETIMEDOUT) {
        sched_yield();
        result = vm_attach(other, WORLD_PID, &descriptor);
    }
    assert_int_equal(result, 0);
    assert_int_equal(world_await(&world, vm, 0), WORLD_ANSWER);
    assert_int_equal(world_do(&world, other, world_read(REQUEST_MMIO, WORLD_MMIO, 8)), UINT64_MAX);
    world_destroy(&world);
}

/* ---- devices that hear when their answer is out ------------------------------------------ */

static int hearing_handle(struct device *device, struct request *request)
{
    (void)device;
    (void)request;
    return 0;
}

static void hear(struct device *device, const struct request *request)
{
    (void)device;
    (void)request;
}

/* Nobody would tell it on another poller. */
static void device_that_hears_lives_where_its_vm_is_swept(void **state)
{
    (void)state;
    static const struct device_ops ops = {
        .name = "hears", .handle = hearing_handle, .completed = hear};
    struct device device = {.ops = &ops};
    struct world world;
    world_create(&world, 2);
    struct vm *vm = world_vm(&world, "vm", 1);
    struct vm_client *client = NULL;
    struct vm_client_options options = {.name = "ear", .poller_index = 1, .device = &device};
    assert_int_equal(vm_client_create(vm, &options, &client), -EINVAL);
    assert_null(client);
    world_destroy(&world);
}

/* ---- devices at power-on ----------------------------------------------------------------- */

struct reset_device {
    struct device device;
    uint32_t resets;
};

static void count_reset(struct device *device)
{
    ((struct reset_device *)device)->resets++;
}

static int answer_nothing(struct device *device, struct request *request)
{
    (void)device;
    (void)request;
    return 0;
}

static void keep(struct device *device)
{
    (void)device; /* the test's */
}

static void requester_finds_devices_at_power_on_wherever_they_live(void **state)
{
    (void)state;
    static const struct device_ops ops = {
        .name = "reset", .reset = count_reset, .handle = answer_nothing, .destroy = keep};
    struct reset_device devices[2] = {{.device.ops = &ops}, {.device.ops = &ops}};
    struct world world;
    world_create(&world, 2);
    struct vm *vm = world_vm(&world, "vm", 1);
    const char *const names[] = {"near", "far"};
    for (uint32_t i = 0; i < 2; i++) {
        struct vm_client *client = NULL;
        const struct vm_client_options options = {
            .name = names[i], .poller_index = i, .device = &devices[i].device};
        assert_int_equal(vm_client_create(vm, &options, &client), 0);
        assert_int_equal(devices[i].resets, 1);
    }
    world_start(&world);
    int descriptor;
    vm_detach(vm);
    assert_int_equal(vm_attach(vm, WORLD_PID, &descriptor), 0);
    assert_int_equal(vm_clear(vm), 0); /* requests only */
    for (int i = 0; i < 2; i++)
        assert_int_equal(devices[i].resets, 2);
    assert_int_equal(vm_reset(vm), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(devices[i].resets, 3);
    world_destroy(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vm_starts_once_and_pauses_and_resumes_in_turn),
        cmocka_unit_test(page_is_swept_while_its_vm_runs_and_only_then),
        cmocka_unit_test(state_may_change_while_nobody_is_attached),
        cmocka_unit_test(second_requester_is_refused_and_changes_nothing),
        cmocka_unit_test(hundred_requesters_leave_no_descriptor_behind),
        cmocka_unit_test(page_goes_while_a_device_of_another_poller_hangs),
        cmocka_unit_test(page_stays_while_its_own_poller_hangs),
        cmocka_unit_test(requester_of_a_stuck_poller_is_refused_until_it_is_well),
        cmocka_unit_test(device_that_hears_lives_where_its_vm_is_swept),
        cmocka_unit_test(requester_finds_devices_at_power_on_wherever_they_live),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
