/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * router_nodes.h - the nodes of one router: where they come from, and when they may be used again.
 *
 * Flow:    a change takes and replaces nodes -> router_nodes_commit once the new ones are published,
 *          or router_nodes_abort -> (quiescent point) -> router_nodes_reclaim.
 *
 *              idle --take--> taken --commit--> in the tree --replace, commit--> retired
 *                ^--------------+abort                                              |
 *                ^------------------------------------------------------- reclaim --+
 *
 * Threads: control.
 * Memory:  chunks of 64 KiB or more on one NUMA node, freed all at once; nothing goes back before.
 * Errors:  NULL or -ENOMEM; router_nodes_abort then undoes the change.
 */
#ifndef POLLERS_ROUTER_NODES_H
#define POLLERS_ROUTER_NODES_H

#include "pollers/router.h"

struct node_list {
    struct router_node **nodes; /* [count], room for [capacity] */
    size_t count;
    size_t capacity;
};

struct node_chunk;

struct router_nodes {
    int node; /* NUMA */
    struct node_chunk *chunks;
    struct router_node *idle; /* linked by their first child */
    size_t idle_count;
    size_t capacity;
    struct node_list taken;   /* by the change under way */
    struct node_list retired; /* replaced; readers may still be in them */
    size_t committed_count;   /* of retired: by changes before the one under way */
};

/* Room for node_count more nodes in one chunk. 0 or -ENOMEM. */
int router_nodes_reserve(struct router_nodes *nodes, size_t node_count);

/* A node nobody else sees, uninitialised. NULL: no memory. */
struct router_node *router_nodes_take(struct router_nodes *nodes);

/* This node will be unreachable once the change is published. 0 or -ENOMEM. */
int router_nodes_replace(struct router_nodes *nodes, struct router_node *node);

void router_nodes_commit(struct router_nodes *nodes);
void router_nodes_abort(struct router_nodes *nodes);

/* Readers passed a quiescent point since the last commit. */
void router_nodes_reclaim(struct router_nodes *nodes);

/* Chunk by chunk; .memory is NULL behind the last one. */
struct memory_block router_nodes_block(const struct router_nodes *nodes, size_t index);

void router_nodes_free(struct router_nodes *nodes);

#endif
