/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands of a client that answers through this socket, request by request. */
#include "server/socket/commands_internal.h"

#include "server/vm_client.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

struct command_reply command_client_create_external(const struct call *call)
{
    struct command_reply reply;
    struct vm *vm = command_find_vm(call, &reply);
    if (!vm)
        return reply;
    const struct vm_client_options options = {
        .name = call->arguments[1], .is_default = true, .is_external = true};
    struct vm_client *client;
    int result = vm_client_create(vm, &options, &client);
    if (result == 0)
        command_note(call, "client-create-external", vm->name, client->client.name);
    return command_reply_result(result, call->arguments[1]);
}

static struct command_reply not_external(const struct vm_client *client)
{
    return command_error(EINVAL,
                         "client %s answers by itself; expected one of client-create-external",
                         client->client.name);
}

/* One line for each request that waits for an external client: what it would see in the page. */
struct command_reply command_client_attach(const struct call *call)
{
    struct command_reply reply;
    struct vm_client *client = command_find_client(call, &reply);
    if (!client && call->is_poll) {
        free(reply.text);
        return command_error(ENODEV, "the client is being destroyed");
    }
    if (!client)
        return reply;
    uint32_t vcpus;
    int result = vm_client_wait(client, 0, &vcpus);
    if (result == -EINVAL)
        return not_external(client);
    if (result == -ETIMEDOUT)
        return command_reply_pending();
    if (result < 0)
        return command_reply_result(result, client->client.name);
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    if (!out)
        return command_error(ENOMEM, "no memory");
    fputs("ok\n", out);
    static const char *const types[] = {"portio", "mmio", "pcicfg", "wp"};
    for (uint32_t vcpu = 0; vcpu < SLOT_COUNT; vcpu++) {
        struct request request;
        if ((vcpus >> vcpu & 1) && vm_client_look(client, vcpu, &request) == 0)
            fprintf(out,
                    "vcpu=%u type=%s direction=%s address=0x%" PRIx64 " size=%u value=0x%" PRIx64
                    "\n",
                    vcpu, types[request.type], request_is_read(&request) ? "read" : "write",
                    request.address, request.size_bytes, request.value);
    }
    return (struct command_reply){.text = fclose(out) == 0 ? text : NULL, .descriptor = -1};
}

struct command_reply command_notify_finish(const struct call *call)
{
    struct command_reply reply;
    struct vm_client *client = command_find_client(call, &reply);
    uint64_t vcpu, value = UINT64_MAX;
    if (!client)
        return reply;
    if (!command_read_number(call->arguments[2], &vcpu) ||
        (call->argument_count > 3 && !command_read_number(call->arguments[3], &value)))
        return command_error(EINVAL, "expected VCPU [VALUE]");
    if (!client->client.external)
        return not_external(client);
    uint32_t vcpu_count = client->vm->page->vcpu_count;
    if (vcpu >= vcpu_count)
        return command_error(EINVAL, "VM %s has no vCPU %s; expected a number from 0 to %u",
                             client->vm->name, call->arguments[2], vcpu_count - 1);
    int result = vm_client_finish(client, (uint32_t)vcpu, value);
    if (result == -ENOENT)
        return command_error(ENOENT, "no request of that vCPU is in flight with this client");
    return command_reply_result(result, "notify-finish");
}
