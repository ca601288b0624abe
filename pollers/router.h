/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * router.h - which client owns an address: a sorted interval tree, one for each type.
 *
 * Flow:    router_create (control) -> published to a page -> router_find (poller) -> retired by
 *          control once the pollers passed a quiescent point -> router_destroy.
 * Threads: immutable after creation; any number of readers.
 * Memory:  one allocation on the poller's node: 16 bytes a range for the search, 24 for the route.
 *          The first addresses lie in the order a binary search visits them (Eytzinger), so a
 *          lookup has no unpredictable branch and its first steps share cache lines.
 * Errors:  ranges that run backwards, or overlap at the same priority, are refused. The whole
 *          access must lie in one range, and in a part of it that no higher one covers; otherwise
 *          nothing is found.
 * Source:  Khuong and Morin, "Array layouts for comparison-based searching", 2017.
 */
#ifndef POLLERS_ROUTER_H
#define POLLERS_ROUTER_H

#include "clients/client.h"

#define ROUTER_RANGES_MAX 65536u
#define ROUTER_TREES      3u /* PORTIO, MMIO, PCICFG; nothing else is routed by range */

struct router_range {
    uint64_t first; /* inclusive */
    uint64_t last;  /* inclusive */
    struct client *client;
    uint32_t type;        /* REQUEST_PORTIO, REQUEST_MMIO or REQUEST_PCICFG */
    uint32_t range_index; /* for the client: which of its ranges this is */
    uint32_t priority;    /* where ranges overlap, the higher one owns the shared addresses */
};

struct router_route {
    uint64_t first;
    struct client *client;
    uint32_t range_index;
};

/* Nodes 1..count; node 0 means "no range begins at or below the address". */
struct router_tree {
    const uint64_t *firsts;            /* [count + 1] */
    const uint64_t *lasts;             /* [count + 1] */
    const struct router_route *routes; /* [count + 1] */
    uint64_t count;
};

struct router {
    struct router_tree trees[ROUTER_TREES];
    size_t size_bytes;
    struct router *older; /* for whoever keeps several that are to be destroyed */
};

/*
 * Builds a router of ranges [count], which it copies, on NUMA node `node` (or MEMORY_ANY_NODE).
 * 0; -EINVAL: last < first, or an unknown type; -EEXIST: two ranges of one priority overlap
 * (their indices go into conflict[2] if given); -E2BIG: more than ROUTER_RANGES_MAX; -ENOMEM.
 */
int router_create(const struct router_range *ranges, size_t count, int node, struct router **router,
                  size_t conflict[2]);
/* And all that are older. */
void router_destroy(struct router *router);

/* The route of an access that request_check passed, or NULL. At most 18 steps. */
static inline const struct router_route *router_find(const struct router *router, uint32_t type,
                                                     uint64_t address, uint32_t size_bytes)
{
    if (type >= ROUTER_TREES)
        return NULL;
    const struct router_tree *tree = &router->trees[type];
    const uint64_t *firsts = tree->firsts;
    uint64_t count = tree->count;
    uint64_t node = 1;
    while (node <= count) {
        /* Three steps down, whichever way: those eight nodes lie in one cache line. */
        __builtin_prefetch(&firsts[8 * node]);
        node = 2 * node + (firsts[node] <= address);
    }
    /* Undo the steps to the left since the last one to the right: that is the greatest first
     * address at or below ours. */
    node >>= __builtin_ctzll(node) + 1;
    if (node == 0 || address + (size_bytes - 1) > tree->lasts[node])
        return NULL;
    return &tree->routes[node];
}

#endif
