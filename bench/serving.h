/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * serving.h - the serving side of a question: one thread on the poller's CPU that runs, as the
 * requester asks, either the poller's loop, unchanged, with a router and latency recording, or a bare
 * loop (bare.h) over the same slots.
 *
 * Flow:    serving_create -> (serving_begin -> requests -> serving_end)... -> serving_destroy.
 * Threads: all functions are the requester's, which serving_create binds to its CPU.
 * Memory:  serving owns all it makes; the router is of options->ranges MMIO ranges, and one of ports,
 *          0 to SERVING_PORT_LAST, unless there are as many ranges as can be. A read gives its
 *          address.
 */
#ifndef BENCH_SERVING_H
#define BENCH_SERVING_H

#include "bench/bare.h"
#include "bench/bench.h"

/* What the serving thread runs. */
#define SERVING_OURS 0u
#define SERVING_BARE 1u /* + enum bare_variant */

#define SERVING_PORT_LAST 0xffu

struct serving;

/* 0 or a negative errno. */
int serving_create(const struct bench_options *options, struct serving **serving);
void serving_destroy(struct serving *serving);

/* vcpus: slots served, 1..16. Returns when nothing else runs any more; the loop begins at once. */
void serving_begin(struct serving *serving, uint32_t mode, uint32_t vcpus);
/* Returns when the loop has ended. */
void serving_end(struct serving *serving);

struct acrn_io_request *serving_slots(struct serving *serving);

/* Pseudo-random addresses, each within one of the ranges. */
uint64_t serving_next_address(struct serving *serving);

#endif
