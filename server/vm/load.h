/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * load.h - `ioreq-vm load`: accesses as fast as they are answered, or at a rate, every answer
 * verified.
 *
 * Flow:    load_command: command line -> load_run: page, one plan and thread a vCPU -> report.
 * Threads: the main one, one a vCPU, and the requester's watcher.
 * Memory:  all gone when load_run returns.
 * Errors:  exit codes of options.h; a wrong answer is counted and the load goes on.
 *
 * Closed loop (default): a vCPU makes its next access when the last one is answered; a latency is
 * one round trip. Open loop (--rate): access k is due at start + k / rate, dealt to the vCPUs in
 * turn; a latency counts from the due time, so that a stall shows in every access it delayed.
 */
#ifndef SERVER_VM_LOAD_H
#define SERVER_VM_LOAD_H

#include "server/vm/load_mix.h"
#include "server/vm/options.h"

#include <stdio.h>

struct load_options {
    struct attach_options attach;
    uint64_t count;       /* of all vCPUs together; 0: no limit */
    uint64_t duration_ns; /* 0: no limit */
    uint64_t rate;        /* accesses a second, all vCPUs together; 0: closed loop */
    uint32_t vcpu_count;  /* 0: all of the page's */
    uint32_t read_percent;
    uint64_t seed;
    struct load_mix mix;
    struct cpu_list cpus; /* empty: not pinned */
    bool wants_json;
};

#define LOAD_DEFAULT_COUNT 1000000u

/* The defaults, with a seed from the clock. */
void load_options_init(struct load_options *options);
/* The report goes to `report`, wrong answers and errors to stderr. EXIT_OK, EXIT_FAILED, or
 * EXIT_USAGE where the options do not fit the page. */
int load_run(const struct load_options *options, FILE *report);
/* `ioreq-vm load ...`; argv[0] is "load". An exit code. */
int load_command(int argc, char **argv);

#endif
