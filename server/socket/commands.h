/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * commands.h - what a peer may ask on ioreqd's socket, one line each: every operation of vm.h and
 * vm_client.h, under the name it has there.
 *
 * Flow:    a line -> command_run -> a reply: `ok`, `ok TEXT`, or `error ERRNO TEXT`, and for some
 *          commands more lines. An operation that has to wait is asked again by command_poll,
 *          until it has its reply; control itself never waits.
 * Threads: control.
 * Memory:  the reply's text is the caller's to free(); the descriptor stays the VM's.
 * Errors:  are replies; text is NULL only without memory.
 */
#ifndef SERVER_SOCKET_COMMANDS_H
#define SERVER_SOCKET_COMMANDS_H

#include "server/reload.h"
#include "server/topology.h"

struct registration;

struct command_reply {
    bool is_pending; /* no reply yet: ask again */
    char *text;
    int descriptor;          /* goes with the first byte; -1: none */
    int more_descriptors[2]; /* [more_descriptor_count], go with it */
    uint32_t more_descriptor_count;
    struct vm *attached;               /* NULL: none */
    struct registration *registration; /* the peer is a client's device; NULL: it is not */
};

/* Whom commands work on. */
struct command_context {
    struct topology *topology;
    struct reload *reload;
};

/* Runs line for the peer `pid`. descriptor: what came with the line, or -1; stays the caller's. */
struct command_reply command_run(const struct command_context *context, const char *line, pid_t pid,
                                 int descriptor);

/* Asks again for a line whose reply was pending: the same line. */
struct command_reply command_poll(const struct command_context *context, const char *line);

/* Before the first peer: what peers made at run time under an earlier server, once what the configuration
 * describes is there, and before topology_take_on. */
void commands_run_again(const struct command_context *context);

/* A reply that says no. */
__attribute__((format(printf, 2, 3))) struct command_reply command_error(int error,
                                                                         const char *format, ...);

#endif
