/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/serving.h"

#include "pollers/memory.h"
#include "pollers/placement.h"
#include "pollers/poller_internal.h"
#include "server/sources/source.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#define ADDRESS_COUNT 4096u /* a power of two */
#define RANGE_STRIDE  0x1000u
#define RANGE_BASE    0xd0000000u

/* Beside the modes of serving.h. */
#define MODE_WAIT UINT32_MAX
#define MODE_QUIT (UINT32_MAX - 1)

struct serving {
    const struct bench_options *options;
    struct placement *placement;
    struct page_source source;
    struct page *page;
    struct poller *poller;
    struct router *router;
    struct device device;
    struct client client;
    struct histogram *recorded; /* by the poller */
    uint64_t *addresses;        /* [ADDRESS_COUNT] */
    uint32_t next_address;
    _Atomic uint32_t mode; /* MODE_WAIT is set by the thread only */
    sem_t wake; /* between two modes the thread sleeps: its CPU is for whoever else is measured */
    _Atomic uint32_t stop_bare;
    struct poller_command stop_command;
    bool has_thread;
    pthread_t thread;
};

/* The cheapest device there is: what is measured is the way to it and back. */
static int echo_handle(struct device *device, struct request *request)
{
    (void)device;
    request->value = request->address;
    return 0;
}

static const struct device_ops echo_ops = {.name = "echo", .handle = echo_handle};

static void stop_poller(void *context)
{
    ((struct poller *)context)->is_stopping = true;
}

static void *serve(void *argument)
{
    struct serving *serving = argument;
    if (placement_bind_self(serving->placement, serving->options->poller_cpu) < 0)
        fprintf(stderr, "ioreq-bench: cannot run on CPU %u\n", serving->options->poller_cpu);
    for (;;) {
        uint32_t mode = atomic_load_explicit(&serving->mode, memory_order_acquire);
        if (mode == MODE_WAIT) {
            sem_wait(&serving->wake);
            continue;
        }
        if (mode == MODE_QUIT)
            return NULL;
        if (mode == SERVING_OURS) {
            serving->poller->is_stopping = false;
            poller_loop(serving->poller);
        } else {
            bare_serve(serving->source.slots, serving->page->vcpu_count, &serving->stop_bare,
                       (enum bare_variant)(mode - SERVING_BARE));
        }
        /* Release: pairs with wait_until_idle; nothing runs any more. */
        atomic_store_explicit(&serving->mode, MODE_WAIT, memory_order_release);
    }
}

static void wait_until_idle(struct serving *serving)
{
    while (atomic_load_explicit(&serving->mode, memory_order_acquire) != MODE_WAIT)
        sched_yield();
}

static void set_mode(struct serving *serving, uint32_t mode)
{
    atomic_store_explicit(&serving->stop_bare, 0, memory_order_relaxed);
    atomic_store_explicit(&serving->mode, mode, memory_order_release);
    sem_post(&serving->wake);
}

void serving_begin(struct serving *serving, uint32_t mode, uint32_t vcpus)
{
    serving->page->vcpu_count = vcpus;
    set_mode(serving, mode);
}

void serving_end(struct serving *serving)
{
    /* Both: only one of the two loops looks at either. */
    atomic_store_explicit(&serving->stop_bare, 1, memory_order_relaxed);
    if (atomic_load_explicit(&serving->mode, memory_order_relaxed) == SERVING_OURS)
        atomic_store_explicit(&serving->poller->command, &serving->stop_command,
                              memory_order_release);
    wait_until_idle(serving);
}

struct acrn_io_request *serving_slots(struct serving *serving)
{
    return serving->source.slots;
}

uint64_t serving_next_address(struct serving *serving)
{
    return serving->addresses[serving->next_address++ & (ADDRESS_COUNT - 1)];
}

static int build_router(struct serving *serving, int node)
{
    uint32_t count = serving->options->ranges;
    struct router_range *ranges = calloc(count + 1, sizeof(*ranges));
    if (!ranges)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t first = RANGE_BASE + (uint64_t)i * RANGE_STRIDE;
        ranges[i] = (struct router_range){
            first, first + RANGE_STRIDE / 2 - 1, &serving->client, REQUEST_MMIO, i, 0};
    }
    bool has_ports = count < ROUTER_RANGES_MAX; /* in a tree of their own */
    ranges[count] =
        (struct router_range){0, SERVING_PORT_LAST, &serving->client, REQUEST_PORTIO, count, 0};
    int result = router_create(ranges, count + has_ports, node, &serving->router, NULL);
    free(ranges);
    uint64_t random = 0x9e3779b97f4a7c15u;
    for (uint32_t i = 0; i < ADDRESS_COUNT; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        uint64_t range = (random >> 33) % count;
        serving->addresses[i] = RANGE_BASE + range * RANGE_STRIDE + (random >> 20 & 0x7f) * 4;
    }
    return result;
}

static int set_up(struct serving *serving)
{
    const struct bench_options *options = serving->options;
    int node = memory_node_of_cpu(options->poller_cpu);
    serving->page = memory_allocate(sizeof(*serving->page), node);
    serving->recorded = memory_allocate(sizeof(*serving->recorded), node);
    serving->addresses = calloc(ADDRESS_COUNT, sizeof(*serving->addresses));
    if (!serving->page || !serving->recorded || !serving->addresses)
        return -ENOMEM;
    serving->device.ops = &echo_ops;
    serving->client.device = &serving->device;
    serving->client.latency = serving->recorded;
    int result = placement_open(&serving->placement);
    if (result == 0)
        result = build_router(serving, node);
    if (result == 0)
        result = source_memfd_open(&serving->source);
    if (result == 0)
        result = page_init(serving->page, SLOT_COUNT, serving->router, NULL);
    struct poller_options poller_options = {
        .name = "bench", .cpu = options->poller_cpu, .idle = POLLER_IDLE_SPIN};
    if (result == 0)
        result = poller_create(&poller_options, &serving->poller);
    if (result < 0)
        return result;
    page_open(serving->page, serving->source.slots);
    poller_add_page(serving->poller, serving->page);
    serving->stop_command =
        (struct poller_command){.function = stop_poller, .context = serving->poller};
    ticks_per_second();
    atomic_init(&serving->mode, MODE_WAIT);
    if (sem_init(&serving->wake, 0, 0) < 0)
        return -errno;
    result = placement_bind_self(serving->placement, options->requester_cpu);
    if (result == 0)
        result = -pthread_create(&serving->thread, NULL, serve, serving);
    serving->has_thread = result == 0;
    return result;
}

int serving_create(const struct bench_options *options, struct serving **serving)
{
    struct serving *created = calloc(1, sizeof(*created));
    if (!created)
        return -ENOMEM;
    created->options = options;
    int result = set_up(created);
    if (result < 0)
        serving_destroy(created);
    else
        *serving = created;
    return result;
}

void serving_destroy(struct serving *serving)
{
    if (!serving)
        return;
    if (serving->has_thread) {
        set_mode(serving, MODE_QUIT);
        pthread_join(serving->thread, NULL);
    }
    poller_destroy(serving->poller);
    router_destroy(serving->router);
    if (serving->source.slots)
        source_memfd_close(&serving->source);
    if (serving->page)
        memory_free(serving->page, sizeof(*serving->page));
    if (serving->recorded)
        memory_free(serving->recorded, sizeof(*serving->recorded));
    free(serving->addresses);
    placement_close(serving->placement);
    free(serving);
}
