/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/notify/interrupt.h"

#include "pollers/counter.h"
#include "pollers/notifier.h"
#include "pollers/ticks.h"
#include "server/event_loop.h"
#include "server/log.h"
#include "server/notify/irqfd.h"
#include "server/sources/hsm_device.h"
#include "server/vm_hsm.h"
#include "server/vm_source.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

struct interrupt {
    struct config_client_interrupt route;
    struct notifier_port *port; /* of the poller that the client lives on */
    uint32_t signal;
    int descriptor;            /* an eventfd; -1: the driver's */
    int resample;              /* an eventfd; -1: no level of a requester's */
    struct event_watch *watch; /* of it; NULL: interrupts_tend looks */
    uint64_t changes_tended;   /* as of the last interrupts_tend */
    size_t input_space;        /* of the device's input, when nothing was typed */
    _Atomic uint64_t changes;  /* of the line; odd: it is high. The poller's */
    _Atomic uint64_t failures;
    _Atomic int error;    /* of the last failure, positive */
    bool is_told;         /* that there are failures */
    pthread_mutex_t lock; /* around what follows */
    struct hsm *hsm;      /* NULL: none */
    uint64_t told;        /* changes that the guest knows of */
    uint64_t asserted;    /* resample >= 0: the last rise that was written */
    bool is_asserted;     /* the requester's line is high, as far as we know */
};

/* ---- on the client's poller -------------------------------------------------------------- */

static void count_change(struct interrupt *interrupt)
{
    uint64_t changes = atomic_load_explicit(&interrupt->changes, memory_order_relaxed); /* ours */
    /* Release: pairs with read_changes. It comes before the answer to the access that did it. */
    atomic_store_explicit(&interrupt->changes, changes + 1, memory_order_release);
}

/* Any other thread. */
static uint64_t read_changes(const struct interrupt *interrupt)
{
    /* Acquire: pairs with count_change. */
    return atomic_load_explicit(&interrupt->changes, memory_order_acquire);
}

static uint64_t rises_of(uint64_t changes)
{
    return (changes + 1) / 2;
}

static void push_rise(void *context, bool is_high)
{
    struct interrupt *interrupt = context;
    count_change(interrupt);
    if (is_high)
        notifier_push(interrupt->port, interrupt->signal);
}

static void push_change(void *context, bool is_high)
{
    struct interrupt *interrupt = context;
    (void)is_high;
    count_change(interrupt);
    notifier_push(interrupt->port, interrupt->signal);
}

/* ---- on the notifier's thread ------------------------------------------------------------ */

static void note_failure(struct interrupt *interrupt, int result)
{
    if (result >= 0)
        return;
    /* Relaxed: for people. */
    atomic_store_explicit(&interrupt->error, -result, memory_order_relaxed);
    counter_add(&interrupt->failures, 1); /* under the lock: one writer */
}

static void set_line(struct interrupt *interrupt, bool is_high)
{
    note_failure(interrupt, hsm_set_line(interrupt->hsm, interrupt->route.line, is_high));
}

/* Takes the guest from `told` to `changes`. Under the lock. */
static void pass_changes(struct interrupt *interrupt, uint64_t changes)
{
    bool was_high = interrupt->told & 1, is_high = changes & 1;
    bool has_risen = rises_of(changes) != rises_of(interrupt->told);
    if (interrupt->route.kind == CONFIG_CLIENT_INTERRUPT_EDGE && has_risen) {
        if (was_high)
            set_line(interrupt, false);
        set_line(interrupt, true);
        was_high = true;
    }
    if (was_high != is_high)
        set_line(interrupt, is_high);
    interrupt->told = changes;
}

static void pass_line(void *context, uint32_t unused)
{
    struct interrupt *interrupt = context;
    (void)unused;
    pthread_mutex_lock(&interrupt->lock);
    if (interrupt->hsm)
        pass_changes(interrupt, read_changes(interrupt));
    pthread_mutex_unlock(&interrupt->lock);
}

static void pass_message(void *context, uint32_t unused)
{
    struct interrupt *interrupt = context;
    (void)unused;
    pthread_mutex_lock(&interrupt->lock);
    if (interrupt->hsm)
        note_failure(interrupt, hsm_inject_msi(interrupt->hsm, interrupt->route.address,
                                               interrupt->route.data));
    pthread_mutex_unlock(&interrupt->lock);
}

/* ---- a level by irqfd: the notifier's thread, and control --------------------------------- */

/* Under the lock. */
static void assert_level(struct interrupt *interrupt, uint64_t changes)
{
    const uint64_t one = 1;
    if (write(interrupt->descriptor, &one, sizeof(one)) < 0 && errno != EAGAIN)
        abort(); /* it is our own */
    interrupt->asserted = rises_of(changes);
    interrupt->is_asserted = true;
}

/* It may come late: then an EOI has already raised the line for this rise, and the device may ask no more. */
static void pass_level(void *context, uint32_t unused)
{
    struct interrupt *interrupt = context;
    (void)unused;
    pthread_mutex_lock(&interrupt->lock);
    uint64_t changes = read_changes(interrupt);
    if (changes & 1 && interrupt->asserted != rises_of(changes))
        assert_level(interrupt, changes);
    pthread_mutex_unlock(&interrupt->lock);
}

/* The requester's line is low, by an EOI or by us: it is raised again if the device still asks. */
static void resample_ready(void *context, uint32_t events)
{
    struct interrupt *interrupt = context;
    uint64_t count;
    (void)events;
    if (read(interrupt->resample, &count, sizeof(count)) < 0)
        return;
    pthread_mutex_lock(&interrupt->lock);
    uint64_t changes = read_changes(interrupt);
    interrupt->is_asserted = false;
    if (changes & 1)
        assert_level(interrupt, changes);
    pthread_mutex_unlock(&interrupt->lock);
}

/* A device that asks no more before its interrupt was taken is rare, and lowering a line without an EOI
 * costs the requester a new binding: only what has been low since the last look is lowered so. */
static void withdraw(const struct vm *vm, struct interrupt *interrupt)
{
    pthread_mutex_lock(&interrupt->lock);
    uint64_t changes = read_changes(interrupt);
    if (interrupt->is_asserted && !(changes & 1) && changes == interrupt->changes_tended) {
        vm_irqfd_lower(vm, interrupt->descriptor);
        interrupt->is_asserted = false;
    }
    interrupt->changes_tended = changes;
    pthread_mutex_unlock(&interrupt->lock);
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
    line->change = is_driven ? push_change : push_rise;
    if (line->is_high)
        line->change(line->context, true);
}

static void disconnect_line(void *context)
{
    struct vm_client *client = context;
    client->client.device->line.change = NULL;
}

/* What the notifier's thread does at a rise, or at each change of a line of the driver's. */
static int add_signal(struct notifier *notifier, struct interrupt *interrupt)
{
    struct notify_target target = {.kind = NOTIFY_CALL, .descriptor = -1, .context = interrupt};
    if (interrupt->resample >= 0)
        target.call = pass_level;
    else if (interrupt->descriptor >= 0)
        return notifier_add(notifier, interrupt->descriptor, &interrupt->signal);
    else
        target.call = is_message(interrupt) ? pass_message : pass_line;
    return notifier_add_target(notifier, &target, 0, &interrupt->signal);
}

/* The requester injects. */
static int open_eventfd(struct vm *vm, struct interrupt *interrupt)
{
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
    int result = loop ? event_loop_watch(loop, route.resample, POLLIN, resample_ready, interrupt,
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
    int result = vm_has_hsm(vm) ? 0 : open_eventfd(vm, interrupt);
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

/* Whatever the device said last: it says no more. */
static void lower(struct interrupt *interrupt)
{
    pthread_mutex_lock(&interrupt->lock);
    if (interrupt->told & 1 && interrupt->hsm)
        set_line(interrupt, false);
    pthread_mutex_unlock(&interrupt->lock);
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
    lower(interrupt); /* with an irqfd the requester lowers it at its deassign */
    interrupt_free(client->vm, interrupt);
    client->interrupt = NULL;
    return 0;
}

void interrupts_give(struct vm *vm, struct hsm *hsm)
{
    for (uint32_t i = 0; i < vm->client_count; i++) {
        struct interrupt *interrupt = vm->clients[i]->interrupt;
        if (!interrupt)
            continue;
        pthread_mutex_lock(&interrupt->lock);
        interrupt->hsm = hsm;
        uint64_t changes = read_changes(interrupt);
        interrupt->told = changes & ~UINT64_C(1);
        if (hsm && !is_message(interrupt))
            pass_changes(interrupt, changes);
        pthread_mutex_unlock(&interrupt->lock);
    }
}

struct interrupt_figures interrupt_figures(const struct vm_client *client)
{
    const struct interrupt *interrupt = client->interrupt;
    if (!interrupt)
        return (struct interrupt_figures){0};
    return (struct interrupt_figures){.rises = rises_of(read_changes(interrupt)),
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
    log_warning(
        "vm %s: client %s: the ACRN driver refuses its interrupts: %s; from now on they are "
        "counted only (interrupt_failures)",
        client->vm->name, client->client.name,
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
            if (client->interrupt->resample >= 0) {
                resample_ready(client->interrupt, POLLIN);
                withdraw(vm, client->interrupt);
            }
            if (wants_tending(client))
                poller_call_brief(client->poller, tend, client->client.device, VM_CALL_TIMEOUT_NS);
        }
    }
}
