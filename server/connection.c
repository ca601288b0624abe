/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/connection.h"

#include "pollers/ticks.h"
#include "server/log.h"
#include "server/status.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct connection {
    struct listener *listener;
    struct connection *next;
    struct connection **link;
    struct event_watch *watch;
    struct vm *vm; /* attached to, or NULL */
    int descriptor;
    pid_t pid;
    uint64_t since_ticks;
    size_t line_length;
    char line[CONNECTION_LINE_BYTES];
    char *reply; /* what is still to be sent, from reply_sent on */
    size_t reply_length;
    size_t reply_sent;
    int reply_descriptor; /* goes with the first byte; not owned; -1: none */
};

struct listener {
    struct event_loop *loop;
    struct topology *topology;
    struct event_watch *watch; /* NULL: paused or stopped */
    struct connection *connections;
    size_t connection_count;
    int descriptor;
    bool is_stopped;
    struct sockaddr_un address;
};

static void connection_end(struct connection *connection)
{
    struct listener *listener = connection->listener;
    if (connection->vm && !listener->is_stopped) {
        log_info("vm %s: requester pid %d detached", connection->vm->name, (int)connection->pid);
        vm_detach(connection->vm);
    }
    *connection->link = connection->next;
    if (connection->next)
        connection->next->link = connection->link;
    listener->connection_count--;
    if (connection->watch)
        event_loop_unwatch(connection->watch);
    close(connection->descriptor);
    free(connection->reply);
    free(connection);
}

/* ---- answers ------------------------------------------------------------------------------------
 */

/* Sends what the socket takes now. False: the connection is over. */
static bool connection_send(struct connection *connection)
{
    while (connection->reply_sent < connection->reply_length) {
        struct iovec piece = {connection->reply + connection->reply_sent,
                              connection->reply_length - connection->reply_sent};
        struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
        union {
            struct cmsghdr header;
            char bytes[CMSG_SPACE(sizeof(int))];
        } control = {0};
        if (connection->reply_sent == 0 && connection->reply_descriptor >= 0) {
            message.msg_control = control.bytes;
            message.msg_controllen = sizeof(control.bytes);
            struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
            rights->cmsg_level = SOL_SOCKET;
            rights->cmsg_type = SCM_RIGHTS;
            rights->cmsg_len = CMSG_LEN(sizeof(int));
            memcpy(CMSG_DATA(rights), &connection->reply_descriptor, sizeof(int));
        }
        ssize_t sent = sendmsg(connection->descriptor, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
        if (sent < 0)
            return errno == EAGAIN || errno == EINTR;
        connection->reply_sent += (size_t)sent;
    }
    return connection->vm != NULL; /* an attached peer stays, the others have their answer */
}

/* Takes text, which it frees at the end. */
static void answer(struct connection *connection, char *text, int descriptor)
{
    connection->reply = text;
    connection->reply_length = text ? strlen(text) : 0;
    connection->reply_descriptor = descriptor;
}

static void answer_error(struct connection *connection, int error, const char *reason)
{
    char *text = NULL;
    if (asprintf(&text, "error %d %s\n", error, reason) < 0)
        text = NULL;
    answer(connection, text, -1);
}

static void command_attach(struct connection *connection, const char *name)
{
    struct listener *listener = connection->listener;
    char reason[160];
    struct vm *vm = topology_find_vm(listener->topology, name);
    if (!vm) {
        snprintf(reason, sizeof(reason), "no VM is called %.64s", name);
        answer_error(connection, ENOENT, reason);
        return;
    }
    int descriptor = -1;
    int result = listener->is_stopped ? -ESHUTDOWN : vm_attach(vm, connection->pid, &descriptor);
    if (result < 0) {
        if (result == -EBUSY)
            snprintf(reason, sizeof(reason), "process %d plays the hypervisor of VM %s already",
                     (int)vm->requester_pid, vm->name);
        else
            snprintf(reason, sizeof(reason), "VM %s: %s", vm->name, strerror(-result));
        answer_error(connection, -result, reason);
        return;
    }
    connection->vm = vm;
    log_info("vm %s: requester pid %d attached", vm->name, (int)connection->pid);
    char *text = NULL;
    if (asprintf(&text, "ok vcpus=%u\n", vm->page->vcpu_count) < 0)
        text = NULL;
    answer(connection, text, descriptor);
}

static void command_status(struct connection *connection, const char *form)
{
    bool as_json = strcmp(form, "json") == 0;
    if (!as_json && form[0] != '\0') {
        answer_error(connection, EINVAL, "expected: status [json]");
        return;
    }
    struct topology *topology = connection->listener->topology;
    char *status = as_json ? status_json(topology) : status_text(topology);
    char *text = NULL;
    if (!status || asprintf(&text, "ok\n%s%s", status, as_json ? "\n" : "") < 0)
        text = NULL;
    free(status);
    if (text)
        answer(connection, text, -1);
    else
        answer_error(connection, ENOMEM, "no memory");
}

static void connection_command(struct connection *connection)
{
    static const struct {
        const char *name;
        void (*run)(struct connection *connection, const char *argument);
    } commands[] = {{"attach", command_attach}, {"status", command_status}};
    char *argument = strchr(connection->line, ' ');
    if (argument)
        *argument++ = '\0';
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(connection->line, commands[i].name) == 0) {
            commands[i].run(connection, argument ? argument : "");
            return;
        }
    }
    answer_error(connection, EINVAL, "unknown command; expected attach VM or status [json]");
}

/* ---- one connection -----------------------------------------------------------------------------
 */

/* False: the connection is over. Whatever comes after the line is none of ours, and no descriptor
 * is taken: a plain recv lets the kernel drop them. */
static bool connection_receive(struct connection *connection)
{
    if (connection->reply) {
        char rest[256];
        ssize_t count = recv(connection->descriptor, rest, sizeof(rest), MSG_DONTWAIT);
        return count > 0 || (count < 0 && (errno == EAGAIN || errno == EINTR));
    }
    char *end = connection->line + connection->line_length;
    size_t space = sizeof(connection->line) - 1 - connection->line_length;
    ssize_t count = recv(connection->descriptor, end, space, MSG_DONTWAIT);
    if (count <= 0)
        return count < 0 && (errno == EAGAIN || errno == EINTR);
    connection->line_length += (size_t)count;
    connection->line[connection->line_length] = '\0';
    char *newline = memchr(connection->line, '\n', connection->line_length);
    if (newline) {
        *newline = '\0';
        connection_command(connection);
    } else if (connection->line_length == sizeof(connection->line) - 1) {
        answer_error(connection, EMSGSIZE, "the line is too long");
    } else {
        return true;
    }
    return connection->reply != NULL;
}

static void connection_ready(void *context, uint32_t events)
{
    struct connection *connection = context;
    bool goes_on = true;
    if (events & POLLIN)
        goes_on = connection_receive(connection);
    else if (events & (POLLHUP | POLLERR))
        goes_on = false;
    if (goes_on && connection->reply)
        goes_on = connection_send(connection);
    if (!goes_on) {
        connection_end(connection);
        return;
    }
    bool is_sending = connection->reply_sent < connection->reply_length;
    event_watch_change(connection->watch, is_sending ? POLLIN | POLLOUT : POLLIN);
}

/* ---- accepting ----------------------------------------------------------------------------------
 */

static bool is_allowed(const struct listener *listener, uid_t uid)
{
    const struct config_server *server = &listener->topology->config->server;
    if (uid == 0 || uid == geteuid())
        return true;
    for (size_t i = 0; i < server->allowed_uid_count; i++)
        if (server->allowed_uids[i] == uid)
            return true;
    return false;
}

static void refuse_peer(int descriptor, int error, const char *reason)
{
    char text[160];
    int length = snprintf(text, sizeof(text), "error %d %s\n", error, reason);
    send(descriptor, text, (size_t)length, MSG_NOSIGNAL | MSG_DONTWAIT);
    close(descriptor);
}

static void take_peer(struct listener *listener, int descriptor)
{
    struct ucred peer;
    socklen_t length = sizeof(peer);
    if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0) {
        close(descriptor);
        return;
    }
    if (!is_allowed(listener, peer.uid)) {
        log_warning("refused user %u (pid %d); add it to server: allowed_uids to let it in",
                    (unsigned)peer.uid, (int)peer.pid);
        refuse_peer(descriptor, EPERM, "this user is not allowed; see server: allowed_uids");
        return;
    }
    if (listener->connection_count == CONNECTIONS_MAX) {
        refuse_peer(descriptor, EUSERS, "too many connections");
        return;
    }
    struct connection *connection = calloc(1, sizeof(*connection));
    if (!connection) {
        close(descriptor);
        return;
    }
    connection->listener = listener;
    connection->descriptor = descriptor;
    connection->pid = peer.pid;
    connection->since_ticks = ticks_now();
    connection->reply_descriptor = -1;
    connection->next = listener->connections;
    connection->link = &listener->connections;
    if (connection->next)
        connection->next->link = &connection->next;
    listener->connections = connection;
    listener->connection_count++;
    if (event_loop_watch(listener->loop, descriptor, POLLIN, connection_ready, connection,
                         &connection->watch) < 0)
        connection_end(connection);
}

static void listener_ready(void *context, uint32_t events)
{
    (void)events;
    struct listener *listener = context;
    int descriptor = accept4(listener->descriptor, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    if (descriptor >= 0) {
        take_peer(listener, descriptor);
        return;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
        /* Asking again at once would spin; the next tick does. */
        event_loop_unwatch(listener->watch);
        listener->watch = NULL;
    }
}

static int listener_watch(struct listener *listener)
{
    return event_loop_watch(listener->loop, listener->descriptor, POLLIN, listener_ready, listener,
                            &listener->watch);
}

/* Makes the folder of path if it is missing; its parents must exist. */
static void make_folder(const char *path)
{
    char folder[sizeof(((struct sockaddr_un *)0)->sun_path)];
    snprintf(folder, sizeof(folder), "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash && slash != folder) {
        *slash = '\0';
        mkdir(folder, 0755);
    }
}

/* A socket file whose server is gone is removed; anything else stays. */
static int clear_path(const struct sockaddr_un *address)
{
    struct stat file;
    if (lstat(address->sun_path, &file) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(file.st_mode))
        return -EEXIST;
    int probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (probe < 0)
        return -errno;
    bool answers = connect(probe, (const struct sockaddr *)address, sizeof(*address)) == 0;
    close(probe);
    if (answers)
        return -EADDRINUSE;
    return unlink(address->sun_path) == 0 ? 0 : -errno;
}

static int listener_open(struct listener *listener)
{
    make_folder(listener->address.sun_path);
    int result = clear_path(&listener->address);
    if (result < 0)
        return result;
    listener->descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener->descriptor < 0)
        return -errno;
    if (bind(listener->descriptor, (struct sockaddr *)&listener->address,
             sizeof(listener->address)) < 0)
        return -errno;
    /* Whoever is allowed is decided by credentials; other users must be able to connect at all. */
    bool has_others = listener->topology->config->server.allowed_uid_count > 0;
    chmod(listener->address.sun_path, has_others ? 0666 : 0600);
    if (listen(listener->descriptor, CONNECTIONS_MAX) < 0)
        return -errno;
    return listener_watch(listener);
}

int listener_create(struct event_loop *loop, struct topology *topology, struct listener **listener)
{
    const char *path = topology->config->server.socket;
    struct listener *created = calloc(1, sizeof(*created));
    if (!created)
        return -ENOMEM;
    created->loop = loop;
    created->topology = topology;
    created->descriptor = -1;
    created->address.sun_family = AF_UNIX;
    int result = -ENAMETOOLONG;
    if (strlen(path) < sizeof(created->address.sun_path)) {
        memcpy(created->address.sun_path, path, strlen(path) + 1);
        result = listener_open(created);
    }
    if (result < 0) {
        if (created->descriptor >= 0)
            close(created->descriptor);
        free(created);
        return result;
    }
    *listener = created;
    return 0;
}

void listener_tick(struct listener *listener)
{
    if (!listener->watch && !listener->is_stopped)
        listener_watch(listener);
    uint64_t oldest = ticks_now() - ticks_from_ns(CONNECTION_LINE_TIMEOUT_NS);
    struct connection *next;
    for (struct connection *each = listener->connections; each; each = next) {
        next = each->next;
        /* Neither attached nor finished: it never asked, or never reads the answer. */
        if (!each->vm && (int64_t)(each->since_ticks - oldest) < 0)
            connection_end(each);
    }
}

void listener_stop(struct listener *listener)
{
    listener->is_stopped = true;
    if (listener->watch)
        event_loop_unwatch(listener->watch);
    listener->watch = NULL;
}

void listener_destroy(struct listener *listener)
{
    if (!listener)
        return;
    listener_stop(listener);
    while (listener->connections)
        connection_end(listener->connections);
    unlink(listener->address.sun_path);
    close(listener->descriptor);
    free(listener);
}
