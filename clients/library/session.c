/* SPDX-License-Identifier: BSD-3-Clause */
#include "clients/library/session.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

void session_close_descriptors(int *descriptors)
{
    for (int i = 0; i < SESSION_DESCRIPTORS; i++) {
        if (descriptors[i] >= 0)
            close(descriptors[i]);
        descriptors[i] = -1;
    }
}

static int say(char *error, int result, const char *what)
{
    snprintf(error, SESSION_ERROR_BYTES, "%s: %s", what, strerror(-result));
    return result;
}

static int connect_to(const char *path, int timeout_s, char *error)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address.sun_path))
        return say(error, -ENAMETOOLONG, path);
    strcpy(address.sun_path, path);
    int connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connection < 0)
        return say(error, -errno, "socket");
    const struct timeval timeout = {.tv_sec = timeout_s};
    if (setsockopt(connection, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof(timeout)) < 0 ||
        setsockopt(connection, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout)) < 0 ||
        connect(connection, (struct sockaddr *)&address, sizeof(address)) < 0) {
        /* The send timeout bounds connect, too, and says so with EAGAIN. */
        int result = say(error, errno == EAGAIN ? -ETIMEDOUT : -errno, path);
        close(connection);
        return result;
    }
    return connection;
}

static int send_line(int connection, const char *line)
{
    size_t length = strlen(line);
    if (length + 1 >= SESSION_LINE_BYTES || memchr(line, '\n', length))
        return -EMSGSIZE;
    for (size_t sent = 0; sent < length + 1;) {
        const char *from = sent < length ? line + sent : "\n";
        ssize_t count = send(connection, from, sent < length ? length - sent : 1, MSG_NOSIGNAL);
        if (count < 0 && errno != EINTR)
            return errno == EAGAIN ? -ETIMEDOUT : -errno;
        sent += count > 0 ? (size_t)count : 0;
    }
    return 0;
}

/* What came beside the bytes; what is too many is closed. */
static void take_descriptors(struct msghdr *message, int *descriptors)
{
    int taken = 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
         header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int descriptor;
            memcpy(&descriptor, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
            if (taken < SESSION_DESCRIPTORS && descriptors[taken] < 0)
                descriptors[taken++] = descriptor;
            else
                close(descriptor);
        }
    }
}

/* The first line, without what follows it. */
static int receive_line(int connection, char *line, size_t line_bytes, int *descriptors)
{
    size_t length = 0;
    while (length + 1 < line_bytes) {
        union {
            struct cmsghdr align;
            char bytes[CMSG_SPACE((SESSION_DESCRIPTORS + 1) * sizeof(int))];
        } control;
        struct iovec piece = {.iov_base = line + length, .iov_len = line_bytes - 1 - length};
        struct msghdr message = {.msg_iov = &piece,
                                 .msg_iovlen = 1,
                                 .msg_control = control.bytes,
                                 .msg_controllen = sizeof(control.bytes)};
        ssize_t count = recvmsg(connection, &message, MSG_CMSG_CLOEXEC);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return count == 0 ? -ECONNRESET : errno == EAGAIN ? -ETIMEDOUT : -errno;
        take_descriptors(&message, descriptors);
        length += (size_t)count;
        line[length] = '\0';
        if (strchr(line, '\n'))
            return 0;
    }
    return -EPROTO;
}

/* "ok ...", or "error ERRNO TEXT", which may go on in further lines. */
static int parse_reply(char *line, char *error)
{
    line[strcspn(line, "\n")] = '\0';
    if (strcmp(line, "ok") == 0 || strncmp(line, "ok ", 3) == 0)
        return 0;
    char *end = line;
    long number = strncmp(line, "error ", 6) == 0 ? strtol(line + 6, &end, 10) : 0;
    if (number < 1 || number > 4095)
        return say(error, -EPROTO, "the server's reply");
    snprintf(error, SESSION_ERROR_BYTES, "%s", *end == ' ' ? end + 1 : end);
    return (int)-number;
}

int session_open(const char *socket_path, const char *line, int *descriptors, char *error)
{
    char reply[SESSION_REPLY_BYTES];
    return session_open_reply(socket_path, line, SESSION_TIMEOUT_MS / 1000, descriptors, reply,
                              error);
}

bool session_reply_number(const char *reply, const char *key, uint32_t *number)
{
    size_t length = strlen(key);
    for (const char *word = reply; (word = strchr(word, ' ')) != NULL;) {
        word++;
        if (strncmp(word, key, length) != 0 || word[length] != '=')
            continue;
        *number = (uint32_t)strtoul(word + length + 1, NULL, 10);
        return true;
    }
    return false;
}

int session_open_reply(const char *socket_path, const char *line, int timeout_s, int *descriptors,
                       char *reply, char *error)
{
    for (int i = 0; i < SESSION_DESCRIPTORS; i++)
        descriptors[i] = -1;
    int connection = connect_to(socket_path, timeout_s, error);
    if (connection < 0)
        return connection;
    int result = send_line(connection, line);
    if (result == 0)
        result = receive_line(connection, reply, SESSION_REPLY_BYTES, descriptors);
    if (result < 0)
        say(error, result, socket_path);
    else
        result = parse_reply(reply, error);
    if (result == 0)
        return connection;
    session_close_descriptors(descriptors);
    close(connection);
    return result;
}

int session_command(const char *socket_path, const char *line, char *error)
{
    int descriptors[SESSION_DESCRIPTORS];
    int connection = session_open(socket_path, line, descriptors, error);
    if (connection < 0)
        return connection;
    session_close_descriptors(descriptors);
    close(connection);
    return 0;
}

enum session_state session_look(int connection)
{
    char byte;
    ssize_t count = recv(connection, &byte, 1, MSG_PEEK | MSG_DONTWAIT);
    if (count > 0)
        return SESSION_ENDED; /* the one line that still comes */
    return count < 0 && (errno == EAGAIN || errno == EINTR) ? SESSION_OPEN : SESSION_DIED;
}
