/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers/inbox_serve.h"

#include "pollers/histogram.h"

/* An answered cell: its slot is settled, unless somebody was faster. */
static void take_answer(struct page *page, uint32_t slot_index)
{
    const struct page_asked *asked = &page->asks[slot_index];
    struct client *client = asked->client;
    struct slot_record *record = &page->records[slot_index];
    if (slot_record_win(record, asked->ticket)) {
        const struct request *request = &asked->cell->entry.request;
        page_answer(page, slot_index, asked->ticket, request->value, true);
        if (__builtin_expect(client->late_answers != NULL, 0))
            inbox_remember(asked, request->value);
        uint64_t now = ticks_now(), since = request->arrival_ticks;
        histogram_record(client->latency, now > since ? now - since : 0);
    }
    page->asked &= ~(1u << slot_index);
    page->timed &= ~(1u << slot_index);
    inbox_take(client->inbox, asked->cell);
}

uint32_t page_take_answers(struct page *page)
{
    uint32_t taken = 0;
    for (uint32_t left = page->asked; left; left &= left - 1) {
        uint32_t slot_index = (uint32_t)__builtin_ctz(left);
        if (!inbox_is_answered(page->asks[slot_index].cell))
            continue;
        take_answer(page, slot_index);
        taken++;
    }
    return taken;
}

void page_abandon_settled(struct page *page)
{
    for (uint32_t left = page->asked; left; left &= left - 1) {
        uint32_t slot_index = (uint32_t)__builtin_ctz(left);
        if (slot_record_word(&page->records[slot_index]) != page->asks[slot_index].ticket)
            page_abandon(page, slot_index);
    }
}

void page_forget_client(struct page *page, const struct client *client)
{
    for (uint32_t left = page->asked; left; left &= left - 1) {
        uint32_t slot_index = (uint32_t)__builtin_ctz(left);
        const struct page_asked *asked = &page->asks[slot_index];
        if (asked->client != client)
            continue;
        if (inbox_is_answered(asked->cell)) {
            take_answer(page, slot_index);
            continue;
        }
        page_settle_inline(page, slot_index, asked->ticket, UINT64_MAX);
        page->timed &= ~(1u << slot_index);
        page_abandon(page, slot_index);
    }
}
