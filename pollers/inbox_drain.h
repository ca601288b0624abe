/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inbox_drain.h - the part of the poller that a client lives on: requests come out of the inbox, and the
 * device's answers go back in their cells, inline for the loop.
 *
 * Flow:    inbox_drain, each round, with poller->last_ticks. The other part: inbox_serve.h.
 * Threads: the poller that the client lives on.
 */
#ifndef POLLERS_INBOX_DRAIN_H
#define POLLERS_INBOX_DRAIN_H

#include "clients/inbox.h"
#include "pollers/budget_serve.h"
#include "pollers/device_call.h"

/* At most one page's worth of entries, so that a busy client cannot hold up the others. */
static inline uint32_t inbox_drain(struct poller *poller, struct client *client)
{
    struct inbox_cell *cell;
    struct budget *budget = client->inbox_budget;
    uint32_t work = 0;
    while (work < SLOT_COUNT) {
        if (unlikely(budget != NULL) && inbox_ask_budget(client, &work))
            break;
        cell = inbox_try_pop(client->inbox);
        if (!cell)
            break;
        uint64_t begin = poller->last_ticks;
        note_asked(poller, client);
        struct request *request = &cell->entry.request;
        request->value = ask_device(client, request);
        inbox_answer(cell);
        note_asked(poller, NULL);
        poller->last_ticks = ticks_now();
        note_busy(poller, begin);
        if (unlikely(budget != NULL))
            budget_charge(budget, poller->last_ticks - begin, 1);
        work++;
    }
    return work;
}

#endif
