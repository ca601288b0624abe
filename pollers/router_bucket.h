/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * router_bucket.h - what a bucket of a router's index is to hold, by the tree.
 *
 * Flow:    router_index.c goes through buckets in ascending order, with one tour: bucket_content_of.
 * Threads: control.
 * Memory:  none; a content names nodes and clients.
 * Errors:  none.
 */
#ifndef POLLERS_ROUTER_BUCKET_H
#define POLLERS_ROUTER_BUCKET_H

#include "pollers/router_tree.h"

/* A leaf, which is where one comes from the root by any address in first..last. */
struct tour {
    uintptr_t root;
    uintptr_t nodes_from; /* of the router's */
    const struct router_node *leaf;
    uint64_t first;
    uint64_t last;
};

/* An answer for all addresses of a bucket, or a way to it. */
struct bucket_content {
    uintptr_t way; /* 0: an answer: */
    struct router_outline outline;
    uint32_t range_index;
    uint64_t holds_until; /* of the buckets behind, those that end there or earlier say the same */
};

/* Of bucket first..last, which are 1 << n addresses from a multiple of that on. */
struct bucket_content bucket_content_of(struct tour *tour, uint64_t first, uint64_t last);

#endif
