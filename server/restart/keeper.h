/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * keeper.h - who keeps descriptors of ours while we are dead: systemd, or `ioreqd --supervise`, by the same
 * few words (sd_notify). libsystemd.
 *
 * Flow:    keeper_open, first of all -> keeper_take, what was stored by a process before this one ->
 *          keeper_store, keeper_forget, as often as needed -> keeper_tell_ready, keeper_tick ...
 *
 *              ioreqd --- FDSTORE=1 FDNAME=vm-guest, with the descriptor ---> keeper
 *              ioreqd <-- LISTEN_FDS, LISTEN_FDNAMES, at the next start ----- keeper
 *
 * Threads: control.
 * Memory:  what was passed is the keeper's own duplicate; what keeper_take gives is the caller's. One
 *          keeper a process, as there is one environment: the state is this file's own.
 * Errors:  a keeper that does not listen is said once, and costs no more than what it is there for.
 * Source:  sd_notify(3), sd_listen_fds(3), systemd.exec(5) FileDescriptorStoreMax.
 */
#ifndef SERVER_RESTART_KEEPER_H
#define SERVER_RESTART_KEEPER_H

#include <stdbool.h>
#include <stddef.h>

#define KEEPER_NAME_BYTES 32u
#define KEEPER_MAX        192u /* descriptors: pages, channels, eventfds, the journal and the script */

/* Reads the environment, and clears it for what we start; of no effect from the second time on. */
void keeper_open(void);

/* True if what is stored will come back. systemd says so from version 254 on by FDSTORE, which the unit
 * file sets for the others. */
bool keeper_is_there(void);

/* -1: nothing is stored under that name. */
int keeper_take(const char *name);

/* The same, and it stays there to be taken. */
int keeper_look(const char *name);

/* Anything that is left; its name in name. -1: nothing is. */
int keeper_take_any(char name[KEEPER_NAME_BYTES]);

/* descriptor stays the caller's. 0 without a keeper, too. */
int keeper_store(const char *name, int descriptor);
void keeper_forget(const char *name);

void keeper_tell_ready(void);
void keeper_tell_stopping(void);

/* Once a second: feeds the watchdog, if there is one (WatchdogSec). */
void keeper_tick(void);

#endif
