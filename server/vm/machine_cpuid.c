/* SPDX-License-Identifier: BSD-3-Clause */
/* What the guest learns about its processors: KVM's own list, with an APIC id for each vCPU and one
 * package of vcpu_count cores without hyper-threads. */
#include "server/vm/machine.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#define CPUID_ENTRIES_MAX 256

/* Leaf 1 */
#define ECX_X2APIC       (1u << 21)
#define ECX_TSC_DEADLINE (1u << 24)
#define ECX_HYPERVISOR   (1u << 31)
#define EDX_APIC         (1u << 9)
#define EDX_HTT          (1u << 28)

/* Leaf 0xb */
#define LEVEL_SMT  (1u << 8)
#define LEVEL_CORE (2u << 8)

static uint32_t bits_for(uint32_t count)
{
    uint32_t bits = 0;
    while (1u << bits < count)
        bits++;
    return bits;
}

static void set_leaf_1(struct kvm_cpuid_entry2 *entry, uint32_t vcpu, uint32_t vcpu_count,
                       bool has_kernel_irqchip)
{
    entry->ebx = (entry->ebx & 0xffff) | vcpu_count << 16 | vcpu << 24;
    entry->ecx |= ECX_HYPERVISOR;
    entry->edx = vcpu_count > 1 ? entry->edx | EDX_HTT : entry->edx & ~EDX_HTT;
    if (has_kernel_irqchip) {
        entry->ecx |= ECX_X2APIC | ECX_TSC_DEADLINE;
    } else {
        entry->ecx &= ~(ECX_X2APIC | ECX_TSC_DEADLINE);
        entry->edx &= ~EDX_APIC;
    }
}

/* Extended topology: one thread a core, vcpu_count cores. */
static void append_topology(struct kvm_cpuid2 *list, uint32_t leaf, uint32_t vcpu,
                            uint32_t vcpu_count)
{
    for (uint32_t level = 0; level < 3 && list->nent < CPUID_ENTRIES_MAX; level++) {
        struct kvm_cpuid_entry2 *entry = &list->entries[list->nent++];
        *entry = (struct kvm_cpuid_entry2){
            .function = leaf,
            .index = level,
            .flags = KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
            .ecx = level,
            .edx = vcpu,
        };
        if (level == 0) {
            entry->ebx = 1;
            entry->ecx |= LEVEL_SMT;
        } else if (level == 1) {
            entry->eax = bits_for(vcpu_count);
            entry->ebx = vcpu_count;
            entry->ecx |= LEVEL_CORE;
        }
    }
}

/* Changes one entry of KVM's list; false: leave it out. */
static bool adapt_entry(struct kvm_cpuid_entry2 *entry, uint32_t vcpu, uint32_t vcpu_count,
                        bool has_kernel_irqchip)
{
    switch (entry->function) {
    case 0x1:
        set_leaf_1(entry, vcpu, vcpu_count, has_kernel_irqchip);
        return true;
    case 0x4: /* cores in the package; no level of cache is shared between them */
        if (entry->eax & 0x1f)
            entry->eax = (entry->eax & 0x3fff) | (vcpu_count - 1) << 26;
        return true;
    case 0xb:
    case 0x1f:
        return false; /* append_topology's */
    case 0x40000001:  /* paravirtual features: some need the APIC */
        if (!has_kernel_irqchip)
            entry->eax = 0;
        return true;
    case 0x80000008:
        entry->ecx = bits_for(vcpu_count) << 12 | (vcpu_count - 1);
        return true;
    case 0x8000001e:
        entry->eax = vcpu;
        entry->ebx = vcpu; /* core id, one thread a core */
        entry->ecx = 0;
        return true;
    default:
        return true;
    }
}

int machine_set_cpuid(const struct machine *machine, uint32_t vcpu, bool has_kernel_irqchip)
{
    struct kvm_cpuid2 *list =
        calloc(1, sizeof(*list) + CPUID_ENTRIES_MAX * sizeof(list->entries[0]));
    if (!list)
        return -ENOMEM;
    list->nent = CPUID_ENTRIES_MAX;
    int result = ioctl(machine->kvm_fd, KVM_GET_SUPPORTED_CPUID, list) == 0 ? 0 : -errno;
    if (result == 0) {
        uint32_t kept = 0;
        bool has_topology = false;
        for (uint32_t i = 0; i < list->nent; i++) {
            struct kvm_cpuid_entry2 entry = list->entries[i];
            has_topology |= entry.function == 0xb;
            if (adapt_entry(&entry, vcpu, machine->vcpu_count, has_kernel_irqchip))
                list->entries[kept++] = entry;
        }
        list->nent = kept;
        if (has_topology)
            append_topology(list, 0xb, vcpu, machine->vcpu_count);
        result = ioctl(machine->vcpus[vcpu].fd, KVM_SET_CPUID2, list) == 0 ? 0 : -errno;
    }
    free(list);
    return result;
}
