/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sweep: what it costs a poller to look at slots, with 1 to 64 VMs of 16 vCPUs.
 *
 * Empty sweep: all slots are FREE. Rounds of the poller's loop beside loops that load the same
 * lines and tell whether a slot is PENDING, and do no more; shown is the time of one slot.
 * Round trip: one request at a time in any of the slots, PENDING to COMPLETE, with the poller's loop or
 * a bare loop (bare.h) over all of them on the other CPU; how long it takes until the slot is seen is
 * in it.
 */
#include "bench/bare.h"
#include "bench/bench.h"
#include "bench/echo.h"
#include "bench/partner.h"

#include "pollers/memory.h"
#include "pollers/poller_internal.h"
#include "server/sources/source.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#define VMS_MAX        64u
#define LOOKS_A_SAMPLE 4096u /* slots of an empty sweep: VMS_MAX * SLOT_COUNT, some times */
#define EMPTY_SAMPLES  500u
#define TRIP_SAMPLES   1000u
#define RATIO_WANTED   1.3

#define RANGE_FIRST 0xd0000000u
#define RANGE_LAST  0xd0000fffu

enum look {
    LOOK_OURS,
    LOOK_PLAIN,
    LOOK_UNROLLED,   /* 16 loads, then one question */
    LOOK_PREFETCHED, /* the next page's lines are fetched meanwhile */
    LOOK_COUNT,
};
static const char *const look_names[LOOK_COUNT] = {"ioreqd", "bare loads", "bare loads, unrolled",
                                                   "bare loads, prefetch"};

#define TRIP_OURS 0u
#define TRIP_BARE 1u /* + enum bare_variant */

struct sweep {
    uint32_t vm_count;
    struct page_source sources[VMS_MAX];
    struct acrn_io_request *slots[VMS_MAX]; /* of the sources */
    struct page *pages[VMS_MAX];
    struct poller *poller;
    struct router *router;
    struct device device;
    struct client client;
    struct histogram *recorded; /* by the poller */
    struct partner *partner;
    uint32_t trip; /* what the partner runs */
    /* As in serving.c: what one side writes for each request lies on no line that the other reads. */
    _Alignas(128) uint64_t random;
    _Alignas(128) _Atomic uint32_t stop_bare;
    _Alignas(128) struct poller_command stop_command;
};

/* ---- empty sweeps ------------------------------------------------------------------------ */

static uint32_t look_plain(struct acrn_io_request *const *slots, uint32_t vm_count)
{
    uint32_t pending = 0;
    for (uint32_t vm = 0; vm < vm_count; vm++)
        for (uint32_t i = 0; i < SLOT_COUNT; i++)
            if (slot_state(&slots[vm][i]) == SLOT_PENDING)
                pending++;
    return pending;
}

static uint32_t look_unrolled(struct acrn_io_request *const *slots, uint32_t vm_count)
{
    uint32_t pending = 0;
    for (uint32_t vm = 0; vm < vm_count; vm++) {
        uint32_t any = 0;
#pragma GCC unroll 16
        for (uint32_t i = 0; i < SLOT_COUNT; i++)
            any |= slot_state(&slots[vm][i]) - 1; /* only of PENDING, 0, the top bit is set */
        pending += any >> 31;
    }
    return pending;
}

static uint32_t look_prefetched(struct acrn_io_request *const *slots, uint32_t vm_count)
{
    uint32_t pending = 0;
    for (uint32_t vm = 0; vm < vm_count; vm++) {
        uint32_t any = 0;
        const struct acrn_io_request *next = slots[vm + 1 < vm_count ? vm + 1 : 0];
#pragma GCC unroll 16
        for (uint32_t i = 0; i < SLOT_COUNT; i++) {
            __builtin_prefetch(&next[i].processed);
            any |= slot_state(&slots[vm][i]) - 1;
        }
        pending += any >> 31;
    }
    return pending;
}

/* A round of the poller is several sweeps when nothing is found, and what else there is to do: *sweeps are
 * wanted, and may become more. */
static uint32_t look_ours(struct poller *poller, uint32_t *sweeps)
{
    uint64_t begin = poller_figures(poller).sweeps, made = 0;
    uint32_t work = 0;
    for (; made < *sweeps; made = poller_figures(poller).sweeps - begin)
        work += poller_round(poller);
    *sweeps = (uint32_t)made;
    return work;
}

static uint32_t look(struct sweep *sweep, enum look how, uint32_t *sweeps)
{
    uint32_t work = 0;
    if (how == LOOK_OURS)
        return look_ours(sweep->poller, sweeps);
    for (uint32_t i = 0; i < *sweeps; i++)
        switch (how) {
        case LOOK_UNROLLED:
            work += look_unrolled(sweep->slots, sweep->vm_count);
            break;
        case LOOK_PREFETCHED:
            work += look_prefetched(sweep->slots, sweep->vm_count);
            break;
        default:
            work += look_plain(sweep->slots, sweep->vm_count);
        }
    return work;
}

static int run_empty(void *context, uint32_t how, uint64_t *samples, uint32_t count)
{
    struct sweep *sweep = context;
    uint32_t sweeps = LOOKS_A_SAMPLE / SLOT_COUNT / sweep->vm_count, work = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t made = sweeps;
        uint64_t begin = ticks_now();
        work += look(sweep, (enum look)how, &made);
        samples[i] = (ticks_now() - begin) * sweeps / made;
    }
    return work == 0 ? 0 : -EIO;
}

/* ---- round trips ------------------------------------------------------------------------- */

static void serve(void *context)
{
    struct sweep *sweep = context;
    if (sweep->trip == TRIP_OURS) {
        sweep->poller->is_stopping = false;
        poller_loop(sweep->poller);
    } else {
        bare_serve(sweep->slots, sweep->vm_count, SLOT_COUNT, &sweep->stop_bare,
                   (enum bare_variant)(sweep->trip - TRIP_BARE));
    }
}

static void stop_serving(struct sweep *sweep)
{
    if (sweep->trip == TRIP_OURS)
        atomic_store_explicit(&sweep->poller->command, &sweep->stop_command, memory_order_release);
    else
        atomic_store_explicit(&sweep->stop_bare, 1, memory_order_relaxed);
    partner_wait(sweep->partner);
}

static uint64_t access_any_slot(struct sweep *sweep)
{
    sweep->random = sweep->random * 6364136223846793005u + 1442695040888963407u;
    struct acrn_io_request *slot =
        &sweep->slots[(sweep->random >> 40) % sweep->vm_count][sweep->random >> 33 & 15];
    return bare_access(slot, RANGE_FIRST + (sweep->random >> 48 & 0x3f) * 4);
}

static int run_trips(void *context, uint32_t trip, uint64_t *samples, uint32_t count)
{
    struct sweep *sweep = context;
    sweep->trip = trip;
    atomic_store_explicit(&sweep->stop_bare, 0, memory_order_relaxed);
    partner_run(sweep->partner, serve, sweep);
    for (uint32_t i = 0; i < count / 10; i++)
        access_any_slot(sweep);
    for (uint32_t i = 0; i < count; i++)
        samples[i] = access_any_slot(sweep);
    stop_serving(sweep);
    return 0;
}

/* ---- set-up ------------------------------------------------------------------------------ */

static int add_vm(struct sweep *sweep, int node)
{
    char reason[SOURCE_REASON_BYTES];
    uint32_t vm = sweep->vm_count;
    sweep->pages[vm] = memory_allocate(sizeof(*sweep->pages[vm]), node);
    if (!sweep->pages[vm])
        return -ENOMEM;
    int result = page_source_open(&sweep->sources[vm], &source_memfd, NULL, NULL, reason);
    if (result < 0)
        return result;
    sweep->slots[vm] = sweep->sources[vm].slots;
    page_init(sweep->pages[vm], SLOT_COUNT, sweep->router, NULL);
    page_open(sweep->pages[vm], sweep->slots[vm]);
    sweep->vm_count++;
    return poller_add_page(sweep->poller, sweep->pages[vm]);
}

static int set_up(struct sweep *sweep, const struct bench_options *options)
{
    int node = memory_node_of_cpu(options->poller_cpu);
    sweep->recorded = memory_allocate(sizeof(*sweep->recorded), node);
    if (!sweep->recorded)
        return -ENOMEM;
    sweep->device.ops = &echo_ops;
    sweep->client.device = &sweep->device;
    sweep->client.latency = sweep->recorded;
    const struct router_range range = {RANGE_FIRST, RANGE_LAST, &sweep->client, REQUEST_MMIO, 0, 0};
    const struct poller_options poller_options = {
        .name = "bench", .cpu = options->poller_cpu, .idle = POLLER_IDLE_SPIN};
    int result = router_create(&range, 1, node, &sweep->router, NULL);
    if (result == 0)
        result = poller_create(&poller_options, &sweep->poller);
    if (result < 0)
        return result;
    sweep->stop_command =
        (struct poller_command){.function = echo_stop_poller, .context = sweep->poller};
    return 0;
}

static void tear_down(struct sweep *sweep)
{
    partner_destroy(sweep->partner);
    poller_destroy(sweep->poller);
    router_destroy(sweep->router);
    for (uint32_t vm = 0; vm < VMS_MAX; vm++) {
        page_source_close(&sweep->sources[vm]);
        if (sweep->pages[vm])
            memory_free(sweep->pages[vm], sizeof(*sweep->pages[vm]));
    }
    if (sweep->recorded)
        memory_free(sweep->recorded, sizeof(*sweep->recorded));
}

/* ---- result ------------------------------------------------------------------------------ */

static int compare(struct bench_result *result, const struct sweep *sweep, const char *what,
                   const struct bench_contender *contenders, uint32_t count)
{
    char name[BENCH_NAME_BYTES], reach[2 * BENCH_NAME_BYTES];
    struct bench_point *point;
    snprintf(name, sizeof(name), "%s, %u VM%s", what, sweep->vm_count,
             sweep->vm_count > 1 ? "s" : "");
    int failed = bench_compare(result, name, sweep->vm_count, contenders, count, &point);
    if (failed < 0)
        return failed;
    snprintf(reach, sizeof(reach), "time to the limit's, %s", name);
    bench_reach_at_most(result, reach, bench_best_limit(point)->ours.median, RATIO_WANTED);
    return 0;
}

static int measure_empty(struct bench_result *result, struct sweep *sweep)
{
    struct bench_contender contenders[LOOK_COUNT];
    for (uint32_t i = 0; i < LOOK_COUNT; i++)
        contenders[i] = (struct bench_contender){
            .name = look_names[i],
            .role = i == LOOK_OURS ? BENCH_OURS : BENCH_LIMIT,
            .operations = LOOKS_A_SAMPLE,
            .samples_max = EMPTY_SAMPLES,
            .run_block = run_empty,
            .context = sweep,
            .variant = i,
        };
    return compare(result, sweep, "empty sweep", contenders, LOOK_COUNT);
}

static int measure_trips(struct bench_result *result, struct sweep *sweep)
{
    struct bench_contender contenders[1 + BARE_VARIANT_COUNT];
    char names[BARE_VARIANT_COUNT][BENCH_NAME_BYTES];
    for (uint32_t i = 0; i <= BARE_VARIANT_COUNT; i++) {
        contenders[i] = (struct bench_contender){
            .name = "ioreqd",
            .role = i == 0 ? BENCH_OURS : BENCH_LIMIT,
            .samples_max = TRIP_SAMPLES,
            .run_block = run_trips,
            .context = sweep,
            .variant = i == 0 ? TRIP_OURS : TRIP_BARE + i - 1,
        };
        if (i == 0)
            continue;
        snprintf(names[i - 1], sizeof(names[i - 1]), "bare, %s", bare_variant_names[i - 1]);
        contenders[i].name = names[i - 1];
    }
    return compare(result, sweep, "round trip", contenders, 1 + BARE_VARIANT_COUNT);
}

/* Empty rounds are the poller's CPU's; for round trips that CPU is the partner's. */
static int measure(struct bench_result *result, struct sweep *sweep)
{
    const struct bench_options *options = result->options;
    int failed = bench_bind_self(options->poller_cpu);
    if (failed == 0)
        failed = measure_empty(result, sweep);
    if (failed == 0)
        failed = bench_bind_self(options->requester_cpu);
    if (failed == 0 && !sweep->partner)
        failed = partner_create(options->poller_cpu, &sweep->partner);
    return failed < 0 ? failed : measure_trips(result, sweep);
}

int bench_sweep(struct bench_result *result)
{
    static const uint32_t vm_counts[] = {1, 4, 16, VMS_MAX};
    static struct sweep sweep = {.random = 1};
    const struct bench_options *options = result->options;
    result->scale_name = "VMs";
    bench_parameter(result, "vCPUs a VM", SLOT_COUNT);
    int failed = set_up(&sweep, options);
    for (size_t i = 0; i < sizeof(vm_counts) / sizeof(vm_counts[0]) && failed == 0; i++) {
        while (sweep.vm_count < vm_counts[i] && failed == 0)
            failed = add_vm(&sweep, memory_node_of_cpu(options->poller_cpu));
        if (failed == 0)
            failed = measure(result, &sweep);
    }
    tear_down(&sweep);
    return failed;
}
