/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/socket/wire.h"

#include "server/socket/descriptor_passing.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static int64_t wire_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Waits until fd is ready for events. 0, -ETIMEDOUT once the deadline has passed, or -errno. */
static int wire_wait(int fd, short events, int64_t deadline_ms)
{
    for (;;) {
        int64_t left_ms = deadline_ms - wire_now_ms();
        if (left_ms <= 0)
            return -ETIMEDOUT;
        struct pollfd entry = {.fd = fd, .events = events};
        int ready = poll(&entry, 1, (int)left_ms);
        if (ready > 0)
            return 0; /* an error or a hang-up shows in the call that follows */
        if (ready < 0 && errno != EINTR)
            return -errno;
    }
}

int wire_connect(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    if (length == 0)
        return -ENOENT;
    if (length >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    memcpy(address.sun_path, path, length + 1);

    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0)
        return -errno;
    /* A full backlog would block connect for ever; the send timeout bounds it, too. */
    struct timeval timeout = {.tv_sec = WIRE_TIMEOUT_MS / 1000};
    int error = 0;
    if (setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) != 0 ||
        connect(fd, (const struct sockaddr *)&address, sizeof(address)) != 0)
        error = errno == EAGAIN ? ETIMEDOUT : errno;
    if (error == 0)
        return fd;
    close(fd);
    return -error;
}

__attribute__((format(printf, 3, 0))) static int send_line(int fd, int descriptor,
                                                           const char *format, va_list arguments)
{
    char line[WIRE_LINE_MAX + 1];
    int formatted = vsnprintf(line, sizeof(line), format, arguments);
    if (formatted < 0)
        return -EINVAL;
    if (formatted >= WIRE_LINE_MAX)
        return -EMSGSIZE;
    if (strchr(line, '\n'))
        return -EINVAL;
    size_t length = (size_t)formatted;
    line[length++] = '\n';

    int64_t deadline_ms = wire_now_ms() + WIRE_TIMEOUT_MS;
    size_t sent = 0;
    while (sent < length) {
        ssize_t count =
            descriptor_send(fd, line + sent, length - sent, sent == 0 ? descriptor : -1);
        if (count > 0) {
            sent += (size_t)count;
            continue;
        }
        if (count < 0 && errno != EAGAIN && errno != EINTR)
            return -errno;
        int result = wire_wait(fd, POLLOUT, deadline_ms);
        if (result != 0)
            return result;
    }
    return 0;
}

int wire_send_line(int fd, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int result = send_line(fd, -1, format, arguments);
    va_end(arguments);
    return result;
}

int wire_send_line_with(int fd, int descriptor, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    int result = send_line(fd, descriptor, format, arguments);
    va_end(arguments);
    return result;
}

/* One byte, so that nothing behind the line is taken. 0, or a negative errno. */
static int wire_receive_byte(int fd, char *byte, int *passed_fd, int64_t deadline_ms)
{
    for (;;) {
        bool too_many = false;
        ssize_t count = descriptor_receive(fd, byte, 1, passed_fd, &too_many);
        if (count > 0)
            return too_many ? -EPROTO : 0;
        if (count == 0)
            return -ECONNRESET;
        if (errno != EAGAIN && errno != EINTR)
            return -errno;
        int result = wire_wait(fd, POLLIN, deadline_ms);
        if (result != 0)
            return result;
    }
}

int wire_receive_line(int fd, char *line, size_t line_bytes, int *passed_fd)
{
    if (passed_fd)
        *passed_fd = -1;
    int64_t deadline_ms = wire_now_ms() + WIRE_TIMEOUT_MS;
    int result = -EMSGSIZE;
    for (size_t length = 0; length < line_bytes; length++) {
        char byte = 0;
        result = wire_receive_byte(fd, &byte, passed_fd, deadline_ms);
        if (result == 0 && byte == '\0')
            result = -EPROTO;
        if (result != 0)
            break;
        if (byte == '\n') {
            line[length] = '\0';
            return 0;
        }
        line[length] = byte;
        result = -EMSGSIZE;
    }
    if (passed_fd && *passed_fd >= 0) {
        close(*passed_fd);
        *passed_fd = -1;
    }
    if (line_bytes > 0)
        line[0] = '\0';
    return result;
}

int wire_parse_reply(const char *line, const char **text)
{
    *text = line;
    if (strcmp(line, "ok") == 0 || strncmp(line, "ok ", 3) == 0) {
        *text = line + (line[2] == ' ' ? 3 : 2);
        return 0;
    }
    if (strncmp(line, "error ", 6) != 0 || line[6] < '0' || line[6] > '9')
        return -EPROTO;
    char *end;
    errno = 0;
    long number = strtol(line + 6, &end, 10);
    if (errno != 0 || number < 1 || number > 4095 || (*end != '\0' && *end != ' '))
        return -EPROTO;
    *text = *end == ' ' ? end + 1 : end;
    return (int)-number;
}
