/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * child.h - a piece of a test in a process of its own: it may die of it, or change what cannot be
 * changed back.
 *
 * Flow:    child_fork -> in the child, where it gives 0: ... and _exit -> child_wait.
 * Errors:  asserted; never in the child, whose failure is its exit code.
 */
#ifndef TESTS_SUPPORT_CHILD_H
#define TESTS_SUPPORT_CHILD_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>
/* after those, as it asks */
#include <cmocka.h>

static inline pid_t child_fork(void)
{
    pid_t child = fork();
    assert_true(child >= 0);
    return child;
}

/* Its wait status; 0: it ended with exit code 0. */
static inline int child_wait(pid_t child)
{
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return status;
}

#endif
