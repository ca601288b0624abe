/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where threads go, on machines that hwloc invents: one test a rule, each on a machine where breaking
 * the rule would please every rule below it.
 */
#include "tests/pollers/invented_machine.h"

/* ---- asked for, and refused -------------------------------------------------------------- */

static void bad_cpus_are_refused_with_their_reason(void **state)
{
    (void)state;
    machine_allows("core:4 pu:2", CPUS(0, 1, 2, 3));
    poller_asking("far", 8);
    poller_asking("out", 5);
    poller_asking("good", 3);
    poller_asking("wild", UINT32_MAX - 1);
    assert_int_equal(plan(), -EINVAL);
    assert_string_equal(seats[0].refusal, "CPU 8 does not exist; expected one of 0-3");
    assert_says(seats[1].refusal, "CPU 5 exists, but this process may not use it");
    assert_string_equal(seats[2].refusal, "");
    assert_says(seats[3].refusal, "CPU 4294967294 does not exist");
    assert_int_equal(seats[0].cpu, PLACEMENT_NONE);
    assert_int_equal(seats[2].cpu, 3);
}

static void second_poller_on_a_cpu_is_refused_with_the_first(void **state)
{
    (void)state;
    machine_is("pu:4");
    poller_asking("first", 2);
    poller_asking("second", 2);
    assert_int_equal(plan(), -EINVAL);
    assert_string_equal(seats[0].refusal, "");
    assert_says(seats[1].refusal, "CPU 2 is taken by poller first; expected another CPU, any");
}

static void one_that_spins_beside_one_that_yields_is_refused(void **state)
{
    (void)state;
    machine_is("pu:4");
    wishes[poller_asking("yields", 2)].gives_way = true;
    poller_asking("spins", 2);
    assert_int_equal(plan(), -EINVAL);
    assert_says(seats[1].refusal, "CPU 2 is taken by poller yields");
}

static void pollers_that_give_way_may_share_and_are_warned(void **state)
{
    (void)state;
    machine_is("pu:4");
    wishes[poller_asking("first", 2)].gives_way = true;
    wishes[poller_asking("second", 2)].gives_way = true;
    assert_int_equal(plan(), 0);
    assert_int_equal(seats[1].cpu, 2);
    assert_string_equal(seats[0].warning, "");
    assert_says(seats[1].warning, "CPU 2: shares its CPU with poller first");
}

static void housekeeping_asked_onto_a_spinning_poller_is_refused(void **state)
{
    (void)state;
    machine_is("pu:4");
    size_t control = housekeeping(PLACEMENT_CONTROL, 3);
    size_t notifier = housekeeping(PLACEMENT_NOTIFIER, 9);
    poller_asking("rt", 3);
    assert_int_equal(plan(), -EINVAL);
    assert_says(seats[control].refusal, "CPU 3 is taken by poller rt");
    assert_says(seats[notifier].refusal, "CPU 9 does not exist");
}

static void asked_for_wins_and_what_it_costs_is_said(void **state)
{
    (void)state;
    machine_is("pack:2 l3:1 core:2 pu:2");
    size_t rt = poller("rt", CPUS(2));
    wishes[rt].cpu = 3; /* the vCPU's sibling */
    size_t zero = poller_asking("zero", 0);
    assert_int_equal(plan(), 0);
    assert_int_equal(seats[rt].cpu, 3);
    assert_holds(rt, "asked for");
    assert_gave_up(rt, "no SMT sibling of a vCPU");
    assert_says(seats[rt].why, "with that given up: "); /* by who asked */
    assert_says(seats[rt].warning, "CPU 3: is an SMT sibling of a vCPU (CPU 2)");
    assert_int_equal(seats[zero].cpu, 0);
    assert_null(strstr(seats[zero].why, "CPU 0")); /* it was asked for */
}

/* Which comes last does not matter to what is said of either. */
static void who_gets_company_does_not_boast_a_cpu_of_its_own(void **state)
{
    (void)state;
    machine_is("core:2 pu:1");
    poller_asking("rt", 1);
    size_t control = housekeeping(PLACEMENT_CONTROL, PLACEMENT_ANY);
    size_t notifier = housekeeping(PLACEMENT_NOTIFIER, PLACEMENT_ANY);
    assert_int_equal(plan(), 0);
    assert_int_equal(seats[control].cpu, seats[notifier].cpu);
    assert_gave_up(control, "a CPU of its own");
    assert_gave_up(notifier, "a CPU of its own");
}

static void who_gives_way_is_not_told_to(void **state)
{
    (void)state;
    machine_is("core:1 pu:1");
    for (int gives_way = 0; gives_way < 2; gives_way++) {
        wish_count = 0;
        size_t rt = poller("rt", NULL, 0);
        wishes[rt].gives_way = gives_way;
        size_t control = housekeeping(PLACEMENT_CONTROL, PLACEMENT_ANY);
        assert_int_equal(plan(), 0);
        assert_says(seats[control].warning, "shares its CPU with poller rt");
        assert_says(seats[control].warning, "leave a CPU to it");
        assert_int_equal(strstr(seats[control].warning, "idle: yield") == NULL, gives_way);
    }
}

/* ---- one rule each ----------------------------------------------------------------------- */

static void poller_is_never_on_a_vcpus_cpu_even_if_it_must_share(void **state)
{
    (void)state;
    machine_isolates("core:2 pu:1", CPUS(1));
    size_t first = poller("first", CPUS(1));
    size_t second = poller("second", CPUS(1));
    assert_int_equal(plan(), 0);
    assert_int_equal(seats[first].cpu, 0);
    assert_int_equal(seats[second].cpu, 0);
    assert_holds(second, "off the vCPUs' CPUs");
    assert_gave_up(second, "a CPU of its own");
    assert_gave_up(second, "not CPU 0");
    assert_says(seats[second].warning, "shares its CPU with poller first");
}

static void smt_sibling_of_a_vcpu_is_avoided(void **state)
{
    (void)state;
    /* CPU 3 is the sibling, shares the L3 and is isolated: everything else speaks for it. */
    machine_isolates("pack:2 l3:1 core:2 pu:2", CPUS(3));
    size_t rt = poller("rt", CPUS(2, 0));
    assert_int_equal(plan(), 0);
    assert_int_not_equal(place_of(rt)->core, the_cpu(2)->core);
    assert_int_not_equal(place_of(rt)->core, the_cpu(0)->core);
    assert_int_equal(place_of(rt)->package, 1);
    assert_holds(rt, "no SMT sibling of a vCPU");
    assert_gave_up(rt, "L3 of its vCPUs");
}

static void smt_sibling_of_a_poller_is_avoided(void **state)
{
    (void)state;
    machine_isolates("l3:2 core:2 pu:2", CPUS(6, 7));
    size_t first = poller("first", NULL, 0);
    size_t second = poller("second", NULL, 0);
    assert_int_equal(plan(), 0);
    assert_int_equal(seats[first].cpu, 7);
    assert_int_not_equal(place_of(second)->core, place_of(first)->core);
    assert_gave_up(second, "isolated");
    assert_holds(second, "no SMT sibling of a poller");
}

static void cpu_0_is_left_to_others_even_in_the_right_l3(void **state)
{
    (void)state;
    machine_isolates("l3:2 core:2 pu:1", CPUS(0));
    size_t rt = poller("rt", CPUS(1)); /* whose L3 has CPU 0 left, and nothing else */
    assert_int_equal(plan(), 0);
    assert_int_equal(seats[rt].cpu, 3);
    assert_gave_up(rt, "L3 of its vCPUs");
    assert_holds(rt, "not CPU 0");
}

static void same_l3_comes_before_isolated(void **state)
{
    (void)state;
    machine_isolates("l3:2 core:4 pu:1", CPUS(4, 5, 6, 7));
    size_t rt = poller("rt", CPUS(1));
    assert_int_equal(plan(), 0);
    assert_int_equal(seats[rt].cpu, 3);
    assert_holds(rt, "L3 of its vCPUs");
    assert_gave_up(rt, "isolated");
}

static void the_l3_of_most_vcpus_is_taken(void **state)
{
    (void)state;
    machine_is("l3:2 core:8 pu:1");
    size_t rt = poller("rt", CPUS(1, 2, 3, 9));
    assert_int_equal(plan(), 0);
    assert_int_equal(place_of(rt)->near, 0);
    assert_gave_up(rt, "L3 of all its vCPUs");
}

static void isolated_cpus_on_the_right_node_are_preferred(void **state)
{
    (void)state;
    machine_isolates("pack:2 [numa] l3:2 core:4 pu:1", CPUS(4, 6, 12, 15));
    size_t left = poller("left", CPUS(5));
    size_t right = poller("right", CPUS(13, 14));
    assert_int_equal(plan(), 0);
    assert_int_equal(seats[left].cpu, 6);
    assert_int_equal(seats[right].cpu, 15);
    assert_holds(right, "isolated");
    assert_holds(right, "NUMA node of its vCPUs");
    assert_null(strstr(seats[right].why, "given up"));
}

static void same_node_is_taken_where_the_l3_is_full(void **state)
{
    (void)state;
    machine_is("pack:2 [numa] l3:2 core:2 pu:1");
    size_t rt = poller("rt", CPUS(0, 1)); /* all of L3 0 */
    assert_int_equal(plan(), 0);
    assert_int_equal(seats[rt].cpu, 3);
    assert_gave_up(rt, "L3 of its vCPUs");
    assert_holds(rt, "NUMA node of its vCPUs");
}

static void without_l3_the_package_stands_for_it_and_that_is_said(void **state)
{
    (void)state;
    machine_is("pack:2 core:4 pu:1");
    size_t rt = poller("rt", CPUS(1));
    assert_int_equal(plan(), 0);
    assert_int_equal(seats[rt].cpu, 3);
    assert_holds(rt, "package of its vCPUs (no L3 is known)");
    close_machine(NULL);
    machine_is("numa:2 core:4 pu:1");
    rt = poller("rt", CPUS(1));
    assert_int_equal(plan(), 0);
    assert_int_equal(seats[rt].cpu, 3);
    assert_holds(rt, "NUMA node of its vCPUs (no L3 is known)");
}

/* ---- small and crowded machines ---------------------------------------------------------- */

static void one_cpu_holds_everything_and_says_so(void **state)
{
    (void)state;
    machine_is("pu:1");
    size_t rt = poller("rt", CPUS(0));
    poller("more", CPUS(0));
    size_t control = housekeeping(PLACEMENT_CONTROL, PLACEMENT_ANY);
    size_t notifier = housekeeping(PLACEMENT_NOTIFIER, PLACEMENT_ANY);
    assert_int_equal(plan(), 0);
    for (size_t i = 0; i < wish_count; i++)
        assert_int_equal(seats[i].cpu, 0);
    assert_gave_up(rt, "off the vCPUs' CPUs");
    assert_gave_up(rt, "not CPU 0");
    assert_null(strstr(seats[rt].why, "sibling")); /* there is none */
    assert_gave_up(rt, "isolated (no CPU is)");
    assert_says(seats[rt].warning, "CPU 0: is on the CPU of a vCPU");
    assert_gave_up(control, "off the pollers' CPUs");
    assert_says(seats[control].warning, "shares its CPU with poller rt");
    assert_gave_up(notifier, "a CPU of its own");
}

static void two_cpus_are_poller_and_housekeeping(void **state)
{
    (void)state;
    machine_is("l3:1 core:2 pu:1");
    size_t control = housekeeping(PLACEMENT_CONTROL, PLACEMENT_ANY);
    size_t notifier = housekeeping(PLACEMENT_NOTIFIER, PLACEMENT_ANY);
    size_t rt = poller("rt", NULL, 0);
    assert_int_equal(plan(), 0);
    assert_int_equal(seats[rt].cpu, 1);
    assert_int_equal(seats[control].cpu, 0);
    assert_int_equal(seats[notifier].cpu, 0);
    assert_says(seats[rt].why, "the CPUs of its vCPUs are not known");
    assert_string_equal(seats[rt].warning, "");
    assert_string_equal(seats[control].warning, "");
}

static void one_core_with_two_threads_gives_up_the_sibling_rule(void **state)
{
    (void)state;
    machine_is("core:1 pu:2");
    size_t rt = poller("rt", CPUS(1));
    assert_int_equal(plan(), 0);
    assert_int_equal(seats[rt].cpu, 0);
    assert_gave_up(rt, "no SMT sibling of a vCPU");
    assert_gave_up(rt, "not CPU 0");
    assert_says(seats[rt].warning, "CPU 0: is an SMT sibling of a vCPU (CPU 1)");
}

static void pollers_take_each_cpu_from_the_highest_down_and_cpu_0_last(void **state)
{
    (void)state;
    machine_is("pu:8");
    for (size_t i = 0; i < 8; i++)
        poller("rt", NULL, 0);
    assert_int_equal(plan(), 0);
    for (uint32_t i = 0; i < 8; i++)
        assert_int_equal(seats[i].cpu, 7 - i);
    assert_gave_up(7, "not CPU 0");
}

static void more_pollers_than_cpus_are_spread_evenly(void **state)
{
    (void)state;
    machine_is("core:2 pu:2");
    uint32_t on_cpu[4] = {0};
    for (size_t i = 0; i < 12; i++)
        poller("rt", NULL, 0);
    assert_int_equal(plan(), 0);
    for (size_t i = 0; i < 12; i++)
        on_cpu[seats[i].cpu]++;
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(on_cpu[i], 3);
    assert_string_equal(seats[3].warning[0] ? "warned of the sibling" : "",
                        "warned of the sibling");
    assert_says(seats[4].warning, "shares its CPU with poller rt");
}

static void pollers_with_known_vcpus_choose_before_those_without(void **state)
{
    (void)state;
    machine_isolates("l3:2 core:4 pu:1", CPUS(7));
    size_t any = poller("any", NULL, 0);
    size_t known = poller("known", CPUS(5));
    size_t asked = poller_asking("asked", 6);
    assert_int_equal(plan(), 0);
    assert_int_equal(seats[asked].cpu, 6);
    assert_int_equal(seats[known].cpu, 7);
    assert_int_equal(seats[any].cpu, 4);
}

static void vcpus_that_are_nowhere_are_passed_over_and_said(void **state)
{
    (void)state;
    machine_is("l3:2 core:4 pu:1");
    size_t rt = poller("rt", CPUS(1, 1, 70, UINT32_MAX));
    assert_int_equal(plan(), 0);
    assert_int_equal(seats[rt].cpu, 3);
    assert_says(seats[rt].why, "2 of its vCPUs' CPUs are offline");
}

/* ---- two sockets of 64 cores ------------------------------------------------------------- */

static void every_rule_holds_on_a_large_machine(void **state)
{
    (void)state;
    machine_is("pack:2 [numa] l3:8 core:8 pu:2");
    const struct placement_machine *machine = placement_machine(placement);
    assert_int_equal(machine->cpu_count, 256);
    uint32_t vcpus[8][4];
    for (uint32_t vm = 0; vm < 8; vm++) {
        for (uint32_t i = 0; i < 4; i++)
            vcpus[vm][i] = 32 * vm + 2 * i; /* a core each, in every second L3 */
        poller("rt", vcpus[vm], 4);
    }
    size_t control = housekeeping(PLACEMENT_CONTROL, PLACEMENT_ANY);
    size_t notifier = housekeeping(PLACEMENT_NOTIFIER, PLACEMENT_ANY);
    assert_int_equal(plan(), 0);
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(place_of(i)->near, the_cpu(vcpus[i][0])->near);
        assert_holds(i, "L3 of its vCPUs");
        assert_string_equal(seats[i].warning, "");
        for (size_t k = 0; k < 4; k++)
            assert_int_not_equal(place_of(i)->core, the_cpu(vcpus[i][k])->core);
        for (size_t k = 0; k < i; k++)
            assert_int_not_equal(place_of(i)->core, place_of(k)->core);
    }
    for (size_t i = 0; i < 8; i++)
        assert_int_not_equal(place_of(control)->core, place_of(i)->core);
    assert_string_equal(seats[control].warning, "");
    assert_int_not_equal(seats[notifier].cpu, seats[control].cpu);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_A_MACHINE(bad_cpus_are_refused_with_their_reason),
        ON_A_MACHINE(second_poller_on_a_cpu_is_refused_with_the_first),
        ON_A_MACHINE(one_that_spins_beside_one_that_yields_is_refused),
        ON_A_MACHINE(pollers_that_give_way_may_share_and_are_warned),
        ON_A_MACHINE(housekeeping_asked_onto_a_spinning_poller_is_refused),
        ON_A_MACHINE(asked_for_wins_and_what_it_costs_is_said),
        ON_A_MACHINE(who_gets_company_does_not_boast_a_cpu_of_its_own),
        ON_A_MACHINE(who_gives_way_is_not_told_to),
        ON_A_MACHINE(poller_is_never_on_a_vcpus_cpu_even_if_it_must_share),
        ON_A_MACHINE(smt_sibling_of_a_vcpu_is_avoided),
        ON_A_MACHINE(smt_sibling_of_a_poller_is_avoided),
        ON_A_MACHINE(cpu_0_is_left_to_others_even_in_the_right_l3),
        ON_A_MACHINE(same_l3_comes_before_isolated),
        ON_A_MACHINE(the_l3_of_most_vcpus_is_taken),
        ON_A_MACHINE(isolated_cpus_on_the_right_node_are_preferred),
        ON_A_MACHINE(same_node_is_taken_where_the_l3_is_full),
        ON_A_MACHINE(without_l3_the_package_stands_for_it_and_that_is_said),
        ON_A_MACHINE(one_cpu_holds_everything_and_says_so),
        ON_A_MACHINE(two_cpus_are_poller_and_housekeeping),
        ON_A_MACHINE(one_core_with_two_threads_gives_up_the_sibling_rule),
        ON_A_MACHINE(pollers_take_each_cpu_from_the_highest_down_and_cpu_0_last),
        ON_A_MACHINE(more_pollers_than_cpus_are_spread_evenly),
        ON_A_MACHINE(pollers_with_known_vcpus_choose_before_those_without),
        ON_A_MACHINE(vcpus_that_are_nowhere_are_passed_over_and_said),
        ON_A_MACHINE(every_rule_holds_on_a_large_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
