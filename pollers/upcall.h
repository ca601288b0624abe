/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * upcall.h - how a requester tells that a slot is PENDING, for a poller that waits instead of spins.
 *
 * Flow:    whoever brings the page describes it -> arrival_assign (server/notify/arrival.h) -> while the
 *          poller has nothing to do for longer than its VMs' wait_after, it waits in io_uring for any
 *          of its upcalls -> it reads descriptor, re-enables it, and sweeps again.
 *
 *          The requester stores PENDING first and raises the upcall then, each time: an upcall stays
 *          readable until it was read, and after it was read every page is swept before the next
 *          wait. So none is lost, and one too many costs a sweep.
 * Threads: plain data, read by control; reads and writes of its descriptors are the kernel's.
 * Memory:  descriptors are duplicated.
 * Source:  eventfd(2); Linux Documentation/driver-api/uio-howto.rst (facts).
 */
#ifndef POLLERS_UPCALL_H
#define POLLERS_UPCALL_H

#include <stdint.h>

#define UPCALL_EVENTFD_BYTES 8u /* an eventfd: the requester's, or VFIO's */
#define UPCALL_UIO_BYTES     4u /* /dev/uioN */

struct upcall {
    int descriptor;      /* readable when it was raised; the caller's */
    uint32_t read_bytes; /* what one read takes: UPCALL_*_BYTES */
    /* Written after each read, to enable the next one; rearm_bytes 0: nothing. The offset is a file's
     * (PCI configuration space: the command register), or 0. */
    int rearm_descriptor;
    uint32_t rearm_bytes; /* 0, or up to 8 */
    uint64_t rearm_value; /* its first bytes, as it lies in memory */
    uint64_t rearm_offset;
};

#endif
