/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * events.h - turns rising fault counters into log lines, at most one a counter and second.
 *
 * Threads: control. Pollers only count: a requester's fault costs one addition, never a line.
 */
#ifndef SERVER_EVENTS_H
#define SERVER_EVENTS_H

#include "server/topology.h"

/* Once a second: says what rose since the last call. */
void events_report(const struct topology *topology);

#endif
