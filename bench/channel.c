/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * channel: from the poller that sweeps a VM to a device in another process and back, both spinning.
 *
 * This thread is the sweeping poller, as in hop: it makes a request in a slot and runs rounds of the
 * poller's loop, which push it into the channel and take the answer out, until the slot is COMPLETE. A
 * thread on the other CPU is the process: it has mappings of its own, and to a cache a mapping is a
 * mapping. No system call on either side.
 *
 * The limit is a word that goes to the other CPU and comes back, twice: a request and the count that
 * says so, an answer and its count.
 */
#include "bench/bench.h"
#include "bench/partner.h"

#include "clients/channel_peer.h"
#include "pollers/memory.h"
#include "pollers/poller_internal.h"
#include "pollers/process_serve.h"
#include "pollers/ticks.h"
#include "server/sources/source.h"

#include <errno.h>
#include <sched.h>

#define RANGE_FIRST     0xd0000000u
#define RANGE_LAST      0xd0000fffu
#define CHANNEL_SAMPLES 1000u
#define RATIO_WANTED    1.5
#define LINE_STOP       UINT64_MAX

enum way { WAY_OURS, WAY_LINES, WAY_LINES_PAUSE, WAY_COUNT };
static const struct {
    const char *name;
    enum bench_role role;
} ways[WAY_COUNT] = {
    {"ioreqd", BENCH_OURS},
    {"two words there and back", BENCH_LIMIT},
    {"two words there and back, pause", BENCH_LIMIT},
};

/* Written by one side only. */
struct line {
    _Alignas(128) _Atomic uint64_t word;
};

struct question {
    struct line there, back;
    _Alignas(128) _Atomic bool is_stopping;
    enum way way;
    struct page_source source;
    struct page *page;
    struct poller *sweeping;
    struct router *router;
    struct channel *channel;
    struct channel_peer peer;
    struct device device;
    struct client client;
    struct process_port port;
    struct histogram *recorded;
    struct partner *partner;
};

/* Both on one CPU: let the other go on. */
static inline void yield_at_times(uint32_t *spins)
{
    if (++*spins % (1u << 16) == 0)
        sched_yield();
}

/* ---- the other side ---------------------------------------------------------------------- */

/* Acquire and release pair with send_word's. */
static void answer_words(struct question *question)
{
    uint64_t answered = 0, word;
    bool has_pause = question->way == WAY_LINES_PAUSE;
    while ((word = atomic_load_explicit(&question->there.word, memory_order_acquire)) !=
           LINE_STOP) {
        if (word == answered) {
            if (has_pause)
                ticks_pause();
            continue;
        }
        answered = word;
        atomic_store_explicit(&question->back.word, word, memory_order_release);
    }
}

static void answer_requests(struct question *question)
{
    struct channel_request request;
    uint32_t spins = 0;
    while (!atomic_load_explicit(&question->is_stopping, memory_order_relaxed)) {
        if (!channel_peer_take(&question->peer, &request)) {
            yield_at_times(&spins);
            continue;
        }
        const struct channel_answer answer = {request.token, request.address, request.epoch,
                                              CHANNEL_ANSWERED};
        channel_peer_answer(&question->peer, &answer);
    }
}

static void serve(void *context)
{
    struct question *question = context;
    if (question->way == WAY_OURS)
        answer_requests(question);
    else
        answer_words(question);
}

/* ---- this side --------------------------------------------------------------------------- */

static void send_word(struct question *question, uint64_t word)
{
    uint32_t spins = 0;
    atomic_store_explicit(&question->there.word, word, memory_order_release);
    while (atomic_load_explicit(&question->back.word, memory_order_acquire) != word)
        yield_at_times(&spins);
}

static uint64_t send_words(struct question *question, uint64_t number)
{
    uint64_t begin = ticks_now();
    send_word(question, 2 * number + 1);
    send_word(question, 2 * number + 2);
    return ticks_now() - begin;
}

static uint64_t access_slot(struct question *question, uint64_t number)
{
    struct acrn_io_request *slot = question->source.slots;
    slot->type = REQUEST_MMIO;
    slot->completion_polling = 1;
    slot->reqs.mmio_request.direction = REQUEST_READ;
    slot->reqs.mmio_request.address = RANGE_FIRST + number % 64 * 4;
    slot->reqs.mmio_request.size = 4;
    slot->reqs.mmio_request.value = 0;
    uint32_t spins = 0;
    uint64_t begin = ticks_now();
    __atomic_store_n(&slot->processed, SLOT_PENDING, __ATOMIC_RELEASE);
    do {
        poller_round(question->sweeping);
        yield_at_times(&spins);
    } while (slot_state(slot) != SLOT_COMPLETE);
    uint64_t end = ticks_now();
    __atomic_store_n(&slot->processed, SLOT_FREE, __ATOMIC_RELEASE);
    return end - begin;
}

static int run_block(void *context, uint32_t way, uint64_t *samples, uint32_t count)
{
    struct question *question = context;
    question->way = (enum way)way;
    atomic_store_explicit(&question->is_stopping, false, memory_order_relaxed);
    atomic_store_explicit(&question->there.word, 0, memory_order_relaxed);
    atomic_store_explicit(&question->back.word, 0, memory_order_relaxed);
    partner_run(question->partner, serve, question);
    uint32_t warm_up = count / 10;
    for (uint32_t i = 0; i < warm_up + count; i++) {
        uint64_t ticks = way == WAY_OURS ? access_slot(question, i) : send_words(question, i);
        if (i >= warm_up)
            samples[i - warm_up] = ticks;
    }
    atomic_store_explicit(&question->is_stopping, true, memory_order_relaxed);
    atomic_store_explicit(&question->there.word, LINE_STOP, memory_order_release);
    partner_wait(question->partner);
    return 0;
}

/* ---- set-up ------------------------------------------------------------------------------ */

static int set_up_channel(struct question *question)
{
    int result = channel_open(1, &question->channel);
    if (result == 0)
        result = channel_peer_map(question->channel->requests_descriptor,
                                  question->channel->answers_descriptor, &question->peer);
    if (result < 0)
        return result;
    /* With a deadline, as it would have; nothing here is late. */
    question->port.policy.deadline_ticks = 10 * ticks_per_second();
    process_attach(question->page, &question->client, question->channel, NULL, 0,
                   (struct process_resume){0});
    return poller_add_process(question->sweeping, &question->client, question->page);
}

static int set_up(struct question *question, const struct bench_options *options)
{
    int node = memory_node_of_cpu(options->requester_cpu);
    const struct router_range range = {RANGE_FIRST,  RANGE_LAST, &question->client,
                                       REQUEST_MMIO, 0,          0};
    const struct poller_options sweeping = {.name = "sweeping", .cpu = options->requester_cpu};
    question->device.ops = &device_process;
    question->client.device = &question->device;
    question->client.process = &question->port;
    question->page = memory_allocate(sizeof(*question->page), node);
    question->recorded = memory_allocate(sizeof(*question->recorded), node);
    question->client.latency = question->recorded;
    char reason[SOURCE_REASON_BYTES];
    int result = question->page && question->recorded ? 0 : -ENOMEM;
    if (result == 0)
        result = router_create(&range, 1, node, &question->router, NULL);
    if (result == 0)
        result = page_source_open(&question->source, &source_memfd, NULL, NULL, reason);
    if (result == 0)
        result = poller_create(&sweeping, &question->sweeping);
    if (result == 0)
        result = page_init(question->page, 1, question->router, NULL);
    if (result < 0)
        return result;
    page_open(question->page, question->source.slots);
    poller_add_page(question->sweeping, question->page);
    ticks_per_second();
    result = set_up_channel(question);
    if (result == 0)
        result = bench_bind_self(options->requester_cpu);
    return result < 0 ? result : partner_create(options->poller_cpu, &question->partner);
}

static void tear_down(struct question *question)
{
    partner_destroy(question->partner);
    channel_peer_unmap(&question->peer);
    channel_close(question->channel);
    poller_destroy(question->sweeping);
    router_destroy(question->router);
    page_source_close(&question->source);
    if (question->recorded)
        memory_free(question->recorded, sizeof(*question->recorded));
    if (question->page)
        memory_free(question->page, sizeof(*question->page));
}

int bench_channel(struct bench_result *result)
{
    static struct question question;
    struct bench_contender contenders[WAY_COUNT];
    struct bench_point *point;
    for (uint32_t i = 0; i < WAY_COUNT; i++)
        contenders[i] = (struct bench_contender){
            .name = ways[i].name,
            .role = ways[i].role,
            .samples_max = CHANNEL_SAMPLES,
            .run_block = run_block,
            .context = &question,
            .variant = i,
        };
    int failed = set_up(&question, result->options);
    if (failed == 0)
        failed = bench_compare(result, "1 vCPU", 1, contenders, WAY_COUNT, &point);
    if (failed == 0)
        bench_reach_at_most(result, "p50 to two words there and back",
                            bench_best_limit(point)->ours.median, RATIO_WANTED);
    tear_down(&question);
    return failed;
}
