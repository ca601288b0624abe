/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * --export: every series of every point as DIRECTORY/BENCH.POINT.SERIES, in three forms:
 *
 *   .hgrm  HdrHistogram's percentiles as text, ns of one operation
 *   .hlog  HdrHistogram's log, one interval: all of the run. Integers: ns of one sample
 *   .json  as cyclictest --json --nsecs writes it: ns of one sample, and how often
 *
 * A sample is of `operations` operations, of one unless the file says so. Nothing is lost but what lies
 * below a nanosecond or the third digit.
 */
#include "bench/bench.h"
#include "bench/hdr.h"

#include "pollers/ticks.h"
#include "server/report.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#define FILE_STEM_BYTES (3 * BENCH_NAME_BYTES + 16)
#define PATH_BYTES      4096

/* One series on its way into files. */
struct exported {
    const struct bench_result *result;
    const struct bench_point *point;
    const struct bench_series *series;
    struct hdr *hdr;
    double end; /* seconds since the epoch */
};

static uint64_t ns_of(uint64_t ticks)
{
    return (uint64_t)llround((double)ticks * 1e9 / (double)ticks_per_second());
}

/* A bucket stands for the largest value that may lie in it, as in histogram_percentile. */
static struct hdr *hdr_of(const struct bench_series *series)
{
    uint64_t max = counter_read(&series->latency.max);
    struct hdr *hdr = hdr_create(ns_of(max));
    for (uint32_t i = 0; i < HISTOGRAM_BUCKET_COUNT && hdr; i++) {
        uint64_t last = histogram_bucket_last(i);
        hdr_record(hdr, ns_of(last < max ? last : max), counter_read(&series->latency.buckets[i]));
    }
    return hdr;
}

/* ---- the three forms --------------------------------------------------------------------- */

/* 0 or a negative errno; what could not be written is noticed at the end. */

static int write_hgrm(const struct exported *exported, FILE *file)
{
    hdr_print_percentiles(exported->hdr, exported->series->operations, file);
    return 0;
}

static int write_hlog(const struct exported *exported, FILE *file)
{
    char date[64];
    double begin = exported->result->begin;
    time_t seconds = (time_t)begin;
    struct tm utc;
    char *encoded = hdr_encode(exported->hdr);
    if (!encoded)
        return -ENOMEM;
    strftime(date, sizeof(date), "%a %b %d %H:%M:%S UTC %Y", gmtime_r(&seconds, &utc));
    fprintf(file, "#[ioreq-bench %s, %s, %s: ns of %u operation%s]\n", exported->result->bench,
            exported->point->name, exported->series->name, exported->series->operations,
            exported->series->operations > 1 ? "s" : "");
    fprintf(file, "#[Histogram log format version 1.3]\n");
    fprintf(file, "#[StartTime: %.3f (seconds since epoch), %s]\n", begin, date);
    fprintf(file, "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\","
                  "\"Interval_Compressed_Histogram\"\n");
    fprintf(file, "%.3f,%.3f,%.3f,%s\n", 0.0, exported->end - begin,
            (double)hdr_max(exported->hdr) / 1e6, encoded);
    free(encoded);
    return 0;
}

static void add_time(struct report *object, const char *name, double when)
{
    char text[64];
    time_t seconds = (time_t)when;
    struct tm utc;
    strftime(text, sizeof(text), "%a, %d %b %Y %H:%M:%S +0000", gmtime_r(&seconds, &utc));
    report_add_text(object, name, text);
}

static void add_system(struct report *root)
{
    struct utsname system;
    uname(&system);
    struct report *object = report_add_object(root, "sysinfo");
    report_add_text(object, "sysname", system.sysname);
    report_add_text(object, "nodename", system.nodename);
    report_add_text(object, "release", system.release);
    report_add_text(object, "version", system.version);
    report_add_text(object, "machine", system.machine);
    report_add_number(object, "realtime", access("/sys/kernel/realtime", F_OK) == 0);
}

static void add_count(struct report *object, uint64_t ns, uint64_t count)
{
    char name[24];
    snprintf(name, sizeof(name), "%llu", (unsigned long long)ns);
    if (count)
        report_add_number(object, name, count);
}

/* A member for each ns that occurred; several buckets may lie in one. */
static void add_histogram(struct report *thread, const struct histogram *latency)
{
    struct report *object = report_add_object(thread, "histogram");
    uint64_t max = counter_read(&latency->max), ns = 0, count = 0;
    for (uint32_t i = 0; i < HISTOGRAM_BUCKET_COUNT; i++) {
        uint64_t last = histogram_bucket_last(i);
        uint64_t bucket_ns = ns_of(last < max ? last : max);
        if (bucket_ns != ns) {
            add_count(object, ns, count);
            ns = bucket_ns;
            count = 0;
        }
        count += counter_read(&latency->buckets[i]);
    }
    add_count(object, ns, count);
}

static int write_cyclictest(const struct exported *exported, FILE *file)
{
    struct report *root = report_create();
    char command[3 * BENCH_NAME_BYTES + 32];
    snprintf(command, sizeof(command), "ioreq-bench %s (%s, %s)", exported->result->bench,
             exported->point->name, exported->series->name);
    report_add_number(root, "file_version", 1);
    report_add_text(root, "cmdline", command);
    report_add_text(root, "rt_test_version", "ioreqd " IOREQD_VERSION);
    add_time(root, "start_time", exported->result->begin);
    add_time(root, "end_time", exported->end);
    report_add_number(root, "return_code", 0);
    add_system(root);
    report_add_number(root, "operations", exported->series->operations);
    report_add_number(root, "num_threads", 1);
    report_add_number(root, "resolution_in_ns", 1);
    struct report *thread = report_add_object(report_add_object(root, "thread"), "0");
    add_histogram(thread, &exported->series->latency);
    report_add_number(thread, "cycles", hdr_count(exported->hdr));
    report_add_number(thread, "min", hdr_min(exported->hdr));
    report_add_number(thread, "max", hdr_max(exported->hdr));
    report_add_real(thread, "avg", hdr_mean(exported->hdr));
    report_add_number(thread, "cpu", exported->result->options->requester_cpu);
    char *text = report_text(root);
    report_destroy(root);
    if (!text)
        return -ENOMEM;
    fprintf(file, "%s\n", text);
    free(text);
    return 0;
}

static const struct {
    const char *suffix;
    int (*write)(const struct exported *exported, FILE *file);
} forms[] = {{".hgrm", write_hgrm}, {".hlog", write_hlog}, {".json", write_cyclictest}};

/* ---- files ------------------------------------------------------------------------------- */

static int problem(const char *doing, const char *path, int error)
{
    fprintf(stderr, "ioreq-bench: --export: cannot %s %s: %s\n", doing, path, strerror(-error));
    return error;
}

/* Letters, digits and '_' stay; what lies between them becomes one '-'. `at` [BENCH_NAME_BYTES]. */
static void make_safe(const char *name, char *at)
{
    char *begin = at;
    for (; *name; name++)
        if (isalnum((unsigned char)*name) || *name == '_')
            *at++ = *name;
        else if (at > begin && at[-1] != '-')
            *at++ = '-';
    if (at > begin && at[-1] == '-')
        at--;
    if (at == begin)
        *at++ = '-';
    *at = '\0';
}

static void make_stem(const struct exported *exported, char stem[FILE_STEM_BYTES])
{
    char bench[BENCH_NAME_BYTES], point[BENCH_NAME_BYTES], series[BENCH_NAME_BYTES];
    make_safe(exported->result->bench, bench);
    make_safe(exported->point->name, point);
    make_safe(exported->series->name, series);
    snprintf(stem, FILE_STEM_BYTES, "%s.%s.%s", bench, point, series);
}

/* How many series before this one would have the same name. */
static uint32_t same_before(const struct exported *exported, const char *stem)
{
    struct exported other = *exported;
    uint32_t count = 0;
    for (other.point = exported->result->points; other.point; other.point = other.point->next)
        for (uint32_t i = 0; i < other.point->series_count; i++) {
            char other_stem[FILE_STEM_BYTES];
            other.series = &other.point->series[i];
            if (other.series == exported->series)
                return count;
            make_stem(&other, other_stem);
            count += strcmp(stem, other_stem) == 0;
        }
    return count;
}

/* A file that could not be written as a whole is taken away again. */
static int write_file(const struct exported *exported, const char *path,
                      int (*write)(const struct exported *exported, FILE *file))
{
    FILE *file = fopen(path, "we");
    if (!file)
        return problem("make", path, -errno);
    errno = 0;
    int result = write(exported, file);
    if (result == 0 && ferror(file))
        result = errno ? -errno : -EIO;
    if (fclose(file) != 0 && result == 0)
        result = -errno;
    if (result == 0)
        return 0;
    unlink(path);
    return problem("write", path, result);
}

static int export_series(struct exported *exported)
{
    char stem[FILE_STEM_BYTES], path[PATH_BYTES], number[16] = "";
    make_stem(exported, stem);
    uint32_t same = same_before(exported, stem);
    if (same)
        snprintf(number, sizeof(number), ".%u", same + 1);
    exported->hdr = hdr_of(exported->series);
    if (!exported->hdr)
        return problem("write", stem, -ENOMEM);
    int result = 0;
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]) && result == 0; i++) {
        int length =
            snprintf(path, sizeof(path), "%s/%s%s%s", exported->result->options->export_directory,
                     stem, number, forms[i].suffix);
        result = length < (int)sizeof(path) ? write_file(exported, path, forms[i].write)
                                            : problem("write", stem, -ENAMETOOLONG);
    }
    hdr_destroy(exported->hdr);
    return result;
}

int bench_export_begin(const struct bench_options *options)
{
    const char *directory = options->export_directory;
    struct stat status;
    if (mkdir(directory, 0777) < 0 && errno != EEXIST)
        return problem("make the directory", directory, -errno);
    if (stat(directory, &status) < 0)
        return problem("use", directory, -errno);
    if (!S_ISDIR(status.st_mode))
        return problem("use", directory, -ENOTDIR);
    if (access(directory, W_OK | X_OK) < 0)
        return problem("write in", directory, -errno);
    return 0;
}

int bench_export(const struct bench_result *result)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    struct exported exported = {.result = result,
                                .end = (double)now.tv_sec + (double)now.tv_nsec / 1e9};
    int failed = 0;
    for (exported.point = result->points; exported.point && failed == 0;
         exported.point = exported.point->next)
        for (uint32_t i = 0; i < exported.point->series_count && failed == 0; i++) {
            exported.series = &exported.point->series[i];
            failed = export_series(&exported);
        }
    return failed;
}
