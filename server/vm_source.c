/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/vm_source.h"

#include "server/log.h"
#include "server/notify/arrival.h"
#include "server/notify/completion.h"
#include "server/restart/adoption.h"
#include "server/sources/lost_page.h"
#include "server/vm_hsm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int vm_source_init(struct vm *vm, const struct vm_options *options)
{
    vm->source = (struct page_source){.descriptor = -1};
    vm->source_kind = options->source ? options->source : &source_memfd;
    vm->source_root = options->source_root;
    vm->handed[0] = vm->handed[1] = -1;
    if (vm->source_kind->is_ours)
        return 0;
    vm->place = *options->place;
    int length = snprintf(vm->device, sizeof(vm->device), "%s", options->place->device);
    vm->place.device = vm->device;
    return length < 0 || (size_t)length >= sizeof(vm->device) ? -EINVAL : 0;
}

bool vm_has_source(const struct vm *vm, const struct config_vm *config)
{
    const struct config_place *a = &vm->place, *b = &config->place;
    if (vm->source_kind != page_source_kind(config->source))
        return false;
    return !vm_has_device(vm) ||
           (strcmp(a->device, b->device) == 0 && a->map == b->map &&
            a->offset_bytes == b->offset_bytes && a->interrupt == b->interrupt &&
            a->vector == b->vector && a->notify_by == b->notify_by &&
            a->notify_map == b->notify_map && a->notify_offset_bytes == b->notify_offset_bytes &&
            a->notify_value == b->notify_value && a->notify_step == b->notify_step &&
            a->hsm_vm == b->hsm_vm && a->direct == b->direct);
}

bool vm_has_device(const struct vm *vm)
{
    return !vm->source_kind->is_ours;
}

struct opening {
    struct vm *vm;
    uint32_t abandoned;
};

static void open_page(void *context)
{
    struct opening *opening = context;
    struct vm *vm = opening->vm;
    if (!adoption_open_page(vm))
        opening->abandoned = page_open_registered(vm->page, vm->source.slots);
    if (vm->state != VM_RUNNING)
        page_pause(vm->page);
}

static void say_node(const struct vm *vm)
{
    if (vm->source.node >= 0 && vm->node >= 0 && vm->source.node != vm->node)
        log_warning(
            "vm %s: %s is on NUMA node %d, its poller on node %d: every look at the page crosses "
            "nodes; give the poller a CPU of node %d",
            vm->name, vm->device, vm->source.node, vm->node, vm->source.node);
}

static int say_stopped(const struct vm *vm, int result, const char *reason)
{
    log_error("vm %s: source %s: %s; the VM is stopped, then: ioreqctl start %s", vm->name,
              vm->source_kind->name, reason, vm->name);
    return result;
}

/* How arrival and COMPLETE are told, before the first request. */
static int connect_device(struct vm *vm, char *reason)
{
    const struct page_source_kind *kind = vm->source_kind;
    int result = 0;
    for (uint32_t vcpu = 0; kind->notify && result == 0 && vcpu < vm->page->vcpu_count; vcpu++) {
        struct notify_target target;
        result = kind->notify(&vm->source, vcpu, &target, reason);
        if (result == 0 && (result = completion_assign(vm, vcpu, &target)) < 0)
            snprintf(reason, SOURCE_REASON_BYTES, "vCPU %u cannot be notified: %s", vcpu,
                     strerror(-result));
    }
    if (result < 0 && result != -EOPNOTSUPP)
        return result;
    struct upcall upcall;
    result = kind->upcall && arrival_is_wanted(vm) ? kind->upcall(&vm->source, &upcall, reason)
                                                   : -EOPNOTSUPP;
    if (result == 0 && (result = arrival_assign(vm, &upcall)) < 0)
        snprintf(reason, SOURCE_REASON_BYTES, "its interrupt cannot be waited for: %s",
                 strerror(-result));
    return result == -EOPNOTSUPP ? 0 : result;
}

static int open_handed(struct vm *vm, char *reason)
{
    return page_source_open_handed(&vm->source, vm->source_kind, &vm->place, vm->handed,
                                   vm->source_root, reason);
}

int vm_source_open(struct vm *vm)
{
    char reason[SOURCE_REASON_BYTES] = "";
    if (vm->is_attached || !vm_has_device(vm))
        return 0;
    if (vm->is_stuck || vm->is_detaching)
        return -ETIMEDOUT;
    if (vm_hsm_is_handed(vm) && vm->handed[1] < 0)
        return 0; /* until it is */
    bool was_kept = vm_hsm_has_kept(vm);
    int result = open_handed(vm, reason);
    if (was_kept)
        vm_hsm_drop_kept(vm);
    if (was_kept && result < 0) {
        log_error("vm %s: its VM of an earlier ioreqd is lost, another one is created: %s",
                  vm->name, reason);
        vm_hsm_forget(vm);
        result = open_handed(vm, reason);
    }
    if (result < 0)
        return say_stopped(vm, result, reason);
    vm_hsm_keep(vm); /* before its first request */
    vm_hsm_connect(vm);
    vm->is_attached = true; /* from here on what was begun is undone by vm_detach */
    vm->requester_pid = 0;
    struct opening opening = {.vm = vm};
    result = connect_device(vm, reason);
    if (result == 0) {
        result = poller_call_brief(vm->poller, open_page, &opening, VM_CALL_TIMEOUT_NS);
        snprintf(reason, sizeof(reason), "%s", strerror(-result));
    }
    if (result < 0) {
        say_stopped(vm, result, reason);
        vm_detach(vm);
        return result;
    }
    say_node(vm);
    if (opening.abandoned)
        log_warning("vm %s: %u requests were left behind by an earlier server; answered all-ones",
                    vm->name, opening.abandoned);
    log_info("vm %s: page of %s taken (source %s)", vm->name, vm->device, vm->source_kind->name);
    return 0;
}

static void stop(struct vm *vm, const char *reason)
{
    if (vm_hsm_is_handed(vm)) {
        vm_hsm_lose(vm, reason);
        return;
    }
    vm->state = VM_STOPPED;
    say_stopped(vm, 0, reason);
    vm_detach(vm);
}

void vm_source_poll(struct vm *vm)
{
    char reason[SOURCE_REASON_BYTES];
    if (vm->is_attached && lost_page_is_lost(vm->source.lost) &&
        page_source_check(&vm->source, reason) < 0)
        stop(vm, reason);
}

void vm_source_tick(struct vm *vm)
{
    char reason[SOURCE_REASON_BYTES];
    if (vm->is_attached && page_source_check(&vm->source, reason) < 0)
        stop(vm, reason);
}
