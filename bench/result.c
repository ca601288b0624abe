/* SPDX-License-Identifier: BSD-3-Clause */
/* bench.h's result: what a question found, until it is printed. */
#include "bench/bench.h"

#include "pollers/ring.h"
#include "pollers/ticks.h"

#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

struct bench_result *bench_result_create(const char *bench, const char *summary,
                                         const struct bench_options *options)
{
    struct bench_result *result = calloc(1, sizeof(*result));
    if (!result)
        return NULL;
    result->bench = bench;
    result->summary = summary;
    result->options = options;
    result->points_end = &result->points;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    result->begin = (double)now.tv_sec + (double)now.tv_nsec / 1e9;
    return result;
}

static void point_destroy(struct bench_point *point)
{
    for (uint32_t i = 0; i < point->series_count; i++) {
        free(point->series[i].block_p50);
        free(point->series[i].block_p999);
    }
    free(point->series);
    free(point);
}

void bench_result_destroy(struct bench_result *result)
{
    while (result && result->points) {
        struct bench_point *next = result->points->next;
        point_destroy(result->points);
        result->points = next;
    }
    free(result);
}

static bool series_init(struct bench_series *series, const struct bench_contender *contender,
                        uint32_t blocks)
{
    snprintf(series->name, sizeof(series->name), "%s", contender->name);
    series->role = contender->role;
    series->operations = contender->operations ? contender->operations : 1;
    series->block_p50 = calloc(blocks, sizeof(*series->block_p50));
    series->block_p999 = calloc(blocks, sizeof(*series->block_p999));
    return series->block_p50 && series->block_p999;
}

int bench_point_add(struct bench_result *result, const char *name, double scale,
                    const struct bench_contender *contenders, uint32_t count,
                    struct bench_point **point)
{
    assert(count >= 1 && count <= BENCH_CONTENDERS_MAX);
    struct bench_point *added = calloc(1, sizeof(*added));
    if (!added)
        return -ENOMEM;
    added->series = calloc(count, sizeof(*added->series));
    bool is_complete = added->series != NULL;
    for (uint32_t i = 0; i < count && is_complete; i++) {
        added->series_count++;
        is_complete = series_init(&added->series[i], &contenders[i], result->options->blocks);
    }
    if (!is_complete) {
        point_destroy(added);
        return -ENOMEM;
    }
    snprintf(added->name, sizeof(added->name), "%s", name);
    added->scale = scale;
    *result->points_end = added;
    result->points_end = &added->next;
    *point = added;
    return 0;
}

const struct bench_series *bench_best_limit(const struct bench_point *point)
{
    for (uint32_t i = 0; i < point->series_count; i++)
        if (point->series[i].is_best_limit)
            return &point->series[i];
    return NULL;
}

const struct bench_series *bench_find_series(const struct bench_point *point, const char *name)
{
    for (uint32_t i = 0; i < point->series_count; i++)
        if (strcmp(point->series[i].name, name) == 0)
            return &point->series[i];
    return NULL;
}

double bench_series_ns(const struct bench_series *series, double share)
{
    double ticks = (double)histogram_percentile(&series->latency, share);
    return ticks * 1e9 / (double)ticks_per_second() / series->operations;
}

static struct bench_fact *fact_next(struct bench_fact *facts, uint32_t *count, const char *name)
{
    assert(*count < BENCH_FACTS_MAX);
    struct bench_fact *fact = &facts[(*count)++];
    snprintf(fact->name, sizeof(fact->name), "%s", name);
    return fact;
}

void bench_parameter(struct bench_result *result, const char *name, double number)
{
    fact_next(result->parameters, &result->parameter_count, name)->number = number;
}

void bench_fact(struct bench_result *result, const char *name, double number)
{
    fact_next(result->facts, &result->fact_count, name)->number = number;
}

void bench_fact_text(struct bench_result *result, const char *name, const char *format, ...)
{
    struct bench_fact *fact = fact_next(result->facts, &result->fact_count, name);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(fact->text, sizeof(fact->text), format, arguments);
    va_end(arguments);
}

void bench_skip(struct bench_result *result, const char *reason)
{
    fprintf(stderr, "skip: %s: %s\n", result->bench, reason);
    bench_fact_text(result, "skipped", "%s", reason);
}

bool bench_skip_without_ring(struct bench_result *result)
{
    const struct ring_options options = {.entries = 1};
    struct ring *ring = NULL;
    int failed = ring_create(&options, &ring);
    ring_destroy(ring);
    if (failed < 0)
        bench_skip(result, ring_explain(failed));
    return failed < 0;
}

static void reach_add(struct bench_result *result, const char *name, double value, double bound,
                      bool is_at_least)
{
    assert(result->reach_count < BENCH_FACTS_MAX);
    struct bench_reach *reach = &result->reaches[result->reach_count++];
    snprintf(reach->name, sizeof(reach->name), "%s", name);
    reach->value = value;
    reach->bound = bound;
    reach->is_at_least = is_at_least;
}

void bench_reach_at_most(struct bench_result *result, const char *name, double value, double bound)
{
    reach_add(result, name, value, bound, false);
}

void bench_reach_at_least(struct bench_result *result, const char *name, double value, double bound)
{
    reach_add(result, name, value, bound, true);
}
