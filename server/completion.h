/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * completion.h - tells requesters that do not poll that their slots are COMPLETE.
 *
 * Flow:    completion_create with the topology -> completion_assign, a target a vCPU, by whoever
 *          brings the page -> a poller completes a slot whose completion_polling is 0 -> the target is
 *          told -> completion_release with the page -> completion_destroy.
 *
 *          Where io_uring is not to be had, or not wanted (`notify: thread`), the notifier's thread
 *          writes instead; that is said once, at the start.
 * Threads: control.
 * Memory:  a VM owns its targets, with duplicates of their descriptors.
 * Errors:  negative errno; nothing half applied. A completion of a slot without a target is counted
 *          (PAGE_UNNOTIFIED).
 */
#ifndef SERVER_COMPLETION_H
#define SERVER_COMPLETION_H

#include "pollers/notify_target.h"
#include "server/vm.h"

/* The target of that vCPU from now on; one that it had is released. -EINVAL: no such vCPU or kind, or
 * an eventfd without O_NONBLOCK. -EBADF. -ENOSPC: too many at that poller. -ETIMEDOUT: the poller does
 * not answer. */
int completion_assign(struct vm *vm, uint32_t vcpu, const struct notify_target *target);

/* After it returned 0 none of the VM's targets is touched any more; what was COMPLETE before is told.
 * -ETIMEDOUT: a poller or the kernel does not answer, they may still be. Part of vm_detach. */
int completion_release(struct vm *vm);

#endif
