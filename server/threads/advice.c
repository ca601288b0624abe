/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/threads/advice.h"

#include "server/threads/cpu_latency.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define LINE_BYTES 512u
#define LIST_BYTES 128u

struct advice {
    const struct advice_case *advised;
    advice_tell *tell;
    void *context;
};

__attribute__((format(printf, 3, 4))) static void say(const struct advice *advice, bool is_warning,
                                                      const char *format, ...)
{
    char line[LINE_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    advice->tell(advice->context, is_warning, line);
}

/* The CPUs of the busy pollers of which is_meant is true, as the kernel writes lists: 1,2,3. False:
 * there is none. */
static bool list_cpus(const struct advice *advice, bool (*is_meant)(const struct advice_poller *),
                      char list[static LIST_BYTES])
{
    size_t length = 0;
    list[0] = '\0';
    for (size_t i = 0; i < advice->advised->poller_count; i++) {
        const struct advice_poller *poller = &advice->advised->pollers[i];
        if (poller->is_busy && is_meant(poller) && length < LIST_BYTES)
            length += (size_t)snprintf(list + length, LIST_BYTES - length, "%s%" PRIu32,
                                       length ? "," : "", poller->cpu);
    }
    return length > 0;
}

static bool is_any(const struct advice_poller *poller)
{
    (void)poller;
    return true;
}

static bool is_open(const struct advice_poller *poller)
{
    return !poller->facts.is_isolated;
}

static bool is_ticking(const struct advice_poller *poller)
{
    return poller->facts.is_isolated && !poller->facts.is_nohz_full;
}

static bool is_slowed(const struct advice_poller *poller)
{
    return poller->facts.governor[0] && strcmp(poller->facts.governor, "performance") != 0;
}

static bool is_robbed(const struct advice_poller *poller)
{
    return poller->facts.has_fair_server;
}

static bool is_throttled(const struct advice_poller *poller)
{
    return !poller->facts.tells_fair_server; /* where there is one it took throttling's place */
}

/* ---- the core beside them ---------------------------------------------------------------- */

/* What two pollers do to each other is placement's to say. */
static bool is_poller_cpu(const struct advice *advice, uint32_t cpu)
{
    for (size_t i = 0; i < advice->advised->poller_count; i++)
        if (advice->advised->pollers[i].cpu == cpu)
            return true;
    return false;
}

static void judge_siblings(const struct advice *advice)
{
    const struct advice_case *advised = advice->advised;
    for (size_t i = 0; i < advised->poller_count; i++) {
        const struct advice_poller *poller = &advised->pollers[i];
        uint32_t sibling = poller->facts.sibling;
        if (poller->is_busy && sibling != MACHINE_NO_CPU && !poller->facts.is_sibling_isolated &&
            !is_poller_cpu(advice, sibling))
            say(advice, false,
                "poller %s: CPU %" PRIu32 " shares its core with CPU %" PRIu32
                ", where anything may run and slow it down; isolate CPU %" PRIu32
                " too, or write 0 to /sys/devices/system/cpu/cpu%" PRIu32 "/online",
                poller->name, poller->cpu, sibling, sibling, sibling);
    }
}

/* ---- the machine under them -------------------------------------------------------------- */

static void judge_scheduling(const struct advice *advice)
{
    const struct machine_facts *machine = advice->advised->machine;
    char list[LIST_BYTES];
    if (list_cpus(advice, is_open, list))
        say(advice, false,
            "CPU %s: not isolated, other threads interrupt its poller; kernel arguments "
            "isolcpus=%s nohz_full=%s",
            list, list, list);
    if (list_cpus(advice, is_ticking, list))
        say(advice, false,
            "CPU %s: isolated, but timer ticks interrupt its poller; kernel argument "
            "nohz_full=%s",
            list, list);
    if (!machine->is_real_time)
        return;
    if (list_cpus(advice, is_robbed, list))
        say(advice, true,
            "CPU %s: pollers are SCHED_FIFO or SCHED_RR, and the kernel's fair server stops them "
            "for other threads, 50 ms at a time; write 0 to "
            "/sys/kernel/debug/sched/fair_server/cpu%.*s/runtime (of each), or start ioreqd "
            "without chrt on isolated CPUs",
            list, (int)strcspn(list, ","), list);
    if (machine->rt_runtime_us >= 0 && list_cpus(advice, is_throttled, list))
        say(advice, true,
            "CPU %s: pollers are SCHED_FIFO or SCHED_RR, and real-time throttling stops them for "
            "%" PRId64 " us of every %" PRId64 "; write -1 to "
            "/proc/sys/kernel/sched_rt_runtime_us, or start ioreqd without chrt on isolated CPUs",
            list, machine->rt_period_us - machine->rt_runtime_us, machine->rt_period_us);
}

static void judge_power(const struct advice *advice)
{
    const struct advice_case *advised = advice->advised;
    const struct machine_facts *machine = advised->machine;
    char list[LIST_BYTES];
    if (list_cpus(advice, is_slowed, list))
        say(advice, false,
            "CPU %s: the frequency governor is not performance, its speed changes as it runs; "
            "cpupower --cpu %s frequency-set --governor performance",
            list, list);
    if (machine->deepest_idle_us <= ADVICE_IDLE_US_MAX || !list_cpus(advice, is_any, list))
        return;
    if (!advised->wants_cpu_latency)
        say(advice, false,
            "idle CPUs may sleep so deeply that they take %" PRIu32
            " us to wake; server: cpu_dma_latency: hold",
            machine->deepest_idle_us);
    else if (machine->cpu_latency_error)
        say(advice, true,
            "%s: %s: idle CPUs may sleep so deeply that they take %" PRIu32 " us to wake; %s",
            CPU_LATENCY_PATH, strerror(machine->cpu_latency_error), machine->deepest_idle_us,
            machine->cpu_latency_error == ENOENT
                ? "kernel arguments processor.max_cstate=1 intel_idle.max_cstate=1"
                : "run ioreqd as root, or give its user that device (chown)");
}

static void judge_memory(const struct advice *advice)
{
    const struct advice_case *advised = advice->advised;
    if (advised->machine->has_swap && !advised->locks_memory)
        say(advice, true,
            "memory is not locked and swap is on: a poller may wait for the disk; server: "
            "lock_memory: true, or swapoff -a");
    if (advised->machine->has_numa_balancing)
        say(advice, true,
            "automatic NUMA balancing makes threads take page faults on purpose, pollers too; "
            "sysctl kernel.numa_balancing=0");
}

void advice_give(const struct advice_case *advised, advice_tell *tell, void *context)
{
    const struct advice advice = {advised, tell, context};
    judge_siblings(&advice);
    judge_scheduling(&advice);
    judge_power(&advice);
    judge_memory(&advice);
    if (!advised->machine->tsc_is_invariant)
        say(&advice, true,
            "the time-stamp counter is not invariant: latencies are approximate; expected a CPU, "
            "or a hypervisor, that says constant_tsc nonstop_tsc in /proc/cpuinfo");
}
