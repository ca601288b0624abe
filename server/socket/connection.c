/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/socket/connection.h"

#include "pollers/ticks.h"
#include "server/log.h"
#include "server/notify/irqfd.h"
#include "server/processes/launcher.h"
#include "server/processes/registration.h"
#include "server/restart/keeper.h"
#include "server/socket/descriptor_passing.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* What an attached peer is told, one line each. */
struct outgoing {
    struct outgoing *next;
    int descriptor; /* goes with the first byte; -1: none */
    size_t length;
    size_t sent;
    char text[];
};

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
    int passed;           /* came with the line; -1: none */
    bool passed_too_many; /* descriptors; they are closed */
    struct requester_link requester_link;
    struct registration_link registration_link;
    struct outgoing *queue; /* oldest first */
    uint32_t queue_count;
    bool is_deaf; /* was cut: is told no more */
    bool may_all; /* else what launcher_allows */
};

static void drop_outgoing(struct connection *connection)
{
    struct outgoing *first = connection->queue;
    connection->queue = first->next;
    connection->queue_count--;
    if (first->descriptor >= 0)
        close(first->descriptor);
    free(first);
}

static void drop_passed(struct connection *connection)
{
    if (connection->passed >= 0)
        close(connection->passed);
    connection->passed = -1;
}

/* At the end of a server without a successor, to those that would wait for one. */
static void say_end(const struct connection *connection)
{
    const struct connections *connections = connection->connections;
    bool would_wait = connection->reply.attached || connection->reply.registration;
    if (would_wait && connections->keep_vms && keeper_is_there() &&
        !connections->context.topology->is_left)
        descriptor_send(connection->descriptor, "end\n", 4, -1);
}

static void connection_end(struct connection *connection)
{
    struct connections *connections = connection->connections;
    struct vm *vm = connection->reply.attached;
    say_end(connection);
    if (vm)
        vm_unlink_requester(vm);
    if (vm && !connections->keep_vms) {
        log_info("vm %s: requester pid %d detached", vm->name, (int)connection->pid);
        vm_detach(vm);
    }
    if (connection->reply.registration)
        registration_end(connection->reply.registration, connections->keep_vms);
    *connection->link = connection->next;
    if (connection->next)
        connection->next->link = connection->link;
    connections->count--;
    if (connection->watch)
        event_loop_unwatch(connection->watch);
    close(connection->descriptor);
    drop_passed(connection);
    while (connection->queue)
        drop_outgoing(connection);
    free(connection->reply.text);
    free(connection->line);
    free(connection);
}

/* Sends what the socket takes of text [length] behind *sent, with descriptors [descriptor_count] at
 * its beginning. False: the connection is over. */
static bool send_text(int socket, const char *text, size_t length, size_t *sent,
                      const int *descriptors, size_t descriptor_count)
{
    while (*sent < length) {
        ssize_t count = descriptors_send(socket, text + *sent, length - *sent, descriptors,
                                         *sent == 0 ? descriptor_count : 0);
        if (count < 0)
            return errno == EAGAIN || errno == EINTR;
        *sent += (size_t)count;
    }
    return true;
}

static bool is_sending(const struct connection *connection)
{
    return connection->reply_sent < connection->reply_length || connection->queue;
}

static bool send_reply(struct connection *connection)
{
    const struct command_reply *reply = &connection->reply;
    int descriptors[DESCRIPTORS_SENT_MAX] = {reply->descriptor};
    size_t count = reply->descriptor >= 0;
    for (uint32_t i = 0; i < reply->more_descriptor_count; i++)
        descriptors[count++] = reply->more_descriptors[i];
    return send_text(connection->descriptor, reply->text, connection->reply_length,
                     &connection->reply_sent, descriptors, count);
}

/* A peer that stays after its reply: it plays a hypervisor, or is a client's device. */
static bool is_resident(const struct connection *connection)
{
    return connection->reply.attached || connection->reply.registration;
}

/* Sends the reply, then the lines. False: the connection is over. */
static bool connection_send(struct connection *connection)
{
    if (!send_reply(connection))
        return false;
    while (connection->reply_sent == connection->reply_length && connection->queue) {
        struct outgoing *first = connection->queue;
        if (!send_text(connection->descriptor, first->text, first->length, &first->sent,
                       &first->descriptor, first->descriptor >= 0))
            return false;
        if (first->sent < first->length)
            break;
        drop_outgoing(connection);
    }
    /* The others have their answer. */
    return is_sending(connection) || is_resident(connection);
}

/* ---- what an attached peer is told ------------------------------------------------------- */

static struct connection *connection_of(struct requester_link *link)
{
    return (struct connection *)((char *)link - offsetof(struct connection, requester_link));
}

/* Whoever calls may be in the middle of things: the end comes by way of the event loop. */
static void cut(struct connection *connection)
{
    shutdown(connection->descriptor, SHUT_RDWR);
}

static struct outgoing *outgoing_create(const char *line, int descriptor)
{
    size_t length = strlen(line);
    struct outgoing *created = malloc(sizeof(*created) + length + 2);
    if (!created)
        return NULL;
    *created = (struct outgoing){.descriptor = -1, .length = length + 1};
    memcpy(created->text, line, length);
    memcpy(created->text + length, "\n", 2);
    if (descriptor >= 0)
        created->descriptor = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
    if (descriptor >= 0 && created->descriptor < 0) {
        free(created);
        return NULL;
    }
    return created;
}

static void link_send(struct requester_link *link, const char *line, int descriptor)
{
    struct connection *connection = connection_of(link);
    struct outgoing *last = NULL;
    if (connection->is_deaf)
        return;
    if (connection->queue_count < CONNECTION_QUEUE_MAX)
        last = outgoing_create(line, descriptor);
    if (!last) {
        log_warning("vm %s: requester pid %d does not read what it is told, or there is no "
                    "descriptor left; it is cut",
                    connection->reply.attached->name, (int)connection->pid);
        connection->is_deaf = true;
        cut(connection);
        return;
    }
    struct outgoing **end = &connection->queue;
    while (*end)
        end = &(*end)->next;
    *end = last;
    connection->queue_count++;
    event_watch_change(connection->watch, POLLIN | POLLOUT);
}

static void link_end(struct requester_link *link)
{
    struct connection *connection = connection_of(link);
    connection->reply.attached = NULL;
    cut(connection);
}

static void registration_over(struct registration_link *link)
{
    struct connection *connection =
        (struct connection *)((char *)link - offsetof(struct connection, registration_link));
    connection->reply.registration = NULL;
    connection->reply.descriptor = -1; /* they are closed; what was not sent goes without them */
    connection->reply.more_descriptor_count = 0;
    cut(connection);
}

static void connection_answer(struct connection *connection, struct command_reply reply)
{
    drop_passed(connection);
    connection->reply = reply;
    connection->reply_length = reply.text ? strlen(reply.text) : 0;
    connection->has_reply = true;
    connection->requester_link = (struct requester_link){.send = link_send, .end = link_end};
    if (reply.attached)
        vm_link_requester(reply.attached, &connection->requester_link);
    if (!reply.registration)
        return;
    connection->registration_link = (struct registration_link){.end = registration_over};
    registration_link(reply.registration, &connection->registration_link);
    if (registration_watch(reply.registration, connection->connections->loop) < 0)
        log_warning("process %d: its death will be seen by its connection only",
                    (int)connection->pid);
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
    return count == 0 && !is_resident(connection);
}

static struct command_reply run_line(struct connection *connection)
{
    if (connection->passed_too_many)
        return command_error(EINVAL, "at most one descriptor may come with a line");
    const struct launcher *launcher = connection->connections->context.topology->launcher;
    if (!connection->may_all && !launcher_allows(launcher, connection->pid, connection->line))
        return command_error(EPERM, "a process that ioreqd started may only serve its own client; "
                                    "for the rest see server: allowed_uids");
    return command_run(&connection->connections->context, connection->line, connection->pid,
                       connection->passed);
}

/* False: the connection is over. */
static bool connection_receive(struct connection *connection)
{
    if (connection->has_reply)
        return connection_discard(connection);
    char *end = connection->line + connection->line_length;
    size_t space = CONNECTION_LINE_BYTES - 1 - connection->line_length;
    ssize_t count = descriptor_receive(connection->descriptor, end, space, &connection->passed,
                                       &connection->passed_too_many);
    if (count <= 0)
        return count < 0 && (errno == EAGAIN || errno == EINTR);
    connection->line_length += (size_t)count;
    char *newline = memchr(connection->line, '\n', connection->line_length);
    if (newline) {
        *newline = '\0';
        connection_answer(connection, run_line(connection));
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
    if (connection->is_cut) {
        /* io_uring tells of its half hang-up for ever, asked or not: connections_poll looks on. */
        if (connection->watch)
            event_loop_unwatch(connection->watch);
        connection->watch = NULL;
        return;
    }
    event_watch_change(connection->watch, is_sending(connection) ? POLLIN | POLLOUT : POLLIN);
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

/* True if nobody needs it: no VM or client hangs on it, and no reply of ours is under way. */
static bool is_silent(const struct connection *connection)
{
    return !is_resident(connection) && !connection->reply.is_pending;
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

void connection_open(struct connections *connections, int descriptor, pid_t pid, bool may_all)
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
    connection->may_all = may_all;
    connection->since_ticks = ticks_now();
    connection->reply.descriptor = -1;
    connection->passed = -1;
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

/* True if the peer neither sends nor reads any more. */
static bool has_hung_up(const struct connection *connection)
{
    struct pollfd entry = {.fd = connection->descriptor};
    return poll(&entry, 1, 0) > 0;
}

void connections_poll(struct connections *connections)
{
    struct connection *next;
    for (struct connection *each = connections->first; each; each = next) {
        next = each->next;
        bool was_pending = each->reply.is_pending;
        if (was_pending)
            connection_answer(each, command_poll(&connections->context, each->line));
        if (each->is_cut)
            connection_go_on(each, !has_hung_up(each));
        else if (was_pending && !each->reply.is_pending)
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
