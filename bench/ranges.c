/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ranges: what requests feel while ranges come and go, and how long a VM reset takes.
 *
 * A VM with 65,535 ranges (or --ranges) is served by a real poller. One thread makes requests, one at a
 * time, all the while. In short blocks, in turns, nothing else happens, or control adds and deletes
 * ranges without a pause; requests go anywhere while ranges change anywhere, or all of them to the range
 * next to the one that changes: each change takes from the poller's caches what the next request needs.
 * The latency from claim to completion, as the poller records it, is shown for each: a change is one
 * pointer, and a command between two rounds. Control is bound to the requester's CPU, for there may be
 * but two, and production keeps it off the poller's, too: round trips (shown as well) contain the time it
 * takes from the requester.
 * Last, a client that never answers holds all 16 slots, and the VM is cleared.
 */
#include "bench/bench.h"

#include "pollers/memory.h"
#include "pollers/placement.h"
#include "pollers/ticks.h"
#include "server/report.h"
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
    struct histogram served; /* claim to completion, by the poller */
    struct histogram trips;  /* by the requester */
    uint64_t changes;
    uint64_t sweeps; /* rounds of the poller */
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
    ranges->change_ns = bench_median(samples, CHANGES_TIMED);
    return result;
}

static int run_block(struct ranges *ranges, struct phase *phase, uint64_t duration_ns)
{
    static struct histogram before, after;
    static uint64_t random = 1;
    int result = 0;
    atomic_store_explicit(&ranges->phase, phase, memory_order_release);
    histogram_copy(ranges->client->latency, &before);
    uint64_t sweeps = poller_figures(ranges->poller.poller).sweeps;
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
    phase->sweeps += poller_figures(ranges->poller.poller).sweeps - sweeps;
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

static const char *const phase_names[PHASE_COUNT] = {"quiet", "ranges change", "quiet, one range",
                                                     "its neighbour changes"};

/* What the changes add to a request, at that percentile. */
static int64_t added_ns(const struct phase *quiet, double percentile)
{
    return (int64_t)ticks_to_ns(histogram_percentile(&quiet[1].served, percentile)) -
           (int64_t)ticks_to_ns(histogram_percentile(&quiet[0].served, percentile));
}

/* And how many times as long it takes. */
static double share(const struct phase *quiet, double percentile)
{
    uint64_t under = histogram_percentile(&quiet[0].served, percentile);
    return under ? (double)histogram_percentile(&quiet[1].served, percentile) / (double)under : 0;
}

static double sweep_ns(const struct phase *phase)
{
    return phase->sweeps ? (double)phase->ns / (double)phase->sweeps : 0;
}

static void print_added(const char *name, const struct phase *quiet)
{
    printf("%-28s %10s %+9lld %+9lld %+9lld\n", name, "", (long long)added_ns(quiet, 0.5),
           (long long)added_ns(quiet, 0.99), (long long)added_ns(quiet, 0.999));
}

static void print_table(const struct ranges *ranges)
{
    const struct phase *phases = ranges->phases;
    bench_print_machine();
    printf("ranges: %u present; one change takes control %.1f us\n", ranges->range_count,
           (double)ranges->change_ns / 1e3);
    printf("%.0f changes a second while requests flow, %.0f of the range next to theirs\n\n",
           (double)phases[CHANGING].changes * 1e9 / (double)phases[CHANGING].ns,
           (double)phases[CHANGING_NEAR].changes * 1e9 / (double)phases[CHANGING_NEAR].ns);
    printf("%-28s %10s %9s %9s %9s %9s %9s  ns\n", "served", "COUNT", "P50", "P99", "P99.9",
           "P99.99", "MAX");
    for (uint32_t i = 0; i < PHASE_COUNT; i++) {
        bench_print_row(phase_names[i], &phases[i].served);
        if (phases[i].is_changing)
            print_added("  adds", &phases[i - 1]);
    }
    printf("round trip\n");
    for (uint32_t i = 0; i < PHASE_COUNT; i++)
        bench_print_row(phase_names[i], &phases[i].trips);
    printf("\nOne sweep of 16 slots with what it serves, quiet, on average: %.0f ns\n",
           sweep_ns(&phases[QUIET]));
    printf("Clear of 16 slots that nobody answers: %.2f ms, bound %.0f ms; %d completed\n",
           (double)ranges->clear_ns / 1e6, CLEAR_TIMEOUT_NS / 1e6, ranges->cleared);
}

static int print_json(const struct ranges *ranges)
{
    static const char *const names[PHASE_COUNT] = {"quiet", "changing", "quiet_near",
                                                   "changing_near"};
    struct report *root = report_create();
    report_add_text(root, "bench", "ranges");
    report_add_bool(root, "smoke", ranges->options->is_smoke);
    report_add_number(report_add_object(root, "parameters"), "ranges", ranges->range_count);
    report_add_text(root, "unit", "ns");
    report_add_number(root, "change_ns", ranges->change_ns);
    for (uint32_t i = 0; i < PHASE_COUNT; i++) {
        const struct phase *phase = &ranges->phases[i];
        struct report *object = report_add_object(root, names[i]);
        bench_report_latency(object, &phase->served);
        report_add_number(object, "changes", phase->changes);
        report_add_number(object, "duration_ns", phase->ns);
        if (!phase->is_changing)
            continue;
        report_add_real(object, "added_p50_ns", (double)added_ns(phase - 1, 0.5));
        report_add_real(object, "added_p99_ns", (double)added_ns(phase - 1, 0.99));
        report_add_real(object, "added_p999_ns", (double)added_ns(phase - 1, 0.999));
    }
    struct report *ratio = report_add_object(root, "ratio");
    report_add_real(ratio, "median", share(&ranges->phases[QUIET], 0.5));
    report_add_real(ratio, "p99", share(&ranges->phases[QUIET], 0.99));
    report_add_real(root, "sweep_ns", sweep_ns(&ranges->phases[QUIET]));
    struct report *clear = report_add_object(root, "clear");
    report_add_number(clear, "ns", ranges->clear_ns);
    report_add_number(clear, "bound_ns", CLEAR_TIMEOUT_NS);
    report_add_number(clear, "completed", (uint64_t)ranges->cleared);
    bench_report_machine(report_add_object(root, "machine"));
    char *text = report_text(root);
    report_destroy(root);
    if (!text)
        return -ENOMEM;
    puts(text);
    free(text);
    return 0;
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

int bench_ranges(const struct bench_options *options)
{
    static struct ranges ranges;
    ranges.options = options;
    ranges.range_count = options->has_ranges ? options->ranges : RANGES_DEFAULT;
    if (ranges.range_count > RANGES_DEFAULT)
        ranges.range_count = RANGES_DEFAULT; /* one more comes and goes */
    int result = build_topology(&ranges);
    if (result == 0)
        result = fill_ranges(&ranges);
    if (result == 0)
        result = measure(&ranges);
    if (result == 0 && options->as_json)
        result = print_json(&ranges);
    else if (result == 0)
        print_table(&ranges);
    if (result < 0)
        fprintf(stderr, "ioreq-bench: ranges: %s\n", strerror(-result));
    if (ranges.poller.poller)
        poller_stop(ranges.poller.poller, VM_CALL_TIMEOUT_NS);
    if (ranges.vm)
        vm_destroy(ranges.vm);
    poller_destroy(ranges.poller.poller);
    placement_close(ranges.topology.placement);
    return result;
}
