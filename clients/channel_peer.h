/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * channel_peer.h - the process's end of a channel (channel.h), as libioreq uses it.
 *
 * Flow:    channel_peer_map -> channel_peer_take -> channel_peer_answer ... -> channel_peer_unmap.
 * Threads: one takes, one answers; they may be two. A second one that answers must be locked out.
 * Memory:  the mappings; the descriptors stay the caller's.
 * Errors:  the server is trusted, as it has given us its memory; a channel of another version is
 *          refused.
 * Source:  as channel.h.
 */
#ifndef CLIENTS_CHANNEL_PEER_H
#define CLIENTS_CHANNEL_PEER_H

#include "clients/channel.h"

struct channel_peer {
    const struct channel_requests *requests;
    struct channel_answers *answers;
    alignas(64) uint64_t taken;  /* the taking thread's */
    alignas(64) uint64_t pushed; /* the answering thread's */
    uint64_t read_seen;
    uint32_t epoch;
};

/* 0; -EINVAL: they are not of the size of a channel; -EPROTO: of another version; -ENOMEM, ... */
int channel_peer_map(int requests_descriptor, int answers_descriptor, struct channel_peer *peer);
void channel_peer_unmap(struct channel_peer *peer);

/* False: the server has cut us off. Acquire: pairs with channel_end. */
static inline bool channel_peer_is_alive(const struct channel_peer *peer)
{
    return atomic_load_explicit(&peer->requests->life, memory_order_acquire) == CHANNEL_ALIVE;
}

/* How often the VM was reset, and 1. Acquire: pairs with channel_tell_reset. */
static inline uint32_t channel_peer_resets(const struct channel_peer *peer)
{
    return atomic_load_explicit(&peer->requests->resets, memory_order_acquire);
}

static inline bool channel_peer_has_request(struct channel_peer *peer)
{
    /* acquires the release in channel_push */
    return atomic_load_explicit(&peer->requests->cells[peer->taken & CHANNEL_MASK].turn,
                                memory_order_acquire) == peer->taken;
}

/* Moves the oldest request into *request; false: there is none. */
static inline bool channel_peer_take(struct channel_peer *peer, struct channel_request *request)
{
    if (!channel_peer_has_request(peer))
        return false;
    memcpy(request, (const void *)&peer->requests->cells[peer->taken & CHANNEL_MASK],
           sizeof(*request));
    /* Before anybody acts on it: once it counts as taken it is not given to a successor of ours.
     * release: channel_taken acquires it before the cell is written again */
    atomic_store_explicit(&peer->answers->requests_taken, ++peer->taken, memory_order_release);
    return true;
}

/* False: the server has yet to read what lies there. */
static inline bool channel_peer_answer(struct channel_peer *peer,
                                       const struct channel_answer *answer)
{
    if (peer->pushed - peer->read_seen >= CHANNEL_CAPACITY) {
        /* acquires the release in channel_release: those cells have been read */
        peer->read_seen = atomic_load_explicit(&peer->requests->answers_read, memory_order_acquire);
        if (peer->pushed - peer->read_seen >= CHANNEL_CAPACITY)
            return false;
    }
    struct channel_answer_cell *cell = &peer->answers->cells[peer->pushed & CHANNEL_MASK];
    /* relaxed, four times: the release below publishes them */
    atomic_store_explicit(&cell->token, answer->token, memory_order_relaxed);
    atomic_store_explicit(&cell->value, answer->value, memory_order_relaxed);
    atomic_store_explicit(&cell->epoch, answer->epoch, memory_order_relaxed);
    atomic_store_explicit(&cell->status, answer->status, memory_order_relaxed);
    /* release: channel_look acquires it */
    atomic_store_explicit(&cell->turn, peer->pushed++, memory_order_release);
    return true;
}

/* After the server has died and another one gave us peer: what the dead one had yet to read of our
 * answers is said again. The new one refuses what was settled in spite of that. */
static inline void channel_peer_repeat(const struct channel_peer *old, struct channel_peer *peer)
{
    /* acquires the release in channel_release, the last one there was */
    uint64_t read = atomic_load_explicit(&old->requests->answers_read, memory_order_acquire);
    for (uint64_t number = read; number != old->pushed; number++) {
        const struct channel_answer_cell *cell = &old->answers->cells[number & CHANNEL_MASK];
        /* relaxed: we wrote them */
        const struct channel_answer answer = {
            atomic_load_explicit(&cell->token, memory_order_relaxed),
            atomic_load_explicit(&cell->value, memory_order_relaxed), peer->epoch,
            atomic_load_explicit(&cell->status, memory_order_relaxed)};
        channel_peer_answer(peer, &answer); /* there is room: it is empty, and as large */
    }
}

/* Relaxed: the poller asks each round while a request waits; whoever sets it looks for requests once
 * more before it sleeps. */
static inline void channel_peer_set_asleep(struct channel_peer *peer, bool is_asleep)
{
    atomic_store_explicit(&peer->answers->is_asleep, is_asleep, memory_order_relaxed);
}

#endif
