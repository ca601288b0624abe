/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * output.h - writes that never wait, to whatever a standard descriptor is.
 *
 * Flow:    output_open -> output_write... -> output_close.
 * Threads: control.
 * Memory:  a terminal or pipe is opened anew without blocking, since O_NONBLOCK on the descriptor
 *          itself would reach whoever shares it (the shell); that new descriptor is output's own.
 * Errors:  negative errno.
 */
#ifndef SERVER_OUTPUT_H
#define SERVER_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct output {
    int descriptor;
    bool is_own;
    bool is_socket; /* cannot be opened anew, but asked not to wait */
};

/* Where a terminal or pipe cannot be opened anew, descriptor itself is written to, as much as a
 * ready pipe takes without waiting. Cannot fail. */
struct output output_open(int descriptor);
void output_close(struct output *output);

/* How many bytes were taken, maybe not all; -EAGAIN: none now; another negative errno: none ever.
 * At most OUTPUT_BYTES_MAX of them. */
#define OUTPUT_BYTES_MAX 4096 /* PIPE_BUF */
ssize_t output_write(const struct output *output, const void *bytes, size_t count);

/* A descriptor for the same terminal or pipe that never waits, or -1 if it is neither or cannot be
 * opened anew. flags: O_RDONLY or O_WRONLY. */
int output_reopen(int descriptor, int flags);

#endif
