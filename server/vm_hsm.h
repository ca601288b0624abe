/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vm_hsm.h - a VM of source hsm: what it has beside the others whose page is a device's (vm_source.h).
 *
 * Flow:    created by us: at its start; its launcher asks for the device (vm_hsm_lend), loads the VM and
 *          starts it. Handed over: vm_hsm_take_device, then vm_hsm_attach with the page, by the device
 *          model, whose connection is its life.
 *
 *              reset: vm_clear settles all that is ours, through the driver; then vm_hsm_clear, the
 *              driver's own CLEAR, which completes what came meanwhile; then the VM goes on.
 *
 * Threads: control.
 * Memory:  the device that was handed over is the VM's until the page came.
 * Errors:  negative errno; told in the log with the remedy.
 */
#ifndef SERVER_VM_HSM_H
#define SERVER_VM_HSM_H

#include "server/notify/ioeventfd.h"
#include "server/notify/irqfd.h"

/* True: a device model hands it over. */
bool vm_hsm_is_handed(const struct vm *vm);

/* The device that vm_hsm_attach will find; a duplicate is kept. -EINVAL: not a VM that is handed over.
 * -EEXIST: it is attached already. */
int vm_hsm_take_device(struct vm *vm, int device);

/* vm_attach of a VM that is handed over, by process pid; page stays the caller's. -ENOTCONN: its device
 * was not handed over before. -EBADF: no page came. -EEXIST: it is attached. */
int vm_hsm_attach(struct vm *vm, pid_t pid, int page);

/* The device of a VM that we created, the VM's; -ENODEV: there is none. */
int vm_hsm_lend(const struct vm *vm);
/* Its number at the hypervisor; 0: not a VM of ours. */
uint32_t vm_hsm_id(const struct vm *vm);

/* True: its source is hsm. */
bool vm_has_hsm(const struct vm *vm);

/* A doorbell that the driver keeps: it rings without us, ours at that address is shadowed, and it goes
 * with the VM, or by a deassign: of the first entry of that eventfd, whatever the rest says, as the driver
 * has it. As the driver says; -EOPNOTSUPP: no VM of the driver; -ENOTCONN: not attached. */
int vm_hsm_ioeventfd(struct vm *vm, const struct ioeventfd_options *options, bool is_assigned);

/* For irqfd.c: an MSI of the driver's. 0 while nobody is attached. */
int vm_hsm_irqfd(struct vm *vm, int descriptor, const struct irqfd_route *route, bool is_assigned);

/* For interrupt.c: its VM at the driver; NULL: it has none, or not now. */
struct hsm *vm_hsm_driver(const struct vm *vm);

/* For vm_source.c: the page is open, and not swept yet. */
void vm_hsm_connect(struct vm *vm);
/* For vm.c: before the page is closed. */
void vm_hsm_disconnect(struct vm *vm);
/* For vm_source.c: a VM that was handed over is gone. It waits for the next one. */
void vm_hsm_lose(struct vm *vm, const char *reason);

/* For vm.c, as the last step of a clear: -EAGAIN: not yet. */
int vm_hsm_clear(struct vm *vm);

/* ---- a VM of ours outlives us: its device and page lie with the keeper -------------------- */

/* What an earlier ioreqd had of it, before it is opened; drop: once it is, or cannot be. */
void vm_hsm_take_kept(struct vm *vm);
bool vm_hsm_has_kept(const struct vm *vm);
void vm_hsm_drop_kept(struct vm *vm);

/* Once it is open, and when it is destroyed. Of no effect for other VMs. */
void vm_hsm_keep(const struct vm *vm);
void vm_hsm_forget(const struct vm *vm);

#endif
