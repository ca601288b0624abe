/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * mixed: a VM that polls beside one that is notified, on one poller; and what a notified vCPU sees.
 *
 * This thread plays both VMs. Beside: right before each request of the polling VM, which is timed, it
 * makes one of the other VM, so that each meets one that the poller takes on first or just then. What
 * that adds is at most the time of one request of that VM, from PENDING to COMPLETE.
 * The kernel's thread, which writes the eventfds, shares this thread's CPU where there are but two: it is
 * let asleep while samples are taken, and woken between two runs of them, as often as its queue would
 * be full. The poller pushes no less for that.
 * `rtt --completion notify`: this thread sleeps in a read of its eventfd; SQPOLL awake on its CPU.
 */
#include "bench/bare.h"
#include "bench/bench.h"
#include "bench/echo.h"
#include "bench/partner.h"
#include "pollers/memory.h"
#include "pollers/notify_ring.h"
#include "pollers/poller_internal.h"
#include "server/sources/source.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define ADDRESS       0xd0000000u
#define IDLE_MS       NOTIFY_RING_IDLE_MIN_MS
#define RUN_SAMPLES   512u /* between two looks of the kernel's thread; each pushes once */
#define SAMPLE_SHARE  2u   /* of --samples: they are longer than those of other questions */
#define SLEPT_SAMPLES 500u /* a block, where each is a wake-up */

enum vm { VM_POLLING, VM_OTHER, VM_COUNT };
enum beside { BESIDE_NOTIFIED, BESIDE_NOTHING, BESIDE_POLLING, BESIDE_COUNT };

struct mixed {
    struct partner *partner;
    struct page_source sources[VM_COUNT];
    struct page *pages[VM_COUNT];
    struct poller *poller;
    struct router *router;
    struct device device;
    struct client client;
    struct histogram *recorded;
    struct poller_command stop_command;
    struct notify_ring *ring;
    int descriptor; /* the other VM's eventfd */
    uint32_t left;  /* pushes until the kernel's thread is let write them */
};

/* ---- the poller ---------------------------------------------------------------------------- */

static void serve(void *context)
{
    struct mixed *mixed = context;
    mixed->poller->is_stopping = false;
    poller_loop(mixed->poller);
}

static void begin(struct mixed *mixed)
{
    partner_run(mixed->partner, serve, mixed);
}

static void end(struct mixed *mixed)
{
    atomic_store_explicit(&mixed->poller->command, &mixed->stop_command, memory_order_release);
    partner_wait(mixed->partner);
}

static int set_up_page(struct mixed *mixed, uint32_t vm, int node)
{
    char reason[SOURCE_REASON_BYTES];
    mixed->pages[vm] = memory_allocate(sizeof(*mixed->pages[vm]), node);
    int result = mixed->pages[vm]
                     ? page_source_open(&mixed->sources[vm], &source_memfd, NULL, NULL, reason)
                     : -ENOMEM;
    if (result == 0)
        result = page_init(mixed->pages[vm], 1, mixed->router, NULL);
    if (result < 0)
        return result;
    page_open(mixed->pages[vm], mixed->sources[vm].slots);
    return poller_add_page(mixed->poller, mixed->pages[vm]);
}

static int set_up_ring(struct mixed *mixed, const struct bench_options *options, int node)
{
    struct page_notify *notify = &mixed->pages[VM_OTHER]->notify;
    const struct notify_ring_options sqpoll = {.kind = NOTIFY_RING_SQPOLL,
                                               .sqpoll_cpu = options->requester_cpu,
                                               .idle_ms = IDLE_MS,
                                               .node = node};
    mixed->descriptor = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (mixed->descriptor < 0)
        return -errno;
    int result = notify_ring_create(&sqpoll, &mixed->ring);
    if (result == 0)
        result = notify_ring_add(mixed->ring, mixed->descriptor, &notify->slots[0].signal);
    if (result < 0)
        return result;
    notify->ring = notify_ring_port(mixed->ring);
    notify->slots[0].way = PAGE_NOTIFY_RING;
    return 0;
}

static int set_up(struct mixed *mixed, const struct bench_options *options)
{
    int node = memory_node_of_cpu(options->poller_cpu);
    const struct router_range range = {ADDRESS, ADDRESS + 0xfff, &mixed->client, REQUEST_MMIO, 0,
                                       0};
    const struct poller_options poller_options = {
        .name = "bench", .cpu = options->poller_cpu, .idle = POLLER_IDLE_SPIN};
    mixed->recorded = memory_allocate(sizeof(*mixed->recorded), node);
    if (!mixed->recorded)
        return -ENOMEM;
    mixed->device.ops = &echo_ops;
    mixed->client.device = &mixed->device;
    mixed->client.latency = mixed->recorded;
    int result = router_create(&range, 1, node, &mixed->router, NULL);
    if (result == 0)
        result = poller_create(&poller_options, &mixed->poller);
    for (uint32_t vm = 0; vm < VM_COUNT && result == 0; vm++)
        result = set_up_page(mixed, vm, node);
    if (result == 0)
        result = set_up_ring(mixed, options, node);
    if (result < 0)
        return result;
    mixed->stop_command =
        (struct poller_command){.function = echo_stop_poller, .context = mixed->poller};
    ticks_per_second();
    result = bench_bind_self(options->requester_cpu);
    return result < 0 ? result : partner_create(options->poller_cpu, &mixed->partner);
}

static void tear_down(struct mixed *mixed)
{
    partner_destroy(mixed->partner);
    poller_destroy(mixed->poller);
    notify_ring_destroy(mixed->ring);
    router_destroy(mixed->router);
    for (uint32_t vm = 0; vm < VM_COUNT; vm++) {
        page_source_close(&mixed->sources[vm]);
        if (mixed->pages[vm])
            memory_free(mixed->pages[vm], sizeof(*mixed->pages[vm]));
    }
    if (mixed->recorded)
        memory_free(mixed->recorded, sizeof(*mixed->recorded));
    if (mixed->descriptor >= 0)
        close(mixed->descriptor);
}

/* ---- beside each other --------------------------------------------------------------------- */

static bool is_asleep(const struct mixed *mixed)
{
    return notify_ring_figures(mixed->ring).is_asleep;
}

/* What was pushed is written, and the kernel's thread sleeps again. */
static void let_write(struct mixed *mixed)
{
    const struct timespec pause = {.tv_nsec = 200000};
    uint64_t count;
    do {
        notify_ring_tend(mixed->ring);
        nanosleep(&pause, NULL);
    } while (!is_asleep(mixed));
    (void)!read(mixed->descriptor, &count, sizeof(count));
    mixed->left = RUN_SAMPLES;
}

static void ask_other(struct mixed *mixed, bool is_polling)
{
    struct acrn_io_request *slot = mixed->sources[VM_OTHER].slots;
    bare_fill(slot, ADDRESS + 4);
    slot->completion_polling = is_polling;
    __atomic_store_n(&slot->processed, SLOT_PENDING, __ATOMIC_RELEASE);
}

static void free_other(const struct mixed *mixed)
{
    struct acrn_io_request *slot = mixed->sources[VM_OTHER].slots;
    bare_await(slot);
    __atomic_store_n(&slot->processed, SLOT_FREE, __ATOMIC_RELEASE);
}

/* The polling VM's request; or, with BESIDE_COUNT, the notified one's own, alone. */
static uint64_t sample(struct mixed *mixed, uint32_t beside)
{
    if (beside == BESIDE_COUNT) {
        uint64_t before = ticks_now();
        ask_other(mixed, false);
        bare_await(mixed->sources[VM_OTHER].slots);
        uint64_t ticks = ticks_now() - before;
        free_other(mixed);
        return ticks;
    }
    if (beside != BESIDE_NOTHING)
        ask_other(mixed, beside == BESIDE_POLLING);
    uint64_t ticks = bare_access(mixed->sources[VM_POLLING].slots, ADDRESS);
    if (beside != BESIDE_NOTHING)
        free_other(mixed);
    return ticks;
}

static int run_block(void *context, uint32_t beside, uint64_t *samples, uint32_t count)
{
    struct mixed *mixed = context;
    uint32_t warm_up = count / 10;
    let_write(mixed);
    begin(mixed);
    for (uint32_t i = 0; i < warm_up + count; i++) {
        uint64_t ticks = sample(mixed, beside);
        if (i >= warm_up)
            samples[i - warm_up] = ticks;
        if (--mixed->left == 0)
            let_write(mixed);
    }
    end(mixed);
    return 0;
}

static int measure(struct bench_result *result, struct mixed *mixed)
{
    const struct bench_contender contenders[] = {
        {"beside a notified request", BENCH_OURS, 0, 0, run_block, mixed, BESIDE_NOTIFIED},
        {"alone", BENCH_LIMIT, 0, 0, run_block, mixed, BESIDE_NOTHING},
        {"beside a polled request", BENCH_BASELINE, 0, 0, run_block, mixed, BESIDE_POLLING},
        {"the notified request, alone", BENCH_BASELINE, 0, 0, run_block, mixed, BESIDE_COUNT},
    };
    struct bench_point *point;
    int failed = bench_compare(result, "a polling VM's request", 0, contenders, 4, &point);
    if (failed < 0)
        return failed;
    double added_ns =
        bench_series_ns(&point->series[0], 0.99) - bench_series_ns(&point->series[1], 0.99);
    bench_reach_at_most(result, "p99 added by a notified request, ns", added_ns,
                        bench_series_ns(&point->series[3], 0.99));
    return 0;
}

int bench_mixed(struct bench_result *result)
{
    static struct bench_options own;
    struct mixed mixed = {.descriptor = -1};
    if (bench_skip_without_ring(result))
        return 0;
    own = *result->options;
    own.block_samples = own.block_samples / SAMPLE_SHARE + 1;
    result->options = &own;
    int failed = set_up(&mixed, result->options);
    if (failed == 0)
        failed = measure(result, &mixed);
    if (failed == 0)
        bench_fact(result, "pushes that found the queue full",
                   (double)notify_ring_figures(mixed.ring).overflows);
    tear_down(&mixed);
    return failed;
}

/* ---- rtt --completion notify --------------------------------------------------------------- */

static int run_slept(void *context, uint32_t is_polling, uint64_t *samples, uint32_t count)
{
    struct mixed *mixed = context;
    struct acrn_io_request *slot = mixed->sources[VM_OTHER].slots;
    uint32_t warm_up = count / 10;
    uint64_t told;
    if (is_polling)
        let_write(mixed);
    begin(mixed);
    for (uint32_t i = 0; i < warm_up + count; i++) {
        uint64_t before = ticks_now();
        ask_other(mixed, is_polling);
        while (!is_polling && read(mixed->descriptor, &told, sizeof(told)) < 0) {
            struct pollfd entry = {.fd = mixed->descriptor, .events = POLLIN};
            const struct timespec tend = {.tv_nsec = NOTIFY_RING_TEND_SOON_NS};
            if (ppoll(&entry, 1, &tend, NULL) == 0) /* the kernel's thread may sleep */
                notify_ring_tend(mixed->ring);
        }
        bare_await(slot);
        uint64_t ticks = ticks_now() - before;
        __atomic_store_n(&slot->processed, SLOT_FREE, __ATOMIC_RELEASE);
        if (i >= warm_up)
            samples[i - warm_up] = ticks;
    }
    end(mixed);
    return 0;
}

int bench_rtt_notified(struct bench_result *result)
{
    struct mixed mixed = {.descriptor = -1};
    struct bench_point *point;
    if (bench_skip_without_ring(result))
        return 0;
    int failed = set_up(&mixed, result->options);
    const struct bench_contender contenders[] = {
        {"notified: asleep until told", BENCH_OURS, 0, SLEPT_SAMPLES, run_slept, &mixed, false},
        {"polling", BENCH_LIMIT, 0, SLEPT_SAMPLES, run_slept, &mixed, true},
    };
    if (failed == 0)
        failed = bench_compare(result, "1 vCPU", 1, contenders, 2, &point);
    tear_down(&mixed);
    return failed;
}
