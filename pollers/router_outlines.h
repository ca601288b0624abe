/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * router_outlines.h - the outlines of an index: each that its buckets need, once.
 *
 * Flow:    outlines_init -> a bucket is to be stored: outlines_take, and outlines_leave of what it named
 *          before -> (quiescent point) -> outlines_reclaim; outlines_fini with the index.
 *
 *          The table is a hash table that is searched as far as a place that was never taken, and no
 *          further than OUTLINES_PROBED places.
 *
 * Threads: control; readers look into the outlines that buckets name, or named at the last quiescent
 *          point. These are not written.
 * Memory:  outlines: the caller's; how often each is used: of its own, which no poller touches.
 * Errors:  OUTLINES_FULL: then the tree has to answer.
 */
#ifndef POLLERS_ROUTER_OUTLINES_H
#define POLLERS_ROUTER_OUTLINES_H

#include "pollers/router.h"

#define OUTLINES_MIN    16u
#define OUTLINES_MAX    49152u /* what a bucket has room for, beside the ways */
#define OUTLINES_PROBED 64u
#define OUTLINES_FULL   UINT32_MAX

struct outline_use {
    uint32_t bucket_count;
    uint32_t left_at; /* reclaim_count when the last bucket left it */
};

struct outline_table {
    struct router_outline *outlines; /* [capacity] */
    struct outline_use *uses;        /* [capacity] */
    uint32_t capacity;
    uint32_t limit;         /* what capacity may be in another index */
    uint32_t used_count;    /* by a bucket */
    uint32_t reclaim_count; /* from 1 */
    bool was_full;
};

/* In memory [capacity] which is zeroed. 0 or -ENOMEM. */
int outlines_init(struct outline_table *table, struct router_outline *outlines, uint32_t capacity);
void outlines_fini(struct outline_table *table);

/* The place of an outline that says the same as wanted, for one bucket more; or OUTLINES_FULL. */
uint32_t outlines_take(struct outline_table *table, const struct router_outline *wanted);

/* One bucket names it no more. */
void outlines_leave(struct outline_table *table, uint32_t place);

/* Readers passed a quiescent point since the last outlines_leave. */
void outlines_reclaim(struct outline_table *table);

#endif
