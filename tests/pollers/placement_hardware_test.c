/* SPDX-License-Identifier: BSD-3-Clause */
/* Placement on machines that no description of hwloc's invents: cores of two kinds, a cgroup's CPUs, an
 * affinity that the process began with. */
#include "tests/pollers/invented_machine.h"

#include <hwloc.h>
#include <unistd.h>

/* ---- machines that only hwloc's own interface describes ---------------------------------- */

/* Opens what `change` makes of an invented machine, by way of a file. */
static void machine_from_xml(const char *synthetic, void (*change)(hwloc_topology_t topology),
                             struct placement_source source)
{
    hwloc_topology_t topology;
    char path[] = "/tmp/ioreqd-test-XXXXXX";
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    assert_int_equal(hwloc_topology_init(&topology), 0);
    assert_int_equal(hwloc_topology_set_flags(topology, HWLOC_TOPOLOGY_FLAG_INCLUDE_DISALLOWED), 0);
    assert_int_equal(hwloc_topology_set_synthetic(topology, synthetic), 0);
    assert_int_equal(hwloc_topology_load(topology), 0);
    change(topology);
    assert_int_equal(hwloc_topology_export_xml(topology, path, 0), 0);
    hwloc_topology_destroy(topology);
    source.xml = path;
    open_source(source);
    close(descriptor);
    unlink(path);
}

/* CPUs 0 to 3 are the fast ones, as P cores are. */
static void make_hybrid(hwloc_topology_t topology)
{
    hwloc_bitmap_t fast = hwloc_bitmap_alloc(), slow = hwloc_bitmap_alloc();
    hwloc_bitmap_set_range(fast, 0, 3);
    hwloc_bitmap_set_range(slow, 4, 7);
    assert_int_equal(hwloc_cpukinds_register(topology, slow, 0, 0, NULL, 0), 0);
    assert_int_equal(hwloc_cpukinds_register(topology, fast, 1, 0, NULL, 0), 0);
    hwloc_bitmap_free(fast);
    hwloc_bitmap_free(slow);
}

static void fastest_kind_of_core_is_preferred(void **state)
{
    (void)state;
    machine_from_xml("pack:1 l3:1 core:8 pu:1", make_hybrid, (struct placement_source){0});
    assert_int_equal(placement_machine(placement)->kind_count, 2);
    size_t rt = poller("rt", CPUS(1));
    size_t more[3];
    for (size_t i = 0; i < 3; i++)
        more[i] = poller("more", CPUS(1));
    assert_int_equal(plan(), 0);
    assert_int_equal(seats[rt].cpu, 3);
    assert_holds(rt, "fastest kind of core");
    assert_int_equal(seats[more[0]].cpu, 2);
    assert_int_equal(seats[more[1]].cpu, 7); /* a slow one, before CPU 0 */
    assert_gave_up(more[1], "fastest kind of core");
}

static void isolated_comes_before_fast(void **state)
{
    (void)state;
    const uint32_t isolated[] = {5};
    machine_from_xml("pack:1 l3:1 core:8 pu:1", make_hybrid,
                     (struct placement_source){.isolated = isolated, .isolated_count = 1});
    size_t rt = poller("rt", CPUS(1));
    assert_int_equal(plan(), 0);
    assert_int_equal(seats[rt].cpu, 5);
}

/* What a cgroup does to a process: the CPUs are there, and not for us. */
static void fast_cores_come_before_the_right_node(void **state)
{
    (void)state;
    machine_from_xml("pack:2 [numa] l3:2 core:2 pu:1", make_hybrid, (struct placement_source){0});
    size_t rt = poller("rt", CPUS(4, 5)); /* all of their L3; 6 and 7 are on their node, and slow */
    assert_int_equal(plan(), 0);
    assert_int_equal(seats[rt].cpu, 3);
    assert_gave_up(rt, "NUMA node of its vCPUs");
}

static void forbid_upper_half(hwloc_topology_t topology)
{
    hwloc_bitmap_t allowed = hwloc_bitmap_alloc();
    hwloc_bitmap_set_range(allowed, 0, 3);
    assert_int_equal(hwloc_topology_allow(topology, allowed, NULL, HWLOC_ALLOW_FLAG_CUSTOM), 0);
    hwloc_bitmap_free(allowed);
}

static void cpus_the_cgroup_forbids_are_not_chosen_and_not_given(void **state)
{
    (void)state;
    machine_from_xml("pack:1 l3:2 core:4 pu:1", forbid_upper_half, (struct placement_source){0});
    size_t rt = poller("rt", CPUS(5)); /* a vCPU may run where we may not */
    size_t asks = poller_asking("asks", 6);
    assert_int_equal(plan(), -EINVAL);
    assert_int_equal(seats[rt].cpu, 3);
    assert_gave_up(rt, "L3 of its vCPUs");
    assert_says(seats[asks].refusal, "its cgroup's cpuset); expected one of 0-3");
}

/* ---- started with an affinity, which no invented machine has ------------------------------ */

/* Eight CPUs without neighbours, of which `inherited` is the affinity; the last one is isolated. */
static struct placement_machine *machine_by_hand(const uint32_t *inherited, size_t count)
{
    struct placement_machine *machine = NULL;
    assert_int_equal(placement_machine_create(8, &machine), 0);
    for (uint32_t i = 0; i < 8; i++) {
        machine->cpus[i] = (struct placement_cpu){.cpu = i,
                                                  .core = i,
                                                  .package = PLACEMENT_NONE,
                                                  .near_kind = PLACEMENT_NEAR_MACHINE,
                                                  .is_online = true,
                                                  .is_usable = true,
                                                  .is_isolated = i == 7};
        for (size_t k = 0; k < count; k++)
            machine->cpus[i].is_inherited = machine->cpus[i].is_inherited || inherited[k] == i;
    }
    machine->core_count = 8;
    assert_int_equal(placement_machine_finish(machine), 0);
    return machine;
}

static void affinity_of_the_start_is_kept_but_for_isolated_cpus(void **state)
{
    (void)state;
    wish_count = 0;
    size_t control = housekeeping(PLACEMENT_CONTROL, PLACEMENT_ANY);
    size_t first = poller("first", NULL, 0), second = poller("second", NULL, 0);
    size_t third = poller("third", NULL, 0);
    struct placement_machine *machine = machine_by_hand(CPUS(0, 2, 3));
    assert_int_equal(placement_plan(machine, wishes, wish_count, seats), 0);
    assert_int_equal(seats[first].cpu, 7); /* isolated, so in nobody's affinity */
    assert_int_equal(seats[second].cpu, 3);
    assert_int_equal(seats[third].cpu, 2);
    assert_int_equal(seats[control].cpu, 0);
    assert_holds(third, "in the affinity of the start");
    placement_machine_destroy(machine);
}

static uint32_t seat_of_last(struct placement_machine *machine)
{
    assert_int_equal(placement_plan(machine, wishes, wish_count, seats), 0);
    placement_machine_destroy(machine);
    return seats[wish_count - 1].cpu;
}

static void affinity_of_the_start_has_its_place_among_the_rules(void **state)
{
    (void)state;
    wish_count = 0; /* a poller: no sibling, then the affinity, then not CPU 0 */
    poller_asking("isolated", 7);
    poller_asking("first", 6);
    poller("rt", NULL, 0);
    struct placement_machine *machine = machine_by_hand(CPUS(5));
    machine->cpus[6].core = machine->cpus[5].core;
    assert_int_equal(seat_of_last(machine), 4);
    assert_int_equal(seat_of_last(machine_by_hand(CPUS(0))), 0);
    wish_count = 0; /* housekeeping: no vCPU's CPU, then the affinity, then not isolated */
    wishes[poller("rt", CPUS(3))].cpu = 6;
    housekeeping(PLACEMENT_CONTROL, PLACEMENT_ANY);
    assert_int_equal(seat_of_last(machine_by_hand(CPUS(3))), 0);
    assert_int_equal(seat_of_last(machine_by_hand(CPUS(7))), 7);
    assert_int_equal(seat_of_last(machine_by_hand(CPUS(5))), 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_A_MACHINE(fastest_kind_of_core_is_preferred),
        ON_A_MACHINE(isolated_comes_before_fast),
        ON_A_MACHINE(fast_cores_come_before_the_right_node),
        ON_A_MACHINE(cpus_the_cgroup_forbids_are_not_chosen_and_not_given),
        cmocka_unit_test(affinity_of_the_start_is_kept_but_for_isolated_cpus),
        cmocka_unit_test(affinity_of_the_start_has_its_place_among_the_rules),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
