/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers/page.h"

#include "pollers/inbox_serve.h"

#include <errno.h>

int page_init(struct page *page, uint32_t vcpu_count, const struct router *router,
              struct client *default_client)
{
    if (vcpu_count < 1 || vcpu_count > SLOT_COUNT)
        return -EINVAL;
    page->slots = NULL;
    page->is_open = false;
    page->is_clearing = false;
    page->has_pci = false;
    page->has_budgets = false;
    page->has_driver = false;
    page->is_direct = false;
    page->vcpu_count = vcpu_count;
    page->watch_next = 0;
    page->stray_seen = 0;
    page->timed = 0;
    page->upcall = 0;
    page->wait_ticks = 0;
    page_notify_init(&page->notify);
    page->held = 0;
    page->budget = NULL;
    page->asked = 0;
    page->default_client = default_client;
    atomic_init(&page->router, router);
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        page->hints[i].state = 0;
    page_kept_init(&page->own, 0);
    page_keep(page, &page->own);
    return 0;
}

void page_kept_init(struct page_kept *kept, uint64_t sequence)
{
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        slot_record_init_at(&kept->records[i], sequence);
    atomic_init(&kept->pci_address, (uint64_t)UINT32_MAX << 32);
}

void page_keep(struct page *page, struct page_kept *kept)
{
    page->kept = kept;
    page->records = kept->records;
}

static void begin(struct page *page, struct acrn_io_request *slots)
{
    /* Of an earlier life, where they are kept: nobody has their tickets any more. */
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        uint64_t word = slot_record_word(&page->records[i]);
        if (slot_record_phase(word) != SLOT_PHASE_IDLE)
            slot_record_close(&page->records[i], word);
    }
    page->stray_seen = 0;
    page_set_pci_address(page, 0);
    page->held = 0;
    page->slots = slots;
    page->is_open = true;
}

void page_open(struct page *page, struct acrn_io_request *slots)
{
    slots_free_all(slots);
    begin(page, slots);
}

uint32_t page_open_registered(struct page *page, struct acrn_io_request *slots)
{
    uint32_t abandoned = 0;
    /* All 64 bits, whatever was asked: the requester takes its own. */
    for (uint32_t i = 0; i < page->vcpu_count && !page->has_driver; i++) {
        struct slot_copy copy;
        bool was_complete = slot_state(&slots[i]) == SLOT_COMPLETE;
        slot_copy_out(&slots[i], &copy);
        bool was_left = slot_complete(&slots[i], SLOT_PROCESSING, true, REQUEST_MMIO, UINT64_MAX);
        abandoned += was_left;
        if ((was_left || was_complete) && copy.completion_polling == 0)
            page_notify_later(&page->notify, i); /* once too often does no harm */
    }
    begin(page, slots);
    return abandoned;
}

void page_pause(struct page *page)
{
    page->is_open = false;
}

void page_resume(struct page *page)
{
    page->is_open = true;
}

void page_set_clearing(struct page *page, bool is_clearing)
{
    page->is_clearing = is_clearing;
    page->held = 0;
}

void page_set_default_client(struct page *page, struct client *default_client)
{
    page->default_client = default_client;
}

void page_close(struct page *page)
{
    page_pause(page);
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        uint64_t word = slot_record_word(&page->records[i]);
        if (slot_record_phase(word) == SLOT_PHASE_IN_FLIGHT &&
            slot_record_win(&page->records[i], word))
            slot_record_close(&page->records[i], word);
    }
    page_abandon_settled(page);
}

uint32_t page_settle_all(struct page *page)
{
    uint32_t settled = 0;
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        uint64_t word = slot_record_word(&page->records[i]);
        if (slot_record_phase(word) == SLOT_PHASE_IN_FLIGHT)
            settled += page_settle(page, i, word, UINT64_MAX);
    }
    return settled;
}

uint32_t page_settle_frozen(struct page *page)
{
    uint32_t settled = page_settle_all(page);
    if (page->has_driver)
        return settled + page_driver_settle_frozen(page);
    for (uint32_t i = 0; i < page->vcpu_count; i++) {
        struct slot_record *record = &page->records[i];
        uint64_t word = slot_record_word(record);
        enum slot_phase phase = slot_record_phase(word);
        /* IDLE: it had claimed the slot, and had yet to open the record. The record may be of an earlier
         * request, so all 64 bits are written: the requester takes its own. */
        if (phase != SLOT_PHASE_HANDLING && phase != SLOT_PHASE_IDLE)
            continue;
        struct acrn_io_request *slot = &page->slots[i];
        bool is_completed = slot_complete(slot, SLOT_PROCESSING, true, REQUEST_MMIO, UINT64_MAX) ||
                            (phase == SLOT_PHASE_HANDLING &&
                             slot_complete(slot, SLOT_PENDING, true, REQUEST_MMIO, UINT64_MAX));
        if (is_completed) {
            page_notify_later(&page->notify, i); /* one too many tells nobody who polls */
            settled++;
        }
        if (phase == SLOT_PHASE_HANDLING)
            slot_record_close(record, word);
    }
    return settled;
}

uint32_t page_in_flight(const struct page *page)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        count += slot_record_phase(slot_record_word(&page->records[i])) != SLOT_PHASE_IDLE;
    return count;
}

bool page_settle(struct page *page, uint32_t slot_index, uint64_t ticket, uint64_t value)
{
    return page_settle_inline(page, slot_index, ticket, value);
}
