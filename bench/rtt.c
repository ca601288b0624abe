/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rtt: PENDING -> COMPLETE as the vCPU sees it.
 *
 * One thread plays the vCPUs, in turn, one request at a time; serving.h answers, in ours' blocks by the
 * poller's loop, in the limit's blocks by a bare loop over as many slots.
 */
#include "bench/serving.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define RATIO_P50_WANTED  1.25
#define RATIO_P999_WANTED 1.5

struct rtt {
    struct serving *serving;
    uint32_t vcpus;
};

static int run_block(void *context, uint32_t mode, uint64_t *samples, uint32_t count)
{
    struct rtt *rtt = context;
    struct acrn_io_request *slots = serving_slots(rtt->serving);
    uint32_t vcpu = 0, warm_up = count / 10;
    serving_begin(rtt->serving, mode, rtt->vcpus);
    for (uint32_t i = 0; i < warm_up + count; i++) {
        uint64_t ticks = bare_access(&slots[vcpu], serving_next_address(rtt->serving));
        vcpu = vcpu + 1 == rtt->vcpus ? 0 : vcpu + 1;
        if (i >= warm_up)
            samples[i - warm_up] = ticks;
    }
    serving_end(rtt->serving);
    return 0;
}

static int measure(struct bench_result *result, struct rtt *rtt)
{
    struct bench_contender contenders[1 + BARE_VARIANT_COUNT] = {
        {.name = "ioreqd", .role = BENCH_OURS, .run_block = run_block, .context = rtt}};
    char names[BARE_VARIANT_COUNT][BENCH_NAME_BYTES], name[BENCH_NAME_BYTES];
    for (uint32_t i = 0; i < BARE_VARIANT_COUNT; i++) {
        snprintf(names[i], sizeof(names[i]), "bare, %s", bare_variant_names[i]);
        contenders[1 + i] = (struct bench_contender){.name = names[i],
                                                     .role = BENCH_LIMIT,
                                                     .run_block = run_block,
                                                     .context = rtt,
                                                     .variant = SERVING_BARE + i};
    }
    struct bench_point *point;
    snprintf(name, sizeof(name), "%u vCPU%s", rtt->vcpus, rtt->vcpus > 1 ? "s" : "");
    int failed =
        bench_compare(result, name, rtt->vcpus, contenders, 1 + BARE_VARIANT_COUNT, &point);
    if (failed < 0)
        return failed;
    const struct bench_series *limit = bench_best_limit(point);
    char reach[2 * BENCH_NAME_BYTES];
    snprintf(reach, sizeof(reach), "p50 to the limit's, %s", name);
    bench_reach_at_most(result, reach, limit->ours.median, RATIO_P50_WANTED);
    snprintf(reach, sizeof(reach), "p99.9 to the limit's, %s", name);
    bench_reach_at_most(result, reach, limit->ours_p999.median, RATIO_P999_WANTED);
    return 0;
}

int bench_rtt(struct bench_result *result)
{
    static const uint32_t vcpu_counts[] = {1, 2, 4, 8, 16};
    const struct bench_options *options = result->options;
    struct rtt rtt = {0};
    if (options->is_notified)
        return bench_rtt_notified(result);
    result->scale_name = "vCPUs";
    bench_parameter(result, "ranges", options->ranges);
    int failed = serving_create(options, &rtt.serving);
    for (size_t i = 0; i < sizeof(vcpu_counts) / sizeof(vcpu_counts[0]) && failed == 0; i++) {
        rtt.vcpus = options->has_vcpus ? options->vcpus : vcpu_counts[i];
        failed = measure(result, &rtt);
        if (options->has_vcpus)
            break;
    }
    serving_destroy(rtt.serving);
    return failed;
}
