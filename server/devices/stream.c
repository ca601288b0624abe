/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/devices/stream.h"

#include "server/devices/terminal.h"
#include "server/output.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#define CHUNK_BYTES   OUTPUT_BYTES_MAX
#define PUMP_CHUNKS   64 /* a device that talks without end cannot keep control */
#define QUIET_SECONDS 60 /* without a loss: the next one is news again */
#define PTY_BYTES     64

enum stream_kind { STREAM_STDIO = 1, STREAM_PTY, STREAM_FILE };

struct stream {
    struct byte_ring *output;
    struct byte_ring *input;
    enum stream_kind kind;
    int in;      /* -1: none */
    bool in_own; /* to be closed */
    bool took_stdin;
    bool is_keys; /* in is the terminal, borrowed */
    struct output out;
    char pty[PTY_BYTES];
    char *link; /* pty: symbolic link to remove at close */
    uint64_t lost;
    int lost_error; /* of the last loss; 0: the ring was full */
    uint64_t lost_seen;
    uint32_t quiet_seconds; /* since the last loss; QUIET_SECONDS: none that matters */
    /* Taken from the ring, not yet written. */
    size_t held_begin, held_end;
    uint8_t held[CHUNK_BYTES];
};

static bool stdin_is_taken;

/* ---- opening ----------------------------------------------------------------------------- */

static int open_stdio(struct stream *stream, char *text, size_t text_bytes)
{
    stream->kind = STREAM_STDIO;
    if (stream->output)
        stream->out = output_open(STDOUT_FILENO);
    if (!stream->input || stdin_is_taken)
        return 0;
    stdin_is_taken = stream->took_stdin = true;
    stream->is_keys = terminal_borrow();
    stream->in = output_reopen(STDIN_FILENO, O_RDONLY);
    stream->in_own = stream->in >= 0;
    if (stream->in < 0)
        stream->in = STDIN_FILENO;
    if (stream->is_keys)
        snprintf(text, text_bytes, "every key typed here is the guest's; " TERMINAL_KEYS);
    return 0;
}

/* stream_check has seen that what stands there may go. */
static int link_make(struct stream *stream, const char *link)
{
    if (unlink(link) < 0 && errno != ENOENT)
        return -errno;
    if (symlink(stream->pty, link) < 0)
        return -errno;
    stream->link = strdup(link);
    return stream->link ? 0 : -ENOMEM;
}

/* Somebody may have put another one there. */
static void link_remove(struct stream *stream)
{
    char target[PTY_BYTES] = "";
    if (readlink(stream->link, target, sizeof(target) - 1) > 0 && strcmp(target, stream->pty) == 0)
        unlink(stream->link);
    free(stream->link);
}

static int open_pty(struct stream *stream, const char *link, char *text, size_t text_bytes)
{
    stream->kind = STREAM_PTY;
    int terminal = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC | O_NONBLOCK);
    if (terminal < 0)
        return -errno;
    stream->in = terminal;
    stream->in_own = true;
    stream->out = (struct output){.descriptor = terminal};
    if (grantpt(terminal) < 0 || unlockpt(terminal) < 0 ||
        ptsname_r(terminal, stream->pty, sizeof(stream->pty)) != 0)
        return -errno;
    struct termios raw;
    if (tcgetattr(terminal, &raw) == 0) {
        cfmakeraw(&raw);
        tcsetattr(terminal, TCSANOW, &raw);
    }
    /* Opened and closed once, the other side reads as hung up until somebody opens it. */
    int other = open(stream->pty, O_RDWR | O_NOCTTY | O_CLOEXEC);
    if (other >= 0)
        close(other);
    snprintf(text, text_bytes, "terminal at %s", link ? link : stream->pty);
    return link ? link_make(stream, link) : 0;
}

static int open_file(struct stream *stream, const char *path)
{
    stream->kind = STREAM_FILE;
    /* O_NONBLOCK: a FIFO without a reader must not hold up the start. */
    int file = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
    stream->out = (struct output){.descriptor = file, .is_own = file >= 0};
    return file < 0 ? -errno : 0;
}

static int open_named(struct stream *stream, const char *name, char *text, size_t text_bytes)
{
    if (strcmp(name, "stdio") == 0)
        return open_stdio(stream, text, text_bytes);
    if (strncmp(name, "file:", 5) == 0)
        return open_file(stream, name + 5);
    return open_pty(stream, name[3] == ':' ? name + 4 : NULL, text, text_bytes);
}

int stream_open(struct device *device, struct stream **stream, char *text, size_t text_bytes)
{
    const char *name = device->stream;
    *stream = NULL;
    int result = stream_check(name, text, text_bytes);
    if (result < 0 || !name || strcmp(name, "none") == 0)
        return result;
    struct stream *opened = calloc(1, sizeof(*opened));
    if (!opened) {
        snprintf(text, text_bytes, "no memory");
        return -ENOMEM;
    }
    opened->output = device->output;
    opened->input = device->input;
    opened->in = opened->out.descriptor = -1;
    opened->quiet_seconds = QUIET_SECONDS;
    result = open_named(opened, name, text, text_bytes);
    if (result < 0) {
        snprintf(text, text_bytes, "%s", strerror(-result));
        stream_close(opened);
        return result;
    }
    *stream = opened;
    return 0;
}

/* ---- output ------------------------------------------------------------------------------ */

/* A pty nobody has open would keep what is written until somebody comes. */
static bool is_hung_up(const struct stream *stream)
{
    struct pollfd state = {.fd = stream->out.descriptor};
    return stream->kind == STREAM_PTY && poll(&state, 1, 0) == 1 && (state.revents & POLLHUP);
}

/* False: nothing more goes out for now. */
static bool write_held(struct stream *stream)
{
    size_t count = stream->held_end - stream->held_begin;
    ssize_t written = is_hung_up(stream)
                          ? -EPIPE
                          : output_write(&stream->out, stream->held + stream->held_begin, count);
    if (written == -EAGAIN)
        return false;
    if (written < 0) {
        stream->lost_error = (int)-written;
        stream->lost += count;
        written = (ssize_t)count;
    }
    stream->held_begin += (size_t)written;
    return stream->held_begin == stream->held_end;
}

/* On a terminal lent to another client line feeds do not begin a line: a device that only talks,
 * and never to a terminal of its own, needs that done. Returns how many bytes it makes of [count],
 * at most twice as many. */
static size_t begin_lines(uint8_t *to, const uint8_t *from, size_t count)
{
    size_t made = 0;
    for (size_t i = 0; i < count; i++) {
        if (from[i] == '\n' && (i == 0 || from[i - 1] != '\r'))
            to[made++] = '\r';
        to[made++] = from[i];
    }
    return made;
}

static void take_output(struct stream *stream)
{
    stream->held_begin = 0;
    if (stream->kind != STREAM_STDIO || stream->input || !terminal_is_borrowed() ||
        !isatty(stream->out.descriptor)) {
        stream->held_end = byte_ring_pop(stream->output, stream->held, sizeof(stream->held));
        return;
    }
    uint8_t bytes[CHUNK_BYTES / 2];
    size_t count = byte_ring_pop(stream->output, bytes, sizeof(bytes));
    stream->held_end = begin_lines(stream->held, bytes, count);
}

static size_t pump_output(struct stream *stream)
{
    size_t moved = 0;
    for (int chunk = 0; stream->output && chunk < PUMP_CHUNKS; chunk++) {
        if (stream->held_begin == stream->held_end)
            take_output(stream);
        if (stream->held_begin == stream->held_end)
            break;
        size_t before = stream->held_begin;
        bool goes_on = write_held(stream);
        moved += stream->held_begin - before;
        if (!goes_on)
            break;
    }
    return moved;
}

/* ---- input ------------------------------------------------------------------------------- */

static size_t pump_input(struct stream *stream, bool is_listened)
{
    if (stream->in < 0 || !stream->input)
        return 0;
    uint8_t typed[256];
    size_t wanted = sizeof(typed);
    bool is_terminal = stream->is_keys || stream->kind == STREAM_PTY;
    /* Keys are read in any case, for the escape; so is a terminal nobody listens to. */
    if (!stream->is_keys && (is_listened || !is_terminal)) {
        size_t space = is_listened ? byte_ring_space(stream->input) : 0;
        wanted = space < wanted ? space : wanted;
    }
    struct pollfd ready = {.fd = stream->in, .events = POLLIN};
    if (wanted == 0 || poll(&ready, 1, 0) != 1 || !(ready.revents & POLLIN))
        return 0;
    ssize_t count = read(stream->in, typed, wanted);
    if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR && errno != EIO)) {
        if (stream->kind != STREAM_PTY) { /* end of stdin */
            if (stream->in_own)
                close(stream->in);
            stream->in = -1;
        }
        return 0;
    }
    if (count > 0 && stream->is_keys)
        count = (ssize_t)terminal_filter(typed, (size_t)count);
    for (ssize_t i = 0; i < count && is_listened; i++)
        byte_ring_try_push(stream->input, typed[i]);
    return count > 0 ? (size_t)count : 0;
}

size_t stream_pump(struct stream *stream, bool is_listened)
{
    return pump_output(stream) + pump_input(stream, is_listened);
}

/* ---- the end, and what was lost ---------------------------------------------------------- */

void stream_close(struct stream *stream)
{
    if (!stream)
        return;
    if (stream->output)
        pump_output(stream);
    if (stream->is_keys)
        terminal_return();
    if (stream->took_stdin)
        stdin_is_taken = false;
    if (stream->link)
        link_remove(stream);
    if (stream->in >= 0 && stream->in_own)
        close(stream->in);
    output_close(&stream->out);
    free(stream);
}

uint64_t stream_lost(const struct stream *stream)
{
    return stream ? stream->lost : 0;
}

bool stream_began_to_lose(struct stream *stream, char *text, size_t text_bytes)
{
    uint64_t lost = stream->lost + (stream->output ? byte_ring_dropped(stream->output) : 0);
    bool was_quiet = stream->quiet_seconds >= QUIET_SECONDS;
    bool is_losing = lost != stream->lost_seen;
    stream->lost_seen = lost;
    stream->quiet_seconds = is_losing ? 0 : was_quiet ? QUIET_SECONDS : stream->quiet_seconds + 1;
    if (!is_losing || !was_quiet)
        return false;
    const char *reason = stream->lost_error == 0 ? "it is taken more slowly than it comes"
                         : stream->kind == STREAM_PTY && stream->lost_error == EPIPE
                             ? "nobody has opened it"
                             : strerror(stream->lost_error);
    snprintf(text, text_bytes, "%s", reason);
    stream->lost_error = 0;
    return true;
}
