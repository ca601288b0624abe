/* SPDX-License-Identifier: BSD-3-Clause */
#include "clients/library/ioreq.h"

#include "clients/channel_peer.h"
#include "clients/library/session.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))

#define NAME_MAX_BYTES       15u
#define SPINS_A_CLOCK        64u            /* between two looks at the clock */
#define LOOKS_A_CONNECTION   (1u << 16)     /* looks for a request between two at the connection */
#define RETURN_NS            30000000000ull /* until a next server must be there */
#define RETURN_PAUSE_NS      1000000ull     /* between two attempts, first and at most */
#define RETURN_PAUSE_MOST_NS 32000000ull
#define NANOSECONDS_A_SECOND 1000000000ull

_Static_assert((int)IOREQ_PORTIO == (int)REQUEST_PORTIO, "same order");
_Static_assert((int)IOREQ_MMIO == (int)REQUEST_MMIO, "same order");
_Static_assert((int)IOREQ_PCICFG == (int)REQUEST_PCICFG, "same order");
_Static_assert((int)IOREQ_WP == (int)REQUEST_WP, "same order");
_Static_assert((int)IOREQ_READ == (int)REQUEST_READ, "same order");
_Static_assert((int)IOREQ_WRITE == (int)REQUEST_WRITE, "same order");
_Static_assert(IOREQ_NO_RANGE == REQUEST_NO_RANGE, "same value");

struct ioreq_client {
    struct channel_peer peer; /* first: it has cache lines of its own */
    int connection;
    int wake_descriptor;
    int poll_descriptor; /* both of the above, and the next */
    int timer_descriptor;
    atomic_flag is_answering; /* whoever holds it has the answers' end of peer */
    /* The receiving thread's. */
    bool is_armed;
    bool is_kept; /* the server is started again when it dies */
    bool is_lost; /* it has died, and the next one is not there yet */
    uint32_t empty_looks;
    uint64_t lost_until_ns, retry_ns, pause_ns;
    char *description; /* of a client that ioreq_create made, for the next server; or NULL */
    char vm[NAME_MAX_BYTES + 1];
    char name[NAME_MAX_BYTES + 1];
    char error[SESSION_ERROR_BYTES];
    char socket_path[]; /* with its NUL */
};

static _Thread_local char last_error[SESSION_ERROR_BYTES];

/* ---- coming and going -------------------------------------------------------------------- */

/* A name stands in a line of words: nothing but what the server allows, too. */
static bool is_name(const char *name)
{
    size_t length = name ? strlen(name) : 0;
    return length >= 1 && length <= NAME_MAX_BYTES &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") == length;
}

static const char *socket_or_default(const char *socket_path)
{
    const char *path = socket_path ? socket_path : secure_getenv("IOREQD_SOCKET");
    return path ? path : IOREQ_DEFAULT_SOCKET;
}

static int refuse_names(const char *vm, const char *name)
{
    if (is_name(vm) && is_name(name))
        return 0;
    snprintf(last_error, sizeof(last_error),
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

static int watch(struct ioreq_client *client, int descriptor)
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
    result = watch(client, client->wake_descriptor);
    if (result == 0)
        result = watch(client, client->timer_descriptor);
    return result < 0 ? result : watch(client, client->connection);
}

EXPORT int ioreq_register(const char *socket_path, const char *vm, const char *name,
                          struct ioreq_client **client)
{
    *client = NULL;
    last_error[0] = '\0';
    vm = vm ? vm : secure_getenv("IOREQD_VM");
    name = name ? name : secure_getenv("IOREQD_CLIENT");
    int result = refuse_names(vm, name);
    if (result < 0)
        return result;
    socket_path = socket_or_default(socket_path);
    char line[64];
    int descriptors[SESSION_DESCRIPTORS];
    snprintf(line, sizeof(line), "client-register %s %s", vm, name);
    char reply[SESSION_REPLY_BYTES];
    int connection = session_open_reply(socket_path, line, SESSION_TIMEOUT_MS / 1000, descriptors,
                                        reply, last_error);
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
        snprintf(last_error, sizeof(last_error), "the server's channel: %s", strerror(-result));
        client_free(created);
        return result;
    }
    *client = created;
    return 0;
}

static const char *type_name(uint32_t type)
{
    static const char *const names[] = {"portio", "mmio", "pcicfg"};
    return type <= IOREQ_PCICFG ? names[type] : NULL;
}

/* The client as the server's configuration would describe it. NULL: no memory; -EINVAL, -E2BIG in
 * *result. */
static char *describe(const char *vm, const char *name, const struct ioreq_range *ranges,
                      size_t count, int *result)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    *result = -ENOMEM;
    if (!out)
        return NULL;
    *result = 0;
    fprintf(out, "client-create {name: %s, vm: %s, device: process, ranges: [", name, vm);
    for (size_t i = 0; i < count && *result == 0; i++) {
        if (!type_name(ranges[i].type))
            *result = -EINVAL;
        else
            fprintf(out, "%s{type: %s, first: 0x%" PRIx64 ", last: 0x%" PRIx64 ", priority: %u}",
                    i > 0 ? ", " : "", type_name(ranges[i].type), ranges[i].first, ranges[i].last,
                    ranges[i].priority);
        if (ftell(out) > SESSION_LINE_BYTES - 64)
            *result = -E2BIG;
    }
    fputs("]}", out);
    if (fclose(out) != 0 && *result == 0)
        *result = -ENOMEM;
    return text;
}

EXPORT int ioreq_create(const char *socket_path, const char *vm, const char *name,
                        const struct ioreq_range *ranges, size_t count,
                        struct ioreq_client **client)
{
    *client = NULL;
    last_error[0] = '\0';
    socket_path = socket_or_default(socket_path);
    int result = refuse_names(vm, name);
    if (result < 0)
        return result;
    char *line = describe(vm, name, ranges, count, &result);
    if (result < 0)
        snprintf(last_error, sizeof(last_error), "the ranges: %s", strerror(-result));
    else
        result = session_command(socket_path, line, last_error);
    if (result == 0)
        result = ioreq_register(socket_path, vm, name, client);
    else {
        free(line);
        return result;
    }
    if (result == 0) {
        (*client)->description = line;
    } else {
        free(line);
        char undo[64], ignored[SESSION_ERROR_BYTES];
        snprintf(undo, sizeof(undo), "client-destroy %s %s", vm, name);
        session_command(socket_path, undo, ignored);
    }
    return result;
}

EXPORT void ioreq_close(struct ioreq_client *client)
{
    if (!client)
        return;
    /* Relaxed: closing the connection orders it. */
    atomic_store_explicit(&client->peer.answers->is_leaving, 1, memory_order_relaxed);
    client_free(client);
}

EXPORT int ioreq_destroy(struct ioreq_client *client)
{
    char line[64];
    snprintf(line, sizeof(line), "client-destroy %s %s", client->vm, client->name);
    int result = session_command(client->socket_path, line, last_error);
    ioreq_close(client);
    return result;
}

EXPORT const char *ioreq_error(const struct ioreq_client *client)
{
    return client ? client->error : last_error;
}

static int change_range(struct ioreq_client *client, const struct ioreq_range *range, bool adds)
{
    char line[192];
    if (!type_name(range->type))
        return -EINVAL;
    int length = snprintf(line, sizeof(line), "range-%s %s %s %s 0x%" PRIx64 " 0x%" PRIx64,
                          adds ? "add" : "delete", client->vm, client->name, type_name(range->type),
                          range->first, range->last);
    if (adds)
        snprintf(line + length, sizeof(line) - (size_t)length, " %u", range->priority);
    return session_command(client->socket_path, line, client->error);
}

EXPORT int ioreq_add_range(struct ioreq_client *client, const struct ioreq_range *range)
{
    return change_range(client, range, true);
}

EXPORT int ioreq_delete_range(struct ioreq_client *client, const struct ioreq_range *range)
{
    return change_range(client, range, false);
}

/* ---- requests ---------------------------------------------------------------------------- */

static int say_reset(struct ioreq_client *client)
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

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NANOSECONDS_A_SECOND + (uint64_t)now.tv_nsec;
}

/* Held for a handful of stores, against the receiving thread when that changes servers. */
static void lock_answers(struct ioreq_client *client)
{
    while (atomic_flag_test_and_set_explicit(&client->is_answering, memory_order_acquire))
        __builtin_ia32_pause();
}

static void unlock_answers(struct ioreq_client *client)
{
    atomic_flag_clear_explicit(&client->is_answering, memory_order_release);
}

/* ---- the next server --------------------------------------------------------------------- */

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
    return watch(client, client->wake_descriptor);
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
    return watch(client, connection);
}

/* Looks at the connection. 0: the server is there. -EAGAIN: it has died, and we wait for the next one.
 * -ECONNRESET: there is none to wait for. */
static int look_after(struct ioreq_client *client)
{
    uint64_t now = now_ns();
    if (!client->is_lost) {
        enum session_state state = session_look(client->connection);
        if (state == SESSION_OPEN)
            return 0;
        if (state == SESSION_ENDED || !client->is_kept || !channel_peer_is_alive(&client->peer))
            return say_reset(client);
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
        return say_reset(client);
    client->retry_ns = now_ns() + client->pause_ns;
    if (client->pause_ns < RETURN_PAUSE_MOST_NS)
        client->pause_ns *= 2;
    return -EAGAIN;
}

/* The descriptor becomes readable when the next attempt is due. */
static void arm_timer(struct ioreq_client *client)
{
    const struct itimerspec due = {
        .it_value = {.tv_sec = (time_t)(client->retry_ns / NANOSECONDS_A_SECOND),
                     .tv_nsec = (long)(client->retry_ns % NANOSECONDS_A_SECOND)}};
    timerfd_settime(client->timer_descriptor, TFD_TIMER_ABSTIME, &due, NULL);
}

/* ---- receiving --------------------------------------------------------------------------- */

EXPORT int ioreq_try_receive(struct ioreq_client *client, struct ioreq_request *request)
{
    struct channel_request taken;
    if (!channel_peer_is_alive(&client->peer))
        return say_reset(client);
    if (!channel_peer_take(&client->peer, &taken)) {
        if (++client->empty_looks % LOOKS_A_CONNECTION == 0 && look_after(client) == -ECONNRESET)
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
        return say_reset(client);
    int state = look_after(client);
    if (state == -ECONNRESET)
        return state;
    /* What woke us before, first: what comes after it must wake us again. */
    if ((read(client->wake_descriptor, &count, sizeof(count)) < 0 && errno != EAGAIN) ||
        (read(client->timer_descriptor, &count, sizeof(count)) < 0 && errno != EAGAIN))
        return -errno;
    if (state == -EAGAIN)
        arm_timer(client);
    client->is_armed = true;
    channel_peer_set_asleep(&client->peer, true);
    if (!channel_peer_is_alive(&client->peer))
        return say_reset(client);
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
        return say_reset(client);
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
