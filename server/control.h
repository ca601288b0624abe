/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * control.h - the housekeeping thread: sockets, signals, timers, the devices' bytes.
 *
 * Flow:    control_run starts the pollers, serves until SIGTERM or SIGINT, settles what is in
 * flight and returns. Threads: the caller's, which becomes the one control thread. Errors:  one
 * line on stderr; negative errno.
 */
#ifndef SERVER_CONTROL_H
#define SERVER_CONTROL_H

#include "server/topology.h"

/* Serves topology on server->socket. 0: ended in order. Signals must be blocked
 * (control_block_signals) before any thread exists. */
int control_run(struct topology *topology, const struct config_server *server);

void control_block_signals(void);

#endif
