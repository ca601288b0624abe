/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * status.h - what the server is doing, as a table for people or JSON for scripts.
 *
 * Threads: control. Reads what pollers write with relaxed loads; nobody waits for anybody.
 * Memory:  the returned text is the caller's to free().
 * Errors:  NULL: no memory.
 */
#ifndef SERVER_STATUS_H
#define SERVER_STATUS_H

#include "server/topology.h"

/* `busy` of a poller is its share since the last call of either. */
char *status_text(struct topology *topology);
char *status_json(struct topology *topology);

/* stopped, running, paused or stuck: as both forms call it. */
const char *status_vm_state(const struct vm *vm);

/* The name of a page counter, as it stands in both forms and in events. */
extern const char *const status_page_counters[PAGE_COUNTER_COUNT];
extern const char *const status_page_settled[PAGE_SETTLED_COUNT];

#endif
