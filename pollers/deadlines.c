/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers/deadlines.h"

#include "pollers/inbox_serve.h"
#include "pollers/process_serve.h"

uint32_t page_check_due(struct page *page)
{
    uint32_t work = 0;
    uint64_t now = ticks_now();
    for (uint32_t left = page->timed; left; left &= left - 1) {
        uint32_t slot_index = (uint32_t)__builtin_ctz(left);
        const struct page_due *due = &page->due[slot_index];
        bool is_over = slot_record_word(&page->records[slot_index]) != due->ticket;
        if (!is_over && (int64_t)(now - due->ticks) < 0)
            continue;
        page->timed &= ~(1u << slot_index);
        if (is_over)
            continue; /* its client may be gone, too */
        work++;
        if (due->client->process) {
            process_miss(page, due->client, slot_index);
            continue;
        }
        if (page_settle_inline(page, slot_index, due->ticket, inbox_late_answer(page, slot_index)))
            counter_add(&due->client->late, 1);
        page_abandon(page, slot_index);
    }
    return work;
}
