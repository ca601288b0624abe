/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * connection.h - ioreqd's Unix socket: who may talk to it, and the commands it takes.
 *
 * Flow:    a peer connects, sends one line, gets one line and, for some commands, more:
 *
 *              attach VM        -> ok vcpus=N      with the page's descriptor; the VM is the peer's
 *                                                  until the connection ends
 *              status [json]    -> ok, then the table or JSON, then the end
 *              anything else    -> error ERRNO TEXT
 *
 * Threads: control. Never waits for a peer: what it does not take is buffered, and a peer that
 * sends no line for CONNECTION_LINE_TIMEOUT_NS is cut. Memory:  a connection frees itself when it
 * ends. Errors:  a peer's fault ends the peer's connection and nothing else. Without descriptors
 * left, accepting pauses until the next tick; requests are served all the while.
 */
#ifndef SERVER_CONNECTION_H
#define SERVER_CONNECTION_H

#include "server/event_loop.h"
#include "server/topology.h"

#define CONNECTIONS_MAX            64
#define CONNECTION_LINE_BYTES      256
#define CONNECTION_LINE_TIMEOUT_NS 5000000000ull

struct listener;

/* Listens on the configured path, whose missing folder it makes and whose dead socket it replaces.
 * -EADDRINUSE: another ioreqd answers there. */
int listener_create(struct event_loop *loop, struct topology *topology, struct listener **listener);

/* Every few milliseconds: cuts the silent, accepts again. */
void listener_tick(struct listener *listener);

/* Takes no more connections; those that exist go on. */
void listener_stop(struct listener *listener);

/* Ends every connection without touching their VMs, and removes the socket. */
void listener_destroy(struct listener *listener);

#endif
