/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * client.h - what answers a VM's requests: one device, its inbox, its counters.
 *
 * Flow:    router -> client -> device.handle(), by a plain call on the sweeping poller, through
 *          `inbox` and back when the client lives on another one, or through `process` to another
 *          process.
 * Threads: built by control, then written only by the poller the client lives on, but for `late` and
 *          `latency`: the one that sweeps its VM. Counters and histogram may be read by anybody.
 * Memory:  owned by the topology; the inbox too.
 */
#ifndef CLIENTS_CLIENT_H
#define CLIENTS_CLIENT_H

#include "clients/device.h"

#define CLIENT_NAME_MAX 15

struct budget;
struct external;
struct histogram;
struct inbox;
struct late;
struct process_port;

struct client {
    struct device *device;        /* NULL: external */
    struct inbox *inbox;          /* NULL: lives on the poller that sweeps its VM */
    struct external *external;    /* NULL: a device */
    struct process_port *process; /* NULL: its device is in our own process */
    struct budget *budget;        /* of the sweeping poller; NULL: any, or it has an inbox */
    uint64_t deadline_ticks;      /* of a request in its inbox; 0: none */
    struct late *late_answers;    /* what a read gets past it; NULL: all-ones */
    struct histogram *latency;    /* ticks from look to completion; its count: accesses */
    bool is_default;              /* takes what no range matches; kernel_handled stays 0 */
    struct budget *inbox_budget;  /* of the poller it lives on; NULL: any, or it has no inbox */
    _Atomic uint64_t late;        /* deadlines of its inbox missed: completed as late_answers says */
    _Atomic uint64_t errors;      /* handle() failed: answered with all-ones */
    uint64_t broken_after;        /* that many errors, and the device is asked no more; 0: never */
    _Atomic bool is_broken;       /* its requests are answered with all-ones at once */
    char name[CLIENT_NAME_MAX + 1];
};

#endif
