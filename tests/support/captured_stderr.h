/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * captured_stderr.h - what a piece of a test says on the standard error stream.
 *
 * Flow:    capture_begin -> ... -> capture_end.
 * Threads: one test at a time.
 * Memory:  the caller's.
 * Errors:  asserted: a test cannot go on.
 */
#ifndef TESTS_SUPPORT_CAPTURED_STDERR_H
#define TESTS_SUPPORT_CAPTURED_STDERR_H

#include <assert.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

struct captured_stderr {
    int old_fd;
    int file_fd;
    char text[8192];
};

static inline void capture_begin(struct captured_stderr *captured)
{
    fflush(stderr);
    captured->old_fd = dup(STDERR_FILENO);
    captured->file_fd = memfd_create("stderr", MFD_CLOEXEC);
    int fd = dup2(captured->file_fd, STDERR_FILENO);
    assert(captured->old_fd >= 0 && captured->file_fd >= 0 && fd == STDERR_FILENO);
    (void)fd;
}

/* What was said, also in text; it goes on to the real stream, too. */
static inline const char *capture_end(struct captured_stderr *captured)
{
    fflush(stderr);
    dup2(captured->old_fd, STDERR_FILENO);
    ssize_t length = pread(captured->file_fd, captured->text, sizeof(captured->text) - 1, 0);
    captured->text[length < 0 ? 0 : length] = '\0';
    close(captured->old_fd);
    close(captured->file_fd);
    fputs(captured->text, stderr);
    return captured->text;
}

#endif
