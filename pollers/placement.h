/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * placement.h - reads the machine, binds threads to its CPUs and proves that they run there. hwloc.
 *
 * Flow:    placement_open -> placement_machine -> placement_plan (placement_plan.h; control) ->
 *          placement_bind_self (on the thread) -> placement_close.
 * Threads: placement_bind_self on any thread; the rest on control.
 * Errors:  negative errno.
 */
#ifndef POLLERS_PLACEMENT_H
#define POLLERS_PLACEMENT_H

#include "pollers/placement_machine.h"

struct placement;

#define PLACEMENT_REASON_BYTES 320u

/* This machine, as far as this process may use it. */
int placement_open(struct placement **placement);

/* What to read instead. Where nothing is given it is this machine's. */
struct placement_source {
    const char *xml;       /* path of a file that hwloc exported (lstopo machine.xml), or */
    const char *synthetic; /* hwloc's description of an invented one: "pack:2 l3:8 core:8 pu:2" */
    const uint32_t *isolated; /* [isolated_count]; NULL: the machine's; an invented one has none */
    size_t isolated_count;
    const uint32_t *allowed; /* [allowed_count], of those that may be used; NULL: all of them */
    size_t allowed_count;
};

/* -EINVAL, -ENOENT, -E2BIG ...: reason [PLACEMENT_REASON_BYTES] says what is wrong with source. */
int placement_open_source(const struct placement_source *source, struct placement **placement,
                          char *reason);
void placement_close(struct placement *placement);

/* Its CPUs; they live as long as placement. */
const struct placement_machine *placement_machine(const struct placement *placement);

/* True if the kernel keeps other threads away from cpu (isolcpus). */
bool placement_is_isolated(const struct placement *placement, uint32_t cpu);

/* Binds the calling thread to cpu and reads back where it runs. -EXDEV: elsewhere. */
int placement_bind_self(const struct placement *placement, uint32_t cpu);

#endif
