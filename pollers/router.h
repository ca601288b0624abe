/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * router.h - which client owns an address: a B+ tree of segments that do not overlap, for each type.
 *
 * Flow:    router_create (control) -> published to a page -> router_find (poller); meanwhile
 *          router_change (control), then a quiescent point of the poller, then router_reclaim;
 *          router_destroy once the poller has let go of it.
 *
 *          A change builds beside the tree what it touches - one leaf as a rule, and the nodes above
 *          it only where they split or merge - and stores one pointer: a lookup sees the tree
 *          before or after it, and the poller's caches keep all the rest.
 *
 * Threads: create, change, reclaim and destroy: one thread, control. router_find: any, beside them.
 * Memory:  nodes of 320 bytes, 4 to 8 ranges each, in chunks on the poller's NUMA node; they belong
 *          to the router. What a change replaced is reused after router_reclaim.
 * Errors:  ranges that run backwards, or overlap at the same priority, are refused. The whole
 *          access must lie in one range, and in a part of it that no higher one covers; otherwise
 *          nothing is found.
 * Source:  Comer, "The Ubiquitous B-Tree", 1979; read-copy-update for the one pointer.
 *
 * Measured at one lookup after the other, random addresses, against a binary search without branches
 * (16, 256, 4096, 65536 ranges): 1.1, 1.4, 1.4, 1.9 times as fast. Eytzinger order: 0.8, 0.9, 1.0,
 * 1.2 times. 16 keys a node gain at 65536 (2.2) and lose below (4096: 1.3).
 */
#ifndef POLLERS_ROUTER_H
#define POLLERS_ROUTER_H

#include "clients/client.h"
#include "pollers/memory.h"

#define ROUTER_RANGES_MAX 65536u
#define ROUTER_TREES      3u /* PORTIO, MMIO, PCICFG; nothing else is routed by range */
#define ROUTER_FANOUT     8u /* the first addresses of a node fill one cache line */

struct router_range {
    uint64_t first; /* inclusive */
    uint64_t last;  /* inclusive */
    struct client *client;
    uint32_t type;        /* REQUEST_PORTIO, REQUEST_MMIO or REQUEST_PCICFG */
    uint32_t range_index; /* for the client: which of its ranges this is */
    uint32_t priority;    /* where ranges overlap, the higher one owns the shared addresses */
};

struct router_route {
    uint64_t first; /* of the range, not of the segment: offsets count from here */
    struct client *client;
    uint32_t range_index;
    uint32_t priority; /* with first: which range */
};

/* A stretch of addresses that one range owns; two of them share a cache line. */
struct router_segment {
    uint64_t last;
    struct router_route route;
};

/*
 * A leaf holds segments, the others children. Places behind the last one repeat it, with UINT64_MAX
 * for its first address: a search that counts cannot leave the node, and needs no length.
 */
struct router_node {
    _Alignas(64) uint64_t firsts[ROUTER_FANOUT]; /* ascending */
    union {
        /* Acquire in router_find pairs with control's release: a node is complete when seen. */
        _Atomic(struct router_node *) children[ROUTER_FANOUT];
        struct router_segment segments[ROUTER_FANOUT];
    };
};

struct router {
    /* The address of a node, and how many levels lie between it and the leaves. */
    _Atomic uintptr_t roots[ROUTER_TREES];
    /* Another one after each change, and in each router: what a hint is worth. Never 0. */
    _Atomic uint64_t generation;
    struct router *older; /* for whoever keeps several that are to be destroyed */
};

/* What one reader found last; its own, zeroed at first. A change makes it worthless, so it outlives
 * whatever it points to without looking there. */
struct router_hint {
    uint64_t generation;
    uint64_t first, last; /* of the segment */
    uint32_t type;
    struct router_route route;
};

#define ROUTER_LEVELS_MASK ((uintptr_t)63) /* free, as nodes are aligned to a cache line */

/*
 * Builds a router of ranges [count], which it copies, on NUMA node `node` (or MEMORY_ANY_NODE).
 * 0; -EINVAL: last < first, or an unknown type; -EEXIST: two ranges of one priority overlap
 * (their indices go into conflict[2] if given); -E2BIG: more than ROUTER_RANGES_MAX; -ENOMEM.
 */
int router_create(const struct router_range *ranges, size_t count, int node, struct router **router,
                  size_t conflict[2]);

/* What router_create would say, but for -ENOMEM of the router itself. */
int router_check(const struct router_range *ranges, size_t count, size_t conflict[2]);

/*
 * Lookups that begin from now on find in first..last of `type` what ranges [count] say: all that
 * touch first..last, in any order, and no others of this type. Beyond, everything is as before.
 * Errors as of router_create; nothing changed then. The cost grows with count and with what lies in
 * first..last, not with the rest.
 */
int router_change(struct router *router, uint32_t type, uint64_t first, uint64_t last,
                  const struct router_range *ranges, size_t count, size_t conflict[2]);

/* Reuses what earlier changes replaced: the pollers passed a quiescent point since the last one. */
void router_reclaim(struct router *router);

/* And all that are older. */
void router_destroy(struct router *router);

/* Its memory, piece by piece from index 0; .memory is NULL behind the last one. Control. */
struct memory_block router_block(const struct router *router, size_t index);

/* Nodes in use, and nodes there is memory for. */
struct router_figures {
    size_t node_count;
    size_t capacity;
};
struct router_figures router_figures(const struct router *router);

/* In which place of node the address lies, if in any. Counted, not compared step by step: there is
 * no branch to mispredict. */
static inline size_t router_rank(const struct router_node *node, uint64_t address)
{
    const uint64_t *firsts = node->firsts;
    return (size_t)(firsts[1] <= address) + (firsts[2] <= address) + (firsts[3] <= address) +
           (firsts[4] <= address) + (firsts[5] <= address) + (firsts[6] <= address) +
           (firsts[7] <= address);
}

/* Whole segments: *place of the leaf that is returned is the one at or below the address. NULL: there
 * is no such type. 6 or 7 steps down at 65536 ranges, 63 at most by the mask. */
static inline const struct router_node *router_descend(const struct router *router, uint32_t type,
                                                       uint64_t address, size_t *place)
{
    if (type >= ROUTER_TREES)
        return NULL;
    uintptr_t root = atomic_load_explicit(&router->roots[type], memory_order_acquire);
    const struct router_node *node = (const struct router_node *)(root & ~ROUTER_LEVELS_MASK);
    for (uintptr_t levels = root & ROUTER_LEVELS_MASK; levels > 0; levels--)
        node =
            atomic_load_explicit(&node->children[router_rank(node, address)], memory_order_acquire);
    /* The four lines of segments, while the line of first addresses is on its way: 84 ns instead
     * of 122 at 65536 ranges. */
    for (size_t i = 0; i < ROUTER_FANOUT; i += 2)
        __builtin_prefetch(&node->segments[i]);
    *place = router_rank(node, address);
    return node;
}

/* The route of an access that request_check passed, or NULL. Valid until the poller's next
 * quiescent point. */
static inline const struct router_route *router_find(const struct router *router, uint32_t type,
                                                     uint64_t address, uint32_t size_bytes)
{
    size_t place;
    const struct router_node *node = router_descend(router, type, address, &place);
    if (!node || address < node->firsts[place] ||
        address + (size_bytes - 1) > node->segments[place].last)
        return NULL;
    return &node->segments[place].route;
}

/*
 * The same for a reader that comes again and again: drivers rarely leave a device for one access.
 * Valid until the next call with that hint.
 */
static inline const struct router_route *router_find_again(const struct router *router,
                                                           struct router_hint *hint, uint32_t type,
                                                           uint64_t address, uint32_t size_bytes)
{
    /* Acquire: pairs with the release of a change; what is found below is at least as new. */
    uint64_t generation = atomic_load_explicit(&router->generation, memory_order_acquire);
    if (hint->generation == generation && hint->type == type && address >= hint->first &&
        address + (size_bytes - 1) <= hint->last)
        return &hint->route;
    size_t place;
    const struct router_node *node = router_descend(router, type, address, &place);
    if (!node || address < node->firsts[place] ||
        address + (size_bytes - 1) > node->segments[place].last)
        return NULL;
    *hint = (struct router_hint){.generation = generation,
                                 .first = node->firsts[place],
                                 .last = node->segments[place].last,
                                 .type = type,
                                 .route = node->segments[place].route};
    return &hint->route;
}

#endif
