/* SPDX-License-Identifier: BSD-3-Clause */
/* What commands made at run time, noted as they did it, and made again under the next server (remake.h). */
#include "server/socket/commands_internal.h"

#include "server/log.h"
#include "server/restart/remake.h"
#include "server/restart/script.h"
#include "server/vm_client.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define START "vm-start "

/* ---- at work ----------------------------------------------------------------------------- */

void command_note(const struct call *call, const char *command, const char *vm, const char *client)
{
    size_t bytes = strlen(command) + strlen(call->rest) + 2;
    char *text = malloc(bytes);
    if (!text)
        return;
    snprintf(text, bytes, "%s %s", command, call->rest);
    remake_note(call->context->topology, vm, client, text, -1);
    free(text);
}

void command_note_start(const struct call *call, const char *vm)
{
    struct topology *topology = call->context->topology;
    char text[64];
    snprintf(text, sizeof(text), START "%s", vm);
    remake_unnote(topology, vm, "", text, -1);
    remake_note(topology, vm, "", text, -1);
}

/* Always in the same words, however they came. */
static void write_range(char text[160], const char *command, const struct vm_client *client,
                        const struct router_range *range)
{
    static const char *const types[] = {"portio", "mmio", "pcicfg"};
    int length =
        snprintf(text, 160, "%s %s %s %s 0x%" PRIx64 " 0x%" PRIx64, command, client->vm->name,
                 client->client.name, types[range->type], range->first, range->last);
    if (strcmp(command, "range-add") == 0)
        snprintf(text + length, 160 - (size_t)length, " %u", range->priority);
}

void command_note_range(const struct vm_client *client, const struct router_range *range,
                        bool is_added)
{
    struct topology *topology = client->vm->topology;
    const char *vm = client->vm->name, *name = client->client.name;
    char text[160];
    write_range(text, "range-add", client, range);
    if (!is_added && remake_unnote(topology, vm, name, text, -1))
        return;
    if (!is_added)
        write_range(text, "range-delete", client, range);
    remake_note(topology, vm, name, text, -1);
}

void command_note_eventfd(const struct call *call, const char *vm, const char *text)
{
    remake_note(call->context->topology, vm, REMAKE_EVENTFD, text, call->descriptor);
}

void command_unnote_eventfd(const struct call *call, const char *vm, const char *begin)
{
    remake_unnote(call->context->topology, vm, REMAKE_EVENTFD, begin, call->descriptor);
}

/* ---- under the next server --------------------------------------------------------------- */

/* One eventfd may go with several lines. */
struct taken {
    uint32_t number;
    int descriptor;
};

static int take(struct taken taken[SCRIPT_DESCRIPTORS_MAX], size_t *count, uint32_t number)
{
    for (size_t i = 0; i < *count; i++)
        if (taken[i].number == number)
            return taken[i].descriptor;
    int descriptor =
        number && *count < SCRIPT_DESCRIPTORS_MAX ? remake_take_descriptor(number) : -1;
    if (descriptor >= 0)
        taken[(*count)++] = (struct taken){number, descriptor};
    return descriptor;
}

/* Those that start come to it when their pages have been taken on. */
static bool run(const struct command_context *context, const struct script_line *line,
                int descriptor)
{
    if (strncmp(line->text, START, strlen(START)) == 0) {
        struct vm *vm = topology_find_vm(context->topology, line->vm);
        if (vm)
            vm->is_to_run = true;
        return vm;
    }
    struct command_reply reply = command_run(context, line->text, 0, descriptor);
    bool is_done = command_reply_is_ok(&reply);
    if (!is_done)
        log_warning("vm %s: '%.60s' made something under an earlier ioreqd, and fails now: %.*s",
                    line->vm, line->text, reply.text ? (int)strcspn(reply.text, "\n") : 0,
                    reply.text ? reply.text : "");
    free(reply.text);
    return is_done;
}

void commands_run_again(const struct command_context *context)
{
    struct taken taken[SCRIPT_DESCRIPTORS_MAX];
    const struct script *script = context->topology->script;
    size_t taken_count = 0, count = script ? script_count(script) : 0;
    for (size_t i = 0; script && i < script_count(script);) {
        const struct script_line *line = script_at(script, i);
        if (run(context, line, take(taken, &taken_count, line->number)))
            i++;
        else
            remake_drop(context->topology, i);
    }
    for (size_t i = 0; i < taken_count; i++)
        close(taken[i].descriptor);
    if (count > 0)
        log_info("made again, of what was made at run time under an earlier ioreqd: %zu of %zu",
                 script_count(script), count);
}
