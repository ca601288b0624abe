/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/notify/arrival.h"

#include "pollers/poller_wait.h"
#include "server/topology.h"

#include <errno.h>

/* A change of a VM's upcall, on its poller, which makes no system call but io_uring's. */
struct change {
    struct vm *vm;
    uint32_t index;
    int result;
};

static struct poller_wait *wait_of(const struct vm *vm)
{
    return vm->topology->pollers[vm->poller_index].wait;
}

bool arrival_is_wanted(const struct vm *vm)
{
    return wait_of(vm) && vm->page->wait_ticks;
}

static void begin(void *context)
{
    struct change *change = context;
    poller_wait_begin(wait_of(change->vm), change->index);
    change->vm->page->upcall = change->index;
}

static void end(void *context)
{
    struct change *change = context;
    change->index = change->vm->page->upcall;
    change->result = poller_wait_end(wait_of(change->vm), change->index);
    if (change->result == 0)
        change->vm->page->upcall = 0;
}

int arrival_assign(struct vm *vm, const struct upcall *upcall)
{
    struct change change = {.vm = vm};
    if (!arrival_is_wanted(vm))
        return -EOPNOTSUPP;
    if (vm->has_upcall)
        return -EEXIST;
    int result = poller_wait_add(wait_of(vm), upcall, &change.index);
    if (result < 0)
        return result;
    result = poller_call_brief(vm->poller, begin, &change, VM_CALL_TIMEOUT_NS);
    if (result < 0)
        poller_wait_remove(wait_of(vm), change.index);
    else
        vm->has_upcall = true;
    return result;
}

int arrival_release(struct vm *vm)
{
    struct change change = {.vm = vm};
    if (!vm->has_upcall)
        return 0;
    int result = poller_call_brief(vm->poller, end, &change, VM_CALL_TIMEOUT_NS);
    if (result == 0)
        result = change.result;
    if (result < 0)
        return result;
    poller_wait_remove(wait_of(vm), change.index);
    vm->has_upcall = false;
    return 0;
}
