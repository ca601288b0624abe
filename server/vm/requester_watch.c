/* SPDX-License-Identifier: BSD-3-Clause */
/* requester.h's watcher: hears what the server says, sees its end, and goes over to the next server. */
#include "server/vm/requester_internal.h"

#include "pollers/ticks.h"
#include "server/socket/wire.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>

/* A server that died comes back within tens of milliseconds; one that does not come at all is given up. */
#define RETURN_NS            30000000000ull
#define RETURN_PAUSE_MOST_MS 32

/* False: the server is gone, or no longer makes sense. */
static bool requester_hear(struct requester *requester)
{
    char line[WIRE_LINE_MAX];
    int descriptor;
    if (wire_receive_line(requester->socket_fd, line, sizeof(line), &descriptor) != 0)
        return false;
    if (strcmp(line, "end") == 0) { /* in order: no other one comes */
        requester->is_kept = false;
        return true;
    }
    requester->listener.line(requester->listener.context, line, descriptor);
    return true;
}

/* True: somebody wants the watcher to end, within timeout_ms. */
static bool requester_is_woken(const struct requester *requester, int timeout_ms)
{
    struct pollfd entry = {.fd = requester->wake_fd, .events = POLLIN};
    return poll(&entry, 1, timeout_ms) > 0;
}

/* Gives the server one of our eventfds. */
static int requester_give(const struct requester *requester, const char *line, int fd)
{
    char reply[WIRE_LINE_MAX];
    const char *text;
    int socket_fd = wire_connect(requester->socket_path);
    if (socket_fd < 0)
        return socket_fd;
    int result = wire_send_line_with(socket_fd, fd, "%s", line);
    if (result == 0)
        result = wire_receive_line(socket_fd, reply, sizeof(reply), NULL);
    if (result == 0)
        result = wire_parse_reply(reply, &text);
    close(socket_fd);
    return result;
}

int requester_give_eventfds(const struct requester *requester)
{
    char line[64];
    int result = 0, upcall_fd = requester_eventfd(&requester->upcall_fd);
    for (uint32_t i = 0; i < SLOT_COUNT && result == 0; i++) {
        int notify_fd = requester_eventfd(&requester->notify_fds[i]);
        if (notify_fd < 0)
            continue;
        snprintf(line, sizeof(line), "notify-assign %.15s %u", requester->vm_name, i);
        result = requester_give(requester, line, notify_fd);
        requester_ring(notify_fd);
    }
    snprintf(line, sizeof(line), "upcall-assign %.15s", requester->vm_name);
    if (result == 0 && upcall_fd >= 0) {
        result = requester_give(requester, line, upcall_fd);
        if (result == -EOPNOTSUPP) /* it spins now */
            result = 0;
        requester_ring(upcall_fd);
    }
    return result;
}

/* Shows the page to the server that is there now. 0; -ENOENT, -ECONNREFUSED and the like: not yet;
 * -EPROTO: it says no. */
static int requester_show_page(struct requester *requester)
{
    char line[WIRE_LINE_MAX];
    const char *text;
    int fd = wire_connect(requester->socket_path);
    if (fd < 0)
        return fd;
    int result = wire_send_line_with(fd, requester->page_fd, "attach %s", requester->vm_name);
    /* It may have a lot to do. Who hangs up now, has left. */
    struct pollfd entries[2] = {{.fd = fd, .events = POLLIN},
                                {.fd = requester->wake_fd, .events = POLLIN}};
    if (result == 0 && poll(entries, 2, (int)(RETURN_NS / 1000000)) <= 0)
        result = -ETIMEDOUT;
    if (result == 0)
        result = wire_receive_line(fd, line, sizeof(line), NULL);
    if (result == 0 && wire_parse_reply(line, &text) != 0)
        result = -EPROTO;
    if (result != 0) {
        close(fd);
        return result;
    }
    close(requester->socket_fd);
    requester->socket_fd = fd;
    return requester_give_eventfds(requester);
}

/* The server has died, and another one is on its way: it has our page, and every slot of it. False:
 * none came, or not for us. Accesses wait meanwhile. */
static bool requester_return(struct requester *requester)
{
    if (!requester->is_kept)
        return false;
    uint64_t begin_ticks = ticks_now(), patience_ticks = ticks_from_ns(RETURN_NS);
    for (int pause_ms = 1; ticks_now() - begin_ticks < patience_ticks;) {
        int result = requester_show_page(requester);
        if (result == 0 && requester->listener.again)
            requester->listener.again(requester->listener.context);
        if (result == 0 || result == -EPROTO)
            return result == 0;
        if (requester_is_woken(requester, pause_ms))
            return false;
        pause_ms = pause_ms < RETURN_PAUSE_MOST_MS ? 2 * pause_ms : pause_ms;
    }
    return false;
}

void *requester_watch(void *argument)
{
    struct requester *requester = argument;
    bool goes_on = true;
    while (goes_on) {
        struct pollfd entries[2] = {
            {.fd = requester->socket_fd, .events = POLLIN | POLLRDHUP},
            {.fd = requester->wake_fd, .events = POLLIN},
        };
        if (poll(entries, 2, -1) < 0)
            goes_on = errno == EINTR;
        else
            goes_on = entries[1].revents == 0 &&
                      (((entries[0].revents & POLLIN) != 0 && requester_hear(requester)) ||
                       requester_return(requester));
    }
    requester_stop(requester);
    return NULL;
}
