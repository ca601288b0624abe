/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * partner.h - the other thread of a question: on a CPU of its own it runs what it is asked to, one
 * function at a time.
 *
 * Flow:    partner_create -> (partner_run -> partner_wait)... -> partner_destroy.
 * Threads: all functions are the asking thread's. Idle, the partner sleeps.
 */
#ifndef BENCH_PARTNER_H
#define BENCH_PARTNER_H

#include <stdint.h>

struct partner;

/* Binds the calling thread to cpu. 0 or a negative errno after a line on stderr. */
int bench_bind_self(uint32_t cpu);

/* 0 or a negative errno. */
int partner_create(uint32_t cpu, struct partner **partner);
/* While nothing runs. NULL is allowed. */
void partner_destroy(struct partner *partner);

/* While nothing runs: calls function(context) over there and returns at once. Release: what was stored
 * before is seen there. */
void partner_run(struct partner *partner, void (*function)(void *context), void *context);
/* Returns when the function has: the caller sees to that. */
void partner_wait(struct partner *partner);

#endif
