/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers/page_driver.h"

/* The record first: while it is not idle the slot may still be PROCESSING for the request before, and what
 * is copied from then on be half of that one. */
uint32_t page_driver_find_offered(struct page *page)
{
    uint32_t offered = 0;
    for (uint32_t i = 0; i < page->vcpu_count; i++)
        if (slot_record_is_idle(&page->records[i]) && slot_is_offered(&page->slots[i]))
            offered |= 1u << i;
    return offered;
}

/* Relaxed additions: several settlers, nobody orders anything by a figure. */
static void count_dropped(struct page *page)
{
    atomic_fetch_add_explicit(&page->settled[PAGE_DROPPED], 1, memory_order_relaxed);
}

static bool finish(struct page *page, uint32_t slot_index, uint64_t ticket, bool is_ours,
                   bool is_sweeper)
{
    struct slot_record *record = &page->records[slot_index];
    if (!is_ours) {
        slot_record_close(record, ticket);
        count_dropped(page);
        return false;
    }
    slot_record_finish(record, ticket);
    if (is_sweeper)
        page_notify(page, slot_index);
    else
        page_notify_later(&page->notify, slot_index);
    return true;
}

bool page_driver_answer(struct page *page, uint32_t slot_index, uint64_t ticket, uint64_t value,
                        bool is_sweeper)
{
    struct slot_record *record = &page->records[slot_index];
    struct acrn_io_request *slot = &page->slots[slot_index];
    value &= request_ones(record->size_bytes);
    if (!page->is_direct || record->notify_wanted)
        return finish(page, slot_index, ticket,
                      slot_put_answer(slot, record->is_read, record->type, value), is_sweeper);
    bool is_ours = slot_complete(slot, SLOT_PROCESSING, record->is_read, record->type, value);
    slot_record_close(record, ticket);
    if (!is_ours)
        count_dropped(page);
    return is_ours;
}

bool page_driver_answer_at_once(struct page *page, uint32_t slot_index,
                                const struct slot_copy *copy, uint64_t value)
{
    struct slot_record *record = &page->records[slot_index];
    record->type =
        (uint8_t)(copy->type == REQUEST_PORTIO || copy->type == REQUEST_PCICFG ? REQUEST_PORTIO
                                                                               : REQUEST_MMIO);
    record->size_bytes = 8; /* the value is cut already */
    record->is_read = copy->direction != REQUEST_WRITE;
    record->notify_wanted = copy->completion_polling == 0;
    record->was_full = false;
    uint64_t ticket = slot_record_hold(record);
    if (!slot_is_offered(&page->slots[slot_index])) {
        slot_record_close(record, ticket);
        counter_add(&page->counters[PAGE_REVOKED], 1);
        return false;
    }
    counter_add(&page->counters[PAGE_REQUESTS], 1);
    page_driver_answer(page, slot_index, ticket, value, true);
    return true;
}

uint32_t page_driver_settle_frozen(struct page *page)
{
    uint32_t settled = 0;
    for (uint32_t i = 0; i < page->vcpu_count; i++) {
        uint64_t word = slot_record_word(&page->records[i]);
        if (slot_record_phase(word) == SLOT_PHASE_HANDLING)
            settled +=
                finish(page, i, word,
                       slot_put_answer(&page->slots[i], true, REQUEST_MMIO, UINT64_MAX), false);
    }
    return settled;
}

bool page_driver_is_due(struct page *page, uint32_t slot_index)
{
    struct slot_record *record = &page->records[slot_index];
    uint64_t word = slot_record_word(record);
    if (slot_record_phase(word) != SLOT_PHASE_FINISHING)
        return false; /* one signal too many */
    /* Acquire, though nothing is read after: only a look whether the driver may store. */
    if (slot_state(&page->slots[slot_index]) == SLOT_PROCESSING)
        return true;
    slot_record_close(record, word);
    count_dropped(page);
    return false;
}

void page_driver_close(struct page *page, uint32_t slot_index)
{
    struct slot_record *record = &page->records[slot_index];
    slot_record_close(record, slot_record_word(record));
}
