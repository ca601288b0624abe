/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rate: how many requests a poller gets done while 16 slots are always pending.
 *
 * One thread plays the vCPUs: it looks at all slots in turn and makes a new request wherever one is
 * COMPLETE. serving.h answers, by the poller's loop or by a bare loop. A sample is the time of 64
 * completions, and what is shown is one of them.
 */
#include "bench/serving.h"

#include <sched.h>
#include <stdio.h>

#define COMPLETIONS_A_SAMPLE 64u
#define RATE_WANTED          0.85

struct rate {
    struct serving *serving;
    uint32_t vcpus;
    uint32_t direction; /* enum request_direction */
};

static void make_request(const struct rate *rate, struct acrn_io_request *slot)
{
    uint64_t address = serving_next_address(rate->serving);
    slot->type = REQUEST_MMIO;
    slot->completion_polling = 1;
    slot->reqs.mmio_request.direction = rate->direction;
    slot->reqs.mmio_request.address = address;
    slot->reqs.mmio_request.size = 4;
    slot->reqs.mmio_request.value = rate->direction == REQUEST_WRITE ? (uint32_t)address : 0;
    __atomic_store_n(&slot->processed, SLOT_PENDING, __ATOMIC_RELEASE);
}

/* Makes a new request of every one that is COMPLETE. Returns how many there were. */
static uint32_t make_requests(const struct rate *rate, struct acrn_io_request *slots)
{
    uint32_t completed = 0;
    for (uint32_t i = 0; i < rate->vcpus; i++) {
        if (slot_state(&slots[i]) != SLOT_COMPLETE)
            continue;
        make_request(rate, &slots[i]);
        completed++;
    }
    return completed;
}

/* Returns when at least COMPLETIONS_A_SAMPLE more are done; ticks of so many. */
static uint64_t take_sample(const struct rate *rate, struct acrn_io_request *slots)
{
    uint64_t begin = ticks_now();
    uint32_t completed = 0, spins = 0;
    while (completed < COMPLETIONS_A_SAMPLE) {
        uint32_t found = make_requests(rate, slots);
        completed += found;
        if (found == 0)
            ticks_pause();
        if (++spins % (1u << 20) == 0)
            sched_yield(); /* both on one CPU: let the other go on */
    }
    return (ticks_now() - begin) * COMPLETIONS_A_SAMPLE / completed;
}

static int run_block(void *context, uint32_t mode, uint64_t *samples, uint32_t count)
{
    const struct rate *rate = context;
    struct acrn_io_request *slots = serving_slots(rate->serving);
    for (uint32_t i = 0; i < rate->vcpus; i++)
        make_request(rate, &slots[i]);
    serving_begin(rate->serving, mode, rate->vcpus);
    uint32_t warm_up = count / 10;
    for (uint32_t i = 0; i < warm_up; i++)
        take_sample(rate, slots);
    for (uint32_t i = 0; i < count; i++)
        samples[i] = take_sample(rate, slots);
    serving_end(rate->serving);
    return 0;
}

static int measure(struct bench_result *result, struct rate *rate, const char *name)
{
    struct bench_contender contenders[1 + BARE_VARIANT_COUNT];
    char names[BARE_VARIANT_COUNT][BENCH_NAME_BYTES];
    for (uint32_t i = 0; i <= BARE_VARIANT_COUNT; i++)
        contenders[i] = (struct bench_contender){.name = "ioreqd",
                                                 .role = BENCH_OURS,
                                                 .operations = COMPLETIONS_A_SAMPLE,
                                                 .samples_max = 200,
                                                 .run_block = run_block,
                                                 .context = rate,
                                                 .variant = SERVING_OURS};
    for (uint32_t i = 0; i < BARE_VARIANT_COUNT; i++) {
        snprintf(names[i], sizeof(names[i]), "bare, %s", bare_variant_names[i]);
        contenders[1 + i].name = names[i];
        contenders[1 + i].role = BENCH_LIMIT;
        contenders[1 + i].variant = SERVING_BARE + i;
    }
    struct bench_point *point;
    int failed = bench_compare(result, name, 0, contenders, 1 + BARE_VARIANT_COUNT, &point);
    if (failed < 0)
        return failed;
    const struct bench_series *limit = bench_best_limit(point);
    char text[2 * BENCH_NAME_BYTES];
    snprintf(text, sizeof(text), "millions a second, %s", name);
    bench_fact(result, text, 1e3 / bench_series_ns(&point->series[0], 0.5));
    snprintf(text, sizeof(text), "rate to the limit's, %s", name);
    bench_reach_at_least(result, text, 1 / limit->ours.median, RATE_WANTED);
    return 0;
}

int bench_rate(struct bench_result *result)
{
    const struct bench_options *options = result->options;
    struct rate rate = {.vcpus = options->has_vcpus ? options->vcpus : SLOT_COUNT};
    bench_parameter(result, "slots", rate.vcpus);
    bench_parameter(result, "ranges", options->ranges);
    bench_parameter(result, "completions a sample", COMPLETIONS_A_SAMPLE);
    int failed = serving_create(options, &rate.serving);
    rate.direction = REQUEST_READ;
    if (failed == 0)
        failed = measure(result, &rate, "reads");
    rate.direction = REQUEST_WRITE;
    if (failed == 0)
        failed = measure(result, &rate, "writes");
    serving_destroy(rate.serving);
    return failed;
}
