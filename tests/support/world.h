/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * world.h - a topology of one or two pollers without a configuration, in which a test plays the
 * hypervisor and, unless it starts them, the pollers too.
 *
 * Flow:    world_create -> [world_start] -> world_vm, world_client... -> world_ask, world_round ->
 *          world_destroy.
 *
 *          Without world_start no poller has a thread: what control asks of one is done at once in
 *          the caller, and nothing moves but in poller_round; nor has the notifier, and eventfds are
 *          written in notifier_round. With it all run, yielding.
 *
 * Threads: the test's one, and after world_start one for each poller.
 * Memory:  the world is the caller's; VMs and clients are the topology's.
 */
#ifndef TESTS_SUPPORT_WORLD_H
#define TESTS_SUPPORT_WORLD_H

#include "pollers/memory.h"
#include "pollers/notifier.h"
#include "pollers/placement.h"
#include "pollers/poller_internal.h"
#include "pollers/ticks.h"
#include "server/topology.h"
#include "server/vm_client.h"
#include "tests/support/chosen_cpu.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* after the four above, as it asks */
#include <cmocka.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define WORLD_POLLERS 2u
#define WORLD_PID     4711 /* of a requester that is the test itself */
#define WORLD_ANSWER  0x1122334455667788ull
#define WORLD_MMIO    0xfe000000ull
#define WORLD_PORT    0x400ull

struct world {
    struct topology topology;
    struct topology_poller pollers[WORLD_POLLERS];
    bool is_started;
};

/* What a client answers with, and what it saw. */
struct world_device {
    uint64_t answer;
    int result; /* what handle returns */
    uint64_t calls;
    struct request last;
};

/* What a hypervisor puts into a slot before PENDING. */
struct world_access {
    uint32_t type, direction;
    uint64_t address, size, value;
};

static inline void world_create(struct world *world, uint32_t poller_count)
{
    *world = (struct world){0};
    struct topology *topology = &world->topology;
    assert_int_equal(placement_open(&topology->placement), 0);
    topology->pollers = world->pollers;
    topology->poller_count = poller_count;
    assert_int_equal(notifier_create(&topology->notifier), 0);
    for (uint32_t i = 0; i < poller_count; i++) {
        struct topology_poller *poller = &world->pollers[i];
        poller->name[0] = (char)('a' + i);
        poller->cpu = chosen_cpu(topology->placement, i, poller_count);
        poller->idle = POLLER_IDLE_YIELD;
        const struct poller_options options = {.name = poller->name,
                                               .placement = topology->placement,
                                               .cpu = poller->cpu,
                                               .idle = poller->idle};
        assert_int_equal(poller_create(&options, &poller->poller), 0);
        assert_int_equal(
            notifier_add_port(topology->notifier, MEMORY_ANY_NODE, &poller->notifier_port), 0);
    }
}

static inline void world_start(struct world *world)
{
    assert_int_equal(notifier_start(world->topology.notifier), 0);
    for (size_t i = 0; i < world->topology.poller_count; i++)
        assert_int_equal(poller_start(world->pollers[i].poller), 0);
    world->is_started = true;
}

/* On a busy machine a poller may not answer in time: then again. */
static inline void world_destroy_vm(struct vm *vm)
{
    int result;
    while ((result = vm_destroy(vm)) == -ETIMEDOUT)
        vm_detach_again(vm);
    assert_int_equal(result, 0);
}

static inline void world_destroy(struct world *world)
{
    while (world->topology.vm_count > 0)
        world_destroy_vm(world->topology.vms[0]);
    for (size_t i = 0; i < world->topology.poller_count; i++) {
        assert_int_equal(poller_stop(world->pollers[i].poller, VM_CALL_TIMEOUT_NS), 0);
        poller_destroy(world->pollers[i].poller);
    }
    notifier_destroy(world->topology.notifier);
    placement_close(world->topology.placement);
}

/* One round of every poller; only without threads. Returns how much work they found. */
static inline uint32_t world_round(struct world *world)
{
    uint32_t work = 0;
    for (size_t i = 0; i < world->topology.poller_count; i++)
        work += poller_round(world->pollers[i].poller);
    return work;
}

/* ---- VMs and clients --------------------------------------------------------------------- */

/* A VM with a page, running, swept by poller 0. */
static inline struct vm *world_vm_with(struct world *world, struct vm_options options)
{
    struct vm *vm = NULL;
    int descriptor = -1;
    assert_int_equal(vm_create(&world->topology, &options, &vm), 0);
    assert_int_equal(vm_attach(vm, WORLD_PID, &descriptor), 0);
    assert_int_equal(vm_start(vm), 0);
    return vm;
}

static inline struct vm *world_vm(struct world *world, const char *name, uint32_t vcpus)
{
    return world_vm_with(world, (struct vm_options){.name = name, .vcpus = vcpus});
}

static inline int world_handle(void *context, struct request *request)
{
    struct world_device *device = context;
    device->calls++;
    device->last = *request;
    request->value = device->answer;
    return device->result;
}

static inline struct vm_client_options world_client_options(const char *name,
                                                            struct world_device *device)
{
    return (struct vm_client_options){.name = name, .handle = world_handle, .context = device};
}

/* A client on poller_index that answers WORLD_ANSWER, unless *device is told otherwise after. */
static inline struct vm_client *world_client(struct vm *vm, const char *name, uint32_t poller_index,
                                             struct world_device *device)
{
    struct vm_client *client = NULL;
    struct vm_client_options options = world_client_options(name, device);
    options.poller_index = poller_index;
    *device = (struct world_device){.answer = WORLD_ANSWER};
    assert_int_equal(vm_client_create(vm, &options, &client), 0);
    return client;
}

static inline struct vm_client *world_default(struct vm *vm, const char *name,
                                              struct world_device *device)
{
    struct vm_client *client = NULL;
    struct vm_client_options options = world_client_options(name, device);
    options.is_default = true;
    *device = (struct world_device){.answer = WORLD_ANSWER};
    assert_int_equal(vm_client_create(vm, &options, &client), 0);
    return client;
}

static inline struct vm_client *world_external(struct vm *vm, const char *name)
{
    struct vm_client *client = NULL;
    const struct vm_client_options options = {
        .name = name, .is_external = true, .is_default = true};
    assert_int_equal(vm_client_create(vm, &options, &client), 0);
    return client;
}

static inline void world_range(struct vm_client *client, uint32_t type, uint64_t first,
                               uint64_t last)
{
    assert_int_equal(vm_client_add_range(client, type, first, last, 0), 0);
}

/* ---- the hypervisor's side --------------------------------------------------------------- */

static inline uint32_t world_state(const struct vm *vm, uint32_t vcpu)
{
    return __atomic_load_n(&vm->source.slots[vcpu].processed, __ATOMIC_ACQUIRE);
}

static inline void world_set_state(const struct vm *vm, uint32_t vcpu, uint32_t state)
{
    __atomic_store_n(&vm->source.slots[vcpu].processed, state, __ATOMIC_RELEASE);
}

static inline uint64_t world_value(const struct vm *vm, uint32_t vcpu)
{
    return __atomic_load_n(&vm->source.slots[vcpu].reqs.mmio_request.value, __ATOMIC_RELAXED);
}

/* Everything but the state. */
static inline void world_fill(const struct vm *vm, uint32_t vcpu, struct world_access access)
{
    struct acrn_io_request *slot = &vm->source.slots[vcpu];
    slot->type = access.type;
    slot->completion_polling = 1;
    slot->reqs.mmio_request.direction = access.direction;
    slot->reqs.mmio_request.address = access.address;
    slot->reqs.mmio_request.size = access.size;
    slot->reqs.mmio_request.value = access.value;
}

static inline void world_ask(const struct vm *vm, uint32_t vcpu, struct world_access access)
{
    world_fill(vm, vcpu, access);
    world_set_state(vm, vcpu, SLOT_PENDING);
}

/* Until COMPLETE; then the slot is FREE again. At most `rounds` rounds without threads. */
static inline uint64_t world_await(struct world *world, const struct vm *vm, uint32_t vcpu)
{
    for (uint32_t round = 0; world_state(vm, vcpu) != SLOT_COMPLETE; round++) {
        if (world->is_started)
            sched_yield();
        else if (round < 4)
            world_round(world);
        else
            fail_msg("vCPU %u is not answered", vcpu);
    }
    uint64_t value = world_value(vm, vcpu);
    world_set_state(vm, vcpu, SLOT_FREE);
    return value;
}

static inline uint64_t world_do(struct world *world, const struct vm *vm,
                                struct world_access access)
{
    world_ask(vm, 0, access);
    return world_await(world, vm, 0);
}

static inline struct world_access world_read(uint32_t type, uint64_t address, uint64_t size)
{
    return (struct world_access){type, REQUEST_READ, address, size, 0xababababababababull};
}

static inline struct world_access world_write(uint32_t type, uint64_t address, uint64_t size,
                                              uint64_t value)
{
    return (struct world_access){type, REQUEST_WRITE, address, size, value};
}

/* PCICFG: bus lies in the value's upper half; dev, func and reg are filled in by hand. */
static inline void world_ask_pcicfg(const struct vm *vm, uint32_t vcpu, uint32_t direction,
                                    uint32_t bus_dev_func, uint32_t reg, uint64_t size)
{
    world_fill(vm, vcpu, (struct world_access){REQUEST_PCICFG, direction, 0, size, 0});
    struct acrn_pci_request *pci = &vm->source.slots[vcpu].reqs.pci_request;
    pci->bus = bus_dev_func >> 8;
    pci->dev = bus_dev_func >> 3 & 31;
    pci->func = bus_dev_func & 7;
    pci->reg = reg;
    world_set_state(vm, vcpu, SLOT_PENDING);
}

static inline uint64_t world_counter(const struct vm *vm, uint32_t counter)
{
    return counter_read(&vm->page->counters[counter]);
}

static inline uint64_t world_settled(const struct vm *vm, enum page_settled counter)
{
    return counter_read(&vm->page->settled[counter]);
}

#endif
