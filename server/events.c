/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/events.h"

#include "clients/process_port.h"
#include "server/budgets.h"
#include "server/log.h"
#include "server/notify/ioeventfd.h"
#include "server/status.h"
#include "server/vm_client.h"

/* How much the counter rose since the last look. */
static unsigned long long rise(const _Atomic uint64_t *counter, uint64_t *seen)
{
    uint64_t now = counter_read(counter);
    uint64_t rose = now - *seen;
    *seen = now;
    return rose;
}

/* What its process does wrong, beside what registrations_poll tells. */
static void report_process(struct vm_client *client)
{
    struct process_port *port = client->client.process;
    unsigned long long rose;
    if ((rose = rise(port ? &port->late : &client->client.late, &client->late_seen)) > 0)
        log_warning("vm %s: client %s: %llu more requests missed their deadline", client->vm->name,
                    client->client.name, rose);
    if (port && (rose = rise(&port->refused, &client->refused_seen)) > 0)
        log_warning("vm %s: client %s: %llu more answers of its process were refused",
                    client->vm->name, client->client.name, rose);
}

static void report_budgets(struct vm *vm)
{
    unsigned long long rose;
    const struct budget *budget = vm_budget(vm);
    if (budget && (rose = rise(&budget->overruns, &vm->overruns_seen)) > 0)
        log_warning("vm %s: its budget was used up in %llu more periods", vm->name, rose);
    for (uint32_t i = 0; i < vm->client_count; i++) {
        struct vm_client *client = vm->clients[i];
        budget = vm_client_budget(client);
        if (budget && (rose = rise(&budget->overruns, &client->overruns_seen)) > 0)
            log_warning("vm %s: client %s: its budget was used up in %llu more periods", vm->name,
                        client->client.name, rose);
    }
}

static void report_vm(struct vm *vm)
{
    unsigned long long rose;
    report_budgets(vm);
    for (size_t i = PAGE_REQUESTS + 1; i < PAGE_COUNTER_COUNT; i++)
        if ((rose = rise(&vm->page->counters[i], &vm->counters_seen[i])) > 0)
            log_warning("vm %s: %s: %llu more", vm->name, status_page_counters[i], rose);
    for (size_t i = 0; i < PAGE_SETTLED_COUNT; i++)
        if ((rose = rise(&vm->page->settled[i], &vm->settled_seen[i])) > 0)
            log_warning("vm %s: %s: %llu more", vm->name, status_page_settled[i], rose);
    uint64_t misses = vm_ioeventfd_figures(vm).misses;
    if (misses != vm->doorbell_misses_seen)
        log_warning("vm %s: doorbell_misses: %llu more", vm->name,
                    (unsigned long long)(misses - vm->doorbell_misses_seen));
    vm->doorbell_misses_seen = misses;
    for (uint32_t i = 0; i < vm->client_count; i++) {
        struct client *client = &vm->clients[i]->client;
        report_process(vm->clients[i]);
        if ((rose = rise(&client->errors, &vm->clients[i]->errors_seen)) > 0)
            log_warning("vm %s: client %s: %llu more errors of its device%s", vm->name,
                        client->name, rose,
                        atomic_load_explicit(&client->is_broken, memory_order_relaxed)
                            ? "; it is broken and asked no more"
                            : "");
    }
}

static void report_faults(struct topology_poller *poller)
{
    uint64_t rose = poller->faults - poller->faults_seen;
    if (rose > 0)
        log_warning("poller %s: page faults: %llu more", poller->name, (unsigned long long)rose);
    poller->faults_seen = poller->faults;
}

void events_report(const struct topology *topology)
{
    for (size_t i = 0; i < topology->poller_count; i++)
        report_faults(&topology->pollers[i]);
    for (size_t i = 0; i < topology->vm_count; i++)
        report_vm(topology->vms[i]);
}
