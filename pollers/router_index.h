/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * router_index.h - the buckets beside a router's trees: their number and width, and what they say.
 *
 * Flow:    a change of the tree -> router_indexes_update -> (quiescent point) ->
 *          router_indexes_reclaim; router_indexes_free with the router.
 *
 *          A change stores the buckets whose addresses led to what it replaced. Only where ranges now
 *          lie outside all buckets, or there are twice as many or a quarter of the leaves, or of the
 *          addresses, or no room for another outline, a new index is made beside the old one and
 *          stored by one pointer.
 *
 * Threads: control; readers go through the buckets meanwhile.
 * Memory:  4 bytes a bucket, of which there are as many as ranges or up to four times as many, and 32
 *          an outline, on the poller's NUMA node; beside these 8 an outline for control. 2 KiB for
 *          256 ranges that lie alike, 257 KiB for 65536; 1.75 MiB if no two of these do.
 *          Replaced ones until reclaim. For want of memory there is one without a choice, which
 *          leads to the root.
 * Errors:  none: every lookup finds what the tree says, if more slowly.
 * Source:  the root table of an LC trie: Nilsson and Karlsson, "IP-Address Lookup Using LC-Tries", 1999.
 */
#ifndef POLLERS_ROUTER_INDEX_H
#define POLLERS_ROUTER_INDEX_H

#include "pollers/router_tree.h"

struct index_home;

struct router_indexes {
    int node;                               /* NUMA */
    struct index_home *homes[ROUTER_TREES]; /* published; NULL: the one without a choice */
    struct index_home *retired;             /* readers may still be in them */
    size_t leaf_counts[ROUTER_TREES];
};

/* Publishes the indexes of empty trees. */
void router_indexes_init(struct router_indexes *indexes, struct router *router, int node);

/* The tree of `type` was changed and published. */
void router_indexes_update(struct router_indexes *indexes, struct router *router, uint32_t type,
                           const struct tree_outcome *outcome);

/* Readers passed a quiescent point since the last update. */
void router_indexes_reclaim(struct router_indexes *indexes);

/* One by one; .memory is NULL behind the last one. */
struct memory_block router_indexes_block(const struct router_indexes *indexes, size_t index);

void router_indexes_free(struct router_indexes *indexes);

#endif
