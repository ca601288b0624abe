/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * reference.h - what the server should do, written to be read: a model of one topology in lists,
 * without threads, atomics or tricks. Slow, and obviously correct.
 *
 * Flow:    a test does the same to the server and to the model and compares both. What a poller
 *          does on its own is reference_round; what control has it do is one of the small steps
 *          below, so that a test can let other things happen in between, as threads would.
 * Threads: one.
 * Memory:  VMs and clients are the model's; a client's context is the test's.
 * Errors:  as the operation of that name in server/vm.h and server/vm_client.h.
 */
#ifndef TESTS_MODEL_REFERENCE_H
#define TESTS_MODEL_REFERENCE_H

#include "pollers/page.h"

#define REFERENCE_POLLERS   2u
#define REFERENCE_INBOX_MAX 64u

struct reference_range {
    struct reference_range *next;
    uint32_t type;
    uint64_t first, last;
    uint32_t priority;
    uint32_t range_index;
};

/* A request that lies in the inbox of a client on another poller. */
struct reference_entry {
    struct request request;
    uint64_t sequence;
    bool is_revoked; /* settled otherwise, and its device is not to be asked */
};

struct reference_client {
    struct reference_client *next;
    uint32_t poller_index;
    bool is_far; /* lives on another poller than its VM's */
    bool is_external;
    bool is_prompt; /* answers without a claim, unless it is far */
    bool is_default;
    bool is_broken;
    uint64_t errors, broken_after;
    uint64_t accesses; /* answered by it */
    struct reference_range *ranges;
    uint32_t next_range_index;
    struct reference_entry inbox[REFERENCE_INBOX_MAX];
    uint32_t inbox_count;
    int (*handle)(void *context, struct request *request);
    void *context;
};

/* A request that was taken on and is not answered yet. */
struct reference_flight {
    struct reference_client *client; /* NULL: none is in flight */
    struct request request;
    uint32_t type; /* as asked: a port access may have become PCICFG */
    bool is_polling;
    uint64_t sequence;
};

/* What lies in an inbox, or came back and was not looked at yet. */
struct reference_asked {
    struct reference_client *client; /* NULL: nothing */
    uint64_t sequence;
    bool is_answered;
    uint64_t value;
};

struct reference_vm {
    struct reference_vm *next;
    uint32_t poller_index, vcpus;
    bool has_pci;
    uint32_t pci_address;
    bool is_swept; /* somebody is attached, and it runs */
    bool is_clearing;
    struct acrn_io_request slots[SLOT_COUNT]; /* what the page should look like */
    struct reference_flight flights[SLOT_COUNT];
    struct reference_asked asked[SLOT_COUNT];
    uint32_t odd_state[SLOT_COUNT];  /* the last one noticed */
    bool stray_was_seen[SLOT_COUNT]; /* beyond the vCPUs: PENDING at the last look */
    bool has_waited[SLOT_COUNT];     /* for a place in its client's inbox */
    uint32_t watch_next;
    uint64_t counters[PAGE_COUNTER_COUNT];
    uint64_t settled[PAGE_SETTLED_COUNT];
    struct reference_client *clients;
    struct reference_client *default_client;
};

struct reference {
    struct reference_vm *vms;
    uint64_t sequence;
    uint64_t requests[REFERENCE_POLLERS]; /* taken on, or handled for another poller */
    uint64_t rounds[REFERENCE_POLLERS];
};

/* ---- VMs (reference.c) ------------------------------------------------------------------- */

struct reference_vm *reference_vm_add(struct reference *reference, uint32_t poller_index,
                                      uint32_t vcpus, bool has_pci);
void reference_vm_remove(struct reference *reference, struct reference_vm *vm);

/* A fresh page. is_running: it is swept from now on. */
void reference_open(struct reference_vm *vm, bool is_running);
/* What is in flight is forgotten, unanswered. */
void reference_close(struct reference_vm *vm);

/* What lies in an inbox and was settled: its device is not asked. */
void reference_abandon_settled(struct reference_vm *vm);
void reference_abandon(struct reference_vm *vm, uint32_t slot_index);

/* All-ones for all that is in flight; returns how many were still there to be completed. */
int reference_settle_all(struct reference_vm *vm);

/* ---- clients and ranges (reference.c) ---------------------------------------------------- */

struct reference_client *reference_client_add(struct reference_vm *vm, uint32_t poller_index,
                                              bool is_external);
/* After its ranges have gone. What it still has in flight is completed with all-ones. */
void reference_client_remove(struct reference_vm *vm, struct reference_client *client);

void reference_set_default(struct reference_vm *vm, struct reference_client *client);

int reference_add_range(struct reference_vm *vm, struct reference_client *client,
                        const struct reference_range *range);
int reference_delete_range(struct reference_client *client, uint32_t type, uint64_t first,
                           uint64_t last);
void reference_forget_ranges(struct reference_client *client);

/* owners [count]: whose each range is; NULL: of another VM's client. */
int reference_set_ranges(struct reference_vm *vm, struct reference_client *const *owners,
                         const struct reference_range *ranges, size_t count);

/* The range that owns all bytes of an access, and its client; NULL: none does. */
const struct reference_range *reference_route(const struct reference_vm *vm, uint32_t type,
                                              uint64_t address, uint32_t size_bytes,
                                              struct reference_client **client);

/* ---- external clients (reference.c) ------------------------------------------------------ */

uint32_t reference_waiting(const struct reference_vm *vm, const struct reference_client *client);
int reference_look(const struct reference_vm *vm, const struct reference_client *client,
                   uint32_t vcpu, struct request *request);
int reference_finish(struct reference_vm *vm, struct reference_client *client, uint32_t vcpu,
                     uint64_t value);

/* ---- pollers (reference_round.c) --------------------------------------------------------- */

void reference_round(struct reference *reference, uint32_t poller_index);

/* Answers what is in flight in a slot. False: the requester took the slot back. */
bool reference_settle(struct reference_vm *vm, uint32_t slot_index, uint64_t value);

#endif
