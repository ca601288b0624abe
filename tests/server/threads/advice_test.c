/* SPDX-License-Identifier: BSD-3-Clause */
/* What is said of machines that the test invents: a line for each thing that hurts, with its remedy,
 * and no line where nothing does. */
#include "server/threads/advice.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
/* after those, as it asks */
#include <cmocka.h>

/* A machine that is set up, and a poller on it. */
static const struct machine_facts good_machine = {
    .tsc_is_invariant = true, .rt_runtime_us = -1, .rt_period_us = 1000000, .deepest_idle_us = 200};
#define GOOD_CPU                                                              \
    {                                                                         \
        .is_isolated = true, .is_nohz_full = true, .sibling = MACHINE_NO_CPU, \
        .governor = "performance"                                             \
    }

struct said {
    char text[4096]; /* "w: " or "i: " and the line, each */
    size_t lines;
};

static void note(void *context, bool is_warning, const char *line)
{
    struct said *said = context;
    size_t length = strlen(said->text);
    assert_null(strchr(line, '\n'));
    assert_true(strlen(line) < 500);
    snprintf(said->text + length, sizeof(said->text) - length, "%s: %s\n", is_warning ? "w" : "i",
             line);
    said->lines++;
}

static struct said judge(const struct advice_case *advised)
{
    struct said said = {0};
    advice_give(advised, note, &said);
    return said;
}

/* One poller on CPU 1 of that machine; with locked memory and the latency held. */
static struct said judge_one(const struct machine_facts *machine, struct advice_poller poller)
{
    return judge(&(struct advice_case){.machine = machine,
                                       .pollers = &poller,
                                       .poller_count = 1,
                                       .locks_memory = true,
                                       .wants_cpu_latency = true});
}

static void assert_said(const struct said *said, const char *expected)
{
    if (!strstr(said->text, expected))
        fail_msg("not said: %s\nbut: %s", expected, said->text);
}

static const struct advice_poller good_poller = {
    .name = "rt", .cpu = 1, .is_busy = true, .facts = GOOD_CPU};

static void of_a_good_machine_nothing_is_said(void **state)
{
    (void)state;
    struct said said = judge_one(&good_machine, good_poller);
    assert_string_equal(said.text, "");
    struct machine_facts machine = good_machine;
    machine.is_real_time = true; /* nothing stops it */
    assert_int_equal(judge_one(&machine, good_poller).lines, 0);
    machine = good_machine;
    machine.rt_runtime_us = 950000; /* which is nothing to SCHED_OTHER */
    struct advice_poller poller = good_poller;
    poller.facts.has_fair_server = poller.facts.tells_fair_server = true;
    assert_int_equal(judge_one(&machine, poller).lines, 0);
}

static void each_thing_that_hurts_is_one_line_with_its_remedy(void **state)
{
    (void)state;
    const struct {
        struct machine_facts machine;
        struct machine_cpu_facts cpu;
        const char *expected, *remedy;
    } cases[] = {
        {good_machine,
         {.sibling = MACHINE_NO_CPU, .governor = "performance"},
         "i: CPU 1: not isolated, ",
         "kernel arguments isolcpus=1 nohz_full=1\n"},
        {good_machine,
         {.is_isolated = true, .sibling = MACHINE_NO_CPU},
         "i: CPU 1: isolated, but timer ticks ",
         "kernel argument nohz_full=1\n"},
        {good_machine,
         {.is_isolated = true, .is_nohz_full = true, .sibling = 5},
         "i: poller rt: CPU 1 shares its core with CPU 5, ",
         "isolate CPU 5 too, "},
        {good_machine,
         {.is_isolated = true,
          .is_nohz_full = true,
          .sibling = MACHINE_NO_CPU,
          .governor = "powersave"},
         "i: CPU 1: the frequency governor is not performance",
         "cpupower --cpu 1 frequency-set --governor performance"},
        {{.tsc_is_invariant = true,
          .is_real_time = true,
          .rt_runtime_us = 950000,
          .rt_period_us = 1000000},
         GOOD_CPU,
         "w: CPU 1: pollers are SCHED_FIFO or SCHED_RR, and real-time throttling stops them for "
         "50000 us of every 1000000",
         "write -1 to /proc/sys/kernel/sched_rt_runtime_us"},
        {{.tsc_is_invariant = true,
          .is_real_time = true,
          .rt_runtime_us = 950000,
          .rt_period_us = 1000000},
         {.is_isolated = true,
          .is_nohz_full = true,
          .sibling = MACHINE_NO_CPU,
          .has_fair_server = true,
          .tells_fair_server = true},
         "w: CPU 1: pollers are SCHED_FIFO or SCHED_RR, and the kernel's fair server",
         "write 0 to /sys/kernel/debug/sched/fair_server/cpu1/runtime"},
        {{.rt_runtime_us = -1},
         GOOD_CPU,
         "w: the time-stamp counter is not invariant",
         "constant_tsc"},
        {{.tsc_is_invariant = true, .rt_runtime_us = -1, .has_numa_balancing = true},
         GOOD_CPU,
         "w: automatic NUMA balancing",
         "sysctl kernel.numa_balancing=0"},
        {{.tsc_is_invariant = true, .deepest_idle_us = 133, .cpu_latency_error = EACCES},
         GOOD_CPU,
         "w: /dev/cpu_dma_latency: Permission denied: idle CPUs may sleep so deeply that they take "
         "133 us",
         "run ioreqd as root"},
        {{.tsc_is_invariant = true, .deepest_idle_us = 11, .cpu_latency_error = ENOENT},
         GOOD_CPU,
         "w: /dev/cpu_dma_latency: No such file or directory: ",
         "intel_idle.max_cstate=1"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct advice_poller poller = good_poller;
        poller.facts = cases[i].cpu;
        struct said said = judge_one(&cases[i].machine, poller);
        assert_said(&said, cases[i].expected);
        assert_said(&said, cases[i].remedy);
        assert_int_equal(said.lines, 1);
        /* Pollers that share their CPU are told what concerns their figures and no more. */
        poller.is_busy = false;
        said = judge_one(&cases[i].machine, poller);
        assert_int_equal(said.lines,
                         !cases[i].machine.tsc_is_invariant || cases[i].machine.has_numa_balancing);
    }
}

static void what_is_configured_counts_too(void **state)
{
    (void)state;
    struct machine_facts machine = good_machine;
    machine.has_swap = true;
    struct advice_case advised = {.machine = &machine,
                                  .pollers = &good_poller,
                                  .poller_count = 1,
                                  .locks_memory = true,
                                  .wants_cpu_latency = true};
    assert_int_equal(judge(&advised).lines, 0);
    advised.locks_memory = false;
    struct said said = judge(&advised);
    assert_said(&said, "w: memory is not locked and swap is on");
    assert_said(&said, "lock_memory: true");
    assert_int_equal(said.lines, 1);
    machine.has_swap = false;
    assert_int_equal(judge(&advised).lines, 0);
    advised.wants_cpu_latency = false;
    said = judge(&advised);
    assert_said(&said, "i: idle CPUs may sleep so deeply that they take 200 us");
    assert_said(&said, "cpu_dma_latency: hold\n");
    machine.deepest_idle_us = ADVICE_IDLE_US_MAX; /* shallow: nobody needs to hear of it */
    machine.cpu_latency_error = ENOENT;
    assert_int_equal(judge(&advised).lines, 0);
    advised.wants_cpu_latency = true;
    assert_int_equal(judge(&advised).lines, 0);
}

static void what_pollers_do_to_each_other_is_not_said_here(void **state)
{
    (void)state;
    struct advice_poller pollers[2] = {good_poller, good_poller};
    pollers[1].cpu = 9;
    pollers[0].facts.sibling = 9;
    pollers[1].facts.sibling = 1;
    const struct advice_case advised = {.machine = &good_machine,
                                        .pollers = pollers,
                                        .poller_count = 2,
                                        .locks_memory = true,
                                        .wants_cpu_latency = true};
    assert_int_equal(judge(&advised).lines, 0);
    pollers[1].cpu = 1;
    pollers[0].facts.sibling = pollers[1].facts.sibling = MACHINE_NO_CPU;
    assert_int_equal(judge(&advised).lines, 0);
}

static void many_pollers_are_one_line(void **state)
{
    (void)state;
    struct advice_poller pollers[16];
    struct machine_facts machine = good_machine;
    machine.is_real_time = true;
    machine.rt_runtime_us = 0;
    for (uint32_t i = 0; i < 16; i++)
        pollers[i] =
            (struct advice_poller){.name = "p",
                                   .cpu = 8000u + i,
                                   .is_busy = true,
                                   .facts = {.sibling = MACHINE_NO_CPU, .governor = "ondemand"}};
    struct said said = judge(&(struct advice_case){.machine = &machine,
                                                   .pollers = pollers,
                                                   .poller_count = 16,
                                                   .locks_memory = true,
                                                   .wants_cpu_latency = true});
    assert_int_equal(said.lines, 3);
    for (uint32_t i = 0; i < 3; i++)
        pollers[i].cpu = i + 2;
    said = judge(&(struct advice_case){.machine = &good_machine,
                                       .pollers = pollers,
                                       .poller_count = 3,
                                       .locks_memory = true,
                                       .wants_cpu_latency = true});
    assert_said(&said, "isolcpus=2,3,4 nohz_full=2,3,4\n");
    assert_said(&said, "--cpu 2,3,4 frequency-set");
    assert_int_equal(said.lines, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(of_a_good_machine_nothing_is_said),
        cmocka_unit_test(each_thing_that_hurts_is_one_line_with_its_remedy),
        cmocka_unit_test(what_is_configured_counts_too),
        cmocka_unit_test(what_pollers_do_to_each_other_is_not_said_here),
        cmocka_unit_test(many_pollers_are_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
