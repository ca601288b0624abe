/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers/budget_serve.h"

#include "clients/inbox.h"
#include "pollers/page_look.h"
#include "pollers/process_serve.h"
#include "pollers/ticks.h"

bool page_is_over_budget(struct page *page, uint64_t now)
{
    struct budget *budget = page->budget;
    page->charged = NULL;
    if (!budget || page->is_clearing || !budget_is_over(budget, now) ||
        budget->limits.action != BUDGET_DEPRIORITISE)
        return false;
    page_hold(page, UINT32_MAX, budget->end_ticks);
    counter_add(&budget->held_back, 1);
    return true;
}

static enum budget_verdict answer_for(const struct client *client, struct budget *budget,
                                      const struct request *request, uint64_t *value)
{
    *value = client->process ? process_late_value(client, request) : UINT64_MAX;
    *value &= request_ones(request->size_bytes);
    counter_add(&budget->answered_for, 1);
    return BUDGET_ANSWERS;
}

enum budget_verdict page_ask_client_budget(struct page *page, struct client *client,
                                           const struct request *request, uint64_t *value)
{
    struct budget *budget = page->budget;
    uint64_t now = request->arrival_ticks;
    if (budget && budget_is_over(budget, now) && budget->limits.action == BUDGET_QUARANTINE)
        return answer_for(client, budget, request, value);
    budget = client->budget;
    page->charged = client;
    if (!budget || !budget_is_over(budget, now) || budget->limits.action == BUDGET_COUNT)
        return BUDGET_GOES_ON;
    if (budget->limits.action == BUDGET_QUARANTINE)
        return answer_for(client, budget, request, value);
    page_hold(page, 1u << request->vcpu, budget->end_ticks);
    counter_add(&budget->held_back, 1);
    return BUDGET_WAITS;
}

void page_charge_budgets(struct page *page, uint64_t ticks, uint32_t work)
{
    struct budget *of_client = page->charged ? page->charged->budget : NULL;
    if (page->budget)
        budget_charge(page->budget, ticks, work);
    if (of_client)
        budget_charge(of_client, ticks, work);
}

/* At most one page's worth, as of those that are handled. */
static uint32_t answer_inbox(struct client *client)
{
    struct inbox_cell *cell;
    uint32_t work = 0;
    while (work < SLOT_COUNT && (cell = inbox_try_pop(client->inbox))) {
        work++;
        cell->entry.request.value = UINT64_MAX;
        inbox_answer(cell);
        counter_add(&client->inbox_budget->answered_for, 1);
    }
    return work;
}

bool inbox_ask_budget(struct client *client, uint32_t *work)
{
    struct budget *budget = client->inbox_budget;
    if (inbox_is_empty(client->inbox) || !budget_is_over(budget, ticks_now()) ||
        budget->limits.action == BUDGET_COUNT)
        return false;
    if (budget->limits.action == BUDGET_QUARANTINE)
        *work += answer_inbox(client);
    else if (!budget->is_holding)
        counter_add(&budget->held_back, inbox_count(client->inbox));
    budget->is_holding = true;
    return true;
}
