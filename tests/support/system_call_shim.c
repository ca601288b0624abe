/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Loaded before ioreqd (LD_PRELOAD): its first process under a supervisor makes a system call on a
 * poller, as a device of bad manners would, some idle rounds after its start. IOREQ_SHIM_ONCE names a
 * file that tells it to, and goes with that.
 */
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

#define ROUNDS 20000

int sched_yield(void);

static int is_armed;

__attribute__((constructor)) static void arm(void)
{
    const char *path = getenv("IOREQ_SHIM_ONCE");
    is_armed = path && getenv("LISTEN_PID") && unlink(path) == 0;
}

/* Only the poller idles by it. */
int sched_yield(void)
{
    static _Thread_local int rounds;
    if (is_armed && ++rounds == ROUNDS)
        getppid();
    return (int)syscall(SYS_sched_yield);
}
