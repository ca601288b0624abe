/* SPDX-License-Identifier: BSD-3-Clause */
/* Where not all rules of placement can hold: which one is given up, and that housekeeping comes after the
 * pollers. */
#include "tests/pollers/invented_machine.h"

/* ---- housekeeping ------------------------------------------------------------------------ */

static void housekeeping_keeps_off_pollers_vcpus_and_isolated_cpus(void **state)
{
    (void)state;
    machine_isolates("l3:2 core:4 pu:1", CPUS(0, 2));
    size_t control = housekeeping(PLACEMENT_CONTROL, PLACEMENT_ANY);
    size_t notifier = housekeeping(PLACEMENT_NOTIFIER, PLACEMENT_ANY);
    poller("rt", CPUS(1, 3)); /* on 2 */
    assert_int_equal(plan(), 0);
    assert_int_equal(seats[control].cpu, 4); /* 0 is isolated, 1 and 3 are vCPUs' */
    assert_int_equal(seats[notifier].cpu, 5);
    assert_holds(control, "off the pollers' CPUs");
    assert_holds(control, "off the vCPUs' CPUs");
    assert_holds(control, "not isolated");
}

static void housekeeping_takes_cpu_0_and_no_sibling_of_a_poller(void **state)
{
    (void)state;
    machine_is("l3:1 core:4 pu:2");
    size_t control = housekeeping(PLACEMENT_CONTROL, PLACEMENT_ANY);
    size_t notifier = housekeeping(PLACEMENT_NOTIFIER, PLACEMENT_ANY);
    poller_asking("rt", 3);
    poller("vm", CPUS(4)); /* on 7 */
    assert_int_equal(plan(), 0);
    assert_int_equal(seats[control].cpu, 0);
    assert_int_equal(seats[notifier].cpu, 1); /* 2, 5 and 6 are siblings */
    close_machine(NULL);
    machine_is("l3:1 core:4 pu:2");
    poller_asking("rt", 0);
    control = housekeeping(PLACEMENT_CONTROL, PLACEMENT_ANY);
    poller("vm", CPUS(2)); /* on 7 */
    assert_int_equal(plan(), 0);
    assert_int_equal(seats[control].cpu, 4); /* 1, 3 and 6 are siblings */
}

static void housekeeping_is_on_the_node_of_most_pollers(void **state)
{
    (void)state;
    machine_is("pack:2 [numa] l3:1 core:4 pu:1");
    size_t control = housekeeping(PLACEMENT_CONTROL, PLACEMENT_ANY);
    poller("one", CPUS(5));
    poller("two", CPUS(5));
    assert_int_equal(plan(), 0);
    assert_int_equal(seats[control].cpu, 4);
    assert_holds(control, "NUMA node of the pollers");
}

static void pollers_keep_off_cpus_that_housekeeping_asked_for(void **state)
{
    (void)state;
    machine_is("pu:4");
    size_t rt = poller("rt", NULL, 0);
    housekeeping(PLACEMENT_CONTROL, 3);
    housekeeping(PLACEMENT_NOTIFIER, 3);
    assert_int_equal(plan(), 0);
    assert_int_equal(seats[rt].cpu, 2);
}

/* ---- which of two rules is given up ------------------------------------------------------ */

static void siblings_of_vcpus_come_before_sharing_a_cpu(void **state)
{
    (void)state;
    machine_allows("core:2 pu:2", CPUS(1, 3));
    poller_asking("first", 3); /* where the higher number would lead */
    size_t rt = poller("rt", CPUS(0));
    assert_int_equal(plan(), 0);
    assert_int_equal(seats[rt].cpu, 1);
}

static void siblings_of_pollers_come_before_those_of_vcpus(void **state)
{
    (void)state;
    machine_allows("core:3 pu:2", CPUS(2, 3, 5));
    poller_asking("first", 3); /* its sibling is 2 */
    size_t rt = poller("rt", CPUS(4));
    assert_int_equal(plan(), 0);
    assert_int_equal(seats[rt].cpu, 2);
    assert_says(seats[rt].warning, "CPU 2: is an SMT sibling of poller first");
}

static void cpu_0_comes_before_siblings_of_pollers(void **state)
{
    (void)state;
    machine_allows("core:3 pu:2", CPUS(0, 4, 5));
    poller_asking("first", 5);
    size_t rt = poller("rt", NULL, 0);
    assert_int_equal(plan(), 0);
    assert_int_equal(seats[rt].cpu, 0);
    assert_gave_up(rt, "not CPU 0");
}

static void the_vcpu_that_is_in_the_way_is_named(void **state)
{
    (void)state;
    machine_is("core:2 pu:3");
    size_t rt = poller("rt", CPUS(5));
    wishes[rt].cpu = 3;
    assert_int_equal(plan(), 0);
    assert_says(seats[rt].warning, "an SMT sibling of a vCPU (CPU 5)");
}

static void housekeeping_gives_up_from_the_least_important_rule(void **state)
{
    (void)state;
    machine_isolates("pu:3", CPUS(1));
    size_t control = housekeeping(PLACEMENT_CONTROL, PLACEMENT_ANY);
    wishes[poller("rt", CPUS(0))].cpu = 2;
    assert_int_equal(plan(), 0);
    assert_int_equal(seats[control].cpu, 1); /* isolated before a vCPU's */
    close_machine(NULL);

    const uint32_t isolated[] = {0}, allowed[] = {0, 2, 3};
    open_source((struct placement_source){.synthetic = "core:2 pu:2",
                                          .isolated = isolated,
                                          .isolated_count = 1,
                                          .allowed = allowed,
                                          .allowed_count = 3});
    control = housekeeping(PLACEMENT_CONTROL, PLACEMENT_ANY);
    poller_asking("rt", 3);
    assert_int_equal(plan(), 0);
    assert_int_equal(seats[control].cpu, 2); /* a poller's sibling before isolated */
    close_machine(NULL);

    machine_is("core:2 pu:2");
    control = housekeeping(PLACEMENT_CONTROL, PLACEMENT_ANY);
    wishes[poller("rt", CPUS(2))].cpu = 0;
    assert_int_equal(plan(), 0);
    assert_int_equal(seats[control].cpu, 3); /* a vCPU's sibling before a poller's */
    close_machine(NULL);

    machine_allows("core:3 pu:2", CPUS(0, 3, 4));
    control = housekeeping(PLACEMENT_CONTROL, PLACEMENT_ANY);
    size_t notifier = housekeeping(PLACEMENT_NOTIFIER, PLACEMENT_ANY);
    wishes[poller("rt", CPUS(2))].cpu = 4;
    assert_int_equal(plan(), 0);
    assert_int_equal(seats[control].cpu, 0);
    assert_int_equal(seats[notifier].cpu, 0); /* shared before a vCPU's sibling */
    close_machine(NULL);

    machine_is("pack:2 [numa] core:2 pu:1");
    control = housekeeping(PLACEMENT_CONTROL, PLACEMENT_ANY);
    notifier = housekeeping(PLACEMENT_NOTIFIER, PLACEMENT_ANY);
    poller_asking("rt", 1);
    assert_int_equal(plan(), 0);
    assert_int_equal(seats[control].cpu, 0);
    assert_int_equal(seats[notifier].cpu, 2); /* another node before a shared CPU */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_A_MACHINE(housekeeping_keeps_off_pollers_vcpus_and_isolated_cpus),
        ON_A_MACHINE(housekeeping_takes_cpu_0_and_no_sibling_of_a_poller),
        ON_A_MACHINE(housekeeping_is_on_the_node_of_most_pollers),
        ON_A_MACHINE(pollers_keep_off_cpus_that_housekeeping_asked_for),
        ON_A_MACHINE(siblings_of_vcpus_come_before_sharing_a_cpu),
        ON_A_MACHINE(siblings_of_pollers_come_before_those_of_vcpus),
        ON_A_MACHINE(cpu_0_comes_before_siblings_of_pollers),
        ON_A_MACHINE(the_vcpu_that_is_in_the_way_is_named),
        ON_A_MACHINE(housekeeping_gives_up_from_the_least_important_rule),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
