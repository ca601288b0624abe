/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/interruptions.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

void interruptions_open(struct interruption_watch *watch, uint32_t cpu)
{
    struct interruptions now = {0};
    char path[64];
    snprintf(path, sizeof(path), "/proc/self/task/%d/schedstat", (int)gettid());
    watch->cpu = cpu;
    watch->schedstat = open(path, O_RDONLY | O_CLOEXEC);
    interruptions_read_thread(watch, &now);
    watch->has_delay = watch->schedstat >= 0;
}

void interruptions_close(struct interruption_watch *watch)
{
    if (watch->schedstat >= 0)
        close(watch->schedstat);
}

void interruptions_read_thread(const struct interruption_watch *watch, struct interruptions *now)
{
    struct rusage usage;
    char line[96];
    uint64_t run_ns, delay_ns;
    if (getrusage(RUSAGE_THREAD, &usage) == 0)
        now->switches = (uint64_t)usage.ru_nivcsw;
    ssize_t length = watch->schedstat < 0 ? -1 : pread(watch->schedstat, line, sizeof(line) - 1, 0);
    if (length <= 0)
        return;
    line[length] = '\0';
    if (sscanf(line, "%" SCNu64 " %" SCNu64, &run_ns, &delay_ns) == 2)
        now->delay_ns = delay_ns;
}

/* Which column of /proc/interrupts is the CPU's; -1: none. */
static int find_column(char *header, uint32_t cpu)
{
    char wanted[16], *rest = NULL;
    int column = 0;
    snprintf(wanted, sizeof(wanted), "CPU%" PRIu32, cpu);
    for (char *word = strtok_r(header, " \n", &rest); word; word = strtok_r(NULL, " \n", &rest)) {
        if (strcmp(word, wanted) == 0)
            return column;
        column++;
    }
    return -1;
}

/* " 36:  0  119925  PCI-MSIX-0000:00:02.0  1-edge  virtio1-req.0" */
static bool parse_source(char *line, int column, struct interruption_source *source)
{
    char *colon = strchr(line, ':');
    if (!colon)
        return false;
    *colon = '\0';
    const char *label = line + strspn(line, " ");
    char *rest = colon + 1;
    for (int i = 0; i <= column; i++) {
        char *end;
        source->count = strtoull(rest, &end, 10);
        if (end == rest)
            return false;
        rest = end;
    }
    rest[strcspn(rest, "\n")] = '\0';
    const char *device = strrchr(rest, ' ');
    bool is_numbered = *label >= '0' && *label <= '9';
    snprintf(source->name, sizeof(source->name), "%.23s",
             is_numbered && device ? device + 1 : label);
    return true;
}

static void read_sources(uint32_t cpu, struct interruptions *now)
{
    char *line = NULL;
    size_t line_bytes = 0;
    FILE *file = fopen("/proc/interrupts", "re");
    if (!file)
        return;
    int column = getline(&line, &line_bytes, file) > 0 ? find_column(line, cpu) : -1;
    while (column >= 0 && now->source_count < INTERRUPTION_SOURCES_MAX &&
           getline(&line, &line_bytes, file) > 0)
        if (parse_source(line, column, &now->sources[now->source_count]))
            now->source_count++;
    free(line);
    fclose(file);
}

/* The eighth figure of the CPU's line. */
static uint64_t read_stolen_ms(uint32_t cpu)
{
    char line[256];
    uint64_t stolen = 0;
    unsigned listed;
    FILE *file = fopen("/proc/stat", "re");
    if (!file)
        return 0;
    while (fgets(line, sizeof(line), file))
        if (sscanf(line, "cpu%u %*u %*u %*u %*u %*u %*u %*u %" SCNu64, &listed, &stolen) == 2 &&
            line[3] != ' ' && listed == cpu)
            break;
        else
            stolen = 0;
    fclose(file);
    return stolen * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
}

void interruptions_read(const struct interruption_watch *watch, struct interruptions *now)
{
    memset(now, 0, sizeof(*now));
    read_sources(watch->cpu, now);
    now->stolen_ms = read_stolen_ms(watch->cpu);
    interruptions_read_thread(watch, now);
}

/* A source that came or went in between moves the lines: it is left out. */
void interruptions_add(struct interruptions *total, const struct interruptions *before,
                       const struct interruptions *after)
{
    for (uint32_t i = 0; i < after->source_count && i < before->source_count; i++) {
        const struct interruption_source *source = &after->sources[i];
        bool is_same = strcmp(source->name, before->sources[i].name) == 0;
        if (i >= total->source_count) {
            total->sources[i] = (struct interruption_source){0};
            memcpy(total->sources[i].name, source->name, sizeof(source->name));
            total->source_count = i + 1;
        }
        if (is_same && strcmp(source->name, total->sources[i].name) == 0)
            total->sources[i].count += source->count - before->sources[i].count;
    }
    total->switches += after->switches - before->switches;
    total->delay_ns += after->delay_ns - before->delay_ns;
    total->stolen_ms += after->stolen_ms - before->stolen_ms;
}

static int compare_sources(const void *left, const void *right)
{
    uint64_t a = ((const struct interruption_source *)left)->count;
    uint64_t b = ((const struct interruption_source *)right)->count;
    return (a < b) - (a > b);
}

void interruptions_describe(const struct interruptions *difference, char *text, size_t text_bytes)
{
    struct interruption_source sorted[INTERRUPTION_SOURCES_MAX];
    uint32_t count = difference->source_count;
    memcpy(sorted, difference->sources, count * sizeof(sorted[0]));
    qsort(sorted, count, sizeof(sorted[0]), compare_sources);
    snprintf(text, text_bytes, "none");
    size_t used = 0;
    for (uint32_t i = 0; i < count && sorted[i].count > 0; i++) {
        char item[64];
        int length = snprintf(item, sizeof(item), "%s%s %" PRIu64, i ? ", " : "", sorted[i].name,
                              sorted[i].count);
        if (used + (size_t)length >= text_bytes)
            return;
        memcpy(text + used, item, (size_t)length + 1);
        used += (size_t)length;
    }
}
