/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inbox_serve.h - the sweeping poller's part of a client that lives on another poller: requests go into
 * its inbox, and their answers are taken out of it and put into the page.
 *
 * Flow:    inbox_hand_over -> page_take_answers, from the next round on. What is settled by somebody else
 *          (a deadline, a clear, a page that closes) is abandoned: page_abandon_settled.
 *
 *          Nobody but the sweeping poller looks at the page or at a slot's record on the way: of all
 *          that is shared, one line travels, the inbox's cell.
 * Threads: the poller that sweeps page.
 */
#ifndef POLLERS_INBOX_SERVE_H
#define POLLERS_INBOX_SERVE_H

#include "clients/inbox.h"
#include "clients/late.h"
#include "pollers/page_settle.h"
#include "pollers/ticks.h"

#include <assert.h>

/* The request that slot_index has in an inbox is settled without its answer. */
static inline void page_abandon(struct page *page, uint32_t slot_index)
{
    const struct page_asked *asked = &page->asks[slot_index];
    page->asked &= ~(1u << slot_index);
    inbox_abandon(asked->client->inbox, asked->cell);
}

/* What the request that slot_index has in an inbox gets without its answer. */
static inline uint64_t inbox_late_answer(struct page *page, uint32_t slot_index)
{
    const struct page_asked *asked = &page->asks[slot_index];
    struct late *late = asked->client->late_answers;
    if (!late)
        return UINT64_MAX;
    const struct request request = {
        .address = asked->address, .type = asked->type, .size_bytes = asked->size_bytes};
    return late_answer(late->kind, late->value, late->last, &request);
}

/* The answer that came in time, for those that do not. */
static inline void inbox_remember(const struct page_asked *asked, uint64_t value)
{
    struct late *late = asked->client->late_answers;
    const struct request request = {.address = asked->address,
                                    .type = asked->type,
                                    .direction = asked->direction,
                                    .size_bytes = asked->size_bytes};
    late_remember(late->kind, late->last, &request, value);
}

/* A claimed request with an open ticket, and its inbox has space. */
static inline void inbox_hand_over(struct page *page, struct client *client,
                                   const struct inbox_entry *entry)
{
    uint32_t slot_index = entry->request.vcpu;
    /* What was here was settled, and its answer is nobody's. */
    if (__builtin_expect(page->asked >> slot_index & 1, 0))
        page_abandon(page, slot_index);
    if (__builtin_expect(client->deadline_ticks != 0, 0))
        page_set_due(page, slot_index, entry->ticket,
                     entry->request.arrival_ticks + client->deadline_ticks, client);
    struct inbox_cell *cell = inbox_try_push(client->inbox, entry);
    assert(cell); /* we are the only producer, and there was space */
    struct page_asked *asked = &page->asks[slot_index];
    asked->client = client;
    asked->cell = cell;
    asked->ticket = entry->ticket;
    if (__builtin_expect(client->late_answers != NULL, 0)) {
        asked->address = entry->request.address;
        asked->size_bytes = entry->request.size_bytes;
        asked->type = entry->request.type;
        asked->direction = entry->request.direction;
    }
    page->asked |= 1u << slot_index;
}

/* Settles what was answered, unless somebody was faster. Returns how many answers there were. */
uint32_t page_take_answers(struct page *page);

/* ---- commands ---------------------------------------------------------------------------- */

/* What was settled otherwise is not asked of its device any more, unless it was already. */
void page_abandon_settled(struct page *page);

/* The client goes, and its poller is at rest: takes what it answered, and completes with all-ones what
 * it did not. */
void page_forget_client(struct page *page, const struct client *client);

#endif
