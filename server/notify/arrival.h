/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * arrival.h - lets the poller of a VM wait for its requests instead of spinning (key wait_after).
 *
 * Flow:    arrival_assign, by whoever brings the page -> the poller waits while all its open pages
 *          have an upcall -> arrival_release with the page.
 * Threads: control.
 * Memory:  the poller's waiter owns duplicates of the descriptors.
 * Errors:  negative errno.
 */
#ifndef SERVER_NOTIFY_ARRIVAL_H
#define SERVER_NOTIFY_ARRIVAL_H

#include "pollers/upcall.h"
#include "server/vm.h"

/* 0: from now on its requests end a wait. -EOPNOTSUPP: its poller never waits, so that nobody needs
 * the upcall (the VM, or another one there, has no wait_after). -EEXIST: it has one. -EINVAL, -EBADF:
 * upcall. -ETIMEDOUT: the poller does not answer. */
int arrival_assign(struct vm *vm, const struct upcall *upcall);

/* True: its poller would wait if it had its upcall. */
bool arrival_is_wanted(const struct vm *vm);

/* Its upcall is not touched any more. -ETIMEDOUT. Part of vm_detach. */
int arrival_release(struct vm *vm);

#endif
