/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * router.h - which client owns an address: a B+ tree of segments that do not overlap, for each type,
 * and beside it an index that leads from an address's upper bits past the tree's upper levels.
 *
 * Flow:    router_create (control) -> published to a page -> router_find (poller); meanwhile
 *          router_change (control), then a quiescent point of the poller, then router_reclaim;
 *          router_destroy once the poller has let go of it.
 *
 *          A change builds beside the tree what it touches - one leaf as a rule, and the nodes above
 *          it only where they split or merge - and stores one pointer in the tree and the buckets of
 *          the index that led to what was replaced: a lookup sees its address as it was before or
 *          as it is after it, and the poller's caches keep all the rest.
 *
 * Threads: create, change, reclaim and destroy: one thread, control. router_find: any, beside them.
 * Memory:  nodes of 320 bytes, 4 to 8 ranges each, in chunks on the poller's NUMA node; they belong
 *          to the router. What a change replaced is reused after router_reclaim.
 * Errors:  ranges that run backwards, or overlap at the same priority, are refused. The whole
 *          access must lie in one range, and in a part of it that no higher one covers; otherwise
 *          nothing is found.
 * Source:  Comer, "The Ubiquitous B-Tree", 1979; read-copy-update for the one pointer.
 *
 * Measured as bench/route.c does, random addresses, ns a lookup at 256, 4096, 65536 ranges, without
 * what other methods of the same binary leave in the caches:
 *     the tree from its root                                     26.8  37.5  73
 *     an index to the leaves, and a search in the leaf           12.5  16.2  33
 *     an index that names the place in the leaf, as here          8.0  13.5  33
 *     the same with leaves of 192 bytes, 16 a segment             7.9  13.4  35
 *     an index to 32-bit first addresses, 8 or 16, by SSE2       18.8  21.5  45 (8), 31 (16)
 *     one segment a bucket, and no tree                          10.0  13.1  77
 * Here an index can be replaced under its readers, which is one load more. AVX-512 in place of counted
 * comparisons: 1.5 to 15 ns slower. Huge pages: no gain below 65536, 1 ns there. A hint that is
 * tested by branches which do not depend on how random addresses compare: 2 ns.
 * From 4096 ranges on it is cache misses: at 65536 there are 2.6 MB of leaves, L2 has 2, and one miss
 * takes 75 ns.
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

/*
 * Buckets of 1 << shift addresses each, from `first` on; in front of them and behind them lies no
 * range. What a bucket holds is where to go on for every address in it: a node, aligned to a cache
 * line, and in the bits that this leaves free how many levels lie between it and the leaves, or, where
 * only one segment matters, the segment's place in its leaf.
 */
struct router_index {
    uint64_t first;
    uint32_t shift;
    uint32_t count;
    struct router_index *next; /* control's, as is all that follows up to the buckets */
    size_t size_bytes;
    uint32_t count_wanted; /* how many there ought to be for the leaves there were */
    /* Acquire in router_find pairs with control's release: what it leads to is complete. */
    _Alignas(64) _Atomic uintptr_t buckets[]; /* [count] */
};

#define ROUTER_NODE_MASK   (~(uintptr_t)63)
#define ROUTER_LEVELS_MASK ((uintptr_t)31) /* without ROUTER_PLACED */
#define ROUTER_PLACED      ((uintptr_t)32)
#define ROUTER_PLACE_MASK  ((uintptr_t)(ROUTER_FANOUT - 1)) /* with it */

struct router {
    /* Acquire in router_find pairs with control's release. Never NULL. */
    _Atomic(struct router_index *) indexes[ROUTER_TREES];
    /* Another one after each change, and in each router: what a hint is worth. A multiple of 4, which
     * leaves room for the type; never 0. */
    _Atomic uint64_t generation;
    _Atomic uintptr_t roots[ROUTER_TREES]; /* as a bucket; control's */
    struct router *older;                  /* for whoever keeps several that are to be destroyed */
};

/* What one reader found last; its own, zeroed at first. A change makes it worthless, so it outlives
 * whatever it points to without looking there. */
struct router_hint {
    _Alignas(64) uint64_t first;   /* of the segment */
    struct router_segment segment; /* whole: 2 ns less than field by field */
    uint64_t state;                /* the router's generation, and the type */
};

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

/* With all that are older; no poller knows any of them. NULL does nothing. */
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

/* The leaf that a bucket leads an address to: 31 steps at most by the mask, 6 from the root of 65536
 * ranges. Apart, as it needs registers that most lookups need not save. */
const struct router_node *router_descend(uintptr_t bucket, uint64_t address);

/* *place of the leaf that is returned is the segment at or below the address, or one that does not
 * reach it either. */
static inline const struct router_node *router_leaf(uintptr_t bucket, uint64_t address,
                                                    size_t *place)
{
    const struct router_node *node = (const struct router_node *)(bucket & ROUTER_NODE_MASK);
    if (__builtin_expect(bucket & ROUTER_PLACED, 1)) {
        *place = bucket & ROUTER_PLACE_MASK;
        return node;
    }
    if (__builtin_expect(bucket & ROUTER_LEVELS_MASK, 0))
        node = router_descend(bucket, address);
    /* The four lines of segments, while the line of first addresses is on its way: 33 ns instead
     * of 41 at 65536 ranges. */
    for (size_t i = 0; i < ROUTER_FANOUT; i += 2)
        __builtin_prefetch(&node->segments[i]);
    *place = router_rank(node, address);
    return node;
}

/* As router_find, from a bucket that the address belongs to. */
static inline const struct router_segment *router_find_below(uintptr_t bucket, uint64_t address,
                                                             uint32_t size_bytes, uint64_t *first)
{
    size_t place;
    const struct router_node *node = router_leaf(bucket, address, &place);
    *first = node->firsts[place];
    if (address < *first || address + (size_bytes - 1) > node->segments[place].last)
        return NULL;
    return &node->segments[place];
}

static inline const struct router_segment *router_find_segment(const struct router *router,
                                                               uint32_t type, uint64_t address,
                                                               uint32_t size_bytes, uint64_t *first)
{
    if (type >= ROUTER_TREES)
        return NULL;
    const struct router_index *index =
        atomic_load_explicit(&router->indexes[type], memory_order_acquire);
    uint64_t bucket = (address - index->first) >> index->shift; /* huge if it lies in front */
    if (bucket >= index->count)
        return NULL;
    return router_find_below(atomic_load_explicit(&index->buckets[bucket], memory_order_acquire),
                             address, size_bytes, first);
}

/* The route of an access that request_check passed, or NULL. Valid until the poller's next
 * quiescent point. */
static inline const struct router_route *router_find(const struct router *router, uint32_t type,
                                                     uint64_t address, uint32_t size_bytes)
{
    uint64_t first;
    const struct router_segment *segment =
        router_find_segment(router, type, address, size_bytes, &first);
    return segment ? &segment->route : NULL;
}

/*
 * The same for a reader that comes again and again: drivers rarely leave a device for one access.
 * Valid until the next call with that hint, or the poller's next quiescent point.
 */
static inline __attribute__((always_inline)) const struct router_route *
router_find_again(const struct router *router, struct router_hint *hint, uint32_t type,
                  uint64_t address, uint32_t size_bytes)
{
    /* Acquire: pairs with the release of a change; what is found below is at least as new. */
    uint64_t generation = atomic_load_explicit(&router->generation, memory_order_acquire);
    uint64_t offset = address - hint->first, room_bytes = hint->segment.last - hint->first;
    /* Not address >= first: where addresses jump, that is a coin, and is mispredicted. */
    bool is_inside = (offset <= room_bytes) & (room_bytes - offset >= size_bytes - 1);
    if (is_inside && hint->state == generation + type)
        return &hint->segment.route;
    uint64_t first;
    const struct router_segment *segment =
        router_find_segment(router, type, address, size_bytes, &first);
    if (!segment)
        return NULL;
    /* Not read back now: the answer does not wait for these stores. */
    hint->first = first;
    hint->segment = *segment;
    hint->state = generation + type;
    return &segment->route;
}

#endif
