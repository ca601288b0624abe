/* SPDX-License-Identifier: BSD-3-Clause */
#include "config/input.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define INPUT_BUFFER_BYTES 4096u

static bool is_line_break(char byte)
{
    return byte == '\n' || byte == '\r';
}

/* Bytes of the break at `at`: 0, 1, or 2 for CR LF. */
static size_t line_break_bytes(const struct input *input, size_t at)
{
    if (at >= input->size_bytes || !is_line_break(input->bytes[at]))
        return 0;
    bool is_pair =
        input->bytes[at] == '\r' && at + 1 < input->size_bytes && input->bytes[at + 1] == '\n';
    return is_pair ? 2 : 1;
}

static int index_lines(struct input *input)
{
    size_t count = 1;
    for (size_t at = 0; at < input->size_bytes;) {
        size_t breaks = line_break_bytes(input, at);
        count += breaks > 0;
        at += breaks > 0 ? breaks : 1;
    }
    input->line_begins = malloc(count * sizeof(*input->line_begins));
    if (!input->line_begins)
        return -ENOMEM;
    input->line_begins[input->line_count++] = 0;
    for (size_t at = 0; at < input->size_bytes;) {
        size_t breaks = line_break_bytes(input, at);
        at += breaks > 0 ? breaks : 1;
        if (breaks > 0)
            input->line_begins[input->line_count++] = (uint32_t)at;
    }
    assert(input->line_count == count);
    return 0;
}

/* Takes over buffer [size_bytes + 1], also when it fails. */
static int input_init(struct input *input, char *buffer, size_t size_bytes)
{
    *input = (struct input){.buffer = buffer, .bytes = buffer, .size_bytes = size_bytes};
    buffer[size_bytes] = '\0';
    if (size_bytes >= 3 && memcmp(buffer, "\xef\xbb\xbf", 3) == 0) {
        input->bytes += 3;
        input->size_bytes -= 3;
    }
    int error = index_lines(input);
    if (error)
        input_fini(input);
    return error;
}

static int read_all(int descriptor, size_t expected_bytes, char **content, size_t *content_bytes)
{
    size_t capacity =
        expected_bytes + 2 > INPUT_BUFFER_BYTES ? expected_bytes + 2 : INPUT_BUFFER_BYTES;
    char *buffer = malloc(capacity);
    size_t used = 0;
    int error = buffer ? 0 : -ENOMEM;
    while (!error) {
        if (used + 1 == capacity) { /* it grew, or its size was not known */
            char *larger = realloc(buffer, capacity * 2);
            if (!larger) {
                error = -ENOMEM;
                break;
            }
            buffer = larger;
            capacity *= 2;
        }
        ssize_t got = read(descriptor, buffer + used, capacity - used - 1);
        if (got == 0)
            break;
        if (got < 0 && errno != EINTR)
            error = -errno;
        used += got > 0 ? (size_t)got : 0;
        if (used > INPUT_BYTES_MAX)
            error = -EFBIG;
    }
    if (error) {
        free(buffer);
        return error;
    }
    *content = buffer;
    *content_bytes = used;
    return 0;
}

static const char *file_type_name(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFDIR:
        return "a directory";
    case S_IFIFO:
        return "a FIFO";
    case S_IFCHR:
    case S_IFBLK:
        return "a device";
    default:
        return "not a regular file";
    }
}

static int input_read_open(struct input *input, int descriptor, char *reason, size_t reason_bytes)
{
    struct stat status;
    if (fstat(descriptor, &status) != 0) {
        int error = -errno;
        snprintf(reason, reason_bytes, "cannot be examined: %s", strerror(-error));
        return error;
    }
    if (!S_ISREG(status.st_mode)) {
        snprintf(reason, reason_bytes, "is %s; expected a regular file",
                 file_type_name(status.st_mode));
        return S_ISDIR(status.st_mode) ? -EISDIR : -ENOTSUP;
    }
    char *content = NULL;
    size_t content_bytes = 0;
    int error = -EFBIG;
    if (status.st_size <= (off_t)INPUT_BYTES_MAX)
        error = read_all(descriptor, (size_t)status.st_size, &content, &content_bytes);
    if (!error)
        error = input_init(input, content, content_bytes);
    if (error == -EFBIG)
        snprintf(reason, reason_bytes, "the file is too large; expected at most %u MiB",
                 (unsigned)(INPUT_BYTES_MAX >> 20));
    else if (error)
        snprintf(reason, reason_bytes, "cannot be read: %s", strerror(-error));
    return error;
}

int input_read(struct input *input, const char *path, char *reason, size_t reason_bytes)
{
    /* O_NONBLOCK: a FIFO must not stop the start. O_NOCTTY: nor a terminal become ours. */
    int descriptor = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (descriptor < 0) {
        int error = -errno;
        snprintf(reason, reason_bytes, "cannot be opened: %s", strerror(-error));
        /* -EINVAL is how config_load says "problems reported". */
        return error == -EINVAL ? -ENOTSUP : error;
    }
    int error = input_read_open(input, descriptor, reason, reason_bytes);
    close(descriptor);
    return error == -EINVAL ? -ENOTSUP : error;
}

int input_take(struct input *input, const void *bytes, size_t size_bytes)
{
    if (size_bytes > INPUT_BYTES_MAX)
        return -EFBIG;
    char *buffer = malloc(size_bytes + 1);
    if (!buffer)
        return -ENOMEM;
    if (size_bytes > 0)
        memcpy(buffer, bytes, size_bytes);
    return input_init(input, buffer, size_bytes);
}

void input_fini(struct input *input)
{
    free(input->buffer);
    free(input->line_begins);
    *input = (struct input){0};
}

/* Length of the well-formed character at bytes [left], left > 0; 0: there is none. */
static size_t utf8_decode(const unsigned char *bytes, size_t left, uint32_t *code)
{
    static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
    size_t length = bytes[0] < 0x80             ? 1
                    : (bytes[0] & 0xe0) == 0xc0 ? 2
                    : (bytes[0] & 0xf0) == 0xe0 ? 3
                    : (bytes[0] & 0xf8) == 0xf0 ? 4
                                                : 0;
    if (length == 0 || length > left)
        return 0;
    *code = length == 1 ? bytes[0] : bytes[0] & (0x7fu >> length);
    for (size_t i = 1; i < length; i++) {
        if ((bytes[i] & 0xc0) != 0x80)
            return 0;
        *code = *code << 6 | (bytes[i] & 0x3fu);
    }
    bool is_surrogate = *code >= 0xd800 && *code <= 0xdfff;
    return *code < smallest[length] || *code > 0x10ffff || is_surrogate ? 0 : length;
}

static bool may_stand_in_a_file(uint32_t code)
{
    if (code < 0x20)
        return code == '\t' || code == '\n' || code == '\r';
    if (code >= 0x7f && code < 0xa0)
        return false;
    return code != 0x2028 && code != 0x2029 && code != 0xfeff && code != 0xfffe && code != 0xffff;
}

bool input_check(const struct input *input, struct config_mark *mark, char *problem,
                 size_t problem_bytes)
{
    *mark = (struct config_mark){.line = 1, .column = 1};
    for (size_t at = 0; at < input->size_bytes;) {
        const unsigned char *byte = (const unsigned char *)input->bytes + at;
        uint32_t code = 0;
        size_t length = utf8_decode(byte, input->size_bytes - at, &code);
        if (length == 0)
            snprintf(problem, problem_bytes, "byte 0x%02x is not valid UTF-8; expected UTF-8 text",
                     *byte);
        else if (code == 0)
            snprintf(problem, problem_bytes, "a NUL byte; expected text");
        else if (!may_stand_in_a_file(code))
            snprintf(problem, problem_bytes, "the control character U+%04X; expected text",
                     (unsigned)code);
        else if (code == '%' && mark->column == 1)
            snprintf(problem, problem_bytes,
                     "a YAML directive; expected a file without directives");
        else {
            size_t breaks = line_break_bytes(input, at);
            at += breaks > 0 ? breaks : length;
            mark->line += breaks > 0;
            mark->column = breaks > 0 ? 1 : mark->column + 1;
            continue;
        }
        return false;
    }
    return true;
}

const char *input_line(const struct input *input, uint32_t line, size_t *line_bytes)
{
    assert(line >= 1 && line <= input->line_count);
    size_t begin = input->line_begins[line - 1];
    size_t end = line < input->line_count ? input->line_begins[line] : input->size_bytes;
    while (end > begin && is_line_break(input->bytes[end - 1]))
        end--;
    *line_bytes = end - begin;
    return input->bytes + begin;
}
