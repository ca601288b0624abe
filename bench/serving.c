/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/serving.h"

#include "bench/echo.h"
#include "bench/partner.h"
#include "pollers/memory.h"
#include "pollers/poller_internal.h"
#include "server/sources/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ADDRESS_COUNT 4096u /* a power of two */
#define RANGE_STRIDE  0x1000u
#define RANGE_BASE    0xd0000000u

struct serving {
    const struct bench_options *options;
    struct partner *partner;
    struct page_source source;
    struct page *page;
    struct poller *poller;
    struct router *router;
    struct device device;
    struct client client;
    struct histogram *recorded; /* by the poller */
    uint64_t *addresses;        /* [ADDRESS_COUNT] */
    uint32_t mode;
    /* On lines of their own, whose neighbours the processor does not fetch along: what the requester
     * counts for each request, and what a bare loop looks at in each pass. */
    _Alignas(128) uint32_t next_address;
    _Alignas(128) _Atomic uint32_t stop_bare;
    _Alignas(128) struct poller_command stop_command;
};

static void serve(void *context)
{
    struct serving *serving = context;
    if (serving->mode == SERVING_OURS) {
        serving->poller->is_stopping = false;
        poller_loop(serving->poller);
    } else {
        bare_serve(&serving->source.slots, 1, serving->page->vcpu_count, &serving->stop_bare,
                   (enum bare_variant)(serving->mode - SERVING_BARE));
    }
}

void serving_begin(struct serving *serving, uint32_t mode, uint32_t vcpus)
{
    serving->page->vcpu_count = vcpus;
    serving->mode = mode;
    atomic_store_explicit(&serving->stop_bare, 0, memory_order_relaxed);
    partner_run(serving->partner, serve, serving);
}

void serving_end(struct serving *serving)
{
    if (serving->mode == SERVING_OURS)
        atomic_store_explicit(&serving->poller->command, &serving->stop_command,
                              memory_order_release);
    else
        atomic_store_explicit(&serving->stop_bare, 1, memory_order_relaxed);
    partner_wait(serving->partner);
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
    char reason[SOURCE_REASON_BYTES];
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
    int result = build_router(serving, node);
    if (result == 0)
        result = page_source_open(&serving->source, &source_memfd, NULL, NULL, reason);
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
        (struct poller_command){.function = echo_stop_poller, .context = serving->poller};
    ticks_per_second();
    result = bench_bind_self(options->requester_cpu);
    return result < 0 ? result : partner_create(options->poller_cpu, &serving->partner);
}

int serving_create(const struct bench_options *options, struct serving **serving)
{
    struct serving *created = aligned_alloc(_Alignof(struct serving), sizeof(*created));
    if (!created)
        return -ENOMEM;
    memset(created, 0, sizeof(*created));
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
    partner_destroy(serving->partner);
    poller_destroy(serving->poller);
    router_destroy(serving->router);
    page_source_close(&serving->source);
    if (serving->page)
        memory_free(serving->page, sizeof(*serving->page));
    if (serving->recorded)
        memory_free(serving->recorded, sizeof(*serving->recorded));
    free(serving->addresses);
    free(serving);
}
