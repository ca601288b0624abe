/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/status_internal.h"

#include "clients/process_port.h"
#include "pollers/histogram.h"
#include "pollers/ticks.h"
#include "server/devices/stream.h"
#include "server/threads/residence.h"
#include "server/vm_client.h"

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

const char *status_slot_state_name(uint32_t state)
{
    static const char *const names[] = {"pending", "complete", "processing", "free"};
    return state < 4 ? names[state] : "odd";
}

const char *status_idle_name(enum poller_idle idle)
{
    static const char *const names[] = {"spin", "pause", "yield", "sleep"};
    return names[idle];
}

/* ---- figures ----------------------------------------------------------------------------- */

struct poller_status status_read_poller(const struct topology *topology, size_t poller_index)
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

const char *status_device_name(const struct vm_client *client)
{
    return client->client.device ? client->client.device->ops->name : "external";
}

const char *status_vm_state(const struct vm *vm)
{
    static const char *const names[] = {
        [VM_STOPPED] = "stopped", [VM_RUNNING] = "running", [VM_PAUSED] = "paused"};
    return vm->is_stuck ? "stuck" : names[vm->state];
}

const char *status_process_state(const struct process_port *port)
{
    static const char *const names[] = {[PROCESS_ABSENT] = "absent",
                                        [PROCESS_SERVING] = "serving",
                                        [PROCESS_AWAITED] = "awaited",
                                        [PROCESS_QUARANTINED] = "quarantined"};
    return names[atomic_load_explicit(&port->state, memory_order_relaxed)];
}

uint64_t status_late_count(const struct vm_client *client)
{
    const struct process_port *port = client->client.process;
    return counter_read(port ? &port->late : &client->client.late);
}

struct client_status status_read_client(const struct vm_client *client)
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

uint32_t status_read_slot_state(const struct vm *vm, uint32_t slot_index)
{
    return vm->is_attached ? slot_state(&vm->source.slots[slot_index]) : SLOT_FREE;
}
