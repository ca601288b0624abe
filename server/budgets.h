/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * budgets.h - gives clients and VMs their budgets (pollers/budget.h), and shows what came of them.
 *
 * Flow:    vm_set_budget, vm_client_set_budget: after they were made, and at each reload.
 * Threads: control; the poller concerned is told by a command.
 * Memory:  a budget lies in its page, or with its client.
 * Errors:  negative errno: the poller does not answer, and the budget is as it was; told in the log.
 */
#ifndef SERVER_BUDGETS_H
#define SERVER_BUDGETS_H

#include "config/config.h"
#include "server/report.h"
#include "server/vm_client.h"

#include <stdio.h>

/* What it may have from now on, in a new period; the figures go on. As it has already: nothing
 * happens. */
int vm_set_budget(struct vm *vm, const struct config_budget *wanted);
int vm_client_set_budget(struct vm_client *client, const struct config_budget *wanted);

/* NULL: it has none. */
const struct budget *vm_budget(const struct vm *vm);
const struct budget *vm_client_budget(const struct vm_client *client);

/* For status: an object `budget`, and a line if it was ever used up. budget NULL: nothing. */
void budget_report(const struct budget *budget, struct report *object);
void budget_print(const struct budget *budget, FILE *out);

#endif
