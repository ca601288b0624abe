/* SPDX-License-Identifier: BSD-3-Clause */
/* Which CPU a poller gets, on a machine of eight CPUs that hwloc invents, and what is done where a
 * thread cannot be shown to run on its CPU. */
#include "pollers/placement.h"
#include "pollers/poller.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
/* after those, as it asks */
#include <cmocka.h>
#include <string.h>

#define CPUS 8u

static struct placement *placement;

static int open_invented(void **state)
{
    (void)state;
    setenv("HWLOC_SYNTHETIC", "pu:8", 1);
    int result = placement_open(&placement);
    unsetenv("HWLOC_SYNTHETIC");
    return result;
}

static int close_invented(void **state)
{
    (void)state;
    placement_close(placement);
    return 0;
}

static void cpus_are_chosen_from_the_highest_down_and_cpu_0_last(void **state)
{
    (void)state;
    uint32_t taken[CPUS];
    bool seen[CPUS] = {false};
    for (uint32_t i = 0; i < CPUS; i++) {
        taken[i] = placement_choose(placement, taken, i);
        assert_true(taken[i] < CPUS);
        assert_false(seen[taken[i]]); /* two pollers never share while there is a free one */
        seen[taken[i]] = true;
    }
    assert_int_equal(taken[CPUS - 1], 0);
    for (uint32_t i = 0; i + 1 < CPUS; i++) {
        if (!placement_is_isolated(placement, taken[i]))
            assert_true(taken[i] > taken[i + 1]);
    }
    /* One is shared then, and not housekeeping's. */
    assert_int_equal(placement_choose(placement, taken, CPUS), CPUS - 1);
}

static void cpus_beyond_the_last_are_refused_with_those_there_are(void **state)
{
    (void)state;
    char reason[320] = "";
    assert_true(placement_check(placement, CPUS - 1, reason, sizeof(reason)));
    assert_false(placement_check(placement, CPUS, reason, sizeof(reason)));
    assert_non_null(strstr(reason, "CPU 8 does not exist"));
    assert_non_null(strstr(reason, "expected one of 0-7"));
    assert_false(placement_check(placement, UINT32_MAX, reason, sizeof(reason)));
}

/* hwloc binds nothing on an invented machine, says so to nobody, and reads back all CPUs: what a
 * kernel that ignores the binding would look like. */
static void thread_that_runs_elsewhere_is_found_out(void **state)
{
    (void)state;
    assert_int_equal(placement_bind_self(placement, 3), -EXDEV);
    struct poller *poller = NULL;
    const struct poller_options options = {.name = "elsewhere", .placement = placement, .cpu = 3};
    assert_int_equal(poller_create(&options, &poller), 0);
    assert_int_equal(poller_start(poller), -EXDEV);
    assert_true(poller_is_gone(poller)); /* its thread has ended */
    poller_destroy(poller);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cpus_are_chosen_from_the_highest_down_and_cpu_0_last),
        cmocka_unit_test(cpus_beyond_the_last_are_refused_with_those_there_are),
        cmocka_unit_test(thread_that_runs_elsewhere_is_found_out),
    };
    return cmocka_run_group_tests(tests, open_invented, close_invented);
}
