/* SPDX-License-Identifier: BSD-3-Clause */
/* Clients and ranges that are in no configuration: what ioreq_create makes, and ioreq_destroy ends. */
#include "clients/library/ioreq_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *type_name(uint32_t type)
{
    static const char *const names[] = {"portio", "mmio", "pcicfg"};
    return type <= IOREQ_PCICFG ? names[type] : NULL;
}

/* The client as the server's configuration would describe it. NULL: no memory; -EINVAL, -E2BIG in
 * *result. */
static char *describe(const char *vm, const char *name, const struct ioreq_range *ranges,
                      size_t count, int *result)
{
    char *text = NULL;
    size_t length;
    FILE *out = open_memstream(&text, &length);
    *result = -ENOMEM;
    if (!out)
        return NULL;
    *result = 0;
    fprintf(out, "client-create {name: %s, vm: %s, device: process, ranges: [", name, vm);
    for (size_t i = 0; i < count && *result == 0; i++) {
        if (!type_name(ranges[i].type))
            *result = -EINVAL;
        else
            fprintf(out, "%s{type: %s, first: 0x%" PRIx64 ", last: 0x%" PRIx64 ", priority: %u}",
                    i > 0 ? ", " : "", type_name(ranges[i].type), ranges[i].first, ranges[i].last,
                    ranges[i].priority);
        if (ftell(out) > SESSION_LINE_BYTES - 64)
            *result = -E2BIG;
    }
    fputs("]}", out);
    if (fclose(out) != 0 && *result == 0)
        *result = -ENOMEM;
    return text;
}

EXPORT int ioreq_create(const char *socket_path, const char *vm, const char *name,
                        const struct ioreq_range *ranges, size_t count,
                        struct ioreq_client **client)
{
    *client = NULL;
    ioreq_last_error[0] = '\0';
    socket_path = ioreq_socket_path(socket_path);
    int result = ioreq_refuse_names(vm, name);
    if (result < 0)
        return result;
    char *line = describe(vm, name, ranges, count, &result);
    if (result < 0)
        snprintf(ioreq_last_error, sizeof(ioreq_last_error), "the ranges: %s", strerror(-result));
    else
        result = session_command(socket_path, line, ioreq_last_error);
    if (result == 0)
        result = ioreq_register(socket_path, vm, name, client);
    else {
        free(line);
        return result;
    }
    if (result == 0) {
        (*client)->description = line;
    } else {
        free(line);
        char undo[64], ignored[SESSION_ERROR_BYTES];
        snprintf(undo, sizeof(undo), "client-destroy %s %s", vm, name);
        session_command(socket_path, undo, ignored);
    }
    return result;
}

EXPORT int ioreq_destroy(struct ioreq_client *client)
{
    char line[64];
    snprintf(line, sizeof(line), "client-destroy %s %s", client->vm, client->name);
    int result = session_command(client->socket_path, line, ioreq_last_error);
    ioreq_close(client);
    return result;
}

static int change_range(struct ioreq_client *client, const struct ioreq_range *range, bool adds)
{
    char line[192];
    if (!type_name(range->type))
        return -EINVAL;
    int length = snprintf(line, sizeof(line), "range-%s %s %s %s 0x%" PRIx64 " 0x%" PRIx64,
                          adds ? "add" : "delete", client->vm, client->name, type_name(range->type),
                          range->first, range->last);
    if (adds)
        snprintf(line + length, sizeof(line) - (size_t)length, " %u", range->priority);
    return session_command(client->socket_path, line, client->error);
}

EXPORT int ioreq_add_range(struct ioreq_client *client, const struct ioreq_range *range)
{
    return change_range(client, range, true);
}

EXPORT int ioreq_delete_range(struct ioreq_client *client, const struct ioreq_range *range)
{
    return change_range(client, range, false);
}
