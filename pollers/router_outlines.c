/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers/router_outlines.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>

int outlines_init(struct outline_table *table, struct router_outline *outlines, uint32_t capacity)
{
    struct outline_use *uses = calloc(capacity, sizeof(*uses));
    if (!uses)
        return -ENOMEM;
    *table = (struct outline_table){
        .outlines = outlines, .uses = uses, .capacity = capacity, .reclaim_count = 1};
    return 0;
}

void outlines_fini(struct outline_table *table)
{
    free(table->uses);
}

static bool is_same(const struct router_outline *a, const struct router_outline *b)
{
    return a->mask == b->mask && a->first == b->first && a->last == b->last &&
           a->client == b->client;
}

/* Readers may still come to what was left after the last quiescent point. */
static bool is_free(const struct outline_table *table, uint32_t place)
{
    const struct outline_use *use = &table->uses[place];
    return use->bucket_count == 0 && use->left_at != table->reclaim_count;
}

static uint32_t hash(const struct router_outline *outline)
{
    const uint64_t odd = 0x9e3779b97f4a7c15u;
    uint64_t mixed = outline->mask;
    mixed = (mixed ^ outline->first) * odd;
    mixed = (mixed ^ mixed >> 32 ^ outline->last) * odd;
    mixed = (mixed ^ mixed >> 32 ^ (uintptr_t)outline->client) * odd;
    return (uint32_t)(mixed >> 32);
}

/* Where wanted is, or else may be put. */
static uint32_t find_place(const struct outline_table *table, const struct router_outline *wanted)
{
    uint32_t place = (uint32_t)((uint64_t)hash(wanted) * table->capacity >> 32);
    uint32_t chosen = OUTLINES_FULL;
    for (uint32_t i = 0; i < OUTLINES_PROBED && i < table->capacity; i++) {
        if (is_same(&table->outlines[place], wanted))
            return place;
        if (chosen == OUTLINES_FULL && is_free(table, place))
            chosen = place;
        if (table->uses[place].bucket_count == 0 && table->uses[place].left_at == 0)
            break;
        place = place + 1 < table->capacity ? place + 1 : 0;
    }
    return chosen;
}

uint32_t outlines_take(struct outline_table *table, const struct router_outline *wanted)
{
    uint32_t place = find_place(table, wanted);
    if (place == OUTLINES_FULL) {
        table->was_full = true;
        return OUTLINES_FULL;
    }
    /* Seen by readers with the first bucket that names it. */
    if (!is_same(&table->outlines[place], wanted))
        table->outlines[place] = *wanted;
    table->used_count += table->uses[place].bucket_count++ == 0;
    return place;
}

void outlines_leave(struct outline_table *table, uint32_t place)
{
    assert(table->uses[place].bucket_count > 0);
    if (--table->uses[place].bucket_count > 0)
        return;
    table->uses[place].left_at = table->reclaim_count;
    table->used_count--;
}

void outlines_reclaim(struct outline_table *table)
{
    table->reclaim_count++;
}
