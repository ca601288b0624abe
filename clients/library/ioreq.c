/* SPDX-License-Identifier: BSD-3-Clause */
#include "clients/library/ioreq_internal.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define SPINS_A_CLOCK      64u        /* between two looks at the clock */
#define LOOKS_A_CONNECTION (1u << 16) /* looks for a request between two at the connection */

_Static_assert((int)IOREQ_PORTIO == (int)REQUEST_PORTIO, "same order");
_Static_assert((int)IOREQ_MMIO == (int)REQUEST_MMIO, "same order");
_Static_assert((int)IOREQ_PCICFG == (int)REQUEST_PCICFG, "same order");
_Static_assert((int)IOREQ_WP == (int)REQUEST_WP, "same order");
_Static_assert((int)IOREQ_READ == (int)REQUEST_READ, "same order");
_Static_assert((int)IOREQ_WRITE == (int)REQUEST_WRITE, "same order");
_Static_assert(IOREQ_NO_RANGE == REQUEST_NO_RANGE, "same value");

_Thread_local char ioreq_last_error[SESSION_ERROR_BYTES];

/* ---- coming and going -------------------------------------------------------------------- */

/* A name stands in a line of words: nothing but what the server allows, too. */
static bool is_name(const char *name)
{
    size_t length = name ? strlen(name) : 0;
    return length >= 1 && length <= NAME_MAX_BYTES &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == length;
}

const char *ioreq_socket_path(const char *socket_path)
{
    const char *path = socket_path ? socket_path : secure_getenv("IOREQD_SOCKET");
    return path ? path : IOREQ_DEFAULT_SOCKET;
}

int ioreq_refuse_names(const char *vm, const char *name)
{
    if (is_name(vm) && is_name(name))
        return 0;
    snprintf(ioreq_last_error, sizeof(ioreq_last_error),
             "expected names of 1 to %u characters of a-z 0-9 _ - for the VM and the client",
             NAME_MAX_BYTES);
    return -EINVAL;
}

static void client_free(struct ioreq_client *client)
{
    channel_peer_unmap(&client->peer);
    if (client->wake_descriptor >= 0)
        close(client->wake_descriptor);
    if (client->poll_descriptor >= 0)
        close(client->poll_descriptor);
    if (client->timer_descriptor >= 0)
        close(client->timer_descriptor);
    free(client->description);
    if (client->connection >= 0)
        close(client->connection); /* the server sees this last */
    free(client);
}

int client_watch(struct ioreq_client *client, int descriptor)
{
    struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP};
    return epoll_ctl(client->poll_descriptor, EPOLL_CTL_ADD, descriptor, &event) < 0 ? -errno : 0;
}

static int client_open(struct ioreq_client *client, int *descriptors)
{
    int result = -EPROTO;
    if (descriptors[0] >= 0 && descriptors[1] >= 0 && descriptors[2] >= 0)
        result = channel_peer_map(descriptors[0], descriptors[1], &client->peer);
    if (result < 0)
        return result;
    client->wake_descriptor = descriptors[2];
    descriptors[2] = -1;
    client->poll_descriptor = epoll_create1(EPOLL_CLOEXEC);
    client->timer_descriptor = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (client->poll_descriptor < 0 || client->timer_descriptor < 0)
        return -errno;
    result = client_watch(client, client->wake_descriptor);
    if (result == 0)
        result = client_watch(client, client->timer_descriptor);
    return result < 0 ? result : client_watch(client, client->connection);
}

EXPORT int ioreq_register(const char *socket_path, const char *vm, const char *name,
                          struct ioreq_client **client)
{
    *client = NULL;
    ioreq_last_error[0] = '\0';
    vm = vm ? vm : secure_getenv("IOREQD_VM");
    name = name ? name : secure_getenv("IOREQD_CLIENT");
    int result = ioreq_refuse_names(vm, name);
    if (result < 0)
        return result;
    socket_path = ioreq_socket_path(socket_path);
    char line[64];
    int descriptors[SESSION_DESCRIPTORS];
    snprintf(line, sizeof(line), "client-register %s %s", vm, name);
    char reply[SESSION_REPLY_BYTES];
    int connection = session_open_reply(socket_path, line, SESSION_TIMEOUT_MS / 1000, descriptors,
                                        reply, ioreq_last_error);
    if (connection < 0)
        return connection;
    size_t size_bytes = sizeof(struct ioreq_client) + strlen(socket_path) + 1;
    struct ioreq_client *created =
        aligned_alloc(_Alignof(struct ioreq_client),
                      (size_bytes + _Alignof(struct ioreq_client) - 1) /
                          _Alignof(struct ioreq_client) * _Alignof(struct ioreq_client));
    if (!created) {
        session_close_descriptors(descriptors);
        close(connection);
        return -ENOMEM;
    }
    memset(created, 0, sizeof(*created));
    created->connection = connection;
    created->wake_descriptor = created->poll_descriptor = created->timer_descriptor = -1;
    atomic_flag_clear(&created->is_answering);
    uint32_t kept;
    created->is_kept = session_reply_number(reply, "kept", &kept) && kept == 1;
    strcpy(created->vm, vm);
    strcpy(created->name, name);
    strcpy(created->socket_path, socket_path);
    result = client_open(created, descriptors);
    session_close_descriptors(descriptors);
    if (result < 0) {
        snprintf(ioreq_last_error, sizeof(ioreq_last_error), "the server's channel: %s",
                 strerror(-result));
        client_free(created);
        return result;
    }
    *client = created;
    return 0;
}

EXPORT void ioreq_close(struct ioreq_client *client)
{
    if (!client)
        return;
    /* Relaxed: closing the connection orders it. */
    atomic_store_explicit(&client->peer.answers->is_leaving, 1, memory_order_relaxed);
    client_free(client);
}

EXPORT const char *ioreq_error(const struct ioreq_client *client)
{
    return client ? client->error : ioreq_last_error;
}

/* ---- requests ---------------------------------------------------------------------------- */

int client_say_reset(struct ioreq_client *client)
{
    snprintf(client->error, sizeof(client->error), "%s",
             channel_peer_is_alive(&client->peer) ? "the server has gone"
                                                  : "the server has hung up; its log says why");
    return -ECONNRESET;
}

static void disarm(struct ioreq_client *client)
{
    if (client->is_armed)
        channel_peer_set_asleep(&client->peer, false);
    client->is_armed = false;
}

/* ---- receiving --------------------------------------------------------------------------- */

EXPORT int ioreq_try_receive(struct ioreq_client *client, struct ioreq_request *request)
{
    struct channel_request taken;
    if (!channel_peer_is_alive(&client->peer))
        return client_say_reset(client);
    if (!channel_peer_take(&client->peer, &taken)) {
        if (++client->empty_looks % LOOKS_A_CONNECTION == 0 &&
            client_look_after(client) == -ECONNRESET)
            return -ECONNRESET;
        return -EAGAIN;
    }
    disarm(client);
    uint32_t resets = channel_peer_resets(&client->peer);
    *request = (struct ioreq_request){
        .token = taken.token,
        .address = taken.address,
        .offset = taken.offset,
        .value = taken.value,
        .ticks = taken.arrival_ticks,
        .range_index = taken.range_index,
        .vcpu = taken.vcpu,
        .type = taken.type,
        .direction = taken.direction,
        .size_bytes = taken.size_bytes,
        /* It knows the lower half; there were fewer resets since. */
        .resets = resets - (uint16_t)((uint16_t)resets - taken.resets),
    };
    return 0;
}

EXPORT uint32_t ioreq_resets(const struct ioreq_client *client)
{
    return channel_peer_resets(&client->peer);
}

EXPORT int ioreq_descriptor(const struct ioreq_client *client)
{
    return client->poll_descriptor;
}

EXPORT int ioreq_arm(struct ioreq_client *client)
{
    uint64_t count;
    if (!channel_peer_is_alive(&client->peer))
        return client_say_reset(client);
    int state = client_look_after(client);
    if (state == -ECONNRESET)
        return state;
    /* What woke us before, first: what comes after it must wake us again. */
    if ((read(client->wake_descriptor, &count, sizeof(count)) < 0 && errno != EAGAIN) ||
        (read(client->timer_descriptor, &count, sizeof(count)) < 0 && errno != EAGAIN))
        return -errno;
    if (state == -EAGAIN)
        client_arm_timer(client);
    client->is_armed = true;
    channel_peer_set_asleep(&client->peer, true);
    if (!channel_peer_is_alive(&client->peer))
        return client_say_reset(client);
    if (!channel_peer_has_request(&client->peer))
        return 0;
    disarm(client);
    return -EAGAIN;
}

static uint64_t add_saturated(uint64_t a, uint64_t b)
{
    return a > UINT64_MAX - b ? UINT64_MAX : a + b;
}

/* -EAGAIN: until_ns has passed. */
static int spin(struct ioreq_client *client, struct ioreq_request *request, uint64_t until_ns)
{
    for (;;) {
        for (uint32_t i = 0; i < SPINS_A_CLOCK; i++) {
            int result = ioreq_try_receive(client, request);
            if (result != -EAGAIN)
                return result;
            __builtin_ia32_pause();
        }
        if (until_ns != UINT64_MAX && now_ns() >= until_ns)
            return -EAGAIN;
    }
}

/* Once; -EAGAIN: there may be a request now. */
static int sleep_until(struct ioreq_client *client, uint64_t until_ns)
{
    struct pollfd entry = {.fd = client->poll_descriptor, .events = POLLIN};
    uint64_t now = now_ns(), left_ns = until_ns > now ? until_ns - now : 0;
    struct timespec timeout = {.tv_sec = (time_t)(left_ns / NANOSECONDS_A_SECOND),
                               .tv_nsec = (long)(left_ns % NANOSECONDS_A_SECOND)};
    int result = ioreq_arm(client);
    if (result < 0)
        return result;
    int ready = ppoll(&entry, 1, until_ns == UINT64_MAX ? NULL : &timeout, NULL);
    result = ready > 0 ? -EAGAIN : ready == 0 ? -ETIMEDOUT : -errno;
    disarm(client);
    return result;
}

EXPORT int ioreq_receive(struct ioreq_client *client, struct ioreq_request *request,
                         uint64_t timeout_ns, uint64_t spin_ns)
{
    uint64_t now = now_ns();
    uint64_t until_ns = add_saturated(now, timeout_ns), spin_until_ns = add_saturated(now, spin_ns);
    if (spin_until_ns > until_ns)
        spin_until_ns = until_ns;
    int result =
        spin_ns ? spin(client, request, spin_until_ns) : ioreq_try_receive(client, request);
    while (result == -EAGAIN) {
        result = sleep_until(client, until_ns);
        int received = ioreq_try_receive(client, request);
        if (received != -EAGAIN)
            return received;
    }
    return result;
}

/* ---- answers ----------------------------------------------------------------------------- */

static int send_answer(struct ioreq_client *client, uint64_t token, uint64_t value, uint32_t status)
{
    if (token == 0)
        return -EINVAL;
    lock_answers(client);
    if (!channel_peer_is_alive(&client->peer)) {
        unlock_answers(client);
        return client_say_reset(client);
    }
    const struct channel_answer answer = {token, value, client->peer.epoch, status};
    bool is_sent = channel_peer_answer(&client->peer, &answer);
    unlock_answers(client);
    return is_sent ? 0 : -EAGAIN;
}

EXPORT int ioreq_answer(struct ioreq_client *client, uint64_t token, uint64_t value)
{
    return send_answer(client, token, value, CHANNEL_ANSWERED);
}

EXPORT int ioreq_fail(struct ioreq_client *client, uint64_t token)
{
    return send_answer(client, token, 0, CHANNEL_FAILED);
}
