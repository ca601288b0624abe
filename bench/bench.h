/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench.h - what the questions of ioreq-bench share. One file a question.
 *
 * Flow:    main.c parses the options and calls the question; it measures in blocks, ours and the
 *          limit in turn (A B A B ...), and prints a table or one JSON object.
 * Rules:   no absolute time is a claim; the claim is the median of the blocks' ratios, with their
 *          spread. The limit is the fastest of several plain loops in the same run.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include "pollers/histogram.h"

#include <stdbool.h>

struct report;

struct bench_options {
    bool as_json;
    bool is_smoke; /* a second, only to see that it works; allowed in any build */
    uint32_t vcpus;
    uint32_t ranges;
    bool has_ranges; /* given on the command line */
    uint32_t blocks;
    uint32_t block_requests;
    uint32_t requester_cpu;
    uint32_t poller_cpu;
};

/* Ratios of block medians. */
struct bench_ratio {
    double median, p10, p90;
};

/* ratios [count] are sorted in place. */
struct bench_ratio bench_ratio_of(double *ratios, uint32_t count);

/* The median of samples [count], which are sorted in place. */
uint64_t bench_median(uint64_t *samples, uint32_t count);

/* The distribution of `latency` (ticks), in ns, as a table row or as JSON members. */
void bench_print_row(const char *name, const struct histogram *latency);
void bench_report_latency(struct report *object, const struct histogram *latency);

/* CPU model, kernel, isolated CPUs, governor, build. */
void bench_report_machine(struct report *object);
void bench_print_machine(void);

/* The questions. 0, or a negative errno after one line on stderr. */
int bench_ranges(const struct bench_options *options);
int bench_rtt(const struct bench_options *options);

#endif
