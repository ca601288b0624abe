/* SPDX-License-Identifier: BSD-3-Clause */
/* topology.h's first step: is what the configuration wants possible on this machine? */
#include "server/topology.h"

#include "clients/process_port.h"
#include "server/devices/stream.h"
#include "server/processes/launcher.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static void check_pollers(struct config *config, const struct machine_facts *facts)
{
    for (size_t i = 0; i < config->poller_count; i++) {
        const struct config_poller *poller = &config->pollers[i];
        if (poller->sandbox && !facts->tsc_is_invariant)
            config_report(
                config, poller->sandbox_mark.line ? poller->sandbox_mark : poller->mark,
                "this processor's time-stamp counter is not invariant, so a poller cannot "
                "tell time without system calls; expected sandbox: false");
    }
}

/* Told at the later one of two with the same line. */
static void check_line(struct config *config, const struct config_client *client)
{
    const struct config_client_interrupt *interrupt = &client->interrupt;
    enum config_source source = config->vms[client->vm].source;
    if (source != CONFIG_SOURCE_MEMFD && source != CONFIG_SOURCE_HSM)
        config_report(config, interrupt->mark,
                      "interrupt: nobody injects it into a VM of source uio, pci or vfio; expected "
                      "it with source: memfd or hsm");
    for (const struct config_client *other = config->clients; other != client; other++)
        if (other->vm == client->vm && interrupt->line && other->interrupt.line == interrupt->line)
            config_report(config, interrupt->mark,
                          "interrupt: line %u is that of client '%s' already; expected a line for "
                          "each",
                          interrupt->line, other->name);
}

static void check_lines(struct config *config)
{
    for (size_t i = 0; i < config->client_count; i++)
        if (config->clients[i].interrupt.kind)
            check_line(config, &config->clients[i]);
}

/* A poller with one VM that never waits does not wait for the others either, and one that takes requests
 * out of an inbox cannot be woken by whoever puts them there. */
static void check_waits(struct config *config)
{
    for (size_t i = 0; i < config->vm_count; i++) {
        const struct config_vm *vm = &config->vms[i];
        for (size_t k = 0; vm->wait_after_ns && k < config->vm_count; k++)
            if (config->vms[k].poller == vm->poller && !config->vms[k].wait_after_ns) {
                config_report(config, vm->wait_after_mark,
                              "wait_after: poller '%s' never waits, for it sweeps VM '%s' too; "
                              "expected wait_after there as well, or another poller",
                              config->pollers[vm->poller].name, config->vms[k].name);
                break;
            }
        for (size_t k = 0; vm->wait_after_ns && k < config->client_count; k++)
            if (config->clients[k].poller == vm->poller &&
                config->vms[config->clients[k].vm].poller != vm->poller) {
                config_report(config, vm->wait_after_mark,
                              "wait_after: poller '%s' never waits, for client '%s' of VM '%s' "
                              "lives there; expected that on another poller",
                              config->pollers[vm->poller].name, config->clients[k].name,
                              config->vms[config->clients[k].vm].name);
                break;
            }
    }
}

/* ---- what only one client may have ------------------------------------------------------- */

struct claim {
    const struct config_client *client;
    char *path;
};

struct claims {
    struct claim *list; /* [count] */
    size_t count;
};

#define STANDARD_INPUT   "standard input" /* no path: those begin with a slash */
#define CLAIMS_OF_CLIENT 3u               /* standard input, a stream's path, an image's */

/* The same text for every way to write a path; NULL: no memory. A link of ours is what is claimed,
 * not what it points to. */
static char *path_resolve(const char *path, bool is_link)
{
    char *resolved = is_link ? NULL : realpath(path, NULL);
    if (resolved)
        return resolved;
    const char *slash = strrchr(path, '/');
    char folder[PATH_MAX] = ".", whole[PATH_MAX];
    if (slash)
        snprintf(folder, sizeof(folder), "%.*s", slash == path ? 1 : (int)(slash - path), path);
    char *resolved_folder = realpath(folder, NULL);
    int length = snprintf(whole, sizeof(whole), "%s/%s", resolved_folder ? resolved_folder : folder,
                          slash ? slash + 1 : path);
    free(resolved_folder);
    return length < 0 || length >= (int)sizeof(whole) ? NULL : strdup(whole);
}

static void claim_add(struct claims *claims, const struct config_client *client, char *path)
{
    if (path)
        claims->list[claims->count++] = (struct claim){.client = client, .path = path};
}

/* Devices (/dev/null) may be shared: there is nothing to overwrite. */
static bool is_character_device(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISCHR(status.st_mode);
}

static void claims_take(struct claims *claims, const struct config_client *client,
                        const struct device *device)
{
    const char *stream = device->stream ? device->stream : "none";
    if (strcmp(stream, "stdio") == 0 && device->input)
        claim_add(claims, client, strdup(STANDARD_INPUT));
    else if (strncmp(stream, "file:", 5) == 0 && !is_character_device(stream + 5))
        claim_add(claims, client, path_resolve(stream + 5, false));
    else if (strncmp(stream, "pty:", 4) == 0)
        claim_add(claims, client, path_resolve(stream + 4, true));
    if (device->image && device->image->path)
        claim_add(claims, client, path_resolve(device->image->path, false));
}

/* Told at the later one, which names the earlier one. first: the later ones begin there. */
static void claims_check(struct config *config, const struct claims *claims, size_t first)
{
    for (size_t i = first; i < claims->count; i++) {
        const struct claim *later = &claims->list[i];
        size_t k = 0;
        while (strcmp(claims->list[k].path, later->path) != 0)
            k++;
        if (k == i)
            continue;
        const struct claim *earlier = &claims->list[k];
        bool is_input = strcmp(later->path, STANDARD_INPUT) == 0;
        config_report(
            config, later->client->mark,
            "clients '%s' of VM '%s' at %u:%u and '%s' of VM '%s' both %s %s; expected %s",
            earlier->client->name, config->vms[earlier->client->vm].name,
            (unsigned)earlier->client->mark.line, (unsigned)earlier->client->mark.column,
            later->client->name, config->vms[later->client->vm].name, is_input ? "read" : "use",
            later->path,
            is_input ? "stdio for one of them, and pty for the other" : "a path for each");
    }
}

/* ---- devices ----------------------------------------------------------------------------- */

static void check_client(struct config *config, const struct config_client *client,
                         struct claims *claims)
{
    struct device *device = NULL;
    char error[TOPOLOGY_REASON_BYTES];
    if (topology_build_device(client, &device, error, sizeof(error)) < 0) {
        config_report(config, client->mark, "client '%s': %s: %s", client->name,
                      device_kinds[client->device]->name, error);
        return;
    }
    if (client->interrupt.kind && !device->ops->tend)
        config_report(config, client->interrupt.mark,
                      "client '%s': interrupt: a %s raises none; expected a uart or a cmos",
                      client->name, device_kinds[client->device]->name);
    if (process_device_of(device) && client->poller != config->vms[client->vm].poller)
        config_report(config, client->mark,
                      "client '%s': a device: process lives where its VM does; expected the VM's "
                      "poller, or none",
                      client->name);
    size_t first = claims->count;
    if (stream_check(device->stream, error, sizeof(error)) < 0)
        config_report(config, client->mark, "client '%s': cannot open %s: %s", client->name,
                      device->stream, error);
    else
        claims_take(claims, client, device);
    claims_check(config, claims, first);
    device->ops->destroy(device);
}

static void check_clients(struct config *config)
{
    struct claims claims = {
        .list = calloc(CLAIMS_OF_CLIENT * config->client_count + 1, sizeof(*claims.list))};
    for (size_t i = 0; claims.list && i < config->client_count; i++)
        if (config->clients[i].is_sound)
            check_client(config, &config->clients[i], &claims);
    for (size_t i = 0; i < claims.count; i++)
        free(claims.list[i].path);
    free(claims.list);
}

void topology_check(struct config *config, const struct placement *placement,
                    const struct machine_facts *facts)
{
    thread_plan_check(config, placement_machine(placement));
    check_pollers(config, facts);
    if (config->problem_count == 0) { /* else a VM, or its poller, may not be known */
        check_lines(config);
        check_waits(config);
    }
    check_clients(config);
    launcher_check(config, placement_machine(placement));
}
