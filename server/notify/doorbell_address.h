/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * doorbell_address.h - one address with ioeventfds: its entries, the table that its doorbell shows to
 * the poller, and its route. ioeventfd.c says who may have which.
 *
 * Flow:    doorbell_address_create -> doorbell_address_add -> doorbell_address_open ->
 *          (doorbell_address_add -> doorbell_address_extend, doorbell_address_shrink)... ->
 *          doorbell_address_close.
 * Threads: control. The poller follows a doorbell's table only; it is changed by a command there.
 * Memory:  the VM's list of addresses owns those that are open; tables are the address's.
 * Errors:  negative errno: -ENOMEM, and -ETIMEDOUT, a poller that does not answer. Then all is as before,
 *          unless a function says otherwise.
 */
#ifndef SERVER_NOTIFY_DOORBELL_ADDRESS_H
#define SERVER_NOTIFY_DOORBELL_ADDRESS_H

#include "clients/doorbell.h"
#include "pollers/histogram.h"
#include "pollers/notifier.h"
#include "server/notify/ioeventfd.h"
#include "server/topology.h"

/* In the order of their assignment: the first one that matches rings. */
struct doorbell_entry {
    uint64_t eventfd_id;
    struct doorbell_bell bell;
};

struct doorbell_address {
    struct doorbell_address *next;
    struct vm *vm;
    uint32_t type; /* REQUEST_PORTIO or REQUEST_MMIO */
    enum ioeventfd_reads reads;
    struct doorbell doorbell;          /* has the address itself */
    struct doorbell_table *table;      /* the doorbell's */
    struct doorbell_table *next_table; /* on its way there */
    uint32_t entry_count;
    struct doorbell_entry entries[DOORBELL_BELLS_MAX];
};

/* A VM's. */
struct ioeventfds {
    struct doorbell_address *addresses;
    struct doorbell_address *retired; /* without a route; the poller did not answer since */
    struct doorbell_figures figures;
    struct histogram latency;
};

static inline struct notifier *doorbell_notifier(const struct vm *vm)
{
    return vm->topology->notifier;
}

/* Without entries, in no list. NULL: no memory. */
struct doorbell_address *doorbell_address_create(struct vm *vm,
                                                 const struct ioeventfd_options *options);

/* Without a route, and seen by no poller. */
void doorbell_address_destroy(struct doorbell_address *address);

/* The last address of the widest entry. */
uint64_t doorbell_address_last(const struct doorbell_address *address);

/* One entry more, which the poller does not see yet; there must be room. signal: the notifier's. */
void doorbell_address_add(struct doorbell_address *address, const struct ioeventfd_options *options,
                          uint64_t eventfd_id, uint32_t signal);

/* A doorbell where there was none, and its route. A failure destroys the address. */
int doorbell_address_open(struct doorbell_address *address);

/* Shows the poller the entry added last; last_before: doorbell_address_last without it. A failure takes
 * the entry away. */
int doorbell_address_extend(struct doorbell_address *address, uint64_t last_before);

/* Takes entry `index` away, where there are others, and its signal. */
int doorbell_address_shrink(struct doorbell_address *address, uint32_t index);

/* Takes the only entry away, and the address with it: its route, then the doorbell, then the signal.
 * Where the poller stops answering in between, the address is retired: it goes with the VM. */
int doorbell_address_close(struct doorbell_address *address);

#endif
