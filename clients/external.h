/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * external.h - requests handed to somebody who is no device of ours and finishes them by vCPU: the
 * way of ACRN's default client (attach, notify-finish).
 *
 * Flow:    poller: external_offer -> waiter: external_waiting, external_look -> external_take, then
 *          the slot's gate. What a reset settled in between is taken back by nobody: its ticket is
 *          stale, and the gate refuses it.
 * Threads: one poller offers; one thread at a time waits and takes; any thread may look.
 * Memory:  the client's; a request is copied in, so that the page stays the server's alone.
 */
#ifndef CLIENTS_EXTERNAL_H
#define CLIENTS_EXTERNAL_H

#include "clients/request.h"

#include <stdatomic.h>
#include <stddef.h>
#include <string.h>

#define EXTERNAL_SLOTS 16u

#define EXTERNAL_WORDS (sizeof(struct request) / sizeof(uint64_t))
_Static_assert(sizeof(struct request) % sizeof(uint64_t) == 0, "copied word by word");

/* An offer may be replaced while somebody reads it, after a reset settled it: the words are atomic,
 * and the ticket tells whether what was read is still what it was. */
struct external_offer {
    _Atomic uint64_t ticket; /* of the slot record; 0: nothing offered */
    _Atomic uint64_t words[EXTERNAL_WORDS];
};

struct external {
    _Alignas(64) _Atomic uint32_t waiting; /* bit per vCPU: offered and not taken */
    struct external_offer offers[EXTERNAL_SLOTS];
};

/* Poller, owner of the slot's record. */
static inline void external_offer(struct external *external, const struct request *request,
                                  uint64_t ticket)
{
    struct external_offer *offer = &external->offers[request->vcpu];
    uint64_t words[EXTERNAL_WORDS];
    memcpy(words, request, sizeof(words));
    atomic_store_explicit(&offer->ticket, 0, memory_order_relaxed);
    /* Release: whoever reads one of these finds no old ticket afterwards (external_look). */
    for (size_t i = 0; i < EXTERNAL_WORDS; i++)
        atomic_store_explicit(&offer->words[i], words[i], memory_order_release);
    /* Release: pairs with the acquire of whoever looks or takes. */
    atomic_store_explicit(&offer->ticket, ticket, memory_order_release);
    /* Release: pairs with external_waiting. */
    atomic_fetch_or_explicit(&external->waiting, 1u << request->vcpu, memory_order_release);
}

static inline void external_read(const struct external_offer *offer, struct request *request)
{
    uint64_t words[EXTERNAL_WORDS];
    for (size_t i = 0; i < EXTERNAL_WORDS; i++)
        words[i] = atomic_load_explicit(&offer->words[i], memory_order_acquire);
    memcpy(request, words, sizeof(words));
}

/* The vCPUs that wait for an answer, as bits. */
static inline uint32_t external_waiting(const struct external *external)
{
    return atomic_load_explicit(&external->waiting, memory_order_acquire);
}

/*
 * Takes the request of vcpu (< EXTERNAL_SLOTS) off, to be settled with the returned ticket; 0: none
 * is offered, or somebody else took it. *request is what was offered if the ticket then settles.
 */
static inline uint64_t external_take(struct external *external, uint32_t vcpu,
                                     struct request *request)
{
    struct external_offer *offer = &external->offers[vcpu];
    /* The bit goes first: once the ticket is settled the next request may come and set it again.
     * Acquire: a bit that was set is not cleared without its ticket being seen below. */
    atomic_fetch_and_explicit(&external->waiting, ~(1u << vcpu), memory_order_acquire);
    uint64_t ticket = atomic_exchange_explicit(&offer->ticket, 0, memory_order_acquire);
    if (ticket)
        external_read(offer, request);
    return ticket;
}

/* The ticket on offer for vcpu and its request, without taking it; 0: none, or it changed
 * meanwhile. */
static inline uint64_t external_look(const struct external *external, uint32_t vcpu,
                                     struct request *request)
{
    const struct external_offer *offer = &external->offers[vcpu];
    uint64_t ticket = atomic_load_explicit(&offer->ticket, memory_order_acquire);
    external_read(offer, request);
    return atomic_load_explicit(&offer->ticket, memory_order_relaxed) == ticket ? ticket : 0;
}

#endif
