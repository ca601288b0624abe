/* SPDX-License-Identifier: BSD-3-Clause */
/* requester.h's one access: into the slot, waited for, and out of it again. */
#include "server/vm/requester_internal.h"

#include "pollers/ticks.h"

#include <poll.h>
#include <sched.h>

void requester_stop(struct requester *requester)
{
    /* Relaxed: a flag of its own, nothing is published with it. */
    atomic_store_explicit(&requester->is_over, true, memory_order_relaxed);
    for (uint32_t i = 0; i < SLOT_COUNT; i++) /* whoever sleeps looks again */
        if (requester_eventfd(&requester->notify_fds[i]) >= 0)
            requester_ring(requester_eventfd(&requester->notify_fds[i]));
}

bool requester_is_over(const struct requester *requester)
{
    return atomic_load_explicit(&requester->is_over, memory_order_relaxed);
}

/* Fields are plain stores: the release of PENDING publishes them. */
static void slot_fill(struct acrn_io_request *slot, const struct requester_access *access,
                      bool is_polling)
{
    slot->type = access->type;
    slot->completion_polling = is_polling;
    if (access->type == REQUEST_PCICFG) {
        struct acrn_pci_request *pci = &slot->reqs.pci_request;
        pci->direction = access->direction;
        pci->size = access->size_bytes;
        pci->value = (uint32_t)access->value;
        pci->bus = (uint32_t)(access->address >> 20) & 0xff;
        pci->dev = (uint32_t)(access->address >> 15) & 0x1f;
        pci->func = (uint32_t)(access->address >> 12) & 0x7;
        pci->reg = (uint32_t)access->address & 0xfff;
        return;
    }
    struct acrn_mmio_request *mmio = &slot->reqs.mmio_request;
    mmio->direction = access->direction;
    mmio->address = access->address;
    mmio->size = access->size_bytes;
    if (access->type == REQUEST_PORTIO)
        slot->reqs.pio_request.value = (uint32_t)access->value;
    else
        mmio->value = access->value;
}

static uint64_t slot_value(const struct acrn_io_request *slot, uint32_t type)
{
    /* One read each: the server may be broken and still write. */
    if (type == REQUEST_PORTIO || type == REQUEST_PCICFG)
        return __atomic_load_n(&slot->reqs.pio_request.value, __ATOMIC_RELAXED);
    return __atomic_load_n(&slot->reqs.mmio_request.value, __ATOMIC_RELAXED);
}

/* 0 once the slot is COMPLETE, or -ESHUTDOWN. */
static int slot_wait(const struct requester *requester, const struct acrn_io_request *slot)
{
    uint64_t begin_ticks = ticks_now();
    /* Acquire: pairs with the server's release of COMPLETE, orders its value before our read. */
    while (__atomic_load_n(&slot->processed, __ATOMIC_ACQUIRE) != SLOT_COMPLETE) {
        /* A server that ends answers first and hangs up then: look once more. */
        if (requester_is_over(requester))
            return slot_state(slot) == SLOT_COMPLETE ? 0 : -ESHUTDOWN;
        if (ticks_now() - begin_ticks < requester->spin_ticks)
            ticks_pause();
        else
            sched_yield();
    }
    return 0;
}

/* The same, asleep until the eventfd was written: once for each COMPLETE, and at the end. */
static int slot_sleep(const struct requester *requester, const struct acrn_io_request *slot, int fd)
{
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    for (;;) {
        uint64_t count;
        if (read(fd, &count, sizeof(count)) < 0) {
            poll(&entry, 1, -1);
            continue;
        }
        if (slot_state(slot) == SLOT_COMPLETE)
            return 0;
        if (requester_is_over(requester))
            return slot_state(slot) == SLOT_COMPLETE ? 0 : -ESHUTDOWN;
    }
}

int requester_access(struct requester *requester, uint32_t vcpu, struct requester_access *access)
{
    if (vcpu >= requester->vcpu_count)
        return -EINVAL;
    if (requester_is_over(requester))
        return -ESHUTDOWN;
    struct acrn_io_request *slot = &requester->slots[vcpu];
    /* Acquire: pairs with the server's release when it frees a slot at attach or reset. */
    if (__atomic_load_n(&slot->processed, __ATOMIC_ACQUIRE) != SLOT_FREE)
        return -EPROTO;
    int notify_fd = requester_eventfd(&requester->notify_fds[vcpu]);
    slot_fill(slot, access, notify_fd < 0);
    /* Release: pairs with the poller's acquire of PENDING, publishes the request. */
    __atomic_store_n(&slot->processed, SLOT_PENDING, __ATOMIC_RELEASE);
    if (requester_eventfd(&requester->upcall_fd) >= 0)
        requester_ring(requester_eventfd(&requester->upcall_fd));
    int result =
        notify_fd < 0 ? slot_wait(requester, slot) : slot_sleep(requester, slot, notify_fd);
    if (result != 0)
        return result;
    if (access->direction == REQUEST_READ)
        access->value = slot_value(slot, access->type);
    /* Release: our read of the value stays before the slot may be used again. */
    __atomic_store_n(&slot->processed, SLOT_FREE, __ATOMIC_RELEASE);
    return 0;
}
