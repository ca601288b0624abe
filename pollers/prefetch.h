/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * prefetch.h - asks for a cache line that is about to be written.
 *
 * __builtin_prefetch fetches for reading only unless the compiler is told of the processor. On one
 * without the instruction it does nothing.
 */
#ifndef POLLERS_PREFETCH_H
#define POLLERS_PREFETCH_H

static inline void prefetch_to_write(const void *line)
{
    __asm__ volatile("prefetchw %0" : : "m"(*(const char *)line));
}

#endif
