/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers/router_index.h"

#include <assert.h>

/* One segment a bucket where that many fit into the cache beside the leaves, else one leaf a bucket:
 * at 65536 ranges a finer index is slower, 53 ns instead of 33, as its own lines are missed. */
#define BUCKETS_MIN  8u
#define BUCKETS_FINE 4096u

/* ---- what a bucket holds ----------------------------------------------------------------- */

/* Where an address lies. */
struct spot {
    const struct router_node *leaf;
    size_t place;
    bool is_covered; /* by the segment in that place */
    bool has_next;   /* a segment that begins behind the address, if it is not covered: */
    uint64_t next;   /* there, or a bit earlier */
};

static struct spot spot_of(uintptr_t root, uint64_t address)
{
    const struct router_node *node = (const struct router_node *)(root & ROUTER_NODE_MASK);
    struct spot spot = {0};
    for (uintptr_t levels = root & ROUTER_LEVELS_MASK; levels > 0; levels--) {
        size_t place = router_rank(node, address), count = tree_child_count(node);
        if (place + 1 < count) {
            spot.has_next = true;
            spot.next = node->firsts[place + 1];
        }
        node = tree_child(node, place);
    }
    size_t place = router_rank(node, address), count = tree_segment_count(node);
    spot.leaf = node;
    spot.place = place;
    spot.is_covered =
        count > 0 && address >= node->firsts[place] && address <= node->segments[place].last;
    if (count > 0 && address < node->firsts[0]) {
        spot.has_next = true;
        spot.next = node->firsts[0];
    } else if (place + 1 < count) {
        spot.has_next = true;
        spot.next = node->firsts[place + 1];
    }
    return spot;
}

/* As deep as one goes by either address. */
static uintptr_t common_node(uintptr_t root, uint64_t first, uint64_t last)
{
    uintptr_t levels = root & ROUTER_LEVELS_MASK;
    const struct router_node *node = (const struct router_node *)(root & ROUTER_NODE_MASK);
    while (levels > 0) {
        const struct router_node *child = tree_child(node, router_rank(node, first));
        if (child != tree_child(node, router_rank(node, last)))
            break;
        node = child;
        levels--;
    }
    return (uintptr_t)node | levels;
}

/* The bucket of first..last. As long as *holds_until is not passed, the next ones hold the same. */
static uintptr_t bucket_of(uintptr_t root, uint64_t first, uint64_t last, uint64_t *holds_until)
{
    struct spot spot = spot_of(root, first);
    uintptr_t nothing = (uintptr_t)spot.leaf | ROUTER_PLACED | spot.place;
    /* What lies in front of the first segment is of no interest: it decides which leaf it is. */
    while (!spot.is_covered) {
        *holds_until = spot.has_next ? spot.next - 1 : UINT64_MAX;
        if (!spot.has_next || spot.next > last)
            return nothing;
        first = spot.next;
        spot = spot_of(root, first);
    }
    *holds_until = last;
    uintptr_t bucket = common_node(root, first, last);
    if (bucket & ROUTER_LEVELS_MASK)
        return bucket;
    size_t place = router_rank(spot.leaf, first);
    if (place != router_rank(spot.leaf, last))
        return bucket;
    if (spot.leaf->segments[place].last > last)
        *holds_until = spot.leaf->segments[place].last;
    return bucket | ROUTER_PLACED | place;
}

static void store_bucket(struct router_index *index, uint64_t i, uintptr_t bucket)
{
    /* Relaxed: control wrote it. A line that pollers read is left alone if nothing changes. */
    if (atomic_load_explicit(&index->buckets[i], memory_order_relaxed) == bucket)
        return;
    /* Release: pairs with router_find's acquire. */
    atomic_store_explicit(&index->buckets[i], bucket, memory_order_release);
}

/* All buckets with addresses of span. */
static void fill(struct router_index *index, uintptr_t root, struct tree_span span)
{
    uint64_t width = (uint64_t)1 << index->shift;
    uint64_t begin = span.first > index->first ? (span.first - index->first) >> index->shift : 0;
    uint64_t holds_until = 0;
    uintptr_t bucket = 0;
    for (uint64_t i = begin; i < index->count; i++) {
        uint64_t first = index->first + (i << index->shift), last = first + (width - 1);
        if (first > span.last)
            break;
        if (bucket == 0 || holds_until < last)
            bucket = bucket_of(root, first, last, &holds_until);
        store_bucket(index, i, bucket);
    }
}

/* ---- how many, how wide ------------------------------------------------------------------ */

/* First and last address of any segment. False: there is none. */
static bool content_of(uintptr_t root, struct tree_span *content)
{
    uintptr_t levels = root & ROUTER_LEVELS_MASK;
    const struct router_node *low = (const struct router_node *)(root & ROUTER_NODE_MASK);
    const struct router_node *high = low;
    for (; levels > 0; levels--) {
        low = tree_child(low, 0);
        high = tree_child(high, tree_child_count(high) - 1);
    }
    size_t count = tree_segment_count(high);
    if (count == 0)
        return false;
    *content = (struct tree_span){low->firsts[0], high->segments[count - 1].last};
    return true;
}

static uint32_t bit_count(uint64_t value)
{
    return value ? 64 - (uint32_t)__builtin_clzll(value) : 0;
}

static uint32_t power_of_two(size_t count)
{
    return (uint32_t)1 << bit_count(count - 1);
}

static uint32_t count_wanted(size_t leaf_count)
{
    size_t fine = leaf_count * ROUTER_FANOUT;
    size_t count = fine < BUCKETS_FINE ? fine : BUCKETS_FINE;
    if (count < leaf_count)
        count = leaf_count;
    if (count < BUCKETS_MIN)
        count = BUCKETS_MIN;
    if (count > ROUTER_INDEX_BUCKETS_MAX / 2)
        count = ROUTER_INDEX_BUCKETS_MAX / 2;
    return power_of_two(count);
}

static struct tree_span window_of(const struct router_index *index)
{
    uint64_t width = (uint64_t)1 << index->shift;
    return (struct tree_span){
        index->first, index->first + ((uint64_t)(index->count - 1) << index->shift) + (width - 1)};
}

static bool is_good(const struct router_index *index, struct tree_span content, uint32_t wanted)
{
    struct tree_span window = window_of(index);
    return content.first >= window.first && content.last <= window.last &&
           wanted / 2 < index->count_wanted && wanted > index->count_wanted / 4 &&
           (window.last - window.first) / 4 <= content.last - content.first;
}

/*
 * What the buckets of the next index are to hold: all there is, and so that ranges added one after
 * the other do not each need another index, as much again on the side where it left `before`.
 */
static struct tree_span window_for(struct tree_span content, const struct router_index *before)
{
    if (!before)
        return content;
    struct tree_span window = window_of(before);
    uint64_t more = content.last - content.first;
    /* Far more than there is? Then it was made for what has gone. */
    if ((window.last - window.first) / 4 > more)
        return content;
    if (content.first < window.first)
        window.first = content.first > more ? content.first - more : 0;
    if (content.last > window.last)
        window.last = UINT64_MAX - content.last > more ? content.last + more : UINT64_MAX;
    return window;
}

static struct router_index *create(struct router_indexes *indexes, struct tree_span window,
                                   uint32_t wanted)
{
    uint32_t bits = bit_count(window.last - window.first), wanted_bits = bit_count(wanted) - 1;
    uint32_t shift = bits > wanted_bits ? bits - wanted_bits : 0;
    uint64_t first = window.first >> shift << shift;
    uint32_t count = (uint32_t)((window.last - first) >> shift) + 1;
    assert(count <= ROUTER_INDEX_BUCKETS_MAX);
    size_t size_bytes = sizeof(struct router_index) + count * sizeof(uintptr_t);
    struct router_index *index = memory_allocate(size_bytes, indexes->node);
    if (!index)
        return NULL;
    index->first = first;
    index->shift = shift;
    index->count = count;
    index->size_bytes = size_bytes;
    index->count_wanted = wanted;
    return index;
}

/* ---- publishing -------------------------------------------------------------------------- */

static void publish(struct router_indexes *indexes, struct router *router, uint32_t type,
                    struct router_index *index)
{
    /* Relaxed: control wrote it. */
    struct router_index *before =
        atomic_load_explicit(&router->indexes[type], memory_order_relaxed);
    if (before == index)
        return;
    /* Release: pairs with router_find's acquire; the buckets are there when it is seen. */
    atomic_store_explicit(&router->indexes[type], index, memory_order_release);
    if (before && before != indexes->roots[type]) {
        before->next = indexes->retired;
        indexes->retired = before;
    }
}

void router_indexes_init(struct router_indexes *indexes, struct router *router, void *roots_memory,
                         int node)
{
    indexes->node = node;
    for (uint32_t type = 0; type < ROUTER_TREES; type++) {
        struct router_index *index =
            (void *)((char *)roots_memory + type * ROUTER_INDEX_ROOT_BYTES);
        index->shift = 63;
        index->count = 2;
        indexes->roots[type] = index;
        indexes->leaf_counts[type] = 1;
    }
    for (uint32_t type = 0; type < ROUTER_TREES; type++)
        router_indexes_update(indexes, router, type, &(struct tree_outcome){0});
}

void router_indexes_update(struct router_indexes *indexes, struct router *router, uint32_t type,
                           const struct tree_outcome *outcome)
{
    /* Relaxed: control wrote both. */
    uintptr_t root = atomic_load_explicit(&router->roots[type], memory_order_relaxed);
    struct router_index *index = atomic_load_explicit(&router->indexes[type], memory_order_relaxed);
    struct router_index *fallback = indexes->roots[type];
    indexes->leaf_counts[type] += (size_t)outcome->leaves;
    /* Always right, for readers it still has. */
    store_bucket(fallback, 0, root);
    store_bucket(fallback, 1, root);
    struct tree_span content;
    if (!content_of(root, &content)) {
        publish(indexes, router, type, fallback);
        return;
    }
    uint32_t wanted = count_wanted(indexes->leaf_counts[type]);
    if (index != fallback && is_good(index, content, wanted)) {
        fill(index, root, outcome->span);
        return;
    }
    index = create(indexes, window_for(content, index != fallback ? index : NULL), wanted);
    if (index)
        fill(index, root, (struct tree_span){0, UINT64_MAX});
    publish(indexes, router, type, index ? index : fallback);
}

void router_indexes_reclaim(struct router_indexes *indexes)
{
    while (indexes->retired) {
        struct router_index *next = indexes->retired->next;
        memory_free(indexes->retired, indexes->retired->size_bytes);
        indexes->retired = next;
    }
}

struct memory_block router_indexes_block(const struct router_indexes *indexes,
                                         const struct router *router, size_t index)
{
    for (uint32_t type = 0; type < ROUTER_TREES; type++) {
        /* Relaxed: control wrote it. */
        const struct router_index *one =
            atomic_load_explicit(&router->indexes[type], memory_order_relaxed);
        if (one != indexes->roots[type] && index-- == 0)
            return (struct memory_block){one, one->size_bytes};
    }
    return (struct memory_block){NULL, 0};
}

void router_indexes_free(struct router_indexes *indexes, struct router *router)
{
    for (uint32_t type = 0; type < ROUTER_TREES; type++)
        if (indexes->roots[type])
            publish(indexes, router, type, indexes->roots[type]);
    router_indexes_reclaim(indexes);
}
