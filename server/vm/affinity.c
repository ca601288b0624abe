/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/vm/affinity.h"

#include "server/vm/requester.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

/* A round trip takes microseconds where the poller runs meanwhile, and a turn of the scheduler,
 * milliseconds, where it cannot. */
#define SLOW_ROUND_TRIP_NS 50000u

void affinity_choose(struct affinity *affinity, const cpu_set_t *allowed,
                     const struct cpu_list *cpus, uint32_t vcpu_count, uint32_t poller_cpu)
{
    *affinity = (struct affinity){.pinned = *cpus, .cpus = *allowed, .poller_cpu = poller_cpu};
    if (affinity->pinned.count > vcpu_count)
        affinity->pinned.count = vcpu_count;
    if (poller_cpu >= CPU_SETSIZE)
        return;
    CPU_CLR(poller_cpu, &affinity->cpus);
    if (CPU_COUNT(&affinity->cpus) == 0)
        affinity->cpus = *allowed;
}

void affinity_init(struct affinity *affinity, const struct cpu_list *cpus, uint32_t vcpu_count,
                   uint32_t poller_cpu)
{
    cpu_set_t allowed;
    if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
        memset(&allowed, 0xff, sizeof(allowed)); /* more CPUs than fit: all of those that do */
    affinity_choose(affinity, &allowed, cpus, vcpu_count, poller_cpu);
}

bool affinity_meets_poller(const struct affinity *affinity)
{
    for (size_t i = 0; i < affinity->pinned.count; i++)
        if (affinity->pinned.cpus[i] == affinity->poller_cpu)
            return true;
    return affinity->pinned.count == 0 && affinity->poller_cpu < CPU_SETSIZE &&
           CPU_ISSET(affinity->poller_cpu, &affinity->cpus);
}

void affinity_warn(const struct affinity *affinity, const char *command)
{
    if (affinity->pinned.count > 0 && affinity_meets_poller(affinity))
        command_warn(command,
                     "--cpus names CPU %" PRIu32 ", on which the poller spins: every access "
                     "will wait for the scheduler; name another",
                     affinity->poller_cpu);
}

int affinity_apply(const struct affinity *affinity, uint32_t vcpu, char *error, size_t error_bytes)
{
    if (vcpu < affinity->pinned.count) {
        uint32_t cpu = affinity->pinned.cpus[vcpu];
        int result = thread_pin(cpu);
        if (result != 0)
            snprintf(error, error_bytes,
                     "cannot pin vCPU %" PRIu32 " to CPU %" PRIu32 ": %s (see --cpus)", vcpu, cpu,
                     strerror(-result));
        return result;
    }
    if (sched_setaffinity(0, sizeof(affinity->cpus), &affinity->cpus) == 0)
        return 0;
    int result = -errno;
    char cpus[128];
    affinity_describe(affinity, cpus, sizeof(cpus));
    snprintf(error, error_bytes, "cannot keep vCPU %" PRIu32 " on the CPUs %s: %s", vcpu, cpus,
             strerror(-result));
    return result;
}

void affinity_describe(const struct affinity *affinity, char *text, size_t text_bytes)
{
    FILE *out = fmemopen(text, text_bytes, "w");
    const char *separator = "";
    *text = '\0';
    if (!out)
        return;
    for (size_t i = 0; i < affinity->pinned.count; i++, separator = ",")
        fprintf(out, "%s%" PRIu32, separator, affinity->pinned.cpus[i]);
    for (size_t first = 0; affinity->pinned.count == 0 && first < CPU_SETSIZE; first++) {
        size_t last = first;
        if (!CPU_ISSET(first, &affinity->cpus))
            continue;
        while (last + 1 < CPU_SETSIZE && CPU_ISSET(last + 1, &affinity->cpus))
            last++;
        fprintf(out, last > first ? "%s%zu-%zu" : "%s%zu", separator, first, last);
        separator = ",";
        first = last;
    }
    fclose(out);
    text[text_bytes - 1] = '\0';
}

void affinity_print(const struct affinity *affinity, FILE *out)
{
    char cpus[256];
    affinity_describe(affinity, cpus, sizeof(cpus));
    fprintf(out, "cpus          vCPUs on %s%s", cpus,
            affinity->pinned.count > 0 ? " (--cpus)" : "");
    if (affinity->poller_cpu == REQUESTER_CPU_UNKNOWN)
        fputs(", the poller's is not known\n", out);
    else
        fprintf(out, ", the poller on %" PRIu32 "%s\n", affinity->poller_cpu,
                affinity_meets_poller(affinity) ? ": they share it" : "");
}

void affinity_print_json(const struct affinity *affinity, FILE *out)
{
    char cpus[256];
    affinity_describe(affinity, cpus, sizeof(cpus));
    fprintf(out, "\"cpus\": \"%s\", \"poller_cpu\": ", cpus);
    if (affinity->poller_cpu == REQUESTER_CPU_UNKNOWN)
        fputs("null, ", out);
    else
        fprintf(out, "%" PRIu32 ", ", affinity->poller_cpu);
}

void affinity_print_hint(const struct affinity *affinity, const struct traffic *traffic, FILE *out)
{
    if (!affinity_meets_poller(affinity) ||
        histogram_percentile(&traffic->round_trip, 0.99) < SLOW_ROUND_TRIP_NS)
        return;
    fprintf(out,
            "hint          vCPUs waited for the poller to get CPU %" PRIu32
            " back: give them others%s\n",
            affinity->poller_cpu,
            affinity->pinned.count > 0 ? " with --cpus" : ", this process may use no other");
}
