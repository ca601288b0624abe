/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * machine_facts.h - what this machine has to say about the configuration, as plain data, so that a
 * test can invent a machine. Judging is advice.h's and topology_check.c's.
 *
 * Flow:    machine_facts_read, once; machine_cpu_facts_read for each poller's CPU.
 * Threads: control.
 * Memory:  none.
 * Errors:  none: what cannot be read is what it is on a machine without such a thing.
 * Source:  Linux Documentation/ABI/testing/sysfs-devices-system-cpu, sysctl/kernel.rst,
 *          scheduler/sched-rt-group.rst.
 */
#ifndef SERVER_THREADS_MACHINE_FACTS_H
#define SERVER_THREADS_MACHINE_FACTS_H

#include <stdbool.h>
#include <stdint.h>

#define MACHINE_NO_CPU         UINT32_MAX
#define MACHINE_GOVERNOR_BYTES 16u

struct machine_facts {
    bool tsc_is_invariant;
    bool is_real_time;        /* this process's threads start as SCHED_FIFO or SCHED_RR */
    int64_t rt_runtime_us;    /* what real-time threads get of rt_period_us; -1: all of it */
    int64_t rt_period_us;     /* 0: cannot be read */
    bool has_swap;            /* somewhere to swap to */
    bool has_numa_balancing;  /* on, and there is more than one node */
    uint32_t deepest_idle_us; /* exit latency of the deepest idle state in use; 0: none */
    int cpu_latency_error;    /* errno of opening CPU_LATENCY_PATH; 0: it can be held */
};

struct machine_cpu_facts {
    bool is_isolated;       /* isolcpus, or an isolated cpuset partition */
    bool is_nohz_full;      /* no timer tick while one thread runs */
    bool has_fair_server;   /* it takes time from real-time threads */
    bool tells_fair_server; /* there is such a file */
    uint32_t sibling;       /* the other hyper-thread of its core, or MACHINE_NO_CPU */
    bool is_sibling_isolated;
    char governor[MACHINE_GOVERNOR_BYTES]; /* "": no frequency scaling */
};

/* root: in front of every path, "" for this machine. */
struct machine_facts machine_facts_read_at(const char *root);
struct machine_cpu_facts machine_cpu_facts_read_at(const char *root, uint32_t cpu);

struct machine_facts machine_facts_read(void);

#endif
