/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * page_notify.h - how the vCPUs of one page that do not poll learn that their slots are COMPLETE.
 *
 * Flow:    page_notify_set (control, by a command) -> a slot whose completion_polling was 0 becomes
 *          COMPLETE -> once for each, and after it:
 *
 *              by the sweeping poller   page_notify: its way, at once
 *              by anybody else          page_notify_later: a bit -> the sweeping poller's next round:
 *                                       page_notify_due -> page_notify
 *
 *          So a VM's notifications have one producer, and a queue of one poller carries them.
 * Threads: page_notify, page_notify_due and page_notify_set: the sweeping poller, or control once that
 *          is gone. page_notify_later: whoever completed the slot.
 * Memory:  part of struct page; the ports are the topology's.
 * Errors:  a slot without a way is counted (PAGE_UNNOTIFIED).
 */
#ifndef POLLERS_PAGE_NOTIFY_H
#define POLLERS_PAGE_NOTIFY_H

#include "pollers/slot.h"

struct notifier_port;
struct notify_ring_port;
struct page;

enum page_notify_way {
    PAGE_NOTIFY_NONE,   /* nobody to tell */
    PAGE_NOTIFY_RING,   /* io_uring makes the write */
    PAGE_NOTIFY_THREAD, /* the notifier's thread makes the write or the call */
    PAGE_NOTIFY_STORE,  /* here and now, into a device's registers */
};

struct page_notify_slot {
    enum page_notify_way way;
    uint32_t signal; /* RING, THREAD */
    uint32_t value;  /* STORE, at address */
    volatile uint32_t *address;
};

struct page_notify {
    _Alignas(64) _Atomic uint32_t due;          /* bit per slot: completed by another thread */
    _Alignas(64) struct notify_ring_port *ring; /* the sweeping poller's; NULL: none */
    struct notifier_port *thread;
    _Atomic uint64_t told;
    struct page_notify_slot slots[SLOT_COUNT];
};

/* Nobody is told; page_init. */
static inline void page_notify_init(struct page_notify *notify)
{
    atomic_init(&notify->due, 0);
    notify->ring = NULL;
    notify->thread = NULL;
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        notify->slots[i].way = PAGE_NOTIFY_NONE;
}

/* Tells the requester that the slot is COMPLETE. */
void page_notify(struct page *page, uint32_t slot_index);

/* Tells of all that others completed; returns how many. */
uint32_t page_notify_due(struct page *page);

/* From now on in that way. */
void page_notify_set(struct page *page, uint32_t slot_index, const struct page_notify_slot *slot);

/* False: an earlier answer in that slot was not told yet, and is not any more: the requester went on
 * without. Release: pairs with page_notify_due's acquire: the slot is COMPLETE before it is told. */
static inline bool page_notify_later(struct page_notify *notify, uint32_t slot_index)
{
    uint32_t bit = 1u << slot_index;
    return !(atomic_fetch_or_explicit(&notify->due, bit, memory_order_release) & bit);
}

/* Relaxed: a hint; what is not seen now is seen by the next round. */
static inline bool page_notify_is_due(const struct page_notify *notify)
{
    return atomic_load_explicit(&notify->due, memory_order_relaxed) != 0;
}

#endif
