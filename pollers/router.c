/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers/router.h"

#include "pollers/memory.h"

#include <errno.h>
#include <stdlib.h>

/* ---- from ranges to segments that do not overlap ----------------------------------------- */

/* A stretch of addresses and the range that owns it. */
struct segment {
    uint64_t first;
    uint64_t last;
    const struct router_range *owner;
};

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

/* Appends a segment, or lengthens the last one if it has the same owner and ends right before. */
static size_t append(struct segment *segments, size_t count, struct segment segment)
{
    struct segment *last = count ? &segments[count - 1] : NULL;
    if (last && last->owner == segment.owner && last->last + 1 == segment.first) {
        last->last = segment.last;
        return count;
    }
    segments[count] = segment;
    return count + 1;
}

/*
 * Sweeps over sorted [count], ranges of one type in order of their first address, and writes the
 * segments that the owners see: at most 2 * count. Returns how many.
 */
static size_t flatten(const struct router_range *const *sorted, size_t count, struct heap *heap,
                      struct segment *segments)
{
    size_t written = 0, next = 0;
    uint64_t place = 0;
    heap->count = 0;
    while (next < count || heap->count > 0) {
        if (heap->count == 0 && sorted[next]->first > place)
            place = sorted[next]->first;
        while (next < count && sorted[next]->first <= place)
            heap_push(heap, sorted[next++]);
        while (heap->count > 0 && heap->ranges[0]->last < place)
            heap_pop(heap);
        if (heap->count == 0)
            continue;
        uint64_t last = heap->ranges[0]->last;
        if (next < count && sorted[next]->first <= last)
            last = sorted[next]->first - 1;
        written = append(segments, written, (struct segment){place, last, heap->ranges[0]});
        if (last == UINT64_MAX)
            break;
        place = last + 1;
    }
    return written;
}

/* ---- from segments to trees -------------------------------------------------------------- */

struct tree_fill {
    const struct segment *segments; /* next one to place */
    uint64_t *firsts;
    uint64_t *lasts;
    struct router_route *routes;
    uint64_t count;
};

/* In-order walk of the implicit tree: node k has the children 2k and 2k + 1. */
static void fill_node(struct tree_fill *fill, uint64_t node)
{
    if (node > fill->count)
        return;
    fill_node(fill, 2 * node);
    const struct segment *segment = fill->segments++;
    fill->firsts[node] = segment->first;
    fill->lasts[node] = segment->last;
    fill->routes[node] = (struct router_route){
        .first = segment->owner->first,
        .client = segment->owner->client,
        .range_index = segment->owner->range_index,
    };
    fill_node(fill, 2 * node + 1);
}

static size_t tree_bytes(uint64_t count)
{
    size_t bytes = (count + 1) * (2 * sizeof(uint64_t) + sizeof(struct router_route));
    return (bytes + 63) & ~(size_t)63;
}

/* segments [type][counts[type]] lie one after the other. */
static struct router *build(const struct segment *segments, const size_t counts[ROUTER_TREES],
                            int node)
{
    size_t header_bytes = (sizeof(struct router) + 63) & ~(size_t)63;
    size_t size_bytes = header_bytes;
    for (uint32_t type = 0; type < ROUTER_TREES; type++)
        size_bytes += tree_bytes(counts[type]);
    struct router *router = memory_allocate(size_bytes, node);
    if (!router)
        return NULL;
    router->size_bytes = size_bytes;
    char *place = (char *)router + header_bytes;
    for (uint32_t type = 0; type < ROUTER_TREES; type++) {
        size_t nodes = counts[type] + 1;
        struct tree_fill fill = {.segments = segments, .count = counts[type]};
        fill.firsts = (uint64_t *)(void *)place;
        fill.lasts = fill.firsts + nodes;
        fill.routes = (struct router_route *)(void *)(fill.lasts + nodes);
        fill_node(&fill, 1);
        router->trees[type] =
            (struct router_tree){fill.firsts, fill.lasts, fill.routes, counts[type]};
        segments += counts[type];
        place += tree_bytes(counts[type]);
    }
    return router;
}

/* What router_create works in; all of it is gone when it returns. */
struct scratch {
    const struct router_range **sorted; /* [count] */
    const struct router_range **heap;   /* [count] */
    struct segment *segments;           /* [2 * count] */
};

static int create_in(const struct scratch *scratch, const struct router_range *ranges, size_t count,
                     int node, struct router **router, size_t conflict[2])
{
    for (size_t i = 0; i < count; i++) {
        if (ranges[i].type >= ROUTER_TREES || ranges[i].last < ranges[i].first)
            return -EINVAL;
        scratch->sorted[i] = &ranges[i];
    }
    qsort(scratch->sorted, count, sizeof(*scratch->sorted), compare_by_priority);
    int result = check_overlaps(scratch->sorted, count, ranges, conflict);
    if (result < 0)
        return result;
    qsort(scratch->sorted, count, sizeof(*scratch->sorted), compare_by_place);
    struct heap heap = {.ranges = scratch->heap};
    struct segment *segments = scratch->segments;
    size_t counts[ROUTER_TREES], begin = 0;
    for (uint32_t type = 0; type < ROUTER_TREES; type++) {
        size_t end = begin;
        while (end < count && scratch->sorted[end]->type == type)
            end++;
        counts[type] = flatten(scratch->sorted + begin, end - begin, &heap, segments);
        segments += counts[type];
        begin = end;
    }
    *router = build(scratch->segments, counts, node);
    return *router ? 0 : -ENOMEM;
}

int router_create(const struct router_range *ranges, size_t count, int node, struct router **router,
                  size_t conflict[2])
{
    if (count > ROUTER_RANGES_MAX)
        return -E2BIG;
    struct scratch scratch = {
        .sorted = calloc(count + 1, sizeof(*scratch.sorted)),
        .heap = calloc(count + 1, sizeof(*scratch.heap)),
        .segments = calloc(2 * count + 1, sizeof(*scratch.segments)),
    };
    int result = -ENOMEM;
    if (scratch.sorted && scratch.heap && scratch.segments)
        result = create_in(&scratch, ranges, count, node, router, conflict);
    free(scratch.sorted);
    free(scratch.heap);
    free(scratch.segments);
    return result;
}

void router_destroy(struct router *router)
{
    while (router) {
        struct router *older = router->older;
        memory_free(router, router->size_bytes);
        router = older;
    }
}
