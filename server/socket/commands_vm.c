/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands that are about a VM as a whole: who plays its hypervisor, and its states. */
#include "server/socket/commands_internal.h"

#include "server/log.h"
#include "server/notify/arrival.h"
#include "server/restart/adoption.h"
#include "server/restart/keeper.h"
#include "server/restart/remake.h"
#include "server/status.h"
#include "server/vm_hsm.h"

#include <errno.h>

struct command_reply command_attach(const struct call *call)
{
    struct command_reply reply;
    struct vm *vm = command_find_vm(call, &reply);
    if (!vm)
        return reply;
    int descriptor = -1;
    int result = vm_hsm_is_handed(vm)    ? vm_hsm_attach(vm, call->pid, call->descriptor)
                 : call->descriptor >= 0 ? adoption_return(vm, call->descriptor, call->pid)
                                         : vm_attach(vm, call->pid, &descriptor);
    if (result == -ENOTCONN)
        return command_error(ENOTCONN, "expected hsm-device %s with /dev/acrn_hsm before",
                             vm->name);
    if (result == -EOPNOTSUPP)
        return command_error(EOPNOTSUPP,
                             "VM %s has its page from %s (source: %s), nobody attaches to it",
                             vm->name, vm->device, vm->source_kind->name);
    if (result == -ESTALE)
        return command_error(ESTALE, "that is not the page of VM %s", vm->name);
    if (result == -EEXIST)
        return command_error(EEXIST, "process %d plays the hypervisor of VM %s already",
                             (int)vm->requester_pid, vm->name);
    if (result < 0)
        return command_reply_result(result, vm->name);
    reply = command_reply_text("ok vcpus=%u poller_cpu=%u waits=%u kept=%u\n", vm->page->vcpu_count,
                               call->context->topology->pollers[vm->poller_index].cpu,
                               arrival_is_wanted(vm), keeper_is_there());
    reply.descriptor = descriptor;
    reply.attached = vm;
    log_info("vm %s: requester pid %d %s", vm->name, (int)call->pid,
             call->descriptor >= 0 ? "is back" : "attached");
    return reply;
}

/* With a descriptor: the device of a VM that is handed over; without: that of one that we created. */
struct command_reply command_hsm_device(const struct call *call)
{
    struct command_reply reply;
    struct vm *vm = command_find_vm(call, &reply);
    if (!vm)
        return reply;
    if (call->descriptor >= 0) {
        int result = vm_hsm_take_device(vm, call->descriptor);
        return result == -EINVAL
                   ? command_error(EINVAL,
                                   "VM %s: expected hsm_vm: handed_over in its configuration",
                                   vm->name)
                   : command_reply_result(result, vm->name);
    }
    int device = vm_hsm_lend(vm);
    if (device < 0)
        return command_error(ENODEV,
                             "VM %s: expected source: hsm with hsm_vm: created, or an open "
                             "/dev/acrn_hsm with this line",
                             vm->name);
    reply = command_reply_text("ok vm_id=%u\n", vm_hsm_id(vm));
    reply.descriptor = device;
    return reply;
}

/* A VM must be in that state, or its state does not matter: NULL. */
static struct command_reply with_vm(const struct call *call, int (*operation)(struct vm *vm),
                                    const char *state)
{
    struct command_reply reply;
    struct vm *vm = command_find_vm(call, &reply);
    int result = vm ? operation(vm) : 0;
    if (result == -EINVAL && state)
        return command_error(EINVAL, "VM %s is %s; expected a %s one", vm->name,
                             status_vm_state(vm), state);
    return vm ? command_reply_result(result, call->arguments[0]) : reply;
}

struct command_reply command_vm_start(const struct call *call)
{
    struct command_reply reply = with_vm(call, vm_start, "stopped");
    if (command_reply_is_ok(&reply))
        command_note_start(call, call->arguments[0]);
    return reply;
}

struct command_reply command_vm_pause(const struct call *call)
{
    return with_vm(call, vm_pause, "running");
}

struct command_reply command_vm_resume(const struct call *call)
{
    return with_vm(call, vm_resume, "paused");
}

struct command_reply command_vm_destroy(const struct call *call)
{
    struct command_reply reply = with_vm(call, vm_destroy, NULL);
    if (command_reply_is_ok(&reply))
        remake_note_vm_end(call->context->topology, call->arguments[0]);
    return reply;
}

static struct command_reply clear_with(const struct call *call, int (*begin)(struct vm *vm))
{
    struct command_reply reply;
    struct vm *vm = command_find_vm(call, &reply);
    if (!vm)
        return reply;
    int result = call->is_poll ? 0 : begin(vm);
    if (result == 0)
        result = vm_clear_poll(vm);
    if (result == -EAGAIN)
        return command_reply_pending();
    return result < 0 ? command_reply_result(result, vm->name)
                      : command_reply_text("ok completed=%d\n", result);
}

struct command_reply command_vm_clear(const struct call *call)
{
    return clear_with(call, vm_clear_begin);
}

struct command_reply command_vm_reset(const struct call *call)
{
    return clear_with(call, vm_reset_begin);
}
