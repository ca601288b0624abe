/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers/memory.h"

#include <errno.h>
#include <numa.h>
#include <numaif.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#define CHECK_PAGES 64u /* asked about at a time, on the stack */

int memory_node_of_cpu(uint32_t cpu)
{
    if (numa_available() < 0)
        return MEMORY_ANY_NODE;
    int node = numa_node_of_cpu((int)cpu);
    return node < 0 ? MEMORY_ANY_NODE : node;
}

/* ---- getting it -------------------------------------------------------------------------- */

void memory_policy_push(int node, struct memory_policy *before)
{
    before->is_pushed = false;
    if (node < 0 || (unsigned)node >= MEMORY_NODES_MAX || numa_available() < 0 ||
        get_mempolicy(&before->mode, before->nodes, MEMORY_NODES_MAX, NULL, 0) < 0)
        return;
    unsigned long nodes[MEMORY_NODES_MAX / (8 * sizeof(unsigned long))] = {0};
    const size_t word_bits = 8 * sizeof(nodes[0]);
    nodes[(size_t)node / word_bits] = 1ul << (size_t)node % word_bits;
    before->is_pushed = set_mempolicy(MPOL_PREFERRED, nodes, MEMORY_NODES_MAX) == 0;
}

void memory_policy_pop(const struct memory_policy *before)
{
    if (!before->is_pushed)
        return;
    /* The default has no nodes, and the kernel insists on that. */
    bool has_nodes = before->mode != MPOL_DEFAULT;
    set_mempolicy(before->mode, has_nodes ? before->nodes : NULL, has_nodes ? MEMORY_NODES_MAX : 0);
}

void *memory_allocate(size_t size_bytes, int node)
{
    struct memory_policy before;
    memory_policy_push(node, &before);
    void *memory =
        mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory != MAP_FAILED) {
        /* The mapping's own policy, for a page that was swapped out and returns; automatic NUMA
         * balancing, which takes faults on purpose, leaves mappings alone that have one. */
        if (before.is_pushed)
            numa_tonode_memory(memory, size_bytes, node);
        memset(memory, 0, size_bytes);
    }
    memory_policy_pop(&before);
    return memory == MAP_FAILED ? NULL : memory;
}

void memory_free(void *memory, size_t size_bytes)
{
    if (memory)
        munmap(memory, size_bytes);
}

/* ---- where it lies ----------------------------------------------------------------------- */

bool memory_compare_nodes(const int *statuses, size_t count, int node, int *found)
{
    if (node == MEMORY_ANY_NODE)
        return true;
    for (size_t i = 0; i < count; i++) {
        if (statuses[i] == node)
            continue;
        *found = statuses[i] < 0 ? MEMORY_ANY_NODE : statuses[i];
        return false;
    }
    return true;
}

bool memory_check_node(struct memory_block block, int node, int *found)
{
    if (node == MEMORY_ANY_NODE || block.size_bytes == 0 || numa_available() < 0)
        return true;
    uintptr_t page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
    uintptr_t page = (uintptr_t)block.memory & ~(page_bytes - 1);
    uintptr_t end = (uintptr_t)block.memory + block.size_bytes;
    while (page < end) {
        void *pages[CHECK_PAGES];
        int statuses[CHECK_PAGES];
        size_t count = 0;
        for (; count < CHECK_PAGES && page < end; page += page_bytes)
            pages[count++] = (void *)page;
        /* Without nodes to move to, it only tells. */
        if (numa_move_pages(0, count, pages, NULL, statuses, 0) < 0)
            return true;
        if (!memory_compare_nodes(statuses, count, node, found))
            return false;
    }
    return true;
}

int memory_lock_all(uint64_t *limit_bytes)
{
    struct rlimit limit = {0};
    getrlimit(RLIMIT_MEMLOCK, &limit);
    *limit_bytes = limit.rlim_cur;
    return mlockall(MCL_CURRENT | MCL_FUTURE) == 0 ? 0 : -errno;
}
