/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/vm_hsm.h"

#include "server/log.h"
#include "server/notify/interrupt.h"
#include "server/restart/keeper.h"
#include "server/sources/hsm_device.h"
#include "server/vm_source.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct hsm *vm_hsm_driver(const struct vm *vm)
{
    return vm->source.kind == &source_hsm ? vm->source.state : NULL;
}

bool vm_has_hsm(const struct vm *vm)
{
    return vm->source_kind == &source_hsm;
}

bool vm_hsm_is_handed(const struct vm *vm)
{
    return vm->source_kind == &source_hsm && vm->place.hsm_vm == CONFIG_HSM_VM_HANDED_OVER;
}

int vm_hsm_take_device(struct vm *vm, int device)
{
    if (!vm_hsm_is_handed(vm))
        return -EINVAL;
    if (vm->is_attached || vm->is_detaching)
        return -EEXIST;
    int duplicate = fcntl(device, F_DUPFD_CLOEXEC, 0);
    if (duplicate < 0)
        return -errno;
    if (vm->handed[0] >= 0)
        close(vm->handed[0]);
    vm->handed[0] = duplicate;
    return 0;
}

int vm_hsm_attach(struct vm *vm, pid_t pid, int page)
{
    if (vm->is_attached)
        return -EEXIST;
    if (page < 0)
        return -EBADF;
    if (vm->handed[0] < 0)
        return -ENOTCONN;
    vm->handed[1] = page;
    int result = vm_source_open(vm);
    vm->handed[1] = -1;
    if (result < 0) /* EEXIST here is the driver's: the log says who */
        return result == -EEXIST ? -EBUSY : result;
    close(vm->handed[0]);
    vm->handed[0] = -1;
    vm->requester_pid = pid;
    return 0;
}

int vm_hsm_lend(const struct vm *vm)
{
    struct hsm *hsm = vm_hsm_driver(vm);
    return hsm && hsm_is_ours(hsm) ? hsm_descriptor(hsm) : -ENODEV;
}

uint32_t vm_hsm_id(const struct vm *vm)
{
    struct hsm *hsm = vm_hsm_driver(vm);
    return hsm ? hsm_vm_id(hsm) : 0;
}

void vm_hsm_connect(struct vm *vm)
{
    struct hsm *hsm = vm_hsm_driver(vm);
    /* The command that opens the page shows these to its poller. */
    vm->page->has_driver = hsm != NULL;
    vm->page->is_direct = hsm && hsm_is_direct(hsm);
    if (!hsm)
        return;
    hsm_set_page(hsm, vm->page);
    vm_irqfds_give(vm, true);
    interrupts_give(vm, hsm);
}

void vm_hsm_disconnect(struct vm *vm)
{
    if (!vm_hsm_driver(vm))
        return;
    vm_irqfds_give(vm, false);
    interrupts_give(vm, NULL);
}

/* ---- what outlives us -------------------------------------------------------------------- */

static bool is_created_by_us(const struct vm *vm)
{
    return vm->source_kind == &source_hsm && vm->place.hsm_vm == CONFIG_HSM_VM_CREATED;
}

static void name_kept(const struct vm *vm, size_t index, char name[KEEPER_NAME_BYTES])
{
    static const char *const prefixes[] = {"hsm-device-", "hsm-page-"};
    snprintf(name, KEEPER_NAME_BYTES, "%s%s", prefixes[index], vm->name);
}

void vm_hsm_take_kept(struct vm *vm)
{
    char name[KEEPER_NAME_BYTES];
    for (size_t i = 0; i < 2 && is_created_by_us(vm); i++) {
        name_kept(vm, i, name);
        vm->handed[i] = keeper_take(name);
    }
}

bool vm_hsm_has_kept(const struct vm *vm)
{
    return is_created_by_us(vm) && (vm->handed[0] >= 0 || vm->handed[1] >= 0);
}

void vm_hsm_drop_kept(struct vm *vm)
{
    for (size_t i = 0; i < 2; i++) {
        if (vm->handed[i] >= 0)
            close(vm->handed[i]);
        vm->handed[i] = -1;
    }
}

void vm_hsm_keep(const struct vm *vm)
{
    char name[KEEPER_NAME_BYTES];
    const struct hsm *hsm = vm_hsm_driver(vm);
    if (!hsm || !hsm_is_ours(hsm))
        return;
    const int descriptors[2] = {hsm_descriptor(hsm), hsm_page(hsm)};
    for (size_t i = 0; i < 2; i++) {
        name_kept(vm, i, name);
        keeper_store(name, descriptors[i]); /* what it has is stored once */
    }
}

void vm_hsm_forget(const struct vm *vm)
{
    char name[KEEPER_NAME_BYTES];
    for (size_t i = 0; i < 2 && is_created_by_us(vm); i++) {
        name_kept(vm, i, name);
        keeper_forget(name);
    }
}

/* ---- interrupts and doorbells ------------------------------------------------------------ */

int vm_hsm_ioeventfd(struct vm *vm, const struct ioeventfd_options *options, bool is_assigned)
{
    struct hsm *hsm = vm_hsm_driver(vm);
    if (!vm_has_hsm(vm))
        return -EOPNOTSUPP;
    if (!hsm)
        return -ENOTCONN;
    if (options->type != REQUEST_PORTIO && options->type != REQUEST_MMIO)
        return -EINVAL;
    const struct hsm_doorbell doorbell = {
        .descriptor = options->descriptor,
        .is_port = options->type == REQUEST_PORTIO,
        .address = options->address,
        .length_bytes = options->length_bytes,
        .has_datamatch = options->has_datamatch,
        .data = options->data,
    };
    return hsm_doorbell(hsm, &doorbell, is_assigned);
}

int vm_hsm_irqfd(struct vm *vm, int descriptor, const struct irqfd_route *route, bool is_assigned)
{
    struct hsm *hsm = vm_hsm_driver(vm);
    return hsm ? hsm_interrupt_by(hsm, descriptor, route->address, route->data, is_assigned) : 0;
}

/* ---- the end, and resets ----------------------------------------------------------------- */

void vm_hsm_lose(struct vm *vm, const char *reason)
{
    log_error("vm %s: source hsm: %s; it is served again once it is handed over anew", vm->name,
              reason);
    vm_detach(vm);
    if (vm->link) /* the device model hears of it by its connection's end */
        vm->link->end(vm->link);
    vm->link = NULL;
}

int vm_hsm_clear(struct vm *vm)
{
    struct hsm *hsm = vm_hsm_driver(vm);
    if (!hsm || vm->is_driver_cleared)
        return 0;
    int result = hsm_clear_begin(hsm);
    if (result == 0)
        result = hsm_clear_poll(hsm);
    vm->is_driver_cleared = result != -EAGAIN;
    if (result < 0 && result != -EAGAIN)
        log_warning("vm %s: the driver does not clear: %s", vm->name, strerror(-result));
    return result == -EAGAIN ? -EAGAIN : 0;
}
