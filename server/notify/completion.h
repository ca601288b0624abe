/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * completion.h - tells requesters that do not poll that their slots are COMPLETE.
 *
 * Flow:    completion_create with the topology -> completion_assign, a target a vCPU, by whoever
 *          brings the page -> a poller completes a slot whose completion_polling is 0 -> the target is
 *          told (pollers/page_notify.h) -> completion_release with the page -> completion_settle once
 *          the pollers are gone -> completion_destroy.
 *
 *          A poller gets its ring with the first target that needs one; all rings share a kernel
 *          thread. Where io_uring is not to be had, or not wanted (`notify: thread`), the notifier's
 *          thread writes instead: that is said once, at the start.
 * Threads: control, but for tending the rings, which the notifier's thread does; a lock is between.
 * Memory:  a VM owns its targets, with duplicates of their descriptors.
 * Errors:  negative errno; nothing half applied. A completion of a slot without a target is counted
 *          (PAGE_UNNOTIFIED).
 */
#ifndef SERVER_NOTIFY_COMPLETION_H
#define SERVER_NOTIFY_COMPLETION_H

#include "config/config.h"
#include "pollers/notify_target.h"
#include "server/vm.h"

/* ---- for whoever brings a page ------------------------------------------------------------- */

/* The target of that vCPU from now on; one that it had is released. -EINVAL: no such vCPU or kind, or
 * an eventfd without O_NONBLOCK. -EBADF. -ENOSPC: too many at that poller. -ETIMEDOUT: the poller does
 * not answer. */
int completion_assign(struct vm *vm, uint32_t vcpu, const struct notify_target *target);

/* After it returned 0 none of the VM's targets is touched any more; what was COMPLETE before is told.
 * -ETIMEDOUT: a poller or the kernel does not answer, they may still be. Part of vm_detach. */
int completion_release(struct vm *vm);

/* ---- for the topology ---------------------------------------------------------------------- */

struct completion;

/* How it is done here: what is wanted, or, after a line that says why, by the notifier's thread. */
enum config_notify completion_choose(enum config_notify wanted);

/* Before the notifier starts; rings' kernel thread on cpu. -ENOMEM. */
int completion_create(struct topology *topology, enum config_notify notify, uint32_t cpu,
                      struct completion **completion);

/* The pollers are gone, parked or frozen: tells what they did not, and what they left on the way. */
void completion_settle(struct topology *topology);

/* The notifier's thread has ended. NULL does nothing. */
void completion_destroy(struct completion *completion);

/* For display. */
struct completion_figures {
    const char *way;    /* sqpoll, submit, thread */
    uint64_t overflows; /* of all rings, as notify_ring_figures */
    uint64_t wakes;
    uint64_t failures;
};
struct completion_figures completion_figures(const struct completion *completion);

#endif
