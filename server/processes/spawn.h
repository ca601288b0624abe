/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * spawn.h - starts a program as a child of this process, without a copy of its memory.
 *
 * Flow:    spawn_process -> its pidfd becomes readable -> spawn_reap.
 *
 *          A fork would make every page of ours read-only until it is written to, which a poller
 *          would pay for with a page fault each. The child shares our memory instead and this thread
 *          waits, until it has become another program (vfork's way). It is cut off from all that is
 *          ours: descriptors but the three standard ones, signal handlers and masks, environment; and
 *          it dies with us, however we end.
 * Threads: control. The calling thread must live as long as the server: the child dies with it.
 * Memory:  nothing is kept.
 * Errors:  negative errno, and which step failed.
 * Source:  clone(2), prctl(2) PR_SET_PDEATHSIG, close_range(2), pidfd_open(2).
 */
#ifndef SERVER_PROCESSES_SPAWN_H
#define SERVER_PROCESSES_SPAWN_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#define SPAWN_GROUPS_MAX 64

/* Whose a process is. */
struct spawn_user {
    bool is_set; /* false: ours */
    uid_t uid;
    gid_t gid;
    gid_t groups[SPAWN_GROUPS_MAX]; /* [group_count] */
    int group_count;
};

/* By name or number. -ENOENT: there is none of that name. */
int spawn_find_user(const char *text, struct spawn_user *user);

struct spawn_options {
    const char *const *words; /* NULL-terminated; the first is the program's path */
    const char *const *environment;
    const struct spawn_user *user;
    const cpu_set_t *cpus;
};

struct spawned {
    pid_t pid;
    int descriptor;   /* a pidfd, the caller's */
    const char *step; /* what failed, if something did */
};

/* 0: it is that program now, leader of a session and a process group of its own; standard input is
 * empty, the two others are our standard error. */
int spawn_process(const struct spawn_options *options, struct spawned *spawned);

/* What became of it. */
struct spawn_end {
    int exit_code; /* or -1 */
    int signal;    /* or 0 */
};

/* False: it lives. Otherwise the rest of its process group is killed, and nothing of it is left. */
bool spawn_reap(pid_t pid, int descriptor, struct spawn_end *end);

/* Its whole group is sent the signal. */
void spawn_signal(pid_t pid, int signal);

#endif
