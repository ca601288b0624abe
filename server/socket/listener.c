/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/socket/listener.h"

#include "server/log.h"
#include "server/processes/launcher.h"
#include "server/socket/connection.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

struct listener {
    struct connections connections;
    const struct config_server *server; /* not owned */
    struct event_watch *watch;          /* NULL: paused or stopped */
    int descriptor;
    int lock;
    bool is_bound;
    bool is_stopped;
    struct sockaddr_un address;
};

/* Whoever may say anything. */
static bool is_allowed(const struct listener *listener, uid_t uid)
{
    const struct config_server *server = listener->server;
    if (uid == 0 || uid == geteuid())
        return true;
    for (size_t i = 0; i < server->allowed_uid_count; i++)
        if (server->allowed_uids[i] == uid)
            return true;
    return false;
}

static void take_peer(struct listener *listener, int descriptor)
{
    struct ucred peer;
    socklen_t length = sizeof(peer);
    if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0) {
        close(descriptor);
        return;
    }
    bool is_allowed_all = is_allowed(listener, peer.uid);
    if (!is_allowed_all &&
        !launcher_knows(listener->connections.context.topology->launcher, peer.pid)) {
        log_warning("refused user %u (pid %d); add it to server: allowed_uids to let it in",
                    (unsigned)peer.uid, (int)peer.pid);
        connection_refuse(descriptor, EPERM, "this user is not allowed; see server: allowed_uids");
        return;
    }
    connection_open(&listener->connections, descriptor, peer.pid, is_allowed_all);
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
    return event_loop_watch(listener->connections.loop, listener->descriptor, POLLIN,
                            listener_ready, listener, &listener->watch);
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

/* -EADDRINUSE: another server lives. */
static int take_lock(struct listener *listener)
{
    char path[sizeof(listener->address.sun_path) + 8];
    snprintf(path, sizeof(path), "%s.lock", listener->address.sun_path);
    listener->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (listener->lock < 0)
        return -errno;
    if (flock(listener->lock, LOCK_EX | LOCK_NB) < 0)
        return errno == EWOULDBLOCK ? -EADDRINUSE : -errno;
    return 0;
}

/* We have the lock: a socket that lies there belongs to nobody. */
static int clear_path(const char *path)
{
    struct stat file;
    if (lstat(path, &file) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISSOCK(file.st_mode))
        return -EEXIST;
    return unlink(path) == 0 ? 0 : -errno;
}

static int listener_open(struct listener *listener)
{
    const char *path = listener->address.sun_path;
    make_folder(path);
    int result = take_lock(listener);
    if (result == 0)
        result = clear_path(path);
    if (result < 0)
        return result;
    listener->descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener->descriptor < 0)
        return -errno;
    /* Whoever is allowed is decided by credentials; other users must be able to connect at all. */
    mode_t mask = umask(listener->server->allowed_uid_count > 0 ? 0111 : 0177);
    int failed = bind(listener->descriptor, (struct sockaddr *)&listener->address,
                      sizeof(listener->address));
    int error = errno;
    umask(mask);
    if (failed)
        return -error;
    listener->is_bound = true;
    return listen(listener->descriptor, CONNECTIONS_MAX) < 0 ? -errno : 0;
}

int listener_create(struct event_loop *loop, const struct config_server *server,
                    struct listener **listener)
{
    const char *path = server->socket;
    struct listener *created = calloc(1, sizeof(*created));
    if (!created)
        return -ENOMEM;
    created->connections.loop = loop;
    created->server = server;
    created->descriptor = created->lock = -1;
    created->address.sun_family = AF_UNIX;
    int result = -ENAMETOOLONG;
    if (strlen(path) < sizeof(created->address.sun_path)) {
        memcpy(created->address.sun_path, path, strlen(path) + 1);
        result = listener_open(created);
    }
    if (result < 0) {
        listener_destroy(created);
        return result;
    }
    *listener = created;
    return 0;
}

int listener_start(struct listener *listener, const struct command_context *context)
{
    listener->connections.context = *context;
    return listener_watch(listener);
}

void listener_poll(struct listener *listener)
{
    connections_poll(&listener->connections);
}

void listener_tick(struct listener *listener)
{
    if (!listener->watch && !listener->is_stopped)
        listener_watch(listener);
    connections_tick(&listener->connections);
}

void listener_stop(struct listener *listener)
{
    listener->is_stopped = true;
    listener->connections.keep_vms = true;
    if (listener->watch)
        event_loop_unwatch(listener->watch);
    listener->watch = NULL;
}

void listener_destroy(struct listener *listener)
{
    if (!listener)
        return;
    listener_stop(listener);
    connections_end(&listener->connections);
    if (listener->is_bound)
        unlink(listener->address.sun_path);
    if (listener->descriptor >= 0)
        close(listener->descriptor);
    if (listener->lock >= 0)
        close(listener->lock); /* after the unlink: the path is ours until here */
    free(listener);
}
