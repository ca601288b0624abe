/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/status.h"

#include "clients/process_port.h"
#include "pollers/histogram.h"
#include "pollers/ticks.h"
#include "server/budgets.h"
#include "server/devices/stream.h"
#include "server/log.h"
#include "server/notify/interrupt.h"
#include "server/notify/ioeventfd.h"
#include "server/notify/irqfd.h"
#include "server/processes/launcher.h"
#include "server/processes/registration.h"
#include "server/report.h"
#include "server/threads/residence.h"
#include "server/vm_client.h"
#include "server/vm_source.h"

#include <stdio.h>
#include <stdlib.h>

const char *const status_page_counters[PAGE_COUNTER_COUNT] = {
    [PAGE_REQUESTS] = "requests",
    [REQUEST_FAULT_TYPE] = "invalid_type",
    [REQUEST_FAULT_DIRECTION] = "invalid_direction",
    [REQUEST_FAULT_EMPTY] = "empty",
    [REQUEST_FAULT_SIZE] = "invalid_size",
    [REQUEST_FAULT_ADDRESS] = "invalid_address",
    [PAGE_UNROUTED] = "unrouted",
    [PAGE_CLEARED] = "cleared",
    [PAGE_BAD_PCI_PORT] = "bad_pci_port",
    [PAGE_REVOKED] = "revoked",
    [PAGE_INBOX_FULL] = "inbox_full",
    [PAGE_STRAY_SLOT] = "stray_slot",
    [PAGE_ODD_STATE] = "odd_state",
};

const char *const status_page_settled[PAGE_SETTLED_COUNT] = {
    [PAGE_DROPPED] = "dropped",
    [PAGE_REFUSED] = "refused",
    [PAGE_UNNOTIFIED] = "unnotified",
};

/* Index: state as it stands in the page; anything else is odd. */
static const char *slot_state_name(uint32_t state)
{
    static const char *const names[] = {"pending", "complete", "processing", "free"};
    return state < 4 ? names[state] : "odd";
}

static const char *idle_name(enum poller_idle idle)
{
    static const char *const names[] = {"spin", "pause", "yield", "sleep"};
    return names[idle];
}

/* ---- figures ----------------------------------------------------------------------------- */

struct poller_status {
    uint64_t sweeps;
    uint64_t waits;
    uint64_t requests; /* handled here */
    double busy_share; /* 0..1, since the last call */
    uint64_t node;     /* NUMA node of its CPU */
    bool is_resident;  /* all it touches lies there */
};

static struct poller_status read_poller(const struct topology *topology, size_t poller_index)
{
    struct topology_poller *poller = &topology->pollers[poller_index];
    int node = memory_node_of_cpu(poller->cpu);
    struct poller_figures figures = poller_figures(poller->poller);
    uint64_t now = ticks_now();
    uint64_t elapsed = now - poller->last_ticks;
    struct poller_status status = {
        .sweeps = figures.sweeps,
        .waits = figures.waits,
        .requests = figures.requests,
        .busy_share =
            elapsed ? (double)(figures.busy_ticks - poller->last.busy_ticks) / (double)elapsed : 0,
        .node = node == MEMORY_ANY_NODE ? 0 : (uint64_t)node,
        .is_resident =
            residence_count_strays(topology, poller_index, memory_check_node, false) == 0,
    };
    poller->last = figures;
    poller->last_ticks = now;
    return status;
}

struct client_status {
    uint64_t accesses, errors, lost_bytes;
    uint64_t p50_ns, p99_ns, p999_ns, p9999_ns, max_ns;
};

/* What the rings refused and what nobody took. */
static uint64_t lost_bytes(const struct vm_client *client)
{
    const struct device *device = client->client.device;
    uint64_t lost = stream_lost(client->stream);
    if (device && device->output)
        lost += byte_ring_dropped(device->output);
    if (device && device->input)
        lost += byte_ring_dropped(device->input);
    return lost;
}

static const char *device_name(const struct vm_client *client)
{
    return client->client.device ? client->client.device->ops->name : "external";
}

const char *status_vm_state(const struct vm *vm)
{
    static const char *const names[] = {
        [VM_STOPPED] = "stopped", [VM_RUNNING] = "running", [VM_PAUSED] = "paused"};
    return vm->is_stuck ? "stuck" : names[vm->state];
}

static const char *process_state_name(const struct process_port *port)
{
    static const char *const names[] = {[PROCESS_ABSENT] = "absent",
                                        [PROCESS_SERVING] = "serving",
                                        [PROCESS_AWAITED] = "awaited",
                                        [PROCESS_QUARANTINED] = "quarantined"};
    return names[atomic_load_explicit(&port->state, memory_order_relaxed)];
}

static uint64_t late_count(const struct vm_client *client)
{
    const struct process_port *port = client->client.process;
    return counter_read(port ? &port->late : &client->client.late);
}

static struct client_status read_client(const struct vm_client *client)
{
    static struct histogram copy; /* 9 KiB, control only */
    histogram_copy(client->latency, &copy);
    return (struct client_status){
        .accesses = histogram_count(&copy),
        .errors = counter_read(&client->client.errors),
        .lost_bytes = lost_bytes(client),
        .p50_ns = ticks_to_ns(histogram_percentile(&copy, 0.5)),
        .p99_ns = ticks_to_ns(histogram_percentile(&copy, 0.99)),
        .p999_ns = ticks_to_ns(histogram_percentile(&copy, 0.999)),
        .p9999_ns = ticks_to_ns(histogram_percentile(&copy, 0.9999)),
        .max_ns = ticks_to_ns(counter_read(&copy.max)),
    };
}

static uint32_t read_slot_state(const struct vm *vm, uint32_t slot_index)
{
    return vm->is_attached ? slot_state(&vm->source.slots[slot_index]) : SLOT_FREE;
}

/* ---- JSON -------------------------------------------------------------------------------- */

static void report_pollers(struct topology *topology, struct report *array)
{
    for (size_t i = 0; i < topology->poller_count; i++) {
        struct topology_poller *poller = &topology->pollers[i];
        struct poller_status status = read_poller(topology, i);
        struct report *object = report_append_object(array);
        report_add_text(object, "name", poller->name);
        report_add_number(object, "cpu", poller->cpu);
        report_add_text(object, "idle", idle_name(poller->idle));
        report_add_bool(object, "sandbox", poller->sandbox != NULL);
        report_add_bool(object, "isolated",
                        placement_is_isolated(topology->placement, poller->cpu));
        report_add_number(object, "node", status.node);
        report_add_bool(object, "memory_on_node", status.is_resident);
        report_add_number(object, "faults", poller->faults);
        report_add_number(object, "sweeps", status.sweeps);
        report_add_number(object, "requests", status.requests);
        report_add_number(object, "waits", status.waits);
        report_add_real(object, "busy", status.busy_share);
        report_add_bool(object, "stuck", poller->watch.is_stuck);
        report_add_text(object, "stuck_in", poller->watch.place);
        report_add_number(object, "stucks", poller->watch.stuck_count);
        report_add_number(object, "longest_gap_ns", poller->watch.longest_gap_ns);
    }
}

static void report_vm(const struct topology *topology, const struct vm *vm, struct report *object)
{
    report_add_text(object, "name", vm->name);
    report_add_number(object, "vcpus", vm->page->vcpu_count);
    report_add_text(object, "source", vm->source_kind->name);
    report_add_text(object, "device", vm->device);
    report_add_text(object, "poller", topology->pollers[vm->poller_index].name);
    report_add_bool(object, "attached", vm->is_attached);
    report_add_number(object, "requester_pid", vm->is_attached ? (uint64_t)vm->requester_pid : 0);
    report_add_text(object, "state", status_vm_state(vm));
    budget_report(vm_budget(vm), object);
    struct report *slots = report_add_array(object, "slots");
    for (uint32_t i = 0; i < vm->page->vcpu_count; i++)
        report_append_text(slots, slot_state_name(read_slot_state(vm, i)));
    struct report *counters = report_add_object(object, "counters");
    for (size_t i = 0; i < PAGE_COUNTER_COUNT; i++)
        report_add_number(counters, status_page_counters[i], counter_read(&vm->page->counters[i]));
    for (size_t i = 0; i < PAGE_SETTLED_COUNT; i++)
        report_add_number(counters, status_page_settled[i], counter_read(&vm->page->settled[i]));
    struct ioeventfd_figures doorbells = vm_ioeventfd_figures(vm);
    report_add_number(counters, "doorbell_rings", doorbells.rings);
    report_add_number(counters, "doorbell_misses", doorbells.misses);
    report_add_number(object, "ioeventfds", doorbells.assigned);
    report_add_number(object, "irqfds", vm_irqfd_count(vm));
    report_add_number(object, "notified", counter_read(&vm->page->notify.told));
}

static void report_process(const struct vm_client *client, struct report *object)
{
    const struct process_port *port = client->client.process;
    report_add_text(object, "state", process_state_name(port));
    report_add_number(object, "pid", (uint64_t)registration_pid(client->registration));
    report_add_number(object, "epoch", client->epoch);
    report_add_number(object, "refused", counter_read(&port->refused));
    report_add_number(object, "unserved", counter_read(&port->unserved));
    report_add_number(object, "handed_on", counter_read(&port->handed_on));
    report_add_number(object, "asked_again", counter_read(&port->asked_again));
    report_add_number(object, "failed", counter_read(&port->failed));
    report_add_number(object, "quarantines", counter_read(&port->quarantines));
    if (!client->launch)
        return;
    struct launch_figures launch = launch_figures(client->launch);
    struct report *start = report_add_object(object, "start");
    report_add_text(start, "state", launch.state);
    report_add_number(start, "pid", (uint64_t)launch.pid);
    report_add_number(start, "starts", launch.starts);
    report_add_number(start, "restarts", launch.restarts);
    report_add_number(start, "restart_limit", launch.limit);
}

static void report_client(const struct topology *topology, const struct vm *vm,
                          const struct vm_client *client, struct report *object)
{
    struct client_status status = read_client(client);
    report_add_text(object, "name", client->client.name);
    report_add_text(object, "vm", vm->name);
    report_add_text(object, "device", device_name(client));
    report_add_text(object, "poller", topology->pollers[client->poller_index].name);
    report_add_bool(object, "default", client->client.is_default);
    report_add_number(object, "accesses", status.accesses);
    report_add_number(object, "errors", status.errors);
    report_add_bool(object, "broken",
                    atomic_load_explicit(&client->client.is_broken, memory_order_relaxed));
    report_add_number(object, "late", late_count(client));
    struct interrupt_figures interrupts = interrupt_figures(client);
    report_add_number(object, "interrupts", interrupts.rises);
    report_add_number(object, "interrupt_failures", interrupts.failures);
    if (client->client.process)
        report_process(client, report_add_object(object, "process"));
    budget_report(vm_client_budget(client), object);
    report_add_number(object, "ranges", client->range_count);
    report_add_number(object, "lost_bytes", status.lost_bytes);
    struct report *latency = report_add_object(object, "latency_ns");
    report_add_number(latency, "p50", status.p50_ns);
    report_add_number(latency, "p99", status.p99_ns);
    report_add_number(latency, "p99.9", status.p999_ns);
    report_add_number(latency, "p99.99", status.p9999_ns);
    report_add_number(latency, "max", status.max_ns);
}

char *status_json(struct topology *topology)
{
    topology_look_at_faults(topology);
    struct report *root = report_create();
    report_add_text(root, "version", IOREQD_VERSION);
    report_add_number(root, "ticks_per_second", ticks_per_second());
    report_add_number(root, "log_lines_lost", log_lines_lost());
    report_pollers(topology, report_add_array(root, "pollers"));
    struct report *vms = report_add_array(root, "vms");
    struct report *clients = report_add_array(root, "clients");
    for (size_t i = 0; i < topology->vm_count; i++) {
        const struct vm *vm = topology->vms[i];
        report_vm(topology, vm, report_append_object(vms));
        for (size_t k = 0; k < vm->client_count; k++)
            report_client(topology, vm, vm->clients[k], report_append_object(clients));
    }
    char *text = report_text(root);
    report_destroy(root);
    return text;
}

/* ---- table ------------------------------------------------------------------------------- */

static void print_pollers(struct topology *topology, FILE *out)
{
    fprintf(out, "%-15s %4s %4s %-6s %-8s %14s %12s %8s %7s\n", "POLLER", "CPU", "NODE", "IDLE",
            "SANDBOX", "SWEEPS", "REQUESTS", "BUSY", "FAULTS");
    for (size_t i = 0; i < topology->poller_count; i++) {
        struct topology_poller *poller = &topology->pollers[i];
        struct poller_status status = read_poller(topology, i);
        fprintf(out, "%-15s %4u %4llu %-6s %-8s %14llu %12llu %7.2f%% %7llu\n", poller->name,
                poller->cpu, (unsigned long long)status.node, idle_name(poller->idle),
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
        uint32_t state = read_slot_state(vm, i);
        counts[state < 4 ? state : 4]++;
    }
    const char *separator = "";
    for (uint32_t state = 0; state < 5; state++) {
        if (counts[state] == 0)
            continue;
        fprintf(out, "%s%u %s", separator, counts[state], slot_state_name(state));
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
        fprintf(out, "  process: %s", process_state_name(port));
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
    if (late_count(client))
        fprintf(out, "  late: %llu\n", (unsigned long long)late_count(client));
}

static void print_clients(const struct topology *topology, FILE *out)
{
    fprintf(out, "\n%-15s %-15s %-14s %10s %9s %9s %9s %9s %7s\n", "CLIENT", "VM", "DEVICE",
            "ACCESSES", "P50 ns", "P99 ns", "P99.9 ns", "MAX ns", "ERRORS");
    for (size_t i = 0; i < topology->vm_count; i++) {
        const struct vm *vm = topology->vms[i];
        for (size_t k = 0; k < vm->client_count; k++) {
            const struct vm_client *client = vm->clients[k];
            struct client_status status = read_client(client);
            fprintf(out, "%-15s %-15s %-14s %10llu %9llu %9llu %9llu %9llu %7llu\n",
                    client->client.name, vm->name, device_name(client),
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
