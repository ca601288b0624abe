/* SPDX-License-Identifier: BSD-3-Clause */
/* bench.h's comparison: blocks in turn, and the ratios of what they took. */
#include "bench/bench.h"

#include "pollers/ticks.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int compare_reals(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

static int compare_samples(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

static double median_of(const double *values, uint32_t count, double *scratch)
{
    memcpy(scratch, values, count * sizeof(*values));
    qsort(scratch, count, sizeof(*scratch), compare_reals);
    return scratch[count / 2];
}

/* scratch [count]. Blocks of contenders that took no time at all are left out. */
static struct bench_ratio ratio_of(const double *ours, const double *theirs, uint32_t count,
                                   double *scratch)
{
    uint32_t used = 0;
    for (uint32_t i = 0; i < count; i++)
        if (theirs[i] > 0)
            scratch[used++] = ours[i] / theirs[i];
    if (used == 0)
        return (struct bench_ratio){0};
    qsort(scratch, used, sizeof(*scratch), compare_reals);
    return (struct bench_ratio){scratch[used / 2], scratch[used / 10],
                                scratch[used - 1 - used / 10]};
}

static void note_block(struct bench_series *series, uint32_t block, uint64_t *samples,
                       uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        histogram_record(&series->latency, samples[i]);
    qsort(samples, count, sizeof(*samples), compare_samples);
    series->block_p50[block] = (double)samples[count / 2] / series->operations;
    series->block_p999[block] =
        (double)samples[(uint32_t)((double)count * 0.999)] / series->operations;
}

static void choose_limit(struct bench_point *point, uint32_t blocks, double *scratch)
{
    struct bench_series *best = NULL;
    double least = 0;
    for (uint32_t i = 0; i < point->series_count; i++) {
        struct bench_series *series = &point->series[i];
        if (series->role != BENCH_LIMIT)
            continue;
        double median = median_of(series->block_p50, blocks, scratch);
        if (!best || median < least) {
            best = series;
            least = median;
        }
    }
    if (best)
        best->is_best_limit = true;
}

static void show_progress(const struct bench_result *result, const char *name, uint32_t block)
{
    static int is_terminal = -1;
    if (is_terminal < 0)
        is_terminal = isatty(STDERR_FILENO);
    if (!is_terminal)
        return;
    if (block == result->options->blocks)
        fprintf(stderr, "\r\033[K");
    else
        fprintf(stderr, "\r%s: %s: %u of %u blocks\033[K", result->bench, name, block,
                result->options->blocks);
}

int bench_compare(struct bench_result *result, const char *name, double scale,
                  const struct bench_contender *contenders, uint32_t count,
                  struct bench_point **point)
{
    uint32_t blocks = result->options->blocks, sample_count = result->options->block_samples;
    struct bench_point *added;
    uint64_t *samples = calloc(sample_count, sizeof(*samples));
    double *scratch = calloc(blocks, sizeof(*scratch));
    int failed = bench_point_add(result, name, scale, contenders, count, &added);
    if (!samples || !scratch)
        failed = -ENOMEM;
    for (uint32_t block = 0; block < blocks && failed == 0; block++) {
        show_progress(result, name, block);
        for (uint32_t i = 0; i < count && failed == 0; i++) {
            const struct bench_contender *contender = &contenders[i];
            uint32_t block_samples = sample_count;
            if (contender->samples_max && contender->samples_max < block_samples)
                block_samples = contender->samples_max;
            failed = contender->run_block(contender->context, contender->variant, samples,
                                          block_samples);
            if (failed == 0)
                note_block(&added->series[i], block, samples, block_samples);
        }
    }
    show_progress(result, name, blocks);
    if (failed == 0) {
        choose_limit(added, blocks, scratch);
        const struct bench_series *ours = &added->series[0];
        for (uint32_t i = 1; i < count; i++) {
            struct bench_series *series = &added->series[i];
            series->ours = ratio_of(ours->block_p50, series->block_p50, blocks, scratch);
            series->ours_p999 = ratio_of(ours->block_p999, series->block_p999, blocks, scratch);
        }
        if (point)
            *point = added;
    }
    free(samples);
    free(scratch);
    return failed;
}
