/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * outside.h - a process that serves a client of ioreqd, good or bad, one step at a time.
 *
 * Flow:    outside_start -> outside_do, a step and its result, as often as needed -> outside_kill, or
 *          the steps that end it -> outside_wait.
 * Threads: the test's.
 * Errors:  a step that does not come back fails the test, by way of its time limit.
 */
#ifndef TESTS_SUPPORT_OUTSIDE_H
#define TESTS_SUPPORT_OUTSIDE_H

#include "tests/support/daemon_access.h"

#include "clients/channel_peer.h"
#include "clients/library/ioreq.h"
#include "clients/library/session.h"

#include <poll.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>

#define OUTSIDE_WAIT_NS 10000000000ull

enum outside_step {
    OUTSIDE_REGISTER = 1, /* by the library */
    OUTSIDE_TAKE,         /* a request; sleeps until there is one */
    OUTSIDE_ANSWER,       /* the one taken last, with outside_value */
    OUTSIDE_FAIL,
    OUTSIDE_SERVE,        /* takes and answers until cut off, sleeping in between; no result */
    OUTSIDE_SERVE_LOOP,   /* the same by the descriptor, in an event loop */
    OUTSIDE_WAIT_FOR_END, /* 0: the server has hung up */
    OUTSIDE_LEAVE,        /* ioreq_close */
    OUTSIDE_BREED,        /* a child that keeps the connection */
    /* The same channel without the library's manners: */
    OUTSIDE_JOIN,           /* registers, and maps the memories */
    OUTSIDE_WRITE_REQUESTS, /* dies of it; no result */
    OUTSIDE_RESIZE,         /* 0: nothing of it was possible */
    OUTSIDE_PUNCH,          /* the answers become zero */
    OUTSIDE_JUMP,           /* the next answer's turn jumps by 2^31 */
    OUTSIDE_STRAY,          /* 64 answers to what nobody asked */
    OUTSIDE_DEAF,           /* sends the line, and never reads the reply */
};

struct outside {
    pid_t pid;
    int socket;
};

struct outside_self {
    const char *path;
    const char *client_name;
    struct ioreq_client *client;
    struct ioreq_request request;
    struct channel_peer peer;
    int descriptors[SESSION_DESCRIPTORS];
};

/* What a read of that address gives. */
static inline uint64_t outside_value(uint64_t address)
{
    return address * 0x9e3779b97f4a7c15u | 1;
}

static inline int outside_answer(struct outside_self *self)
{
    return ioreq_answer(self->client, self->request.token, outside_value(self->request.address));
}

static inline int outside_serve(struct outside_self *self)
{
    for (;;) {
        int result = ioreq_receive(self->client, &self->request, IOREQ_FOREVER, 20000);
        if (result == 0)
            result = outside_answer(self);
        if (result < 0)
            return result;
    }
}

static inline int outside_serve_loop(struct outside_self *self)
{
    for (;;) {
        struct pollfd entry = {.fd = ioreq_descriptor(self->client), .events = POLLIN};
        int result = ioreq_arm(self->client);
        if (result == 0)
            poll(&entry, 1, -1);
        else if (result != -EAGAIN)
            return result;
        while ((result = ioreq_try_receive(self->client, &self->request)) == 0)
            outside_answer(self);
    }
}

static inline int outside_breed(void)
{
    if (fork() == 0) {
        for (int i = 0; i < 3; i++)
            close(i); /* whoever runs the test waits for its output to end */
        alarm(20);
        for (;;)
            pause();
    }
    return 0;
}

static inline int outside_join(struct outside_self *self)
{
    char line[64], error[SESSION_ERROR_BYTES];
    snprintf(line, sizeof(line), "client-register guest %s", self->client_name);
    int result = session_open(self->path, line, self->descriptors, error);
    return result < 0 ? result
                      : channel_peer_map(self->descriptors[0], self->descriptors[1], &self->peer);
}

static inline int outside_resize(struct outside_self *self)
{
    for (int i = 0; i < 2; i++)
        if (ftruncate(self->descriptors[i], 0) == 0 ||
            ftruncate(self->descriptors[i], 1 << 20) == 0 ||
            fcntl(self->descriptors[i], F_ADD_SEALS, F_SEAL_WRITE) == 0)
            return 1;
    return mmap(NULL, CHANNEL_REQUESTS_BYTES, PROT_WRITE, MAP_SHARED, self->descriptors[0], 0) !=
           MAP_FAILED;
}

static inline int outside_stray(struct outside_self *self)
{
    for (uint64_t i = 0; i < 64; i++) {
        const struct channel_answer answer = {i << 4 | i % 16, i, self->peer.epoch,
                                              CHANNEL_ANSWERED};
        channel_peer_answer(&self->peer, &answer);
    }
    return 0;
}

static inline int outside_deaf(struct outside_self *self)
{
    char line[64];
    int length = snprintf(line, sizeof(line), "client-register guest %s\n", self->client_name);
    int server = wire_connect(self->path);
    return server < 0 ? server : send(server, line, (size_t)length, 0) < 0 ? -errno : 0;
}

static inline int outside_step(struct outside_self *self, enum outside_step step)
{
    switch (step) {
    case OUTSIDE_REGISTER:
        ioreq_close(self->client);
        return ioreq_register(self->path, "guest", self->client_name, &self->client);
    case OUTSIDE_TAKE:
        return ioreq_receive(self->client, &self->request, OUTSIDE_WAIT_NS, 0);
    case OUTSIDE_ANSWER:
        return outside_answer(self);
    case OUTSIDE_FAIL:
        return ioreq_fail(self->client, self->request.token);
    case OUTSIDE_SERVE:
        return outside_serve(self);
    case OUTSIDE_SERVE_LOOP:
        return outside_serve_loop(self);
    case OUTSIDE_WAIT_FOR_END:
        while (ioreq_receive(self->client, &self->request, OUTSIDE_WAIT_NS, 0) == 0)
            ;
        return ioreq_arm(self->client) == -ECONNRESET ? 0 : -ETIMEDOUT;
    case OUTSIDE_LEAVE:
        ioreq_close(self->client);
        self->client = NULL;
        return 0;
    case OUTSIDE_BREED:
        return outside_breed();
    case OUTSIDE_JOIN:
        return outside_join(self);
    case OUTSIDE_WRITE_REQUESTS:
        signal(SIGSEGV, SIG_DFL);
        *(volatile uint32_t *)(uintptr_t)&self->peer.requests->epoch = 0;
        return 0;
    case OUTSIDE_RESIZE:
        return outside_resize(self);
    case OUTSIDE_PUNCH:
        return fallocate(self->descriptors[1], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                         CHANNEL_ANSWERS_BYTES);
    case OUTSIDE_JUMP:
        atomic_fetch_add(&self->peer.answers->cells[self->peer.pushed & CHANNEL_MASK].turn,
                         1ull << 31);
        return 0;
    case OUTSIDE_STRAY:
        return outside_stray(self);
    case OUTSIDE_DEAF:
        return outside_deaf(self);
    }
    return -EINVAL;
}

static inline struct outside outside_start(const struct daemon *daemon, const char *client_name)
{
    struct outside outside;
    int pair[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    outside.pid = fork();
    assert_true(outside.pid >= 0);
    outside.socket = pair[0];
    if (outside.pid > 0) {
        close(pair[1]);
        return outside;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    close(pair[0]);
    static struct outside_self self;
    self.path = daemon->socket;
    self.client_name = client_name;
    int step, result;
    while (recv(pair[1], &step, sizeof(step), 0) == sizeof(step)) {
        result = outside_step(&self, (enum outside_step)step);
        if (send(pair[1], &result, sizeof(result), MSG_NOSIGNAL) < 0)
            break;
    }
    _exit(0);
}

/* Begins a step without waiting for it. */
static inline void outside_begin(const struct outside *outside, enum outside_step step)
{
    int number = (int)step;
    assert_int_equal(send(outside->socket, &number, sizeof(number), MSG_NOSIGNAL), sizeof(number));
}

static inline int outside_result(const struct outside *outside)
{
    int result = 0;
    assert_int_equal(recv(outside->socket, &result, sizeof(result), 0), sizeof(result));
    return result;
}

static inline int outside_do(const struct outside *outside, enum outside_step step)
{
    outside_begin(outside, step);
    return outside_result(outside);
}

/* Its end: the exit code, or 128 + the signal. */
static inline int outside_wait(struct outside *outside)
{
    int status = 0;
    close(outside->socket);
    while (waitpid(outside->pid, &status, 0) < 0)
        ;
    outside->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static inline void outside_kill(struct outside *outside)
{
    kill(outside->pid, SIGKILL);
    outside_wait(outside);
}

#endif
