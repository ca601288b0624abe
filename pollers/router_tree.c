/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A change level by level, from the leaves up. Two ways lead down to the ends of the span; at each
 * level the nodes between them (one, as a rule) become a row of items: those in front of the span,
 * the changed ones, those behind it. The row is packed into nodes, and these are the changed items of
 * the level above, until one child takes the place of one other: that pointer is stored.
 *
 * What leads to a leaf is the first address of its first segment, except at the left edge, where it is
 * of no use: as the ways begin one address before the span, whoever takes a first segment away
 * makes the leaf before it anew, too, and all that leads to either.
 */
#include "pollers/router_tree.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define LEVELS_MAX   32u
#define ITEMS_MIN    3u /* a node with fewer is put together with its neighbour */
#define ITEMS_AROUND (3 * ROUTER_FANOUT)

struct place {
    struct router_node *node;
    size_t index;
};

struct replacement {
    struct router_nodes *nodes;
    struct tree_span span;
    struct place low[LEVELS_MAX];       /* [level] on the way to the address before the span */
    struct place high[LEVELS_MAX];      /* [level] and to the one behind it; level 0: leaves */
    struct tree_span spans[LEVELS_MAX]; /* [level] addresses whose way leads through low[level] */
    size_t levels;                      /* of the root */
    bool is_at_end;                     /* behind the span comes no node at any level */
    struct tree_item *items;            /* [count] of the level at work */
    size_t count;
    struct tree_outcome *outcome;
};

/* ---- nodes ------------------------------------------------------------------------------- */

/* Relaxed, here and in child_set: control wrote what it reads, and publish is what readers see. */
struct router_node *tree_child(const struct router_node *node, size_t index)
{
    return atomic_load_explicit(&node->children[index], memory_order_relaxed);
}

static void child_set(struct router_node *node, size_t index, struct router_node *child)
{
    atomic_store_explicit(&node->children[index], child, memory_order_relaxed);
}

size_t tree_child_count(const struct router_node *node)
{
    size_t count = 1;
    while (count < ROUTER_FANOUT && tree_child(node, count) != tree_child(node, count - 1))
        count++;
    return count;
}

size_t tree_segment_count(const struct router_node *leaf)
{
    const struct router_segment *segments = leaf->segments;
    if (leaf->firsts[0] > segments[0].last)
        return 0; /* as tree_init made it */
    size_t count = 1;
    while (count < ROUTER_FANOUT && segments[count].last != segments[count - 1].last)
        count++;
    return count;
}

static size_t item_count(const struct router_node *node, size_t level)
{
    return level == 0 ? tree_segment_count(node) : tree_child_count(node);
}

static struct tree_item item_of(const struct router_node *node, size_t level, size_t index)
{
    struct tree_item item = {.first = node->firsts[index]};
    if (level == 0)
        item.segment = node->segments[index];
    else
        item.child = tree_child(node, index);
    return item;
}

/* items [count]; places behind the last one repeat it. */
static void fill(struct router_node *node, size_t level, const struct tree_item *items,
                 size_t count)
{
    for (size_t i = 0; i < ROUTER_FANOUT; i++) {
        const struct tree_item *item = &items[i < count ? i : count - 1];
        node->firsts[i] = i < count ? item->first : UINT64_MAX;
        if (level == 0)
            node->segments[i] = item->segment;
        else
            child_set(node, i, item->child);
    }
}

int tree_init(_Atomic uintptr_t *root, struct router_nodes *nodes)
{
    struct router_node *leaf = router_nodes_take(nodes);
    if (!leaf)
        return -ENOMEM;
    memset(leaf, 0, sizeof(*leaf));
    for (size_t i = 0; i < ROUTER_FANOUT; i++)
        leaf->firsts[i] = UINT64_MAX; /* and every last is 0: nothing lies there */
    /* Release: pairs with router_way's acquire, as in publish_root. */
    atomic_store_explicit(root, (uintptr_t)leaf, memory_order_release);
    return 0;
}

/* ---- the row of items -------------------------------------------------------------------- */

size_t tree_append(struct tree_item *segments, size_t count, struct tree_item segment)
{
    struct tree_item *last = count ? &segments[count - 1] : NULL;
    /* First address and priority name a range: two that share both would overlap. */
    if (last && last->segment.last + 1 == segment.first &&
        last->segment.range_first == segment.segment.range_first &&
        last->segment.priority == segment.segment.priority) {
        last->segment.last = segment.segment.last;
        return count;
    }
    segments[count] = segment;
    return count + 1;
}

/* The segments of the two leaves, cut at the span, with the changed ones in between. */
static void gather_segments(struct replacement *change, const struct tree_item *segments,
                            size_t count)
{
    const struct router_node *low = change->low[0].node, *high = change->high[0].node;
    struct tree_span span = change->span;
    size_t low_count = tree_segment_count(low), high_count = tree_segment_count(high);
    for (size_t i = 0; i < low_count && low->firsts[i] < span.first; i++) {
        struct tree_item item = item_of(low, 0, i);
        if (item.segment.last >= span.first)
            item.segment.last = span.first - 1;
        change->count = tree_append(change->items, change->count, item);
    }
    for (size_t i = 0; i < count; i++)
        change->count = tree_append(change->items, change->count, segments[i]);
    for (size_t i = 0; i < high_count; i++) {
        struct tree_item item = item_of(high, 0, i);
        if (item.segment.last <= span.last)
            continue;
        if (item.first <= span.last)
            item.first = span.last + 1;
        change->count = tree_append(change->items, change->count, item);
    }
}

static void prepend(struct replacement *change, size_t level, const struct router_node *node,
                    size_t count)
{
    memmove(change->items + count, change->items, change->count * sizeof(*change->items));
    for (size_t i = 0; i < count; i++)
        change->items[i] = item_of(node, level, i);
    change->count += count;
}

static void append(struct replacement *change, size_t level, const struct router_node *node,
                   size_t begin)
{
    for (size_t i = begin; i < item_count(node, level); i++)
        change->items[change->count++] = item_of(node, level, i);
}

static int replace(struct replacement *change, struct router_node *node, size_t level)
{
    change->outcome->leaves -= level == 0;
    return router_nodes_replace(change->nodes, node);
}

/* A row that is too short for a node takes in a neighbour's items. */
static int join_neighbour(struct replacement *change, size_t level)
{
    struct place *low = &change->low[level + 1], *high = &change->high[level + 1];
    struct router_node *neighbour;
    if (low->index > 0) {
        neighbour = tree_child(low->node, --low->index);
        prepend(change, level, neighbour, item_count(neighbour, level));
    } else if (high->index + 1 < tree_child_count(high->node)) {
        neighbour = tree_child(high->node, ++high->index);
        append(change, level, neighbour, 0);
    } else {
        return 0;
    }
    return replace(change, neighbour, level);
}

/* Makes nodes of the row, and these the row. Evenly, so that each has room for more; but full ones
 * where ranges are added in ascending order. */
static int pack(struct replacement *change, size_t level)
{
    size_t node_count = (change->count + ROUTER_FANOUT - 1) / ROUTER_FANOUT;
    size_t taken = 0;
    for (size_t i = 0; i < node_count; i++) {
        size_t left = change->count - taken, nodes_left = node_count - i;
        size_t count = (left + nodes_left - 1) / nodes_left;
        if (change->is_at_end)
            count = left < ROUTER_FANOUT ? left : ROUTER_FANOUT;
        struct router_node *node = router_nodes_take(change->nodes);
        if (!node)
            return -ENOMEM;
        fill(node, level, change->items + taken, count);
        change->items[i] = (struct tree_item){.first = node->firsts[0], .child = node};
        taken += count;
    }
    change->outcome->leaves += level == 0 ? (ptrdiff_t)node_count : 0;
    change->count = node_count;
    return 0;
}

/* ---- what goes --------------------------------------------------------------------------- */

static int replace_all(struct replacement *change, struct router_node *node, size_t level)
{
    int result = replace(change, node, level);
    size_t count = level > 0 ? tree_child_count(node) : 0;
    for (size_t i = 0; i < count && result == 0; i++)
        result = replace_all(change, tree_child(node, i), level - 1);
    return result;
}

/* Whole subtrees between the two ways, whose roots are children of `level`. */
static int replace_between(struct replacement *change, size_t level)
{
    struct place low = change->low[level], high = change->high[level];
    int result = 0;
    size_t low_end = low.node == high.node ? high.index : tree_child_count(low.node);
    for (size_t i = low.index + 1; i < low_end && result == 0; i++)
        result = replace_all(change, tree_child(low.node, i), level - 1);
    for (size_t i = 0; low.node != high.node && i < high.index && result == 0; i++)
        result = replace_all(change, tree_child(high.node, i), level - 1);
    /* And those between the two nodes: they are between the two ways one level up. */
    return result;
}

static int replace_ways(struct replacement *change, size_t level)
{
    struct router_node *low = change->low[level].node, *high = change->high[level].node;
    int result = replace(change, low, level);
    return result == 0 && high != low ? replace(change, high, level) : result;
}

/* ---- the change -------------------------------------------------------------------------- */

/* Of a node that addresses of span lead through. */
static struct tree_span span_of_child(struct tree_span span, struct place place)
{
    if (place.index > 0)
        span.first = place.node->firsts[place.index];
    if (place.index + 1 < tree_child_count(place.node))
        span.last = place.node->firsts[place.index + 1] - 1;
    return span;
}

static void find_ways(struct replacement *change, uintptr_t root)
{
    struct tree_span span = change->span;
    /* One address further than the span: a segment that ends there may have to grow into it. */
    uint64_t low_address = span.first > 0 ? span.first - 1 : 0;
    uint64_t high_address = span.last < UINT64_MAX ? span.last + 1 : UINT64_MAX;
    struct router_node *low = (struct router_node *)(root & ROUTER_NODE_MASK), *high = low;
    change->levels = root & ROUTER_LEVELS_MASK;
    change->is_at_end = true;
    change->spans[change->levels] = (struct tree_span){0, UINT64_MAX};
    for (size_t level = change->levels;; level--) {
        change->low[level].node = low;
        change->high[level].node = high;
        if (level == 0)
            break;
        size_t low_last = tree_child_count(low) - 1, high_last = tree_child_count(high) - 1;
        size_t low_rank = router_rank(low, low_address);
        size_t high_rank = router_rank(high, high_address);
        change->low[level].index = low_rank < low_last ? low_rank : low_last;
        change->high[level].index = high_rank < high_last ? high_rank : high_last;
        change->is_at_end &= high_rank >= high_last;
        change->spans[level - 1] = span_of_child(change->spans[level], change->low[level]);
        low = tree_child(low, change->low[level].index);
        high = tree_child(high, change->high[level].index);
    }
    size_t count = tree_segment_count(high);
    change->is_at_end &= count == 0 || high->segments[count - 1].last <= span.last;
}

/* One child for one other: the change. */
static void publish_child(struct place place, struct router_node *child)
{
    size_t count = tree_child_count(place.node);
    size_t end = place.index + 1 < count ? place.index + 1 : ROUTER_FANOUT;
    /* Release: pairs with router_find_below's acquire. Of repeated places a lookup reads only one. */
    for (size_t i = place.index; i < end; i++)
        atomic_store_explicit(&place.node->children[i], child, memory_order_release);
}

/* The row is the root's: all of it, or one node that holds it. */
static int publish_root(struct replacement *change, _Atomic uintptr_t *root, size_t level)
{
    change->outcome->span = (struct tree_span){0, UINT64_MAX};
    if (change->count == 0) {
        change->outcome->leaves++;
        return tree_init(root, change->nodes);
    }
    if (level > 0 && change->count == 1) {
        level--; /* its only child is the root from now on */
    } else {
        int result = pack(change, level);
        while (result == 0 && change->count > 1)
            result = pack(change, ++level);
        if (result < 0)
            return result;
    }
    assert(level < LEVELS_MAX);
    /* Release: pairs with router_way's acquire. */
    atomic_store_explicit(root, (uintptr_t)change->items[0].child | level, memory_order_release);
    return 0;
}

static int rebuild(struct replacement *change, _Atomic uintptr_t *root)
{
    int result = 0;
    for (size_t level = 1; level <= change->levels && result == 0; level++)
        result = replace_between(change, level);
    for (size_t level = 0; result == 0; level++) {
        result = replace_ways(change, level);
        if (result == 0 && level == change->levels)
            return publish_root(change, root, level);
        if (result == 0 && change->count > 0 && change->count < ITEMS_MIN)
            result = join_neighbour(change, level);
        if (result == 0)
            result = pack(change, level);
        if (result < 0)
            break;
        struct place low = change->low[level + 1], high = change->high[level + 1];
        if (low.node == high.node && low.index == high.index && change->count == 1) {
            publish_child(low, change->items[0].child);
            change->outcome->span = change->spans[level];
            break;
        }
        prepend(change, level + 1, low.node, low.index);
        append(change, level + 1, high.node, high.index + 1);
    }
    return result;
}

int tree_replace(_Atomic uintptr_t *root, struct router_nodes *nodes, struct tree_span span,
                 const struct tree_item *segments, size_t count, struct tree_outcome *outcome)
{
    struct replacement change = {.nodes = nodes, .span = span, .outcome = outcome};
    *outcome = (struct tree_outcome){0};
    change.items = calloc(count + ITEMS_AROUND, sizeof(*change.items));
    if (!change.items)
        return -ENOMEM;
    /* Relaxed: control wrote it. */
    find_ways(&change, atomic_load_explicit(root, memory_order_relaxed));
    gather_segments(&change, segments, count);
    int result = rebuild(&change, root);
    if (result == 0)
        router_nodes_commit(nodes);
    else
        router_nodes_abort(nodes);
    free(change.items);
    return result;
}
