/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers/router.h"

#include "pollers/memory.h"

#include <errno.h>
#include <stdlib.h>

/* A range and its place in the caller's array, which errors are reported by. */
struct sorted_range {
    struct router_range range;
    size_t index;
};

static int compare_ranges(const void *left, const void *right)
{
    const struct router_range *a = &((const struct sorted_range *)left)->range;
    const struct router_range *b = &((const struct sorted_range *)right)->range;
    if (a->type != b->type)
        return a->type < b->type ? -1 : 1;
    return (a->first > b->first) - (a->first < b->first);
}

static int check_sorted(const struct sorted_range *sorted, size_t count, size_t conflict[2])
{
    for (size_t i = 0; i + 1 < count; i++) {
        const struct router_range *range = &sorted[i].range;
        const struct router_range *next = &sorted[i + 1].range;
        if (range->type != next->type || next->first > range->last)
            continue;
        if (conflict) {
            conflict[0] = sorted[i].index;
            conflict[1] = sorted[i + 1].index;
        }
        return -EEXIST;
    }
    return 0;
}

struct tree_fill {
    const struct sorted_range *sorted; /* next range to place */
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
    const struct router_range *range = &fill->sorted->range;
    fill->sorted++;
    fill->firsts[node] = range->first;
    fill->lasts[node] = range->last;
    fill->routes[node] = (struct router_route){
        .first = range->first,
        .client = range->client,
        .range_index = range->range_index,
    };
    fill_node(fill, 2 * node + 1);
}

static size_t tree_bytes(uint64_t count)
{
    size_t bytes = (count + 1) * (2 * sizeof(uint64_t) + sizeof(struct router_route));
    return (bytes + 63) & ~(size_t)63;
}

static struct router *router_build(const struct sorted_range *sorted, size_t count, int node)
{
    uint64_t counts[ROUTER_TREES] = {0};
    for (size_t i = 0; i < count; i++)
        counts[sorted[i].range.type]++;
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
        uint64_t nodes = counts[type] + 1;
        struct tree_fill fill = {.sorted = sorted, .count = counts[type]};
        fill.firsts = (uint64_t *)(void *)place;
        fill.lasts = fill.firsts + nodes;
        fill.routes = (struct router_route *)(void *)(fill.lasts + nodes);
        fill_node(&fill, 1);
        router->trees[type] =
            (struct router_tree){fill.firsts, fill.lasts, fill.routes, counts[type]};
        sorted += counts[type];
        place += tree_bytes(counts[type]);
    }
    return router;
}

int router_create(const struct router_range *ranges, size_t count, int node, struct router **router,
                  size_t conflict[2])
{
    if (count > ROUTER_RANGES_MAX)
        return -E2BIG;
    struct sorted_range *sorted = calloc(count + 1, sizeof(*sorted));
    if (!sorted)
        return -ENOMEM;
    int result = 0;
    for (size_t i = 0; i < count; i++) {
        sorted[i] = (struct sorted_range){ranges[i], i};
        if (ranges[i].type >= ROUTER_TREES || ranges[i].last < ranges[i].first)
            result = -EINVAL;
    }
    if (result == 0) {
        qsort(sorted, count, sizeof(*sorted), compare_ranges);
        result = check_sorted(sorted, count, conflict);
    }
    if (result == 0) {
        *router = router_build(sorted, count, node);
        result = *router ? 0 : -ENOMEM;
    }
    free(sorted);
    return result;
}

void router_destroy(struct router *router)
{
    if (router)
        memory_free(router, router->size_bytes);
}
