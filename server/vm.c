/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/vm.h"

#include "server/log.h"

#include <errno.h>

static void reset_device(void *context)
{
    struct device *device = ((struct client *)context)->device;
    device->ops->reset(device);
}

static void open_page(void *context)
{
    struct vm *vm = context;
    page_open(vm->page, vm->source.slots);
}

static void close_page(void *context)
{
    page_close(((struct vm *)context)->page);
}

static void pause_page(void *context)
{
    page_pause(((struct vm *)context)->page);
}

static int call(struct vm *vm, struct poller *poller, void (*function)(void *context),
                void *context)
{
    int result = poller_call(poller, function, context, VM_CALL_TIMEOUT_NS);
    if (result < 0 && !vm->is_stuck) {
        vm->is_stuck = true;
        log_error("vm %s: a poller does not answer; the VM is out of service until a restart",
                  vm->name);
    }
    return result;
}

int vm_attach(struct vm *vm, pid_t pid, int *descriptor)
{
    if (vm->requester_pid)
        return -EBUSY;
    if (vm->is_stuck)
        return -ETIMEDOUT;
    int result = source_memfd_open(&vm->source);
    if (result < 0)
        return result;
    for (size_t i = 0; i < vm->client_count && result == 0; i++)
        result = call(vm, vm->clients[i].poller, reset_device, &vm->clients[i].client);
    if (result == 0)
        result = call(vm, vm->poller, open_page, vm);
    if (result < 0)
        return result; /* stuck: the mapping stays, since the command may still run */
    vm->requester_pid = pid;
    *descriptor = vm->source.descriptor;
    return 0;
}

static void nothing(void *context)
{
    (void)context;
}

void vm_detach(struct vm *vm)
{
    if (!vm->requester_pid)
        return;
    vm->requester_pid = 0;
    if (call(vm, vm->poller, close_page, vm) < 0)
        return;
    /* A quiescent point of every poller that may still be answering on this page. */
    for (size_t i = 0; i < vm->client_count; i++)
        if (vm->clients[i].poller != vm->poller &&
            call(vm, vm->clients[i].poller, nothing, NULL) < 0)
            return;
    source_memfd_close(&vm->source);
}

int vm_pause(struct vm *vm)
{
    return vm->requester_pid ? call(vm, vm->poller, pause_page, vm) : 0;
}
