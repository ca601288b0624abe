/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ranges: what requests feel while ranges come and go, and how long a VM reset takes.
 *
 * A VM with 65,535 ranges (or --ranges) is served by a real poller. One thread makes requests, one at a
 * time, all the while. First nothing else happens; then control adds and deletes a range without a
 * pause: each time a router of all ranges is built, published and the old one freed. The latency from
 * claim to completion, as the poller records it, is shown for both: the swap is one command between two
 * rounds. (Round trips are shown too; on two CPUs control takes time from the requester's.)
 * Last, a client that never answers holds all 16 slots, and the VM is cleared.
 */
#include "bench/bench.h"

#include "pollers/memory.h"
#include "pollers/placement.h"
#include "pollers/ticks.h"
#include "server/topology.h"
#include "server/vm_client.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define RANGES_DEFAULT   65535u
#define RANGE_STRIDE     0x1000u
#define RANGE_BASE       0xd0000000ull
#define CLEAR_TIMEOUT_NS 20000000ull

struct phase {
    struct histogram served; /* claim to completion, by the poller */
    struct histogram trips;  /* by the requester */
    uint64_t swaps;
    uint64_t sweeps; /* rounds of the poller */
    uint64_t ns;
};

struct ranges {
    const struct bench_options *options;
    uint32_t range_count;
    struct topology topology;
    struct topology_poller poller;
    struct vm *vm;
    struct vm_client *client;
    _Atomic(struct phase *) phase;
    _Atomic bool is_over;
    struct phase quiet, swapping;
    uint64_t clear_ns;
    int cleared;
};

static int echo(void *context, struct request *request)
{
    (void)context;
    request->value = request->address;
    return 0;
}

static uint64_t access_slot(struct acrn_io_request *slot, uint64_t address)
{
    slot->type = REQUEST_MMIO;
    slot->completion_polling = 1;
    slot->reqs.mmio_request.direction = REQUEST_READ;
    slot->reqs.mmio_request.address = address;
    slot->reqs.mmio_request.size = 4;
    uint64_t begin = ticks_now();
    __atomic_store_n(&slot->processed, SLOT_PENDING, __ATOMIC_RELEASE);
    while (slot_state(slot) != SLOT_COMPLETE)
        ticks_pause();
    uint64_t end = ticks_now();
    __atomic_store_n(&slot->processed, SLOT_FREE, __ATOMIC_RELEASE);
    return end - begin;
}

static void *requester_main(void *argument)
{
    struct ranges *ranges = argument;
    placement_bind_self(ranges->topology.placement, ranges->options->requester_cpu);
    uint64_t random = 1;
    while (!atomic_load_explicit(&ranges->is_over, memory_order_relaxed)) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        uint64_t address = RANGE_BASE + (random >> 33) % ranges->range_count * RANGE_STRIDE;
        uint64_t ticks = access_slot(ranges->vm->source.slots, address);
        struct phase *phase = atomic_load_explicit(&ranges->phase, memory_order_acquire);
        if (phase)
            histogram_record(&phase->trips, ticks);
    }
    return NULL;
}

/* ---- set-up ------------------------------------------------------------------------------ */

static int build_topology(struct ranges *ranges)
{
    const struct bench_options *options = ranges->options;
    struct topology *topology = &ranges->topology;
    topology->pollers = &ranges->poller;
    topology->poller_count = 1;
    snprintf(ranges->poller.name, sizeof(ranges->poller.name), "ranges");
    ranges->poller.cpu = options->poller_cpu;
    int result = placement_open(&topology->placement);
    const struct poller_options poller_options = {
        .name = "ranges",
        .placement = topology->placement,
        .cpu = options->poller_cpu,
        .idle =
            options->requester_cpu == options->poller_cpu ? POLLER_IDLE_YIELD : POLLER_IDLE_SPIN,
    };
    if (result == 0)
        result = poller_create(&poller_options, &ranges->poller.poller);
    const struct vm_options vm_options = {
        .name = "vm", .vcpus = 16, .clear_timeout_ns = CLEAR_TIMEOUT_NS};
    if (result == 0)
        result = vm_create(topology, &vm_options, &ranges->vm);
    const struct vm_client_options client_options = {.name = "echo", .handle = echo};
    if (result == 0)
        result = vm_client_create(ranges->vm, &client_options, &ranges->client);
    return result;
}

static int fill_ranges(struct ranges *ranges)
{
    struct router_range *all = calloc(ranges->range_count, sizeof(*all));
    if (!all)
        return -ENOMEM;
    for (uint32_t i = 0; i < ranges->range_count; i++) {
        uint64_t first = RANGE_BASE + (uint64_t)i * RANGE_STRIDE;
        all[i] = (struct router_range){
            first, first + RANGE_STRIDE / 2 - 1, &ranges->client->client, REQUEST_MMIO, i, 0};
    }
    int result = vm_set_ranges(ranges->vm, all, ranges->range_count);
    free(all);
    return result;
}

/* ---- phases ------------------------------------------------------------------------------ */

static void histogram_subtract(struct histogram *from, const struct histogram *what)
{
    for (uint32_t i = 0; i < HISTOGRAM_BUCKET_COUNT; i++)
        atomic_store_explicit(&from->buckets[i],
                              counter_read(&from->buckets[i]) - counter_read(&what->buckets[i]),
                              memory_order_relaxed);
    /* The maximum of the difference is no better known than its bucket. */
    uint64_t max = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKET_COUNT; i++)
        if (counter_read(&from->buckets[i]))
            max = histogram_bucket_last(i);
    atomic_store_explicit(&from->max, max, memory_order_relaxed);
}

static int run_phase(struct ranges *ranges, struct phase *phase, bool is_swapping,
                     uint64_t duration_ns)
{
    static struct histogram before;
    uint64_t last = RANGE_BASE - RANGE_STRIDE;
    int result = 0;
    histogram_copy(ranges->client->latency, &before);
    uint64_t sweeps = poller_figures(ranges->poller.poller).sweeps;
    atomic_store_explicit(&ranges->phase, phase, memory_order_release);
    uint64_t begin = ticks_now(), end = begin + ticks_from_ns(duration_ns);
    while (ticks_now() < end && result == 0) {
        if (!is_swapping) {
            struct timespec pause = {.tv_nsec = 1000000};
            nanosleep(&pause, NULL);
            continue;
        }
        result = vm_client_add_range(ranges->client, REQUEST_MMIO, last, last + 7, 0);
        if (result == 0)
            result = vm_client_delete_range(ranges->client, REQUEST_MMIO, last, last + 7);
        phase->swaps += 2;
    }
    atomic_store_explicit(&ranges->phase, NULL, memory_order_release);
    phase->sweeps = poller_figures(ranges->poller.poller).sweeps - sweeps;
    phase->ns = ticks_to_ns(ticks_now() - begin);
    histogram_copy(ranges->client->latency, &phase->served);
    histogram_subtract(&phase->served, &before);
    return result;
}

/* 16 requests that nobody answers, until the VM is cleared. */
static int measure_clear(struct ranges *ranges)
{
    struct vm_client *silent;
    const struct vm_client_options options = {
        .name = "silent", .is_default = true, .is_external = true};
    int result = vm_client_create(ranges->vm, &options, &silent);
    if (result < 0)
        return result;
    struct acrn_io_request *slots = ranges->vm->source.slots;
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        slots[i].type = REQUEST_MMIO;
        slots[i].completion_polling = 1;
        slots[i].reqs.mmio_request.direction = REQUEST_READ;
        slots[i].reqs.mmio_request.address = 0x1000;
        slots[i].reqs.mmio_request.size = 4;
        __atomic_store_n(&slots[i].processed, SLOT_PENDING, __ATOMIC_RELEASE);
    }
    while (page_in_flight(ranges->vm->page) < SLOT_COUNT)
        sched_yield();
    uint64_t begin = ticks_now();
    ranges->cleared = vm_clear(ranges->vm);
    ranges->clear_ns = ticks_to_ns(ticks_now() - begin);
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        if (slot_state(&slots[i]) != SLOT_COMPLETE)
            return -EIO;
    return 0;
}

/* ---- result ------------------------------------------------------------------------------ */

static double at(const struct bench_series *series, double percentile)
{
    return bench_series_ns(series, percentile);
}

static int show(struct bench_result *result, const struct ranges *ranges)
{
    static const struct bench_contender both[] = {{.name = "ranges change", .role = BENCH_OURS},
                                                  {.name = "quiet", .role = BENCH_BASELINE}};
    struct bench_point *served, *trips;
    int failed = bench_point_add(result, "served, claim to completion", 0, both, 2, &served);
    if (failed == 0)
        failed = bench_point_add(result, "round trip", 0, both, 2, &trips);
    if (failed < 0)
        return failed;
    histogram_copy(&ranges->swapping.served, &served->series[0].latency);
    histogram_copy(&ranges->quiet.served, &served->series[1].latency);
    histogram_copy(&ranges->swapping.trips, &trips->series[0].latency);
    histogram_copy(&ranges->quiet.trips, &trips->series[1].latency);
    const struct bench_series *changing = &served->series[0], *quiet = &served->series[1];
    double sweep_ns = (double)ranges->quiet.ns / (double)ranges->quiet.sweeps;
    bench_fact(result, "changes", (double)ranges->swapping.swaps);
    bench_fact(result, "change_us",
               (double)ranges->swapping.ns / 1e3 / (double)ranges->swapping.swaps);
    bench_fact(result, "sweep_ns", sweep_ns);
    bench_fact(result, "clear_ms", (double)ranges->clear_ns / 1e6);
    bench_fact(result, "clear_bound_ms", CLEAR_TIMEOUT_NS / 1e6);
    bench_fact(result, "clear_completed", ranges->cleared);
    bench_reach_at_most(result, "added at p50, ns", at(changing, 0.5) - at(quiet, 0.5), sweep_ns);
    bench_reach_at_most(result, "added at p99, ns", at(changing, 0.99) - at(quiet, 0.99), sweep_ns);
    bench_reach_at_most(result, "added at p99.9, ns", at(changing, 0.999) - at(quiet, 0.999),
                        sweep_ns);
    return 0;
}

static int measure(struct ranges *ranges)
{
    uint64_t duration_ns = ranges->options->is_smoke ? 100000000 : 5000000000;
    int descriptor;
    pthread_t requester;
    int result = vm_attach(ranges->vm, 0, &descriptor);
    if (result == 0)
        result = vm_start(ranges->vm);
    if (result == 0)
        result = poller_start(ranges->poller.poller);
    if (result < 0)
        return result;
    result = -pthread_create(&requester, NULL, requester_main, ranges);
    if (result < 0)
        return result;
    result = run_phase(ranges, &ranges->quiet, false, duration_ns);
    if (result == 0)
        result = run_phase(ranges, &ranges->swapping, true, duration_ns);
    atomic_store(&ranges->is_over, true);
    pthread_join(requester, NULL);
    return result < 0 ? result : measure_clear(ranges);
}

int bench_ranges(struct bench_result *report)
{
    static struct ranges ranges;
    const struct bench_options *options = report->options;
    ranges.options = options;
    ranges.range_count = options->has_ranges ? options->ranges : RANGES_DEFAULT;
    if (ranges.range_count > RANGES_DEFAULT)
        ranges.range_count = RANGES_DEFAULT; /* one more comes and goes */
    bench_parameter(report, "ranges", ranges.range_count);
    int result = build_topology(&ranges);
    if (result == 0)
        result = fill_ranges(&ranges);
    if (result == 0)
        result = measure(&ranges);
    if (result == 0)
        result = show(report, &ranges);
    if (ranges.poller.poller)
        poller_stop(ranges.poller.poller, VM_CALL_TIMEOUT_NS);
    if (ranges.vm)
        vm_destroy(ranges.vm);
    poller_destroy(ranges.poller.poller);
    placement_close(ranges.topology.placement);
    return result;
}
