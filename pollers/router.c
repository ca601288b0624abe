/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers/router.h"

#include "pollers/memory.h"
#include "pollers/router_index.h"

#include <errno.h>
#include <stdlib.h>

/* A router as it lies in memory: what pollers read, and control's part. */
struct router_home {
    struct router router;
    _Alignas(64) struct router_nodes nodes;
    struct router_indexes indexes;
};

static struct router_home *home_of(struct router *router)
{
    return (struct router_home *)router;
}

_Static_assert(ROUTER_TREES <= 4, "a generation leaves two bits for the type");

/* ---- lookups that the index does not answer ----------------------------------------------- */

const struct router_segment *router_find_below(uintptr_t way, uint64_t address, uint32_t size_bytes,
                                               uint64_t *first)
{
    const struct router_node *node = (const struct router_node *)(way & ROUTER_NODE_MASK);
    for (uintptr_t levels = way & ROUTER_LEVELS_MASK; levels > 0; levels--)
        node =
            atomic_load_explicit(&node->children[router_rank(node, address)], memory_order_acquire);
    /* The four lines of segments, while the line of first addresses is on its way: 33 ns instead
     * of 41 at 65536 ranges. */
    for (size_t i = 0; i < ROUTER_FANOUT; i += 2)
        __builtin_prefetch(&node->segments[i]);
    size_t place = router_rank(node, address);
    const struct router_segment *segment = &node->segments[place];
    *first = node->firsts[place];
    return address >= *first && address + (size_bytes - 1) <= segment->last ? segment : NULL;
}

const struct router_segment *router_search(const struct router *router, uint32_t type,
                                           uint32_t bucket, uint64_t address, uint32_t size_bytes,
                                           uint64_t *first)
{
    return router_find_below(router_way(router, type, bucket), address, size_bytes, first);
}

void router_remember(const struct router *router, struct router_hint *hint, uint32_t type,
                     uint64_t address, uint32_t size_bytes)
{
    /* Acquire: pairs with the release of a change; what is found below is at least as new. */
    uint64_t generation = atomic_load_explicit(&router->generation, memory_order_acquire);
    struct router_found found;
    if (!router_look(router, type, address, size_bytes, &found))
        return;
    hint->first = found.first;
    hint->room_bytes = found.last - found.first;
    hint->route = found.route;
    hint->state = generation + type;
}

/* ---- from ranges to segments that do not overlap ----------------------------------------- */

/* Ranges that begin at or before the place the sweep has reached, the highest priority on top. */
struct heap {
    const struct router_range **ranges;
    size_t count;
};

static bool is_above(const struct router_range *a, const struct router_range *b)
{
    return a->priority > b->priority;
}

static void heap_push(struct heap *heap, const struct router_range *range)
{
    size_t place = heap->count++;
    while (place > 0 && is_above(range, heap->ranges[(place - 1) / 2])) {
        heap->ranges[place] = heap->ranges[(place - 1) / 2];
        place = (place - 1) / 2;
    }
    heap->ranges[place] = range;
}

static void heap_pop(struct heap *heap)
{
    const struct router_range *last = heap->ranges[--heap->count];
    size_t place = 0;
    for (;;) {
        size_t child = 2 * place + 1;
        if (child >= heap->count)
            break;
        if (child + 1 < heap->count && is_above(heap->ranges[child + 1], heap->ranges[child]))
            child++;
        if (!is_above(heap->ranges[child], last))
            break;
        heap->ranges[place] = heap->ranges[child];
        place = child;
    }
    heap->ranges[place] = last;
}

static int compare_by_place(const void *left, const void *right)
{
    const struct router_range *a = *(const struct router_range *const *)left;
    const struct router_range *b = *(const struct router_range *const *)right;
    if (a->type != b->type)
        return a->type < b->type ? -1 : 1;
    return (a->first > b->first) - (a->first < b->first);
}

static int compare_by_priority(const void *left, const void *right)
{
    const struct router_range *a = *(const struct router_range *const *)left;
    const struct router_range *b = *(const struct router_range *const *)right;
    if (a->priority != b->priority)
        return a->priority < b->priority ? -1 : 1;
    return compare_by_place(left, right);
}

/* sorted [count] by priority: neighbours of one type and priority must not overlap. */
static int check_overlaps(const struct router_range *const *sorted, size_t count,
                          const struct router_range *ranges, size_t conflict[2])
{
    for (size_t i = 0; i + 1 < count; i++) {
        const struct router_range *range = sorted[i];
        const struct router_range *next = sorted[i + 1];
        if (range->type != next->type || range->priority != next->priority ||
            next->first > range->last)
            continue;
        if (conflict) {
            conflict[0] = (size_t)(range - ranges);
            conflict[1] = (size_t)(next - ranges);
        }
        return -EEXIST;
    }
    return 0;
}

static struct tree_item segment_of(const struct router_range *owner, uint64_t first, uint64_t last)
{
    return (struct tree_item){
        .first = first,
        .segment = {.last = last,
                    .range_first = owner->first,
                    .client = owner->client,
                    .range_index = owner->range_index,
                    .priority = owner->priority},
    };
}

/*
 * Sweeps over sorted [count], ranges of one type in order of their first address, and writes the
 * segments that the owners see in span: at most 2 * count. Returns how many.
 */
static size_t flatten(const struct router_range *const *sorted, size_t count, struct tree_span span,
                      struct heap *heap, struct tree_item *segments)
{
    size_t written = 0, next = 0;
    uint64_t place = span.first;
    heap->count = 0;
    while (next < count || heap->count > 0) {
        if (heap->count == 0 && sorted[next]->first > place)
            place = sorted[next]->first;
        while (next < count && sorted[next]->first <= place)
            heap_push(heap, sorted[next++]);
        while (heap->count > 0 && heap->ranges[0]->last < place)
            heap_pop(heap);
        if (place > span.last)
            break;
        if (heap->count == 0)
            continue;
        const struct router_range *owner = heap->ranges[0];
        uint64_t last = owner->last < span.last ? owner->last : span.last;
        if (next < count && sorted[next]->first <= last)
            last = sorted[next]->first - 1;
        written = tree_append(segments, written, segment_of(owner, place, last));
        if (last == UINT64_MAX)
            break;
        place = last + 1;
    }
    return written;
}

/* ---- checked, sorted, put into the tree --------------------------------------------------- */

/* What the functions below work in; all of it is gone when they return. */
struct scratch {
    const struct router_range **sorted; /* [count] */
    const struct router_range **heap;   /* [count] */
    struct tree_item *segments;         /* [2 * count] */
};

static int scratch_init(struct scratch *scratch, size_t count)
{
    *scratch = (struct scratch){
        .sorted = calloc(count + 1, sizeof(*scratch->sorted)),
        .heap = calloc(count + 1, sizeof(*scratch->heap)),
        .segments = calloc(2 * count + 1, sizeof(*scratch->segments)),
    };
    return scratch->sorted && scratch->heap && scratch->segments ? 0 : -ENOMEM;
}

static void scratch_fini(struct scratch *scratch)
{
    free(scratch->sorted);
    free(scratch->heap);
    free(scratch->segments);
}

/* Ranges come in order more often than not. */
static void sort(const struct router_range **sorted, size_t count,
                 int (*compare)(const void *left, const void *right))
{
    size_t i = 1;
    while (i < count && compare(&sorted[i - 1], &sorted[i]) <= 0)
        i++;
    if (i < count)
        qsort(sorted, count, sizeof(*sorted), compare);
}

/* 0: scratch->sorted holds the ranges by type and first address. */
static int check_and_sort(const struct scratch *scratch, const struct router_range *ranges,
                          size_t count, size_t conflict[2])
{
    for (size_t i = 0; i < count; i++) {
        if (ranges[i].type >= ROUTER_TREES || ranges[i].last < ranges[i].first)
            return -EINVAL;
        scratch->sorted[i] = &ranges[i];
    }
    sort(scratch->sorted, count, compare_by_priority);
    int result = check_overlaps(scratch->sorted, count, ranges, conflict);
    if (result == 0)
        sort(scratch->sorted, count, compare_by_place);
    return result;
}

static int change_type(struct router *router, uint32_t type, struct tree_span span,
                       const struct router_range *const *sorted, size_t count,
                       const struct scratch *scratch)
{
    struct heap heap = {.ranges = scratch->heap};
    size_t segment_count = flatten(sorted, count, span, &heap, scratch->segments);
    struct tree_outcome outcome;
    int result = tree_replace(&router->roots[type], &home_of(router)->nodes, span,
                              scratch->segments, segment_count, &outcome);
    if (result == 0)
        router_indexes_update(&home_of(router)->indexes, router, type, &outcome);
    return result;
}

static int fill(struct router *router, const struct scratch *scratch, size_t count)
{
    struct router_nodes *nodes = &home_of(router)->nodes;
    /* Most of what will be needed lies together, if nothing overlaps. */
    int result = router_nodes_reserve(nodes, count / 6 + 8);
    for (uint32_t type = 0; type < ROUTER_TREES && result == 0; type++)
        result = tree_init(&router->roots[type], nodes);
    if (result == 0)
        router_indexes_init(&home_of(router)->indexes, router, nodes->node);
    size_t begin = 0;
    for (uint32_t type = 0; type < ROUTER_TREES && result == 0; type++) {
        size_t end = begin;
        while (end < count && scratch->sorted[end]->type == type)
            end++;
        if (end > begin)
            result = change_type(router, type, (struct tree_span){0, UINT64_MAX},
                                 scratch->sorted + begin, end - begin, scratch);
        begin = end;
    }
    router_reclaim(router); /* nobody has seen the empty leaves */
    return result;
}

/* No two routers ever have the same one, so that a hint of one is worth nothing in the next. */
static void new_generation(struct router *router)
{
    static _Atomic uint64_t last;
    /* Relaxed: only the number counts. */
    uint64_t generation = atomic_fetch_add_explicit(&last, 4, memory_order_relaxed) + 4;
    /* Release: pairs with router_find_again's acquire. */
    atomic_store_explicit(&router->generation, generation, memory_order_release);
}

int router_create(const struct router_range *ranges, size_t count, int node, struct router **router,
                  size_t conflict[2])
{
    if (count > ROUTER_RANGES_MAX)
        return -E2BIG;
    struct scratch scratch;
    struct router_home *home = NULL;
    int result = scratch_init(&scratch, count);
    if (result == 0)
        result = check_and_sort(&scratch, ranges, count, conflict);
    if (result == 0)
        home = memory_allocate(sizeof(*home), node);
    if (result == 0 && !home)
        result = -ENOMEM;
    if (result == 0) {
        home->nodes.node = node;
        new_generation(&home->router);
        result = fill(&home->router, &scratch, count);
    }
    scratch_fini(&scratch);
    if (result == 0)
        *router = &home->router;
    else if (home)
        router_destroy(&home->router);
    return result;
}

int router_check(const struct router_range *ranges, size_t count, size_t conflict[2])
{
    if (count > ROUTER_RANGES_MAX)
        return -E2BIG;
    struct scratch scratch;
    int result = scratch_init(&scratch, count);
    if (result == 0)
        result = check_and_sort(&scratch, ranges, count, conflict);
    scratch_fini(&scratch);
    return result;
}

int router_change(struct router *router, uint32_t type, uint64_t first, uint64_t last,
                  const struct router_range *ranges, size_t count, size_t conflict[2])
{
    if (type >= ROUTER_TREES || last < first)
        return -EINVAL;
    if (count > ROUTER_RANGES_MAX)
        return -E2BIG;
    for (size_t i = 0; i < count; i++)
        if (ranges[i].type != type)
            return -EINVAL;
    struct scratch scratch;
    int result = scratch_init(&scratch, count);
    if (result == 0)
        result = check_and_sort(&scratch, ranges, count, conflict);
    if (result == 0)
        result = change_type(router, type, (struct tree_span){first, last}, scratch.sorted, count,
                             &scratch);
    /* After what was published: a hint of this generation is of the tree as it is now. */
    if (result == 0)
        new_generation(router);
    scratch_fini(&scratch);
    return result;
}

void router_reclaim(struct router *router)
{
    router_nodes_reclaim(&home_of(router)->nodes);
    router_indexes_reclaim(&home_of(router)->indexes);
}

struct memory_block router_block(const struct router *router, size_t index)
{
    if (index == 0)
        return (struct memory_block){router, sizeof(struct router_home)};
    const struct router_home *home = (const struct router_home *)router;
    size_t of_indexes = 0;
    struct memory_block block;
    for (; block = router_indexes_block(&home->indexes, of_indexes), block.memory; of_indexes++)
        if (of_indexes == index - 1)
            return block;
    return router_nodes_block(&home->nodes, index - 1 - of_indexes);
}

struct router_figures router_figures(const struct router *router)
{
    const struct router_nodes *nodes = &((const struct router_home *)router)->nodes;
    return (struct router_figures){.node_count = nodes->capacity - nodes->idle_count,
                                   .capacity = nodes->capacity};
}

void router_destroy(struct router *router)
{
    while (router) {
        struct router *older = router->older;
        router_indexes_free(&home_of(router)->indexes);
        router_nodes_free(&home_of(router)->nodes);
        memory_free(router, sizeof(struct router_home));
        router = older;
    }
}
