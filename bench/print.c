/* SPDX-License-Identifier: BSD-3-Clause */
/* bench.h's output: a table for people, one JSON object for programs. */
#include "bench/bench.h"

#include "pollers/ticks.h"
#include "server/report.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *name;
    const char *title;
    double share;
} percentiles[] = {{"p50", "P50", 0.5},
                   {"p99", "P99", 0.99},
                   {"p99.9", "P99.9", 0.999},
                   {"p99.99", "P99.99", 0.9999},
                   {"max", "MAX", 1.0}};
#define PERCENTILE_COUNT (sizeof(percentiles) / sizeof(percentiles[0]))

static bool reach_is_met(const struct bench_reach *reach)
{
    return reach->is_at_least ? reach->value >= reach->bound : reach->value <= reach->bound;
}

/* ---- table ------------------------------------------------------------------------------- */

/* Below 100 ns a tenth counts. */
static void print_ns(double ns)
{
    printf(ns < 100 ? " %9.1f" : " %9.0f", ns);
}

static void print_series(const struct bench_series *series)
{
    printf("  %-30s %10llu", series->name, (unsigned long long)histogram_count(&series->latency));
    for (size_t i = 0; i < PERCENTILE_COUNT; i++)
        print_ns(bench_series_ns(series, percentiles[i].share));
    int digits = series->ours.median < 0.1 ? 5 : 2;
    if (series->ours.median > 0)
        printf("  %5.*f (%.*f .. %.*f)%s", digits, series->ours.median, digits, series->ours.p10,
               digits, series->ours.p90, series->is_best_limit ? " *" : "");
    putchar('\n');
}

static void print_facts(const struct bench_fact *facts, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (facts[i].text[0])
            printf("  %-48s %s\n", facts[i].name, facts[i].text);
        else
            printf("  %-48s %.6g\n", facts[i].name, facts[i].number);
}

void bench_result_print_table(const struct bench_result *result)
{
    bench_machine_print();
    printf("%s: %s\n", result->bench, result->summary);
    for (uint32_t i = 0; i < result->parameter_count; i++)
        printf("%s%s %.6g", i ? ", " : "", result->parameters[i].name,
               result->parameters[i].number);
    printf("\n\n");
    bool has_limit = false;
    for (const struct bench_point *point = result->points; point; point = point->next) {
        printf("%-32s %10s", point->name, "COUNT");
        for (size_t i = 0; i < PERCENTILE_COUNT; i++)
            printf(" %9s", percentiles[i].title);
        bool has_ratios = point->series[point->series_count - 1].ours.median > 0;
        printf("  %s\n", has_ratios ? "ns  OURS TO IT" : "ns");
        for (uint32_t i = 0; i < point->series_count; i++)
            print_series(&point->series[i]);
        putchar('\n');
        has_limit = has_limit || bench_best_limit(point);
    }
    if (has_limit)
        printf("* the limit. Ratios are medians over the blocks' medians, with their 10th and 90th "
               "percentile.\n");
    print_facts(result->facts, result->fact_count);
    for (uint32_t i = 0; i < result->reach_count; i++) {
        const struct bench_reach *reach = &result->reaches[i];
        printf("  %-48s %.3g, wanted at %s %.3g: %s\n", reach->name, reach->value,
               reach->is_at_least ? "least" : "most", reach->bound,
               reach_is_met(reach) ? "reached" : "NOT reached");
    }
}

/* ---- JSON -------------------------------------------------------------------------------- */

static void report_ratio(struct report *parent, const char *name, const struct bench_ratio *ratio)
{
    if (ratio->median <= 0)
        return;
    struct report *object = report_add_object(parent, name);
    report_add_real(object, "median", ratio->median);
    report_add_real(object, "p10", ratio->p10);
    report_add_real(object, "p90", ratio->p90);
}

static void report_latency(struct report *object, const struct bench_series *series)
{
    report_add_number(object, "count", histogram_count(&series->latency));
    for (size_t i = 0; i < PERCENTILE_COUNT; i++)
        report_add_real(object, percentiles[i].name, bench_series_ns(series, percentiles[i].share));
}

/* From the median outwards, each step halves what is left. */
static void report_distribution(struct report *object, const struct bench_series *series)
{
    uint64_t count = histogram_count(&series->latency);
    struct report *list = report_add_array(object, "distribution");
    static const double inner[] = {0, 0.1, 0.25, 0.5, 0.75};
    for (size_t i = 0; i < sizeof(inner) / sizeof(inner[0]); i++) {
        struct report *pair = report_append_object(list);
        report_add_real(pair, "percentile", 100 * inner[i]);
        report_add_real(pair, "ns", bench_series_ns(series, inner[i]));
    }
    for (double rest = 0.1; count && rest * (double)count >= 1; rest /= 1.7782794100389228) {
        struct report *pair = report_append_object(list);
        report_add_real(pair, "percentile", 100 * (1 - rest));
        report_add_real(pair, "ns", bench_series_ns(series, 1 - rest));
    }
    struct report *last = report_append_object(list);
    report_add_real(last, "percentile", 100);
    report_add_real(last, "ns", bench_series_ns(series, 1));
}

static const char *role_name(enum bench_role role)
{
    return role == BENCH_OURS ? "ours" : role == BENCH_LIMIT ? "limit" : "baseline";
}

static void report_point(struct report *object, const struct bench_point *point)
{
    report_add_text(object, "name", point->name);
    if (point->scale > 0)
        report_add_real(object, "scale", point->scale);
    struct report *list = report_add_array(object, "series");
    for (uint32_t i = 0; i < point->series_count; i++) {
        const struct bench_series *series = &point->series[i];
        struct report *item = report_append_object(list);
        report_add_text(item, "name", series->name);
        report_add_text(item, "role", role_name(series->role));
        if (series->role == BENCH_LIMIT)
            report_add_bool(item, "is_best", series->is_best_limit);
        report_add_number(item, "operations", series->operations);
        report_latency(item, series);
        report_ratio(item, "ours_to_it", &series->ours);
        report_ratio(item, "ours_to_it_p99.9", &series->ours_p999);
        report_distribution(item, series);
    }
}

static void report_facts(struct report *object, const struct bench_fact *facts, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        if (facts[i].text[0])
            report_add_text(object, facts[i].name, facts[i].text);
        else
            report_add_real(object, facts[i].name, facts[i].number);
}

/* The first point stands for the whole: count, percentiles, limit and ratio at the top. */
static void report_headline(struct report *root, const struct bench_point *point)
{
    report_latency(root, &point->series[0]);
    const struct bench_series *limit = bench_best_limit(point);
    if (!limit)
        return;
    struct report *object = report_add_object(root, "limit");
    report_add_text(object, "variant", limit->name);
    report_latency(object, limit);
    report_ratio(root, "ratio", &limit->ours);
    report_ratio(root, "ratio_p99.9", &limit->ours_p999);
}

int bench_result_print_json(const struct bench_result *result)
{
    struct report *root = report_create();
    report_add_text(root, "bench", result->bench);
    report_add_text(root, "summary", result->summary);
    report_add_bool(root, "smoke", result->options->is_smoke);
    report_facts(report_add_object(root, "parameters"), result->parameters,
                 result->parameter_count);
    report_add_text(root, "unit", "ns");
    if (result->points)
        report_headline(root, result->points);
    if (result->scale_name)
        report_add_text(root, "scale_name", result->scale_name);
    struct report *points = report_add_array(root, "points");
    for (const struct bench_point *point = result->points; point; point = point->next)
        report_point(report_append_object(points), point);
    report_facts(report_add_object(root, "facts"), result->facts, result->fact_count);
    struct report *reaches = report_add_array(root, "reach");
    for (uint32_t i = 0; i < result->reach_count; i++) {
        const struct bench_reach *reach = &result->reaches[i];
        struct report *item = report_append_object(reaches);
        report_add_text(item, "name", reach->name);
        report_add_real(item, "value", reach->value);
        report_add_real(item, reach->is_at_least ? "at_least" : "at_most", reach->bound);
        report_add_bool(item, "reached", reach_is_met(reach));
    }
    bench_machine_report(report_add_object(root, "machine"));
    char *text = report_text(root);
    report_destroy(root);
    if (!text)
        return -ENOMEM;
    puts(text);
    free(text);
    return 0;
}
