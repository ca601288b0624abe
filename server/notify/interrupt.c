/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/notify/interrupt.h"

#include "pollers/notifier.h"
#include "pollers/ticks.h"
#include "server/notify/irqfd.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct interrupt {
    struct notifier_port *port; /* of the poller that the client lives on */
    uint32_t signal;
    int descriptor;     /* an eventfd */
    size_t input_space; /* of the device's input, when nothing was typed */
};

/* On the client's poller. */
static void raise_line(void *context)
{
    const struct interrupt *interrupt = context;
    notifier_push(interrupt->port, interrupt->signal);
}

static void connect_line(void *context)
{
    struct vm_client *client = context;
    struct device *device = client->client.device;
    device->line.context = client->interrupt;
    device->line.raise = raise_line;
}

static void disconnect_line(void *context)
{
    struct vm_client *client = context;
    client->client.device->line.raise = NULL;
}

static int open_eventfd(struct vm_client *client, struct interrupt *interrupt, uint32_t gsi)
{
    const struct irqfd_route route = {.kind = IRQFD_GSI, .gsi = gsi};
    struct topology *topology = client->vm->topology;
    interrupt->port = topology->pollers[client->poller_index].notifier_port;
    int result = notifier_add(topology->notifier, interrupt->descriptor, &interrupt->signal);
    if (result < 0)
        return result;
    result = vm_irqfd_assign(client->vm, interrupt->descriptor, &route);
    if (result < 0)
        notifier_remove(topology->notifier, interrupt->signal);
    return result;
}

int interrupt_open(struct vm_client *client, uint32_t gsi)
{
    struct device *device = client->client.device;
    if (!device || !device->ops->tend)
        return -EOPNOTSUPP;
    struct interrupt *interrupt = calloc(1, sizeof(*interrupt));
    if (!interrupt)
        return -ENOMEM;
    interrupt->input_space = device->input ? byte_ring_space(device->input) : 0;
    interrupt->descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int result = interrupt->descriptor < 0 ? -errno : open_eventfd(client, interrupt, gsi);
    if (result == 0) {
        client->interrupt = interrupt;
        result = poller_call_brief(client->poller, connect_line, client, VM_CALL_TIMEOUT_NS);
        if (result < 0)
            interrupt_close(client);
        return result;
    }
    if (interrupt->descriptor >= 0)
        close(interrupt->descriptor);
    free(interrupt);
    return result;
}

int interrupt_close(struct vm_client *client)
{
    struct interrupt *interrupt = client->interrupt;
    if (!interrupt)
        return 0;
    int result = poller_call_brief(client->poller, disconnect_line, client, VM_CALL_TIMEOUT_NS);
    if (result == 0)
        result = notifier_remove(client->vm->topology->notifier, interrupt->signal);
    if (result < 0)
        return result;
    vm_irqfd_deassign(client->vm, interrupt->descriptor);
    close(interrupt->descriptor);
    free(interrupt);
    client->interrupt = NULL;
    return 0;
}

/* ---- what comes without an access -------------------------------------------------------- */

static void tend(void *context)
{
    struct device *device = context;
    device->ops->tend(device, ticks_now());
}

/* Relaxed: what is not seen now is seen by the next look. */
static bool wants_tending(const struct vm_client *client)
{
    const struct device *device = client->client.device;
    return atomic_load_explicit(&device->line.is_clocked, memory_order_relaxed) ||
           (device->input && byte_ring_space(device->input) < client->interrupt->input_space);
}

void interrupts_tend(const struct topology *topology)
{
    for (size_t i = 0; i < topology->vm_count; i++) {
        const struct vm *vm = topology->vms[i];
        for (uint32_t k = 0; vm->is_attached && k < vm->client_count; k++) {
            struct vm_client *client = vm->clients[k];
            if (client->interrupt && wants_tending(client))
                poller_call_brief(client->poller, tend, client->client.device, VM_CALL_TIMEOUT_NS);
        }
    }
}
