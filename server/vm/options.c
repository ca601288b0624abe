/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/vm/options.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void options_begin(char **argv, const char *command)
{
    static char names[32]; /* what getopt begins its messages with */
    snprintf(names, sizeof(names), "ioreq-vm %s", command);
    argv[0] = names;
    optind = 0; /* a fresh start, also after another command in the same process */
}

/* Reads digits (or 0x and digits) at text; *end is what follows them. */
static bool parse_digits(const char *text, uint64_t *value, const char **end)
{
    bool is_hex = text[0] == '0' && (text[1] == 'x' || text[1] == 'X');
    /* strtoull would take blanks, signs and a bare "0x". */
    if (is_hex ? !isxdigit((unsigned char)text[2]) : !isdigit((unsigned char)text[0]))
        return false;
    char *rest;
    errno = 0;
    unsigned long long number = strtoull(text, &rest, is_hex ? 16 : 10);
    if (errno != 0)
        return false;
    *value = number;
    *end = rest;
    return true;
}

bool option_number(const char *text, uint64_t minimum, uint64_t maximum, uint64_t *value)
{
    uint64_t number;
    const char *end;
    if (!parse_digits(text, &number, &end) || *end != '\0' || number < minimum || number > maximum)
        return false;
    *value = number;
    return true;
}

bool option_size(const char *text, uint64_t minimum, uint64_t maximum, uint64_t *value)
{
    static const struct {
        const char *suffix;
        unsigned shift;
    } units[] = {{"", 0}, {"KiB", 10}, {"MiB", 20}, {"GiB", 30}};
    uint64_t number;
    const char *end;
    if (!parse_digits(text, &number, &end))
        return false;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(end, units[i].suffix) != 0)
            continue;
        if (number > UINT64_MAX >> units[i].shift)
            return false;
        number <<= units[i].shift;
        if (number < minimum || number > maximum)
            return false;
        *value = number;
        return true;
    }
    return false;
}

bool option_seconds(const char *text, uint64_t *value_ns)
{
    if (text[strspn(text, "0123456789.")] != '\0')
        return false; /* strtod would take "inf", "1e9", "-1" */
    char *end;
    double seconds = strtod(text, &end);
    if (end == text || *end != '\0' || !isfinite(seconds) || seconds < 1e-9 || seconds > 1e6)
        return false;
    *value_ns = (uint64_t)(seconds * 1e9);
    return true;
}

static bool cpu_list_add(struct cpu_list *list, uint64_t cpu)
{
    if (list->count == OPTION_CPUS_MAX || cpu >= CPU_SETSIZE)
        return false;
    list->cpus[list->count++] = (uint32_t)cpu;
    return true;
}

bool option_cpus(const char *text, struct cpu_list *list)
{
    struct cpu_list parsed = {0};
    for (;;) {
        uint64_t first;
        uint64_t last;
        const char *end;
        if (!parse_digits(text, &first, &end))
            return false;
        last = first;
        if (*end == '-' && !parse_digits(end + 1, &last, &end))
            return false;
        if (last < first || last - first >= OPTION_CPUS_MAX)
            return false;
        for (uint64_t cpu = first; cpu <= last; cpu++)
            if (!cpu_list_add(&parsed, cpu))
                return false;
        if (*end == '\0')
            break;
        if (*end != ',')
            return false;
        text = end + 1;
    }
    *list = parsed;
    return true;
}

bool option_completion(const char *text, struct completion_modes *modes)
{
    struct completion_modes parsed = {0};
    for (;; text++) {
        size_t length = strcspn(text, ",");
        bool is_notified = length == 6 && strncmp(text, "notify", length) == 0;
        bool is_polling = length == 4 && strncmp(text, "poll", length) == 0;
        if ((!is_notified && !is_polling) || parsed.vcpu_count == OPTION_VCPUS_MAX)
            return false;
        parsed.notified |= (uint32_t)is_notified << parsed.vcpu_count++;
        text += length;
        if (*text == '\0')
            break;
    }
    if (parsed.vcpu_count == 1) {
        parsed.notified = parsed.notified ? UINT32_MAX : 0;
        parsed.vcpu_count = 0;
    }
    *modes = parsed;
    return true;
}

static void print_line(const char *command, const char *format, va_list arguments)
    __attribute__((format(printf, 2, 0)));

static void print_line(const char *command, const char *format, va_list arguments)
{
    char line[1024];
    vsnprintf(line, sizeof(line), format, arguments);
    fprintf(stderr, "ioreq-vm%s%s: %s\n", *command ? " " : "", command, line);
}

void command_warn(const char *command, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_line(command, format, arguments);
    va_end(arguments);
}

int option_refuse(const char *command, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_line(command, format, arguments);
    va_end(arguments);
    return EXIT_USAGE;
}

int command_fail(const char *command, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    print_line(command, format, arguments);
    va_end(arguments);
    return EXIT_FAILED;
}

int thread_pin(uint32_t cpu)
{
    cpu_set_t wanted;
    cpu_set_t got;
    if (cpu >= CPU_SETSIZE)
        return -EINVAL;
    CPU_ZERO(&wanted);
    CPU_SET(cpu, &wanted);
    if (sched_setaffinity(0, sizeof(wanted), &wanted) != 0 ||
        sched_getaffinity(0, sizeof(got), &got) != 0)
        return -errno;
    return CPU_EQUAL(&wanted, &got) ? 0 : -EINVAL;
}
