/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wire.h - the client's end of ioreqd's socket: short lines of text, and now and then a descriptor.
 *
 * Flow:    wire_connect -> wire_send_line -> wire_receive_line -> wire_parse_reply -> close, or
 *          keep the connection: `attach` lives as long as it does.
 * Threads: one at a time per descriptor; no state of its own.
 * Memory:  the caller's buffers; a received descriptor is the caller's to close.
 * Errors:  negative errno; every call ends within WIRE_TIMEOUT_MS; never SIGPIPE. A descriptor
 *          that nobody asked for, or that came with a bad line, is closed here.
 * Source:  unix(7), cmsg(3).
 */
#ifndef SERVER_SOCKET_WIRE_H
#define SERVER_SOCKET_WIRE_H

#include <stddef.h>

#define WIRE_LINE_MAX   16384 /* bytes of a line with its newline */
#define WIRE_TIMEOUT_MS 5000

/* Connects to the Unix stream socket at path. A descriptor (close-on-exec, owned by the caller), or
 * -ENAMETOOLONG, -ENOENT, -ECONNREFUSED, -EACCES, -ETIMEDOUT (the server does not accept), ... */
int wire_connect(const char *path);

/* Sends one line; the newline is added. 0, -EMSGSIZE longer than WIRE_LINE_MAX, -EINVAL a newline
 * inside, -ETIMEDOUT, -EPIPE. */
int wire_send_line(int fd, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* The same with a descriptor, which stays the caller's. */
int wire_send_line_with(int fd, int descriptor, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/*
 * Receives one line into line [line_bytes] without its newline, and nothing behind it: a payload
 * that follows stays in the socket. passed_fd: takes the one descriptor that came with the line, or
 * -1; NULL: none is expected. 0, -ETIMEDOUT, -ECONNRESET closed before a whole line, -EMSGSIZE too
 * long, -EPROTO a NUL byte, more than one descriptor, or one that was not expected.
 */
int wire_receive_line(int fd, char *line, size_t line_bytes, int *passed_fd);

/* Takes a reply apart: "ok[ TEXT]" gives 0, "error ERRNO[ TEXT]" gives -ERRNO (1..4095), anything
 * else -EPROTO. *text points into line: TEXT, or "" (for -EPROTO the whole line). */
int wire_parse_reply(const char *line, const char **text);

#endif
