/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * status_internal.h - what both forms of the status say, read and named once (status.c), for
 * status_json.c and status_table.c.
 */
#ifndef SERVER_STATUS_INTERNAL_H
#define SERVER_STATUS_INTERNAL_H

#include "server/status.h"
#include "server/vm_client.h"

struct poller_status {
    uint64_t sweeps;
    uint64_t waits;
    uint64_t requests; /* handled here */
    double busy_share; /* 0..1, since the last call */
    uint64_t node;     /* NUMA node of its CPU */
    bool is_resident;  /* all it touches lies there */
};

/* busy_share is that since the last call for this poller, by either form. */
struct poller_status status_read_poller(const struct topology *topology, size_t poller_index);

struct client_status {
    uint64_t accesses, errors, lost_bytes;
    uint64_t p50_ns, p99_ns, p999_ns, p9999_ns, max_ns;
};

struct client_status status_read_client(const struct vm_client *client);

/* Answers after their deadline, in whichever way the client is served. */
uint64_t status_late_count(const struct vm_client *client);

/* A slot as it stands in the page; FREE where there is no page. */
uint32_t status_read_slot_state(const struct vm *vm, uint32_t slot_index);

/* What is no state of the protocol is "odd". */
const char *status_slot_state_name(uint32_t state);

const char *status_idle_name(enum poller_idle idle);
const char *status_device_name(const struct vm_client *client);
const char *status_process_state(const struct process_port *port);

#endif
