/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/vm/interrupts.h"

#include "server/vm/options.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/kvm.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define COMMAND       "kvm"
#define PIC_PINS      16u
#define IO_APIC_PINS  24u
#define ROUTES_MAX    (PIC_PINS + IO_APIC_PINS + INTERRUPTS_MAX)
#define FIRST_MSI_GSI IO_APIC_PINS /* one each, behind the lines */

void interrupts_init(struct interrupts *interrupts, int vm_fd, bool has_kernel_irqchip)
{
    memset(interrupts, 0, sizeof(*interrupts));
    interrupts->vm_fd = vm_fd;
    interrupts->has_kernel_irqchip = has_kernel_irqchip;
}

static struct interrupt *find(struct interrupts *interrupts, uint32_t id)
{
    for (uint32_t i = 0; i < INTERRUPTS_MAX; i++)
        if (interrupts->entries[i].id == id)
            return &interrupts->entries[i];
    return NULL;
}

/* ---- KVM --------------------------------------------------------------------------------- */

static void add_pin(struct kvm_irq_routing *table, uint32_t gsi, uint32_t chip, uint32_t pin)
{
    struct kvm_irq_routing_entry *entry = &table->entries[table->nr++];
    entry->gsi = gsi;
    entry->type = KVM_IRQ_ROUTING_IRQCHIP;
    entry->u.irqchip.irqchip = chip;
    entry->u.irqchip.pin = pin;
}

/* The whole table is set at once: the lines as KVM has them at first, then the MSIs. */
static int set_routes(struct interrupts *interrupts)
{
    struct kvm_irq_routing *table =
        calloc(1, sizeof(*table) + ROUTES_MAX * sizeof(table->entries[0]));
    if (!table)
        return -ENOMEM;
    for (uint32_t pin = 0; pin < IO_APIC_PINS; pin++) {
        if (pin < PIC_PINS)
            add_pin(table, pin, pin < 8 ? KVM_IRQCHIP_PIC_MASTER : KVM_IRQCHIP_PIC_SLAVE, pin % 8);
        add_pin(table, pin, KVM_IRQCHIP_IOAPIC, pin);
    }
    for (uint32_t i = 0; i < INTERRUPTS_MAX; i++) {
        const struct interrupt *interrupt = &interrupts->entries[i];
        if (!interrupt->id || !interrupt->is_msi)
            continue;
        struct kvm_irq_routing_entry *entry = &table->entries[table->nr++];
        entry->gsi = interrupt->gsi;
        entry->type = KVM_IRQ_ROUTING_MSI;
        entry->u.msi.address_lo = (uint32_t)interrupt->address;
        entry->u.msi.address_hi = (uint32_t)(interrupt->address >> 32);
        entry->u.msi.data = interrupt->data;
    }
    int result = ioctl(interrupts->vm_fd, KVM_SET_GSI_ROUTING, table) == 0 ? 0 : -errno;
    free(table);
    return result;
}

static int bind(const struct interrupts *interrupts, const struct interrupt *interrupt,
                uint32_t flags)
{
    struct kvm_irqfd irqfd = {
        .fd = (uint32_t)interrupt->descriptor, .gsi = interrupt->gsi, .flags = flags};
    if (interrupt->is_level && !(flags & KVM_IRQFD_FLAG_DEASSIGN)) {
        irqfd.flags |= KVM_IRQFD_FLAG_RESAMPLE;
        irqfd.resamplefd = (uint32_t)interrupt->resample;
    }
    return ioctl(interrupts->vm_fd, KVM_IRQFD, &irqfd) == 0 ? 0 : -errno;
}

/* ---- lines ------------------------------------------------------------------------------- */

/* Fills all but the descriptor. False: the line is none of these. */
static bool parse_assign(const char *line, struct interrupt *interrupt)
{
    int end = 0;
    *interrupt = (struct interrupt){.resample = -1};
    if (sscanf(line, "irqfd assign %" SCNu32 " line %" SCNu32 "%n", &interrupt->id, &interrupt->gsi,
               &end) == 2 &&
        line[end] == '\0')
        return interrupt->id != 0 && interrupt->gsi < IO_APIC_PINS;
    end = 0;
    interrupt->is_level = sscanf(line, "irqfd assign %" SCNu32 " level %" SCNu32 "%n",
                                 &interrupt->id, &interrupt->gsi, &end) == 2 &&
                          line[end] == '\0';
    if (interrupt->is_level)
        return interrupt->id != 0 && interrupt->gsi < IO_APIC_PINS;
    end = 0;
    interrupt->is_msi = true;
    return sscanf(line, "irqfd assign %" SCNu32 " msi 0x%" SCNx64 " 0x%" SCNx32 "%n",
                  &interrupt->id, &interrupt->address, &interrupt->data, &end) == 3 &&
           line[end] == '\0' && interrupt->id != 0;
}

/* "irqfd WORD ID" */
static bool parse_id(const char *line, const char *word, uint32_t *id)
{
    char format[48];
    int end = 0;
    snprintf(format, sizeof(format), "irqfd %s %%" SCNu32 "%%n", word);
    return sscanf(line, format, id, &end) == 1 && line[end] == '\0' && *id != 0;
}

/* Takes the descriptor with success. */
static int assign(struct interrupts *interrupts, const struct interrupt *wanted)
{
    struct interrupt *interrupt = find(interrupts, 0);
    if (!interrupts->has_kernel_irqchip)
        return -EOPNOTSUPP;
    if (wanted->descriptor < 0)
        return -EBADF;
    if (find(interrupts, wanted->id))
        return -EEXIST;
    if (!interrupt)
        return -ENOSPC;
    *interrupt = *wanted;
    int result = 0;
    if (wanted->is_msi) {
        interrupt->gsi = FIRST_MSI_GSI + (uint32_t)(interrupt - interrupts->entries);
        result = set_routes(interrupts);
    }
    if (result == 0 && !wanted->is_level)
        result = bind(interrupts, interrupt, 0);
    if (result < 0)
        interrupt->id = 0;
    return result;
}

/* The level is low: whoever wants it high says so again. Full: it has yet to read what KVM said. */
static void ask_again(const struct interrupt *interrupt)
{
    const uint64_t one = 1;
    if (write(interrupt->resample, &one, sizeof(one)) < 0 && errno != EAGAIN)
        command_fail(COMMAND, "interrupt %" PRIu32 ": %s", interrupt->id, strerror(errno));
}

/* Takes the descriptor with success. */
static int resample(struct interrupts *interrupts, uint32_t id, int descriptor)
{
    struct interrupt *interrupt = find(interrupts, id);
    if (!interrupt)
        return -ENOENT;
    if (descriptor < 0)
        return -EBADF;
    if (!interrupt->is_level || interrupt->resample >= 0)
        return -EEXIST;
    interrupt->resample = descriptor;
    int result = bind(interrupts, interrupt, 0);
    if (result < 0)
        interrupt->resample = -1;
    else
        ask_again(interrupt);
    return result;
}

static int lower(struct interrupts *interrupts, uint32_t id)
{
    const struct interrupt *interrupt = find(interrupts, id);
    if (!interrupt || interrupt->resample < 0)
        return -ENOENT;
    int result = bind(interrupts, interrupt, KVM_IRQFD_FLAG_DEASSIGN);
    if (result == 0)
        result = bind(interrupts, interrupt, 0);
    ask_again(interrupt);
    return result;
}

static int deassign(struct interrupts *interrupts, uint32_t id)
{
    struct interrupt *interrupt = find(interrupts, id);
    if (!interrupt)
        return -ENOENT;
    bool is_bound = !interrupt->is_level || interrupt->resample >= 0;
    int result = is_bound ? bind(interrupts, interrupt, KVM_IRQFD_FLAG_DEASSIGN) : 0;
    if (interrupt->resample >= 0)
        close(interrupt->resample);
    close(interrupt->descriptor);
    interrupt->id = 0;
    return result;
}

void interrupts_hear(void *context, const char *line, int descriptor)
{
    struct interrupts *interrupts = context;
    struct interrupt interrupt;
    uint32_t id;
    int result = -EINVAL;
    if (parse_assign(line, &interrupt)) {
        interrupt.descriptor = descriptor;
        result = assign(interrupts, &interrupt);
        if (result == 0)
            return;
    } else if (parse_id(line, "resample", &id)) {
        result = resample(interrupts, id, descriptor);
        if (result == 0)
            return;
    } else if (parse_id(line, "lower", &id)) {
        result = lower(interrupts, id);
    } else if (parse_id(line, "deassign", &id)) {
        result = deassign(interrupts, id);
    }
    if (result == -ENOENT && !interrupts->has_kernel_irqchip)
        result = 0; /* ignored, as its assign was */
    if (descriptor >= 0)
        close(descriptor);
    if (result == -EOPNOTSUPP)
        command_fail(COMMAND, "ignored: %s (interrupts need --irqchip kernel)", line);
    else if (result < 0)
        command_fail(COMMAND, "ignored: %s: %s", line, strerror(-result));
}

void interrupts_forget(void *context)
{
    struct interrupts *interrupts = context;
    for (uint32_t i = 0; i < INTERRUPTS_MAX; i++)
        if (interrupts->entries[i].id)
            deassign(interrupts, interrupts->entries[i].id);
}

void interrupts_fini(struct interrupts *interrupts)
{
    interrupts_forget(interrupts);
}
