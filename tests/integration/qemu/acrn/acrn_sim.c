/* SPDX-License-Identifier: BSD-3-Clause */
/* Dual licence: as a part of a kernel also GPL-2.0-only. */
/* acrn_sim.h: the simulated hypervisor, a kernel module of its own below Linux's ACRN driver. A VM is a
 * page and its vCPUs' sleep; hypercalls that concern neither succeed and do nothing. */
#include "tests/integration/qemu/acrn/acrn_sim.h"

#include <linux/acrn.h>
#include <linux/io.h>
#include <linux/irq_work.h>
#include <linux/jiffies.h>
#include <linux/kernel.h>
#include <linux/miscdevice.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/sched.h>
#include <linux/uaccess.h>
#include <linux/wait.h>

/* The ABI's numbers; the driver has them in a header of its own. */
#define CALL_CREATE_VM             0x80000010ul
#define CALL_DESTROY_VM            0x80000011ul
#define CALL_START_VM              0x80000012ul
#define CALL_PAUSE_VM              0x80000013ul
#define CALL_RESET_VM              0x80000015ul
#define CALL_INJECT_MSI            0x80000023ul
#define CALL_SET_IRQLINE           0x80000025ul
#define CALL_SET_IOREQ_BUFFER      0x80000030ul
#define CALL_NOTIFY_REQUEST_FINISH 0x80000031ul

/* Of a SET_IRQLINE's argument. */
#define LINE_OPERATION_SHIFT 32
#define LINE_NUMBER_MASK     0xfffffffful
#define LINE_HIGH            0
#define LINE_LOW             1

#define SPINS_BEFORE_RESCHEDULE 1024u

struct sim_vm {
    bool is_alive;
    u32 vcpus;
    struct page *page; /* pinned as long as anybody may look at it: until the id is used anew */
    struct acrn_io_request *slots;
    atomic_t epoch; /* counts resets, and the end */
    wait_queue_head_t wait[ACRN_IO_REQUEST_MAX];
    atomic_t is_notified[ACRN_IO_REQUEST_MAX];
    atomic_t is_waiting[ACRN_IO_REQUEST_MAX];
    struct sim_figures figures;
};

static struct sim_vm vms[SIM_VMS];
static DEFINE_SPINLOCK(sim_lock); /* figures, creation, resets against accesses' first step */

/* ---- the upcall -------------------------------------------------------------------------- */

static void (*upcall)(void);
static DEFINE_SPINLOCK(upcall_lock);

static void raise_upcall(struct irq_work *work)
{
    unsigned long flags;
    spin_lock_irqsave(&upcall_lock, flags);
    if (upcall)
        upcall();
    spin_unlock_irqrestore(&upcall_lock, flags);
}

static DEFINE_IRQ_WORK(upcall_work, raise_upcall);

void acrn_sim_set_upcall(void (*handler)(void))
{
    unsigned long flags;
    spin_lock_irqsave(&upcall_lock, flags);
    upcall = handler;
    spin_unlock_irqrestore(&upcall_lock, flags);
}
EXPORT_SYMBOL_GPL(acrn_sim_set_upcall);

/* ---- hypercalls -------------------------------------------------------------------------- */

static struct sim_vm *find_vm(unsigned long id)
{
    return id >= 1 && id <= SIM_VMS && vms[id - 1].is_alive ? &vms[id - 1] : NULL;
}

static void wake_all(struct sim_vm *vm)
{
    u32 i;
    atomic_inc(&vm->epoch);
    for (i = 0; i < ACRN_IO_REQUEST_MAX; i++)
        wake_up_all(&vm->wait[i]);
}

static long create_vm(struct acrn_vm_creation *creation)
{
    u32 i, k;
    long result = -ENOSPC;
    if (creation->vcpu_num < 1 || creation->vcpu_num > ACRN_IO_REQUEST_MAX)
        return -EINVAL;
    spin_lock(&sim_lock);
    for (i = 0; i < SIM_VMS && result < 0; i++) {
        struct sim_vm *vm = &vms[i];
        if (vm->is_alive)
            continue;
        if (vm->page)
            put_page(vm->page);
        vm->page = NULL;
        vm->slots = NULL;
        vm->vcpus = creation->vcpu_num;
        memset(&vm->figures, 0, sizeof(vm->figures));
        for (k = 0; k < ACRN_IO_REQUEST_MAX; k++)
            atomic_set(&vm->is_notified[k], 0);
        vm->is_alive = true;
        creation->vmid = i + 1;
        result = 0;
    }
    spin_unlock(&sim_lock);
    return result;
}

static void free_slots(struct sim_vm *vm)
{
    u32 i;
    for (i = 0; vm->slots && i < ACRN_IO_REQUEST_MAX; i++) {
        if (READ_ONCE(vm->slots[i].processed) != ACRN_IOREQ_STATE_FREE)
            vm->figures.taken_back++;
        smp_store_release(&vm->slots[i].processed, ACRN_IOREQ_STATE_FREE);
    }
}

/* address: physical, of the page. */
static long set_page(struct sim_vm *vm, u64 address)
{
    struct page *page = pfn_to_page(address >> PAGE_SHIFT);
    get_page(page);
    spin_lock(&sim_lock);
    vm->page = page;
    vm->slots = page_address(page);
    free_slots(vm);
    vm->figures.taken_back = 0;
    spin_unlock(&sim_lock);
    return 0;
}

static long reset_vm(struct sim_vm *vm)
{
    spin_lock(&sim_lock);
    vm->figures.resets++;
    free_slots(vm);
    spin_unlock(&sim_lock);
    wake_all(vm);
    return 0;
}

static long destroy_vm(struct sim_vm *vm)
{
    spin_lock(&sim_lock);
    vm->is_alive = false;
    spin_unlock(&sim_lock);
    wake_all(vm);
    return 0;
}

static long notify(struct sim_vm *vm, unsigned long vcpu)
{
    if (vcpu >= vm->vcpus)
        return -EINVAL;
    spin_lock(&sim_lock);
    vm->figures.notified++;
    if (!atomic_read(&vm->is_waiting[vcpu]) ||
        smp_load_acquire(&vm->slots[vcpu].processed) != ACRN_IOREQ_STATE_COMPLETE)
        vm->figures.notified_wrong++;
    spin_unlock(&sim_lock);
    atomic_set(&vm->is_notified[vcpu], 1);
    wake_up_all(&vm->wait[vcpu]);
    return 0;
}

/* What interrupts were asked for is kept for the test to look at. */
static long interrupt(struct sim_vm *vm, unsigned long number, unsigned long operation)
{
    unsigned long flags;
    spin_lock_irqsave(&upcall_lock, flags); /* an irqfd injects with interrupts off */
    if (number == CALL_INJECT_MSI) {
        const struct acrn_msi_entry *msi = phys_to_virt(operation);
        vm->figures.msis++;
        vm->figures.msi_address = msi->msi_addr;
        vm->figures.msi_data = msi->msi_data;
    } else {
        vm->figures.raised += operation >> LINE_OPERATION_SHIFT == LINE_HIGH;
        vm->figures.lowered += operation >> LINE_OPERATION_SHIFT == LINE_LOW;
        vm->figures.line = operation & LINE_NUMBER_MASK;
    }
    spin_unlock_irqrestore(&upcall_lock, flags);
    return 0;
}

long acrn_sim_hypercall(unsigned long number, unsigned long first, unsigned long second)
{
    struct sim_vm *vm;
    if (number == CALL_CREATE_VM)
        return create_vm(phys_to_virt(first));
    vm = find_vm(first);
    switch (number) {
    case CALL_DESTROY_VM:
        return vm ? destroy_vm(vm) : -ENODEV;
    case CALL_START_VM:
        return vm ? (vm->figures.starts++, 0) : -ENODEV;
    case CALL_PAUSE_VM:
        return vm ? (vm->figures.pauses++, 0) : -ENODEV;
    case CALL_RESET_VM:
        return vm ? reset_vm(vm) : -ENODEV;
    case CALL_SET_IOREQ_BUFFER:
        return vm ? set_page(vm, *(const u64 *)phys_to_virt(second)) : -ENODEV;
    case CALL_NOTIFY_REQUEST_FINISH:
        return vm ? notify(vm, second) : -ENODEV;
    case CALL_INJECT_MSI:
    case CALL_SET_IRQLINE:
        return vm ? interrupt(vm, number, second) : -ENODEV;
    default:
        return 0;
    }
}
EXPORT_SYMBOL_GPL(acrn_sim_hypercall);

/* ---- a vCPU ------------------------------------------------------------------------------ */

/* FREE -> PENDING, as the hypervisor does for a trapped access. */
static long put_request(struct sim_vm *vm, const struct sim_access *access, int *epoch)
{
    struct acrn_io_request *slot;
    long result = 0;
    spin_lock(&sim_lock);
    if (!vm->is_alive || !vm->slots) {
        spin_unlock(&sim_lock);
        return -ENODEV;
    }
    slot = &vm->slots[access->vcpu];
    *epoch = atomic_read(&vm->epoch);
    if (smp_load_acquire(&slot->processed) != ACRN_IOREQ_STATE_FREE) {
        vm->figures.not_free++;
        result = -EBUSY;
    } else {
        slot->type = access->type;
        if (access->polling)
            slot->completion_polling = 1;
        slot->reqs.mmio_request.direction = access->direction;
        slot->reqs.mmio_request.address = access->address;
        slot->reqs.mmio_request.size = access->size_bytes;
        slot->reqs.mmio_request.value =
            access->direction == ACRN_IOREQ_DIR_READ ? access->stale : access->value;
        atomic_set(&vm->is_notified[access->vcpu], 0);
        atomic_set(&vm->is_waiting[access->vcpu], !slot->completion_polling);
        smp_store_release(&slot->processed, ACRN_IOREQ_STATE_PENDING);
        vm->figures.accesses++;
        vm->figures.upcalls++;
    }
    spin_unlock(&sim_lock);
    if (!result)
        irq_work_queue(&upcall_work);
    return result;
}

static bool is_over(struct sim_vm *vm, int epoch)
{
    return atomic_read(&vm->epoch) != epoch;
}

static long wait_polling(struct sim_vm *vm, const struct sim_access *access, int epoch)
{
    unsigned long deadline = jiffies + msecs_to_jiffies(access->timeout_ms);
    u32 spins = 0;
    while (smp_load_acquire(&vm->slots[access->vcpu].processed) != ACRN_IOREQ_STATE_COMPLETE) {
        if (is_over(vm, epoch))
            return vm->is_alive ? -ECANCELED : -ENODEV;
        if (++spins % SPINS_BEFORE_RESCHEDULE) {
            cpu_relax();
            continue;
        }
        if (time_after(jiffies, deadline) || signal_pending(current))
            return -ETIMEDOUT;
        cond_resched();
    }
    return 0;
}

static long wait_notified(struct sim_vm *vm, const struct sim_access *access, int epoch)
{
    u16 vcpu = access->vcpu;
    long left = wait_event_interruptible_timeout(
        vm->wait[vcpu], atomic_read(&vm->is_notified[vcpu]) || is_over(vm, epoch),
        msecs_to_jiffies(access->timeout_ms));
    if (is_over(vm, epoch))
        return vm->is_alive ? -ECANCELED : -ENODEV;
    if (left <= 0)
        return -ETIMEDOUT;
    return smp_load_acquire(&vm->slots[vcpu].processed) == ACRN_IOREQ_STATE_COMPLETE ? 0 : -EPROTO;
}

/* COMPLETE -> FREE. */
static long take_answer(struct sim_vm *vm, struct sim_access *access, int epoch)
{
    struct acrn_io_request *slot = &vm->slots[access->vcpu];
    long result = 0;
    spin_lock(&sim_lock);
    atomic_set(&vm->is_waiting[access->vcpu], 0);
    if (is_over(vm, epoch)) {
        result = vm->is_alive ? -ECANCELED : -ENODEV;
    } else {
        bool is_port = access->type == ACRN_IOREQ_TYPE_PORTIO;
        access->value = is_port ? slot->reqs.pio_request.value : slot->reqs.mmio_request.value;
        smp_store_release(&slot->processed, ACRN_IOREQ_STATE_FREE);
    }
    spin_unlock(&sim_lock);
    return result;
}

static long make_access(struct sim_access *access)
{
    struct sim_vm *vm = find_vm(access->vm);
    int epoch;
    long result;
    if (!vm)
        return -ENODEV;
    if (access->vcpu >= vm->vcpus)
        return -EINVAL;
    result = put_request(vm, access, &epoch);
    if (result)
        return result;
    result = vm->slots[access->vcpu].completion_polling ? wait_polling(vm, access, epoch)
                                                        : wait_notified(vm, access, epoch);
    return result ? result : take_answer(vm, access, epoch);
}

/* ---- the device -------------------------------------------------------------------------- */

static long tell_figures(struct sim_figures __user *to)
{
    struct sim_figures figures;
    u16 id;
    if (get_user(id, &to->vm))
        return -EFAULT;
    if (id < 1 || id > SIM_VMS)
        return -ENODEV;
    spin_lock(&sim_lock);
    figures = vms[id - 1].figures;
    figures.vm = id;
    figures.is_alive = vms[id - 1].is_alive;
    figures.vcpus = vms[id - 1].vcpus;
    spin_unlock(&sim_lock);
    return copy_to_user(to, &figures, sizeof(figures)) ? -EFAULT : 0;
}

static long sim_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
    void __user *user = (void __user *)argument;
    struct sim_access access;
    struct sim_vm *vm;
    long result;
    u16 id;
    switch (command) {
    case SIM_ACCESS:
        if (copy_from_user(&access, user, sizeof(access)))
            return -EFAULT;
        result = make_access(&access);
        if (result == 0 && copy_to_user(user, &access, sizeof(access)))
            result = -EFAULT;
        return result;
    case SIM_FIGURES:
        return tell_figures(user);
    case SIM_RESET:
        if (get_user(id, (u16 __user *)user))
            return -EFAULT;
        vm = find_vm(id);
        return vm ? reset_vm(vm) : -ENODEV;
    default:
        return -ENOTTY;
    }
}

static const struct file_operations sim_operations = {
    .owner = THIS_MODULE,
    .unlocked_ioctl = sim_ioctl,
};

static struct miscdevice sim_device = {
    .minor = MISC_DYNAMIC_MINOR,
    .name = "acrn_sim",
    .fops = &sim_operations,
};

static int __init sim_init(void)
{
    u32 i, k;
    for (i = 0; i < SIM_VMS; i++)
        for (k = 0; k < ACRN_IO_REQUEST_MAX; k++)
            init_waitqueue_head(&vms[i].wait[k]);
    return misc_register(&sim_device);
}

static void __exit sim_exit(void)
{
    misc_deregister(&sim_device);
    irq_work_sync(&upcall_work);
}

module_init(sim_init);
module_exit(sim_exit);
MODULE_DESCRIPTION("Simulated ACRN hypervisor, for tests");
MODULE_LICENSE("Dual BSD/GPL");
