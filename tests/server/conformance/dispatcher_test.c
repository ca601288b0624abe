/* SPDX-License-Identifier: BSD-3-Clause */
/* "Seen when the driver's own dispatcher was run on random operations". What concerns the PCI ports
 * and the destruction of the default client stands with those. */
#include "tests/server/conformance/table.h"

#include <pthread.h>

static void finish_of_a_free_slot(struct world *world)
{
    struct vm *vm = world_vm(world, "vm", 1);
    struct vm_client *client = world_external(vm, "outside");
    assert_int_equal(vm_client_finish(client, 0, 1), -ENOENT);
    assert_int_equal(vm_client_finish(client, 65536, 1), -EINVAL);
    assert_int_equal(world_state(vm, 0), SLOT_FREE);
    assert_int_equal(world_settled(vm, PAGE_REFUSED), 1);
    /* Twice is once too often. */
    world_ask(vm, 0, world_read(REQUEST_MMIO, WORLD_MMIO, 4));
    poller_round(world->pollers[0].poller);
    assert_int_equal(vm_client_finish(client, 0, 1), 0);
    assert_int_equal(vm_client_finish(client, 0, 2), -ENOENT);
    assert_int_equal(world_await(world, vm, 0), 1);
}

static void finish_of_another_clients_slot(struct world *world)
{
    struct vm *vm = world_vm(world, "vm", 1);
    struct world_device device;
    world_range(world_client(vm, "far", 1, &device), REQUEST_MMIO, WORLD_MMIO, WORLD_MMIO + 7);
    struct vm_client *outside = world_external(vm, "outside");
    world_ask(vm, 0, world_read(REQUEST_MMIO, WORLD_MMIO, 8));
    poller_round(world->pollers[0].poller);
    assert_int_equal(vm_client_finish(outside, 0, 1), -ENOENT);
    assert_int_equal(world_await(world, vm, 0), WORLD_ANSWER);
    /* The device is not asked for what it never registered. */
    world_ask(vm, 0, world_read(REQUEST_MMIO, 0, 8));
    world_round(world);
    world_round(world);
    assert_int_equal(device.calls, 1);
    assert_int_equal(vm_client_finish(outside, 0, 2), 0);
    assert_int_equal(world_await(world, vm, 0), 2);
}

static void what_waited_for_a_default_client(struct world *world)
{
    struct vm *vm = world_vm(world, "vm", 2);
    struct world_device device;
    world_ask(vm, 0, world_read(REQUEST_MMIO, 0, 4));
    world_round(world);
    assert_int_equal(world_await(world, vm, 0), 0xffffffff); /* nothing waits for a client */
    assert_int_equal(vm_pause(vm), 0);
    world_ask(vm, 1, world_read(REQUEST_MMIO, 0, 4));
    world_round(world);
    world_default(vm, "default", &device);
    assert_int_equal(vm_resume(vm), 0);
    assert_int_equal(world_await(world, vm, 1), WORLD_ANSWER & 0xffffffff);
}

/* A device that keeps its poller busy until it is let go. */
static _Atomic bool is_entered, is_let_go;

static int handle_slowly(void *context, struct request *request)
{
    (void)context;
    atomic_store(&is_entered, true);
    while (!atomic_load(&is_let_go))
        sched_yield();
    request->value = 1;
    return 0;
}

static void *clear_vm(void *vm)
{
    assert_int_equal(vm_clear(vm), 0);
    return NULL;
}

static void clear_of_what_was_not_dispatched(struct world *world)
{
    world_start(world);
    struct vm *vm = world_vm(world, "vm", 2);
    struct vm_client *client = NULL;
    const struct vm_client_options slow = {
        .name = "slow", .handle = handle_slowly, .is_default = true};
    assert_int_equal(vm_client_create(vm, &slow, &client), 0);
    is_entered = is_let_go = false;
    world_ask(vm, 1, world_read(REQUEST_MMIO, 0, 4));
    while (!atomic_load(&is_entered))
        sched_yield();
    world_ask(vm, 0, world_read(REQUEST_MMIO, 0, 4)); /* this sweep has passed it already */
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, clear_vm, vm), 0);
    while (!atomic_load(&world->pollers[0].poller->command))
        sched_yield();
    atomic_store(&is_let_go, true);
    assert_int_equal(world_await(world, vm, 1), 1);
    assert_int_equal(world_await(world, vm, 0), 0xffffffff);
    pthread_join(thread, NULL);
    assert_int_equal(world_counter(vm, PAGE_CLEARED), 1);
}

static void destroyed_client_gets_no_more(struct world *world)
{
    struct vm *vm = world_vm(world, "vm", 2);
    struct world_device device, rest;
    struct vm_client *client = world_client(vm, "client", 0, &device);
    world_range(client, REQUEST_MMIO, WORLD_MMIO, WORLD_MMIO + 7);
    world_default(vm, "rest", &rest);
    world_ask(vm, 0, world_read(REQUEST_MMIO, WORLD_MMIO, 4));
    assert_int_equal(vm_client_destroy(client), 0);
    assert_int_equal(device.calls, 0);
    world_await(world, vm, 0);
    assert_int_equal(rest.calls, 1);
}

static const struct row rows[] = {
    {"finish_of_a_free_slot_is_refused",
     "Finish turns even a FREE slot into COMPLETE and takes vCPU 65536 for 0.", "COMPLETE",
     "ENOENT, counted; EINVAL for 65536", "the slot is the hypervisor's", finish_of_a_free_slot},
    {"finish_of_another_clients_slot_is_refused",
     "Finishing another client's slot leaves that client's bit set, and it later answers an "
     "address "
     "it never registered.",
     "misrouted", "ENOENT, counted; the owner answers",
     "one private record a slot, no second set of bits", finish_of_another_clients_slot},
    {"new_default_client_gets_what_waits",
     "Creating a default client does not re-dispatch what waited for one.", "waits on",
     "nothing waits for a client; what a pause held up goes to the new one",
     "every sweep looks at every slot", what_waited_for_a_default_client},
    {"clear_answers_what_was_not_yet_dispatched",
     "Clear leaves requests alone that were not yet dispatched, then serves them afterwards.",
     "serves them after the reset", "at least one whole sweep answers all-ones while clearing",
     "they are from before the reset", clear_of_what_was_not_dispatched},
    {"client_being_destroyed_gets_no_more", "Destroying a client may first hand it more requests.",
     "hands it more", "its ranges go first", "it is about to go", destroyed_client_gets_no_more},
};

int main(int argc, char **argv)
{
    return table_run(argc, argv, "Seen when the driver's dispatcher was run on random operations",
                     rows, sizeof(rows) / sizeof(rows[0]));
}
