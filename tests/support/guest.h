/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guest.h - a VM for tests of the hot path: a page, a device that remembers what it saw, and a
 * poller that runs round by round in the test's own thread.
 *
 * The device answers a read with `answer` (GUEST_ANSWER unless changed) and owns the MMIO range
 * GUEST_MMIO..+0xfff and the ports GUEST_PORT..+0xf.
 */
#ifndef TESTS_SUPPORT_GUEST_H
#define TESTS_SUPPORT_GUEST_H

#include "clients/inbox.h"
#include "pollers/histogram.h"
#include "pollers/memory.h"
#include "pollers/poller_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* after the four above, as it asks */
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define GUEST_MMIO   0xfe000000ull
#define GUEST_PORT   0x400ull
#define GUEST_ANSWER 0x1122334455667788ull

struct guest_device {
    struct device device;
    uint64_t answer;
    int result; /* what handle returns */
    uint64_t calls;
    struct request last;
};

struct guest {
    struct acrn_io_request *slots; /* as the hypervisor sees the page */
    struct page *page;
    struct router *router;
    struct poller *poller;
    struct guest_device device;
    struct client client;
    struct client default_client;
    struct guest_device default_device;
    struct histogram *latency;
    void *inbox_memory;
    int descriptor;
};

static inline int guest_device_handle(struct device *device, struct request *request)
{
    struct guest_device *guest_device = (struct guest_device *)device;
    guest_device->calls++;
    guest_device->last = *request;
    request->value = guest_device->answer;
    return guest_device->result;
}

static inline const struct device_ops *guest_device_ops(void)
{
    static const struct device_ops ops = {.name = "guest", .handle = guest_device_handle};
    return &ops;
}

/* Its requests are answered without a claim. */
static inline const struct device_ops *guest_prompt_ops(void)
{
    static const struct device_ops ops = {
        .name = "prompt", .handle = guest_device_handle, .is_prompt = true};
    return &ops;
}

static inline void guest_client_init(struct client *client, struct guest_device *device,
                                     struct histogram *latency)
{
    device->device.ops = guest_device_ops();
    device->answer = GUEST_ANSWER;
    client->device = &device->device;
    client->latency = latency;
}

/* with_inbox: the client lives elsewhere, and nobody drains its inbox until the test does. */
struct guest_options {
    uint32_t vcpus;
    bool has_default_client;
    bool with_inbox;
    bool is_prompt;
};

static inline struct guest *guest_create(struct guest_options options)
{
    struct guest *guest = calloc(1, sizeof(*guest));
    assert_non_null(guest);
    guest->descriptor = memfd_create("guest", MFD_CLOEXEC);
    assert_true(guest->descriptor >= 0);
    assert_int_equal(ftruncate(guest->descriptor, PAGE_BYTES), 0);
    guest->slots = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, guest->descriptor, 0);
    assert_true(guest->slots != MAP_FAILED);
    guest->latency = calloc(1, sizeof(*guest->latency));
    guest_client_init(&guest->client, &guest->device, guest->latency);
    guest_client_init(&guest->default_client, &guest->default_device, guest->latency);
    guest->default_client.is_default = true;
    if (options.is_prompt)
        guest->device.device.ops = guest_prompt_ops();
    if (options.with_inbox) {
        guest->inbox_memory = aligned_alloc(INBOX_ALIGN_BYTES, sizeof(struct inbox));
        guest->client.inbox = inbox_init(guest->inbox_memory);
    }
    const struct router_range ranges[] = {
        {GUEST_MMIO, GUEST_MMIO + 0xfff, &guest->client, REQUEST_MMIO, 0, 0},
        {GUEST_PORT, GUEST_PORT + 0xf, &guest->client, REQUEST_PORTIO, 1, 0},
    };
    assert_int_equal(router_create(ranges, 2, MEMORY_ANY_NODE, &guest->router, NULL), 0);
    guest->page = memory_allocate(sizeof(*guest->page), MEMORY_ANY_NODE);
    assert_int_equal(page_init(guest->page, options.vcpus, guest->router,
                               options.has_default_client ? &guest->default_client : NULL),
                     0);
    const struct poller_options poller_options = {.name = "test", .idle = POLLER_IDLE_YIELD};
    assert_int_equal(poller_create(&poller_options, &guest->poller), 0);
    assert_int_equal(poller_add_page(guest->poller, guest->page), 0);
    page_open(guest->page, guest->slots);
    return guest;
}

static inline void guest_destroy(struct guest *guest)
{
    poller_destroy(guest->poller);
    router_destroy(guest->router);
    memory_free(guest->page, sizeof(*guest->page));
    munmap(guest->slots, PAGE_BYTES);
    close(guest->descriptor);
    free(guest->inbox_memory);
    free(guest->latency);
    free(guest);
}

/* What a hypervisor puts into a slot before PENDING. */
struct guest_access {
    uint32_t type, direction;
    uint64_t address, size, value;
};

static inline void guest_ask(struct guest *guest, uint32_t slot_index, struct guest_access access)
{
    struct acrn_io_request *slot = &guest->slots[slot_index];
    slot->type = access.type;
    slot->completion_polling = 1;
    slot->reqs.mmio_request.direction = access.direction;
    slot->reqs.mmio_request.address = access.address;
    slot->reqs.mmio_request.size = access.size;
    slot->reqs.mmio_request.value = access.value;
    __atomic_store_n(&slot->processed, SLOT_PENDING, __ATOMIC_RELEASE);
}

static inline uint32_t guest_state(struct guest *guest, uint32_t slot_index)
{
    return __atomic_load_n(&guest->slots[slot_index].processed, __ATOMIC_ACQUIRE);
}

static inline void guest_set_state(struct guest *guest, uint32_t slot_index, uint32_t state)
{
    __atomic_store_n(&guest->slots[slot_index].processed, state, __ATOMIC_RELEASE);
}

static inline uint64_t guest_value(struct guest *guest, uint32_t slot_index)
{
    return __atomic_load_n(&guest->slots[slot_index].reqs.mmio_request.value, __ATOMIC_RELAXED);
}

/* What a client on another poller does with a cell that it popped. */
static inline void guest_answer_cell(struct inbox_cell *cell, uint64_t value)
{
    cell->entry.request.value = value;
    inbox_answer(cell);
}

/* Asks, runs one round (and, where the client has an inbox that this poller drains, the next one, which
 * takes the answer out), expects COMPLETE, takes the value and frees the slot. */
static inline uint64_t guest_access(struct guest *guest, struct guest_access access)
{
    guest_ask(guest, 0, access);
    poller_round(guest->poller);
    if (guest->page->asked)
        poller_round(guest->poller);
    assert_int_equal(guest_state(guest, 0), SLOT_COMPLETE);
    uint64_t value = guest_value(guest, 0);
    guest_set_state(guest, 0, SLOT_FREE);
    return value;
}

static inline uint64_t guest_counter(struct guest *guest, enum page_counter counter)
{
    return counter_read(&guest->page->counters[counter]);
}

#endif
