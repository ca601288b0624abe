/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * connection.h - one peer on ioreqd's socket: it sends a line (commands.h) and gets a reply.
 *
 * Flow:    connection_open -> line -> command_run -> reply -> the end; a peer that attached to a VM
 *          stays until it leaves.
 * Threads: control. Never waits for a peer: what it does not take is buffered, and a peer that is
 *          not done after CONNECTION_TIMEOUT_NS is cut, unless it is attached or waits for us. When
 *          all places are taken, the one that has been silent for longest makes room.
 * Memory:  a connection frees itself when it ends.
 * Errors:  a peer's fault ends the peer's connection and nothing else.
 */
#ifndef SERVER_SOCKET_CONNECTION_H
#define SERVER_SOCKET_CONNECTION_H

#include "server/event_loop.h"
#include "server/socket/commands.h"

/* Lines that an attached peer has not read; all irqfds of a VM fit twice. */
#define CONNECTION_QUEUE_MAX  128
#define CONNECTIONS_MAX       64
#define CONNECTION_LINE_BYTES 16384
#define CONNECTION_TIMEOUT_NS 5000000000ull

struct connection;

/* All connections of a server. */
struct connections {
    struct event_loop *loop;
    struct command_context context;
    struct connection *first;
    uint32_t count;
    bool keep_vms; /* at the end of the server: a connection that ends leaves its VM alone */
};

/* Takes descriptor, which it closes at the end, also when there is no place or memory. !may_all: a
 * process of the launcher's, which may say what launcher_allows. */
void connection_open(struct connections *connections, int descriptor, pid_t pid, bool may_all);

/* Every few milliseconds: asks again for the replies that were pending, and serves the peers that
 * ended their own direction. */
void connections_poll(struct connections *connections);

/* Once a second: cuts those that take too long. */
void connections_tick(struct connections *connections);

/* Ends all of them. */
void connections_end(struct connections *connections);

/* Says no to a peer that never becomes a connection, and closes descriptor. */
void connection_refuse(int descriptor, int error, const char *reason);

#endif
