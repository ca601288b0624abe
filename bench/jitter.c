/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * jitter: how long a poller that has nothing to do is kept from looking, and by what.
 *
 * This thread is the poller: it makes the rounds of the poller's loop over a page of 16 FREE slots
 * and reads the clock after each. A round that took more than a microsecond is a gap. Beside it, in
 * turn, a loop that only reads the clock: what happens to that one is the machine's doing.
 * After each gap the kernel says whether another thread ran meanwhile; otherwise it was an interrupt,
 * or the hypervisor. Before and after each block its counts of interrupts are read.
 */
#include "bench/bench.h"
#include "bench/interruptions.h"

#include "pollers/memory.h"
#include "pollers/placement.h"
#include "pollers/poller_internal.h"
#include "pollers/ticks.h"
#include "server/sources/source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define GAP_NS   1000u
#define BLOCK_NS 50000000u

enum loop { LOOP_POLLER, LOOP_BARE, LOOP_COUNT };
enum cause { CAUSE_ANY, CAUSE_THREAD, CAUSE_OTHER, CAUSE_COUNT };

static const char *const loop_names[LOOP_COUNT] = {"idle poller", "bare loop"};
static const char *const cause_names[CAUSE_COUNT] = {"gaps above 1 us", "another thread ran",
                                                     "interrupt, or the hypervisor"};

struct watched {
    struct histogram gaps[CAUSE_COUNT];
    struct interruptions interruptions;
    struct interruptions longest_block; /* those of the block that had the longest gap */
    uint64_t longest_ticks;
    enum cause longest_cause;
    uint64_t rounds, ticks, lost_ticks;
};

struct jitter {
    struct placement *placement;
    struct page_source source;
    struct page *page;
    struct poller *poller;
    struct interruption_watch watch;
    struct watched loops[LOOP_COUNT];
};

/* ---- blocks -------------------------------------------------------------------------------- */

/* last: what was known after the last gap. True: the longest so far. */
static bool note_gap(const struct jitter *jitter, struct watched *watched, uint64_t gap,
                     struct interruptions *last)
{
    struct interruptions now = *last;
    interruptions_read_thread(&jitter->watch, &now);
    enum cause cause = now.switches != last->switches ? CAUSE_THREAD : CAUSE_OTHER;
    last->switches = now.switches;
    histogram_record(&watched->gaps[CAUSE_ANY], gap);
    histogram_record(&watched->gaps[cause], gap);
    watched->lost_ticks += gap;
    if (gap <= watched->longest_ticks)
        return false;
    watched->longest_ticks = gap;
    watched->longest_cause = cause;
    return true;
}

static void run_block(struct jitter *jitter, enum loop loop)
{
    static struct interruptions before, after, thread;
    struct watched *watched = &jitter->loops[loop];
    uint64_t gap_ticks = ticks_from_ns(GAP_NS), rounds = 0;
    bool has_longest = false;
    interruptions_read(&jitter->watch, &before);
    thread.switches = before.switches;
    for (int i = 0; i < 16; i++) /* warm: the first rounds are not the loop's */
        poller_round(jitter->poller);
    uint64_t begin = ticks_now(), end = begin + ticks_from_ns(BLOCK_NS), last = begin;
    while (last < end) {
        if (loop == LOOP_POLLER)
            poller_round(jitter->poller);
        uint64_t now = ticks_now();
        rounds++;
        if (now - last > gap_ticks) {
            has_longest |= note_gap(jitter, watched, now - last, &thread);
            now = ticks_now(); /* noting it is no gap */
        }
        last = now;
    }
    watched->rounds += rounds;
    watched->ticks += last - begin;
    interruptions_read(&jitter->watch, &after);
    interruptions_add(&watched->interruptions, &before, &after);
    if (has_longest) {
        watched->longest_block = (struct interruptions){0};
        interruptions_add(&watched->longest_block, &before, &after);
    }
}

/* ---- set-up -------------------------------------------------------------------------------- */

static int set_up(struct jitter *jitter, const struct bench_options *options)
{
    char reason[SOURCE_REASON_BYTES];
    int node = memory_node_of_cpu(options->poller_cpu);
    jitter->page = memory_allocate(sizeof(*jitter->page), node);
    if (!jitter->page)
        return -ENOMEM;
    int result = placement_open(&jitter->placement);
    if (result == 0)
        result = page_source_open(&jitter->source, &source_memfd, NULL, NULL, reason);
    if (result == 0)
        result = page_init(jitter->page, SLOT_COUNT, NULL, NULL);
    const struct poller_options poller_options = {
        .name = "jitter", .cpu = options->poller_cpu, .idle = POLLER_IDLE_SPIN};
    if (result == 0)
        result = poller_create(&poller_options, &jitter->poller);
    if (result < 0)
        return result;
    page_open(jitter->page, jitter->source.slots);
    poller_add_page(jitter->poller, jitter->page);
    result = placement_bind_self(jitter->placement, options->poller_cpu);
    interruptions_open(&jitter->watch, options->poller_cpu);
    return result;
}

static void tear_down(struct jitter *jitter)
{
    interruptions_close(&jitter->watch);
    poller_destroy(jitter->poller);
    page_source_close(&jitter->source);
    if (jitter->page)
        memory_free(jitter->page, sizeof(*jitter->page));
    placement_close(jitter->placement);
    free(jitter);
}

/* ---- result -------------------------------------------------------------------------------- */

static double us_of(uint64_t ticks)
{
    return (double)ticks * 1e6 / (double)ticks_per_second();
}

static int show_gaps(struct bench_result *result, const struct jitter *jitter)
{
    static const struct bench_contender both[LOOP_COUNT] = {
        {.name = "idle poller", .role = BENCH_OURS}, {.name = "bare loop", .role = BENCH_LIMIT}};
    for (uint32_t cause = 0; cause < CAUSE_COUNT; cause++) {
        struct bench_point *point;
        int failed = bench_point_add(result, cause_names[cause], 0, both, LOOP_COUNT, &point);
        if (failed < 0)
            return failed;
        for (uint32_t i = 0; i < LOOP_COUNT; i++)
            histogram_copy(&jitter->loops[i].gaps[cause], &point->series[i].latency);
    }
    return 0;
}

static void show_loop(struct bench_result *result, const struct watched *watched,
                      const char *loop_name, bool has_delay)
{
    char name[BENCH_NAME_BYTES], text[3 * BENCH_NAME_BYTES];
    double seconds = us_of(watched->ticks) / 1e6;
#define NAMED(what) (snprintf(name, sizeof(name), "%s: %s", loop_name, what), name)
    bench_fact(result, NAMED("watched, s"), seconds);
    bench_fact(result, NAMED("a round, ns"),
               us_of(watched->ticks - watched->lost_ticks) * 1e3 / (double)watched->rounds);
    bench_fact(result, NAMED("gaps a second"),
               (double)histogram_count(&watched->gaps[CAUSE_ANY]) / seconds);
    bench_fact(result, NAMED("time in gaps, %"),
               100 * (double)watched->lost_ticks / (double)watched->ticks);
    bench_fact(result, NAMED("longest gap, us"), us_of(watched->longest_ticks));
    bench_fact_text(result, NAMED("cause of that one"), "%s",
                    watched->longest_ticks ? cause_names[watched->longest_cause] : "none");
    interruptions_describe(&watched->longest_block, text, sizeof(text));
    bench_fact_text(result, NAMED("interrupts within 50 ms of it"), "%s", text);
    interruptions_describe(&watched->interruptions, text, sizeof(text));
    bench_fact_text(result, NAMED("interrupts in all"), "%s", text);
    bench_fact(result, NAMED("switched away"), (double)watched->interruptions.switches);
    if (has_delay)
        bench_fact(result, NAMED("ready but not running, ms"),
                   (double)watched->interruptions.delay_ns / 1e6);
    bench_fact(result, NAMED("CPU stolen, ms"), (double)watched->interruptions.stolen_ms);
#undef NAMED
}

int bench_jitter(struct bench_result *result)
{
    const struct bench_options *options = result->options;
    struct jitter *jitter = calloc(1, sizeof(*jitter));
    if (!jitter)
        return -ENOMEM;
    jitter->watch.schedstat = -1;
    bench_parameter(result, "blocks", options->blocks);
    bench_parameter(result, "ms a block", BLOCK_NS / 1e6);
    bench_parameter(result, "CPU", options->poller_cpu);
    int failed = set_up(jitter, options);
    for (uint32_t block = 0; block < options->blocks && failed == 0; block++)
        for (uint32_t loop = 0; loop < LOOP_COUNT; loop++)
            run_block(jitter, (enum loop)loop);
    if (failed == 0)
        failed = show_gaps(result, jitter);
    for (uint32_t loop = 0; loop < LOOP_COUNT && failed == 0; loop++)
        show_loop(result, &jitter->loops[loop], loop_names[loop], jitter->watch.has_delay);
    tear_down(jitter);
    return failed;
}
