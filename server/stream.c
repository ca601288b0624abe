/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/stream.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define CHUNK_BYTES 4096 /* PIPE_BUF: a pipe that is ready takes that much without blocking */
#define PUMP_CHUNKS 64   /* a device that talks without end cannot keep control */

enum stream_kind { STREAM_STDIO, STREAM_PTY, STREAM_FILE };

struct stream {
    struct byte_ring *output;
    struct byte_ring *input;
    enum stream_kind kind;
    int in;     /* -1: none */
    int out;    /* -1: none */
    char *link; /* pty: symbolic link to remove at close */
    uint64_t lost;
    /* Taken from the ring, not yet written. */
    size_t held_begin, held_end;
    uint8_t held[CHUNK_BYTES];
    bool has_terminal;
    struct termios terminal; /* as it was */
};

static bool stdin_is_taken;

/* A guest's prompt wants keys as they are typed. Ctrl-C still reaches the server. */
static void terminal_to_keys(struct stream *stream)
{
    /* Not ours to read from in the background. */
    if (!isatty(STDIN_FILENO) || tcgetpgrp(STDIN_FILENO) != getpgrp() ||
        tcgetattr(STDIN_FILENO, &stream->terminal) < 0)
        return;
    struct termios keys = stream->terminal;
    keys.c_lflag &= ~(tcflag_t)(ICANON | ECHO);
    keys.c_iflag &= ~(tcflag_t)ICRNL;
    keys.c_cc[VMIN] = 1;
    keys.c_cc[VTIME] = 0;
    stream->has_terminal = tcsetattr(STDIN_FILENO, TCSANOW, &keys) == 0;
}

static int open_stdio(struct stream *stream)
{
    stream->kind = STREAM_STDIO;
    stream->out = stream->output ? STDOUT_FILENO : -1;
    if (stream->input && !stdin_is_taken) {
        stdin_is_taken = true;
        stream->in = STDIN_FILENO;
        terminal_to_keys(stream);
    }
    return 0;
}

static int open_pty(struct stream *stream, const char *link, char *announce, size_t announce_bytes)
{
    stream->kind = STREAM_PTY;
    int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (terminal < 0)
        return -errno;
    stream->in = stream->out = terminal;
    char path[64];
    if (grantpt(terminal) < 0 || unlockpt(terminal) < 0 ||
        ptsname_r(terminal, path, sizeof(path)) != 0)
        return -errno;
    struct termios raw;
    if (tcgetattr(terminal, &raw) == 0) {
        cfmakeraw(&raw);
        tcsetattr(terminal, TCSANOW, &raw);
    }
    /* Opened and closed once, the other side reads as hung up until somebody opens it. */
    int other = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (other >= 0)
        close(other);
    if (link) {
        /* Only an old link of ours is replaced, never a file. */
        char target[8];
        if (readlink(link, target, sizeof(target)) > 0)
            unlink(link);
        if (symlink(path, link) < 0)
            return -errno;
        stream->link = strdup(link);
    }
    snprintf(announce, announce_bytes, "%s", link ? link : path);
    return 0;
}

static int open_file(struct stream *stream, const char *path)
{
    stream->kind = STREAM_FILE;
    /* O_NONBLOCK: a FIFO without a reader must not hold up the start. */
    stream->out =
        open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
    return stream->out < 0 ? -errno : 0;
}

int stream_open(struct device *device, struct stream **stream, char *announce,
                size_t announce_bytes)
{
    const char *name = device->stream;
    announce[0] = '\0';
    *stream = NULL;
    if (!name || strcmp(name, "none") == 0)
        return 0;
    struct stream *opened = calloc(1, sizeof(*opened));
    if (!opened)
        return -ENOMEM;
    opened->output = device->output;
    opened->input = device->input;
    opened->in = opened->out = -1;
    int result = -EINVAL;
    if (strcmp(name, "stdio") == 0)
        result = open_stdio(opened);
    else if (strcmp(name, "pty") == 0)
        result = open_pty(opened, NULL, announce, announce_bytes);
    else if (strncmp(name, "pty:", 4) == 0)
        result = open_pty(opened, name + 4, announce, announce_bytes);
    else if (strncmp(name, "file:", 5) == 0)
        result = open_file(opened, name + 5);
    if (result < 0) {
        stream_close(opened);
        return result;
    }
    *stream = opened;
    return 0;
}

/* What can be done with the output now. */
static short readiness(const struct stream *stream)
{
    struct pollfd ready = {.fd = stream->out, .events = POLLOUT};
    return poll(&ready, 1, 0) == 1 ? ready.revents : 0;
}

/* False: nothing more goes out for now. */
static bool write_held(struct stream *stream)
{
    short ready = readiness(stream);
    bool is_gone = stream->out < 0 || (ready & (POLLHUP | POLLERR | POLLNVAL));
    if (!is_gone && !(ready & POLLOUT))
        return false;
    ssize_t written = -1;
    if (!is_gone) {
        written = write(stream->out, stream->held + stream->held_begin,
                        stream->held_end - stream->held_begin);
        if (written < 0 && (errno == EAGAIN || errno == EINTR))
            return false;
    }
    if (written < 0) {
        stream->lost += stream->held_end - stream->held_begin;
        stream->held_begin = stream->held_end;
        return true;
    }
    stream->held_begin += (size_t)written;
    return stream->held_begin == stream->held_end;
}

static size_t pump_output(struct stream *stream)
{
    size_t moved = 0;
    for (int chunk = 0; stream->output && chunk < PUMP_CHUNKS; chunk++) {
        if (stream->held_begin == stream->held_end) {
            stream->held_begin = 0;
            stream->held_end = byte_ring_pop(stream->output, stream->held, sizeof(stream->held));
            if (stream->held_end == 0)
                break;
        }
        size_t before = stream->held_begin;
        bool goes_on = write_held(stream);
        moved += stream->held_begin - before;
        if (!goes_on)
            break;
    }
    return moved;
}

static size_t pump_input(struct stream *stream)
{
    if (stream->in < 0 || !stream->input)
        return 0;
    uint8_t typed[256];
    size_t space = byte_ring_space(stream->input);
    struct pollfd ready = {.fd = stream->in, .events = POLLIN};
    if (space == 0 || poll(&ready, 1, 0) != 1 || !(ready.revents & POLLIN))
        return 0;
    ssize_t count = read(stream->in, typed, space < sizeof(typed) ? space : sizeof(typed));
    if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR && errno != EIO)) {
        stream->in = stream->kind == STREAM_PTY ? stream->in : -1; /* end of stdin */
        return 0;
    }
    for (ssize_t i = 0; i < count; i++)
        byte_ring_try_push(stream->input, typed[i]);
    return count > 0 ? (size_t)count : 0;
}

size_t stream_pump(struct stream *stream)
{
    return pump_output(stream) + pump_input(stream);
}

void stream_close(struct stream *stream)
{
    if (!stream)
        return;
    if (stream->output)
        pump_output(stream);
    if (stream->has_terminal)
        tcsetattr(STDIN_FILENO, TCSANOW, &stream->terminal);
    if (stream->in == STDIN_FILENO)
        stdin_is_taken = false;
    if (stream->link) {
        unlink(stream->link);
        free(stream->link);
    }
    if (stream->kind != STREAM_STDIO && stream->out >= 0)
        close(stream->out);
    free(stream);
}

uint64_t stream_lost(const struct stream *stream)
{
    return stream ? stream->lost : 0;
}
