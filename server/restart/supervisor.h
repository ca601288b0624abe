/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * supervisor.h - `ioreqd --supervise`: keeps one ioreqd alive, and its descriptors while it is not. What
 * systemd does with the unit file, where there is no systemd.
 *
 * Flow:    supervisor_run -> ioreqd is started with what is kept (LISTEN_FDS) -> it says what to keep
 *          (NOTIFY_SOCKET) -> it ends: started again, or, at an end in order, we end with its code.
 *
 *              SIGTERM, SIGINT   passed on; no restart
 *              SIGUSR2           passed on; restart: requests in flight go on under the next one
 *              SIGHUP            passed on: reload
 *
 * Threads: one. No allocation after the start, no lock, nothing that could wait for ioreqd.
 * Memory:  KEEPER_MAX descriptors, by name; all go with us. If we die, ioreqd serves on, unkept.
 * Errors:  one that dies within SUPERVISOR_SETTLED_NS is started again later and later: one that was ready,
 *          for a guest waits, up to a few tens of milliseconds, one that was not, up to a second;
 *          one that dies SUPERVISOR_FAILURES_MAX times before it was ready is given up: what it was
 *          about to serve waits, and whoever watches us is told by exit code 1.
 * Source:  sd_notify(3), sd_listen_fds(3): the same words as systemd's.
 */
#ifndef SERVER_RESTART_SUPERVISOR_H
#define SERVER_RESTART_SUPERVISOR_H

#define SUPERVISOR_SETTLED_NS   200000000ull
#define SUPERVISOR_FAILURES_MAX 5u

/* Runs `program` with arguments, argv without --supervise, until its end in order. The exit code. */
int supervisor_run(const char *program, char *const *arguments);

#endif
