/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/red_black.h"

#include <errno.h>
#include <stdlib.h>

_Static_assert(sizeof(struct red_black_node) == 64, "a node is one cache line");

/* The pointer that holds node: in its parent, or the root. */
static struct red_black_node **link_of(struct red_black_tree *tree, struct red_black_node *node)
{
    if (!node->parent)
        return &tree->root;
    return node->parent->left == node ? &node->parent->left : &node->parent->right;
}

static void rotate_left(struct red_black_tree *tree, struct red_black_node *node)
{
    struct red_black_node *up = node->right;
    *link_of(tree, node) = up;
    up->parent = node->parent;
    node->right = up->left;
    if (node->right)
        node->right->parent = node;
    up->left = node;
    node->parent = up;
}

static void rotate_right(struct red_black_tree *tree, struct red_black_node *node)
{
    struct red_black_node *up = node->left;
    *link_of(tree, node) = up;
    up->parent = node->parent;
    node->left = up->right;
    if (node->left)
        node->left->parent = node;
    up->right = node;
    node->parent = up;
}

/* node is red; as long as its parent is, too, one of the two has to change. */
static void balance(struct red_black_tree *tree, struct red_black_node *node)
{
    while (node->parent && node->parent->is_red) {
        struct red_black_node *parent = node->parent, *above = parent->parent;
        bool is_left = parent == above->left;
        struct red_black_node *uncle = is_left ? above->right : above->left;
        if (uncle && uncle->is_red) {
            parent->is_red = uncle->is_red = false;
            above->is_red = true;
            node = above;
            continue;
        }
        struct red_black_node *upper = parent;
        if (is_left && node == parent->right) {
            rotate_left(tree, parent);
            upper = node;
        } else if (!is_left && node == parent->left) {
            rotate_right(tree, parent);
            upper = node;
        }
        upper->is_red = false;
        above->is_red = true;
        if (is_left)
            rotate_right(tree, above);
        else
            rotate_left(tree, above);
        break;
    }
    tree->root->is_red = false;
}

int red_black_insert(struct red_black_tree *tree, const struct router_range *range)
{
    struct red_black_node *node = aligned_alloc(64, sizeof(*node));
    if (!node)
        return -ENOMEM;
    *node = (struct red_black_node){
        .route = {.first = range->first,
                  .client = range->client,
                  .range_index = range->range_index},
        .last = range->last,
        .is_red = true,
    };
    struct red_black_node **place = &tree->root;
    while (*place) {
        node->parent = *place;
        place =
            range->first < node->parent->route.first ? &node->parent->left : &node->parent->right;
    }
    *place = node;
    balance(tree, node);
    return 0;
}

void red_black_destroy(struct red_black_tree *tree)
{
    struct red_black_node *node = tree->root;
    while (node) {
        struct red_black_node *child = node->left ? node->left : node->right;
        if (child) {
            node = child;
            continue;
        }
        struct red_black_node *parent = node->parent;
        if (parent)
            *(parent->left == node ? &parent->left : &parent->right) = NULL;
        free(node);
        node = parent;
    }
    *tree = (struct red_black_tree){0};
}
