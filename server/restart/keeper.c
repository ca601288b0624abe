/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/restart/keeper.h"

#include "server/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

static struct keeper {
    bool is_open;
    bool is_there;
    bool has_watchdog;
    bool was_deaf; /* said once */
    int count;     /* of those that came back, [count] */
    struct {
        char name[KEEPER_NAME_BYTES];
        int descriptor; /* -1: taken */
    } kept[KEEPER_MAX];
} keeper;

static void remember(const char *name, int descriptor)
{
    if (keeper.count == (int)KEEPER_MAX || strlen(name) >= KEEPER_NAME_BYTES) {
        close(descriptor);
        return;
    }
    keeper.kept[keeper.count].descriptor = descriptor;
    strcpy(keeper.kept[keeper.count++].name, name);
}

void keeper_open(void)
{
    const char *socket = getenv("NOTIFY_SOCKET"), *most = getenv("FDSTORE");
    uint64_t watchdog_us;
    if (keeper.is_open)
        return;
    keeper.is_open = true;
    keeper.is_there = socket && *socket && most && atoi(most) > 0;
    keeper.has_watchdog = sd_watchdog_enabled(0, &watchdog_us) > 0;
    char **names = NULL;
    int count = sd_listen_fds_with_names(1, &names);
    for (int i = 0; i < count; i++) {
        remember(names[i], SD_LISTEN_FDS_START + i);
        free(names[i]);
    }
    free(names);
}

bool keeper_is_there(void)
{
    return keeper.is_there;
}

/* -1: there is none. */
static int find(const char *name)
{
    for (int i = 0; i < keeper.count; i++)
        if (keeper.kept[i].descriptor >= 0 && strcmp(keeper.kept[i].name, name) == 0)
            return i;
    return -1;
}

int keeper_look(const char *name)
{
    int index = find(name);
    return index < 0 ? -1 : keeper.kept[index].descriptor;
}

int keeper_take(const char *name)
{
    int index = find(name), descriptor = keeper_look(name);
    if (index >= 0)
        keeper.kept[index].descriptor = -1;
    return descriptor;
}

int keeper_take_any(char name[KEEPER_NAME_BYTES])
{
    for (int i = 0; i < keeper.count; i++) {
        if (keeper.kept[i].descriptor < 0)
            continue;
        strcpy(name, keeper.kept[i].name);
        return keeper_take(name);
    }
    return -1;
}

static int tell(const char *text, const int *descriptors, unsigned count)
{
    int result = sd_pid_notify_with_fds(0, 0, text, descriptors, count);
    if (result < 0 && !keeper.was_deaf) {
        keeper.was_deaf = true;
        log_warning("the keeper of our descriptors does not listen (%s): what is stored there may "
                    "be old at the next restart",
                    strerror(-result));
    }
    return result < 0 ? result : 0;
}

int keeper_store(const char *name, int descriptor)
{
    char text[64 + KEEPER_NAME_BYTES];
    if (!keeper.is_there)
        return 0;
    snprintf(text, sizeof(text), "FDSTORE=1\nFDNAME=%s", name);
    return tell(text, &descriptor, 1);
}

void keeper_forget(const char *name)
{
    char text[64 + KEEPER_NAME_BYTES];
    if (!keeper.is_there)
        return;
    snprintf(text, sizeof(text), "FDSTOREREMOVE=1\nFDNAME=%s", name);
    tell(text, NULL, 0);
}

void keeper_tell_ready(void)
{
    tell("READY=1", NULL, 0);
}

void keeper_tell_stopping(void)
{
    tell("STOPPING=1", NULL, 0);
}

void keeper_tick(void)
{
    if (keeper.has_watchdog)
        tell("WATCHDOG=1", NULL, 0);
}
