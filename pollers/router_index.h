/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * router_index.h - the buckets beside a router's trees: their number and width, and what they hold.
 *
 * Flow:    a change of the tree -> router_indexes_update -> (quiescent point) ->
 *          router_indexes_reclaim; router_indexes_free with the router.
 *
 *          A change stores the buckets whose addresses led to what it replaced. Only where ranges now
 *          lie outside all buckets, or there are twice as many or a quarter of the leaves, or of the
 *          addresses, a new index is made beside the old one and stored by one pointer.
 *
 * Threads: control; readers go through the buckets meanwhile.
 * Memory:  at most 128 KiB an index, on the poller's NUMA node; replaced ones until reclaim. For want
 *          of memory there is one without a choice: two buckets, which lead to the root.
 * Errors:  none: every lookup finds what the tree says, if more slowly.
 * Source:  the root table of an LC trie: Nilsson and Karlsson, "IP-Address Lookup Using LC-Tries", 1999.
 */
#ifndef POLLERS_ROUTER_INDEX_H
#define POLLERS_ROUTER_INDEX_H

#include "pollers/router_tree.h"

#define ROUTER_INDEX_BUCKETS_MAX 16384u

struct router_indexes {
    int node;                                 /* NUMA */
    struct router_index *roots[ROUTER_TREES]; /* the one without a choice; the caller's memory */
    struct router_index *retired;             /* readers may still be in them */
    size_t leaf_counts[ROUTER_TREES];
};

/* What each of router_indexes.roots takes. */
#define ROUTER_INDEX_ROOT_BYTES \
    ((sizeof(struct router_index) + 2 * sizeof(uintptr_t) + 63) & ~(size_t)63)

/* Publishes the indexes of empty trees: roots_memory [ROUTER_TREES * ROUTER_INDEX_ROOT_BYTES], aligned
 * to a cache line and zeroed, stays the caller's. */
void router_indexes_init(struct router_indexes *indexes, struct router *router, void *roots_memory,
                         int node);

/* The tree of `type` was changed and published. */
void router_indexes_update(struct router_indexes *indexes, struct router *router, uint32_t type,
                           const struct tree_outcome *outcome);

/* Readers passed a quiescent point since the last update. */
void router_indexes_reclaim(struct router_indexes *indexes);

/* One by one; .memory is NULL behind the last one. */
struct memory_block router_indexes_block(const struct router_indexes *indexes,
                                         const struct router *router, size_t index);

void router_indexes_free(struct router_indexes *indexes, struct router *router);

#endif
