/* SPDX-License-Identifier: BSD-3-Clause */
/* From a server that died to the one that is started in its place. */
#include "clients/library/ioreq_internal.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define RETURN_NS            30000000000ull /* until a next server must be there */
#define RETURN_PAUSE_NS      1000000ull     /* between two attempts, first and at most */
#define RETURN_PAUSE_MOST_NS 32000000ull

static void let_go(struct ioreq_client *client, int *descriptor)
{
    epoll_ctl(client->poll_descriptor, EPOLL_CTL_DEL, *descriptor, NULL);
    close(*descriptor);
    *descriptor = -1;
}

/* The channel of the next server in place of the dead one's. What we answered and the dead one had not
 * read is said again; is_known: the next one knows what we took of the dead one, and awaits it. */
static int change_channel(struct ioreq_client *client, int *descriptors, bool is_known)
{
    struct channel_peer next, old;
    int result = channel_peer_map(descriptors[0], descriptors[1], &next);
    if (result < 0)
        return result;
    lock_answers(client);
    old = client->peer;
    if (is_known)
        channel_peer_repeat(&old, &next);
    client->peer = next;
    unlock_answers(client);
    channel_peer_unmap(&old);
    let_go(client, &client->wake_descriptor);
    client->wake_descriptor = descriptors[2];
    descriptors[2] = -1;
    client->is_armed = false;
    return client_watch(client, client->wake_descriptor);
}

/* One attempt. Waits for the reply of a server that is there, for long, as whoever hangs up has left;
 * and not for one that is not. */
static int register_again(struct ioreq_client *client)
{
    char line[96], reply[SESSION_REPLY_BYTES];
    int descriptors[SESSION_DESCRIPTORS];
    snprintf(line, sizeof(line), "client-register %s %s %u %u", client->vm, client->name,
             client->peer.epoch, (uint32_t)client->peer.taken);
    int connection =
        session_open_reply(client->socket_path, line, (int)(RETURN_NS / NANOSECONDS_A_SECOND),
                           descriptors, reply, client->error);
    if (connection == -ENOENT && client->description)
        session_command(client->socket_path, client->description, client->error);
    if (connection < 0)
        return connection;
    uint32_t is_known = 0;
    session_reply_number(reply, "resumed", &is_known);
    int result = -EPROTO;
    if (descriptors[0] >= 0 && descriptors[1] >= 0 && descriptors[2] >= 0)
        result = change_channel(client, descriptors, is_known == 1);
    session_close_descriptors(descriptors);
    if (result < 0) {
        close(connection);
        return result;
    }
    client->connection = connection;
    return client_watch(client, connection);
}

int client_look_after(struct ioreq_client *client)
{
    uint64_t now = now_ns();
    if (!client->is_lost) {
        enum session_state state = session_look(client->connection);
        if (state == SESSION_OPEN)
            return 0;
        if (state == SESSION_ENDED || !client->is_kept || !channel_peer_is_alive(&client->peer))
            return client_say_reset(client);
        client->is_lost = true;
        client->lost_until_ns = now + RETURN_NS;
        client->retry_ns = now;
        client->pause_ns = RETURN_PAUSE_NS;
        let_go(client, &client->connection);
    }
    if (now < client->retry_ns)
        return -EAGAIN;
    if (register_again(client) == 0) {
        client->is_lost = false;
        return 0;
    }
    if (now >= client->lost_until_ns)
        return client_say_reset(client);
    client->retry_ns = now_ns() + client->pause_ns;
    if (client->pause_ns < RETURN_PAUSE_MOST_NS)
        client->pause_ns *= 2;
    return -EAGAIN;
}

void client_arm_timer(struct ioreq_client *client)
{
    const struct itimerspec due = {
        .it_value = {.tv_sec = (time_t)(client->retry_ns / NANOSECONDS_A_SECOND),
                     .tv_nsec = (long)(client->retry_ns % NANOSECONDS_A_SECOND)}};
    timerfd_settime(client->timer_descriptor, TFD_TIMER_ABSTIME, &due, NULL);
}
