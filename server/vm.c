/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/vm.h"

#include "pollers/inbox_serve.h"
#include "pollers/memory.h"
#include "pollers/process_serve.h"
#include "pollers/ticks.h"
#include "server/log.h"
#include "server/notify/arrival.h"
#include "server/notify/completion.h"
#include "server/notify/ioeventfd.h"
#include "server/notify/irqfd.h"
#include "server/processes/registration.h"
#include "server/restart/adoption.h"
#include "server/restart/journal.h"
#include "server/threads/residence.h"
#include "server/topology.h"
#include "server/vm_client.h"
#include "server/vm_hsm.h"
#include "server/vm_source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int call_device(struct vm *vm, struct poller *poller, void (*function)(void *context),
                       void *context)
{
    int result = poller_call(poller, function, context, VM_CALL_TIMEOUT_NS);
    if (result == -EINPROGRESS && !vm->is_stuck) {
        vm->is_stuck = true;
        log_error("vm %s: a device hangs in its reset; the VM is out of service until a restart",
                  vm->name);
    }
    return result;
}

static void open_page(void *context)
{
    struct vm *vm = context;
    page_open(vm->page, vm->source.slots);
    if (vm->state != VM_RUNNING)
        page_pause(vm->page);
}

#define SETTLING_TURNS 1000000u /* pauses, some tens of milliseconds */

static void close_page(void *context)
{
    struct vm *vm = context;
    page_pause(vm->page);
    if (vm_has_device(vm)) /* who asked is still there */
        page_settle_all(vm->page);
    page_close(vm->page);
}

static void pause_page(void *context)
{
    page_pause(((struct vm *)context)->page);
}

static void resume_page(void *context)
{
    page_resume(((struct vm *)context)->page);
}

static void begin_clearing(void *context)
{
    page_set_clearing(((struct vm *)context)->page, true);
}

static void end_clearing(void *context)
{
    page_set_clearing(((struct vm *)context)->page, false);
}

static void abandon_settled(void *context)
{
    page_abandon_settled(((struct vm *)context)->page);
}

static void reset_device(void *context)
{
    struct client *client = context;
    client->device->ops->reset(client->device);
    if (client->process)
        process_tell_reset(client);
}

/* ---- life -------------------------------------------------------------------------------- */

static int check_options(const struct topology *topology, const struct vm_options *options)
{
    size_t length = options->name ? strlen(options->name) : 0;
    if (length < 1 || length > CLIENT_NAME_MAX || options->vcpus < 1 ||
        options->vcpus > SLOT_COUNT || options->poller_index >= topology->poller_count)
        return -EINVAL;
    for (size_t i = 0; i < topology->vm_count; i++)
        if (strcmp(topology->vms[i]->name, options->name) == 0)
            return -EEXIST;
    return topology->vm_count == TOPOLOGY_VMS_MAX ? -ENOSPC : 0;
}

static void vm_free(struct vm *vm)
{
    if (vm->handed[0] >= 0)
        close(vm->handed[0]);
    router_destroy(vm->retired);
    router_destroy(vm->router);
    memory_free(vm->page, sizeof(*vm->page));
    free(vm);
}

int vm_create(struct topology *topology, const struct vm_options *options, struct vm **vm)
{
    int result = check_options(topology, options);
    if (result < 0)
        return result;
    struct vm *created = calloc(1, sizeof(*created));
    if (!created)
        return -ENOMEM;
    const struct topology_poller *sweeper = &topology->pollers[options->poller_index];
    snprintf(created->name, sizeof(created->name), "%s", options->name);
    created->topology = topology;
    created->poller = sweeper->poller;
    created->poller_index = options->poller_index;
    created->node = memory_node_of_cpu(sweeper->cpu);
    created->state = VM_STOPPED;
    created->has_pci = options->has_pci;
    created->clear_timeout_ns =
        options->clear_timeout_ns ? options->clear_timeout_ns : VM_CLEAR_TIMEOUT_DEFAULT_NS;
    result = vm_source_init(created, options);
    if (result < 0) {
        free(created);
        return result;
    }
    created->page = memory_allocate(sizeof(*created->page), created->node);
    result =
        created->page ? router_create(NULL, 0, created->node, &created->router, NULL) : -ENOMEM;
    if (result == 0)
        result = page_init(created->page, options->vcpus, created->router, NULL);
    if (result == 0) {
        created->page->has_pci = options->has_pci;
        created->page->wait_ticks = ticks_from_ns(options->wait_after_ns);
        adoption_place_vm(created);
        result = poller_add_page(created->poller, created->page);
    }
    if (result < 0) {
        journal_forget_vm(topology->journal, created->kept);
        vm_free(created);
        return result;
    }
    topology->vms[topology->vm_count++] = created;
    *vm = created;
    return 0;
}

static void forget_vm(struct vm *vm)
{
    struct topology *topology = vm->topology;
    for (size_t i = 0; i < topology->vm_count; i++) {
        if (topology->vms[i] != vm)
            continue;
        topology->vm_count--;
        memmove(&topology->vms[i], &topology->vms[i + 1],
                (topology->vm_count - i) * sizeof(topology->vms[0]));
        return;
    }
}

/* Those that came with the requester. */
static int release_eventfds(struct vm *vm)
{
    int result = arrival_release(vm);
    return result < 0 ? result : completion_release(vm);
}

int vm_destroy(struct vm *vm)
{
    vm_detach(vm);
    if (vm->is_detaching)
        return -ETIMEDOUT;
    while (vm->client_count > 0) {
        int result = vm_client_destroy(vm->clients[vm->client_count - 1]);
        if (result < 0)
            return result;
    }
    int result = release_eventfds(vm);
    if (result == 0)
        result = poller_remove_page(vm->poller, vm->page);
    if (result < 0)
        return result;
    ioeventfds_destroy(vm);
    irqfds_destroy(vm);
    journal_forget_vm(vm->topology->journal, vm->kept);
    forget_vm(vm);
    vm_free(vm);
    return 0;
}

/* ---- start, pause, resume ---------------------------------------------------------------- */

static int change_state(struct vm *vm, enum vm_state from, enum vm_state to,
                        void (*function)(void *context))
{
    if (vm->state != from)
        return -EINVAL;
    if (vm->is_stuck)
        return -EINPROGRESS;
    int result =
        vm->is_attached ? poller_call_brief(vm->poller, function, vm, VM_CALL_TIMEOUT_NS) : 0;
    if (result == 0)
        vm->state = to;
    return result;
}

int vm_start(struct vm *vm)
{
    int result = vm->state == VM_STOPPED ? vm_source_open(vm) : 0;
    if (result < 0)
        return result;
    return change_state(vm, VM_STOPPED, VM_RUNNING, resume_page);
}

int vm_rest(struct vm *vm)
{
    return change_state(vm, VM_RUNNING, VM_PAUSED, pause_page);
}

int vm_pause(struct vm *vm)
{
    int result = change_state(vm, VM_RUNNING, VM_PAUSED, pause_page);
    adoption_note_state(vm);
    return result;
}

int vm_resume(struct vm *vm)
{
    int result = change_state(vm, VM_PAUSED, VM_RUNNING, resume_page);
    adoption_note_state(vm);
    return result;
}

/* ---- the page ---------------------------------------------------------------------------- */

static int reset_devices(struct vm *vm)
{
    int result = 0;
    for (uint32_t i = 0; i < vm->client_count && result == 0; i++) {
        struct vm_client *client = vm->clients[i];
        if (client->client.device && client->client.device->ops->reset)
            result = call_device(vm, client->poller, reset_device, &client->client);
        registration_wake(client->registration);
    }
    return result;
}

int vm_attach(struct vm *vm, pid_t pid, int *descriptor)
{
    if (vm_has_device(vm))
        return -EOPNOTSUPP;
    if (vm->is_orphan && ticks_now() - vm->orphan_since > ticks_from_ns(ADOPTION_YIELDS_NS)) {
        vm->is_orphan = false;
        vm_detach(vm);
    }
    if (vm->is_attached)
        return -EEXIST;
    if (vm->is_stuck || vm->is_detaching)
        return -ETIMEDOUT;
    struct memory_policy policy;
    memory_policy_push(vm->node, &policy);
    char reason[SOURCE_REASON_BYTES];
    int result = page_source_open(&vm->source, vm->source_kind, NULL, NULL, reason);
    memory_policy_pop(&policy);
    if (result < 0)
        return result;
    vm->requester_pid = pid;
    adoption_note_attached(vm); /* before anybody asks for anything */
    result = reset_devices(vm);
    if (result == 0)
        result = poller_call_brief(vm->poller, open_page, vm, VM_CALL_TIMEOUT_NS);
    if (result < 0) {
        adoption_note_detached(vm);
        if (result != -EINPROGRESS)
            page_source_close(&vm->source);
        return result;
    }
    vm->is_attached = true;
    residence_tell_page(vm, memory_check_node);
    *descriptor = vm->source.descriptor;
    return 0;
}

void vm_detach_again(struct vm *vm)
{
    if (!vm->is_detaching ||
        poller_call_brief(vm->poller, close_page, vm, VM_CALL_TIMEOUT_NS) < 0 ||
        release_eventfds(vm) < 0)
        return;
    /* An external client's thread is no poller: close_page made its tickets stale, but it may be
     * between winning and writing, a handful of instructions. */
    for (uint32_t turns = 0; page_in_flight(vm->page) > 0; turns++) {
        if (turns == SETTLING_TURNS)
            return; /* tried again by the second */
        ticks_pause();
    }
    adoption_note_detached(vm);
    vm_hsm_disconnect(vm);
    page_source_close(&vm->source);
    vm->is_detaching = false;
}

void vm_detach(struct vm *vm)
{
    if (!vm->is_attached)
        return;
    vm->is_attached = false;
    vm->is_detaching = true;
    vm_detach_again(vm);
    if (vm->is_detaching)
        log_warning("vm %s: a poller does not answer; its page is let go when it does", vm->name);
}

/* ---- reset ------------------------------------------------------------------------------- */

int vm_clear_begin(struct vm *vm)
{
    if (vm->is_stuck)
        return -EINPROGRESS;
    if (vm->is_clearing)
        return 0;
    int result = poller_call_brief(vm->poller, begin_clearing, vm, VM_CALL_TIMEOUT_NS);
    if (result < 0)
        return result;
    vm->is_clearing = true;
    vm->is_driver_cleared = false;
    vm->clear_settled = 0;
    vm->clear_retry_ticks = 0;
    vm->clear_deadline_ticks = ticks_now() + ticks_from_ns(vm->clear_timeout_ns);
    return 0;
}

int vm_reset_begin(struct vm *vm)
{
    int result = vm_clear_begin(vm);
    if (result == 0)
        vm->resets_devices = true;
    return result;
}

/* Nothing of before is in flight any more. */
static int finish_clear(struct vm *vm)
{
    /* No device is asked for what was settled. And a slot that was asked again before its record was
     * closed is passed over by that sweep: one more round answers it while the clear still lasts. */
    int result = poller_call_brief(vm->poller, abandon_settled, vm, VM_CALL_TIMEOUT_NS);
    if (result == 0 && vm->resets_devices)
        result = reset_devices(vm);
    if (result == 0)
        result = poller_call_brief(vm->poller, end_clearing, vm, VM_CALL_TIMEOUT_NS);
    if (result < 0) {
        /* The poller does not answer: the clear lasts until it does, asked again by the second. */
        vm->clear_retry_ticks = ticks_now() + ticks_per_second();
        return result;
    }
    vm->is_clearing = false;
    vm->resets_devices = false;
    return vm->clear_settled;
}

int vm_clear_poll(struct vm *vm)
{
    if (!vm->is_clearing)
        return vm->clear_result;
    uint64_t now = ticks_now();
    if (now < vm->clear_retry_ticks ||
        (page_in_flight(vm->page) > 0 && now < vm->clear_deadline_ticks))
        return -EAGAIN;
    vm->clear_settled += (int)page_settle_all(vm->page);
    /* Somebody else may have won a slot and not written it yet: a handful of instructions. */
    if (page_in_flight(vm->page) > 0 || vm_hsm_clear(vm) == -EAGAIN)
        return -EAGAIN;
    vm->clear_result = finish_clear(vm);
    return vm->clear_result;
}

static int wait_for_clear(struct vm *vm)
{
    int result;
    while ((result = vm_clear_poll(vm)) == -EAGAIN) {
        struct timespec pause = {.tv_nsec = 20000};
        nanosleep(&pause, NULL);
    }
    return result;
}

int vm_clear(struct vm *vm)
{
    int result = vm_clear_begin(vm);
    return result < 0 ? result : wait_for_clear(vm);
}

int vm_reset(struct vm *vm)
{
    int result = vm_reset_begin(vm);
    return result < 0 ? result : wait_for_clear(vm);
}
