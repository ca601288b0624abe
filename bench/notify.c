/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * notify: what one notification costs the poller, and how long it takes.
 *
 * This thread is the poller. A sample is what it takes to give the notifications of one sweep away: to
 * the kernel's thread (notify_ring, SQPOLL), to the notifier's thread, by a system call each, by one
 * system call for all, or by write(2). Nothing else is given away until all eventfds can be read,
 * which is not part of the sample; then the next sweep. Whoever makes the writes is on the
 * requester's CPU.
 * A queue costs the poller a few stores, and the processor makes them while the poller goes on and the
 * other CPU still holds their lines. Where the stores are awaited (mfence) the sample ends only when
 * the other CPU can see them: no poller waits for that, but its next stores are seen no earlier.
 * The last point is one notification until its eventfd can be read, as this thread sees it, which
 * tries again and again: a read that finds nothing is a system call too.
 */
#include "bench/bench.h"

#include "pollers/memory.h"
#include "pollers/notifier.h"
#include "pollers/notify_ring.h"
#include "pollers/placement.h"
#include "pollers/ticks.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define SWEEP_COUNT       16u /* notifications at most a sweep: one a slot */
#define POLLER_WANTED_NS  100.0
#define IDLE_MS           NOTIFY_RING_IDLE_MIN_MS
#define DELIVERY_LIMIT_NS 1000000000ull
#define SAMPLE_SHARE      8u /* of --samples: they are longer than those of other questions */

enum way { WAY_SQPOLL, WAY_NOTIFIER, WAY_SUBMIT, WAY_BATCH, WAY_WRITE, WAY_COUNT };

static const struct {
    const char *name;
    enum bench_role role;
} ways[WAY_COUNT] = {
    [WAY_SQPOLL] = {"io_uring, SQPOLL", BENCH_OURS},
    [WAY_NOTIFIER] = {"notifier's thread", BENCH_BASELINE},
    [WAY_SUBMIT] = {"io_uring, submit each", BENCH_BASELINE},
    [WAY_BATCH] = {"io_uring, submit once a sweep", BENCH_BASELINE},
    [WAY_WRITE] = {"write(2)", BENCH_BASELINE},
};

struct notify {
    struct placement *placement;
    struct notify_ring *rings[2]; /* SQPOLL, SUBMIT */
    struct notify_ring_port *ports[2];
    struct notifier *notifier;
    struct notifier_port *notifier_port;
    int descriptors[SWEEP_COUNT];
    uint32_t ring_signals[2][SWEEP_COUNT];
    uint32_t notifier_signals[SWEEP_COUNT];
    struct point_kind {
        const char *name;
        uint32_t count; /* notifications in a sample */
        bool awaits_stores, awaits_read;
    } kind;
    uint64_t next_tend_ticks;
};

static const struct point_kind points[] = {
    {"each of 16 in a sweep", SWEEP_COUNT, false, false},
    {"a single one", 1, false, false},
    {"a single one, stores awaited", 1, true, false},
    {"a single one, until read", 1, false, true},
};
#define POINT_COUNT (sizeof(points) / sizeof(points[0]))

/* ---- one sweep ----------------------------------------------------------------------------- */

static int give_away(struct notify *notify, enum way way)
{
    const uint64_t one = 1;
    struct notify_ring_port *port = notify->ports[way != WAY_SQPOLL];
    const uint32_t *signals = notify->ring_signals[way != WAY_SQPOLL];
    int result = 0;
    for (uint32_t i = 0; i < notify->kind.count && result >= 0; i++)
        switch (way) {
        case WAY_NOTIFIER:
            notifier_push(notify->notifier_port, notify->notifier_signals[i]);
            break;
        case WAY_WRITE:
            result = write(notify->descriptors[i], &one, sizeof(one)) < 0 ? -errno : 0;
            break;
        case WAY_SUBMIT:
            notify_ring_push(port, signals[i]);
            result = notify_ring_submit(port);
            break;
        default:
            notify_ring_push(port, signals[i]);
        }
    return way == WAY_BATCH && result >= 0 ? notify_ring_submit(port) : result;
}

/* Until every eventfd of the sweep could be read. */
static int take_all(struct notify *notify)
{
    uint64_t deadline = 0;
    for (uint32_t i = 0; i < notify->kind.count;) {
        uint64_t count;
        if (read(notify->descriptors[i], &count, sizeof(count)) == sizeof(count)) {
            i++;
            continue;
        }
        uint64_t now = ticks_now();
        deadline = deadline ? deadline : now + ticks_from_ns(DELIVERY_LIMIT_NS);
        if (now > deadline)
            return -ETIMEDOUT;
        if (now > notify->next_tend_ticks) /* in case the kernel's thread sleeps */
            notify->next_tend_ticks = now + ticks_from_ns(notify_ring_tend(notify->rings[0]));
        sched_yield(); /* in case all are on one CPU */
    }
    return 0;
}

/* The kernel's thread spins for a while after its block, on the CPU of the notifier's. */
static void await_sleep(const struct notify *notify)
{
    struct timespec pause = {.tv_nsec = 200000};
    while (!notify_ring_figures(notify->rings[0]).is_asleep)
        nanosleep(&pause, NULL);
}

static int run_block(void *context, uint32_t way, uint64_t *samples, uint32_t count)
{
    struct notify *notify = context;
    uint32_t warm_up = count / 10;
    if (way != WAY_SQPOLL)
        await_sleep(notify);
    for (uint32_t i = 0; i < warm_up + count; i++) {
        uint64_t begin = ticks_now();
        int result = give_away(notify, way);
        if (notify->kind.awaits_stores)
            _mm_mfence();
        uint64_t end = ticks_now();
        if (result == 0)
            result = take_all(notify);
        if (result < 0)
            return result;
        if (notify->kind.awaits_read)
            end = ticks_now();
        if (i >= warm_up)
            samples[i - warm_up] = end - begin;
    }
    return 0;
}

/* ---- set-up -------------------------------------------------------------------------------- */

static int set_up_ring(struct notify *notify, uint32_t index,
                       const struct notify_ring_options *options)
{
    int result = notify_ring_create(options, &notify->rings[index]);
    if (result < 0)
        return result;
    notify->ports[index] = notify_ring_port(notify->rings[index]);
    for (uint32_t i = 0; i < SWEEP_COUNT && result == 0; i++)
        result = notify_ring_add(notify->rings[index], notify->descriptors[i],
                                 &notify->ring_signals[index][i]);
    return result;
}

/* On the requester's CPU, which the notifier's thread inherits. */
static int set_up_notifier(struct notify *notify, int node)
{
    int result = notifier_create(&notify->notifier);
    if (result == 0)
        result = notifier_add_port(notify->notifier, node, &notify->notifier_port);
    for (uint32_t i = 0; i < SWEEP_COUNT && result == 0; i++)
        result =
            notifier_add(notify->notifier, notify->descriptors[i], &notify->notifier_signals[i]);
    if (result == 0)
        result = notifier_start(notify->notifier);
    return result;
}

static int set_up(struct notify *notify, const struct bench_options *options)
{
    int node = memory_node_of_cpu(options->poller_cpu);
    int result = placement_open(&notify->placement);
    for (uint32_t i = 0; i < SWEEP_COUNT && result == 0; i++) {
        notify->descriptors[i] = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
        result = notify->descriptors[i] < 0 ? -errno : 0;
    }
    if (result == 0)
        result = placement_bind_self(notify->placement, options->requester_cpu);
    if (result == 0)
        result = set_up_notifier(notify, node);
    const struct notify_ring_options sqpoll = {.kind = NOTIFY_RING_SQPOLL,
                                               .sqpoll_cpu = options->requester_cpu,
                                               .idle_ms = IDLE_MS,
                                               .node = node};
    const struct notify_ring_options submit = {.kind = NOTIFY_RING_SUBMIT, .node = node};
    if (result == 0)
        result = set_up_ring(notify, 0, &sqpoll);
    if (result == 0)
        result = set_up_ring(notify, 1, &submit);
    if (result == 0)
        result = placement_bind_self(notify->placement, options->poller_cpu);
    return result;
}

static void tear_down(struct notify *notify)
{
    notify_ring_destroy(notify->rings[0]);
    notify_ring_destroy(notify->rings[1]);
    notifier_destroy(notify->notifier);
    for (uint32_t i = 0; i < SWEEP_COUNT; i++)
        if (notify->descriptors[i] >= 0)
            close(notify->descriptors[i]);
    placement_close(notify->placement);
}

/* ---- result -------------------------------------------------------------------------------- */

static int measure(struct bench_result *result, struct notify *notify,
                   const struct point_kind *kind)
{
    struct bench_contender contenders[WAY_COUNT];
    struct bench_point *point;
    uint32_t count = 0;
    for (uint32_t way = 0; way < WAY_COUNT; way++)
        if (way != WAY_BATCH || kind->count > 1)
            contenders[count++] = (struct bench_contender){.name = ways[way].name,
                                                           .role = ways[way].role,
                                                           .operations = kind->count,
                                                           .run_block = run_block,
                                                           .context = notify,
                                                           .variant = way};
    notify->kind = *kind;
    int failed = bench_compare(result, kind->name, 0, contenders, count, &point);
    if (failed < 0 || kind->awaits_stores || kind->awaits_read)
        return failed;
    char name[2 * BENCH_NAME_BYTES];
    snprintf(name, sizeof(name), "SQPOLL p50, ns: %s", kind->name);
    bench_reach_at_most(result, name, bench_series_ns(&point->series[0], 0.5), POLLER_WANTED_NS);
    return 0;
}

/* What a sample of nothing takes. */
static double empty_sample_ns(bool awaits_stores)
{
    uint64_t best = UINT64_MAX;
    for (uint32_t i = 0; i < 1000; i++) {
        uint64_t begin = ticks_now();
        if (awaits_stores)
            _mm_mfence();
        uint64_t ticks = ticks_now() - begin;
        best = ticks < best ? ticks : best;
    }
    return (double)best * 1e9 / (double)ticks_per_second();
}

int bench_notify(struct bench_result *result)
{
    static struct bench_options own;
    struct notify notify = {0};
    if (bench_skip_without_ring(result))
        return 0;
    own = *result->options;
    own.block_samples = own.block_samples / SAMPLE_SHARE + 1;
    result->options = &own;
    memset(notify.descriptors, -1, sizeof(notify.descriptors));
    bench_parameter(result, "blocks", own.blocks);
    bench_parameter(result, "samples a block", own.block_samples);
    bench_parameter(result, "notifications a sweep", SWEEP_COUNT);
    int failed = set_up(&notify, result->options);
    for (size_t i = 0; i < POINT_COUNT && failed == 0; i++)
        failed = measure(result, &notify, &points[i]);
    if (failed == 0) {
        struct notify_ring_figures figures = notify_ring_figures(notify.rings[0]);
        bench_fact(result, "a sample of nothing, ns", empty_sample_ns(false));
        bench_fact(result, "a sample of nothing, stores awaited, ns", empty_sample_ns(true));
        bench_fact(result, "SQPOLL: queue full", (double)figures.overflows);
        bench_fact(result, "SQPOLL: kernel's thread woken", (double)figures.wakes);
    }
    tear_down(&notify);
    return failed;
}
