/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * session.h - libioreq's words with ioreqd: one line there, one line and descriptors back.
 *
 * Threads: any; waits up to SESSION_TIMEOUT_MS for the server.
 * Memory:  what is returned is the caller's.
 * Errors:  negative errno, and the reason in words in error [SESSION_ERROR_BYTES].
 * Source:  the server's commands.h.
 */
#ifndef CLIENTS_LIBRARY_SESSION_H
#define CLIENTS_LIBRARY_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define SESSION_TIMEOUT_MS  5000
#define SESSION_ERROR_BYTES 256
#define SESSION_LINE_BYTES  16384 /* the server takes no longer one */
#define SESSION_DESCRIPTORS 3
#define SESSION_REPLY_BYTES 1024

/* Sends line and waits for the first line of the reply. A descriptor of the connection, or -errno:
 * the server's, if that says no. descriptors [SESSION_DESCRIPTORS]: all -1 but for those that came. */
int session_open(const char *socket_path, const char *line, int *descriptors, char *error);

/* The same, waiting up to timeout_s, and the reply's line in reply [SESSION_REPLY_BYTES]. */
int session_open_reply(const char *socket_path, const char *line, int timeout_s, int *descriptors,
                       char *reply, char *error);

/* KEY=NUMBER among the words of a reply. */
bool session_reply_number(const char *reply, const char *key, uint32_t *number);

/* The same for a command whose reply says all. */
int session_command(const char *socket_path, const char *line, char *error);

/* DIED: the server hung up without a word. ENDED: it said that no other one comes. Does not wait. */
enum session_state { SESSION_OPEN, SESSION_DIED, SESSION_ENDED };
enum session_state session_look(int connection);

void session_close_descriptors(int *descriptors);

#endif
