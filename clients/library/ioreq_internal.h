/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ioreq_internal.h - what ioreq.c (a client, its requests and answers), ioreq_create.c (clients and
 * ranges that are made at run time) and ioreq_return.c (from a server that died to the next one) share.
 *
 * Threads: what belongs to whom is said at struct ioreq_client; ioreq_last_error is each thread's own.
 */
#ifndef CLIENTS_LIBRARY_IOREQ_INTERNAL_H
#define CLIENTS_LIBRARY_IOREQ_INTERNAL_H

#include "clients/channel_peer.h"
#include "clients/library/ioreq.h"
#include "clients/library/session.h"

#include <stdatomic.h>
#include <time.h>

#define EXPORT __attribute__((visibility("default")))

#define NAME_MAX_BYTES       15u
#define NANOSECONDS_A_SECOND 1000000000ull

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

/* Why a function without a client failed. */
extern _Thread_local char ioreq_last_error[SESSION_ERROR_BYTES];

static inline uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NANOSECONDS_A_SECOND + (uint64_t)now.tv_nsec;
}

/* Held for a handful of stores, against the receiving thread when that changes servers. */
static inline void lock_answers(struct ioreq_client *client)
{
    while (atomic_flag_test_and_set_explicit(&client->is_answering, memory_order_acquire))
        __builtin_ia32_pause();
}

static inline void unlock_answers(struct ioreq_client *client)
{
    atomic_flag_clear_explicit(&client->is_answering, memory_order_release);
}

/* ---- ioreq.c ----------------------------------------------------------------------------- */

/* The one given, that of the environment, or the usual one. */
const char *ioreq_socket_path(const char *socket_path);

/* 0, or -EINVAL and ioreq_last_error: one of them is no name. */
int ioreq_refuse_names(const char *vm, const char *name);

/* The client's own descriptor becomes readable with that one. 0 or a negative errno. */
int client_watch(struct ioreq_client *client, int descriptor);

/* -ECONNRESET, with the reason in the client's error. */
int client_say_reset(struct ioreq_client *client);

/* ---- ioreq_return.c ---------------------------------------------------------------------- */

/* Looks at the connection. 0: the server is there. -EAGAIN: it has died, and we wait for the next one.
 * -ECONNRESET: there is none to wait for. The receiving thread. */
int client_look_after(struct ioreq_client *client);

/* The client's descriptor becomes readable when the next attempt is due. */
void client_arm_timer(struct ioreq_client *client);

#endif
