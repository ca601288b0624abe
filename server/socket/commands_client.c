/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands that end a client and change its ranges; commands_create.c makes it. */
#include "server/socket/commands_internal.h"

#include "server/restart/remake.h"
#include "server/vm_client.h"

#include <errno.h>

struct command_reply command_client_destroy(const struct call *call)
{
    struct command_reply reply;
    struct vm_client *client = command_find_client(call, &reply);
    if (!client)
        return reply;
    int result = vm_client_destroy(client);
    if (result == 0)
        remake_note_client_end(call->context->topology, call->arguments[0], call->arguments[1]);
    return command_reply_result(result, call->arguments[1]);
}

/* TYPE FIRST LAST [PRIORITY] after VM and client. */
static bool read_range(const struct call *call, struct router_range *range)
{
    uint64_t priority = 0;
    *range = (struct router_range){0};
    bool is_valid =
        command_read_type(call->arguments[2], &range->type) &&
        command_read_number(call->arguments[3], &range->first) &&
        command_read_number(call->arguments[4], &range->last) &&
        (call->argument_count < 6 ||
         (command_read_number(call->arguments[5], &priority) && priority <= UINT32_MAX));
    range->priority = (uint32_t)priority;
    return is_valid;
}

struct command_reply command_range_add(const struct call *call)
{
    struct command_reply reply;
    struct router_range range;
    struct vm_client *client = command_find_client(call, &reply);
    if (!client)
        return reply;
    if (!read_range(call, &range))
        return command_error(EINVAL, "expected TYPE (portio, mmio, pcicfg) FIRST LAST [PRIORITY]");
    int result = vm_client_add_range(client, range.type, range.first, range.last, range.priority);
    if (result == -EEXIST)
        return command_error(EEXIST, "it overlaps a range of the same priority; give it another");
    if (result == -EINVAL)
        return command_error(EINVAL,
                             "no range of that type; expected FIRST up to LAST, of portio at "
                             "most 0xffff, of pcicfg 0xfffffff; PRIORITY below 4294967295");
    if (result == 0)
        command_note_range(client, &range, true);
    return command_reply_result(result, call->arguments[1]);
}

struct command_reply command_range_delete(const struct call *call)
{
    struct command_reply reply;
    struct router_range range;
    struct vm_client *client = command_find_client(call, &reply);
    if (!client)
        return reply;
    if (call->argument_count > 5 || !read_range(call, &range))
        return command_error(EINVAL, "expected TYPE (portio, mmio, pcicfg) FIRST LAST");
    range.priority = vm_client_priority(client, range.type, range.first, range.last);
    int result = vm_client_delete_range(client, range.type, range.first, range.last);
    if (result == -ENOENT)
        return command_error(ENOENT, "client %s has no such range", client->client.name);
    if (result == 0)
        command_note_range(client, &range, false);
    return command_reply_result(result, call->arguments[1]);
}
