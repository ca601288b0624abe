/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/restart/remake.h"

#include "server/log.h"
#include "server/notify/eventfd.h"
#include "server/restart/keeper.h"
#include "server/restart/script.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define EVENTFD_PREFIX "eventfd-"

/* ---- descriptors ------------------------------------------------------------------------- */

static void name_of(uint32_t number, char name[KEEPER_NAME_BYTES])
{
    snprintf(name, KEEPER_NAME_BYTES, EVENTFD_PREFIX "%u", number);
}

/* Of one eventfd always the same one, for as long as the keeper has it. 0: it is none. */
static uint32_t number_of(int descriptor)
{
    uint64_t id;
    return descriptor >= 0 && eventfd_identify(descriptor, &id) == 0 && id < UINT32_MAX
               ? (uint32_t)id + 1
               : 0;
}

static uint32_t count_lines(const struct script *script, uint32_t number)
{
    uint32_t count = 0;
    for (size_t i = 0; i < script_count(script); i++) {
        uint32_t its = script_at(script, i)->number;
        count += number ? its == number : its != 0;
    }
    return count;
}

static int keep_descriptor(const struct topology *topology, uint32_t number, int descriptor)
{
    char name[KEEPER_NAME_BYTES];
    if (number == 0)
        return -EINVAL;
    if (count_lines(topology->script, 0) == SCRIPT_DESCRIPTORS_MAX)
        return -ENOSPC;
    name_of(number, name);
    return keeper_store(name, descriptor); /* twice is once */
}

int remake_take_descriptor(uint32_t number)
{
    char name[KEEPER_NAME_BYTES];
    name_of(number, name);
    return keeper_take(name);
}

/* ---- lines ------------------------------------------------------------------------------- */

void remake_drop(struct topology *topology, size_t index)
{
    char name[KEEPER_NAME_BYTES];
    uint32_t number = script_at(topology->script, index)->number;
    script_remove(topology->script, index);
    if (number == 0 || count_lines(topology->script, number) > 0)
        return;
    name_of(number, name);
    keeper_forget(name);
}

static int make_script(struct topology *topology)
{
    if (topology->script)
        return 0;
    int result = script_create(&topology->script);
    return result < 0 ? result : keeper_store(REMAKE_SCRIPT, script_descriptor(topology->script));
}

void remake_note(struct topology *topology, const char *vm, const char *client, const char *text,
                 int descriptor)
{
    if (!topology->is_started || !topology->journal)
        return;
    struct script_line line = {.text = text};
    snprintf(line.vm, sizeof(line.vm), "%s", vm);
    snprintf(line.client, sizeof(line.client), "%s", client);
    int result = make_script(topology);
    if (result == 0 && descriptor >= 0) {
        line.number = number_of(descriptor);
        result = keep_descriptor(topology, line.number, descriptor);
    }
    if (result == 0)
        result = script_add(topology->script, &line);
    if (result < 0)
        log_warning("vm %s: a death of this ioreqd loses what '%.60s' made: %s", vm, text,
                    result == -ENOSPC ? "too much was made at run time" : strerror(-result));
}

bool remake_unnote(struct topology *topology, const char *vm, const char *client, const char *text,
                   int descriptor)
{
    struct script *script = topology->script;
    uint32_t number = number_of(descriptor);
    size_t length = strlen(text) + (descriptor < 0); /* with its NUL: no more than the beginning */
    for (size_t i = script ? script_count(script) : 0; i-- > 0;) {
        const struct script_line *line = script_at(script, i);
        if (line->number != number || strcmp(line->vm, vm) != 0 ||
            strcmp(line->client, client) != 0 || strncmp(line->text, text, length) != 0)
            continue;
        remake_drop(topology, i);
        return true;
    }
    return false;
}

/* ---- ends -------------------------------------------------------------------------------- */

/* client NULL: of any. Returns whether the first of them is `creation`. */
static bool drop_all(struct topology *topology, const char *vm, const char *client,
                     const char *creation)
{
    bool was_made = false;
    uint32_t count = 0;
    for (size_t i = 0; topology->script && i < script_count(topology->script);) {
        const struct script_line *line = script_at(topology->script, i);
        if (strcmp(line->vm, vm) != 0 || (client && strcmp(line->client, client) != 0)) {
            i++;
            continue;
        }
        if (count++ == 0)
            was_made = strncmp(line->text, creation, strlen(creation)) == 0;
        remake_drop(topology, i);
    }
    return was_made;
}

void remake_note_client_end(struct topology *topology, const char *vm, const char *client)
{
    char text[64];
    if (drop_all(topology, vm, client, "client-create"))
        return;
    snprintf(text, sizeof(text), "client-destroy %s %s", vm, client);
    remake_note(topology, vm, client, text, -1);
}

void remake_note_vm_end(struct topology *topology, const char *vm)
{
    char text[64];
    if (drop_all(topology, vm, NULL, "vm-create"))
        return;
    snprintf(text, sizeof(text), "vm-destroy %s", vm);
    remake_note(topology, vm, "", text, -1);
}

static bool describes_vm(const struct config *config, const char *vm)
{
    for (size_t i = 0; i < config->vm_count; i++)
        if (strcmp(config->vms[i].name, vm) == 0)
            return true;
    return false;
}

static bool describes_client(const struct config *config, const char *vm, const char *client)
{
    for (size_t i = 0; i < config->client_count; i++)
        if (strcmp(config->clients[i].name, client) == 0 &&
            strcmp(config->vms[config->clients[i].vm].name, vm) == 0)
            return true;
    return false;
}

/* A VM's own lines and its clients' are as the file says; a VM that it no longer names has gone. */
static bool is_overruled(const struct script_line *line, const struct config *old,
                         const struct config *next)
{
    bool is_described = describes_vm(next, line->vm);
    if (!is_described && describes_vm(old, line->vm))
        return true;
    return line->client[0] == '\0' ? is_described
                                   : describes_client(next, line->vm, line->client) ||
                                         describes_client(old, line->vm, line->client);
}

void remake_note_reload(struct topology *topology, const struct config *old,
                        const struct config *next)
{
    for (size_t i = topology->script ? script_count(topology->script) : 0; i-- > 0;)
        if (is_overruled(script_at(topology->script, i), old, next))
            remake_drop(topology, i);
}
