/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * page_settle.h - the one gate through which a slot is answered, inline for the pollers' loop.
 *
 * See page.h (page_settle) for what it promises.
 */
#ifndef POLLERS_PAGE_SETTLE_H
#define POLLERS_PAGE_SETTLE_H

#include "pollers/page_driver.h"

/* Whoever settles a record answers its slot and closes it. False: the requester took the slot back.
 * is_sweeper: on the sweeping poller, outside page_settle. */
static inline bool page_answer(struct page *page, uint32_t slot_index, uint64_t ticket,
                               uint64_t value, bool is_sweeper)
{
    if (__builtin_expect(page->has_driver, false))
        return page_driver_answer(page, slot_index, ticket, value, is_sweeper);
    struct slot_record *record = &page->records[slot_index];
    bool is_ours = slot_complete(&page->slots[slot_index], SLOT_PROCESSING, record->is_read,
                                 record->type, value & request_ones(record->size_bytes));
    /* Before the record is closed: as long as it is not, a poller that waits does not. */
    if (is_ours && record->notify_wanted && is_sweeper)
        page_notify(page, slot_index);
    else if (is_ours && record->notify_wanted && !page_notify_later(&page->notify, slot_index))
        atomic_fetch_add_explicit(&page->settled[PAGE_UNNOTIFIED], 1, memory_order_relaxed);
    slot_record_close(record, ticket);
    /* Relaxed additions, here and above: several settlers, nobody orders anything by a figure. */
    if (!is_ours)
        atomic_fetch_add_explicit(&page->settled[PAGE_DROPPED], 1, memory_order_relaxed);
    return is_ours;
}

static inline bool page_settle_inline(struct page *page, uint32_t slot_index, uint64_t ticket,
                                      uint64_t value)
{
    return slot_record_win(&page->records[slot_index], ticket) &&
           page_answer(page, slot_index, ticket, value, false);
}

/* The same for an answer that must not be asked for again: if we die in the middle, the next server
 * finds it. */
static inline bool page_settle_noted(struct page *page, uint32_t slot_index, uint64_t ticket,
                                     uint64_t value)
{
    struct slot_record *record = &page->records[slot_index];
    if (!slot_record_win(record, ticket))
        return false;
    slot_record_note_answer(record, ticket, value & request_ones(record->size_bytes));
    return page_answer(page, slot_index, ticket, value, false);
}

/* Sweeping poller: a request that it hands to client has until `ticks`. */
static inline void page_set_due(struct page *page, uint32_t slot_index, uint64_t ticket,
                                uint64_t ticks, struct client *client)
{
    page->due[slot_index] = (struct page_due){ticket, ticks, client};
    page->timed |= 1u << slot_index;
}

#endif
