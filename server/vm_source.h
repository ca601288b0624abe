/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vm_source.h - a VM whose page is in a device's memory: nobody attaches to it, starting it opens it.
 *
 * Flow:    vm_start -> vm_source_open -> served; vm_source_poll sees a page whose memory went,
 *          vm_source_tick a device that was removed: one line with the remedy, that VM is stopped, the
 *          others go on -> vm_start again, by the operator, once it is well.
 *
 *          Its devices stay as they are when a page comes back: nobody said that the guest was reset.
 * Threads: control.
 * Memory:  the VM's.
 * Errors:  negative errno, with a line for the operator.
 */
#ifndef SERVER_VM_SOURCE_H
#define SERVER_VM_SOURCE_H

#include "server/vm.h"

/* Takes what options say of the page. -EINVAL: the device's name is too long. */
int vm_source_init(struct vm *vm, const struct vm_options *options);

/* True: its page comes from where config says. */
bool vm_has_source(const struct vm *vm, const struct config_vm *config);

/* True: its page is in a device's memory. */
bool vm_has_device(const struct vm *vm);

/* Opens the page and has it served, if the VM runs. 0 also where there is nothing to do: the page is open,
 * is no device's, or has yet to be handed over. -ETIMEDOUT: the poller does not answer, or has not let
 * go of the page before; what page_source_open says otherwise. */
int vm_source_open(struct vm *vm);

/* Every few milliseconds. */
void vm_source_poll(struct vm *vm);
/* Once a second. */
void vm_source_tick(struct vm *vm);

#endif
