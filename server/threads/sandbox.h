/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sandbox.h - ends the process when a poller makes a system call. libseccomp.
 *
 * Flow:    sandbox_create (control) -> sandbox_arm (the poller, its last system calls) ->
 *          sandbox_destroy (control). Only the arming thread is bound by it.
 * Errors:  negative errno: the kernel has no seccomp filters.
 */
#ifndef SERVER_THREADS_SANDBOX_H
#define SERVER_THREADS_SANDBOX_H

#include "pollers/poller.h"

struct sandbox;

/* What a poller may ask of the kernel for its work. */
enum sandbox_calls {
    SANDBOX_NO_CALLS,
    SANDBOX_SUBMIT_CALL, /* io_uring_enter: it submits to a ring that no kernel thread polls */
};

/* Allows nothing but calls, and what the idle strategy itself needs (yield, sleep). */
int sandbox_create(enum poller_idle idle, enum sandbox_calls calls, struct sandbox **sandbox);

/* As struct poller_options.arm; arm_context is the sandbox. */
int sandbox_arm(void *arm_context);

/* Not while an armed thread may still be arming. */
void sandbox_destroy(struct sandbox *sandbox);

#endif
