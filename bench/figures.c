/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/bench.h"

#include "pollers/ticks.h"
#include "server/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

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

struct bench_ratio bench_ratio_of(double *ratios, uint32_t count)
{
    qsort(ratios, count, sizeof(*ratios), compare_reals);
    return (struct bench_ratio){ratios[count / 2], ratios[count / 10],
                                ratios[count - 1 - count / 10]};
}

uint64_t bench_median(uint64_t *samples, uint32_t count)
{
    qsort(samples, count, sizeof(*samples), compare_samples);
    return samples[count / 2];
}

static const struct {
    const char *name;
    double share;
} percentiles[] = {{"p50", 0.5}, {"p99", 0.99}, {"p99.9", 0.999}, {"p99.99", 0.9999}};
#define PERCENTILE_COUNT (sizeof(percentiles) / sizeof(percentiles[0]))

void bench_print_row(const char *name, const struct histogram *latency)
{
    printf("%-28s %10llu", name, (unsigned long long)histogram_count(latency));
    for (size_t i = 0; i < PERCENTILE_COUNT; i++) {
        uint64_t ticks = histogram_percentile(latency, percentiles[i].share);
        printf(" %9llu", (unsigned long long)ticks_to_ns(ticks));
    }
    printf(" %9llu\n", (unsigned long long)ticks_to_ns(counter_read(&latency->max)));
}

void bench_report_latency(struct report *object, const struct histogram *latency)
{
    report_add_number(object, "count", histogram_count(latency));
    for (size_t i = 0; i < PERCENTILE_COUNT; i++)
        report_add_number(object, percentiles[i].name,
                          ticks_to_ns(histogram_percentile(latency, percentiles[i].share)));
    report_add_number(object, "max", ticks_to_ns(counter_read(&latency->max)));
}

/* The first line of a file, without its end; "" if there is none. */
static void read_line(const char *path, char *line, size_t line_bytes)
{
    line[0] = '\0';
    FILE *file = fopen(path, "re");
    if (!file)
        return;
    if (fgets(line, (int)line_bytes, file))
        line[strcspn(line, "\n")] = '\0';
    fclose(file);
}

static void read_cpu_model(char *model, size_t model_bytes)
{
    char line[256];
    snprintf(model, model_bytes, "unknown");
    FILE *file = fopen("/proc/cpuinfo", "re");
    if (!file)
        return;
    while (fgets(line, sizeof(line), file)) {
        char *colon = strchr(line, ':');
        if (strncmp(line, "model name", 10) != 0 || !colon)
            continue;
        line[strcspn(line, "\n")] = '\0';
        snprintf(model, model_bytes, "%s", colon + 2);
        break;
    }
    fclose(file);
}

struct machine {
    char cpu[256];
    char isolated[256];
    char governor[64];
    struct utsname kernel;
};

static void read_machine(struct machine *machine)
{
    read_cpu_model(machine->cpu, sizeof(machine->cpu));
    read_line("/sys/devices/system/cpu/isolated", machine->isolated, sizeof(machine->isolated));
    read_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", machine->governor,
              sizeof(machine->governor));
    uname(&machine->kernel);
}

void bench_report_machine(struct report *object)
{
    struct machine machine;
    read_machine(&machine);
    report_add_text(object, "cpu", machine.cpu);
    report_add_text(object, "kernel", machine.kernel.release);
    report_add_text(object, "isolated", machine.isolated);
    report_add_text(object, "governor", machine.governor);
    report_add_number(object, "ticks_per_second", ticks_per_second());
    report_add_text(object, "version", IOREQD_VERSION);
    report_add_text(object, "commit", IOREQD_COMMIT);
    report_add_text(object, "build", IOREQD_BUILD_TYPE);
}

void bench_print_machine(void)
{
    struct machine machine;
    read_machine(&machine);
    printf("%s, Linux %s, isolated CPUs: %s, governor: %s, commit %s\n", machine.cpu,
           machine.kernel.release, machine.isolated[0] ? machine.isolated : "none",
           machine.governor[0] ? machine.governor : "unknown", IOREQD_COMMIT);
}
