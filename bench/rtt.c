/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rtt: PENDING -> COMPLETE as the vCPU sees it.
 *
 * One thread plays the vCPUs, in turn, one request at a time. One thread serves, on its own CPU:
 * in ours' blocks it runs the poller's loop, unchanged, with a router of `ranges` and latency
 * recording; in the limit's blocks it runs a bare loop (bare.h) over the same slots.
 */
#include "bench/bare.h"
#include "bench/bench.h"

#include "pollers/memory.h"
#include "pollers/placement.h"
#include "pollers/poller_internal.h"
#include "server/report.h"
#include "server/sources/source.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADDRESS_COUNT 4096u /* a power of two */
#define RANGE_STRIDE  0x1000u
#define RANGE_BASE    0xd0000000u

/* What the serving thread runs; set by the requester between blocks. */
enum mode { MODE_WAIT, MODE_OURS, MODE_QUIT, MODE_BARE };

struct rtt {
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
    uint64_t *samples;          /* [block_requests] */
    uint32_t next_address;
    _Atomic uint32_t mode; /* MODE_BARE + variant */
    _Atomic uint32_t is_waiting;
    _Atomic uint32_t stop_bare;
    struct poller_command stop_command;
    pthread_t server;
    struct histogram ours;
    struct histogram bare[BARE_VARIANT_COUNT];
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

static void *server_main(void *argument)
{
    struct rtt *rtt = argument;
    if (placement_bind_self(rtt->placement, rtt->options->poller_cpu) < 0)
        fprintf(stderr, "ioreq-bench: cannot run on CPU %u\n", rtt->options->poller_cpu);
    for (;;) {
        uint32_t mode = atomic_load_explicit(&rtt->mode, memory_order_acquire);
        if (mode == MODE_WAIT) {
            atomic_store_explicit(&rtt->is_waiting, 1, memory_order_release);
            sched_yield();
        } else if (mode == MODE_OURS) {
            rtt->poller->is_stopping = false;
            poller_loop(rtt->poller);
            atomic_store_explicit(&rtt->mode, MODE_WAIT, memory_order_relaxed);
        } else if (mode == MODE_QUIT) {
            return NULL;
        } else {
            bare_serve(rtt->source.slots, rtt->options->vcpus, &rtt->stop_bare,
                       (enum bare_variant)(mode - MODE_BARE));
            atomic_store_explicit(&rtt->mode, MODE_WAIT, memory_order_relaxed);
        }
    }
}

static void wait_for_server(struct rtt *rtt)
{
    while (!atomic_load_explicit(&rtt->is_waiting, memory_order_acquire))
        sched_yield();
}

static void set_mode(struct rtt *rtt, uint32_t mode)
{
    atomic_store_explicit(&rtt->is_waiting, 0, memory_order_relaxed);
    atomic_store_explicit(&rtt->stop_bare, 0, memory_order_relaxed);
    atomic_store_explicit(&rtt->mode, mode, memory_order_release);
}

static void end_mode(struct rtt *rtt, uint32_t mode)
{
    if (mode == MODE_OURS)
        atomic_store_explicit(&rtt->poller->command, &rtt->stop_command, memory_order_release);
    else
        atomic_store_explicit(&rtt->stop_bare, 1, memory_order_relaxed);
    wait_for_server(rtt);
}

/* One access as the hypervisor makes it; returns ticks from PENDING to COMPLETE. */
static uint64_t access_slot(struct acrn_io_request *slot, uint64_t address)
{
    slot->type = REQUEST_MMIO;
    slot->completion_polling = 1;
    slot->reqs.mmio_request.direction = REQUEST_READ;
    slot->reqs.mmio_request.address = address;
    slot->reqs.mmio_request.size = 4;
    slot->reqs.mmio_request.value = 0;
    uint64_t begin = ticks_now();
    __atomic_store_n(&slot->processed, SLOT_PENDING, __ATOMIC_RELEASE);
    uint64_t spins = 0;
    while (slot_state(slot) != SLOT_COMPLETE) {
        ticks_pause();
        if (++spins % (1u << 20) == 0)
            sched_yield(); /* both on one CPU: let the other go on */
    }
    uint64_t end = ticks_now();
    __atomic_store_n(&slot->processed, SLOT_FREE, __ATOMIC_RELEASE);
    return end - begin;
}

/* One block; returns its median. */
static uint64_t run_block(struct rtt *rtt, uint32_t mode, struct histogram *latency)
{
    const struct bench_options *options = rtt->options;
    set_mode(rtt, mode);
    uint32_t vcpu = 0;
    uint32_t warm_up = options->block_requests / 10;
    for (uint32_t i = 0; i < warm_up + options->block_requests; i++) {
        uint64_t address = rtt->addresses[rtt->next_address++ & (ADDRESS_COUNT - 1)];
        uint64_t ticks = access_slot(&rtt->source.slots[vcpu], address);
        vcpu = vcpu + 1 == options->vcpus ? 0 : vcpu + 1;
        if (i < warm_up)
            continue;
        rtt->samples[i - warm_up] = ticks;
        histogram_record(latency, ticks);
    }
    end_mode(rtt, mode);
    return bench_median(rtt->samples, options->block_requests);
}

/* ---- set-up ------------------------------------------------------------------------------ */

static int build_router(struct rtt *rtt, int node)
{
    uint32_t count = rtt->options->ranges;
    struct router_range *ranges = calloc(count, sizeof(*ranges));
    if (!ranges)
        return -ENOMEM;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t first = RANGE_BASE + (uint64_t)i * RANGE_STRIDE;
        ranges[i] = (struct router_range){
            first, first + RANGE_STRIDE / 2 - 1, &rtt->client, REQUEST_MMIO, i, 0};
    }
    int result = router_create(ranges, count, node, &rtt->router, NULL);
    free(ranges);
    uint64_t random = 0x9e3779b97f4a7c15u;
    for (uint32_t i = 0; i < ADDRESS_COUNT; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        uint64_t range = (random >> 33) % count;
        rtt->addresses[i] = RANGE_BASE + range * RANGE_STRIDE + (random >> 20 & 0x7f) * 4;
    }
    return result;
}

static int set_up(struct rtt *rtt)
{
    const struct bench_options *options = rtt->options;
    int node = memory_node_of_cpu(options->poller_cpu);
    rtt->page = memory_allocate(sizeof(*rtt->page), node);
    rtt->recorded = memory_allocate(sizeof(*rtt->recorded), node);
    rtt->addresses = calloc(ADDRESS_COUNT, sizeof(*rtt->addresses));
    rtt->samples = calloc(options->block_requests, sizeof(*rtt->samples));
    if (!rtt->page || !rtt->recorded || !rtt->addresses || !rtt->samples)
        return -ENOMEM;
    rtt->device.ops = &echo_ops;
    rtt->client.device = &rtt->device;
    rtt->client.latency = rtt->recorded;
    int result = build_router(rtt, node);
    if (result == 0)
        result = source_memfd_open(&rtt->source);
    if (result == 0)
        result = page_init(rtt->page, options->vcpus, rtt->router, NULL);
    struct poller_options poller_options = {
        .name = "rtt", .cpu = options->poller_cpu, .idle = POLLER_IDLE_SPIN};
    if (result == 0)
        result = poller_create(&poller_options, &rtt->poller);
    if (result < 0)
        return result;
    page_open(rtt->page, rtt->source.slots);
    poller_add_page(rtt->poller, rtt->page);
    rtt->stop_command = (struct poller_command){.function = stop_poller, .context = rtt->poller};
    ticks_per_second();
    atomic_init(&rtt->mode, MODE_WAIT);
    result = placement_bind_self(rtt->placement, options->requester_cpu);
    return result < 0 ? result : -pthread_create(&rtt->server, NULL, server_main, rtt);
}

static void tear_down(struct rtt *rtt)
{
    poller_destroy(rtt->poller);
    router_destroy(rtt->router);
    if (rtt->source.slots)
        source_memfd_close(&rtt->source);
    memory_free(rtt->page, sizeof(*rtt->page));
    memory_free(rtt->recorded, sizeof(*rtt->recorded));
    free(rtt->addresses);
    free(rtt->samples);
    placement_close(rtt->placement);
    free(rtt);
}

/* ---- result ------------------------------------------------------------------------------ */

static void print_table(const struct rtt *rtt, uint32_t best, const struct bench_ratio *ratio)
{
    const struct bench_options *options = rtt->options;
    bench_print_machine();
    printf(
        "rtt: PENDING to COMPLETE, %u vCPUs, %u ranges, requester on CPU %u, poller on CPU %u\n\n",
        options->vcpus, options->ranges, options->requester_cpu, options->poller_cpu);
    printf("%-28s %10s %9s %9s %9s %9s %9s  ns\n", "", "COUNT", "P50", "P99", "P99.9", "P99.99",
           "MAX");
    bench_print_row("ioreqd", &rtt->ours);
    for (uint32_t i = 0; i < BARE_VARIANT_COUNT; i++) {
        char name[40];
        snprintf(name, sizeof(name), "bare, %s%s", bare_variant_names[i], i == best ? " *" : "");
        bench_print_row(name, &rtt->bare[i]);
    }
    printf("\n* the limit. Ratio of medians, ioreqd to the limit: %.2f (p10 %.2f, p90 %.2f of %u "
           "blocks)\n",
           ratio->median, ratio->p10, ratio->p90, options->blocks);
}

static int print_json(const struct rtt *rtt, uint32_t best, const struct bench_ratio *ratio)
{
    const struct bench_options *options = rtt->options;
    struct report *root = report_create();
    report_add_text(root, "bench", "rtt");
    report_add_bool(root, "smoke", options->is_smoke);
    struct report *parameters = report_add_object(root, "parameters");
    report_add_number(parameters, "vcpus", options->vcpus);
    report_add_number(parameters, "ranges", options->ranges);
    report_add_number(parameters, "blocks", options->blocks);
    report_add_number(parameters, "requests", options->block_requests);
    report_add_number(parameters, "requester_cpu", options->requester_cpu);
    report_add_number(parameters, "poller_cpu", options->poller_cpu);
    report_add_text(root, "unit", "ns");
    bench_report_latency(root, &rtt->ours);
    struct report *limit = report_add_object(root, "limit");
    report_add_text(limit, "variant", bare_variant_names[best]);
    bench_report_latency(limit, &rtt->bare[best]);
    struct report *ratios = report_add_object(root, "ratio");
    report_add_real(ratios, "median", ratio->median);
    report_add_real(ratios, "p10", ratio->p10);
    report_add_real(ratios, "p90", ratio->p90);
    bench_report_machine(report_add_object(root, "machine"));
    char *text = report_text(root);
    report_destroy(root);
    if (!text)
        return -ENOMEM;
    puts(text);
    free(text);
    return 0;
}

static int measure(struct rtt *rtt)
{
    uint32_t blocks = rtt->options->blocks;
    uint64_t *medians = calloc((size_t)blocks * (BARE_VARIANT_COUNT + 1), sizeof(*medians));
    uint64_t *column = calloc(blocks, sizeof(*column));
    double *ratios = calloc(blocks, sizeof(*ratios));
    int result = -ENOMEM;
    if (medians && column && ratios) {
        uint64_t *ours = medians + (size_t)BARE_VARIANT_COUNT * blocks;
        for (uint32_t block = 0; block < blocks; block++) {
            ours[block] = run_block(rtt, MODE_OURS, &rtt->ours);
            for (uint32_t i = 0; i < BARE_VARIANT_COUNT; i++)
                medians[(size_t)i * blocks + block] = run_block(rtt, MODE_BARE + i, &rtt->bare[i]);
        }
        uint32_t best = 0;
        uint64_t best_median = UINT64_MAX;
        for (uint32_t i = 0; i < BARE_VARIANT_COUNT; i++) {
            memcpy(column, medians + (size_t)i * blocks, blocks * sizeof(*column));
            uint64_t median = bench_median(column, blocks);
            if (median < best_median) {
                best = i;
                best_median = median;
            }
        }
        for (uint32_t block = 0; block < blocks; block++)
            ratios[block] = (double)ours[block] / (double)medians[(size_t)best * blocks + block];
        struct bench_ratio ratio = bench_ratio_of(ratios, blocks);
        result = 0;
        if (rtt->options->as_json)
            result = print_json(rtt, best, &ratio);
        else
            print_table(rtt, best, &ratio);
    }
    free(medians);
    free(column);
    free(ratios);
    return result;
}

int bench_rtt(const struct bench_options *options)
{
    struct rtt *rtt = calloc(1, sizeof(*rtt));
    int result = rtt ? placement_open(&rtt->placement) : -ENOMEM;
    if (result == 0) {
        rtt->options = options;
        result = set_up(rtt);
    }
    if (result == 0) {
        result = measure(rtt);
        set_mode(rtt, MODE_QUIT);
        pthread_join(rtt->server, NULL);
    }
    if (result < 0)
        fprintf(stderr, "ioreq-bench: rtt: %s\n", strerror(-result));
    if (rtt)
        tear_down(rtt);
    return result;
}
