/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ranges: what requests feel while ranges come and go, and how long a VM reset takes.
 *
 * A VM with 65,535 ranges (or --ranges) is served by a real poller. One thread makes requests, one at a
 * time, all the while. In short blocks, in turns, nothing else happens, or control adds and deletes
 * ranges without a pause; requests go anywhere while ranges change anywhere, or all of them to the range
 * next to the one that changes: each change takes from the poller's caches what the next request needs.
 * The latency from look to completion, as the poller records it, is shown for each: a change is one
 * pointer, and a command between two rounds. Control is bound to the requester's CPU, for there may be
 * but two, and production keeps it off the poller's, too: round trips (shown as well) contain the time it
 * takes from the requester.
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
#define BLOCK_NS         50000000ull
#define CHANGES_TIMED    1000u /* before anything is served */

enum phase_kind { QUIET, CHANGING, QUIET_NEAR, CHANGING_NEAR, PHASE_COUNT };

/* All blocks of one kind. */
struct phase {
    struct histogram served; /* look to completion, by the poller */
    struct histogram trips;  /* by the requester */
    uint64_t changes;
    uint64_t ns;
    bool is_changing;
    bool is_near; /* requests and changes at one place */
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
    struct phase phases[PHASE_COUNT];
    uint64_t change_ns; /* median, of control alone */
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
        struct phase *phase = atomic_load_explicit(&ranges->phase, memory_order_acquire);
        bool is_near = phase && phase->is_near;
        uint64_t index = is_near ? ranges->range_count / 2 : (random >> 33) % ranges->range_count;
        uint64_t ticks = access_slot(ranges->vm->source.slots, RANGE_BASE + index * RANGE_STRIDE);
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

/* Adds to sum what came into now since before. */
static void add_difference(struct histogram *sum, const struct histogram *now,
                           const struct histogram *before)
{
    uint64_t max = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKET_COUNT; i++) {
        counter_add(&sum->buckets[i],
                    counter_read(&now->buckets[i]) - counter_read(&before->buckets[i]));
        /* The maximum of a difference is no better known than its bucket. */
        if (counter_read(&sum->buckets[i]))
            max = histogram_bucket_last(i);
    }
    atomic_store_explicit(&sum->max, max, memory_order_relaxed);
}

/* A range behind the one of that index comes and goes. */
static int change_twice(struct ranges *ranges, uint64_t index)
{
    uint64_t first = RANGE_BASE + index * RANGE_STRIDE + RANGE_STRIDE / 2;
    int result = vm_client_add_range(ranges->client, REQUEST_MMIO, first, first + 7, 0);
    return result < 0 ? result
                      : vm_client_delete_range(ranges->client, REQUEST_MMIO, first, first + 7);
}

static int compare_samples(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* How long control takes, while there is no poller to wait for. */
static int time_changes(struct ranges *ranges)
{
    static uint64_t samples[CHANGES_TIMED];
    int result = 0;
    for (uint32_t i = 0; i < CHANGES_TIMED && result == 0; i++) {
        uint64_t begin = ticks_now();
        result = change_twice(ranges, (uint64_t)i * 7919 % ranges->range_count);
        samples[i] = ticks_to_ns(ticks_now() - begin) / 2;
    }
    qsort(samples, CHANGES_TIMED, sizeof(*samples), compare_samples);
    ranges->change_ns = samples[CHANGES_TIMED / 2];
    return result;
}

static int run_block(struct ranges *ranges, struct phase *phase, uint64_t duration_ns)
{
    static struct histogram before, after;
    static uint64_t random = 1;
    int result = 0;
    atomic_store_explicit(&ranges->phase, phase, memory_order_release);
    histogram_copy(ranges->client->latency, &before);
    uint64_t begin = ticks_now(), end = begin + ticks_from_ns(duration_ns);
    while (ticks_now() < end && result == 0) {
        if (!phase->is_changing) {
            struct timespec pause = {.tv_nsec = 1000000};
            nanosleep(&pause, NULL);
            continue;
        }
        random = random * 6364136223846793005u + 1442695040888963407u;
        result = change_twice(ranges, phase->is_near ? ranges->range_count / 2
                                                     : (random >> 33) % ranges->range_count);
        phase->changes += 2;
    }
    phase->ns += ticks_to_ns(ticks_now() - begin);
    histogram_copy(ranges->client->latency, &after);
    atomic_store_explicit(&ranges->phase, NULL, memory_order_release);
    add_difference(&phase->served, &after, &before);
    return result;
}

static int run_blocks(struct ranges *ranges, uint64_t duration_ns)
{
    int result = 0;
    ranges->phases[CHANGING].is_changing = ranges->phases[CHANGING_NEAR].is_changing = true;
    ranges->phases[QUIET_NEAR].is_near = ranges->phases[CHANGING_NEAR].is_near = true;
    uint64_t end = ticks_now() + ticks_from_ns(duration_ns);
    while (ticks_now() < end && result == 0)
        for (uint32_t i = 0; i < PHASE_COUNT && result == 0; i++)
            result = run_block(ranges, &ranges->phases[i], BLOCK_NS);
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

/* quiet, and changing behind it. Under load a sweep takes at least as long as the one request that it
 * serves, so that is what a change may add. */
static int show_pair(struct bench_result *result, const char *name, const struct phase *quiet)
{
    static const struct bench_contender both[] = {{.name = "ranges change", .role = BENCH_OURS},
                                                  {.name = "quiet", .role = BENCH_BASELINE}};
    static const struct {
        const char *name;
        double share;
    } percentiles[] = {{"p50", 0.5}, {"p99", 0.99}, {"p99.9", 0.999}};
    const struct phase *changing = quiet + 1;
    struct bench_point *served, *trips;
    char title[BENCH_NAME_BYTES];
    snprintf(title, sizeof(title), "served, %s", name);
    int failed = bench_point_add(result, title, 0, both, 2, &served);
    snprintf(title, sizeof(title), "round trip, %s", name);
    if (failed == 0)
        failed = bench_point_add(result, title, 0, both, 2, &trips);
    if (failed < 0)
        return failed;
    histogram_copy(&changing->served, &served->series[0].latency);
    histogram_copy(&quiet->served, &served->series[1].latency);
    histogram_copy(&changing->trips, &trips->series[0].latency);
    histogram_copy(&quiet->trips, &trips->series[1].latency);
    snprintf(title, sizeof(title), "changes a second, %s", name);
    bench_fact(result, title, (double)changing->changes * 1e9 / (double)changing->ns);
    double sweep_ns = bench_series_ns(&served->series[1], 0.5);
    for (size_t i = 0; i < sizeof(percentiles) / sizeof(percentiles[0]); i++) {
        double added = bench_series_ns(&served->series[0], percentiles[i].share) -
                       bench_series_ns(&served->series[1], percentiles[i].share);
        snprintf(title, sizeof(title), "added at %s, ns, %s", percentiles[i].name, name);
        bench_reach_at_most(result, title, added, sweep_ns);
    }
    return 0;
}

static int show(struct bench_result *result, const struct ranges *ranges)
{
    const struct phase *phases = ranges->phases;
    bench_fact(result, "one change takes control, us", (double)ranges->change_ns / 1e3);
    bench_fact(result, "clear of 16 slots nobody answers, ms", (double)ranges->clear_ns / 1e6);
    bench_fact(result, "its clients' time, ms", CLEAR_TIMEOUT_NS / 1e6);
    bench_fact(result, "completed by the clear", ranges->cleared);
    int failed = show_pair(result, "anywhere", &phases[QUIET]);
    return failed < 0 ? failed : show_pair(result, "one range", &phases[QUIET_NEAR]);
}

static int measure(struct ranges *ranges)
{
    uint64_t duration_ns = ranges->options->is_smoke ? 200000000 : 10000000000;
    int descriptor;
    pthread_t requester;
    int result = time_changes(ranges);
    if (result == 0)
        result = vm_attach(ranges->vm, 0, &descriptor);
    if (result == 0)
        result = vm_start(ranges->vm);
    if (result == 0)
        result = poller_start(ranges->poller.poller);
    if (result < 0)
        return result;
    result = -pthread_create(&requester, NULL, requester_main, ranges);
    if (result < 0)
        return result;
    /* Not before: the threads would begin where we are. */
    result = placement_bind_self(ranges->topology.placement, ranges->options->requester_cpu);
    if (result == 0)
        result = run_blocks(ranges, duration_ns);
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
