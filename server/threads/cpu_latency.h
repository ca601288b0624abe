/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cpu_latency.h - asks the kernel to let no CPU sleep so deeply that it takes time to wake.
 *
 * Flow:    cpu_latency_hold before the pollers start -> cpu_latency_release after they ended.
 *
 *          A poller that spins never lets its own CPU sleep. But the CPU of the vCPU that waits, or
 *          the package around both, may, and leaving a deep idle state takes up to a millisecond.
 * Threads: control.
 * Memory:  one descriptor; the kernel takes the request back when it is closed, also at a crash.
 * Errors:  negative errno; nothing is held then.
 * Source:  Linux Documentation/admin-guide/pm/cpuidle.rst, "Power Management Quality of Service".
 */
#ifndef SERVER_THREADS_CPU_LATENCY_H
#define SERVER_THREADS_CPU_LATENCY_H

#include <stdbool.h>

#define CPU_LATENCY_PATH "/dev/cpu_dma_latency"

/* All zero: not held. */
struct cpu_latency {
    bool is_held;
    int descriptor;
};

/* Holds the limit at 0 us. -ENOENT: the kernel has no such device. -EACCES, -EPERM: not for us. */
int cpu_latency_hold(struct cpu_latency *latency, const char *path);

/* Not held: does nothing. */
void cpu_latency_release(struct cpu_latency *latency);

#endif
