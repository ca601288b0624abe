/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/connection.h"

#include "pollers/ticks.h"
#include "server/log.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

struct connection {
    struct connections *connections;
    struct connection *next;
    struct connection **link;
    struct event_watch *watch;
    int descriptor;
    pid_t pid;
    uint64_t since_ticks;
    size_t line_length;
    char *line; /* [CONNECTION_LINE_BYTES] */
    bool has_reply;
    bool is_cut; /* the peer sends no more; the reply still goes out */
    struct command_reply reply;
    size_t reply_length;
    size_t reply_sent;
};

static void connection_end(struct connection *connection)
{
    struct connections *connections = connection->connections;
    struct vm *vm = connection->reply.attached;
    if (vm && !connections->keep_vms) {
        log_info("vm %s: requester pid %d detached", vm->name, (int)connection->pid);
        vm_detach(vm);
    }
    *connection->link = connection->next;
    if (connection->next)
        connection->next->link = connection->link;
    connections->count--;
    if (connection->watch)
        event_loop_unwatch(connection->watch);
    close(connection->descriptor);
    free(connection->reply.text);
    free(connection->line);
    free(connection);
}

/* Sends what the socket takes now. False: the connection is over. */
static bool connection_send(struct connection *connection)
{
    while (connection->reply_sent < connection->reply_length) {
        struct iovec piece = {connection->reply.text + connection->reply_sent,
                              connection->reply_length - connection->reply_sent};
        struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
        union {
            struct cmsghdr header;
            char bytes[CMSG_SPACE(sizeof(int))];
        } control = {0};
        if (connection->reply_sent == 0 && connection->reply.descriptor >= 0) {
            message.msg_control = control.bytes;
            message.msg_controllen = sizeof(control.bytes);
            struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
            rights->cmsg_level = SOL_SOCKET;
            rights->cmsg_type = SCM_RIGHTS;
            rights->cmsg_len = CMSG_LEN(sizeof(int));
            memcpy(CMSG_DATA(rights), &connection->reply.descriptor, sizeof(int));
        }
        ssize_t sent = sendmsg(connection->descriptor, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0)
            return errno == EAGAIN || errno == EINTR;
        connection->reply_sent += (size_t)sent;
    }
    return connection->reply.attached != NULL; /* the others have their answer */
}

static void connection_answer(struct connection *connection, struct command_reply reply)
{
    connection->reply = reply;
    connection->reply_length = reply.text ? strlen(reply.text) : 0;
    connection->has_reply = true;
}

/* Reads what comes behind the line, which is none of ours. False: the connection is over. */
static bool connection_discard(struct connection *connection)
{
    char rest[256];
    ssize_t count = recv(connection->descriptor, rest, sizeof(rest), MSG_DONTWAIT);
    if (count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR)))
        return true;
    /* A peer that only ended its own direction still reads the reply. */
    connection->is_cut = count == 0;
    return count == 0 && !connection->reply.attached;
}

/* False: the connection is over. No descriptor is taken: a plain recv lets the kernel drop them. */
static bool connection_receive(struct connection *connection)
{
    if (connection->has_reply)
        return connection_discard(connection);
    char *end = connection->line + connection->line_length;
    size_t space = CONNECTION_LINE_BYTES - 1 - connection->line_length;
    ssize_t count = recv(connection->descriptor, end, space, MSG_DONTWAIT);
    if (count <= 0)
        return count < 0 && (errno == EAGAIN || errno == EINTR);
    connection->line_length += (size_t)count;
    char *newline = memchr(connection->line, '\n', connection->line_length);
    if (newline) {
        *newline = '\0';
        connection_answer(connection, command_run(&connection->connections->context,
                                                  connection->line, connection->pid));
    } else if (connection->line_length == CONNECTION_LINE_BYTES - 1) {
        connection_answer(connection, command_error(EMSGSIZE, "the line is too long"));
    }
    return true;
}

/* Sends, and waits for what may come next. */
static void connection_go_on(struct connection *connection, bool goes_on)
{
    if (goes_on && connection->has_reply && !connection->reply.is_pending)
        goes_on = connection_send(connection);
    if (!goes_on) {
        connection_end(connection);
        return;
    }
    uint32_t events = connection->is_cut ? 0 : POLLIN;
    if (connection->reply_sent < connection->reply_length)
        events |= POLLOUT;
    event_watch_change(connection->watch, events);
}

static void connection_ready(void *context, uint32_t events)
{
    struct connection *connection = context;
    bool goes_on = true;
    if (events & POLLIN)
        goes_on = connection_receive(connection);
    else if (events & (POLLHUP | POLLERR))
        goes_on = false;
    connection_go_on(connection, goes_on);
}

void connection_refuse(int descriptor, int error, const char *reason)
{
    char text[160];
    int length = snprintf(text, sizeof(text), "error %d %s\n", error, reason);
    send(descriptor, text, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT);
    close(descriptor);
}

/* True if nobody needs it: no VM is attached to it, and no reply of ours is under way. */
static bool is_silent(const struct connection *connection)
{
    return !connection->reply.attached && !connection->reply.is_pending;
}

/* The oldest silent one ends. False: there is none. */
static bool make_room(struct connections *connections)
{
    struct connection *oldest = NULL;
    for (struct connection *each = connections->first; each; each = each->next)
        if (is_silent(each)) /* the list begins with the newest */
            oldest = each;
    if (oldest)
        connection_end(oldest);
    return oldest != NULL;
}

void connection_open(struct connections *connections, int descriptor, pid_t pid)
{
    if (connections->count == CONNECTIONS_MAX && !make_room(connections)) {
        connection_refuse(descriptor, EUSERS, "too many connections");
        return;
    }
    struct connection *connection = calloc(1, sizeof(*connection));
    char *line = malloc(CONNECTION_LINE_BYTES);
    if (!connection || !line) {
        free(connection);
        free(line);
        close(descriptor);
        return;
    }
    connection->connections = connections;
    connection->line = line;
    connection->descriptor = descriptor;
    connection->pid = pid;
    connection->since_ticks = ticks_now();
    connection->reply.descriptor = -1;
    connection->next = connections->first;
    connection->link = &connections->first;
    if (connection->next)
        connection->next->link = &connection->next;
    connections->first = connection;
    connections->count++;
    if (event_loop_watch(connections->loop, descriptor, POLLIN, connection_ready, connection,
                         &connection->watch) < 0)
        connection_end(connection);
}

void connections_poll(struct connections *connections)
{
    struct connection *next;
    for (struct connection *each = connections->first; each; each = next) {
        next = each->next;
        if (!each->reply.is_pending)
            continue;
        connection_answer(each, command_poll(&connections->context, each->line));
        if (!each->reply.is_pending)
            connection_go_on(each, true);
    }
}

void connections_tick(struct connections *connections)
{
    uint64_t oldest = ticks_now() - ticks_from_ns(CONNECTION_TIMEOUT_NS);
    struct connection *next;
    for (struct connection *each = connections->first; each; each = next) {
        next = each->next;
        if (is_silent(each) && (int64_t)(each->since_ticks - oldest) < 0)
            connection_end(each);
    }
}

void connections_end(struct connections *connections)
{
    while (connections->first)
        connection_end(connections->first);
}
