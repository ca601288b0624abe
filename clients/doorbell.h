/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * doorbell.h - an address whose writes ring eventfds: the device behind ioeventfds.
 *
 * Flow:    doorbell_init -> doorbell_set_table -> routed to; handle: is it one of ours? ->
 *          answered -> completed: ring. The one that rings is the first of the table that matches.
 * Threads: handle, completed and doorbell_set_table: the sweeping poller. Figures: any thread.
 * Memory:  the caller's, the tables too; one that was replaced is not looked at any more.
 * Errors:  a write that matches nothing is dropped and counted as a miss.
 * Source:  Linux drivers/virt/acrn/ioeventfd.c (facts): exact address, size up to the length, data.
 */
#ifndef CLIENTS_DOORBELL_H
#define CLIENTS_DOORBELL_H

#include "clients/client.h"

/* What a poller may have to look through for one write. */
#define DOORBELL_BELLS_MAX 64u

struct doorbell_bell {
    uint64_t data;
    uint32_t length_bytes; /* the widest write that rings it */
    uint32_t signal;       /* for ring() */
    bool is_wildcard;      /* any data rings it */
};

/* Immutable once a poller knows it. */
struct doorbell_table {
    uint32_t count; /* up to DOORBELL_BELLS_MAX */
    struct doorbell_bell bells[];
};

/* Of all doorbells of a VM; added to by its poller alone. */
struct doorbell_figures {
    _Atomic uint64_t rings;
    _Atomic uint64_t misses;
};

struct doorbell_options {
    uint64_t address;
    uint64_t read_value;       /* answers every read, cut to its size */
    struct histogram *latency; /* as struct client has it; not owned */
    struct doorbell_figures *figures;
    void (*ring)(void *context, uint32_t signal); /* on the poller, after the answer */
    void *ring_context;
};

struct doorbell {
    struct device device;
    struct client client; /* what a route leads to */
    struct doorbell_options options;
    const struct doorbell_table *table;
    const struct doorbell_bell *struck; /* between handle and completed */
};

/* A doorbell without bells. */
void doorbell_init(struct doorbell *doorbell, const struct doorbell_options *options);

/* The poller's, or nobody may lead there yet. */
static inline void doorbell_set_table(struct doorbell *doorbell, const struct doorbell_table *table)
{
    doorbell->table = table;
}

#endif
