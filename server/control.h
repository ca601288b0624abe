/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * control.h - the housekeeping thread: sockets, signals, timers, the devices' bytes.
 *
 * Flow:    control_run takes the socket, builds what config describes, starts the pollers, serves
 *          until SIGTERM or SIGINT, settles what is in flight and returns. SIGHUP reads config's
 *          file anew.
 * Threads: the caller's, which becomes the one control thread.
 * Errors:  one line on stderr; negative errno.
 */
#ifndef SERVER_CONTROL_H
#define SERVER_CONTROL_H

#include "server/topology.h"

/* 0: ended in order; a negative errno after one line on stderr. kinds [kind_count]: of the devices, for
 * reloads; they and config outlive the call. Before: control_block_signals. */
int control_run(struct topology *topology, const struct config *config,
                const struct config_device_kind *kinds, size_t kind_count);

/* Before any thread exists: SIGTERM, SIGINT, SIGHUP and the like then come to control_run alone. */
void control_block_signals(void);

#endif
