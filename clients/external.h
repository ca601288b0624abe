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

#define EXTERNAL_SLOTS 16u

struct external {
    _Alignas(64) _Atomic uint32_t waiting; /* bit per vCPU: offered and not taken */
    /* Ticket of the slot record, 0: nothing offered. Release: pairs with external_take. */
    _Atomic uint64_t tickets[EXTERNAL_SLOTS];
    struct request requests[EXTERNAL_SLOTS];
};

/* Poller, owner of the slot's record. */
static inline void external_offer(struct external *external, const struct request *request,
                                  uint64_t ticket)
{
    external->requests[request->vcpu] = *request;
    atomic_store_explicit(&external->tickets[request->vcpu], ticket, memory_order_release);
    /* Release: pairs with external_waiting. */
    atomic_fetch_or_explicit(&external->waiting, 1u << request->vcpu, memory_order_release);
}

/* The vCPUs that wait for an answer, as bits. */
static inline uint32_t external_waiting(const struct external *external)
{
    return atomic_load_explicit(&external->waiting, memory_order_acquire);
}

/*
 * Takes the request of vcpu (< EXTERNAL_SLOTS) off, to be settled with the returned ticket; 0: none
 * is offered, or somebody else took it. *request is what was offered.
 */
static inline uint64_t external_take(struct external *external, uint32_t vcpu,
                                     struct request *request)
{
    /* The bit goes first: once the ticket is settled the next request may come and set it again. */
    atomic_fetch_and_explicit(&external->waiting, ~(1u << vcpu), memory_order_relaxed);
    uint64_t ticket = atomic_exchange_explicit(&external->tickets[vcpu], 0, memory_order_acquire);
    if (ticket)
        *request = external->requests[vcpu];
    return ticket;
}

/* The ticket on offer for vcpu, without taking it; 0: none. */
static inline uint64_t external_look(const struct external *external, uint32_t vcpu)
{
    return atomic_load_explicit(&external->tickets[vcpu], memory_order_acquire);
}

#endif
