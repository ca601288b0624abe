/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/sandbox.h"

#include <errno.h>
#include <seccomp.h>

/* libseccomp's own handle under our name. */
struct sandbox;

int sandbox_create(enum poller_idle idle, struct sandbox **sandbox)
{
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_KILL_PROCESS);
    if (!filter)
        return -ENOMEM;
    int result = 0;
    if (idle == POLLER_IDLE_YIELD)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(sched_yield), 0);
    else if (idle == POLLER_IDLE_SLEEP)
        result = seccomp_rule_add(filter, SCMP_ACT_ALLOW, SCMP_SYS(clock_nanosleep), 0);
    if (result < 0) {
        seccomp_release(filter);
        return result;
    }
    *sandbox = filter;
    return 0;
}

int sandbox_arm(void *arm_context)
{
    return seccomp_load(arm_context);
}

void sandbox_destroy(struct sandbox *sandbox)
{
    if (sandbox)
        seccomp_release(sandbox);
}
