/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/reload.h"

#include "pollers/ticks.h"
#include "server/budgets.h"
#include "server/devices/service.h"
#include "server/log.h"
#include "server/processes/launcher.h"
#include "server/restart/remake.h"
#include "server/vm_client.h"
#include "server/vm_source.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- what is the same -------------------------------------------------------------------- */

static bool text_is_same(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool values_are_same(const struct config_option *options, size_t count,
                            const struct config_value *a, const struct config_value *b)
{
    for (size_t i = 0; i < count; i++) {
        if (a[i].number != b[i].number || !text_is_same(a[i].string, b[i].string) ||
            a[i].record_count != b[i].record_count)
            return false;
        for (size_t k = 0; k < a[i].record_count; k++)
            if (!values_are_same(options[i].fields, options[i].field_count, a[i].records[k],
                                 b[i].records[k]))
                return false;
    }
    return true;
}

static bool is_default(const struct config *config, size_t client_index)
{
    return config->vms[config->clients[client_index].vm].default_client == client_index;
}

/* Where the old configuration describes that client of that VM, or -1. */
static ptrdiff_t find_old(const struct config *old, const char *vm, const char *client)
{
    for (size_t i = 0; i < old->client_count; i++)
        if (text_is_same(old->clients[i].name, client) &&
            text_is_same(old->vms[old->clients[i].vm].name, vm))
            return (ptrdiff_t)i;
    return -1;
}

static bool interrupt_is_same(const struct config_client_interrupt *from,
                              const struct config_client_interrupt *to)
{
    return from->kind == to->kind && from->line == to->line && from->address == to->address &&
           from->data == to->data;
}

/* True if the running client is what the next file says, ranges apart. */
static bool client_is_same(const struct reload *reload, const struct config *next, size_t index)
{
    const struct config *old = reload->current;
    const struct config_client *to = &next->clients[index];
    ptrdiff_t place = find_old(old, next->vms[to->vm].name, to->name);
    if (place < 0)
        return false;
    const struct config_client *from = &old->clients[place];
    const struct config_device_kind *kind = &reload->kinds[to->device];
    return from->device == to->device && from->poller == to->poller &&
           from->broken_after == to->broken_after && from->deadline_ns == to->deadline_ns &&
           from->late == to->late && from->late_value == to->late_value &&
           interrupt_is_same(&from->interrupt, &to->interrupt) &&
           is_default(old, (size_t)place) == is_default(next, index) &&
           values_are_same(kind->options, kind->option_count, from->values, to->values);
}

static bool pollers_are_same(struct config *next, const struct config *first)
{
    bool same = next->poller_count == first->poller_count;
    for (size_t i = 0; same && i < first->poller_count; i++) {
        const struct config_poller *a = &next->pollers[i], *b = &first->pollers[i];
        same = text_is_same(a->name, b->name) && a->cpu == b->cpu && a->idle == b->idle &&
               a->idle_spins == b->idle_spins && a->idle_sleep_ns == b->idle_sleep_ns &&
               a->sandbox == b->sandbox && a->stuck_after_ns == b->stuck_after_ns;
    }
    if (!same)
        config_report(next, next->pollers[0].mark,
                      "pollers cannot change while they run; expected those of the start, or a "
                      "restart");
    return same;
}

static void check_vms(const struct reload *reload, struct config *next)
{
    for (size_t i = 0; i < next->vm_count; i++) {
        const struct config_vm *to = &next->vms[i];
        const struct vm *vm = topology_find_vm(reload->topology, to->name);
        if (vm && (vm->page->vcpu_count != to->vcpus || vm->poller_index != to->poller ||
                   vm->has_pci != to->pci || !vm_has_source(vm, to) ||
                   vm->page->wait_ticks != ticks_from_ns(to->wait_after_ns)))
            config_report(
                next, to->mark,
                "vcpus, poller, pci, source and wait_after of a VM cannot change while it "
                "exists; expected those it has, or another name");
    }
}

/* ---- the plan: everything that can fail, before anything changes ------------------------- */

enum fate { KEEP = 1, ADD };

/* A client that goes at the end: replaced, or named no more. Until then it serves without a name, so
 * that its successor can have it, and topology_apply_ranges gives it no ranges. */
struct leaver {
    struct vm_client *client;
    char name[CLIENT_NAME_MAX + 1];
};

struct plan {
    const struct config *next;
    struct planned {
        enum fate fate;
        struct device *device; /* built; NULL once a client owns it */
        struct vm_client *added;
    } * clients;            /* [next->client_count] */
    bool *added_vms;        /* [next->vm_count] */
    struct leaver *leavers; /* [leaver_count] */
    size_t leaver_count;
};

static void plan_fini(struct plan *plan)
{
    for (size_t i = 0; plan->clients && i < plan->next->client_count; i++)
        if (plan->clients[i].device)
            plan->clients[i].device->ops->destroy(plan->clients[i].device);
    free(plan->clients);
    free(plan->added_vms);
    free(plan->leavers);
}

static void plan_leaver(struct plan *plan, struct vm_client *client)
{
    struct leaver *leaver = &plan->leavers[plan->leaver_count++];
    leaver->client = client;
    snprintf(leaver->name, sizeof(leaver->name), "%s", client->client.name);
}

static int plan_make(const struct reload *reload, const struct config *next, struct plan *plan)
{
    const struct config *old = reload->current;
    *plan = (struct plan){
        .next = next,
        .clients = calloc(next->client_count + 1, sizeof(*plan->clients)),
        .added_vms = calloc(next->vm_count + 1, sizeof(*plan->added_vms)),
        .leavers = calloc(next->client_count + old->client_count + 1, sizeof(*plan->leavers)),
    };
    int result = plan->clients && plan->added_vms && plan->leavers ? 0 : -ENOMEM;
    for (size_t i = 0; i < next->client_count && result == 0; i++) {
        struct planned *planned = &plan->clients[i];
        const struct config_client *to = &next->clients[i];
        const struct vm *vm = topology_find_vm(reload->topology, next->vms[to->vm].name);
        struct vm_client *client = vm ? topology_find_client(vm, to->name) : NULL;
        planned->fate = client && client_is_same(reload, next, i) ? KEEP : ADD;
        if (planned->fate == KEEP)
            continue;
        if (client)
            plan_leaver(plan, client);
        result = topology_create_device(reload->topology, to, &planned->device);
    }
    for (size_t i = 0; i < old->client_count && result == 0; i++) {
        const char *vm_name = old->vms[old->clients[i].vm].name;
        const struct vm *vm = topology_find_vm(reload->topology, vm_name);
        struct vm_client *client = vm ? topology_find_client(vm, old->clients[i].name) : NULL;
        if (client && find_old(next, vm_name, old->clients[i].name) < 0)
            plan_leaver(plan, client);
    }
    return result;
}

/* ---- carrying it out --------------------------------------------------------------------- */

static int add_vms(struct reload *reload, struct plan *plan)
{
    for (size_t i = 0; i < plan->next->vm_count; i++) {
        if (topology_find_vm(reload->topology, plan->next->vms[i].name))
            continue;
        struct vm *vm;
        int result = topology_create_vm(reload->topology, &plan->next->vms[i], &vm);
        if (result < 0)
            return result;
        plan->added_vms[i] = true;
    }
    return 0;
}

static void undo_vms(struct reload *reload, const struct plan *plan)
{
    for (size_t i = 0; i < plan->next->vm_count; i++)
        if (plan->added_vms[i])
            vm_destroy(topology_find_vm(reload->topology, plan->next->vms[i].name));
}

static int add_clients(struct reload *reload, struct plan *plan)
{
    const struct config *next = plan->next;
    for (size_t i = 0; i < plan->leaver_count; i++)
        plan->leavers[i].client->client.name[0] = '\0';
    for (size_t i = 0; i < next->client_count; i++) {
        struct planned *planned = &plan->clients[i];
        if (planned->fate == KEEP)
            continue;
        struct vm *vm = topology_find_vm(reload->topology, next->vms[next->clients[i].vm].name);
        int result =
            topology_create_client(vm, &next->clients[i], planned->device, &planned->added);
        if (result < 0)
            return result;
        planned->device = NULL;
    }
    return 0;
}

static void undo_clients(struct plan *plan)
{
    for (size_t i = 0; i < plan->next->client_count; i++)
        if (plan->clients[i].added)
            vm_client_destroy(plan->clients[i].added);
    for (size_t i = 0; i < plan->leaver_count; i++)
        snprintf(plan->leavers[i].client->client.name, CLIENT_NAME_MAX + 1, "%s",
                 plan->leavers[i].name);
}

static int move_ranges(struct reload *reload, const struct config *next)
{
    int result = 0;
    /* Against what was made at run time, too: before anything moves. */
    for (size_t i = 0; i < next->vm_count && result == 0; i++)
        result = topology_check_ranges(topology_find_vm(reload->topology, next->vms[i].name), next);
    for (size_t i = 0; i < next->vm_count && result == 0; i++) {
        struct vm *vm = topology_find_vm(reload->topology, next->vms[i].name);
        result = topology_apply_ranges(vm, next);
        uint32_t index = next->vms[i].default_client;
        struct vm_client *client =
            index == CONFIG_NO_CLIENT ? NULL : topology_find_client(vm, next->clients[index].name);
        if (result == 0)
            result = vm_set_default_client(vm, client);
    }
    return result;
}

/* What the last file named and this one does not. */
static void remove_rest(struct reload *reload, const struct plan *plan)
{
    const struct config *old = reload->current, *next = plan->next;
    for (size_t i = 0; i < plan->leaver_count; i++)
        vm_client_destroy(plan->leavers[i].client);
    for (size_t i = 0; i < old->vm_count; i++) {
        struct vm *vm = topology_find_vm(reload->topology, old->vms[i].name);
        bool is_named = false;
        for (size_t k = 0; k < next->vm_count; k++)
            is_named = is_named || text_is_same(next->vms[k].name, old->vms[i].name);
        if (vm && !is_named)
            vm_destroy(vm);
    }
}

/* A client that was kept: how its process is started may have changed, and its budget. */
static void set_rest(const struct reload *reload, const struct config *next, size_t index)
{
    const struct config_client *to = &next->clients[index];
    const struct vm *vm = topology_find_vm(reload->topology, next->vms[to->vm].name);
    launcher_set(reload->topology->launcher, topology_find_client(vm, to->name), &to->start);
    vm_client_set_budget(topology_find_client(vm, to->name), &to->budget);
}

static int apply(struct reload *reload, const struct config *next)
{
    struct plan plan;
    int result = plan_make(reload, next, &plan);
    if (result == 0)
        result = add_vms(reload, &plan);
    if (result == 0) {
        result = add_clients(reload, &plan);
        if (result == 0)
            result = move_ranges(reload, next);
        if (result < 0)
            undo_clients(&plan);
    }
    if (result < 0 && plan.added_vms)
        undo_vms(reload, &plan);
    if (result == 0) {
        remove_rest(reload, &plan);
        for (size_t i = 0; i < next->client_count; i++)
            if (plan.clients[i].added)
                service_open(plan.clients[i].added);
            else
                set_rest(reload, next, i);
        for (size_t i = 0; i < next->vm_count; i++) {
            struct vm *vm = topology_find_vm(reload->topology, next->vms[i].name);
            vm_set_budget(vm, &next->vms[i].budget);
            vm->clear_timeout_ns = next->vms[i].clear_timeout_ns; /* of the next clear */
            if (vm->state == VM_STOPPED)
                vm_start(vm);
        }
    }
    plan_fini(&plan);
    return result;
}

int reload_run(struct reload *reload)
{
    struct config *next = NULL;
    const char *path = reload->first->path;
    int result = config_load(path, reload->kinds, reload->kind_count, stderr, &next);
    if (!next) {
        log_error("reload: cannot read %s; the old configuration stays", path);
        return result < 0 ? result : -EINVAL;
    }
    struct machine_facts facts = machine_facts_read();
    topology_check(next, reload->topology->placement, &facts);
    if (next->problem_count == 0 && pollers_are_same(next, reload->first))
        check_vms(reload, next);
    result = next->problem_count ? -EINVAL : apply(reload, next);
    if (result < 0) {
        log_error("reload: %s: %s; the old configuration stays", path, strerror(-result));
        config_destroy(next);
        return result;
    }
    remake_note_reload(reload->topology, reload->current, next);
    config_destroy(reload->owned);
    reload->owned = next;
    reload->current = next;
    log_info("reload: %s: VMs %zu, clients %zu", path, next->vm_count, next->client_count);
    return 0;
}

void reload_fini(struct reload *reload)
{
    config_destroy(reload->owned);
}
