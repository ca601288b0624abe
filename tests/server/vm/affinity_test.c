/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/vm/affinity.h"
#include "server/vm/requester.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static const struct cpu_list no_cpus;

static struct affinity choose(const char *allowed, const char *pinned, uint32_t vcpu_count,
                              uint32_t poller_cpu)
{
    struct affinity affinity;
    struct cpu_list allowed_cpus = {0};
    struct cpu_list pinned_cpus = {0};
    cpu_set_t set;
    CPU_ZERO(&set);
    assert_true(option_cpus(allowed, &allowed_cpus));
    assert_true(*pinned == '\0' || option_cpus(pinned, &pinned_cpus));
    for (size_t i = 0; i < allowed_cpus.count; i++)
        CPU_SET(allowed_cpus.cpus[i], &set);
    affinity_choose(&affinity, &set, &pinned_cpus, vcpu_count, poller_cpu);
    return affinity;
}

static const char *print(const struct affinity *affinity, bool as_json)
{
    static char text[512];
    memset(text, 0, sizeof(text));
    FILE *out = fmemopen(text, sizeof(text), "w");
    assert_non_null(out);
    if (as_json)
        affinity_print_json(affinity, out);
    else
        affinity_print(affinity, out);
    fclose(out);
    return text;
}

static void vcpus_keep_off_the_pollers_cpu(void **state)
{
    (void)state;
    struct affinity affinity = choose("0-1", "", 4, 1);
    assert_false(affinity_meets_poller(&affinity));
    assert_string_equal(print(&affinity, false), "cpus          vCPUs on 0, the poller on 1\n");
    assert_string_equal(print(&affinity, true), "\"cpus\": \"0\", \"poller_cpu\": 1, ");
    affinity = choose("0-7", "", 2, 3);
    assert_string_equal(print(&affinity, false),
                        "cpus          vCPUs on 0-2,4-7, the poller on 3\n");
    affinity = choose("2,5", "", 2, 3); /* it is not ours anyway */
    assert_string_equal(print(&affinity, false), "cpus          vCPUs on 2,5, the poller on 3\n");
}

static void pollers_cpu_is_shared_where_there_is_no_other(void **state)
{
    (void)state;
    struct affinity affinity = choose("1", "", 1, 1);
    assert_true(affinity_meets_poller(&affinity));
    assert_string_equal(print(&affinity, false),
                        "cpus          vCPUs on 1, the poller on 1: they share it\n");
}

static void unknown_poller_keeps_nobody_off(void **state)
{
    (void)state;
    struct affinity affinity = choose("0-1", "", 1, REQUESTER_CPU_UNKNOWN);
    assert_false(affinity_meets_poller(&affinity));
    assert_string_equal(print(&affinity, false),
                        "cpus          vCPUs on 0-1, the poller's is not known\n");
    assert_string_equal(print(&affinity, true), "\"cpus\": \"0-1\", \"poller_cpu\": null, ");
}

static void cpus_that_were_named_are_taken_as_named(void **state)
{
    (void)state;
    struct affinity affinity = choose("0-3", "0,0,0,2", 4, 1);
    assert_false(affinity_meets_poller(&affinity));
    assert_string_equal(print(&affinity, false),
                        "cpus          vCPUs on 0,0,0,2 (--cpus), the poller on 1\n");
    affinity = choose("0-3", "0,1", 2, 1);
    assert_true(affinity_meets_poller(&affinity));
    affinity = choose("0-3", "0,1", 1, 1); /* no vCPU goes to the second */
    assert_false(affinity_meets_poller(&affinity));
}

static void thread_is_where_it_was_put(void **state)
{
    (void)state;
    char error[256] = "";
    cpu_set_t before;
    cpu_set_t got;
    struct affinity affinity;
    assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
    size_t own = 0;
    while (!CPU_ISSET(own, &before))
        own++;
    affinity_init(&affinity, &no_cpus, 1, (uint32_t)own);
    assert_int_equal(affinity_apply(&affinity, 0, error, sizeof(error)), 0);
    assert_int_equal(sched_getaffinity(0, sizeof(got), &got), 0);
    assert_int_equal(CPU_ISSET(own, &got) != 0, CPU_COUNT(&before) == 1);
    assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);

    struct cpu_list repeated = {.count = 2, .cpus = {(uint32_t)own, (uint32_t)own}};
    affinity_init(&affinity, &repeated, 2, REQUESTER_CPU_UNKNOWN);
    for (uint32_t vcpu = 0; vcpu < 2; vcpu++)
        assert_int_equal(affinity_apply(&affinity, vcpu, error, sizeof(error)), 0);
    assert_int_equal(sched_getaffinity(0, sizeof(got), &got), 0);
    assert_true(CPU_COUNT(&got) == 1 && CPU_ISSET(own, &got));
    assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);

    affinity.pinned.cpus[1] = 1023;
    assert_true(affinity_apply(&affinity, 1, error, sizeof(error)) < 0);
    assert_non_null(strstr(error, "vCPU 1 to CPU 1023"));
}

static bool hints(const struct affinity *affinity, uint64_t round_trip_ns)
{
    static struct traffic traffic;
    const struct requester_access access = {.size_bytes = 1};
    char text[512] = "";
    memset(&traffic, 0, sizeof(traffic));
    for (int i = 0; i < 100; i++)
        traffic_add(&traffic, &access, round_trip_ns);
    FILE *out = fmemopen(text, sizeof(text), "w");
    assert_non_null(out);
    affinity_print_hint(affinity, &traffic, out);
    fclose(out);
    assert_true(text[0] == '\0' || strstr(text, "hint  ") == text);
    return text[0] != '\0';
}

static void hint_comes_only_where_it_helps(void **state)
{
    (void)state;
    struct affinity shared = choose("0-3", "1", 1, 1);
    struct affinity apart = choose("0-3", "", 1, 1);
    assert_true(hints(&shared, 4000000));
    assert_false(hints(&shared, 2000));
    assert_false(hints(&apart, 4000000));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(vcpus_keep_off_the_pollers_cpu),
        cmocka_unit_test(pollers_cpu_is_shared_where_there_is_no_other),
        cmocka_unit_test(unknown_poller_keeps_nobody_off),
        cmocka_unit_test(cpus_that_were_named_are_taken_as_named),
        cmocka_unit_test(thread_is_where_it_was_put),
        cmocka_unit_test(hint_comes_only_where_it_helps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
