/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands with which a process becomes a client's device, and is started as one. */
#include "server/socket/commands_internal.h"

#include "clients/channel.h"
#include "server/log.h"
#include "server/processes/launcher.h"
#include "server/processes/registration.h"
#include "server/restart/keeper.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

static struct command_reply refuse(const struct vm_client *client, int result)
{
    const char *name = client->client.name;
    switch (result) {
    case -EINVAL:
        return command_error(EINVAL, "%s is no device: process; expected a client that is", name);
    case -EBUSY:
        return command_error(EBUSY, "process %d serves %s already",
                             (int)registration_pid(client->registration), name);
    case -EDQUOT:
        return command_error(EDQUOT, "one process may serve up to %u clients",
                             REGISTRATIONS_PROCESS_MAX);
    case -EUSERS:
        return command_error(EUSERS, "%u processes are registered, and no more are possible",
                             REGISTRATIONS_MAX);
    default:
        return command_reply_result(result, name);
    }
}

struct command_reply command_client_register(const struct call *call)
{
    struct command_reply reply;
    if (call->descriptor >= 0)
        return command_error(EINVAL, "a descriptor came with the line; expected none");
    struct vm_client *client = command_find_client(call, &reply);
    if (!client)
        return reply;
    uint64_t epoch = 0, taken = 0;
    if (call->argument_count != 2 &&
        (call->argument_count != 4 || !command_read_number(call->arguments[2], &epoch) ||
         !command_read_number(call->arguments[3], &taken) || epoch > UINT32_MAX))
        return command_error(EINVAL, "expected VM CLIENT [EPOCH TAKEN]");
    struct registration *registration;
    const struct process_resume resume = {(uint32_t)epoch, (uint32_t)taken};
    int result = registration_create(client, call->pid, resume, &registration);
    if (result < 0)
        return refuse(client, result);
    reply =
        command_reply_text("ok version=%u epoch=%u resumed=%u kept=%u\n", CHANNEL_VERSION,
                           client->epoch, registration_is_resumed(registration), keeper_is_there());
    reply.registration = registration;
    int descriptors[REGISTRATION_DESCRIPTORS];
    registration_descriptors(registration, descriptors);
    reply.descriptor = descriptors[0];
    memcpy(reply.more_descriptors, descriptors + 1, sizeof(reply.more_descriptors));
    reply.more_descriptor_count = REGISTRATION_DESCRIPTORS - 1;
    log_info("vm %s: client %s: process %d serves it", client->vm->name, client->client.name,
             (int)call->pid);
    return reply;
}

/* ---- processes of ours ------------------------------------------------------------------- */

static struct command_reply launch_reply(const struct vm_client *client, int result,
                                         const char *already)
{
    if (result == -EINVAL)
        return command_error(EINVAL,
                             "the configuration does not say how to start %s; expected a "
                             "start: command there",
                             client->client.name);
    if (result == -EALREADY)
        return command_error(EALREADY, "the process of %s %s", client->client.name, already);
    return command_reply_result(result, client->client.name);
}

struct command_reply command_client_start(const struct call *call)
{
    struct command_reply reply;
    struct vm_client *client = command_find_client(call, &reply);
    return client ? launch_reply(client, launcher_start_client(client), "runs already") : reply;
}

struct command_reply command_client_stop(const struct call *call)
{
    struct command_reply reply;
    struct vm_client *client = command_find_client(call, &reply);
    return client ? launch_reply(client, launcher_stop_client(client), "does not run") : reply;
}
