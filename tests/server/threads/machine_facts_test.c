/* SPDX-License-Identifier: BSD-3-Clause */
/* Facts of a machine that the test writes as files: what is read, and what is missing or odd. */
#include "server/threads/machine_facts.h"
#include "tests/support/tree.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* after those, as it asks */
#include <cmocka.h>

#define CPUS "/sys/devices/system/cpu"

static struct tree tree;

static int init(void **state)
{
    (void)state;
    tree_create(&tree);
    return 0;
}

static int fini(void **state)
{
    (void)state;
    tree_destroy(&tree);
    return 0;
}

static void a_machine_that_tells_nothing_has_nothing(void **state)
{
    (void)state;
    struct machine_facts facts = machine_facts_read_at(tree.root);
    assert_false(facts.is_real_time);
    assert_true(facts.rt_runtime_us == -1 && facts.rt_period_us == 0);
    assert_false(facts.has_swap || facts.has_numa_balancing);
    assert_int_equal(facts.deepest_idle_us, 0);
    assert_int_equal(facts.cpu_latency_error, ENOENT);
    struct machine_cpu_facts cpu = machine_cpu_facts_read_at(tree.root, 3);
    assert_false(cpu.is_isolated || cpu.is_nohz_full || cpu.has_fair_server);
    assert_false(cpu.tells_fair_server || cpu.is_sibling_isolated);
    assert_int_equal(cpu.sibling, MACHINE_NO_CPU);
    assert_string_equal(cpu.governor, "");
}

static void nonsense_is_nothing_too(void **state)
{
    (void)state;
    static const char *const nonsense[] = {"", "\n", "(null)\n", "-", "x3", "-1\n", "1-\n", "3x\n"};
    for (size_t i = 0; i < sizeof(nonsense) / sizeof(nonsense[0]); i++) {
        tree_text(&tree, CPUS "/isolated", nonsense[i]);
        tree_text(&tree, CPUS "/nohz_full", nonsense[i]);
        tree_text(&tree, CPUS "/cpu4/topology/thread_siblings_list", "\n");
        tree_text(&tree, "/sys/kernel/debug/sched/fair_server/cpu4/runtime", "many\n");
        struct machine_cpu_facts cpu = machine_cpu_facts_read_at(tree.root, 4);
        assert_false(cpu.is_isolated || cpu.is_nohz_full || cpu.has_fair_server);
        assert_int_equal(cpu.sibling, MACHINE_NO_CPU);
    }
    tree_text(&tree, "/proc/sys/kernel/sched_rt_runtime_us", "lots\n");
    tree_text(&tree, "/proc/swaps", "");
    tree_text(&tree, CPUS "/cpu0/cpuidle/state0/latency", "deep\n");
    struct machine_facts facts = machine_facts_read_at(tree.root);
    assert_true(facts.rt_runtime_us == -1 && !facts.has_swap && facts.deepest_idle_us == 0);
}

static void the_machine_is_read(void **state)
{
    (void)state;
    tree_text(&tree, "/proc/sys/kernel/sched_rt_runtime_us", "950000\n");
    tree_text(&tree, "/proc/sys/kernel/sched_rt_period_us", "1000000\n");
    tree_text(&tree, "/proc/swaps", "Filename Type Size Used Priority\n");
    tree_text(&tree, "/proc/sys/kernel/numa_balancing", "1\n");
    tree_text(&tree, "/sys/devices/system/node/online", "0\n");
    tree_text(&tree, CPUS "/cpu0/cpuidle/state0/latency", "0\n");
    tree_text(&tree, CPUS "/cpu0/cpuidle/state1/latency", "2\n");
    tree_text(&tree, CPUS "/cpu0/cpuidle/state2/latency", "133\n");
    tree_text(&tree, CPUS "/cpu0/cpuidle/state3/latency", "900\n");
    tree_text(&tree, CPUS "/cpu0/cpuidle/state2/disable", "0\n");
    tree_text(&tree, CPUS "/cpu0/cpuidle/state3/disable", "1\n");
    tree_text(&tree, "/dev/cpu_dma_latency", "");
    struct machine_facts facts = machine_facts_read_at(tree.root);
    assert_int_equal(facts.rt_runtime_us, 950000);
    assert_int_equal(facts.rt_period_us, 1000000);
    assert_false(facts.has_swap);           /* a heading alone */
    assert_false(facts.has_numa_balancing); /* one node */
    assert_int_equal(facts.deepest_idle_us, 133);
    assert_int_equal(facts.cpu_latency_error, 0);
    tree_text(&tree, "/proc/swaps",
              "Filename Type Size Used Priority\n/dev/sda2 partition 8 0 -2\n");
    tree_text(&tree, "/sys/devices/system/node/online", "0-1\n");
    tree_text(&tree, "/proc/sys/kernel/sched_rt_runtime_us", "-1\n");
    facts = machine_facts_read_at(tree.root);
    assert_true(facts.has_swap && facts.has_numa_balancing && facts.rt_runtime_us == -1);
    tree_text(&tree, "/proc/sys/kernel/numa_balancing", "0\n");
    assert_false(machine_facts_read_at(tree.root).has_numa_balancing);
}

static void a_cpu_is_read(void **state)
{
    (void)state;
    const struct {
        const char *isolated, *partition, *nohz, *siblings;
        bool is_isolated, is_nohz_full, is_sibling_isolated;
        uint32_t sibling;
    } cases[] = {
        {"3\n", "\n", "3\n", "3\n", true, true, false, MACHINE_NO_CPU},
        {"1-5,9\n", "", "4,6-8\n", "3,11\n", true, false, false, 11},
        {"30-33\n", "2-3\n", "0-2,4-90\n", "1,3\n", true, false, false, 1},
        {"1,3,7", "", "1,3,7", "3,7", true, true, true, 7},
        {"13,31,33\n", "4-5\n", "2-4\n", "2-3\n", false, true, false, 2},
        {"\n", "4\n", "", "3-4\n", false, false, true, 4},
        {"0-2,4\n", "", "", "3,67\n", false, false, false, 67},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        tree_text(&tree, CPUS "/isolated", cases[i].isolated);
        tree_text(&tree, "/sys/fs/cgroup/cpuset.cpus.isolated", cases[i].partition);
        tree_text(&tree, CPUS "/nohz_full", cases[i].nohz);
        tree_text(&tree, CPUS "/cpu3/topology/thread_siblings_list", cases[i].siblings);
        struct machine_cpu_facts cpu = machine_cpu_facts_read_at(tree.root, 3);
        assert_int_equal(cpu.is_isolated, cases[i].is_isolated);
        assert_int_equal(cpu.is_nohz_full, cases[i].is_nohz_full);
        assert_int_equal(cpu.sibling, cases[i].sibling);
        assert_int_equal(cpu.is_sibling_isolated, cases[i].is_sibling_isolated);
    }
    tree_text(&tree, CPUS "/cpu3/cpufreq/scaling_governor", "schedutil\n");
    tree_text(&tree, "/sys/kernel/debug/sched/fair_server/cpu3/runtime", "50000000\n");
    struct machine_cpu_facts cpu = machine_cpu_facts_read_at(tree.root, 3);
    assert_string_equal(cpu.governor, "schedutil");
    assert_true(cpu.has_fair_server && cpu.tells_fair_server);
    tree_text(&tree, "/sys/kernel/debug/sched/fair_server/cpu3/runtime", "0\n");
    tree_text(&tree, CPUS "/cpu3/cpufreq/scaling_governor", "a-governor-of-a-very-long-name\n");
    cpu = machine_cpu_facts_read_at(tree.root, 3);
    assert_true(!cpu.has_fair_server && cpu.tells_fair_server);
    assert_int_equal(strlen(cpu.governor), MACHINE_GOVERNOR_BYTES - 1);
}

#define IN_FOLDER(function) cmocka_unit_test_setup_teardown(function, init, fini)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(a_machine_that_tells_nothing_has_nothing),
        IN_FOLDER(nonsense_is_nothing_too),
        IN_FOLDER(the_machine_is_read),
        IN_FOLDER(a_cpu_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
