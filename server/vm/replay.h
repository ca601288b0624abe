/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * replay.h - `ioreq-vm replay`: plays a trace through the page and compares the answers.
 *
 * Flow:    replay_command: command line -> replay_run: trace, page, one access after the other in
 *          the order of the file, each on its recorded vCPU -> report.
 * Threads: the main one, the player, and the requester's watcher.
 * Memory:  one line of the trace at a time.
 * Errors:  exit codes of options.h. The whole file is read once before the page is asked for: a bad
 *          or truncated trace does nothing to the devices.
 *
 * The order is the recorded one also between vCPUs: a single thread plays them all. Every answer
 * without ~ must be what it was; the server starts from the same state only if it resets its
 * devices when a requester attaches, and keeps no other non-volatile memory than it had.
 */
#ifndef SERVER_VM_REPLAY_H
#define SERVER_VM_REPLAY_H

#include "server/vm/options.h"

#include <stdio.h>

struct replay_options {
    struct attach_options attach;
    const char *path;
    bool wants_json;
};

void replay_options_init(struct replay_options *options);
/* The report goes to `report`, differing answers and errors to stderr. EXIT_OK or EXIT_FAILED. */
int replay_run(const struct replay_options *options, FILE *report);
/* `ioreq-vm replay ...`; argv[0] is "replay". An exit code. */
int replay_command(int argc, char **argv);

#endif
