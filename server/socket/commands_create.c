/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands that create a VM or a client from a description in the configuration file's syntax. */
#include "server/socket/commands_internal.h"

#include "server/devices/service.h"
#include "server/vm_client.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The description, checked; NULL with *reply filled, problems and all. */
static struct config *read_description(const struct call *call, const char *section,
                                       struct command_reply *reply)
{
    const struct topology *topology = call->context->topology;
    const char *pollers[CONFIG_POLLERS_MAX], *vms[TOPOLOGY_VMS_MAX];
    for (size_t i = 0; i < topology->poller_count; i++)
        pollers[i] = topology->pollers[i].name;
    for (size_t i = 0; i < topology->vm_count; i++)
        vms[i] = topology->vms[i]->name;
    const struct config_names names = {pollers, topology->poller_count, vms, topology->vm_count};
    char *problems = NULL;
    size_t length;
    FILE *out = open_memstream(&problems, &length);
    struct config *config = NULL;
    if (out) {
        config_load_fragment(section, call->rest, strlen(call->rest), &names,
                             call->context->reload->kinds, call->context->reload->kind_count, out,
                             &config);
        fclose(out);
    }
    bool is_usable = config && config->problem_count == 0;
    if (!is_usable) {
        *reply = command_reply_text("error %d the description is not valid\n%s", EINVAL,
                                    problems ? problems : "");
        config_destroy(config);
        config = NULL;
    }
    free(problems);
    return config;
}

struct command_reply command_vm_create(const struct call *call)
{
    struct command_reply reply;
    struct config *config = read_description(call, "vms", &reply);
    if (!config)
        return reply;
    struct vm *vm;
    int result = topology_create_vm(call->context->topology, &config->vms[0], &vm);
    if (result == 0)
        command_note(call, "vm-create", vm->name, "");
    reply = command_reply_result(result, config->vms[0].name);
    config_destroy(config);
    return reply;
}

/* Why the VM cannot have those ranges, or 0: before the client exists. */
static int check_ranges(const struct vm *vm, const struct config_client *client)
{
    for (size_t i = 0; i < client->range_count; i++)
        if (vm->has_pci && config_range_is_pci_port(&client->ranges[i]))
            return -EBUSY;
    return 0;
}

static int add_ranges(struct vm_client *client, const struct config_client *from)
{
    int result = 0;
    for (size_t i = 0; i < from->range_count && result == 0; i++) {
        const struct config_range *range = &from->ranges[i];
        result = vm_client_add_range(client, (uint32_t)range->type, range->first, range->last,
                                     range->priority);
    }
    return result;
}

static int create_client(struct vm *vm, struct config_client *from)
{
    struct device *device = NULL;
    struct vm_client *client;
    int result = check_ranges(vm, from);
    if (from->poller == CONFIG_POLLER_OF_VM)
        from->poller = vm->poller_index;
    if (result == 0)
        result = topology_create_device(vm->topology, from, &device);
    if (result < 0)
        return result;
    result = topology_create_client(vm, from, device, &client);
    if (result < 0) {
        device->ops->destroy(device);
        return result;
    }
    result = service_open(client);
    if (result == 0)
        result = add_ranges(client, from);
    if (result < 0)
        vm_client_destroy(client);
    return result;
}

struct command_reply command_client_create(const struct call *call)
{
    struct command_reply reply;
    struct config *config = read_description(call, "clients", &reply);
    if (!config)
        return reply;
    struct config_client from = config->clients[0];
    if (from.start.command_count > 0) { /* whoever may connect is not thereby this user */
        config_destroy(config);
        return command_error(EPERM, "start: processes are started by the configuration file only");
    }
    struct vm *vm = call->context->topology->vms[from.vm];
    int result = create_client(vm, &from);
    if (result == 0)
        command_note(call, "client-create", vm->name, from.name);
    reply =
        result == -EBUSY ? command_error(EBUSY, "ports 0xcf8..0xcff are the VM's own (pci: true)")
        : result == -EINVAL
            ? command_error(EINVAL, "%s: the device refuses it; see the server's log", from.name)
            : command_reply_result(result, from.name);
    config_destroy(config);
    return reply;
}
