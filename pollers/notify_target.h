/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * notify_target.h - how a requester that does not poll is told that its slot is COMPLETE.
 *
 * Flow:    whoever brings the page (a page source, or the requester by `notify-assign`) describes one
 *          target a vCPU -> completion_assign (server/notify/completion.h) -> after each COMPLETE of a slot
 *          whose completion_polling was 0 the target is told, exactly once.
 *
 *              NOTIFY_EVENTFD   a vCPU's eventfd            io_uring, or the notifier's thread
 *              NOTIFY_CONTROL   4 bytes to a UIO device     io_uring, or the notifier's thread
 *              NOTIFY_DOORBELL  a store to a device's BAR   the poller itself: no system call
 *              NOTIFY_CALL      an ioctl of the HSM         the notifier's thread: io_uring has none
 *
 * Threads: plain data; read by control alone, but for call(), which the notifier's thread makes, and
 *          control once the pollers are gone; never two at a time for one target.
 * Memory:  the descriptor is duplicated, address and context stay the source's; all must last until
 *          completion_release returned.
 * Errors:  a target that cannot be told is counted, never waited for.
 */
#ifndef POLLERS_NOTIFY_TARGET_H
#define POLLERS_NOTIFY_TARGET_H

#include <stdint.h>

enum notify_kind {
    NOTIFY_EVENTFD = 1, /* descriptor: an eventfd with O_NONBLOCK; 1 is added */
    NOTIFY_CONTROL,     /* descriptor: value is written, 4 bytes */
    NOTIFY_DOORBELL,    /* address: value is stored, 4 bytes */
    NOTIFY_CALL,        /* call(context, vcpu) is made */
};

struct notify_target {
    enum notify_kind kind;
    int descriptor;             /* EVENTFD, CONTROL; the caller's */
    uint32_t value;             /* CONTROL, DOORBELL */
    volatile uint32_t *address; /* DOORBELL */
    void (*call)(void *context, uint32_t vcpu);
    void *context; /* CALL */
};

#endif
