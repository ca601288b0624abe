/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/notify/irqfd.h"

#include "server/notify/eventfd.h"
#include "server/vm_hsm.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

struct irqfd {
    uint32_t id; /* names it to the requester; never used twice in a VM's life */
    int descriptor;
    uint64_t eventfd_id;
    struct irqfd_route route;
};

struct irqfds {
    uint32_t last_id;
    uint32_t count;
    struct irqfd entries[IRQFDS_MAX];
};

static void tell_assigned(struct requester_link *link, const struct irqfd *irqfd)
{
    const struct irqfd_route *route = &irqfd->route;
    char line[IRQFD_LINE_BYTES];
    if (route->kind != IRQFD_MSI)
        snprintf(line, sizeof(line), "irqfd assign %" PRIu32 " %s %" PRIu32, irqfd->id,
                 route->kind == IRQFD_LEVEL ? "level" : "line", route->gsi);
    else
        snprintf(line, sizeof(line), "irqfd assign %" PRIu32 " msi 0x%" PRIx64 " 0x%" PRIx32,
                 irqfd->id, route->address, route->data);
    link->send(link, line, irqfd->descriptor);
    if (route->kind != IRQFD_LEVEL)
        return;
    snprintf(line, sizeof(line), "irqfd resample %" PRIu32, irqfd->id);
    link->send(link, line, route->resample);
}

static void irqfd_close(struct irqfd *irqfd)
{
    close(irqfd->descriptor);
    if (irqfd->route.kind == IRQFD_LEVEL)
        close(irqfd->route.resample);
}

static struct irqfd *find(const struct vm *vm, uint64_t eventfd_id)
{
    for (uint32_t i = 0; vm->irqfds && i < vm->irqfds->count; i++)
        if (vm->irqfds->entries[i].eventfd_id == eventfd_id)
            return &vm->irqfds->entries[i];
    return NULL;
}

static bool is_route_valid(const struct irqfd_route *route)
{
    return route->kind == IRQFD_MSI || ((route->kind == IRQFD_GSI || route->kind == IRQFD_LEVEL) &&
                                        route->gsi <= IRQFD_LINE_LAST);
}

int vm_irqfd_assign(struct vm *vm, int descriptor, const struct irqfd_route *route)
{
    uint64_t eventfd_id;
    if (!is_route_valid(route))
        return -EINVAL;
    int result = eventfd_identify(descriptor, &eventfd_id);
    if (result < 0)
        return result;
    if (find(vm, eventfd_id))
        return -EBUSY;
    if (!vm->irqfds)
        vm->irqfds = calloc(1, sizeof(*vm->irqfds));
    if (!vm->irqfds)
        return -ENOMEM;
    if (vm->irqfds->count == IRQFDS_MAX)
        return -ENOSPC;
    if (vm_has_hsm(vm) && route->kind != IRQFD_MSI)
        return -EOPNOTSUPP;
    int duplicate = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
    if (duplicate < 0)
        return -errno;
    struct irqfd *irqfd = &vm->irqfds->entries[vm->irqfds->count];
    *irqfd = (struct irqfd){vm->irqfds->last_id + 1, duplicate, eventfd_id, *route};
    if (route->kind == IRQFD_LEVEL &&
        (irqfd->route.resample = fcntl(route->resample, F_DUPFD_CLOEXEC, 0)) < 0)
        result = -errno;
    else
        result = vm_has_hsm(vm) ? vm_hsm_irqfd(vm, duplicate, route, true) : 0;
    if (result < 0) {
        close(duplicate);
        return result;
    }
    vm->irqfds->last_id++;
    vm->irqfds->count++;
    if (vm->link && !vm_has_hsm(vm))
        tell_assigned(vm->link, irqfd);
    return 0;
}

static void tell(const struct vm *vm, const char *what, const struct irqfd *irqfd)
{
    char line[IRQFD_LINE_BYTES];
    if (!vm->link)
        return;
    snprintf(line, sizeof(line), "irqfd %s %" PRIu32, what, irqfd->id);
    vm->link->send(vm->link, line, -1);
}

int vm_irqfd_lower(const struct vm *vm, int descriptor)
{
    uint64_t eventfd_id;
    int result = eventfd_identify(descriptor, &eventfd_id);
    if (result < 0)
        return result;
    struct irqfd *irqfd = find(vm, eventfd_id);
    if (!irqfd)
        return -ENOENT;
    tell(vm, "lower", irqfd);
    return 0;
}

int vm_irqfd_deassign(struct vm *vm, int descriptor)
{
    uint64_t eventfd_id;
    int result = eventfd_identify(descriptor, &eventfd_id);
    if (result < 0)
        return result;
    struct irqfd *irqfd = find(vm, eventfd_id);
    if (!irqfd)
        return -ENOENT;
    if (vm_has_hsm(vm))
        vm_hsm_irqfd(vm, irqfd->descriptor, &irqfd->route, false);
    else
        tell(vm, "deassign", irqfd);
    irqfd_close(irqfd);
    *irqfd = vm->irqfds->entries[--vm->irqfds->count];
    return 0;
}

void vm_irqfds_give(struct vm *vm, bool is_assigned)
{
    for (uint32_t i = 0; vm->irqfds && i < vm->irqfds->count; i++)
        vm_hsm_irqfd(vm, vm->irqfds->entries[i].descriptor, &vm->irqfds->entries[i].route,
                     is_assigned);
}

uint32_t vm_irqfd_count(const struct vm *vm)
{
    return vm->irqfds ? vm->irqfds->count : 0;
}

void vm_link_requester(struct vm *vm, struct requester_link *link)
{
    vm->link = link;
    if (vm_has_hsm(vm))
        return;
    for (uint32_t i = 0; vm->irqfds && i < vm->irqfds->count; i++)
        tell_assigned(link, &vm->irqfds->entries[i]);
}

void vm_unlink_requester(struct vm *vm)
{
    vm->link = NULL;
}

void irqfds_destroy(struct vm *vm)
{
    if (vm->link)
        vm->link->end(vm->link);
    vm->link = NULL;
    for (uint32_t i = 0; vm->irqfds && i < vm->irqfds->count; i++)
        irqfd_close(&vm->irqfds->entries[i]);
    free(vm->irqfds);
    vm->irqfds = NULL;
}
