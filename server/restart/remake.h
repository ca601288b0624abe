/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * remake.h - what is made at run time outlives a death: which lines of the socket make it again, and
 * which line makes another one needless.
 *
 * Flow:    at work, once a command has done it: remake_note, remake_unnote, remake_note_client_end,
 *          remake_note_vm_end, remake_note_reload -> at the next start, after what the configuration
 *          describes: the lines of topology->script are run again (commands_run_again), oldest first, and
 *          what they make is adopted as what the configuration describes is.
 *
 *              vm-create {name: x ...}            x is destroyed: all lines of x go
 *              client-create {name: c, vm: x ...} c is destroyed: all lines of c go
 *              range-add x c mmio 0x1000 0x1fff 0 that range is deleted: its line goes
 *              client-destroy guest disk          a client that the configuration describes, which goes
 *                                                 when the next start has made it; until a reload
 *
 * Threads: control.
 * Memory:  topology->script, made with the first line; NULL: nothing was made.
 * Errors:  a line that cannot be kept is told: a death loses what it made.
 */
#ifndef SERVER_RESTART_REMAKE_H
#define SERVER_RESTART_REMAKE_H

#include "server/topology.h"

#define REMAKE_SCRIPT "script" /* as the keeper calls it */

/* As the client of a line: an eventfd of its VM. */
#define REMAKE_EVENTFD "*"

/* That line, of client of vm ("": of vm itself), is to be run again. descriptor goes with it; -1: none.
 * Before the topology is started, or without a keeper, nothing is noted. */
void remake_note(struct topology *topology, const char *vm, const char *client, const char *text,
                 int descriptor);

/* Takes that line back. descriptor: an eventfd, and text is how the line begins that came with it; -1: none.
 * False: there is none. */
bool remake_unnote(struct topology *topology, const char *vm, const char *client, const char *text,
                   int descriptor);

/* It was destroyed. */
void remake_note_client_end(struct topology *topology, const char *vm, const char *client);
void remake_note_vm_end(struct topology *topology, const char *vm);

/* What both files describe, or one of them, is as the next one says. */
void remake_note_reload(struct topology *topology, const struct config *old,
                        const struct config *next);

/* What goes with a line of that number, as the keeper gave it back; the caller's. -1: there is none, or it
 * was taken before. */
int remake_take_descriptor(uint32_t number);

/* The line at index of topology->script cannot be run again. */
void remake_drop(struct topology *topology, size_t index);

#endif
