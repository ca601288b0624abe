/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ioeventfd.h - eventfds that a write of the guest rings, as the ACRN driver's IOEVENTFD.
 *
 * Flow:    vm_ioeventfd_assign -> a write at that address is completed first, then the eventfd is
 *          signalled, through the notifier -> vm_ioeventfd_deassign, or the VM's end. A reset
 *          leaves them.
 *
 *          Several entries of one address share a doorbell (clients/doorbell.h) and its route.
 *          Doorbells win over every client's ranges, also over those added later: their priority
 *          is reserved. Tables are changed by commands on the sweeping poller, between two
 *          requests.
 *
 * Threads: control.
 * Memory:  a VM owns its ioeventfds, the notifier a duplicate of each eventfd.
 * Errors:  negative errno; nothing half applied, as in vm.h. A poller that stops answering within a
 *          deassign: -ETIMEDOUT, the entry is gone, its eventfd is let go of with the VM.
 * Source:  Linux drivers/virt/acrn/ioeventfd.c (facts). Other than there a deassign removes the
 *          entry it names and not the first one of that eventfd, a write that matches nothing is
 *          counted, doorbells of overlapping addresses are refused, and no client shadows a
 *          doorbell.
 */
#ifndef SERVER_NOTIFY_IOEVENTFD_H
#define SERVER_NOTIFY_IOEVENTFD_H

#include "server/vm.h"

enum ioeventfd_reads {
    IOEVENTFD_READS_ZERO, /* as the driver */
    IOEVENTFD_READS_ONES,
    IOEVENTFD_READS_KERNEL, /* 0; the ACRN driver keeps it: vm_hsm_ioeventfd */
};

struct ioeventfd_options {
    int descriptor;        /* an eventfd; stays the caller's */
    uint32_t type;         /* REQUEST_PORTIO or REQUEST_MMIO */
    uint64_t address;      /* writes at exactly that address */
    uint32_t length_bytes; /* and of up to this size: 1, 2, 4 or 8 */
    bool has_datamatch;    /* false: any data */
    uint64_t data;         /* has_datamatch: that data alone */
    enum ioeventfd_reads reads;
};

/*
 * Where several entries of an address match a write, the one assigned first is signalled. -EBADF,
 * -EINVAL: descriptor is none, or no eventfd. -EINVAL: type, length, or addresses beyond the type's
 * space. -EEXIST: the same eventfd, address and type with overlapping data (either is a wildcard,
 * or both are the same); another doorbell at an overlapping address, or at the same one with other
 * reads; a port that PCI configuration has. -ENOSPC: DOORBELL_BELLS_MAX at one address, or
 * NOTIFIER_SIGNALS_MAX in all.
 */
int vm_ioeventfd_assign(struct vm *vm, const struct ioeventfd_options *options);

/* Removes the entry of exactly this eventfd, type, address, length and data; its eventfd is not
 * written any more. What the guest rang before is. `reads` is not looked at. -ENOENT: none. */
int vm_ioeventfd_deassign(struct vm *vm, const struct ioeventfd_options *options);

/* For display. */
struct ioeventfd_figures {
    uint32_t assigned;
    uint64_t rings;
    uint64_t misses; /* writes that matched nothing at the address of a doorbell: dropped */
};
struct ioeventfd_figures vm_ioeventfd_figures(const struct vm *vm);

/* ---- for vm.c and vm_client.c ------------------------------------------------------------ */

/* The routes of the VM's doorbells; ranges: NULL to count only. */
size_t ioeventfds_gather_ranges(const struct vm *vm, struct router_range *ranges);

/* At the VM's end, once no poller sweeps its page any more. */
void ioeventfds_destroy(struct vm *vm);

#endif
