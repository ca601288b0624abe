/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * irqfd.h - eventfds that raise an interrupt in the guest, as the ACRN driver's IRQFD. The
 * requester injects them; the server tells it which, over the connection it attached by.
 *
 * Flow:    vm_irqfd_assign -> requester is told, with the eventfd: `irqfd assign ID line GSI`, an edge;
 *          `irqfd assign ID msi ADDRESS DATA`; or `irqfd assign ID level GSI`, and behind it `irqfd
 *          resample ID` with another eventfd -> somebody writes the eventfd -> interrupt ->
 *          vm_irqfd_deassign, `irqfd deassign ID`. A requester that attaches later is told all.
 *
 *          A level is high from a write until the guest's EOI, or until vm_irqfd_lower, `irqfd lower
 *          ID`; after either, and when it has bound the two, the requester writes the eventfd of
 *          resample: whoever asks for the line then writes again.
 * Threads: control; an interrupt passes no thread of the server's.
 * Memory:  the VM owns a duplicate of each eventfd until deassign or its own end.
 * Errors:  negative errno; nothing half applied. A requester that does not read what it is told is
 *          cut, one that cannot inject ignores it.
 *          Of a VM of the ACRN driver (vm_hsm.h) the driver injects: an MSI, nobody is told.
 * Source:  Linux drivers/virt/acrn/irqfd.c (facts): edge only. It has MSIs only.
 */
#ifndef SERVER_NOTIFY_IRQFD_H
#define SERVER_NOTIFY_IRQFD_H

#include "server/vm.h"

#define IRQFDS_MAX       64u /* of a VM */
#define IRQFD_LINE_LAST  23u /* of an I/O APIC */
#define IRQFD_LINE_BYTES 96u /* of what a requester is told, without the newline */

enum irqfd_kind { IRQFD_GSI = 1, IRQFD_MSI, IRQFD_LEVEL };

struct irqfd_route {
    enum irqfd_kind kind;
    uint32_t gsi;     /* IRQFD_GSI, IRQFD_LEVEL: 0..IRQFD_LINE_LAST */
    uint64_t address; /* IRQFD_MSI */
    uint32_t data;    /* IRQFD_MSI */
    int resample;     /* IRQFD_LEVEL: an eventfd; the caller's */
};

/* -EBADF, -EINVAL: descriptor is none, or no eventfd. -EINVAL: route. -EBUSY: the eventfd is
 * assigned in this VM already. -ENOSPC: IRQFDS_MAX. -EOPNOTSUPP: a line of a VM of the ACRN driver. The
 * descriptor stays the caller's. */
int vm_irqfd_assign(struct vm *vm, int descriptor, const struct irqfd_route *route);

/* -ENOENT: not assigned. */
int vm_irqfd_deassign(struct vm *vm, int descriptor);

/* Of a VM of the ACRN driver: all are the driver's from now on, or are so no more. */
void vm_irqfds_give(struct vm *vm, bool is_assigned);

/* Of an IRQFD_LEVEL: it is low now, as after an EOI. -ENOENT: not assigned. */
int vm_irqfd_lower(const struct vm *vm, int descriptor);

/* How many are assigned. */
uint32_t vm_irqfd_count(const struct vm *vm);

/* ---- the way to the requester: connection.c ---------------------------------------------- */

/* What a VM knows of the connection its requester attached by. */
struct requester_link {
    /* Queues line, without a newline, with a duplicate of descriptor (-1: none). Never fails: the
     * peer that cannot be told is cut, later. */
    void (*send)(struct requester_link *link, const char *line, int descriptor);
    /* The VM goes: the peer is cut, later; the VM is not touched any more. */
    void (*end)(struct requester_link *link);
};

/* The requester is there: tells it all. link is valid until vm_unlink_requester or its end(). */
void vm_link_requester(struct vm *vm, struct requester_link *link);
void vm_unlink_requester(struct vm *vm);

/* At the VM's end: closes all, and cuts the requester. */
void irqfds_destroy(struct vm *vm);

#endif
