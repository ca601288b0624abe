/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * watchdog.h - sees that a poller does not come round, and says where it is.
 *
 * Flow:    watchdog_look, each tick: a poller that has done no round since stuck_after_ns hangs in the
 *          device that it is calling, or somewhere else, or has no CPU; its thread's own clock tells.
 *          It is told once, and once more when it goes on.
 * Threads: control. The poller only notes whose device it calls.
 * Memory:  struct watch is its poller's, in the topology.
 * Errors:  told in the log. A gap is what two looks or more saw of it: it may have been up to two ticks
 *          longer.
 */
#ifndef SERVER_THREADS_WATCHDOG_H
#define SERVER_THREADS_WATCHDOG_H

#include <stdbool.h>
#include <stdint.h>

struct topology;

#define WATCH_PLACE_BYTES 96u

struct watch {
    uint64_t stuck_after_ns; /* 0: nobody watches */
    uint64_t sweeps_seen;
    uint64_t moved_ticks;  /* when it was last seen to have moved; 0: nobody has looked */
    uint64_t moved_cpu_ns; /* and what it had had of a CPU by then */
    uint64_t longest_gap_ns;
    uint64_t stuck_count;
    bool is_stuck;
    char place[WATCH_PLACE_BYTES]; /* of the last time; "": never */
};

/* now_ticks never runs backwards. */
void watchdog_look(struct topology *topology, uint64_t now_ticks);

#endif
