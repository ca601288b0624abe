/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * placement_report.h - a plan of threads as a table, or as JSON.
 *
 * Threads: one.
 * Errors:  negative errno.
 */
#ifndef SERVER_CTL_PLACEMENT_REPORT_H
#define SERVER_CTL_PLACEMENT_REPORT_H

#include "server/threads/thread_plan.h"

#include <stdio.h>

/* One row a thread; reasons are folded at width. What will hurt follows. */
void placement_report_table(const struct placement_machine *machine, const struct thread_plan *plan,
                            uint32_t width, FILE *stream);

/* {"file", "machine": {...}, "threads": [{"name", "role", "cpu", ..., "why", "warning"}]} */
int placement_report_json(const struct config *config, const struct placement_machine *machine,
                          const struct thread_plan *plan, FILE *stream);

#endif
