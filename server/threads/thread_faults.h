/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * thread_faults.h - the page faults of one of our threads, as the kernel counts them.
 *
 * Threads: any; it is control that asks, a poller makes no system calls.
 * Errors:  negative errno.
 * Source:  proc_pid_stat(5): fields 10 (minflt) and 12 (majflt).
 */
#ifndef SERVER_THREADS_THREAD_FAULTS_H
#define SERVER_THREADS_THREAD_FAULTS_H

#include <stdint.h>

/* Minor and major ones of the thread since it began. -ENOENT: there is no such thread of ours. */
int thread_faults_read(int thread_id, uint64_t *faults);

/* The same from a line of /proc/.../stat; the name in it may hold anything. -EINVAL: it is none. */
int thread_faults_parse(const char *line, uint64_t *faults);

#endif
