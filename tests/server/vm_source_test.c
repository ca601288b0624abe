/* SPDX-License-Identifier: BSD-3-Clause */
/* VMs whose pages are in a device's memory: one that cannot be had, or goes, stops its VM and no
 * other. */
#include "tests/support/captured_stderr.h"
#include "tests/support/child.h"
#include "tests/support/skip.h"
#include "tests/support/tree.h"
#include "tests/support/world.h"

#include "server/sources/lost_page.h"
#include "server/threads/sandbox.h"
#include "server/vm_source.h"

#include <stdatomic.h>
#include <sys/wait.h>

static struct tree tree;
static struct captured_stderr said;
static const struct config_place place = {.device = TREE_BDF, .map = 2, .offset_bytes = 4096};

static int begin(void **state)
{
    (void)state;
    tree_create(&tree);
    tree_pci_device(&tree);
    return 0;
}

static int end(void **state)
{
    (void)state;
    tree_destroy(&tree);
    return 0;
}

/* Not started. */
static struct vm *device_vm_at(struct world *world, struct world_device *device,
                               const struct config_place *at)
{
    struct vm *vm = NULL;
    const struct vm_options options = {.name = "outside",
                                       .vcpus = 2,
                                       .source = &source_pci,
                                       .place = at,
                                       .source_root = tree.root};
    assert_int_equal(vm_create(&world->topology, &options, &vm), 0);
    struct vm_client *client = world_client(vm, "device", 0, device);
    world_range(client, REQUEST_MMIO, WORLD_MMIO, WORLD_MMIO + 0xfff);
    return vm;
}

static struct vm *device_vm(struct world *world, struct world_device *device)
{
    return device_vm_at(world, device, &place);
}

static struct vm *other_vm(struct world *world, struct world_device *device)
{
    struct vm *vm = world_vm(world, "other", 1);
    world_range(world_client(vm, "device", 0, device), REQUEST_MMIO, WORLD_MMIO,
                WORLD_MMIO + 0xfff);
    return vm;
}

/* On a busy machine a poller may not answer in time. */
static void start(struct vm *vm)
{
    int result;
    while ((result = vm_start(vm)) == -ETIMEDOUT)
        vm_detach_again(vm);
    assert_int_equal(result, 0);
}

static void a_page_that_is_not_there_stops_its_vm_alone(void **state)
{
    (void)state;
    struct world world;
    struct world_device device = {.answer = WORLD_ANSWER};
    world_create(&world, 1);
    struct vm *other = other_vm(&world, &device), *vm = device_vm(&world, &device);
    capture_begin(&said);
    assert_int_equal(vm_start(vm), -ENOENT);
    assert_non_null(strstr(capture_end(&said),
                           "vm outside: source pci: 0000:00:05.0 has no resource 2; expected the "
                           "number of a BAR with memory"));
    assert_non_null(strstr(said.text, "; the VM is stopped, then: ioreqctl start outside\n"));
    assert_int_equal(vm->state, VM_STOPPED);
    assert_false(vm->is_attached);
    assert_int_equal(world_do(&world, other, world_read(REQUEST_MMIO, WORLD_MMIO, 8)),
                     WORLD_ANSWER);
    struct acrn_io_request *slots = tree_page(&tree, TREE_PCI "/resource2", 8192, 4096);
    memset(slots, 0, PAGE_BYTES);
    assert_int_equal(vm_start(vm), -ENODATA);
    slots_free_all(slots);
    assert_int_equal(vm_start(vm), 0);
    assert_int_equal(vm_start(vm), -EINVAL);
    assert_int_equal(world_do(&world, vm, world_read(REQUEST_MMIO, WORLD_MMIO, 8)), WORLD_ANSWER);
    world_destroy(&world);
}

static void nobody_attaches_to_it(void **state)
{
    (void)state;
    struct world world;
    struct world_device device = {.answer = WORLD_ANSWER};
    world_create(&world, 1);
    struct vm *vm = device_vm(&world, &device);
    int descriptor = -1;
    assert_int_equal(vm_attach(vm, WORLD_PID, &descriptor), -EOPNOTSUPP);
    tree_page(&tree, TREE_PCI "/resource2", 8192, 4096);
    assert_int_equal(vm_start(vm), 0);
    assert_int_equal(vm_attach(vm, WORLD_PID, &descriptor), -EOPNOTSUPP);
    assert_int_equal(descriptor, -1);
    world_destroy(&world);
}

/* The page is the hypervisor's: what waits is served, what an earlier server took is answered, what is
 * FREE or COMPLETE is left alone, and so is all of it once we are gone. */
static void a_page_is_taken_as_it_is(void **state)
{
    (void)state;
    struct world world;
    struct world_device device = {.answer = WORLD_ANSWER};
    world_create(&world, 1);
    struct acrn_io_request *slots = tree_page(&tree, TREE_PCI "/resource2", 8192, 4096);
    struct vm *vm = device_vm(&world, &device);
    slots[0].processed = SLOT_PROCESSING;
    slots[1].processed = SLOT_COMPLETE;
    slots[5].processed = SLOT_PROCESSING; /* beyond its vCPUs: nobody's */
    capture_begin(&said);
    assert_int_equal(vm_start(vm), 0);
    assert_non_null(strstr(capture_end(&said),
                           "vm outside: 1 requests were left behind by an earlier "
                           "server; answered all-ones"));
    assert_int_equal(slots[0].processed, SLOT_COMPLETE);
    assert_int_equal(slots[0].reqs.mmio_request.value, UINT64_MAX);
    assert_int_equal(slots[1].processed, SLOT_COMPLETE);
    assert_int_equal(slots[1].reqs.mmio_request.value, 0);
    assert_int_equal(slots[5].processed, SLOT_PROCESSING);
    world_set_state(vm, 0, SLOT_FREE);
    assert_int_equal(world_do(&world, vm, world_read(REQUEST_MMIO, WORLD_MMIO, 4)),
                     (uint32_t)WORLD_ANSWER);
    uint8_t before[PAGE_BYTES];
    memcpy(before, slots, PAGE_BYTES);
    world_destroy(&world);
    assert_memory_equal(before, slots, PAGE_BYTES);
}

static void a_removed_device_stops_its_vm_alone(void **state)
{
    (void)state;
    struct world world;
    struct world_device device = {.answer = WORLD_ANSWER};
    world_create(&world, 1);
    struct vm *other = other_vm(&world, &device), *vm = device_vm(&world, &device);
    tree_page(&tree, TREE_PCI "/resource2", 8192, 4096);
    assert_int_equal(vm_start(vm), 0);
    topology_tick(&world.topology);
    assert_int_equal(vm->state, VM_RUNNING);
    tree_remove(&tree, TREE_PCI);
    capture_begin(&said);
    topology_tick(&world.topology);
    assert_non_null(
        strstr(capture_end(&said),
               "vm outside: source pci: the PCI device 0000:00:05.0 was removed; the VM is "
               "stopped, then: ioreqctl start outside\n"));
    assert_int_equal(vm->state, VM_STOPPED);
    assert_null(vm->source.slots);
    capture_begin(&said);
    topology_tick(&world.topology);
    assert_string_equal(capture_end(&said), ""); /* said once */
    assert_int_equal(world_do(&world, other, world_read(REQUEST_MMIO, WORLD_MMIO, 8)),
                     WORLD_ANSWER);
    world_destroy(&world);
}

/* A requester that does not poll is told by a store to the device's register, with its vCPU's value. */
static void a_doorbell_is_rung_for_each_answer(void **state)
{
    (void)state;
    struct world world;
    struct world_device device = {.answer = WORLD_ANSWER};
    struct config_place with_doorbell = place;
    with_doorbell.notify_by = CONFIG_NOTIFY_BY_DOORBELL;
    with_doorbell.notify_offset_bytes = 12;
    with_doorbell.notify_value = 0x10000;
    with_doorbell.notify_step = 1;
    world_create(&world, 1);
    tree_page(&tree, TREE_PCI "/resource2", 8192, 4096);
    volatile uint32_t *registers =
        (volatile uint32_t *)(void *)tree_page(&tree, TREE_PCI "/resource0", 4096, 0);
    struct vm *vm = device_vm_at(&world, &device, &with_doorbell);
    start(vm);
    world_fill(vm, 1, world_read(REQUEST_MMIO, WORLD_MMIO, 8));
    vm->source.slots[1].completion_polling = 0;
    world_set_state(vm, 1, SLOT_PENDING);
    assert_int_equal(world_await(&world, vm, 1), WORLD_ANSWER);
    assert_int_equal(registers[3], 0x10001);
    registers[3] = 0;
    vm->source.slots[1].completion_polling = 1;
    assert_int_equal(world_do(&world, vm, world_read(REQUEST_MMIO, WORLD_MMIO, 8)), WORLD_ANSWER);
    assert_int_equal(registers[3], 0);
    assert_int_equal(world_settled(vm, PAGE_UNNOTIFIED), 0);
    world_destroy(&world);
}

/* SIGBUS, while pollers sweep it and another VM beside it is busy. */
static void a_page_whose_memory_goes_stops_its_vm_alone(void **state)
{
    (void)state;
    struct world world;
    struct world_device device = {.answer = WORLD_ANSWER};
    world_create(&world, 1);
    world_start(&world);
    struct vm *other = other_vm(&world, &device), *vm = device_vm(&world, &device);
    for (uint32_t turn = 0; turn < 3; turn++) {
        tree_page(&tree, TREE_PCI "/resource2", 8192, 4096);
        start(vm);
        assert_int_equal(world_do(&world, vm, world_read(REQUEST_MMIO, WORLD_MMIO, 8)),
                         WORLD_ANSWER);
        assert_int_equal(truncate(tree_path(&tree, TREE_PCI "/resource2"), 0), 0);
        capture_begin(&said);
        while (vm->state != VM_STOPPED) {
            assert_int_equal(world_do(&world, other, world_read(REQUEST_MMIO, WORLD_MMIO, 8)),
                             WORLD_ANSWER);
            topology_poll(&world.topology);
        }
        assert_non_null(strstr(capture_end(&said),
                               "vm outside: source pci: the memory of its page is gone (SIGBUS): "
                               "0000:00:05.0 was removed or cut off; the VM is stopped"));
        while (vm->is_detaching)
            vm_detach_again(vm);
        assert_int_equal(world_do(&world, other, world_read(REQUEST_MMIO, WORLD_MMIO, 8)),
                         WORLD_ANSWER);
    }
    world_destroy(&world);
}

/* The same under a filter that ends the process on any other system call; in a child, for such a poller
 * cannot end. */
static void lose_a_page_in_the_sandbox(void)
{
    struct world world;
    struct world_device device = {.answer = WORLD_ANSWER};
    struct sandbox *sandbox;
    world_create(&world, 1);
    if (lost_pages_start() < 0 || sandbox_create(POLLER_IDLE_YIELD, SANDBOX_NO_CALLS, &sandbox) < 0)
        _exit(10);
    world.pollers[0].poller->options.arm = sandbox_arm;
    world.pollers[0].poller->options.arm_context = sandbox;
    world_start(&world);
    struct vm *other = other_vm(&world, &device), *vm = device_vm(&world, &device);
    tree_page(&tree, TREE_PCI "/resource2", 8192, 4096);
    start(vm);
    if (world_do(&world, vm, world_read(REQUEST_MMIO, WORLD_MMIO, 8)) != WORLD_ANSWER ||
        truncate(tree_path(&tree, TREE_PCI "/resource2"), 0) < 0)
        _exit(11);
    while (vm->state != VM_STOPPED) {
        if (world_do(&world, other, world_read(REQUEST_MMIO, WORLD_MMIO, 8)) != WORLD_ANSWER)
            _exit(12);
        topology_poll(&world.topology);
    }
    _exit(world_do(&world, other, world_read(REQUEST_MMIO, WORLD_MMIO, 8)) == WORLD_ANSWER ? 0
                                                                                           : 13);
}

static void a_sandboxed_poller_survives_it(void **state)
{
    (void)state;
    skip_if(IOREQD_SANITIZE[0], SKIP_SANITIZERS_CALL);
    pid_t child = child_fork();
    if (child == 0)
        lose_a_page_in_the_sandbox();
    assert_int_equal(child_wait(child), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_page_that_is_not_there_stops_its_vm_alone, begin, end),
        cmocka_unit_test_setup_teardown(nobody_attaches_to_it, begin, end),
        cmocka_unit_test_setup_teardown(a_page_is_taken_as_it_is, begin, end),
        cmocka_unit_test_setup_teardown(a_removed_device_stops_its_vm_alone, begin, end),
        cmocka_unit_test_setup_teardown(a_doorbell_is_rung_for_each_answer, begin, end),
        cmocka_unit_test_setup_teardown(a_page_whose_memory_goes_stops_its_vm_alone, begin, end),
        cmocka_unit_test_setup_teardown(a_sandboxed_poller_survives_it, begin, end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
