/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers/router_index.h"

#include "pollers/router_bucket.h"
#include "pollers/router_outlines.h"

#define BUCKETS_MIN 8u
#define BUCKETS_MAX 65536u      /* wanted; twice as many where the ranges have grown */
#define BUCKET_ROOT ROUTER_WAYS /* always right */
#define WAY_NODES   ((UINT32_MAX - ROUTER_WAYS) / (ROUTER_WAYS_LEVELS + 1))

/* An index as it lies in memory: what pollers read, control's part, outlines, buckets. */
struct index_home {
    struct router_index index;
    struct index_home *next;
    size_t size_bytes;
    size_t leaf_count; /* at first */
    struct outline_table table;
};

/* ---- stored ------------------------------------------------------------------------------ */

/* A node that is far from the others is left to the root. */
static uint32_t bucket_of_way(const struct tour *tour, uintptr_t way)
{
    uint64_t node = ((way & ROUTER_NODE_MASK) - tour->nodes_from) / 64;
    uintptr_t level = way & ROUTER_LEVELS_MASK;
    if (way == tour->root || node == 0 || node >= WAY_NODES || level > ROUTER_WAYS_LEVELS)
        return BUCKET_ROOT;
    return ROUTER_WAYS + (uint32_t)(node * (ROUTER_WAYS_LEVELS + 1) | level);
}

static uint32_t take(struct index_home *home, const struct bucket_content *content,
                     const struct tour *tour)
{
    if (content->way != 0)
        return bucket_of_way(tour, content->way);
    uint32_t outline = outlines_take(&home->table, &content->outline);
    return outline == OUTLINES_FULL ? BUCKET_ROOT : outline << 16 | content->range_index;
}

static void store_bucket(struct index_home *home, uint64_t i, const struct bucket_content *content,
                         const struct tour *tour)
{
    _Atomic uint32_t *place = &home->index.buckets[i];
    /* Relaxed: control wrote it. */
    uint32_t before = atomic_load_explicit(place, memory_order_relaxed);
    uint32_t bucket = take(home, content, tour);
    /* A line that pollers read is left alone if nothing changes. Release: pairs with router_find's
     * acquire. */
    if (bucket != before)
        atomic_store_explicit(place, bucket, memory_order_release);
    if (before < ROUTER_WAYS)
        outlines_leave(&home->table, before >> 16);
}

/* There was no room for an outline, and in a larger index there would be. */
static bool is_too_small(const struct index_home *home)
{
    return home->table.was_full && home->table.capacity < home->table.limit;
}

/* All buckets with addresses of span; of an index that nobody sees, until it turns out to be too small. */
static void fill(struct index_home *home, struct tour tour, struct tree_span span, bool is_seen)
{
    const struct router_index *index = &home->index;
    uint64_t width = (uint64_t)1 << index->shift;
    uint64_t begin = span.first > index->first ? (span.first - index->first) >> index->shift : 0;
    struct bucket_content content;
    bool is_known = false;
    for (uint64_t i = begin; i < index->count && (is_seen || !is_too_small(home)); i++) {
        uint64_t first = index->first + (i << index->shift), last = first + (width - 1);
        if (first > span.last)
            break;
        if (!is_known || content.holds_until < last)
            content = bucket_content_of(&tour, first, last);
        is_known = true;
        store_bucket(home, i, &content, &tour);
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

/* One segment a bucket, if they lie evenly. */
static uint32_t count_wanted(size_t leaf_count)
{
    size_t count = leaf_count * ROUTER_FANOUT;
    if (count < BUCKETS_MIN)
        count = BUCKETS_MIN;
    if (count > BUCKETS_MAX)
        count = BUCKETS_MAX;
    return power_of_two(count);
}

static struct tree_span window_of(const struct router_index *index)
{
    uint64_t width = (uint64_t)1 << index->shift;
    return (struct tree_span){
        index->first, index->first + ((uint64_t)(index->count - 1) << index->shift) + (width - 1)};
}

static bool is_good(const struct index_home *home, struct tree_span content, size_t leaf_count)
{
    struct tree_span window = window_of(&home->index);
    uint32_t wanted = count_wanted(leaf_count), before = count_wanted(home->leaf_count);
    /* Not for the first leaf beyond a power of two. */
    bool is_crowded = wanted > before && leaf_count > home->leaf_count + home->leaf_count / 4;
    return content.first >= window.first && content.last <= window.last && !is_crowded &&
           wanted > before / 4 && (window.last - window.first) / 4 <= content.last - content.first;
}

/*
 * What the buckets of the next index are to hold: all there is, and so that ranges added one after
 * the other do not each need another index, as much again on the side where it left `before`.
 */
static struct tree_span window_for(struct tree_span content, const struct index_home *before)
{
    if (!before)
        return content;
    struct tree_span window = window_of(&before->index);
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

/* ---- made, published, freed -------------------------------------------------------------- */

static size_t round_up_to_line(size_t size_bytes)
{
    return (size_bytes + 63) & ~(size_t)63;
}

/* As wide as `wanted` for the content make them, or twice as wide if there is much room in window. */
static struct router_index shape_for(struct tree_span window, struct tree_span content,
                                     uint32_t wanted)
{
    uint32_t bits = bit_count(content.last - content.first);
    uint32_t window_bits = bit_count(window.last - window.first);
    uint32_t wanted_bits = bit_count(wanted) - 1;
    if (bits + 1 < window_bits)
        bits = window_bits - 1;
    uint32_t shift = bits > wanted_bits ? bits - wanted_bits : 0;
    uint64_t first = window.first >> shift << shift;
    return (struct router_index){
        .first = first, .shift = shift, .count = (uint32_t)((window.last - first) >> shift) + 1};
}

static void destroy(struct index_home *home)
{
    outlines_fini(&home->table);
    memory_free(home, home->size_bytes);
}

static struct index_home *create(const struct router_index *shape, uint32_t outline_count, int node)
{
    size_t outlines_at = round_up_to_line(sizeof(struct index_home));
    size_t buckets_at = outlines_at + outline_count * sizeof(struct router_outline);
    size_t size_bytes = buckets_at + shape->count * sizeof(shape->buckets[0]);
    struct index_home *home = memory_allocate(size_bytes, node);
    if (!home)
        return NULL;
    struct router_outline *outlines = (void *)((char *)home + outlines_at);
    home->size_bytes = size_bytes;
    home->index = *shape;
    home->index.outlines = outlines;
    home->index.buckets = (void *)((char *)home + buckets_at);
    /* Relaxed: nobody sees them. */
    for (uint32_t i = 0; i < shape->count; i++)
        atomic_store_explicit(&home->index.buckets[i], BUCKET_ROOT, memory_order_relaxed);
    if (outlines_init(&home->table, outlines, outline_count) < 0) {
        memory_free(home, size_bytes);
        return NULL;
    }
    return home;
}

/* Filled, with room for twice the outlines that it needs, as a change needs another one before it can do
 * without the one before, and for no more than one a bucket. How many is known when it is filled. */
static struct index_home *create_filled(const struct router_index *shape, struct tour tour,
                                        int node)
{
    uint32_t limit = OUTLINES_MIN + shape->count;
    limit = limit < OUTLINES_MAX ? limit : OUTLINES_MAX;
    for (uint32_t count = OUTLINES_MIN;; count *= 4) {
        count = count < limit ? count : limit;
        struct index_home *home = create(shape, count, node);
        if (!home)
            return NULL;
        home->table.limit = limit;
        fill(home, tour, (struct tree_span){0, UINT64_MAX}, false);
        if (count == limit || (!home->table.was_full && home->table.used_count <= count / 2))
            return home;
        destroy(home);
    }
}

/* For want of a better one. */
static _Atomic uint32_t root_buckets[] = {BUCKET_ROOT, BUCKET_ROOT};
static const struct router_index root_index = {.shift = 63, .count = 2, .buckets = root_buckets};

/* home may be NULL. */
static void publish(struct router_indexes *indexes, struct router *router, uint32_t type,
                    struct index_home *home)
{
    struct index_home *before = indexes->homes[type];
    if (before && before == home)
        return;
    /* Release: pairs with router_find's acquire; the buckets are there when it is seen. */
    atomic_store_explicit(&router->indexes[type], home ? &home->index : &root_index,
                          memory_order_release);
    indexes->homes[type] = home;
    if (before) {
        before->next = indexes->retired;
        indexes->retired = before;
    }
}

void router_indexes_init(struct router_indexes *indexes, struct router *router, int node)
{
    indexes->node = node;
    /* Relaxed: control wrote it. Nodes lie on both sides of the first one. */
    uintptr_t root = atomic_load_explicit(&router->roots[0], memory_order_relaxed);
    router->nodes_from = (root & ROUTER_NODE_MASK) - (uintptr_t)WAY_NODES / 2 * 64;
    for (uint32_t type = 0; type < ROUTER_TREES; type++) {
        indexes->leaf_counts[type] = 1;
        publish(indexes, router, type, NULL);
    }
}

void router_indexes_update(struct router_indexes *indexes, struct router *router, uint32_t type,
                           const struct tree_outcome *outcome)
{
    /* Relaxed: control wrote it. */
    uintptr_t root = atomic_load_explicit(&router->roots[type], memory_order_relaxed);
    const struct tour tour = {.root = root, .nodes_from = router->nodes_from};
    struct index_home *home = indexes->homes[type];
    indexes->leaf_counts[type] += (size_t)outcome->leaves;
    struct tree_span content;
    if (!content_of(root, &content)) {
        publish(indexes, router, type, NULL);
        return;
    }
    size_t leaf_count = indexes->leaf_counts[type];
    bool is_kept = home && is_good(home, content, leaf_count);
    if (is_kept)
        fill(home, tour, outcome->span, true);
    if (is_kept && !is_too_small(home))
        return;
    struct router_index shape =
        is_kept ? home->index
                : shape_for(window_for(content, home), content, count_wanted(leaf_count));
    struct index_home *created = create_filled(&shape, tour, indexes->node);
    if (created)
        created->leaf_count = is_kept ? home->leaf_count : leaf_count;
    else if (is_kept)
        return; /* all it says is right */
    publish(indexes, router, type, created);
}

void router_indexes_reclaim(struct router_indexes *indexes)
{
    for (uint32_t type = 0; type < ROUTER_TREES; type++)
        if (indexes->homes[type])
            outlines_reclaim(&indexes->homes[type]->table);
    while (indexes->retired) {
        struct index_home *next = indexes->retired->next;
        destroy(indexes->retired);
        indexes->retired = next;
    }
}

struct memory_block router_indexes_block(const struct router_indexes *indexes, size_t index)
{
    for (uint32_t type = 0; type < ROUTER_TREES; type++)
        if (indexes->homes[type] && index-- == 0)
            return (struct memory_block){indexes->homes[type], indexes->homes[type]->size_bytes};
    return (struct memory_block){NULL, 0};
}

void router_indexes_free(struct router_indexes *indexes)
{
    router_indexes_reclaim(indexes);
    for (uint32_t type = 0; type < ROUTER_TREES; type++)
        if (indexes->homes[type])
            destroy(indexes->homes[type]);
}
