/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * hostile_client: registers as a client's device like any other, then does what it must not.
 *
 * Flow:    register -> take what is asked, answer it or not, and the malice of --act -> when it is cut,
 *          register again, until it is killed or --seconds are over.
 * Errors:  exit code 0: the time was over; 1: it could not register; 2: usage; what kills it shows.
 *
 * Where it does answer a request by its own token it answers load_formula, once: any other value that
 * a guest sees was taken from an answer that had to be refused.
 */
#include "clients/channel_peer.h"
#include "clients/library/session.h"
#include "server/vm/load_mix.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* It dies of its own faults, as any program would: a sanitizer makes an exit of it. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
    return "handle_segv=0:handle_sigbus=0";
}
const char *__tsan_default_options(void);
const char *__tsan_default_options(void)
{
    return "handle_segv=0:handle_sigbus=0";
}

#define LIE        0x6666666666666666ull
#define KEPT_COUNT 200u     /* stale answers that are given at once */
#define ROUND_NS   2000000u /* between looks when nothing is asked */

struct hostile {
    const char *socket, *vm, *client;
    uint64_t random, until_ns;
    struct channel_peer peer;
    int connection, descriptors[SESSION_DESCRIPTORS];
    struct channel_request kept[KEPT_COUNT];
    uint32_t kept_count;
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* SplitMix64, as load_plan.h. */
static uint64_t random_next(struct hostile *self)
{
    uint64_t value = self->random += 0x9e3779b97f4a7c15u;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return value ^ value >> 31;
}

static void say(struct hostile *self, uint64_t token, uint64_t value, uint32_t epoch)
{
    const struct channel_answer answer = {token, value, epoch, CHANNEL_ANSWERED};
    channel_peer_answer(&self->peer, &answer);
}

static void answer_rightly(struct hostile *self, const struct channel_request *request)
{
    say(self, request->token, load_formula(request->address, request->size_bytes),
        self->peer.epoch);
}

static _Atomic uint64_t *next_turn(struct hostile *self)
{
    return &self->peer.answers->cells[self->peer.pushed & CHANNEL_MASK].turn;
}

/* ---- acts: with a request in hand, or NULL when there is none ---------------------------- */

static void answer_twice(struct hostile *self, const struct channel_request *request)
{
    if (!request)
        return;
    answer_rightly(self, request);
    say(self, request->token, LIE, self->peer.epoch);
}

/* A ticket that was never given, of the same slot, of others, and any number at all. */
static void answer_unknown(struct hostile *self, const struct channel_request *request)
{
    if (!request)
        return;
    say(self, request->token + 16, LIE, self->peer.epoch);
    say(self, request->token - 16, LIE, self->peer.epoch);
    say(self, 0, LIE, self->peer.epoch);
    say(self, random_next(self), LIE, self->peer.epoch);
    answer_rightly(self, request);
}

static void answer_other_slots(struct hostile *self, const struct channel_request *request)
{
    if (!request)
        return;
    for (uint64_t slot_index = 0; slot_index < 16; slot_index++)
        if (slot_index != request->token % 16)
            say(self, request->token / 16 * 16 + slot_index, LIE, self->peer.epoch);
    answer_rightly(self, request);
}

/* Slots 16 to 2^32-1, wherever a server might look for them. */
static void answer_far_slots(struct hostile *self, const struct channel_request *request)
{
    if (!request)
        return;
    for (uint32_t bit = 4; bit < 64; bit += 4)
        say(self, request->token ^ 1ull << bit, LIE, self->peer.epoch);
    say(self, request->token | 0xffffffffull, LIE, self->peer.epoch);
    answer_rightly(self, request);
}

static void answer_of_old(struct hostile *self, const struct channel_request *request)
{
    if (!request)
        return;
    say(self, request->token, LIE, self->peer.epoch - 1);
    say(self, request->token, LIE, self->peer.epoch + 1);
    say(self, request->token, LIE, 0);
}

static void jump_far(struct hostile *self, const struct channel_request *request)
{
    (void)request;
    atomic_fetch_add(next_turn(self), 1ull << 31);
}

static void jump_back(struct hostile *self, const struct channel_request *request)
{
    (void)request;
    atomic_fetch_sub(next_turn(self), CHANNEL_CAPACITY);
}

/* More than was asked; or less than it said before. Looked at when the ring seems full: it takes none. */
static void miscount(struct hostile *self, const struct channel_request *request)
{
    (void)request;
    atomic_store(&self->peer.answers->requests_taken,
                 random_next(self) & 1 ? self->peer.taken + CHANNEL_CAPACITY + 1 : 1);
}

/* Keeps all, and gives them when they are all too late. */
static void flood(struct hostile *self, const struct channel_request *request)
{
    if (request && self->kept_count < KEPT_COUNT)
        self->kept[self->kept_count++] = *request;
    if (self->kept_count < CHANNEL_CAPACITY + 8)
        return;
    for (uint32_t i = 0; i < self->kept_count; i++)
        answer_rightly(self, &self->kept[i]);
    self->kept_count = 0;
}

static void do_nothing(struct hostile *self, const struct channel_request *request)
{
    (void)self;
    (void)request;
}

static void write_requests(struct hostile *self, const struct channel_request *request)
{
    if (request)
        *(volatile uint32_t *)(uintptr_t)&self->peer.requests->epoch = 0;
}

/* Its own end, if any of it is possible. */
static void change_memory(struct hostile *self, const struct channel_request *request)
{
    if (!request)
        return;
    for (int i = 0; i < 2; i++)
        if (ftruncate(self->descriptors[i], 0) == 0 ||
            ftruncate(self->descriptors[i], 1 << 20) == 0 ||
            fcntl(self->descriptors[i], F_ADD_SEALS, F_SEAL_WRITE) == 0 ||
            mmap(NULL, CHANNEL_REQUESTS_BYTES, PROT_WRITE, MAP_SHARED, self->descriptors[0], 0) !=
                MAP_FAILED)
            _exit(99);
    fallocate(self->descriptors[1], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
              CHANNEL_ANSWERS_BYTES);
}

static void write_anything(struct hostile *self, const struct channel_request *request)
{
    (void)request;
    _Atomic uint64_t *words = (_Atomic uint64_t *)self->peer.answers;
    uint64_t index = random_next(self) % (sizeof(*self->peer.answers) / sizeof(*words));
    atomic_store(&words[index], random_next(self));
}

static void do_any(struct hostile *self, const struct channel_request *request);

static const struct act {
    const char *name;
    void (*run)(struct hostile *self, const struct channel_request *request);
    bool takes_none;
} acts[] = {
    {"twice", answer_twice, false},
    {"unknown", answer_unknown, false},
    {"slots", answer_other_slots, false},
    {"far-slots", answer_far_slots, false},
    {"old", answer_of_old, false},
    {"jump", jump_far, false},
    {"back", jump_back, false},
    {"stale", flood, false},
    {"memory", change_memory, false},
    {"anything", write_anything, false},
    {"write", write_requests, false},
    {"full", do_nothing, true},
    {"miscount", miscount, true},
    {"deaf", do_nothing, true},
    {"random", do_any, false},
};
#define ACT_COUNT (sizeof(acts) / sizeof(acts[0]))
#define ANY_COUNT 10u /* the first of them, which it survives */

/* Mostly right, so that it is not cut at once. */
static void do_any(struct hostile *self, const struct channel_request *request)
{
    if (random_next(self) % 16)
        (request ? answer_rightly : do_nothing)(self, request);
    else
        acts[random_next(self) % ANY_COUNT].run(self, request);
}

/* ---- life -------------------------------------------------------------------------------- */

/* Sends the line, and reads nothing that comes. */
static int register_deaf(const struct hostile *self)
{
    char line[64];
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", self->socket);
    int length = snprintf(line, sizeof(line), "client-register %s %s\n", self->vm, self->client);
    int connection = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (connect(connection, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        send(connection, line, (size_t)length, MSG_NOSIGNAL) < 0)
        return -errno;
    return connection;
}

static int join(struct hostile *self)
{
    char line[64], error[SESSION_ERROR_BYTES];
    snprintf(line, sizeof(line), "client-register %s %s", self->vm, self->client);
    self->kept_count = 0;
    self->connection = session_open(self->socket, line, self->descriptors, error);
    if (self->connection < 0)
        return self->connection;
    return channel_peer_map(self->descriptors[0], self->descriptors[1], &self->peer);
}

static void part(struct hostile *self)
{
    channel_peer_unmap(&self->peer);
    session_close_descriptors(self->descriptors);
    close(self->connection);
}

static bool goes_on(const struct hostile *self)
{
    return now_ns() < self->until_ns;
}

static void nap(void)
{
    nanosleep(&(struct timespec){.tv_nsec = ROUND_NS}, NULL);
}

static void misbehave(struct hostile *self, const struct act *act)
{
    while (goes_on(self) && channel_peer_is_alive(&self->peer)) {
        struct channel_request request;
        bool has_one = !act->takes_none && channel_peer_take(&self->peer, &request);
        act->run(self, has_one ? &request : NULL);
        if (!has_one)
            nap();
    }
}

static int run(struct hostile *self, const struct act *act)
{
    bool is_deaf = strcmp(act->name, "deaf") == 0;
    if (is_deaf) {
        if (register_deaf(self) < 0)
            return 1;
        while (goes_on(self))
            nap();
        return 0;
    }
    for (bool was_there = false; goes_on(self);) {
        int result = join(self);
        if (result == 0) {
            was_there = true;
            misbehave(self, act);
            part(self);
        } else if (!was_there && result != -EBUSY) {
            fprintf(stderr, "hostile_client: cannot register: %s\n", strerror(-result));
            return 1;
        } else {
            nap();
        }
    }
    return 0;
}

static int usage(FILE *out)
{
    fputs("Usage: hostile_client --socket PATH --vm NAME --client NAME --act ACT [--seed N]\n"
          "                      [--seconds N]\n"
          "Registers as that client's device, and does what it must not. ACT:",
          out);
    for (size_t i = 0; i < ACT_COUNT; i++)
        fprintf(out, " %s", acts[i].name);
    fputs("\nExit codes: 0 the time was over (3600 s), 1 it cannot register, 2 usage.\n", out);
    return out == stdout ? 0 : 2;
}

int main(int count, char **arguments)
{
    static const struct option names[] = {
        {"socket", required_argument, NULL, 's'}, {"vm", required_argument, NULL, 'v'},
        {"client", required_argument, NULL, 'c'}, {"act", required_argument, NULL, 'a'},
        {"seed", required_argument, NULL, 'S'},   {"seconds", required_argument, NULL, 'd'},
        {"help", no_argument, NULL, 'h'},         {0},
    };
    static struct hostile self;
    const struct act *act = NULL;
    uint64_t seconds = 3600;
    int option;
    self.random = now_ns();
    while ((option = getopt_long(count, arguments, "", names, NULL)) != -1) {
        switch (option) {
        case 's':
            self.socket = optarg;
            break;
        case 'v':
            self.vm = optarg;
            break;
        case 'c':
            self.client = optarg;
            break;
        case 'a':
            for (size_t i = 0; i < ACT_COUNT; i++)
                if (strcmp(acts[i].name, optarg) == 0)
                    act = &acts[i];
            break;
        case 'S':
            self.random = strtoull(optarg, NULL, 0);
            break;
        case 'd':
            seconds = strtoull(optarg, NULL, 0);
            break;
        case 'h':
            return usage(stdout);
        default:
            return usage(stderr);
        }
    }
    if (!self.socket || !self.vm || !self.client || !act || optind < count)
        return usage(stderr);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    self.until_ns = now_ns() + seconds * 1000000000u;
    return run(&self, act);
}
