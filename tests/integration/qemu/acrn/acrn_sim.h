/* SPDX-License-Identifier: BSD-3-Clause */
/* Dual licence: as a part of a kernel also GPL-2.0-only. */
/*
 * acrn_sim.h - /dev/acrn_sim: the simulated ACRN hypervisor below Linux's own ACRN driver, as a test
 * sees it. The test plays a vCPU, looks at what was counted, and lets the hypervisor reset a VM.
 *
 * Flow:    the driver creates a VM and registers its page by hypercall -> SIM_ACCESS, one guest access,
 *          which returns when the vCPU would go on -> SIM_FIGURES.
 * Threads: SIM_ACCESS blocks; one thread a vCPU.
 * Errors:  SIM_ACCESS: ENODEV no such VM, or destroyed meanwhile; EINVAL no such vCPU; EBUSY the slot was
 *          not FREE: the guest would get a #GP; ECANCELED the VM was reset meanwhile; ETIMEDOUT; EPROTO
 *          notified, but the slot is not COMPLETE.
 * Source:  <linux/acrn.h>; the words of the ACRN hypervisor's documentation.
 */
#ifndef ACRN_SIM_H
#define ACRN_SIM_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define SIM_VMS 8 /* ids 1..SIM_VMS */

struct sim_access {
    __u16 vm;
    __u16 vcpu;
    __u32 type;      /* ACRN_IOREQ_TYPE_ */
    __u32 direction; /* ACRN_IOREQ_DIR_ */
    __u32 size_bytes;
    __u64 address;
    __u64 value;      /* of a write; of a read what the slot held when it was COMPLETE */
    __u64 stale;      /* what the slot's value holds before a read is answered */
    __u32 polling;    /* 1: spins for COMPLETE; 0: sleeps until the completion hypercall */
    __u32 timeout_ms; /* then the slot is left as it is */
};

struct sim_figures {
    __u16 vm;
    __u16 is_alive;
    __u32 vcpus;
    __u64 accesses;       /* FREE -> PENDING */
    __u64 upcalls;        /* interrupts raised for them */
    __u64 notified;       /* hypercall NOTIFY_REQUEST_FINISH */
    __u64 notified_wrong; /* of these: the slot was not COMPLETE, or nobody waited there */
    __u64 not_free;       /* accesses that found their slot other than FREE */
    __u64 resets;
    __u64 taken_back; /* slots that a reset found other than FREE */
    __u64 starts, pauses;
    __u64 msis;
    __u64 msi_address, msi_data; /* of the last one */
    __u64 raised, lowered; /* SET_IRQLINE, high and low; pulses are neither */
    __u64 line;            /* of the last one */
};

#define SIM_ACCESS  _IOWR('s', 1, struct sim_access)
#define SIM_FIGURES _IOWR('s', 2, struct sim_figures)
#define SIM_RESET   _IOW('s', 3, __u16) /* the hypervisor's part of a VM reset: all slots FREE */

#endif
