/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hop: from the poller that sweeps a VM to a device on another poller and back.
 *
 * This thread is the sweeping poller: it makes a request in a slot and runs rounds of the poller's loop,
 * which hand the request to the device's inbox and take the answer out, until the slot is COMPLETE. The
 * other poller's loop, on the other CPU, calls the device. (A requester on a CPU of
 * its own would make a third; rtt measures that way.)
 *
 * The limit is a word that goes to the other CPU and comes back, in one cache line or in one for each
 * direction. Beside it the same request where the device lives on the sweeping poller, while the other
 * one looks into its empty inbox: all but the hop; the hop is what is added to that.
 */
#include "bench/bare.h"
#include "bench/bench.h"
#include "bench/echo.h"
#include "bench/partner.h"

#include "clients/inbox.h"
#include "pollers/memory.h"
#include "pollers/poller_internal.h"
#include "server/sources/source.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>

#define RANGE_FIRST  0xd0000000u
#define RANGE_LAST   0xd0000fffu
#define HOP_SAMPLES  1000u
#define RATIO_WANTED 1.3
#define LINE_STOP    UINT64_MAX

enum way {
    WAY_OURS,
    WAY_ONE_LINE,
    WAY_ONE_LINE_PAUSE,
    WAY_TWO_LINES,
    WAY_TWO_LINES_PAUSE,
    WAY_SAME_POLLER,
    WAY_COUNT,
};
static const struct {
    const char *name;
    enum bench_role role;
} ways[WAY_COUNT] = {
    {"ioreqd", BENCH_OURS},
    {"one line", BENCH_LIMIT},
    {"one line, pause", BENCH_LIMIT},
    {"a line each way", BENCH_LIMIT},
    {"a line each way, pause", BENCH_LIMIT},
    {"ioreqd, device on same poller", BENCH_BASELINE},
};

/* Written by this side only, unless it is the one line. */
struct line {
    _Alignas(128) _Atomic uint64_t word;
};

struct hop {
    struct line there, back;
    enum way way;
    struct page_source source;
    struct page *page;
    struct poller *sweeping, *other;
    struct device device;
    struct client near, far; /* on the sweeping poller, and on the other one */
    struct router *to_near, *to_far;
    struct histogram *recorded;
    struct partner *partner;
    struct poller_command stop_command;
    uint32_t vcpus;
    char
        apart[128]; /* the sweeping poller writes what follows, the other reads what comes before */
    uint64_t random;
    char apart_too[128];
};

/* Both on one CPU: let the other go on. */
static inline void yield_at_times(uint32_t *spins)
{
    if (++*spins % (1u << 16) == 0)
        sched_yield();
}

/* ---- the limit --------------------------------------------------------------------------- */

static inline bool has_pause(enum way way)
{
    return way == WAY_ONE_LINE_PAUSE || way == WAY_TWO_LINES_PAUSE;
}

static inline bool is_one_line(enum way way)
{
    return way == WAY_ONE_LINE || way == WAY_ONE_LINE_PAUSE;
}

/* Answers each odd word with the even one that follows. Acquire and release pair with send_word's. */
static inline __attribute__((always_inline)) void answer_words(struct hop *hop, enum way way)
{
    _Atomic uint64_t *there = &hop->there.word;
    _Atomic uint64_t *back = is_one_line(way) ? there : &hop->back.word;
    uint64_t answered = 0, word;
    while ((word = atomic_load_explicit(there, memory_order_acquire)) != LINE_STOP) {
        if (word % 2 == 0 || word == answered) {
            if (has_pause(way))
                ticks_pause();
            continue;
        }
        answered = word;
        atomic_store_explicit(back, word + 1, memory_order_release);
    }
}

static inline __attribute__((always_inline)) uint64_t send_word(struct hop *hop, enum way way,
                                                                uint64_t word)
{
    _Atomic uint64_t *there = &hop->there.word;
    const _Atomic uint64_t *back = is_one_line(way) ? there : &hop->back.word;
    uint32_t spins = 0;
    uint64_t begin = ticks_now();
    atomic_store_explicit(there, word, memory_order_release);
    while (atomic_load_explicit(back, memory_order_acquire) != word + 1) {
        if (has_pause(way))
            ticks_pause();
        yield_at_times(&spins);
    }
    return ticks_now() - begin;
}

static inline __attribute__((always_inline)) void send_words(struct hop *hop, enum way way,
                                                             uint64_t *samples, uint32_t count)
{
    for (uint32_t i = 0; i < count / 10; i++)
        send_word(hop, way, 2 * i + 1);
    for (uint32_t i = 0; i < count; i++)
        samples[i] = send_word(hop, way, 2 * (count + i) + 1);
}

/* ---- ours -------------------------------------------------------------------------------- */

static uint64_t access_slot(struct hop *hop)
{
    hop->random = hop->random * 6364136223846793005u + 1442695040888963407u;
    struct acrn_io_request *slot = &hop->source.slots[(hop->random >> 33) % hop->vcpus];
    slot->type = REQUEST_MMIO;
    slot->completion_polling = 1;
    slot->reqs.mmio_request.direction = REQUEST_READ;
    slot->reqs.mmio_request.address = RANGE_FIRST + (hop->random >> 48 & 0x3f) * 4;
    slot->reqs.mmio_request.size = 4;
    slot->reqs.mmio_request.value = 0;
    uint32_t spins = 0;
    /* What the requester stores is its own business: here its lines have come before time begins. */
    atomic_thread_fence(memory_order_seq_cst);
    uint64_t begin = ticks_now();
    __atomic_store_n(&slot->processed, SLOT_PENDING, __ATOMIC_RELEASE);
    do {
        poller_round(hop->sweeping);
        yield_at_times(&spins);
    } while (slot_state(slot) != SLOT_COMPLETE);
    uint64_t end = ticks_now();
    __atomic_store_n(&slot->processed, SLOT_FREE, __ATOMIC_RELEASE);
    return end - begin;
}

static void access_slots(struct hop *hop, uint64_t *samples, uint32_t count)
{
    for (uint32_t i = 0; i < count / 10; i++)
        access_slot(hop);
    for (uint32_t i = 0; i < count; i++)
        samples[i] = access_slot(hop);
}

/* ---- blocks ------------------------------------------------------------------------------ */

/* The partner's side. */
static void serve(void *context)
{
    struct hop *hop = context;
    switch (hop->way) {
    case WAY_ONE_LINE:
        answer_words(hop, WAY_ONE_LINE);
        break;
    case WAY_ONE_LINE_PAUSE:
        answer_words(hop, WAY_ONE_LINE_PAUSE);
        break;
    case WAY_TWO_LINES:
        answer_words(hop, WAY_TWO_LINES);
        break;
    case WAY_TWO_LINES_PAUSE:
        answer_words(hop, WAY_TWO_LINES_PAUSE);
        break;
    default:
        hop->other->is_stopping = false;
        poller_loop(hop->other);
    }
}

static int run_block(void *context, uint32_t way, uint64_t *samples, uint32_t count)
{
    struct hop *hop = context;
    hop->way = (enum way)way;
    atomic_store_explicit(&hop->page->router, way == WAY_OURS ? hop->to_far : hop->to_near,
                          memory_order_release);
    atomic_store_explicit(&hop->there.word, 0, memory_order_relaxed);
    atomic_store_explicit(&hop->back.word, 0, memory_order_relaxed);
    partner_run(hop->partner, serve, hop);
    switch (hop->way) {
    case WAY_ONE_LINE:
        send_words(hop, WAY_ONE_LINE, samples, count);
        break;
    case WAY_ONE_LINE_PAUSE:
        send_words(hop, WAY_ONE_LINE_PAUSE, samples, count);
        break;
    case WAY_TWO_LINES:
        send_words(hop, WAY_TWO_LINES, samples, count);
        break;
    case WAY_TWO_LINES_PAUSE:
        send_words(hop, WAY_TWO_LINES_PAUSE, samples, count);
        break;
    default:
        access_slots(hop, samples, count);
        atomic_store_explicit(&hop->other->command, &hop->stop_command, memory_order_release);
    }
    atomic_store_explicit(&hop->there.word, LINE_STOP, memory_order_release);
    partner_wait(hop->partner);
    return 0;
}

/* ---- set-up ------------------------------------------------------------------------------ */

static int build_clients(struct hop *hop, uint32_t device_cpu)
{
    int node = memory_node_of_cpu(device_cpu);
    void *inbox = memory_allocate(sizeof(struct inbox), node);
    hop->recorded = memory_allocate(sizeof(*hop->recorded), node);
    hop->device.ops = &echo_ops;
    hop->near = (struct client){.device = &hop->device, .latency = hop->recorded};
    hop->far = hop->near;
    if (!inbox || !hop->recorded)
        return -ENOMEM;
    hop->far.inbox = inbox_init(inbox);
    const struct router_range near = {RANGE_FIRST, RANGE_LAST, &hop->near, REQUEST_MMIO, 0, 0};
    const struct router_range far = {RANGE_FIRST, RANGE_LAST, &hop->far, REQUEST_MMIO, 0, 0};
    int result = router_create(&near, 1, node, &hop->to_near, NULL);
    return result < 0 ? result : router_create(&far, 1, node, &hop->to_far, NULL);
}

static int set_up(struct hop *hop, const struct bench_options *options)
{
    char reason[SOURCE_REASON_BYTES];
    int node = memory_node_of_cpu(options->requester_cpu);
    /* The requester looks only between two rounds, so a round is to be one sweep: with SPIN it would
     * be several. No round here idles. */
    const struct poller_options sweeping = {
        .name = "sweeping", .cpu = options->requester_cpu, .idle = POLLER_IDLE_PAUSE};
    const struct poller_options other = {.name = "other", .cpu = options->poller_cpu};
    hop->page = memory_allocate(sizeof(*hop->page), node);
    int result = hop->page ? build_clients(hop, options->poller_cpu) : -ENOMEM;
    if (result == 0)
        result = page_source_open(&hop->source, &source_memfd, NULL, NULL, reason);
    if (result == 0)
        result = poller_create(&sweeping, &hop->sweeping);
    if (result == 0)
        result = poller_create(&other, &hop->other);
    if (result == 0)
        result = page_init(hop->page, SLOT_COUNT, hop->to_near, NULL);
    if (result < 0)
        return result;
    page_open(hop->page, hop->source.slots);
    poller_add_page(hop->sweeping, hop->page);
    poller_add_inbox(hop->other, &hop->far);
    hop->stop_command =
        (struct poller_command){.function = echo_stop_poller, .context = hop->other};
    ticks_per_second();
    result = bench_bind_self(options->requester_cpu);
    return result < 0 ? result : partner_create(options->poller_cpu, &hop->partner);
}

static void tear_down(struct hop *hop)
{
    partner_destroy(hop->partner);
    poller_destroy(hop->sweeping);
    poller_destroy(hop->other);
    router_destroy(hop->to_near);
    router_destroy(hop->to_far);
    page_source_close(&hop->source);
    if (hop->far.inbox)
        memory_free(hop->far.inbox, sizeof(struct inbox));
    if (hop->recorded)
        memory_free(hop->recorded, sizeof(*hop->recorded));
    if (hop->page)
        memory_free(hop->page, sizeof(*hop->page));
}

/* ---- result ------------------------------------------------------------------------------ */

static int compare_reals(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* Median over the blocks of ours less the same poller's, to the limit's. scratch [blocks]. */
static double added_ratio(const struct bench_point *point, uint32_t blocks, double *scratch)
{
    const struct bench_series *limit = bench_best_limit(point);
    const double *ours = point->series[WAY_OURS].block_p50;
    const double *same = point->series[WAY_SAME_POLLER].block_p50;
    for (uint32_t i = 0; i < blocks; i++)
        scratch[i] = (ours[i] - same[i]) / limit->block_p50[i];
    qsort(scratch, blocks, sizeof(*scratch), compare_reals);
    return scratch[blocks / 2];
}

static void conclude(struct bench_result *result, const struct bench_point *point, double *scratch)
{
    char text[2 * BENCH_NAME_BYTES];
    double ours_ns = bench_series_ns(&point->series[WAY_OURS], 0.5);
    double same_ns = bench_series_ns(&point->series[WAY_SAME_POLLER], 0.5);
    snprintf(text, sizeof(text), "added by the hop, ns, %s", point->name);
    bench_fact(result, text, ours_ns - same_ns);
    snprintf(text, sizeof(text), "added, to one line both ways, %s", point->name);
    bench_reach_at_most(result, text, added_ratio(point, result->options->blocks, scratch),
                        RATIO_WANTED);
}

static int measure(struct bench_result *result, struct hop *hop)
{
    struct bench_contender contenders[WAY_COUNT];
    for (uint32_t i = 0; i < WAY_COUNT; i++)
        contenders[i] = (struct bench_contender){
            .name = ways[i].name,
            .role = ways[i].role,
            .samples_max = HOP_SAMPLES,
            .run_block = run_block,
            .context = hop,
            .variant = i,
        };
    char name[BENCH_NAME_BYTES];
    struct bench_point *point;
    snprintf(name, sizeof(name), "%u vCPU%s", hop->vcpus, hop->vcpus > 1 ? "s" : "");
    hop->page->vcpu_count = hop->vcpus;
    int failed = bench_compare(result, name, hop->vcpus, contenders, WAY_COUNT, &point);
    if (failed < 0)
        return failed;
    double *scratch = calloc(result->options->blocks, sizeof(*scratch));
    if (!scratch)
        return -ENOMEM;
    conclude(result, point, scratch);
    free(scratch);
    return 0;
}

int bench_hop(struct bench_result *result)
{
    static const uint32_t vcpu_counts[] = {1, SLOT_COUNT};
    static struct hop hop = {.random = 1};
    const struct bench_options *options = result->options;
    result->scale_name = "vCPUs";
    bench_parameter(result, "ranges", 1);
    int failed = set_up(&hop, options);
    for (size_t i = 0; i < sizeof(vcpu_counts) / sizeof(vcpu_counts[0]) && failed == 0; i++) {
        hop.vcpus = options->has_vcpus ? options->vcpus : vcpu_counts[i];
        failed = measure(result, &hop);
        if (options->has_vcpus)
            break;
    }
    tear_down(&hop);
    return failed;
}
