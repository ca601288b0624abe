/* SPDX-License-Identifier: BSD-3-Clause */
/* pollers/budget.h and budget_serve.h, where nobody has one. */
#ifndef RELACY_SHIM_POLLERS_BUDGET_H
#define RELACY_SHIM_POLLERS_BUDGET_H

#include "clients/client.h"

struct page;

struct budget {
    uint64_t used_ticks;
};

enum budget_verdict { BUDGET_GOES_ON = 1, BUDGET_WAITS, BUDGET_ANSWERS };

static inline void budget_charge(struct budget *, uint64_t, uint32_t)
{
}

static inline bool page_is_over_budget(struct page *, uint64_t)
{
    return false;
}

static inline enum budget_verdict page_ask_client_budget(struct page *, struct client *,
                                                         const struct request *, uint64_t *)
{
    return BUDGET_GOES_ON;
}

static inline void page_charge_budgets(struct page *, uint64_t, uint32_t)
{
}

static inline bool inbox_ask_budget(struct client *, uint32_t *)
{
    return false;
}

#endif
