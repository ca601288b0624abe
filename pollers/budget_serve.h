/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * budget_serve.h - the poller's part of budgets: what becomes of a request whose budget is used up.
 *
 * Flow:    page_is_over_budget -> the request is copied, checked and routed -> page_ask_client_budget ->
 *          it is delivered -> page_charge_budgets: what is malformed, or nobody's, is charged to the VM
 *          as well. For a client on another poller: inbox_ask_budget -> an entry is handled ->
 *          budget_charge.
 * Threads: the poller that budget.h names. Only for those who have a budget: nobody else comes here.
 */
#ifndef POLLERS_BUDGET_SERVE_H
#define POLLERS_BUDGET_SERVE_H

#include "pollers/page.h"

enum budget_verdict {
    BUDGET_GOES_ON = 1,
    BUDGET_WAITS,   /* its slot is held until the next period */
    BUDGET_ANSWERS, /* with *value, at once */
};

/* True: the VM's is used up, and all slots are held until the next period. */
bool page_is_over_budget(struct page *page, uint64_t now);

/* Client's, or the VM's, where that is to be answered for. */
enum budget_verdict page_ask_client_budget(struct page *page, struct client *client,
                                           const struct request *request, uint64_t *value);

/* A slot's turn took that long and was `work` requests; of the client that was asked for last. */
void page_charge_budgets(struct page *page, uint64_t ticks, uint32_t work);

/* True: nothing of its inbox is handled now. What is answered for is added to *work. */
bool inbox_ask_budget(struct client *client, uint32_t *work);

#endif
