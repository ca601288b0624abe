/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * router_tree.h - replaces a stretch of one of a router's trees, by one pointer.
 *
 * Flow:    router.c turns ranges into segments -> tree_replace.
 * Threads: control; readers go through the tree meanwhile.
 * Memory:  nodes are the router's (router_nodes.h).
 * Errors:  -ENOMEM, and nothing changed.
 */
#ifndef POLLERS_ROUTER_TREE_H
#define POLLERS_ROUTER_TREE_H

#include "pollers/router_nodes.h"

#include <stddef.h>

/* What a node holds in one place: a segment in a leaf, else a child. */
struct tree_item {
    uint64_t first; /* of a child: no address in it is lower, none in the one before reaches it */
    union {
        struct router_segment segment;
        struct router_node *child;
    };
};

struct tree_span {
    uint64_t first; /* inclusive */
    uint64_t last;  /* inclusive */
};

/* What a change did, for the index. */
struct tree_outcome {
    struct tree_span span; /* every way that led to a replaced node is that of an address in here */
    ptrdiff_t leaves;      /* more than before */
};

/* A leaf without segments, as the root of each tree that is to be filled. */
int tree_init(_Atomic uintptr_t *root, struct router_nodes *nodes);

/*
 * segments [count], ascending and within span, take the place of all there is in span. Segments of
 * one range that now touch each other become one. *outcome is set if it returns 0.
 */
int tree_replace(_Atomic uintptr_t *root, struct router_nodes *nodes, struct tree_span span,
                 const struct tree_item *segments, size_t count, struct tree_outcome *outcome);

/* Segments of a leaf; children of another node. */
size_t tree_segment_count(const struct router_node *leaf);
struct router_node *tree_child(const struct router_node *node, size_t index);
size_t tree_child_count(const struct router_node *node);

/* Appends a segment to segments [count], or lengthens the last one if it belongs to the same range
 * and ends right before. Returns how many there are. */
size_t tree_append(struct tree_item *segments, size_t count, struct tree_item segment);

#endif
