/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/threads/machine_facts.h"

#include "pollers/ticks.h"
#include "server/threads/cpu_latency.h"

#include <errno.h>
#include <limits.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES      4096u /* of a list of CPUs */
#define IDLE_STATES_MAX 16u

/* The first line of a file under root, without its end; "" if it cannot be read. */
__attribute__((format(printf, 3, 4))) static const char *
read_line(char line[static LINE_BYTES], const char *root, const char *format, ...)
{
    char path[PATH_MAX];
    int length = snprintf(path, sizeof(path), "%s", root);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(path + length, sizeof(path) - (size_t)length, format, arguments);
    va_end(arguments);
    line[0] = '\0';
    FILE *file = fopen(path, "re");
    if (!file)
        return line;
    if (!fgets(line, (int)LINE_BYTES, file))
        line[0] = '\0';
    fclose(file);
    line[strcspn(line, "\n")] = '\0';
    return line;
}

static bool parse_number(const char *text, int64_t *number)
{
    char *end;
    errno = 0;
    long long parsed = strtoll(text, &end, 10);
    if (end == text || *end || errno)
        return false;
    *number = parsed;
    return true;
}

/* Is cpu in a list such as 1-3,8? What is no list, "(null)" for one, holds nothing. */
static bool list_holds(const char *list, uint32_t cpu)
{
    while (*list) {
        char *end;
        unsigned long first = strtoul(list, &end, 10), last = first;
        if (end == list)
            return false;
        if (*end == '-') {
            list = end + 1;
            last = strtoul(list, &end, 10);
            if (end == list)
                return false;
        }
        if (cpu >= first && cpu <= last)
            return true;
        list = *end == ',' ? end + 1 : end;
        if (*end && *end != ',')
            return false;
    }
    return false;
}

static bool is_isolated(const char *root, uint32_t cpu)
{
    char line[LINE_BYTES];
    return list_holds(read_line(line, root, "/sys/devices/system/cpu/isolated"), cpu) ||
           list_holds(read_line(line, root, "/sys/fs/cgroup/cpuset.cpus.isolated"), cpu);
}

/* The first of the list that is not cpu itself. */
static uint32_t find_sibling(const char *root, uint32_t cpu)
{
    char line[LINE_BYTES];
    read_line(line, root, "/sys/devices/system/cpu/cpu%u/topology/thread_siblings_list", cpu);
    const char *place = line;
    while (*place) {
        char *end;
        unsigned long first = strtoul(place, &end, 10);
        if (end == place)
            break;
        if (first != cpu)
            return (uint32_t)first;
        if (*end == '-')
            return cpu + 1; /* the list begins with cpu */
        place = *end ? end + 1 : end;
    }
    return MACHINE_NO_CPU;
}

struct machine_cpu_facts machine_cpu_facts_read_at(const char *root, uint32_t cpu)
{
    char line[LINE_BYTES];
    int64_t fair_server_ns = 0;
    struct machine_cpu_facts facts = {.is_isolated = is_isolated(root, cpu),
                                      .sibling = find_sibling(root, cpu)};
    facts.is_nohz_full =
        list_holds(read_line(line, root, "/sys/devices/system/cpu/nohz_full"), cpu);
    facts.tells_fair_server = parse_number(
        read_line(line, root, "/sys/kernel/debug/sched/fair_server/cpu%u/runtime", cpu),
        &fair_server_ns);
    facts.has_fair_server = fair_server_ns > 0;
    facts.is_sibling_isolated = facts.sibling != MACHINE_NO_CPU && is_isolated(root, facts.sibling);
    read_line(line, root, "/sys/devices/system/cpu/cpu%u/cpufreq/scaling_governor", cpu);
    snprintf(facts.governor, sizeof(facts.governor), "%.*s", (int)sizeof(facts.governor) - 1, line);
    return facts;
}

/* CPU 0's speak for all. */
static uint32_t find_deepest_idle_us(const char *root)
{
    char line[LINE_BYTES];
    uint32_t deepest_us = 0;
    for (unsigned state = 0; state < IDLE_STATES_MAX; state++) {
        const char *folder = "/sys/devices/system/cpu/cpu0/cpuidle/state";
        int64_t latency_us, is_disabled = 0;
        if (!parse_number(read_line(line, root, "%s%u/latency", folder, state), &latency_us))
            break;
        parse_number(read_line(line, root, "%s%u/disable", folder, state), &is_disabled);
        if (!is_disabled && latency_us > deepest_us)
            deepest_us = (uint32_t)latency_us;
    }
    return deepest_us;
}

static bool find_swap(const char *root)
{
    char path[PATH_MAX], line[LINE_BYTES];
    snprintf(path, sizeof(path), "%s/proc/swaps", root);
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    unsigned lines = 0; /* the first one is a heading */
    while (lines < 2 && fgets(line, sizeof(line), file))
        lines++;
    fclose(file);
    return lines == 2;
}

struct machine_facts machine_facts_read_at(const char *root)
{
    char line[LINE_BYTES], path[PATH_MAX];
    int64_t balancing = 0;
    int policy = sched_getscheduler(0) & ~SCHED_RESET_ON_FORK;
    struct machine_facts facts = {
        .tsc_is_invariant = ticks_are_invariant(),
        .is_real_time = policy == SCHED_FIFO || policy == SCHED_RR,
        .rt_runtime_us = -1,
        .has_swap = find_swap(root),
        .deepest_idle_us = find_deepest_idle_us(root),
    };
    parse_number(read_line(line, root, "/proc/sys/kernel/sched_rt_runtime_us"),
                 &facts.rt_runtime_us);
    parse_number(read_line(line, root, "/proc/sys/kernel/sched_rt_period_us"), &facts.rt_period_us);
    parse_number(read_line(line, root, "/proc/sys/kernel/numa_balancing"), &balancing);
    /* A single node is written "0", more are a list. */
    facts.has_numa_balancing =
        balancing > 0 && strpbrk(read_line(line, root, "/sys/devices/system/node/online"), "-,");
    snprintf(path, sizeof(path), "%s%s", root, CPU_LATENCY_PATH);
    facts.cpu_latency_error = access(path, W_OK) == 0 ? 0 : errno;
    return facts;
}

struct machine_facts machine_facts_read(void)
{
    return machine_facts_read_at("");
}
