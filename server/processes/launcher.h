/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * launcher.h - starts the processes of clients, and starts them again when they die.
 *
 * Flow:    launcher_create -> launcher_set, with the client -> launcher_poll, each tick ->
 *          launcher_remove, with the client -> launcher_stop, at the end -> launcher_destroy.
 *
 *              STOPPED --- client-start ---> WAITING ---> RUNNING ---> it ended: by itself -> STOPPED
 *                 ^                             ^            |           otherwise  -> WAITING
 *                 '--- STOPPING <-- client-stop-'------------'           too often  -> LIMPING
 *
 *          A first restart is made at once, so that a successor comes within the deadline of what its
 *          predecessor left; the next ones wait longer and longer. One that lives but is not
 *          registered for LAUNCH_REGISTER_NS - it hangs, or was quarantined - is killed, and that
 *          counts as a death. LIMPING: the limit is reached; its ranges are answered for at once,
 *          until client-start, or until some process registers.
 * Threads: control, which waits for a process only until it has become its program (spawn.h), and at
 *          the end, up to LAUNCH_STOP_NS.
 * Memory:  the launcher's, until the process has ended, though its client may have gone before.
 * Errors:  told in the log, by the name of the client, with the remedy.
 */
#ifndef SERVER_PROCESSES_LAUNCHER_H
#define SERVER_PROCESSES_LAUNCHER_H

#include "config/config.h"
#include "pollers/placement_machine.h"
#include "server/event_loop.h"
#include "server/vm_client.h"

#define LAUNCH_REGISTER_NS 10000000000ull /* what a process has to register */
#define LAUNCH_STOP_NS     2000000000ull  /* from SIGTERM to SIGKILL */

struct launcher;
struct launch; /* one client's process; its vm_client points to it */
struct topology;

enum launch_state {
    LAUNCH_STOPPED = 1,
    LAUNCH_WAITING,
    LAUNCH_RUNNING,
    LAUNCH_STOPPING,
    LAUNCH_LIMPING,
};

/* Reports (config_report) each `start` of config that cannot work here: a program, a user or a CPU
 * that is not there. */
void launcher_check(struct config *config, const struct placement_machine *machine);

/* socket_path: where the processes find the server; stays the caller's, as does topology. */
int launcher_create(struct event_loop *loop, const char *socket_path,
                    const struct topology *topology, struct launcher **launcher);

/* Ends every process: SIGTERM, and SIGKILL to those that are left after LAUNCH_STOP_NS. is_brief: SIGKILL at
 * once, for a next ioreqd is waited for. */
void launcher_stop(struct launcher *launcher, bool is_brief);
void launcher_destroy(struct launcher *launcher);

/* Every few milliseconds: whose time has come. */
void launcher_poll(struct launcher *launcher);

/* What `start` now says of client; its process is started, or started anew if that changed. Without a
 * command: whose process is not ours to start. launcher NULL: nothing is started (tests). */
int launcher_set(struct launcher *launcher, struct vm_client *client,
                 const struct config_start *start);

/* The client goes: its process is ended, by and by. */
void launcher_remove(struct vm_client *client);

/* By the operator. -EINVAL: the client has no `start`. -EALREADY: it runs, or does not. */
int launcher_start_client(struct vm_client *client);
int launcher_stop_client(struct vm_client *client);

/* True if pid is a process of ours, which may connect whosever it is. */
bool launcher_knows(const struct launcher *launcher, pid_t pid);
/* True if it may say that: to register as its own client, and to change that client's ranges. */
bool launcher_allows(const struct launcher *launcher, pid_t pid, const char *line);

/* For display. */
struct launch_figures {
    const char *state;
    pid_t pid;         /* 0: none */
    uint64_t starts;   /* in all */
    uint64_t restarts; /* that count now */
    uint64_t limit;
};
struct launch_figures launch_figures(const struct launch *launch);

#endif
