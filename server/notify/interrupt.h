/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * interrupt.h - a device's interrupt line: its rising edge is an interrupt in the guest.
 *
 * Flow:    interrupt_open (key interrupt of a client) -> the device raises its line on its poller -> the
 *          notifier's thread writes an eventfd -> the requester's irqfd (irqfd.h) -> the guest;
 *          interrupts_tend lets the devices see what came without an access -> interrupt_close.
 *
 *          Edges, as ISA lines are: a line that stays high interrupts once. The requester injects; one
 *          that cannot, ignores it.
 * Threads: control; the line is the poller's that the client lives on.
 * Memory:  a client owns its interrupt.
 * Errors:  negative errno.
 */
#ifndef SERVER_NOTIFY_INTERRUPT_H
#define SERVER_NOTIFY_INTERRUPT_H

#include "server/topology.h"
#include "server/vm_client.h"

/* gsi: of the guest's I/O APIC. -EOPNOTSUPP: the device has no line. As vm_irqfd_assign. */
int interrupt_open(struct vm_client *client, uint32_t gsi);
/* Of no effect without one. -ETIMEDOUT: its poller does not answer, the line is left to it. */
int interrupt_close(struct vm_client *client);

/* Every few milliseconds: devices with typed bytes, or with a clock that may interrupt. */
void interrupts_tend(const struct topology *topology);

#endif
