/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * launch.h - one process that the server starts: what the configuration says of it, and where it
 * stands. Inside launcher.c and its tests only.
 *
 * Flow:    launch_create -> launch_spawn ... -> launch_free.
 * Threads: control.
 * Memory:  a launch owns copies of all that it was told.
 * Errors:  negative errno.
 */
#ifndef SERVER_PROCESSES_LAUNCH_H
#define SERVER_PROCESSES_LAUNCH_H

#include "server/processes/launcher.h"
#include "server/processes/spawn.h"

struct launch {
    struct launcher *launcher;
    struct launch *next;
    struct vm_client *client; /* NULL: it has gone, and this one is to end */
    char vm[CLIENT_NAME_MAX + 1];
    char name[CLIENT_NAME_MAX + 1];
    struct config_start wish; /* copied */
    struct spawn_user user;
    enum launch_state state;
    pid_t pid; /* 0: there is none */
    int descriptor;
    struct event_watch *watch; /* NULL: looked at in each tick */
    uint64_t due_ticks;        /* WAITING: when to start; STOPPING: when to kill */
    uint64_t alone_ticks;      /* RUNNING: since when nobody is registered */
    bool starts_again;         /* STOPPING: in order to start it anew */
    bool settles;              /* nobody will come: what waits for a successor is to be settled */
    uint64_t restarts[CONFIG_RESTARTS_MAX]; /* when; 0: not yet */
    uint32_t restart_next;
    uint64_t starts;
};

/* -ENOENT: there is no such user. -ENOMEM. */
int launch_create(const struct vm_client *client, const struct config_start *start,
                  struct launch **launch);
void launch_free(struct launch *launch);

/* True if start is what it was made of. */
bool launch_is_same(const struct launch *launch, const struct config_start *start);

/* Restarts that count. */
uint32_t launch_recent_restarts(const struct launch *launch);

/* cpus: where it runs if it names no CPU. As spawn_process. */
int launch_spawn(const struct launch *launch, const char *socket_path, const cpu_set_t *cpus,
                 struct spawned *spawned);

/* Starts it, kills it or settles for it, if it is time. */
void launch_poll(struct launch *launch);

#endif
