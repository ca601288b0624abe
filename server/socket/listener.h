/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * listener.h - ioreqd's Unix socket: where it is, and who may connect.
 *
 * Flow:    listener_create, first of all, so that a second server is turned away before it touches
 *          anything -> listener_start -> peers become connections -> listener_stop ->
 *          listener_destroy.
 * Threads: control.
 * Memory:  PATH.lock, locked for life, says whose PATH is; it stays behind, so that two servers
 *          never lock two files of one name.
 * Errors:  peer credentials are taken at accept; a user who is not root, the server's own or in
 *          allowed_uids is refused. Without descriptors left, accepting pauses until the next
 *          tick; requests are served all the while.
 */
#ifndef SERVER_SOCKET_LISTENER_H
#define SERVER_SOCKET_LISTENER_H

#include "server/event_loop.h"
#include "server/socket/commands.h"

struct listener;

/*
 * Takes server->socket for this process, whose missing folder it makes and whose left-over socket
 * it replaces. Peers may connect from now on; they are served after listener_start. -EADDRINUSE:
 * another ioreqd has it. -EEXIST: the path is something else than a socket.
 */
int listener_create(struct event_loop *loop, const struct config_server *server,
                    struct listener **listener);

/* From now on peers are served; context is copied, what it points to outlives the listener. -ENOMEM. */
int listener_start(struct listener *listener, const struct command_context *context);

/* Every few milliseconds. */
void listener_poll(struct listener *listener);

/* Once a second: cuts the silent, accepts again. */
void listener_tick(struct listener *listener);

/* Takes no more connections and lets go of the VMs; the connections that exist go on. */
void listener_stop(struct listener *listener);

/* Ends every connection, and removes the socket. */
void listener_destroy(struct listener *listener);

#endif
