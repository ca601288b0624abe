/* SPDX-License-Identifier: BSD-3-Clause */
/* What is read of a machine, real, invented or from a file, and what is done where a thread cannot be
 * shown to run on its CPU. */
#include "pollers/notifier.h"
#include "pollers/placement.h"
#include "pollers/poller.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
/* after those, as it asks */
#include <cmocka.h>
#include <string.h>
#include <unistd.h>

static char reason[PLACEMENT_REASON_BYTES];

static struct placement *open_synthetic(const char *text)
{
    struct placement *placement = NULL;
    const struct placement_source source = {.synthetic = text};
    assert_int_equal(placement_open_source(&source, &placement, reason), 0);
    return placement;
}

/* ---- what is no machine ------------------------------------------------------------------ */

static void refused(struct placement_source source, int error, const char *text)
{
    struct placement *placement = NULL;
    assert_int_equal(placement_open_source(&source, &placement, reason), error);
    assert_null(placement);
    if (!strstr(reason, text))
        fail_msg("not told: %s\nbut: %s", text, reason);
}

static void texts_that_describe_no_machine_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "blah", "pu", "pu:0", "pack:2 l3", "-1", "core:2 pu:x"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        refused((struct placement_source){.synthetic = texts[i]}, -EINVAL, "describes no machine");
}

/* hwloc would build them, for minutes or until memory ends. */
static void machines_beyond_reason_are_refused_at_once(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "pu:4097",
        "4000000000",
        "pack:64 core:64 pu:2",
        "pack:4294967296 core:4294967296 pu:4294967296",
        "pack:99999999999999999999999 pu:1",
        "pack:2(memory=1) [numa(memory=2)] core:4000 pu:2",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        refused((struct placement_source){.synthetic = texts[i]}, -E2BIG, "too many CPUs");
    placement_close(open_synthetic("pack:2 [numa(memory=64GB)] l3:4(size=33554432) core:4 pu:2"));
}

static void files_that_hold_no_machine_are_refused(void **state)
{
    (void)state;
    char path[] = "/tmp/ioreqd-test-XXXXXX";
    int descriptor = mkstemp(path);
    assert_true(descriptor >= 0);
    refused((struct placement_source){.xml = "/nowhere/machine.xml"}, -ENOENT, "No such file");
    refused((struct placement_source){.xml = "/tmp"}, -EINVAL, "it is no topology");
    refused((struct placement_source){.xml = path}, -EINVAL, "it is no topology");
    static const char *const contents[] = {"<topology>", "no XML at all \1\2\3",
                                           "<?xml version=\"1.0\"?><other/>"};
    for (size_t i = 0; i < sizeof(contents) / sizeof(contents[0]); i++) {
        assert_int_equal(ftruncate(descriptor, 0), 0);
        assert_int_equal(pwrite(descriptor, contents[i], strlen(contents[i]), 0),
                         strlen(contents[i]));
        refused((struct placement_source){.xml = path}, -EINVAL, "it is no topology");
    }
    close(descriptor);
    unlink(path);
}

static void machine_without_a_cpu_to_use_is_refused(void **state)
{
    (void)state;
    const uint32_t none[] = {99};
    refused((struct placement_source){.synthetic = "pu:4", .allowed = none}, -EINVAL,
            "no CPU is left");
    refused((struct placement_source){.synthetic = "pu:4", .allowed = none, .allowed_count = 1},
            -EINVAL, "no CPU is left");
}

/* ---- what is ----------------------------------------------------------------------------- */

static void neighbours_are_told_by_core_cache_and_node(void **state)
{
    (void)state;
    struct placement *placement =
        open_synthetic("pack:2 [numa] l3:2(size=33554432) core:2 pu:2(indexes=package:core:pu)");
    const struct placement_machine *machine = placement_machine(placement);
    assert_int_equal(machine->cpu_count, 16);
    assert_int_equal(machine->usable_count, 16);
    assert_int_equal(machine->core_count, 8);
    assert_int_equal(machine->isolated_count, 0);
    assert_false(machine->is_this_system);
    const struct placement_cpu *first = &machine->cpus[0], *last = &machine->cpus[15];
    assert_int_equal(first->core, machine->cpus[1].core);
    assert_int_not_equal(first->core, machine->cpus[2].core);
    assert_true(placement_is_near(first, &machine->cpus[3]));
    assert_false(placement_is_near(first, &machine->cpus[4]));
    assert_int_equal(first->near_kind, PLACEMENT_NEAR_L3);
    assert_int_equal(first->l3_KiB, 32768);
    assert_int_equal(first->node, 0);
    assert_int_equal(last->node, 1);
    assert_int_equal(last->package, 1);
    placement_close(placement);
}

static enum placement_near near_of(const char *synthetic)
{
    struct placement *placement = open_synthetic(synthetic);
    enum placement_near near_kind = placement_machine(placement)->cpus[0].near_kind;
    placement_close(placement);
    return near_kind;
}

static void without_l3_the_next_thing_known_stands_for_it(void **state)
{
    (void)state;
    assert_int_equal(near_of("pack:2 core:2 pu:2"), PLACEMENT_NEAR_PACKAGE);
    assert_int_equal(near_of("numa:2 core:2 pu:2"), PLACEMENT_NEAR_NODE);
    assert_int_equal(near_of("core:2 pu:2"), PLACEMENT_NEAR_MACHINE);
    assert_int_equal(near_of("pu:1"), PLACEMENT_NEAR_MACHINE);
}

static void cpus_not_to_be_had_are_refused_with_those_that_are(void **state)
{
    (void)state;
    const uint32_t allowed[] = {0, 1, 2, 5, 7};
    const struct placement_source source = {
        .synthetic = "pu:8", .allowed = allowed, .allowed_count = 5};
    struct placement *placement = NULL;
    assert_int_equal(placement_open_source(&source, &placement, reason), 0);
    const struct placement_machine *machine = placement_machine(placement);
    assert_true(placement_check(machine, 7, reason, sizeof(reason)));
    assert_false(placement_check(machine, 8, reason, sizeof(reason)));
    assert_string_equal(reason, "CPU 8 does not exist; expected one of 0-2,5,7");
    assert_false(placement_check(machine, UINT32_MAX, reason, sizeof(reason)));
    assert_false(placement_check(machine, 3, reason, sizeof(reason)));
    assert_string_equal(reason, "CPU 3 exists, but this process may not use it (its cgroup's "
                                "cpuset); expected one of 0-2,5,7");
    placement_close(placement);
}

/* No hwloc: offline CPUs are what only a real machine has. */
static void offline_cpus_are_refused_with_the_remedy(void **state)
{
    (void)state;
    struct placement_machine *machine = NULL;
    assert_int_equal(placement_machine_create(PLACEMENT_CPUS_MAX + 1, &machine), -E2BIG);
    assert_int_equal(placement_machine_create(3, &machine), 0);
    machine->cpus[0] = (struct placement_cpu){.cpu = 0, .is_online = true, .is_usable = true};
    machine->cpus[1] = (struct placement_cpu){.cpu = 2, .is_online = true, .is_usable = true};
    machine->cpus[2] = (struct placement_cpu){.cpu = 5, .is_usable = true, .is_isolated = true};
    assert_int_equal(placement_machine_finish(machine), 0);
    assert_int_equal(machine->usable_count, 2);
    assert_int_equal(machine->isolated_count, 0);
    assert_false(placement_check(machine, 5, reason, sizeof(reason)));
    assert_string_equal(reason, "CPU 5 is offline; expected one of 0,2, or echo 1 "
                                ">/sys/devices/system/cpu/cpu5/online");
    placement_machine_destroy(machine);
}

static void long_lists_are_cut_off(void **state)
{
    (void)state;
    uint32_t even[64];
    for (uint32_t i = 0; i < 64; i++)
        even[i] = 2 * i;
    const struct placement_source source = {
        .synthetic = "pu:128", .allowed = even, .allowed_count = 64};
    struct placement *placement = NULL;
    assert_int_equal(placement_open_source(&source, &placement, reason), 0);
    char text[16];
    placement_list(placement_machine(placement), PLACEMENT_USABLE, text, sizeof(text));
    assert_string_equal(text, "0,2,4,6,8,...");
    placement_list(placement_machine(placement), PLACEMENT_ISOLATED, text, sizeof(text));
    assert_string_equal(text, "none");
    placement_close(placement);
}

/* hwloc binds nothing on an invented machine, says so to nobody, and reads back all CPUs: what a
 * kernel that ignores the binding would look like. */
static void thread_that_runs_elsewhere_is_found_out(void **state)
{
    (void)state;
    struct placement *placement = open_synthetic("pu:8");
    assert_int_equal(placement_bind_self(placement, 3), -EXDEV);
    struct poller *poller = NULL;
    const struct poller_options options = {.name = "elsewhere", .placement = placement, .cpu = 3};
    assert_int_equal(poller_create(&options, &poller), 0);
    assert_int_equal(poller_start(poller), -EXDEV);
    assert_true(poller_is_gone(poller)); /* its thread has ended */
    poller_destroy(poller);
    struct notifier *notifier = NULL;
    assert_int_equal(notifier_create(&notifier), 0);
    notifier_place(notifier, placement, 3);
    assert_int_equal(notifier_start(notifier), -EXDEV);
    notifier_destroy(notifier);
    placement_close(placement);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_that_describe_no_machine_are_refused),
        cmocka_unit_test(machines_beyond_reason_are_refused_at_once),
        cmocka_unit_test(files_that_hold_no_machine_are_refused),
        cmocka_unit_test(machine_without_a_cpu_to_use_is_refused),
        cmocka_unit_test(neighbours_are_told_by_core_cache_and_node),
        cmocka_unit_test(without_l3_the_next_thing_known_stands_for_it),
        cmocka_unit_test(cpus_not_to_be_had_are_refused_with_those_that_are),
        cmocka_unit_test(offline_cpus_are_refused_with_the_remedy),
        cmocka_unit_test(long_lists_are_cut_off),
        cmocka_unit_test(thread_that_runs_elsewhere_is_found_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
