/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * red_black.h - a baseline of route: ranges in a red-black tree with a hint, the node found last.
 *
 * Flow:    red_black_insert, range by range -> red_black_find -> red_black_destroy.
 * Threads: one: a lookup writes the hint.
 * Memory:  a node is an allocation of its own, as in servers whose ranges come and go; it holds what
 *          a lookup answers, so that a hit needs no further cache line.
 * Errors:  ranges must not overlap.
 * Source:  Cormen et al., Introduction to Algorithms, chapter 13.
 */
#ifndef BENCH_RED_BLACK_H
#define BENCH_RED_BLACK_H

#include "pollers/router.h"

struct red_black_node {
    struct router_route route;
    uint64_t last;
    struct red_black_node *left, *right, *parent;
    bool is_red;
};

struct red_black_tree {
    struct red_black_node *root;
    struct red_black_node *hint; /* found last, or NULL */
};

/* 0 or -ENOMEM. */
int red_black_insert(struct red_black_tree *tree, const struct router_range *range);
void red_black_destroy(struct red_black_tree *tree);

/* NULL: the access lies in no range. */
static inline const struct router_route *red_black_find(struct red_black_tree *tree,
                                                        uint64_t address, uint32_t size_bytes)
{
    uint64_t last = address + (size_bytes - 1);
    struct red_black_node *node = tree->hint;
    if (node && address >= node->route.first && last <= node->last)
        return &node->route;
    node = tree->root;
    while (node) {
        if (address < node->route.first) {
            node = node->left;
        } else if (address > node->last) {
            node = node->right;
        } else if (last > node->last) {
            return NULL;
        } else {
            tree->hint = node;
            return &node->route;
        }
    }
    return NULL;
}

#endif
