/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/notify/interrupt.h"

#include "pollers/counter.h"
#include "pollers/notifier.h"
#include "pollers/ticks.h"
#include "server/event_loop.h"
#include "server/log.h"
#include "server/notify/interrupt_line.h"
#include "server/notify/irqfd.h"
#include "server/vm_hsm.h"
#include "server/vm_source.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define RESAMPLES_MAX 64u /* between two looks that a requester gets served at once */

/* ---- a level of a requester's ------------------------------------------------------------ */

static void push(struct vm_client *client)
{
    poller_call_brief(client->poller, interrupt_line_push, client->interrupt, VM_CALL_TIMEOUT_NS);
}

/* Its poller is called no more often than a guest can need it: the rest waits for interrupts_tend. */
static void resample_ready(void *context, uint32_t events)
{
    struct vm_client *client = context;
    (void)events;
    if (interrupt_line_resample(client->interrupt) &&
        client->interrupt->resamples++ < RESAMPLES_MAX)
        push(client);
}

static void tend_level(struct vm_client *client)
{
    struct interrupt *interrupt = client->interrupt;
    interrupt->resamples = 0;
    interrupt_line_resample(interrupt); /* where nobody watches */
    switch (interrupt_line_tend(interrupt)) {
    case INTERRUPT_LINE_AS_IT_SHOULD:
        break;
    case INTERRUPT_LINE_IS_LOW:
        push(client);
        break;
    case INTERRUPT_LINE_IS_HIGH:
        vm_irqfd_lower(client->vm, interrupt->descriptor);
        break;
    }
}

/* ---- life -------------------------------------------------------------------------------- */

static bool is_message(const struct interrupt *interrupt)
{
    return interrupt->route.kind == CONFIG_CLIENT_INTERRUPT_MESSAGE;
}

static void connect_line(void *context)
{
    struct vm_client *client = context;
    struct device_line *line = &client->client.device->line;
    line->context = client->interrupt;
    bool is_driven = client->interrupt->descriptor < 0 && !is_message(client->interrupt);
    line->change = is_driven ? interrupt_line_change : interrupt_line_rise;
    if (line->is_high)
        line->change(line->context, true);
}

static void disconnect_line(void *context)
{
    struct vm_client *client = context;
    client->client.device->line.change = NULL;
}

static int add_signal(struct notifier *notifier, struct interrupt *interrupt)
{
    const struct notify_target target = {.kind = NOTIFY_CALL,
                                         .descriptor = -1,
                                         .call = interrupt_line_pass(interrupt),
                                         .context = interrupt};
    if (!target.call)
        return notifier_add(notifier, interrupt->descriptor, &interrupt->signal);
    return notifier_add_target(notifier, &target, 0, &interrupt->signal);
}

/* The requester injects. */
static int open_eventfd(struct vm_client *client, struct interrupt *interrupt)
{
    struct vm *vm = client->vm;
    static const enum irqfd_kind kinds[] = {
        [CONFIG_CLIENT_INTERRUPT_EDGE] = IRQFD_GSI,
        [CONFIG_CLIENT_INTERRUPT_LEVEL] = IRQFD_LEVEL,
        [CONFIG_CLIENT_INTERRUPT_MESSAGE] = IRQFD_MSI,
    };
    struct irqfd_route route = {.kind = kinds[interrupt->route.kind],
                                .gsi = interrupt->route.line,
                                .address = interrupt->route.address,
                                .data = interrupt->route.data,
                                .resample = -1};
    interrupt->descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (interrupt->descriptor < 0)
        return -errno;
    if (route.kind != IRQFD_LEVEL)
        return vm_irqfd_assign(vm, interrupt->descriptor, &route);
    interrupt->resample = route.resample = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (route.resample < 0)
        return -errno;
    struct event_loop *loop = vm->topology->loop;
    int result = loop ? event_loop_watch(loop, route.resample, POLLIN, resample_ready, client,
                                         &interrupt->watch)
                      : 0;
    return result < 0 ? result : vm_irqfd_assign(vm, interrupt->descriptor, &route);
}

static void interrupt_free(struct vm *vm, struct interrupt *interrupt)
{
    if (interrupt->watch && vm->topology->loop) /* else it went with its loop */
        event_loop_unwatch(interrupt->watch);
    if (interrupt->resample >= 0)
        close(interrupt->resample);
    if (interrupt->descriptor >= 0) {
        vm_irqfd_deassign(vm, interrupt->descriptor); /* -ENOENT: it never was */
        close(interrupt->descriptor);
    }
    pthread_mutex_destroy(&interrupt->lock);
    free(interrupt);
}

static bool line_is_taken(const struct vm_client *client)
{
    const struct config_client_interrupt *wanted = &client->interrupt_route;
    for (uint32_t i = 0; i < client->vm->client_count; i++) {
        const struct interrupt *other = client->vm->clients[i]->interrupt;
        if (other && !is_message(other) && wanted->kind != CONFIG_CLIENT_INTERRUPT_MESSAGE &&
            other->route.line == wanted->line)
            return true;
    }
    return false;
}

int interrupt_open(struct vm_client *client)
{
    struct device *device = client->client.device;
    struct vm *vm = client->vm;
    struct topology *topology = vm->topology;
    if (!device || !device->ops->tend || (vm_has_device(vm) && !vm_has_hsm(vm)))
        return -EOPNOTSUPP;
    if (line_is_taken(client))
        return -EEXIST;
    struct interrupt *interrupt = calloc(1, sizeof(*interrupt));
    if (!interrupt)
        return -ENOMEM;
    interrupt->route = client->interrupt_route;
    interrupt->port = topology->pollers[client->poller_index].notifier_port;
    interrupt->descriptor = interrupt->resample = -1;
    interrupt->input_space = device->input ? byte_ring_space(device->input) : 0;
    interrupt->hsm = vm_hsm_driver(vm);
    pthread_mutex_init(&interrupt->lock, NULL);
    int result = vm_has_hsm(vm) ? 0 : open_eventfd(client, interrupt);
    if (result == 0)
        result = add_signal(topology->notifier, interrupt);
    if (result < 0) {
        interrupt_free(vm, interrupt);
        return result;
    }
    client->interrupt = interrupt;
    result = poller_call_brief(client->poller, connect_line, client, VM_CALL_TIMEOUT_NS);
    if (result < 0)
        interrupt_close(client);
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
    interrupt_line_lower(interrupt); /* with an irqfd the requester lowers it at its deassign */
    interrupt_free(client->vm, interrupt);
    client->interrupt = NULL;
    return 0;
}

void interrupts_give(struct vm *vm, struct hsm *hsm)
{
    for (uint32_t i = 0; i < vm->client_count; i++)
        if (vm->clients[i]->interrupt)
            interrupt_line_give(vm->clients[i]->interrupt, hsm);
}

struct interrupt_figures interrupt_figures(const struct vm_client *client)
{
    const struct interrupt *interrupt = client->interrupt;
    if (!interrupt)
        return (struct interrupt_figures){0};
    return (struct interrupt_figures){.rises =
                                          interrupt_line_rises(interrupt_line_changes(interrupt)),
                                      .failures = counter_read(&interrupt->failures)};
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

static void tell_failure(const struct vm_client *client)
{
    struct interrupt *interrupt = client->interrupt;
    if (interrupt->is_told || counter_read(&interrupt->failures) == 0)
        return;
    interrupt->is_told = true;
    log_warning("vm %s: client %s: its interrupts fail: %s: %s; from now on that is counted only "
                "(interrupt_failures)",
                client->vm->name, client->client.name,
                interrupt->descriptor < 0 ? "the ACRN driver" : "the requester lets nobody write",
                strerror(atomic_load_explicit(&interrupt->error, memory_order_relaxed)));
}

void interrupts_tend(const struct topology *topology)
{
    for (size_t i = 0; i < topology->vm_count; i++) {
        const struct vm *vm = topology->vms[i];
        for (uint32_t k = 0; vm->is_attached && k < vm->client_count; k++) {
            struct vm_client *client = vm->clients[k];
            if (!client->interrupt)
                continue;
            tell_failure(client);
            if (client->interrupt->resample >= 0)
                tend_level(client);
            if (wants_tending(client))
                poller_call_brief(client->poller, tend, client->client.device, VM_CALL_TIMEOUT_NS);
        }
    }
}
