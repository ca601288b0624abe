/* SPDX-License-Identifier: BSD-3-Clause */
/* "What the Linux driver does": the default client that waits outside, and clearing. */
#include "tests/server/conformance/table.h"

#include <linux/acrn.h>
#include <pthread.h>
#include <sys/ioctl.h>

/* A thread outside that waits once. */
struct waiter {
    struct vm_client *client;
    pthread_t thread;
    uint32_t vcpus;
    int result;
};

static void *wait_outside(void *argument)
{
    struct waiter *waiter = argument;
    waiter->result = vm_client_wait(waiter->client, 60000000000ull, &waiter->vcpus);
    return NULL;
}

static void waiter_start(struct waiter *waiter)
{
    assert_int_equal(pthread_create(&waiter->thread, NULL, wait_outside, waiter), 0);
    while (atomic_load(&waiter->client->waiters) == 0)
        sched_yield();
}

static void attach_blocks(struct world *world)
{
    struct vm *vm = world_vm(world, "vm", 4);
    struct waiter waiter = {.client = world_external(vm, "outside")};
    uint32_t vcpus;
    assert_int_equal(vm_client_wait(waiter.client, 0, &vcpus), -ETIMEDOUT);
    waiter_start(&waiter);
    world_ask(vm, 2, world_read(REQUEST_MMIO, WORLD_MMIO, 4));
    poller_round(world->pollers[0].poller);
    pthread_join(waiter.thread, NULL);
    assert_int_equal(waiter.result, 0);
    assert_int_equal(waiter.vcpus, 1 << 2);
    struct world_device device;
    assert_int_equal(vm_client_wait(world_client(vm, "device", 0, &device), 0, &vcpus), -EINVAL);
}

static void finish_completes(struct world *world)
{
    struct vm *vm = world_vm(world, "vm", 2);
    struct vm_client *client = world_external(vm, "outside");
    struct request request;
    world_ask(vm, 1, world_read(REQUEST_PORTIO, WORLD_PORT, 2));
    poller_round(world->pollers[0].poller);
    assert_int_equal(vm_client_look(client, 0, &request), -ENOENT);
    assert_int_equal(vm_client_look(client, 1, &request), 0);
    assert_int_equal(request.address, WORLD_PORT);
    assert_int_equal(vm_client_look(client, 1, &request), 0); /* it stays */
    assert_int_equal(vm_client_finish(client, 1, 0xfffff1234), 0);
    assert_int_equal(world_await(world, vm, 1) & 0xffffffff, 0x1234);
    assert_int_equal(vm_client_look(client, 1, &request), -ENOENT);
}

static void vcpu_beyond(struct world *world)
{
    struct vm *vm = world_vm(world, "vm", 2);
    struct vm_client *client = world_external(vm, "outside");
    struct request request;
    const uint32_t vcpus[] = {2, 16, 65536, UINT32_MAX};
    world_ask(vm, 0, world_read(REQUEST_MMIO, WORLD_MMIO, 4));
    poller_round(world->pollers[0].poller);
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(vm_client_finish(client, vcpus[i], 0), -EINVAL);
        assert_int_equal(vm_client_look(client, vcpus[i], &request), -EINVAL);
    }
    assert_int_equal(world_state(vm, 0), SLOT_PROCESSING);
}

static void destroy_wakes(struct world *world)
{
    struct vm *vm = world_vm(world, "vm", 1);
    struct waiter waiter = {.client = world_external(vm, "outside")};
    waiter_start(&waiter);
    assert_int_equal(vm_client_destroy(waiter.client), 0);
    pthread_join(waiter.thread, NULL);
    assert_int_equal(waiter.result, -ENODEV);
}

static void destroyed_default_leaves_none(struct world *world)
{
    struct vm *vm = world_vm(world, "vm", 2);
    struct vm_client *client = world_external(vm, "outside");
    world_ask(vm, 0, world_read(REQUEST_MMIO, WORLD_MMIO, 4));
    poller_round(world->pollers[0].poller);
    world_ask(vm, 1, world_read(REQUEST_MMIO, WORLD_MMIO, 4));
    assert_int_equal(vm_client_destroy(client), 0);
    assert_int_equal(world_await(world, vm, 0), 0xffffffff);
    assert_int_equal(world_await(world, vm, 1), 0xffffffff); /* which it never saw */
    assert_int_equal(world_counter(vm, PAGE_UNROUTED), 1);
}

/* ---- clearing ---------------------------------------------------------------------------- */

struct clearer {
    struct vm *vm;
    pthread_t thread;
    int result;
};

static void *clear(void *argument)
{
    struct clearer *clearer = argument;
    clearer->result = vm_clear(clearer->vm);
    return NULL;
}

/* A VM that is being cleared and waits for its external client, which holds vCPU 0's request. */
static struct vm_client *begin_clearing(struct world *world, struct clearer *clearer)
{
    world_start(world);
    clearer->vm = world_vm_with(
        world, (struct vm_options){.name = "vm", .vcpus = 2, .clear_timeout_ns = 60000000000ull});
    struct vm_client *client = world_external(clearer->vm, "outside");
    uint32_t vcpus;
    world_ask(clearer->vm, 0, world_read(REQUEST_MMIO, WORLD_MMIO, 4));
    assert_int_equal(vm_client_wait(client, 60000000000ull, &vcpus), 0);
    assert_int_equal(pthread_create(&clearer->thread, NULL, clear, clearer), 0);
    /* Until the clearing has begun, a request would be handed to the client like any other. */
    while (world_counter(clearer->vm, PAGE_CLEARED) == 0) {
        struct request request;
        world_ask(clearer->vm, 1, world_read(REQUEST_MMIO, WORLD_MMIO, 4));
        while (world_state(clearer->vm, 1) != SLOT_COMPLETE) {
            sched_yield();
            if (vm_client_look(client, 1, &request) == 0)
                vm_client_finish(client, 1, 1);
        }
    }
    return client;
}

static void new_requests_while_clearing(struct world *world)
{
    struct clearer clearer;
    struct vm_client *client = begin_clearing(world, &clearer);
    for (int i = 0; i < 100; i++) {
        world_ask(clearer.vm, 1, world_read(REQUEST_MMIO, WORLD_MMIO, 2));
        assert_int_equal(world_await(world, clearer.vm, 1), 0xffff);
    }
    assert_int_equal(world_counter(clearer.vm, PAGE_CLEARED), 101);
    assert_int_equal(world_state(clearer.vm, 0), SLOT_PROCESSING);
    assert_int_equal(vm_client_finish(client, 0, 0), 0);
    pthread_join(clearer.thread, NULL);
    /* Then normal service. */
    world_ask(clearer.vm, 1, world_read(REQUEST_MMIO, WORLD_MMIO, 2));
    uint32_t vcpus;
    assert_int_equal(vm_client_wait(client, 60000000000ull, &vcpus), 0);
    assert_int_equal(vm_client_finish(client, 1, 7), 0);
    assert_int_equal(world_await(world, clearer.vm, 1), 7);
}

static void time_to_finish(struct world *world)
{
    struct clearer clearer;
    struct vm_client *client = begin_clearing(world, &clearer);
    assert_int_equal(vm_client_finish(client, 0, 0xcafe), 0);
    pthread_join(clearer.thread, NULL);
    assert_int_equal(clearer.result, 0); /* nothing was left to complete for anybody */
    assert_int_equal(world_await(world, clearer.vm, 0), 0xcafe);
}

static void rest_is_completed(struct world *world)
{
    struct vm *vm =
        world_vm_with(world, (struct vm_options){.name = "vm", .vcpus = 3, .clear_timeout_ns = 1});
    struct world_device device;
    world_range(world_client(vm, "far", 1, &device), REQUEST_MMIO, WORLD_MMIO, WORLD_MMIO + 7);
    struct vm_client *outside = world_external(vm, "outside");
    world_ask(vm, 0, world_read(REQUEST_MMIO, WORLD_MMIO, 4)); /* of a device that is slow */
    world_ask(vm, 1, world_read(REQUEST_MMIO, 0, 2));          /* of a client that is slow */
    world_ask(vm, 2, world_write(REQUEST_MMIO, 0, 2, 0x1234));
    poller_round(world->pollers[0].poller);
    assert_int_equal(vm_clear(vm), 3);
    assert_int_equal(world_await(world, vm, 0), 0xffffffff);
    assert_int_equal(world_await(world, vm, 1), 0xffff);
    assert_int_equal(world_await(world, vm, 2), 0x1234);
    /* Late answers, while vCPU 1 has a new request with the same client. */
    world_ask(vm, 1, world_read(REQUEST_MMIO, WORLD_MMIO, 4));
    poller_round(world->pollers[0].poller);
    assert_int_equal(vm_client_finish(outside, 1, 5), -ENOENT);
    assert_int_equal(world_settled(vm, PAGE_REFUSED), 1);
    assert_int_equal(world_state(vm, 1), SLOT_PROCESSING);
    poller_round(world->pollers[1].poller);
    assert_int_equal(device.calls, 1); /* vCPU 1's; vCPU 0's was settled before it was looked at */
    assert_int_equal(world_await(world, vm, 1), WORLD_ANSWER & 0xffffffff);
    assert_int_equal(world_state(vm, 0), SLOT_FREE);
}

static void numbers(struct world *world)
{
    (void)world;
    assert_int_equal(_IOC_TYPE(ACRN_IOCTL_NOTIFY_REQUEST_FINISH), 0xa2);
    assert_int_equal(_IOC_NR(ACRN_IOCTL_NOTIFY_REQUEST_FINISH), 0x31);
    assert_int_equal(_IOC_NR(ACRN_IOCTL_CREATE_IOREQ_CLIENT), 0x32);
    assert_int_equal(_IOC_NR(ACRN_IOCTL_ATTACH_IOREQ_CLIENT), 0x33);
    assert_int_equal(_IOC_NR(ACRN_IOCTL_DESTROY_IOREQ_CLIENT), 0x34);
    assert_int_equal(_IOC_NR(ACRN_IOCTL_CLEAR_VM_IOREQ), 0x35);
}

static const struct row rows[] = {
    {"attach_blocks_until_a_request_is_there",
     "Default client: attach blocks until a request is there.", "the same",
     "vm_client_wait: the same, tells which vCPUs, and can time out",
     "a waiter can also be given up on", attach_blocks},
    {"notify_finish_completes_one_vcpu", "notify-finish(vcpu) completes it.",
     "the answer lies in the page", "vm_client_look shows a copy, vm_client_finish takes the value",
     "nobody but the server touches the page", finish_completes},
    {"finish_beyond_the_vcpus_is_refused", "vCPU >= vcpu_num: EINVAL.", "EINVAL", NULL, NULL,
     vcpu_beyond},
    {"destroy_wakes_the_waiter",
     "destroy wakes the waiter (first version: returns 1; since: ENODEV).", "ENODEV", NULL, NULL,
     destroy_wakes},
    {"destroyed_default_client_leaves_no_request_behind",
     "Destroying the default client leaves its slots PROCESSING without an owner.",
     "PROCESSING for ever", "completed with all-ones; what comes later is unrouted", "a vCPU hangs",
     destroyed_default_leaves_none},
    {"new_requests_are_answered_at_once_while_clearing",
     "While clearing, newly PENDING requests are completed at once.",
     "completed, a read without a value", "all-ones written, counted; then normal service",
     "a stale value is nobody's answer", new_requests_while_clearing},
    {"clients_get_time_to_finish_at_a_clear", "Non-default clients get up to 10 x 10 ms to finish.",
     "10 x 10 ms, the default client none",
     "clear_timeout_ns (100 ms) for all; less when all are done", "an answer on its way is kept",
     time_to_finish},
    {"rest_is_completed_and_late_answers_refused",
     "Then all requests of the default client are completed; ownership of late answers is ignored.",
     "completes whatever slot is named", "all-ones written for every client; late answers refused",
     "a late answer would complete the vCPU's next request", rest_is_completed},
    {"numbers_are_those_of_the_abi",
     "ioctl type 0xA2; 0x31 finish, 0x32 create, 0x33 attach, 0x34 "
     "destroy, 0x35 clear.",
     "linux/acrn.h", NULL, NULL, numbers},
};

int main(int argc, char **argv)
{
    return table_run(argc, argv, "What the Linux driver does: default client and clear", rows,
                     sizeof(rows) / sizeof(rows[0]));
}
