/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory.h - memory for pollers: on their NUMA node, present before the first request. libnuma.
 *
 * Flow:    memory_policy_push -> whatever allocates (mmap, malloc, a thread's stack) ->
 *          memory_policy_pop; memory_allocate does both itself. Later memory_check_node asks the
 *          kernel where it really lies.
 * Threads: control thread.
 * Memory:  whole pages, zeroed and touched; the caller frees with the same size.
 * Errors:  NULL or a negative errno; a machine without NUMA is one node.
 * Source:  set_mempolicy(2), mlock(2): under MCL_FUTURE a mapping gets its pages when it is made,
 *          so the node must be chosen before, by the thread's policy; mbind(2) would be too late.
 */
#ifndef POLLERS_MEMORY_H
#define POLLERS_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define MEMORY_ANY_NODE  (-1)
#define MEMORY_NODES_MAX 1024u

/* Of every thread: locked memory holds whole stacks, so they are no larger than a device may need. */
#define MEMORY_STACK_BYTES ((size_t)256 * 1024)

/* The node of that CPU, or MEMORY_ANY_NODE if the machine does not tell. */
int memory_node_of_cpu(uint32_t cpu);

/* NULL: no memory. */
void *memory_allocate(size_t size_bytes, int node);
void memory_free(void *memory, size_t size_bytes);

struct memory_block {
    const void *memory;
    size_t size_bytes;
};

/* What the thread's policy was, for the way back. */
struct memory_policy {
    unsigned long nodes[MEMORY_NODES_MAX / (8 * sizeof(unsigned long))];
    int mode;
    bool is_pushed;
};

/* New pages this thread causes come from node, if there are any; MEMORY_ANY_NODE and a machine
 * that refuses change nothing. Preferred, not bound: a full node should cost latency, not the
 * start. */
void memory_policy_push(int node, struct memory_policy *before);
void memory_policy_pop(const struct memory_policy *before);

/*
 * Where each page of block lies, as the kernel says. True: on node, or nobody can
 * tell, or any node will do. False: a page lies elsewhere, *found is its node, or is not there at
 * all, *found is MEMORY_ANY_NODE.
 */
bool memory_check_node(struct memory_block block, int node, int *found);

/* The same of statuses [count] as move_pages(2) tells them: a node, or a negative errno. */
bool memory_compare_nodes(const int *statuses, size_t count, int node, int *found);

/* Locks everything this process has and will have into memory. 0, or -EPERM / -ENOMEM when the
 * limit on locked memory (RLIMIT_MEMLOCK, in bytes into *limit_bytes) does not allow it. */
int memory_lock_all(uint64_t *limit_bytes);

#endif
