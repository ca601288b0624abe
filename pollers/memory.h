/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory.h - memory for pollers: on their NUMA node, present before the first request. libnuma.
 *
 * Threads: control thread.
 * Memory:  whole pages, zeroed and touched; the caller frees with the same size.
 * Errors:  NULL or a negative errno; a machine without NUMA is one node.
 */
#ifndef POLLERS_MEMORY_H
#define POLLERS_MEMORY_H

#include <stddef.h>
#include <stdint.h>

#define MEMORY_ANY_NODE (-1)

/* Of every thread: locked memory holds whole stacks, so they are no larger than a device may need. */
#define MEMORY_STACK_BYTES ((size_t)256 * 1024)

/* The node of that CPU, or MEMORY_ANY_NODE if the machine does not tell. */
int memory_node_of_cpu(uint32_t cpu);

/* NULL: no memory. */
void *memory_allocate(size_t size_bytes, int node);
void memory_free(void *memory, size_t size_bytes);

/* Locks everything this process has and will have into memory. 0, or -EPERM / -ENOMEM when the
 * limit on locked memory (RLIMIT_MEMLOCK, in bytes into *limit_bytes) does not allow it. */
int memory_lock_all(uint64_t *limit_bytes);

#endif
