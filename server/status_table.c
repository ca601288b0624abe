/* SPDX-License-Identifier: BSD-3-Clause */
/* status.h for people. */
#include "server/status_internal.h"

#include "clients/process_port.h"
#include "server/budgets.h"
#include "server/log.h"
#include "server/notify/interrupt.h"
#include "server/notify/ioeventfd.h"
#include "server/notify/irqfd.h"
#include "server/processes/launcher.h"
#include "server/processes/registration.h"
#include "server/vm_source.h"

#include <stdio.h>

static void print_pollers(struct topology *topology, FILE *out)
{
    fprintf(out, "%-15s %4s %4s %-6s %-8s %14s %12s %8s %7s\n", "POLLER", "CPU", "NODE", "IDLE",
            "SANDBOX", "SWEEPS", "REQUESTS", "BUSY", "FAULTS");
    for (size_t i = 0; i < topology->poller_count; i++) {
        struct topology_poller *poller = &topology->pollers[i];
        struct poller_status status = status_read_poller(topology, i);
        fprintf(out, "%-15s %4u %4llu %-6s %-8s %14llu %12llu %7.2f%% %7llu\n", poller->name,
                poller->cpu, (unsigned long long)status.node, status_idle_name(poller->idle),
                poller->sandbox ? "armed" : "off", (unsigned long long)status.sweeps,
                (unsigned long long)status.requests, 100 * status.busy_share,
                (unsigned long long)poller->faults);
        if (!status.is_resident)
            fprintf(out, "  some of its memory lies on another NUMA node, or is not locked\n");
        if (poller->watch.stuck_count)
            fprintf(out, "  stuck %s%s, %llu times; longest gap: %llu ms\n",
                    poller->watch.is_stuck ? "now, " : "before, last ", poller->watch.place,
                    (unsigned long long)poller->watch.stuck_count,
                    (unsigned long long)(poller->watch.longest_gap_ns / 1000000));
    }
}

static void print_slots(const struct vm *vm, FILE *out)
{
    uint32_t counts[5] = {0};
    for (uint32_t i = 0; i < vm->page->vcpu_count; i++) {
        uint32_t state = status_read_slot_state(vm, i);
        counts[state < 4 ? state : 4]++;
    }
    const char *separator = "";
    for (uint32_t state = 0; state < 5; state++) {
        if (counts[state] == 0)
            continue;
        fprintf(out, "%s%u %s", separator, counts[state], status_slot_state_name(state));
        separator = ", ";
    }
    fputc('\n', out);
}

static void print_doorbells(const struct vm *vm, FILE *out)
{
    struct ioeventfd_figures doorbells = vm_ioeventfd_figures(vm);
    if (doorbells.assigned || doorbells.rings)
        fprintf(out, "  ioeventfds: %u, doorbell_rings: %llu\n", doorbells.assigned,
                (unsigned long long)doorbells.rings);
    if (doorbells.misses)
        fprintf(out, "  doorbell_misses: %llu\n", (unsigned long long)doorbells.misses);
    if (vm_irqfd_count(vm))
        fprintf(out, "  irqfds: %u\n", vm_irqfd_count(vm));
    uint64_t notified = counter_read(&vm->page->notify.told);
    if (notified)
        fprintf(out, "  notified: %llu\n", (unsigned long long)notified);
}

static void print_vms(const struct topology *topology, FILE *out)
{
    fprintf(out, "\n%-15s %-8s %5s %-15s %-10s %12s  %s\n", "VM", "STATE", "VCPUS", "POLLER",
            "REQUESTER", "REQUESTS", "SLOTS");
    for (size_t i = 0; i < topology->vm_count; i++) {
        const struct vm *vm = topology->vms[i];
        char requester[16] = "none";
        if (vm->is_attached && vm_has_device(vm))
            snprintf(requester, sizeof(requester), "%s", vm->source_kind->name);
        else if (vm->is_attached)
            snprintf(requester, sizeof(requester), "pid %d", (int)vm->requester_pid);
        fprintf(out, "%-15s %-8s %5u %-15s %-10s %12llu  ", vm->name, status_vm_state(vm),
                vm->page->vcpu_count, topology->pollers[vm->poller_index].name, requester,
                (unsigned long long)counter_read(&vm->page->counters[PAGE_REQUESTS]));
        print_slots(vm, out);
        for (size_t k = PAGE_REQUESTS + 1; k < PAGE_COUNTER_COUNT; k++)
            if (counter_read(&vm->page->counters[k]))
                fprintf(out, "  %s: %llu\n", status_page_counters[k],
                        (unsigned long long)counter_read(&vm->page->counters[k]));
        for (size_t k = 0; k < PAGE_SETTLED_COUNT; k++)
            if (counter_read(&vm->page->settled[k]))
                fprintf(out, "  %s: %llu\n", status_page_settled[k],
                        (unsigned long long)counter_read(&vm->page->settled[k]));
        print_doorbells(vm, out);
        budget_print(vm_budget(vm), out);
    }
}

static void print_process(const struct vm_client *client, FILE *out)
{
    const struct process_port *port = client->client.process;
    if (port)
        fprintf(out, "  process: %s", status_process_state(port));
    if (client->registration)
        fprintf(out, ", pid %d", (int)registration_pid(client->registration));
    if (port && counter_read(&port->refused))
        fprintf(out, ", refused: %llu", (unsigned long long)counter_read(&port->refused));
    if (port && counter_read(&port->quarantines))
        fprintf(out, ", quarantines: %llu", (unsigned long long)counter_read(&port->quarantines));
    if (client->launch) {
        struct launch_figures launch = launch_figures(client->launch);
        fprintf(out, ", start: %s, restarts: %llu of %llu", launch.state,
                (unsigned long long)launch.restarts, (unsigned long long)launch.limit);
    }
    if (port)
        fputc('\n', out);
    if (status_late_count(client))
        fprintf(out, "  late: %llu\n", (unsigned long long)status_late_count(client));
}

static void print_clients(const struct topology *topology, FILE *out)
{
    fprintf(out, "\n%-15s %-15s %-14s %10s %9s %9s %9s %9s %7s\n", "CLIENT", "VM", "DEVICE",
            "ACCESSES", "P50 ns", "P99 ns", "P99.9 ns", "MAX ns", "ERRORS");
    for (size_t i = 0; i < topology->vm_count; i++) {
        const struct vm *vm = topology->vms[i];
        for (size_t k = 0; k < vm->client_count; k++) {
            const struct vm_client *client = vm->clients[k];
            struct client_status status = status_read_client(client);
            fprintf(out, "%-15s %-15s %-14s %10llu %9llu %9llu %9llu %9llu %7llu\n",
                    client->client.name, vm->name, status_device_name(client),
                    (unsigned long long)status.accesses, (unsigned long long)status.p50_ns,
                    (unsigned long long)status.p99_ns, (unsigned long long)status.p999_ns,
                    (unsigned long long)status.max_ns, (unsigned long long)status.errors);
            print_process(client, out);
            if (interrupt_figures(client).failures)
                fprintf(out, "  interrupt_failures: %llu\n",
                        (unsigned long long)interrupt_figures(client).failures);
            budget_print(vm_client_budget(client), out);
        }
    }
}

char *status_text(struct topology *topology)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    if (!out)
        return NULL;
    topology_look_at_faults(topology);
    print_pollers(topology, out);
    print_vms(topology, out);
    print_clients(topology, out);
    if (log_lines_lost())
        fprintf(out, "\n%llu log lines were lost\n", (unsigned long long)log_lines_lost());
    return fclose(out) == 0 ? text : NULL;
}
