/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * interrupts.h - binds the eventfds that the server names to interrupts of a KVM guest.
 *
 * Flow:    interrupts_init -> interrupts_hear, each line of the server's (server/notify/irqfd.h) ->
 *          interrupts_forget, when a server has come after one that died -> interrupts_fini. From the
 *          binding on an interrupt goes from whoever writes the eventfd to the guest within the kernel, and
 *          the word that a level was lowered by an EOI the other way.
 *
 *          A level is lowered without an EOI by taking its binding apart, which KVM does so; then it is
 *          bound again.
 * Threads: init and fini: one; hear: the requester's watcher.
 * Memory:  struct interrupts is the caller's; it owns the eventfds it was given.
 * Errors:  a line that cannot be followed is told on stderr and ignored.
 * Source:  Linux Documentation/virt/kvm/api.rst, KVM_IRQFD and KVM_SET_GSI_ROUTING.
 */
#ifndef SERVER_VM_INTERRUPTS_H
#define SERVER_VM_INTERRUPTS_H

#include <stdbool.h>
#include <stdint.h>

#define INTERRUPTS_MAX 64 /* as many as a VM's irqfds */

struct interrupt {
    uint32_t id; /* the server's; 0: free */
    int descriptor;
    uint32_t gsi;
    bool is_msi;
    bool is_level;    /* bound once its resample is there */
    int resample;     /* is_level; -1: not yet */
    uint64_t address; /* is_msi */
    uint32_t data;    /* is_msi */
};

struct interrupts {
    int vm_fd; /* KVM's; not owned */
    bool has_kernel_irqchip;
    struct interrupt entries[INTERRUPTS_MAX];
};

void interrupts_init(struct interrupts *interrupts, int vm_fd, bool has_kernel_irqchip);
void interrupts_fini(struct interrupts *interrupts);

/* As struct requester_listener.line; context is the interrupts. Owns descriptor (-1: none). */
void interrupts_hear(void *context, const char *line, int descriptor);
/* As struct requester_listener.again: what the last server said holds no more, its lines are low. */
void interrupts_forget(void *context);

#endif
