/* SPDX-License-Identifier: BSD-3-Clause */
/* prefetch.h - here lines have no place. */
#ifndef POLLERS_PREFETCH_H
#define POLLERS_PREFETCH_H

static inline void prefetch_to_write(const void *line)
{
    (void)line;
}

#endif
