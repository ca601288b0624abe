/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * traffic.h - what a run of ioreq-vm did: accesses by type, and how long their round trips took.
 *
 * Flow:    one a vCPU thread: traffic_add after each access -> traffic_merge once the threads are
 *          joined -> traffic_print or traffic_print_json.
 * Threads: one writer; merge and print by whoever joined it.
 * Memory:  about 9 KiB, the caller's, zeroed to begin.
 * Errors:  none.
 */
#ifndef SERVER_VM_TRAFFIC_H
#define SERVER_VM_TRAFFIC_H

#include "pollers/histogram.h"
#include "server/vm/requester.h"

#include <stdio.h>

struct traffic {
    uint64_t accesses[2][2];     /* [REQUEST_PORTIO, REQUEST_MMIO][REQUEST_READ, REQUEST_WRITE] */
    struct histogram round_trip; /* ns from the caller's start to the answer */
};

void traffic_add(struct traffic *traffic, const struct requester_access *access,
                 uint64_t round_trip_ns);
void traffic_merge(struct traffic *to, const struct traffic *from);
uint64_t traffic_count(const struct traffic *traffic);

/* Two or three lines of text. */
void traffic_print(const struct traffic *traffic, FILE *out);
/* Two members of a JSON object, "accesses" and "round_trip_ns", without a comma behind them. */
void traffic_print_json(const struct traffic *traffic, FILE *out);

/* A JSON string with its quotes. */
void json_print_string(const char *text, FILE *out);

#endif
