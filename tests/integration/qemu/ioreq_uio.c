/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A UIO driver for QEMU's ivshmem-doorbell, as a vendor would write one for a device with a page: map 0 is
 * the shared memory, an interrupt is vector 0, and 4 bytes written to it are 1, let the next interrupt in;
 * 0, no more; anything else, ring that doorbell.
 *
 * An interrupt that was not let in again is kept, so that a reader who forgets to do so gets one and waits
 * for ever.
 */
#include <linux/interrupt.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/uio_driver.h>

#define REGISTERS_BAR 0
#define MEMORY_BAR    2
#define DOORBELL      12

struct ioreq_uio {
    struct uio_info info;
    void __iomem *registers;
    spinlock_t lock;
    bool is_open;
    bool is_waiting;
};

/* uio tells its reader of those that are HANDLED. */
static irqreturn_t interrupt(int irq, struct uio_info *info)
{
    struct ioreq_uio *device = info->priv;
    unsigned long flags;
    bool was_open;
    spin_lock_irqsave(&device->lock, flags);
    was_open = device->is_open;
    device->is_waiting |= !was_open;
    device->is_open = false;
    spin_unlock_irqrestore(&device->lock, flags);
    return was_open ? IRQ_HANDLED : IRQ_NONE;
}

static int control(struct uio_info *info, s32 value)
{
    struct ioreq_uio *device = info->priv;
    unsigned long flags;
    bool was_waiting;
    if (value != 0 && value != 1) {
        iowrite32((u32)value, device->registers + DOORBELL);
        return 0;
    }
    spin_lock_irqsave(&device->lock, flags);
    was_waiting = value && device->is_waiting;
    device->is_open = value && !was_waiting;
    if (was_waiting)
        device->is_waiting = false;
    spin_unlock_irqrestore(&device->lock, flags);
    if (was_waiting)
        uio_event_notify(info);
    return 0;
}

static int probe(struct pci_dev *pci, const struct pci_device_id *id)
{
    struct ioreq_uio *device = devm_kzalloc(&pci->dev, sizeof(*device), GFP_KERNEL);
    int result = device ? pcim_enable_device(pci) : -ENOMEM;
    if (result == 0)
        result = pcim_iomap_regions(pci, 1 << REGISTERS_BAR, "ioreq");
    if (result == 0)
        result = min(pci_alloc_irq_vectors(pci, 1, 1, PCI_IRQ_MSIX), 0);
    if (result < 0)
        return result;
    pci_set_master(pci); /* messages are writes of its own */
    spin_lock_init(&device->lock);
    device->registers = pcim_iomap_table(pci)[REGISTERS_BAR];
    device->info = (struct uio_info){
        .name = "ioreq-page",
        .version = "1",
        .irq = pci_irq_vector(pci, 0),
        .handler = interrupt,
        .irqcontrol = control,
        .priv = device,
    };
    device->info.mem[0] = (struct uio_mem){
        .name = "memory",
        .addr = pci_resource_start(pci, MEMORY_BAR),
        .size = pci_resource_len(pci, MEMORY_BAR),
        .memtype = UIO_MEM_PHYS,
    };
    pci_set_drvdata(pci, device);
    return uio_register_device(&pci->dev, &device->info);
}

static void removed(struct pci_dev *pci)
{
    struct ioreq_uio *device = pci_get_drvdata(pci);
    uio_unregister_device(&device->info);
    pci_free_irq_vectors(pci);
}

static const struct pci_device_id no_ids[] = {{0}}; /* by driver_override */

static struct pci_driver ioreq_uio_driver = {
    .name = "ioreq-uio",
    .id_table = no_ids,
    .probe = probe,
    .remove = removed,
};
module_pci_driver(ioreq_uio_driver);
MODULE_LICENSE("Dual BSD/GPL");
MODULE_DESCRIPTION("A page of I/O requests in QEMU's ivshmem device");
