/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * interrupt.h - a device's interrupt in the guest: its line, or a message (MSI) of its own.
 *
 * Flow:    interrupt_open (key interrupt of a client) -> the device raises and lowers its line on its poller
 *          -> the notifier's thread passes that on -> interrupts_tend lets the devices see what came without
 *          an access -> interrupt_close.
 *
 *              trigger   a VM with a requester (KVM)             a VM of the ACRN driver
 *              edge      each rise writes an irqfd; nothing at   ioctl SET_IRQLINE: high at each rise, low
 *                        a fall: KVM's irqfd is a pulse, and     at each fall
 *                        the controller latches the edge
 *              level     each rise writes an irqfd that KVM      the same
 *                        resamples: the line is high until the
 *                        guest's EOI, and raised again at once
 *                        if the device still asks; lowered
 *                        without an EOI if it has asked no more
 *                        for 50 ms
 *              message   each rise writes an irqfd               ioctl INJECT_MSI at each rise
 *
 *          An edge is never lost: where the line fell and rose again before the driver was told, it is lowered
 *          and raised. What the device asks for at an EOI is known exactly, since it changes before the
 *          guest's access is answered. The driver is told of a change before that answer, except where
 *          the page is `direct`, or the device lives on another poller: there a level may be taken once
 *          more while it is being lowered.
 * Threads: control; the line is the poller's that the client lives on. Between the notifier's thread and
 *          control, who gives and takes the driver, a lock.
 * Memory:  a client owns its interrupt.
 * Errors:  negative errno. What the driver refuses is counted, and said once. A requester that lets writes
 *          of a level block loses that level.
 */
#ifndef SERVER_NOTIFY_INTERRUPT_H
#define SERVER_NOTIFY_INTERRUPT_H

#include "server/topology.h"
#include "server/vm_client.h"

struct hsm;

/* As client->interrupt_route says. -EOPNOTSUPP: the device has no line, or nobody could interrupt this VM.
 * -EEXIST: another client has that line. Else as vm_irqfd_assign. */
int interrupt_open(struct vm_client *client);
/* Lowers the line. Of no effect without one. -ETIMEDOUT: its poller does not answer, the line is left to
 * it. */
int interrupt_close(struct vm_client *client);

/* Every few milliseconds: devices with typed bytes, or with a clock that may interrupt. */
void interrupts_tend(const struct topology *topology);

/* For vm_hsm.c: the driver's VM that those of vm go to from now on, told each line as it is; NULL: none, and
 * it is not touched any more. */
void interrupts_give(struct vm *vm, struct hsm *hsm);

/* For display. */
struct interrupt_figures {
    uint64_t rises;    /* of the line */
    uint64_t failures; /* ioctls that the driver refused; 1 where a level was given up */
};
/* Zeroes without one. */
struct interrupt_figures interrupt_figures(const struct vm_client *client);

#endif
