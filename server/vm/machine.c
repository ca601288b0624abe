/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/vm/machine.h"

#include "server/reason.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* Four pages that Intel's real-mode emulation needs, below the largest firmware image. */
#define IDENTITY_MAP_ADDRESS 0xfeffc000ull
#define TSS_ADDRESS          0xfeffd000ull

#define KVM_WANTED_VERSION 12

static const char *kvm_remedy(int error)
{
    switch (error) {
    case ENOENT:
    case ENODEV:
    case ENXIO:
        return "the machine offers no hardware virtualisation: enable it in the host, load "
               "kvm_intel or kvm_amd, or use 'ioreq-vm replay'";
    case EACCES:
    case EPERM:
        return "run as root or join the group kvm";
    case EBUSY:
        return "another hypervisor holds the processor: stop it";
    default:
        return "see dmesg";
    }
}

static int machine_open_kvm(struct machine *machine, char *error, size_t error_bytes)
{
    static const struct {
        int id;
        const char *name;
    } needed[] = {
        {KVM_CAP_USER_MEMORY, "KVM_CAP_USER_MEMORY"},
        {KVM_CAP_READONLY_MEM, "KVM_CAP_READONLY_MEM"},
        {KVM_CAP_SET_TSS_ADDR, "KVM_CAP_SET_TSS_ADDR"},
        {KVM_CAP_EXT_CPUID, "KVM_CAP_EXT_CPUID"},
        {KVM_CAP_IMMEDIATE_EXIT, "KVM_CAP_IMMEDIATE_EXIT"},
    };
    machine->kvm_fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
    if (machine->kvm_fd < 0)
        return reason_give(error, error_bytes, -errno, "cannot open /dev/kvm: %s (%s)",
                           strerror(errno), kvm_remedy(errno));
    int version = ioctl(machine->kvm_fd, KVM_GET_API_VERSION, 0);
    if (version < 0)
        return reason_give(error, error_bytes, -ENOSYS, "/dev/kvm is not a KVM device");
    if (version != KVM_WANTED_VERSION)
        return reason_give(error, error_bytes, -ENOSYS, "/dev/kvm speaks version %d, not %d",
                           version, KVM_WANTED_VERSION);
    for (size_t i = 0; i < sizeof(needed) / sizeof(needed[0]); i++)
        if (ioctl(machine->kvm_fd, KVM_CHECK_EXTENSION, needed[i].id) <= 0)
            return reason_give(error, error_bytes, -ENOSYS,
                               "this kernel's KVM lacks %s: use Linux 5.10 "
                               "or newer",
                               needed[i].name);
    int run_bytes = ioctl(machine->kvm_fd, KVM_GET_VCPU_MMAP_SIZE, 0);
    if (run_bytes < (int)sizeof(struct kvm_run))
        return reason_give(error, error_bytes, -ENOSYS, "KVM_GET_VCPU_MMAP_SIZE gives %d",
                           run_bytes);
    machine->run_bytes = (size_t)run_bytes;
    return 0;
}

static int machine_create_vm(struct machine *machine, bool has_kernel_irqchip, char *error,
                             size_t error_bytes)
{
    do {
        machine->vm_fd = ioctl(machine->kvm_fd, KVM_CREATE_VM, 0);
    } while (machine->vm_fd < 0 && errno == EINTR);
    if (machine->vm_fd < 0)
        return reason_give(error, error_bytes, -errno, "KVM_CREATE_VM: %s (%s)", strerror(errno),
                           kvm_remedy(errno));
    uint64_t identity_map = IDENTITY_MAP_ADDRESS;
    if (ioctl(machine->vm_fd, KVM_SET_TSS_ADDR, TSS_ADDRESS) != 0)
        return reason_give(error, error_bytes, -errno, "KVM_SET_TSS_ADDR: %s", strerror(errno));
    if (ioctl(machine->vm_fd, KVM_SET_IDENTITY_MAP_ADDR, &identity_map) != 0)
        return reason_give(error, error_bytes, -errno, "KVM_SET_IDENTITY_MAP_ADDR: %s",
                           strerror(errno));
    if (!has_kernel_irqchip)
        return 0;
    struct kvm_pit_config pit = {0};
    if (ioctl(machine->vm_fd, KVM_CREATE_IRQCHIP, 0) != 0)
        return reason_give(error, error_bytes, -errno,
                           "KVM_CREATE_IRQCHIP: %s (try --irqchip none)", strerror(errno));
    if (ioctl(machine->vm_fd, KVM_CREATE_PIT2, &pit) != 0)
        return reason_give(error, error_bytes, -errno, "KVM_CREATE_PIT2: %s (try --irqchip none)",
                           strerror(errno));
    return 0;
}

static int machine_add_memory(const struct machine *machine, uint32_t slot, uint32_t flags,
                              uint64_t address, uint8_t *bytes, uint64_t size_bytes)
{
    struct kvm_userspace_memory_region region = {
        .slot = slot,
        .flags = flags,
        .guest_phys_addr = address,
        .memory_size = size_bytes,
        .userspace_addr = (uint64_t)(uintptr_t)bytes,
    };
    return ioctl(machine->vm_fd, KVM_SET_USER_MEMORY_REGION, &region) == 0 ? 0 : -errno;
}

static int machine_map_memory(struct machine *machine, const struct machine_setup *setup,
                              char *error, size_t error_bytes)
{
    const struct firmware *firmware = setup->firmware;
    void *ram = mmap(NULL, machine->ram_bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (ram == MAP_FAILED)
        return reason_give(error, error_bytes, -errno,
                           "cannot reserve %" PRIu64 " MiB of memory: %s "
                           "(give less --memory)",
                           machine->ram_bytes >> 20, strerror(errno));
    machine->ram = ram;
    size_t shadow_bytes = firmware_shadow_bytes(firmware->size_bytes, setup->shadow_bytes);
    memcpy(machine->ram + FIRMWARE_SHADOW_TOP - shadow_bytes,
           firmware->bytes + firmware->size_bytes - shadow_bytes, shadow_bytes);

    uint64_t low_bytes =
        machine->ram_bytes < MACHINE_LOW_RAM_LAST ? machine->ram_bytes : MACHINE_LOW_RAM_LAST;
    int result = machine_add_memory(machine, 0, 0, 0, machine->ram, low_bytes);
    if (result == 0)
        result =
            machine_add_memory(machine, 1, KVM_MEM_READONLY, FIRMWARE_TOP - firmware->size_bytes,
                               firmware->bytes, firmware->size_bytes);
    if (result == 0 && machine->ram_bytes > low_bytes)
        result = machine_add_memory(machine, 2, 0, FIRMWARE_TOP, machine->ram + low_bytes,
                                    machine->ram_bytes - low_bytes);
    if (result != 0)
        return reason_give(error, error_bytes, result, "KVM_SET_USER_MEMORY_REGION: %s",
                           strerror(-result));
    return 0;
}

static int machine_create_vcpu(struct machine *machine, uint32_t index, bool has_kernel_irqchip,
                               char *error, size_t error_bytes)
{
    struct machine_vcpu *vcpu = &machine->vcpus[index];
    vcpu->fd = ioctl(machine->vm_fd, KVM_CREATE_VCPU, (unsigned long)index);
    if (vcpu->fd < 0)
        return reason_give(error, error_bytes, -errno, "KVM_CREATE_VCPU %" PRIu32 ": %s", index,
                           strerror(errno));
    void *run = mmap(NULL, machine->run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu->fd, 0);
    if (run == MAP_FAILED)
        return reason_give(error, error_bytes, -errno, "cannot map a vCPU: %s", strerror(errno));
    vcpu->run = run;
    int result = machine_set_cpuid(machine, index, has_kernel_irqchip);
    if (result != 0)
        return reason_give(error, error_bytes, result, "KVM_SET_CPUID2: %s", strerror(-result));
    return 0;
}

int machine_create(const struct machine_setup *setup, struct machine *machine, char *error,
                   size_t error_bytes)
{
    memset(machine, 0, sizeof(*machine));
    machine->kvm_fd = -1;
    machine->vm_fd = -1;
    machine->ram_bytes = setup->ram_bytes;
    machine->vcpu_count = setup->vcpu_count;
    for (uint32_t i = 0; i < MACHINE_VCPUS_MAX; i++)
        machine->vcpus[i].fd = -1;

    int result = machine_open_kvm(machine, error, error_bytes);
    if (result == 0)
        result = machine_create_vm(machine, setup->has_kernel_irqchip, error, error_bytes);
    if (result == 0)
        result = machine_map_memory(machine, setup, error, error_bytes);
    for (uint32_t i = 0; i < setup->vcpu_count && result == 0; i++)
        result = machine_create_vcpu(machine, i, setup->has_kernel_irqchip, error, error_bytes);
    if (result != 0)
        machine_destroy(machine);
    return result;
}

void machine_destroy(struct machine *machine)
{
    for (uint32_t i = 0; i < machine->vcpu_count; i++) {
        if (machine->vcpus[i].run)
            munmap(machine->vcpus[i].run, machine->run_bytes);
        if (machine->vcpus[i].fd >= 0)
            close(machine->vcpus[i].fd);
    }
    if (machine->vm_fd >= 0)
        close(machine->vm_fd);
    if (machine->kvm_fd >= 0)
        close(machine->kvm_fd);
    if (machine->ram)
        munmap(machine->ram, machine->ram_bytes);
}

int machine_probe(char *error, size_t error_bytes)
{
    static const uint8_t hlt = 0xf4;
    struct firmware firmware;
    struct machine machine;
    int result = firmware_fill(&firmware, FIRMWARE_MIN_BYTES, hlt);
    if (result != 0)
        return reason_give(error, error_bytes, result, "out of memory");
    const struct machine_setup setup = {
        .firmware = &firmware,
        .ram_bytes = MACHINE_RAM_MIN_BYTES,
        .shadow_bytes = FIRMWARE_SHADOW_BYTES,
        .vcpu_count = 1,
    };
    result = machine_create(&setup, &machine, error, error_bytes);
    if (result == 0) {
        int run_result;
        do {
            run_result = ioctl(machine.vcpus[0].fd, KVM_RUN, 0);
        } while (run_result != 0 && errno == EINTR);
        if (run_result != 0)
            result = reason_give(error, error_bytes, -errno, "KVM_RUN: %s (%s)", strerror(errno),
                                 kvm_remedy(errno));
        else if (machine.vcpus[0].run->exit_reason != KVM_EXIT_HLT)
            result =
                reason_give(error, error_bytes, -EIO,
                            "a guest does not run: KVM exit %" PRIu32 " at its first instruction",
                            machine.vcpus[0].run->exit_reason);
        machine_destroy(&machine);
    }
    firmware_unload(&firmware);
    return result;
}

void machine_kick(struct machine *machine, uint32_t vcpu)
{
    /* Relaxed: the signal that follows orders it; the reader is the kernel. */
    __atomic_store_n(&machine->vcpus[vcpu].run->immediate_exit, 1, __ATOMIC_RELAXED);
}

/* An internal error's own words: the instruction that KVM could not emulate, or bare numbers. */
static void describe_internal_error(const struct kvm_run *run, FILE *out)
{
    fprintf(out, "KVM internal error %" PRIu32, run->internal.suberror);
    bool has_bytes =
        run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION &&
        run->emulation_failure.ndata >= 3 &&
        (run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES);
    if (has_bytes)
        fputs(" (KVM has to emulate an instruction here and cannot):", out);
    for (uint32_t i = 0; has_bytes && i < run->emulation_failure.insn_size && i < 15; i++)
        fprintf(out, " %02x", run->emulation_failure.insn_bytes[i]);
    for (uint32_t i = 0; !has_bytes && i < run->internal.ndata && i < 16; i++)
        fprintf(out, " 0x%llx", run->internal.data[i]);
}

static void describe_exit(const struct kvm_run *run, FILE *out)
{
    switch (run->exit_reason) {
    case KVM_EXIT_INTERNAL_ERROR:
        describe_internal_error(run, out);
        break;
    case KVM_EXIT_FAIL_ENTRY:
        fprintf(out, "the processor refused to enter the guest, reason 0x%llx",
                run->fail_entry.hardware_entry_failure_reason);
        break;
    case KVM_EXIT_SHUTDOWN:
        fputs("triple fault", out);
        break;
    default:
        fprintf(out, "unexpected KVM exit %" PRIu32, run->exit_reason);
        break;
    }
}

void machine_describe(const struct machine *machine, uint32_t vcpu, char *text, size_t text_bytes)
{
    const struct machine_vcpu *described = &machine->vcpus[vcpu];
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    FILE *out = fmemopen(text, text_bytes, "w");
    if (!out) {
        snprintf(text, text_bytes, "KVM exit %" PRIu32, described->run->exit_reason);
        return;
    }
    describe_exit(described->run, out);
    if (ioctl(described->fd, KVM_GET_REGS, &regs) == 0 &&
        ioctl(described->fd, KVM_GET_SREGS, &sregs) == 0)
        fprintf(out,
                "\n  rip %016llx flags %08llx cs %04x base %08llx\n"
                "  rax %016llx rbx %016llx rcx %016llx rdx %016llx\n"
                "  rsi %016llx rdi %016llx rbp %016llx rsp %016llx\n"
                "  cr0 %08llx cr2 %08llx cr3 %08llx cr4 %08llx efer %llx ds %04x ss %04x",
                regs.rip, regs.rflags, sregs.cs.selector, sregs.cs.base, regs.rax, regs.rbx,
                regs.rcx, regs.rdx, regs.rsi, regs.rdi, regs.rbp, regs.rsp, sregs.cr0, sregs.cr2,
                sregs.cr3, sregs.cr4, sregs.efer, sregs.ds.selector, sregs.ss.selector);
    fclose(out);
}
