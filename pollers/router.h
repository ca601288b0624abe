/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * router.h - which client owns an address: a B+ tree of segments that do not overlap, for each type,
 * and beside it an index that has most answers ready, by an address's upper bits.
 *
 * Flow:    router_create (control) -> published to a page -> router_find (poller); meanwhile
 *          router_change (control), then a quiescent point of the poller, then router_reclaim;
 *          router_destroy once the poller has let go of it.
 *
 *          A lookup: hint, what this reader found last -> bucket of the address, 4 bytes -> its
 *          outline, which many buckets share -> found, or nothing there; or, where several segments
 *          meet in a bucket, the tree.
 *
 *          A change builds beside the tree what it touches - one leaf as a rule, and the nodes above
 *          it only where they split or merge - and stores one pointer in the tree and the buckets of
 *          the index that the change concerns: a lookup sees its address as it was before or as it
 *          is after it, and the poller's caches keep all the rest.
 *
 * Threads: create, change, reclaim and destroy: one thread, control. router_find: any, beside them.
 * Memory:  nodes of 320 bytes, 4 to 8 ranges each, in chunks on the poller's NUMA node; they belong
 *          to the router, as do the indexes (router_index.h). What a change replaced is reused after
 *          router_reclaim.
 * Errors:  ranges that run backwards, or overlap at the same priority, are refused. The whole
 *          access must lie in one range, and in a part of it that no higher one covers; otherwise
 *          nothing is found.
 * Source:  Comer, "The Ubiquitous B-Tree", 1979; read-copy-update for the one pointer.
 *
 * Measured in turns with other methods, as bench/route.c does, random addresses, p50 in ns a lookup at
 * 256, 4096, 65536 ranges:
 *     buckets of 8 bytes that name a place in a leaf of 320       9.4  16.0  46.5
 *     buckets of 16 bytes that are the answer                     8.3  10.1  37.4
 *     buckets of 8 bytes, with small numbers for the clients      8.7   8.9  24.8
 *     buckets of 4 bytes and the outlines they share              9.0   9.0  12.3
 *     these behind a hint that does not help, as here             9.7   9.7  13.0
 *     these without a hint, the first address and the width
 *     also beside the index's pointer, compared afterwards        7.3   7.3  10.7
 *     a hint that helps                                           2.6   2.6   2.6
 * Huge pages: no gain. At 65536 ranges the index is what has to come from the third cache again when
 * others have used the second: 75 ns a line, and 4 bytes a bucket are the fewest lines. Ranges of which
 * no two lie alike have outlines of their own, and take 11, 17, 33 ns; where several meet in a bucket, as
 * ranges of 4 KiB to 1 MiB do, the tree takes 26, 33, 61.
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

/* What a lookup finds. */
struct router_route {
    uint64_t first; /* of the range, not of the segment: offsets count from here */
    struct client *client;
    uint32_t range_index;
};

/* A stretch of addresses that one range owns; two of them share a cache line. */
struct router_segment {
    uint64_t last;
    uint64_t range_first;
    struct client *client;
    uint32_t range_index;
    uint32_t priority; /* with range_first: which range */
};

/*
 * A leaf holds segments, the others children. Places behind the last one repeat it, with UINT64_MAX
 * for its first address: a search that counts cannot leave the node, and needs no length.
 */
struct router_node {
    _Alignas(64) uint64_t firsts[ROUTER_FANOUT]; /* ascending */
    union {
        /* Acquire in router_find_below pairs with control's release: a node is complete when seen. */
        _Atomic(struct router_node *) children[ROUTER_FANOUT];
        struct router_segment segments[ROUTER_FANOUT];
    };
};

/* To a node, aligned to a cache line, and in the bits that this leaves free how many levels lie between
 * it and the leaves. */
#define ROUTER_NODE_MASK   (~(uintptr_t)63)
#define ROUTER_LEVELS_MASK ((uintptr_t)63)

/*
 * What a bucket says beside the number of the range: where the range lies, and whose it is. Ranges that
 * lie alike in their buckets, as devices' do, share an outline. So a few outlines stay in the first cache,
 * and of all ranges nothing but the buckets is needed.
 * Never written while a bucket names it, or named it at the readers' last quiescent point.
 */
struct router_outline {
    /* What first and last are compared with: an address's place in the bucket, or, where the range
     * is longer than that, all of it. */
    uint64_t mask;
    uint64_t first; /* inclusive; first > last: nothing lies here */
    uint64_t last;
    struct client *client;
};

/* Buckets of 1 << shift addresses each, from `first`, a multiple of that, on; in front of them and
 * behind them lies no range. */
struct router_index {
    uint64_t first;
    uint32_t shift;
    uint32_t count;
    const struct router_outline *outlines; /* as many as buckets name */
    /* An answer: outline << 16 | range_index. From ROUTER_WAYS on a way: there stands the root,
     * whichever that is; behind it the node's place in units of 64 bytes << 4 | level. Acquire in
     * router_find pairs with control's release: what it names is complete. */
    _Atomic uint32_t *buckets; /* [count] */
};
#define ROUTER_WAYS        0xc0000000u
#define ROUTER_WAYS_LEVELS 15u

struct router {
    /* Acquire in router_find pairs with control's release. Never NULL. */
    _Atomic(const struct router_index *) indexes[ROUTER_TREES];
    /* Another one after each change, and in each router: what a hint is worth. A multiple of 4, which
     * leaves room for the type; never 0. */
    _Atomic uint64_t generation;
    _Atomic uintptr_t roots[ROUTER_TREES]; /* ways; as indexes */
    uintptr_t nodes_from;                  /* of ways in buckets; constant */
    struct router *older;                  /* for whoever keeps several that are to be destroyed */
};

/* A segment with all that is known of it. */
struct router_found {
    uint64_t first;
    uint64_t last;
    struct router_route route;
};

/* What one reader found last; its own, zeroed at first. A change makes it worthless, so it outlives
 * whatever it points to without looking there. */
struct router_hint {
    _Alignas(64) uint64_t first; /* of the segment */
    uint64_t room_bytes;         /* in it, without its first one */
    struct router_route route;
    uint64_t state;     /* the router's generation, and the type */
    uint64_t candidate; /* first of the range met last: twice in a row is worth the stores */
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

/* The segment of the whole access, or NULL, from a node that the address's way leads through; *first is
 * the segment's. 63 levels at most by the mask, 6 from the root of 65536 ranges. */
const struct router_segment *router_find_below(uintptr_t way, uint64_t address, uint32_t size_bytes,
                                               uint64_t *first);

/* Where a bucket of ways leads to. */
static inline uintptr_t router_way(const struct router *router, uint32_t type, uint32_t bucket)
{
    if (bucket == ROUTER_WAYS)
        return atomic_load_explicit(&router->roots[type], memory_order_acquire);
    uintptr_t node = (uintptr_t)((bucket - ROUTER_WAYS) & ~ROUTER_WAYS_LEVELS);
    return (router->nodes_from + node * (64 / (ROUTER_WAYS_LEVELS + 1))) |
           (bucket & ROUTER_WAYS_LEVELS);
}

/* The same from there. Apart, as is the next, since most lookups need neither the registers nor the
 * space. */
const struct router_segment *router_search(const struct router *router, uint32_t type,
                                           uint32_t bucket, uint64_t address, uint32_t size_bytes,
                                           uint64_t *first);

/* Looks up once more, for the hint. */
void router_remember(const struct router *router, struct router_hint *hint, uint32_t type,
                     uint64_t address, uint32_t size_bytes);

/* As router_find, with all that is known of the segment. */
static inline __attribute__((always_inline)) bool router_look(const struct router *router,
                                                              uint32_t type, uint64_t address,
                                                              uint32_t size_bytes,
                                                              struct router_found *found)
{
    if (type >= ROUTER_TREES)
        return false;
    const struct router_index *index =
        atomic_load_explicit(&router->indexes[type], memory_order_acquire);
    uint64_t place = (address - index->first) >> index->shift; /* huge if it lies in front */
    if (place >= index->count)
        return false;
    uint32_t bucket = atomic_load_explicit(&index->buckets[place], memory_order_acquire);
    if (__builtin_expect(bucket >= ROUTER_WAYS, 0)) {
        uint64_t first;
        const struct router_segment *segment =
            router_search(router, type, bucket, address, size_bytes, &first);
        if (!segment)
            return false;
        *found = (struct router_found){
            first, segment->last, {segment->range_first, segment->client, segment->range_index}};
        return true;
    }
    const struct router_outline *outline = &index->outlines[bucket >> 16];
    uint64_t begin = address & outline->mask, last = begin + (size_bytes - 1);
    if ((begin < outline->first) | (last > outline->last))
        return false;
    found->first = address - (begin - outline->first);
    found->last = found->first + (outline->last - outline->first);
    found->route = (struct router_route){found->first, outline->client, bucket & UINT16_MAX};
    return true;
}

/* The route of an access that request_check passed. False: there is none. Its client is valid until the
 * poller's next quiescent point. */
static inline __attribute__((always_inline)) bool router_find(const struct router *router,
                                                              uint32_t type, uint64_t address,
                                                              uint32_t size_bytes,
                                                              struct router_route *route)
{
    struct router_found found;
    if (!router_look(router, type, address, size_bytes, &found))
        return false;
    *route = found.route;
    return true;
}

/* The same for a reader that comes again and again: drivers rarely leave a device for one access. */
static inline __attribute__((always_inline)) bool
router_find_again(const struct router *router, struct router_hint *hint, uint32_t type,
                  uint64_t address, uint32_t size_bytes, struct router_route *route)
{
    /* Not address >= first: where addresses jump, that is a coin, and is mispredicted. */
    uint64_t offset = address - hint->first, room_bytes = hint->room_bytes;
    if (((offset <= room_bytes) & (room_bytes - offset >= size_bytes - 1)) &&
        /* Acquire: pairs with the release of a change. */
        hint->state == atomic_load_explicit(&router->generation, memory_order_acquire) + type) {
        *route = hint->route;
        return true;
    }
    if (!router_find(router, type, address, size_bytes, route))
        return false;
    if (__builtin_expect(hint->candidate == route->first, 0))
        router_remember(router, hint, type, address, size_bytes);
    else
        hint->candidate = route->first;
    return true;
}

#endif
