/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/budgets.h"

#include "pollers/ticks.h"
#include "server/log.h"

_Static_assert((int)BUDGET_COUNT == (int)CONFIG_BUDGET_COUNT, "same order");
_Static_assert((int)BUDGET_DEPRIORITISE == (int)CONFIG_BUDGET_DEPRIORITISE, "same order");
_Static_assert((int)BUDGET_QUARANTINE == (int)CONFIG_BUDGET_QUARANTINE, "same order");

/* What runs on the poller. */
struct budget_change {
    struct budget *budget;
    struct budget **place; /* where the poller finds it */
    struct budget_limits limits;
    bool is_none;
    struct page *page; /* that it sweeps with it; NULL: an inbox's */
    bool has_budgets;
};

static void change_budget(void *context)
{
    const struct budget_change *change = context;
    change->budget->limits = change->limits;
    change->budget->end_ticks = ticks_now();
    *change->place = change->is_none ? NULL : change->budget;
    if (!change->page)
        return;
    change->page->has_budgets = change->has_budgets;
    change->page->held = 0;
}

static int run(struct poller *poller, struct budget_change *change, const char *vm,
               const char *client)
{
    int result = poller_call_brief(poller, change_budget, change, VM_CALL_TIMEOUT_NS);
    if (result < 0)
        log_warning("vm %s: %s: the poller does not answer; the budget stays as it was", vm,
                    client);
    return result;
}

static struct budget_limits limits_of(const struct config_budget *wanted)
{
    return (struct budget_limits){
        .ticks = wanted->time_ns ? ticks_from_ns(wanted->time_ns) : UINT64_MAX,
        .requests = wanted->requests ? wanted->requests : UINT64_MAX,
        .period_ticks = ticks_from_ns(wanted->period_ns),
        .action = (enum budget_action)wanted->action,
    };
}

static bool is_none(const struct config_budget *wanted)
{
    return wanted->time_ns == 0 && wanted->requests == 0;
}

/* Between two commands control may read what only commands write. */
static bool is_same(const struct budget *current, const struct config_budget *wanted)
{
    if (!current || is_none(wanted))
        return !current && is_none(wanted);
    struct budget_limits a = current->limits, b = limits_of(wanted);
    return a.ticks == b.ticks && a.requests == b.requests && a.period_ticks == b.period_ticks &&
           a.action == b.action;
}

/* Beside `except`. */
static bool has_others(const struct vm *vm, const struct budget *except)
{
    bool has = vm->page->budget && vm->page->budget != except;
    for (uint32_t i = 0; i < vm->client_count; i++) {
        const struct budget *budget = vm->clients[i]->client.budget;
        has = has || (budget && budget != except);
    }
    return has;
}

int vm_set_budget(struct vm *vm, const struct config_budget *wanted)
{
    struct page *page = vm->page;
    if (is_same(page->budget, wanted))
        return 0;
    struct budget_change change = {
        .budget = &page->own_budget,
        .place = &page->budget,
        .limits = limits_of(wanted),
        .is_none = is_none(wanted),
        .page = page,
        .has_budgets = !is_none(wanted) || has_others(vm, &page->own_budget),
    };
    return run(vm->poller, &change, vm->name, "all clients");
}

int vm_client_set_budget(struct vm_client *client, const struct config_budget *wanted)
{
    if (is_same(vm_client_budget(client), wanted))
        return 0;
    bool has_inbox = client->client.inbox != NULL;
    struct budget_change change = {
        .budget = &client->budget,
        .place = has_inbox ? &client->client.inbox_budget : &client->client.budget,
        .limits = limits_of(wanted),
        .is_none = is_none(wanted),
        .page = has_inbox ? NULL : client->vm->page,
        .has_budgets = !is_none(wanted) || has_others(client->vm, &client->budget),
    };
    return run(client->poller, &change, client->vm->name, client->client.name);
}

const struct budget *vm_budget(const struct vm *vm)
{
    return vm->page->budget;
}

const struct budget *vm_client_budget(const struct vm_client *client)
{
    return client->client.inbox ? client->client.inbox_budget : client->client.budget;
}

/* ---- for display ------------------------------------------------------------------------- */

void budget_report(const struct budget *budget, struct report *object)
{
    if (!budget)
        return;
    struct report *figures = report_add_object(object, "budget");
    report_add_number(figures, "used_up", counter_read(&budget->overruns));
    report_add_number(figures, "held_back", counter_read(&budget->held_back));
    report_add_number(figures, "answered_for", counter_read(&budget->answered_for));
    report_add_number(figures, "most_requests", counter_read(&budget->most_requests));
    report_add_number(figures, "most_ns", ticks_to_ns(counter_read(&budget->most_ticks)));
    report_add_number(figures, "excess_ns", ticks_to_ns(counter_read(&budget->excess_ticks)));
}

void budget_print(const struct budget *budget, FILE *out)
{
    if (!budget || !counter_read(&budget->overruns))
        return;
    fprintf(out,
            "  budget: used up in %llu periods, held back: %llu, answered for: %llu; most in a "
            "period: %llu requests, %llu us\n",
            (unsigned long long)counter_read(&budget->overruns),
            (unsigned long long)counter_read(&budget->held_back),
            (unsigned long long)counter_read(&budget->answered_for),
            (unsigned long long)counter_read(&budget->most_requests),
            (unsigned long long)(ticks_to_ns(counter_read(&budget->most_ticks)) / 1000));
}
