/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * eventfd.h - how often an eventfd was written.
 */
#ifndef TESTS_SUPPORT_EVENTFD_H
#define TESTS_SUPPORT_EVENTFD_H

#include <stdint.h>
#include <unistd.h>

/* The sum of what was written since the last look, 0: nothing; the eventfd must not block. */
static inline uint64_t eventfd_take(int descriptor)
{
    uint64_t count = 0;
    return read(descriptor, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

#endif
