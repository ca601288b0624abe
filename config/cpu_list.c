/* SPDX-License-Identifier: BSD-3-Clause */
#include "config/cpu_list.h"

#include <string.h>

static int is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

/* One number at *text, which moves behind it. */
static const char *read_cpu(const char **text, uint32_t *cpu)
{
    const char *at = *text;
    if (!is_digit(at[0]))
        return "is no list of CPUs";
    if (at[0] == '0' && is_digit(at[1]))
        return "has a number that begins with a zero, which some take for octal";
    for (*cpu = 0; is_digit(*at); at++) {
        *cpu = *cpu * 10 + (uint32_t)(*at - '0');
        if (*cpu >= CPU_LIST_CPUS_MAX)
            return "has a number above 8191";
    }
    *text = at;
    return NULL;
}

_Static_assert(CPU_LIST_CPUS_MAX == 8192, "as the text above says");

const char *cpu_list_read(const char *text, uint32_t *cpus, size_t *count)
{
    uint32_t next = 0; /* the least that may come */
    *count = 0;
    if (strcmp(text, "none") == 0)
        return NULL;
    for (;;) {
        uint32_t first, last;
        const char *wrong = read_cpu(&text, &first);
        last = first;
        if (!wrong && *text == '-') {
            text++;
            wrong = read_cpu(&text, &last);
        }
        if (wrong)
            return wrong;
        if (first < next || last < first)
            return "is not in ascending order";
        for (uint32_t cpu = first; cpu <= last; cpu++, ++*count)
            if (cpus)
                cpus[*count] = cpu;
        next = last + 1;
        if (*text == '\0')
            return NULL;
        if (*text++ != ',')
            return "is no list of CPUs";
    }
}
