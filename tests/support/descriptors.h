/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * descriptors.h - how many descriptors a process has open: what a test compares before and after.
 *
 * Threads: any.
 * Errors:  a process that is not there fails the test.
 */
#ifndef TESTS_SUPPORT_DESCRIPTORS_H
#define TESTS_SUPPORT_DESCRIPTORS_H

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>
/* after those, as it asks */
#include <cmocka.h>

/* A few more than there are, but always as many more. */
static inline uint32_t descriptors_count(pid_t pid)
{
    char path[64];
    uint32_t count = 0;
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *folder = opendir(path);
    assert_non_null(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

#endif
