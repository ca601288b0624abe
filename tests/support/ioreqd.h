/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ioreqd.h - the one ioreqd of a test program that runs one at a time, with cmocka's fixtures for it.
 *
 * Flow:    ioreqd_init as setup -> daemon_start(&ioreqd) ... daemon_stop(&ioreqd) in the test ->
 *          ioreqd_fini as teardown, or ioreqd_end where the test leaves it running.
 */
#ifndef TESTS_SUPPORT_IOREQD_H
#define TESTS_SUPPORT_IOREQD_H

#include "tests/support/daemon_access.h"

static struct daemon ioreqd;

static inline int ioreqd_init(void **state)
{
    (void)state;
    daemon_init(&ioreqd);
    return 0;
}

static inline int ioreqd_fini(void **state)
{
    (void)state;
    daemon_fini(&ioreqd);
    return 0;
}

/* Stops it if it runs; fails, and shows what it said, if it does not end in order. */
static inline int ioreqd_end(void **state)
{
    int result = ioreqd.pid > 0 ? daemon_stop(&ioreqd) : 0;
    if (result != 0)
        daemon_show_errors(&ioreqd);
    ioreqd_fini(state);
    return result;
}

/* With daemon_write_config's VMs and clients; extra stands in the server section. */
static inline void ioreqd_start(const char *extra)
{
    daemon_write_config(&ioreqd, "none", extra);
    daemon_start(&ioreqd);
}

#define IOREQD_TEST(function) cmocka_unit_test_setup_teardown(function, ioreqd_init, ioreqd_fini)

#endif
