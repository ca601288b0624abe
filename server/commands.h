/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * commands.h - what a peer may ask on ioreqd's socket, one line each.
 *
 *              attach VM        -> ok vcpus=N      with the page's descriptor; the VM is the peer's
 *                                                  until the connection ends
 *              status [json]    -> ok, then the table or JSON
 *              anything else    -> error ERRNO TEXT
 *
 * Threads: control.
 * Memory:  the reply's text is the caller's to free(); the descriptor stays the VM's.
 * Errors:  are replies; text is NULL only without memory.
 */
#ifndef SERVER_COMMANDS_H
#define SERVER_COMMANDS_H

#include "server/topology.h"

struct command_reply {
    char *text;
    int descriptor;      /* goes with the first byte; -1: none */
    struct vm *attached; /* NULL: none */
};

/* Runs line, which it takes apart, for the peer `pid`. */
struct command_reply command_run(struct topology *topology, char *line, pid_t pid);

/* A reply that says no. */
__attribute__((format(printf, 2, 3))) struct command_reply command_error(int error,
                                                                         const char *format, ...);

#endif
