/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers/router_nodes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES ((size_t)64 * 1024)
#define LIST_GROWTH 64u

struct node_chunk {
    struct node_chunk *next;
    size_t size_bytes;
    struct router_node nodes[];
};

static int list_add(struct node_list *list, struct router_node *node)
{
    if (list->count == list->capacity) {
        size_t capacity = 2 * list->capacity + LIST_GROWTH;
        struct router_node **grown = realloc(list->nodes, capacity * sizeof(struct router_node *));
        if (!grown)
            return -ENOMEM;
        list->nodes = grown;
        list->capacity = capacity;
    }
    list->nodes[list->count++] = node;
    return 0;
}

static void make_idle(struct router_nodes *nodes, struct router_node *node)
{
    /* Whoever looked into it now would not find old routes that seem to be right. */
    memset(node, 0, sizeof(*node));
    /* Relaxed: nobody else sees an idle node. */
    atomic_store_explicit(&node->children[0], nodes->idle, memory_order_relaxed);
    nodes->idle = node;
    nodes->idle_count++;
}

int router_nodes_reserve(struct router_nodes *nodes, size_t node_count)
{
    size_t size_bytes = sizeof(struct node_chunk) + node_count * sizeof(struct router_node);
    if (size_bytes < CHUNK_BYTES)
        size_bytes = CHUNK_BYTES;
    struct node_chunk *chunk = memory_allocate(size_bytes, nodes->node);
    if (!chunk)
        return -ENOMEM;
    chunk->size_bytes = size_bytes;
    chunk->next = nodes->chunks;
    nodes->chunks = chunk;
    size_t count = (size_bytes - sizeof(*chunk)) / sizeof(chunk->nodes[0]);
    nodes->capacity += count;
    while (count > 0) /* backwards: the first one is taken first */
        make_idle(nodes, &chunk->nodes[--count]);
    return 0;
}

struct router_node *router_nodes_take(struct router_nodes *nodes)
{
    if (!nodes->idle && router_nodes_reserve(nodes, 1) < 0)
        return NULL;
    struct router_node *node = nodes->idle;
    if (list_add(&nodes->taken, node) < 0)
        return NULL;
    /* Relaxed: as in make_idle. */
    nodes->idle = atomic_load_explicit(&node->children[0], memory_order_relaxed);
    nodes->idle_count--;
    return node;
}

int router_nodes_replace(struct router_nodes *nodes, struct router_node *node)
{
    return list_add(&nodes->retired, node);
}

void router_nodes_commit(struct router_nodes *nodes)
{
    nodes->taken.count = 0;
    nodes->committed_count = nodes->retired.count;
}

void router_nodes_abort(struct router_nodes *nodes)
{
    while (nodes->taken.count > 0)
        make_idle(nodes, nodes->taken.nodes[--nodes->taken.count]);
    nodes->retired.count = nodes->committed_count;
}

void router_nodes_reclaim(struct router_nodes *nodes)
{
    while (nodes->retired.count > 0)
        make_idle(nodes, nodes->retired.nodes[--nodes->retired.count]);
    nodes->committed_count = 0;
}

struct memory_block router_nodes_block(const struct router_nodes *nodes, size_t index)
{
    const struct node_chunk *chunk = nodes->chunks;
    while (chunk && index-- > 0)
        chunk = chunk->next;
    return (struct memory_block){chunk, chunk ? chunk->size_bytes : 0};
}

void router_nodes_free(struct router_nodes *nodes)
{
    while (nodes->chunks) {
        struct node_chunk *next = nodes->chunks->next;
        memory_free(nodes->chunks, nodes->chunks->size_bytes);
        nodes->chunks = next;
    }
    free(nodes->taken.nodes);
    free(nodes->retired.nodes);
}
