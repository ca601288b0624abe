/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * listener.h - ioreqd's Unix socket: where it is, and who may connect.
 *
 * Flow:    listener_create -> peers become connections -> listener_stop -> listener_destroy.
 * Threads: control.
 * Errors:  peer credentials are taken at accept; a user who is not root, the server's own or in
 *          allowed_uids is refused. Without descriptors left, accepting pauses until the next tick;
 *          requests are served all the while.
 */
#ifndef SERVER_LISTENER_H
#define SERVER_LISTENER_H

#include "server/event_loop.h"
#include "server/topology.h"

struct listener;

/* Listens on server->socket, whose missing folder it makes and whose dead socket it replaces.
 * -EADDRINUSE: another ioreqd answers there. -EEXIST: the path is something else than a socket. */
int listener_create(struct event_loop *loop, struct topology *topology,
                    const struct config_server *server, struct listener **listener);

/* Once a second: cuts the silent, accepts again. */
void listener_tick(struct listener *listener);

/* Takes no more connections and lets go of the VMs; the connections that exist go on. */
void listener_stop(struct listener *listener);

/* Ends every connection, and removes the socket. */
void listener_destroy(struct listener *listener);

#endif
