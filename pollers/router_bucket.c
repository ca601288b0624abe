/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers/router_bucket.h"

/* ---- what lies in a bucket --------------------------------------------------------------- */

/* Where an address lies. */
struct spot {
    const struct router_node *leaf;
    size_t place;
    bool is_covered; /* by the segment in that place */
    bool has_next;   /* a segment that begins behind the address: */
    uint64_t next;   /* there, or a bit earlier */
};

static void go_to_leaf(struct tour *tour, uint64_t address)
{
    const struct router_node *node = (const struct router_node *)(tour->root & ROUTER_NODE_MASK);
    tour->first = 0;
    tour->last = UINT64_MAX;
    for (uintptr_t levels = tour->root & ROUTER_LEVELS_MASK; levels > 0; levels--) {
        size_t place = router_rank(node, address), count = tree_child_count(node);
        if (place > 0 && place < count)
            tour->first = node->firsts[place];
        if (place + 1 < count)
            tour->last = node->firsts[place + 1] - 1;
        node = tree_child(node, place);
    }
    tour->leaf = node;
}

static struct spot spot_of(struct tour *tour, uint64_t address)
{
    if (!tour->leaf || address < tour->first || address > tour->last)
        go_to_leaf(tour, address);
    const struct router_node *leaf = tour->leaf;
    struct spot spot = {.leaf = leaf, .has_next = tour->last < UINT64_MAX, .next = tour->last + 1};
    size_t count = tree_segment_count(leaf);
    if (count == 0)
        return spot;
    if (address < leaf->firsts[0]) {
        spot.has_next = true;
        spot.next = leaf->firsts[0];
        return spot;
    }
    size_t place = router_rank(leaf, address);
    spot.place = place < count ? place : count - 1; /* UINT64_MAX leads behind the last one */
    spot.is_covered = address <= leaf->segments[spot.place].last;
    if (spot.place + 1 < count) {
        spot.has_next = true;
        spot.next = leaf->firsts[spot.place + 1];
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

/* ---- what a bucket says ------------------------------------------------------------------ */

static struct bucket_content nothing_until(uint64_t holds_until)
{
    return (struct bucket_content){.outline = {.mask = UINT64_MAX, .first = 1},
                                   .holds_until = holds_until};
}

static struct bucket_content search(uintptr_t root, uint64_t first, uint64_t last)
{
    return (struct bucket_content){.way = common_node(root, first, last), .holds_until = last};
}

/* Of bucket first..last, in which lies nothing but this segment. */
static struct bucket_content answer(const struct spot *spot, uint64_t first, uint64_t last)
{
    const struct router_segment *segment = &spot->leaf->segments[spot->place];
    bool is_inside = segment->range_first >= first && segment->last <= last;
    uint64_t mask = is_inside ? last - first : UINT64_MAX;
    return (struct bucket_content){
        .outline = {.mask = mask,
                    .first = segment->range_first & mask,
                    .last = segment->last & mask,
                    .client = segment->client},
        .range_index = segment->range_index,
        .holds_until = segment->last > last ? segment->last : last,
    };
}

/* A segment whose beginning another range owns, or with a number that is too large, is left to the tree. */
static bool has_answer(const struct spot *spot)
{
    const struct router_segment *segment = &spot->leaf->segments[spot->place];
    return segment->range_first == spot->leaf->firsts[spot->place] &&
           segment->range_index <= UINT16_MAX;
}

struct bucket_content bucket_content_of(struct tour *tour, uint64_t first, uint64_t last)
{
    struct spot spot = spot_of(tour, first);
    uint64_t covered = first;
    while (!spot.is_covered) {
        if (!spot.has_next || spot.next > last)
            return nothing_until(spot.has_next ? spot.next - 1 : UINT64_MAX);
        covered = spot.next;
        spot = spot_of(tour, covered);
    }
    struct spot only = spot;
    while (spot.has_next && spot.next <= last) {
        spot = spot_of(tour, spot.next);
        if (spot.is_covered)
            return search(tour->root, covered, last);
    }
    return has_answer(&only) ? answer(&only, first, last) : search(tour->root, covered, last);
}
