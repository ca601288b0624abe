/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * machine.h - a KVM guest with memory, a firmware image and vCPUs, and nothing else: every access
 * that meets no memory ends KVM_RUN.
 *
 * Flow:    machine_create -> KVM_RUN on each vCPU in its own thread -> threads joined ->
 *          machine_destroy.
 * Threads: create and destroy: one; a vCPU's descriptor and kvm_run belong to its thread, except
 *          machine_kick.
 * Memory:  guest memory is reserved, not committed; firmware bytes stay the caller's.
 * Errors:  negative errno with one line that names cause and remedy.
 * Source:  Linux Documentation/virt/kvm/api.rst; Intel SDM vol. 3, 9.1 (reset state), vol. 2,
 *          CPUID.
 *
 * Guest-physical memory: RAM from 0 up to 3 GiB, the rest from 4 GiB; the firmware read-only up to
 * 4 GiB (a write to it is an access); its tail copied into the RAM that ends at 1 MiB. KVM itself
 * takes 4 pages from 0xfeffc000.
 *
 * irqchip kernel: local APICs, I/O APIC, PICs and PIT are KVM's, as they are the hypervisor's on
 * ACRN; vCPU 0 starts at the reset vector, the others wait for INIT and SIPI.
 * irqchip none: none of these exists, all their addresses trap; no interrupt can ever arrive, and
 * every vCPU starts at the reset vector at once, since nobody could wake it.
 */
#ifndef SERVER_VM_MACHINE_H
#define SERVER_VM_MACHINE_H

#include "server/vm/firmware.h"

#include <linux/kvm.h>
#include <stdbool.h>

#define MACHINE_VCPUS_MAX     16
#define MACHINE_RAM_MIN_BYTES (1ull << 20)
#define MACHINE_RAM_MAX_BYTES (1ull << 40)
#define MACHINE_LOW_RAM_LAST  (3ull << 30) /* RAM below the hole ends here at the latest */

struct machine_vcpu {
    int fd;
    struct kvm_run *run; /* shared with the kernel; run_bytes long */
};

struct machine {
    int kvm_fd;
    int vm_fd;
    uint8_t *ram;
    uint64_t ram_bytes;
    size_t run_bytes;
    uint32_t vcpu_count;
    struct machine_vcpu vcpus[MACHINE_VCPUS_MAX];
};

struct machine_setup {
    const struct firmware *firmware; /* must outlive the machine */
    uint64_t ram_bytes;              /* MACHINE_RAM_MIN_BYTES.., a multiple of 4 KiB */
    size_t shadow_bytes;             /* ..FIRMWARE_SHADOW_MAX, of the image's end, below 1 MiB */
    uint32_t vcpu_count;             /* 1..MACHINE_VCPUS_MAX */
    bool has_kernel_irqchip;
};

/* 0, or a negative errno with a line in error [error_bytes] and nothing left behind. */
int machine_create(const struct machine_setup *setup, struct machine *machine, char *error,
                   size_t error_bytes);
void machine_destroy(struct machine *machine);

/* Whether guests can run here: starts one that halts at once. 0, or a negative errno with the
 * reason and the remedy in error. */
int machine_probe(char *error, size_t error_bytes);

/* Lets a vCPU's present or next KVM_RUN return -EINTR. Any thread. The caller then sends the
 * vCPU's thread a signal that has a handler: together they leave no gap. */
void machine_kick(struct machine *machine, uint32_t vcpu);

/* Why a vCPU stopped, with its registers, as several lines of text. Its own thread. */
void machine_describe(const struct machine *machine, uint32_t vcpu, char *text, size_t text_bytes);

/* machine_cpuid.c: gives a vCPU its own APIC id and the topology of vcpu_count cores. */
int machine_set_cpuid(const struct machine *machine, uint32_t vcpu, bool has_kernel_irqchip);

#endif
