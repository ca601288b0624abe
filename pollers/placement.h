/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * placement.h - which CPU a thread runs on, and proof that it does. hwloc.
 *
 * Flow:    placement_open -> placement_check / placement_choose (control) -> placement_bind_self
 *          (on the thread) -> placement_close.
 * Threads: placement_bind_self on any thread; the rest on control.
 * Errors:  negative errno; placement_check says why in words.
 */
#ifndef POLLERS_PLACEMENT_H
#define POLLERS_PLACEMENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct placement;

/* This machine, as far as this process may use it. */
int placement_open(struct placement **placement);
void placement_close(struct placement *placement);

/* True if cpu exists and this process may run there; otherwise reason [reason_bytes] says why not
 * and which CPUs there are. */
bool placement_check(const struct placement *placement, uint32_t cpu, char *reason,
                     size_t reason_bytes);

/* The best CPU that is not in taken [taken_count]: isolated ones first, CPU 0 last, otherwise the
 * highest number, away from housekeeping. When all are taken, one is shared. */
uint32_t placement_choose(const struct placement *placement, const uint32_t *taken,
                          size_t taken_count);

/* True if the kernel keeps other threads away from cpu (isolcpus). */
bool placement_is_isolated(const struct placement *placement, uint32_t cpu);

/* Binds the calling thread to cpu and reads back where it runs. -EXDEV: elsewhere. */
int placement_bind_self(const struct placement *placement, uint32_t cpu);

#endif
