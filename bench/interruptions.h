/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * interruptions.h - what took the CPU from a thread that only spins: the kernel's counts of it.
 *
 * Flow:    interruptions_open -> interruptions_read before and after -> interruptions_describe the
 *          difference -> interruptions_close.
 * Threads: the watched one, on the watched CPU.
 * Memory:  plain data; the descriptor stays open, for a read is one system call.
 * Errors:  what the kernel does not tell stays 0; has_delay says whether it tells of delays.
 * Source:  proc(5): interrupts, stat, [tid]/schedstat; getrusage(2).
 */
#ifndef BENCH_INTERRUPTIONS_H
#define BENCH_INTERRUPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define INTERRUPTION_SOURCES_MAX 192u

struct interruption_source {
    char name[24]; /* the device's, or the kernel's three letters */
    uint64_t count;
};

struct interruptions {
    uint32_t source_count;
    /* Of the CPU, in the kernel's order. */
    struct interruption_source sources[INTERRUPTION_SOURCES_MAX]; /* [source_count] */
    uint64_t switches;  /* away from the thread, against its will */
    uint64_t delay_ns;  /* ready, but not running */
    uint64_t stolen_ms; /* of the CPU, by the hypervisor */
};

struct interruption_watch {
    uint32_t cpu;
    int schedstat; /* of the thread */
    bool has_delay;
};

void interruptions_open(struct interruption_watch *watch, uint32_t cpu);
void interruptions_close(struct interruption_watch *watch);

/* Everything: about a millisecond. */
void interruptions_read(const struct interruption_watch *watch, struct interruptions *now);
/* switches and delay_ns only: about 2 us. */
void interruptions_read_thread(const struct interruption_watch *watch, struct interruptions *now);

/* total += after - before. */
void interruptions_add(struct interruptions *total, const struct interruptions *before,
                       const struct interruptions *after);

/* "LOC 250, RES 3", the most frequent first, as many as text [text_bytes] takes; "none". */
void interruptions_describe(const struct interruptions *difference, char *text, size_t text_bytes);

#endif
