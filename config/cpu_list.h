/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cpu_list.h - "2-5,8" as numbers: how the kernel and taskset write a set of CPUs. "none" is no CPU.
 *
 * Flow:    text -> cpu_list_read -> numbers, ascending.
 * Threads: any; no state.
 * Memory:  the caller's.
 * Errors:  what is wrong, in words that follow the text.
 * Source:  cpuset(7), list format; strides ("0-31:2") are left out.
 */
#ifndef CONFIG_CPU_LIST_H
#define CONFIG_CPU_LIST_H

#include <stddef.h>
#include <stdint.h>

#define CPU_LIST_CPUS_MAX 8192u /* CPUs are 0 to this - 1; so a list holds at most as many */

/* NULL: cpus [CPU_LIST_CPUS_MAX], or NULL to count only, and *count are set. Otherwise what is wrong
 * with text, such as "is no list of CPUs". */
const char *cpu_list_read(const char *text, uint32_t *cpus, size_t *count);

#endif
