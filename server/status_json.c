/* SPDX-License-Identifier: BSD-3-Clause */
/* status.h for scripts. */
#include "server/status_internal.h"

#include "clients/process_port.h"
#include "pollers/ticks.h"
#include "server/budgets.h"
#include "server/log.h"
#include "server/notify/interrupt.h"
#include "server/notify/ioeventfd.h"
#include "server/notify/irqfd.h"
#include "server/processes/launcher.h"
#include "server/processes/registration.h"
#include "server/report.h"

static void report_pollers(struct topology *topology, struct report *array)
{
    for (size_t i = 0; i < topology->poller_count; i++) {
        struct topology_poller *poller = &topology->pollers[i];
        struct poller_status status = status_read_poller(topology, i);
        struct report *object = report_append_object(array);
        report_add_text(object, "name", poller->name);
        report_add_number(object, "cpu", poller->cpu);
        report_add_text(object, "idle", status_idle_name(poller->idle));
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
        report_append_text(slots, status_slot_state_name(status_read_slot_state(vm, i)));
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
    report_add_text(object, "state", status_process_state(port));
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
    struct client_status status = status_read_client(client);
    report_add_text(object, "name", client->client.name);
    report_add_text(object, "vm", vm->name);
    report_add_text(object, "device", status_device_name(client));
    report_add_text(object, "poller", topology->pollers[client->poller_index].name);
    report_add_bool(object, "default", client->client.is_default);
    report_add_number(object, "accesses", status.accesses);
    report_add_number(object, "errors", status.errors);
    report_add_bool(object, "broken",
                    atomic_load_explicit(&client->client.is_broken, memory_order_relaxed));
    report_add_number(object, "late", status_late_count(client));
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
