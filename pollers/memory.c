/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers/memory.h"

#include <errno.h>
#include <numa.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

int memory_node_of_cpu(uint32_t cpu)
{
    if (numa_available() < 0)
        return MEMORY_ANY_NODE;
    int node = numa_node_of_cpu((int)cpu);
    return node < 0 ? MEMORY_ANY_NODE : node;
}

void *memory_allocate(size_t size_bytes, int node)
{
    void *memory =
        mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (memory == MAP_FAILED)
        return NULL;
    /* Preferred, not bound: a full node should cost latency, not the start. */
    if (node != MEMORY_ANY_NODE && numa_available() >= 0)
        numa_tonode_memory(memory, size_bytes, node);
    memset(memory, 0, size_bytes);
    return memory;
}

void memory_free(void *memory, size_t size_bytes)
{
    if (memory)
        munmap(memory, size_bytes);
}

int memory_lock_all(uint64_t *limit_bytes)
{
    struct rlimit limit = {0};
    getrlimit(RLIMIT_MEMLOCK, &limit);
    *limit_bytes = limit.rlim_cur;
    return mlockall(MCL_CURRENT | MCL_FUTURE) == 0 ? 0 : -errno;
}
