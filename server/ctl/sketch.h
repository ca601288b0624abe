/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sketch.h - a machine as boxes within boxes (packages, L3 caches, cores, CPUs) with threads in their
 * CPUs, as text or as SVG.
 *
 * Flow:    sketch_create: facts + who is where -> boxes in character cells -> sketch_print and
 *          sketch_print_svg: the same boxes -> sketch_destroy.
 * Threads: one.
 * Memory:  the sketch owns its boxes; names are copied.
 * Errors:  negative errno.
 * Source:  what to show, and its nesting, from hwloc's lstopo.
 */
#ifndef SERVER_CTL_SKETCH_H
#define SERVER_CTL_SKETCH_H

#include "pollers/placement_machine.h"

#include <stdio.h>

enum sketch_occupant { SKETCH_POLLER = 1, SKETCH_HOUSEKEEPING, SKETCH_VCPU };

/* A thread or a vCPU on a CPU; one that is not on the machine is left out. */
struct sketch_entry {
    uint32_t cpu;
    enum sketch_occupant occupant;
    const char *name;
};

struct sketch;

/* is_compact: neighbours that hold nothing become one box. width: at most so many cells, as far as the
 * boxes allow. */
int sketch_create(const struct placement_machine *machine, const struct sketch_entry *entries,
                  size_t entry_count, bool is_compact, uint32_t width, struct sketch **sketch);
void sketch_destroy(struct sketch *sketch);

/* -ENOMEM, or what writing says. */
int sketch_print(const struct sketch *sketch, FILE *stream);
/* One self-contained file; title and source stand at its top. */
int sketch_print_svg(const struct sketch *sketch, const char *title, FILE *stream);

#endif
