/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bench.h - what the questions of ioreq-bench share. One file a question.
 *
 * Flow:    main.c parses the options and makes a result; the question adds points to it, each by
 *          bench_compare: contenders run in short blocks, in turn (A B C A B C ...), under the same
 *          conditions; then the result is printed as a table or as one JSON object, and exported.
 * Rules:   no absolute time is a claim; the claim is the median of the blocks' ratios, with their
 *          spread. The limit is the fastest of several plain loops in the same run.
 * Threads: the main thread; what a question starts it ends.
 * Memory:  a result owns its points and their series; names are copied.
 */
#ifndef BENCH_BENCH_H
#define BENCH_BENCH_H

#include "pollers/histogram.h"

#include <stdbool.h>

#define BENCH_NAME_BYTES     64u
#define BENCH_CONTENDERS_MAX 12u
#define BENCH_FACTS_MAX      64u

struct report;

struct bench_options {
    bool as_json;
    bool is_smoke; /* a second, only to see that it works; allowed in any build */
    uint32_t vcpus;
    uint32_t ranges;
    bool has_vcpus; /* given on the command line: this point only */
    bool has_ranges;
    bool is_notified; /* --completion notify, of rtt */
    uint32_t blocks;
    uint32_t block_samples;
    uint32_t requester_cpu;
    uint32_t poller_cpu;
    const char *export_directory; /* NULL: none */
};

/* ---- what is compared -------------------------------------------------------------------- */

enum bench_role {
    BENCH_OURS = 1, /* the first contender */
    BENCH_LIMIT,    /* of several the fastest counts */
    BENCH_BASELINE, /* what others do */
};

struct bench_contender {
    const char *name;
    enum bench_role role;
    uint32_t operations;  /* that lie in one sample; 0: one */
    uint32_t samples_max; /* a block, for what is slow; 0: as many as asked for */
    /* Runs one block: fills samples [count], ticks each. 0 or a negative errno, which ends the run. */
    int (*run_block)(void *context, uint32_t variant, uint64_t *samples, uint32_t count);
    void *context;
    uint32_t variant;
};

/* ---- what comes of it -------------------------------------------------------------------- */

/* Ratios of blocks. median 0: there is nothing to compare with. */
struct bench_ratio {
    double median, p10, p90;
};

/* One contender under one set of conditions: a line of the table, a curve of the report. */
struct bench_series {
    char name[BENCH_NAME_BYTES];
    enum bench_role role;
    bool is_best_limit;
    uint32_t operations;
    struct histogram latency;     /* ticks for `operations` */
    double *block_p50;            /* [blocks] ticks */
    double *block_p999;           /* [blocks] ticks */
    struct bench_ratio ours;      /* ours to this one, by the blocks' medians */
    struct bench_ratio ours_p999; /* and by their p99.9 */
};

/* One set of conditions. */
struct bench_point {
    char name[BENCH_NAME_BYTES];
    double scale; /* its place on the axis of cost against scale; 0: none */
    uint32_t series_count;
    struct bench_series *series; /* [series_count] */
    struct bench_point *next;
};

/* A figure or a word beside the latencies. */
struct bench_fact {
    char name[BENCH_NAME_BYTES];
    char text[3 * BENCH_NAME_BYTES]; /* "": it is a number */
    double number;
};

/* What the project wants to reach, and whether it did. */
struct bench_reach {
    char name[BENCH_NAME_BYTES];
    double value, bound;
    bool is_at_least; /* otherwise: at most */
};

struct bench_result {
    const char *bench;
    const char *summary;
    const char *scale_name; /* of bench_point.scale; NULL: none */
    const struct bench_options *options;
    double begin; /* seconds since the epoch */
    struct bench_point *points, **points_end;
    struct bench_fact parameters[BENCH_FACTS_MAX], facts[BENCH_FACTS_MAX];
    uint32_t parameter_count, fact_count;
    struct bench_reach reaches[BENCH_FACTS_MAX];
    uint32_t reach_count;
};

/* ---- for the questions ------------------------------------------------------------------- */

/* Runs the contenders [count] in turn, options->blocks times options->block_samples (or samples_max,
 * if that is less), and adds a point. Progress goes to stderr when that is a terminal. -ENOMEM, or
 * what run_block returned. */
int bench_compare(struct bench_result *result, const char *name, double scale,
                  const struct bench_contender *contenders, uint32_t count,
                  struct bench_point **point);

/* A point that was measured some other way: series [count] are made, empty, in the order of contenders,
 * whose run_block is not used. Without blocks there are no ratios. */
int bench_point_add(struct bench_result *result, const char *name, double scale,
                    const struct bench_contender *contenders, uint32_t count,
                    struct bench_point **point);

/* The fastest limit, or NULL. */
const struct bench_series *bench_best_limit(const struct bench_point *point);
/* NULL: there is none of that name. */
const struct bench_series *bench_find_series(const struct bench_point *point, const char *name);

void bench_parameter(struct bench_result *result, const char *name, double number);
void bench_fact(struct bench_result *result, const char *name, double number);
void bench_fact_text(struct bench_result *result, const char *name, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* The question cannot be asked here: one line on stderr, and the fact "skipped". */
void bench_skip(struct bench_result *result, const char *reason);
/* True: this kernel gives us no io_uring, and the question is skipped. */
bool bench_skip_without_ring(struct bench_result *result);
void bench_reach_at_most(struct bench_result *result, const char *name, double value, double bound);
void bench_reach_at_least(struct bench_result *result, const char *name, double value,
                          double bound);

/* Nanoseconds of one operation at a percentile (0..1). */
double bench_series_ns(const struct bench_series *series, double share);

/* ---- for main.c -------------------------------------------------------------------------- */

struct bench_result *bench_result_create(const char *bench, const char *summary,
                                         const struct bench_options *options);
void bench_result_destroy(struct bench_result *result);

void bench_result_print_table(const struct bench_result *result);
/* 0 or -ENOMEM. */
int bench_result_print_json(const struct bench_result *result);

/* options->export_directory: made before the question runs, filled after it. 0, or a negative errno
 * after one line on stderr. */
int bench_export_begin(const struct bench_options *options);
int bench_export(const struct bench_result *result);

/* CPU model, kernel, isolated CPUs, governor, build. */
void bench_machine_report(struct report *object);
void bench_machine_print(void);

/* The questions. 0, or a negative errno after one line on stderr. */
int bench_guest(struct bench_result *result);
int bench_jitter(struct bench_result *result);
int bench_mixed(struct bench_result *result);
int bench_notify(struct bench_result *result);
int bench_ranges(struct bench_result *result);
int bench_channel(struct bench_result *result);
int bench_death(struct bench_result *result);
int bench_hop(struct bench_result *result);
int bench_rate(struct bench_result *result);
int bench_route(struct bench_result *result);
int bench_rtt(struct bench_result *result);
int bench_rtt_notified(struct bench_result *result); /* rtt --completion notify */
int bench_sweep(struct bench_result *result);
int bench_wake(struct bench_result *result);

#endif
