/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * channel.h - requests to a device in another process, and its answers, over shared memory: the two
 * rings, and the server's end of them.
 *
 * Flow:    channel_open -> the descriptors go to the process -> channel_try_push (a request) ...
 *          channel_look, channel_read_answer, channel_release -> channel_end ->
 *          channel_close. The process's end is channel_peer.h.
 *
 *              server --- requests: cells, answers read, life ---> process (read-only)
 *              server <-- answers: cells, requests taken, asleep --- process
 *
 *          A cell itself says that it is there, by the number of its turn: one cache line goes from
 *          CPU to CPU, not one with a count and then one with what it counts. Everything that one side
 *          writes lies in one memory, which the other can only read. No system call on the way in
 *          either direction.
 * Threads: one poller pushes and reads answers. channel_open and channel_close: control, while no
 *          poller knows the channel.
 * Memory:  two sealed memfds of their own for every incarnation of a process, so that nothing of an
 *          earlier one can be taken for its work. A punched hole makes the answers zero, which is
 *          never valid; the seals refuse the rest with EPERM.
 * Errors:  the process is not trusted. Of what it writes each word is read once; a turn is
 *          this lap's or the last one's, a count lies between the last one seen and what can be, or
 *          the channel is broken and must not be read again.
 * Source:  FastForward (Giacomoni, Moseley, Vachharajani, 2008), as inbox.h; memfd_create(2), fcntl(2).
 */
#ifndef CLIENTS_CHANNEL_H
#define CLIENTS_CHANNEL_H

#include "clients/request.h"

#include <stdalign.h>
#include <stdatomic.h>
#include <string.h>

/* A VM has 16 slots, each in flight at most once; what a deadline settled may still lie here. */
#define CHANNEL_CAPACITY    64u
#define CHANNEL_MASK        (CHANNEL_CAPACITY - 1)
#define CHANNEL_ALIGN_BYTES 128
#define CHANNEL_VERSION     1u
/* Both rings begin here, and a cell that was never used has the turn of the lap before: zero is
 * never valid. */
#define CHANNEL_FIRST (CHANNEL_CAPACITY + 1)

enum channel_life { CHANNEL_ALIVE = 1, CHANNEL_ENDED = 2 };

enum channel_status { CHANNEL_ANSWERED = 1, CHANNEL_FAILED = 2 };

/* One request. `token` names it in the answer; never 0. */
struct channel_request {
    alignas(64) uint64_t token;
    uint64_t address, offset, value, arrival_ticks;
    uint32_t range_index;
    uint16_t vcpu;
    uint8_t type, direction;
    uint32_t epoch;
    uint8_t size_bytes;
    uint8_t zero;
    uint16_t resets; /* the lower half of channel_requests.resets when it was pushed */
    _Atomic uint64_t turn; /* the request's number once it is there */
};
static_assert(sizeof(struct channel_request) == 64, "a request is one cache line");

/* Written by the server only; the process maps it read-only. */
struct channel_requests {
    alignas(CHANNEL_ALIGN_BYTES) uint32_t version;
    uint32_t epoch;                                             /* which incarnation; never 0 */
    _Atomic uint32_t life;                                      /* enum channel_life */
    _Atomic uint32_t resets; /* of the VM, since the channel was opened; the first has number 2 */
    alignas(CHANNEL_ALIGN_BYTES) _Atomic uint64_t answers_read; /* a number, as the next two */
    alignas(CHANNEL_ALIGN_BYTES) struct channel_request cells[CHANNEL_CAPACITY];
};

struct channel_answer_cell {
    _Atomic uint64_t token, value;
    _Atomic uint32_t epoch, status;
    _Atomic uint64_t turn; /* the answer's number once it is there */
};

/* Written by the process only; the server maps it read-only, and believes nothing. */
struct channel_answers {
    alignas(CHANNEL_ALIGN_BYTES) _Atomic uint32_t is_asleep;
    _Atomic uint32_t is_leaving; /* its end is no accident */
    alignas(CHANNEL_ALIGN_BYTES) _Atomic uint64_t requests_taken;
    alignas(CHANNEL_ALIGN_BYTES) struct channel_answer_cell cells[CHANNEL_CAPACITY];
};

#define CHANNEL_REQUESTS_BYTES 8192u
#define CHANNEL_ANSWERS_BYTES  4096u
static_assert(sizeof(struct channel_requests) <= CHANNEL_REQUESTS_BYTES, "whole pages");
static_assert(sizeof(struct channel_answers) <= CHANNEL_ANSWERS_BYTES, "whole pages");

/* One answer, copied out. */
struct channel_answer {
    uint64_t token, value;
    uint32_t epoch, status;
};

/* The server's end: private, therefore believed. */
struct channel {
    struct channel_requests *requests;
    const struct channel_answers *answers;
    uint64_t pushed;       /* requests */
    uint64_t taken_seen;   /* of them, as the process said last */
    uint64_t answers_read; /* published by channel_release */
    uint32_t epoch;
    uint32_t resets;
    int requests_descriptor;
    int answers_descriptor;
};

/* A fresh channel for incarnation `epoch` (not 0). 0; -EMFILE, -ENFILE, -ENOMEM. */
int channel_open(uint32_t epoch, struct channel **channel);

/* What the process of an earlier channel had taken, in its answers' memory: as channel_taken, its lower half.
 * 0: it cannot be known. descriptor stays the caller's. */
uint32_t channel_read_taken(int answers_descriptor);

/* Unmaps and closes; the process keeps its mappings. NULL does nothing. */
void channel_close(struct channel *channel);

/* How many of the requests the process took, as a count that began at CHANNEL_FIRST; 0: broken. */
static inline uint64_t channel_taken(struct channel *channel)
{
    /* acquires the release in channel_peer_take: those cells have been copied out */
    uint64_t taken = atomic_load_explicit(&channel->answers->requests_taken, memory_order_acquire);
    if (taken < channel->taken_seen || taken > channel->pushed)
        return 0;
    channel->taken_seen = taken;
    return taken;
}

enum channel_room { CHANNEL_BROKEN = -1, CHANNEL_FULL = 0, CHANNEL_HAS_ROOM = 1 };

static inline enum channel_room channel_room(struct channel *channel)
{
    if (channel->pushed - channel->taken_seen < CHANNEL_CAPACITY)
        return CHANNEL_HAS_ROOM;
    if (channel_taken(channel) == 0)
        return CHANNEL_BROKEN;
    return channel->pushed - channel->taken_seen < CHANNEL_CAPACITY ? CHANNEL_HAS_ROOM
                                                                    : CHANNEL_FULL;
}

/* Copies request in; there is room. Returns its number in the ring: it is taken once channel_taken is
 * larger. */
static inline uint64_t channel_push(struct channel *channel, const struct request *request,
                                    uint64_t token)
{
    uint64_t number = channel->pushed;
    assert(number - channel->taken_seen < CHANNEL_CAPACITY);
    struct channel_request *cell = &channel->requests->cells[number & CHANNEL_MASK];
    /* Field by field: padding is no business of another process. */
    cell->token = token;
    cell->address = request->address;
    cell->offset = request->offset;
    cell->value = request->value;
    cell->arrival_ticks = request->arrival_ticks;
    cell->range_index = request->range_index;
    cell->vcpu = request->vcpu;
    cell->type = request->type;
    cell->direction = request->direction;
    cell->size_bytes = request->size_bytes;
    cell->epoch = channel->epoch;
    cell->resets = (uint16_t)channel->resets;
    channel->pushed = number + 1;
    /* release: channel_peer_has_request acquires it and with it the cell */
    atomic_store_explicit(&cell->turn, number, memory_order_release);
    return number;
}

enum channel_answer_state { CHANNEL_NO_ANSWER = 0, CHANNEL_HAS_ANSWER = 1, CHANNEL_JUMPED = -1 };

/* Whether an answer lies ready; one look at its turn. CHANNEL_JUMPED: broken. */
static inline enum channel_answer_state channel_look(const struct channel *channel)
{
    uint64_t number = channel->answers_read;
    /* acquires the release in channel_peer_answer: what an honest process wrote is whole */
    uint64_t turn = atomic_load_explicit(&channel->answers->cells[number & CHANNEL_MASK].turn,
                                         memory_order_acquire);
    return turn == number                      ? CHANNEL_HAS_ANSWER
           : turn == number - CHANNEL_CAPACITY ? CHANNEL_NO_ANSWER
                                               : CHANNEL_JUMPED;
}

/* The one that channel_look saw, each word read once. Relaxed: ordered by channel_look, and a process
 * that goes on writing only harms its own answers. */
static inline void channel_read_answer(struct channel *channel, struct channel_answer *answer)
{
    const struct channel_answer_cell *cell =
        &channel->answers->cells[channel->answers_read++ & CHANNEL_MASK];
    answer->token = atomic_load_explicit(&cell->token, memory_order_relaxed);
    answer->value = atomic_load_explicit(&cell->value, memory_order_relaxed);
    answer->epoch = atomic_load_explicit(&cell->epoch, memory_order_relaxed);
    answer->status = atomic_load_explicit(&cell->status, memory_order_relaxed);
}

/* Gives the cells that were read back. Release: channel_peer_answer acquires it before it writes one
 * of them again. */
static inline void channel_release(struct channel *channel)
{
    atomic_store_explicit(&channel->requests->answers_read, channel->answers_read,
                          memory_order_release);
}

/* The process sleeps, or is about to. Relaxed: asked again in each round while requests wait, so one
 * look that comes too early does no harm. */
static inline bool channel_is_asleep(const struct channel *channel)
{
    return atomic_load_explicit(&channel->answers->is_asleep, memory_order_relaxed) != 0;
}

static inline bool channel_is_leaving(const struct channel *channel)
{
    /* relaxed: read once, when it has gone */
    return atomic_load_explicit(&channel->answers->is_leaving, memory_order_relaxed) == 1;
}

/* The VM was reset: what is pushed from now on is of after it. Release: pairs with
 * channel_peer_resets. */
static inline void channel_tell_reset(struct channel *channel)
{
    atomic_store_explicit(&channel->requests->resets, ++channel->resets, memory_order_release);
}

/* Tells the process that nobody listens any more. Release: pairs with channel_peer_is_alive. */
static inline void channel_end(struct channel *channel)
{
    atomic_store_explicit(&channel->requests->life, CHANNEL_ENDED, memory_order_release);
}

#endif
