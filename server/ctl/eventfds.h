/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * eventfds.h - ioreqctl's commands that come with an eventfd of its own.
 *
 * Flow:    ioeventfd-watch: assign -> a line for each time the guest rings -> Ctrl-C -> deassign.
 *          irqfd-raise: assign -> signal COUNT times -> deassign.
 * Threads: one.
 * Errors:  a negative errno after one line on stderr.
 */
#ifndef SERVER_CTL_EVENTFDS_H
#define SERVER_CTL_EVENTFDS_H

/* words: VM TYPE ADDRESS LENGTH [DATA]. */
int eventfds_watch(const char *socket_path, const char *words);

/* words: VM line GSI, or VM msi ADDRESS DATA. */
int eventfds_raise(const char *socket_path, const char *words, unsigned count);

#endif
