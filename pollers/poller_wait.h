/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * poller_wait.h - lets a poller wait for requests, when spinning for them is not worth its CPU.
 *
 * Flow:    poller_wait_create -> struct poller_options.wait -> poller_wait_add, poller_wait_begin, an
 *          upcall a page -> nothing to do for spin_ticks -> arm every upcall and wait, in one system call of io_uring ->
 *          sweep -> poller_wait_end, poller_wait_remove -> poller_wait_destroy.
 *
 *          Nothing is lost: an upcall that came before it was armed is readable and ends the wait at
 *          once; and once anything was heard of an upcall, all pages are swept before the next wait. It
 *          never waits while a request of its pages is with somebody else, while an inbox is its duty,
 *          or while an open page has no upcall or must not wait.
 *          How long it spins first: at most the longest wait_ticks of its pages; half as long after a
 *          wait that was longer than that, down to a sixteenth, twice as long after a shorter one.
 * Threads: create, destroy, add and remove: control. wake: any that may make a system call. The rest:
 *          the poller, or control where it has no thread.
 * Memory:  one allocation, and duplicates of the descriptors.
 * Errors:  negative errno; create: as ring_create. An upcall that can no longer be waited for is given
 *          up: the poller then spins.
 * Source:  io_uring_enter(2); the bound adapts as KVM's halt polling does (Linux
 *          Documentation/virt/kvm/halt-polling.rst).
 */
#ifndef POLLERS_POLLER_WAIT_H
#define POLLERS_POLLER_WAIT_H

#include "pollers/upcall.h"

#include <stdbool.h>

#define POLLER_WAIT_SPIN_SHARE 16u /* of the bound, that it spins at the least */

struct poller;
struct poller_wait;

int poller_wait_create(struct poller_wait **wait);
/* NULL does nothing. */
void poller_wait_destroy(struct poller_wait *wait);

/* Ends the present wait, or the next one. */
void poller_wait_wake(struct poller_wait *wait);

/* *index, never 0, for struct page. -EINVAL: read_bytes, rearm_bytes. -EBADF, -EMFILE. -ENOSPC. */
int poller_wait_add(struct poller_wait *wait, const struct upcall *upcall, uint32_t *index);
/* It is not waited for, or not any more. */
void poller_wait_remove(struct poller_wait *wait, uint32_t index);

/* From now on it is waited for. */
void poller_wait_begin(struct poller_wait *wait, uint32_t index);
/* Its descriptors are not touched any more. -ETIMEDOUT: the kernel does not let go of them. */
int poller_wait_end(struct poller_wait *wait, uint32_t index);

/* After a round without work; is_first: the first in a row. */
void poller_wait_if_idle(struct poller *poller, bool is_first);

#endif
