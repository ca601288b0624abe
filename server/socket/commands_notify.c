/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands by which the requester of a memfd page brings its eventfds: for COMPLETE and for arrival. */
#include "server/notify/arrival.h"
#include "server/notify/completion.h"
#include "server/notify/eventfd.h"
#include "server/socket/commands_internal.h"
#include "server/vm_source.h"

#include <errno.h>

/* A VM whose requester is there: what it brings goes with it. NULL with *reply filled. */
static struct vm *find_attached(const struct call *call, struct command_reply *reply)
{
    struct vm *vm = command_find_vm(call, reply);
    if (vm && vm_has_device(vm)) {
        *reply =
            command_error(EOPNOTSUPP, "VM %s has its page from source %s, which tells by itself",
                          vm->name, vm->source_kind->name);
        return NULL;
    }
    if (!vm || vm->is_attached)
        return vm;
    *reply = command_error(EINVAL, "nobody plays the hypervisor of VM %s; expected attach first",
                           vm->name);
    return NULL;
}

struct command_reply command_notify_assign(const struct call *call)
{
    struct command_reply reply;
    uint64_t vcpu;
    struct vm *vm = find_attached(call, &reply);
    if (!vm)
        return reply;
    if (!command_read_number(call->arguments[1], &vcpu) || vcpu >= vm->page->vcpu_count)
        return command_error(EINVAL, "VM %s has no vCPU %.20s; expected a number from 0 to %u",
                             vm->name, call->arguments[1], vm->page->vcpu_count - 1);
    const struct notify_target target = {.kind = NOTIFY_EVENTFD, .descriptor = call->descriptor};
    int result = completion_assign(vm, (uint32_t)vcpu, &target);
    if (result == -EINVAL || result == -EBADF)
        return command_error(-result, "expected an eventfd with O_NONBLOCK along with the line");
    return command_reply_result(result, vm->name);
}

struct command_reply command_upcall_assign(const struct call *call)
{
    struct command_reply reply;
    struct vm *vm = find_attached(call, &reply);
    if (!vm)
        return reply;
    uint64_t id;
    if (eventfd_identify(call->descriptor, &id) < 0)
        return command_error(EINVAL, "expected an eventfd along with the line");
    const struct upcall upcall = {.descriptor = call->descriptor,
                                  .read_bytes = UPCALL_EVENTFD_BYTES};
    int result = arrival_assign(vm, &upcall);
    if (result == -EOPNOTSUPP)
        return command_error(EOPNOTSUPP, "the poller of VM %s never waits (key wait_after)",
                             vm->name);
    if (result == -EINVAL || result == -EBADF)
        return command_error(-result, "expected an eventfd along with the line");
    return command_reply_result(result, vm->name);
}
