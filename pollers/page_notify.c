/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers/page_notify.h"

#include "pollers/notifier.h"
#include "pollers/notify_ring.h"
#include "pollers/page.h"

void page_notify(struct page *page, uint32_t slot_index)
{
    const struct page_notify_slot *slot = &page->notify.slots[slot_index];
    switch (slot->way) {
    case PAGE_NOTIFY_NONE:
        /* Relaxed: a figure. */
        atomic_fetch_add_explicit(&page->settled[PAGE_UNNOTIFIED], 1, memory_order_relaxed);
        return;
    case PAGE_NOTIFY_RING:
        notify_ring_push(page->notify.ring, slot->signal);
        break;
    case PAGE_NOTIFY_THREAD:
        notifier_push(page->notify.thread, slot->signal);
        break;
    case PAGE_NOTIFY_STORE:
        /* Release: the device sees it after all that was stored before; COMPLETE among it. */
        __atomic_store_n(slot->address, slot->value, __ATOMIC_RELEASE);
        break;
    }
    counter_add(&page->notify.told, 1);
}

uint32_t page_notify_due(struct page *page)
{
    uint32_t told = 0;
    /* Acquire: pairs with page_notify_later. */
    uint32_t due = atomic_exchange_explicit(&page->notify.due, 0, memory_order_acquire);
    for (; due; due &= due - 1, told++)
        page_notify(page, (uint32_t)__builtin_ctz(due));
    return told;
}

void page_notify_set(struct page *page, uint32_t slot_index, const struct page_notify_slot *slot)
{
    page->notify.slots[slot_index] = *slot;
}
