/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/processes/launch.h"

#include "pollers/ticks.h"
#include "server/topology.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PATH_WORD "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
#define OWN_WORDS 4u /* PATH and three of ours */

/* ---- copies ------------------------------------------------------------------------------ */

static void words_free(const char *const *words)
{
    for (size_t i = 0; words && words[i]; i++)
        free((void *)(uintptr_t)words[i]);
    free((void *)(uintptr_t)words);
}

/* With a NULL behind them. NULL: no memory. */
static const char *const *words_copy(const char *const *words, size_t count)
{
    const char **copy = calloc(count + 1, sizeof(*copy));
    for (size_t i = 0; copy && i < count; i++) {
        copy[i] = strdup(words[i]);
        if (!copy[i]) {
            words_free(copy);
            return NULL;
        }
    }
    return copy;
}

static bool words_are_same(const char *const *a, size_t a_count, const char *const *b,
                           size_t b_count)
{
    for (size_t i = 0; a_count == b_count && i < a_count; i++)
        if (strcmp(a[i], b[i]) != 0)
            return false;
    return a_count == b_count;
}

void launch_free(struct launch *launch)
{
    if (launch->watch)
        event_loop_unwatch(launch->watch);
    if (launch->descriptor >= 0)
        close(launch->descriptor);
    words_free(launch->wish.command);
    words_free(launch->wish.environment);
    free((void *)(uintptr_t)launch->wish.user);
    free(launch);
}

int launch_create(const struct vm_client *client, const struct config_start *start,
                  struct launch **launch)
{
    struct launch *created = calloc(1, sizeof(*created));
    if (!created)
        return -ENOMEM;
    created->descriptor = -1;
    created->state = LAUNCH_STOPPED;
    snprintf(created->vm, sizeof(created->vm), "%s", client->vm->name);
    snprintf(created->name, sizeof(created->name), "%s", client->client.name);
    created->wish = *start;
    created->wish.command = words_copy(start->command, start->command_count);
    created->wish.environment = words_copy(start->environment, start->environment_count);
    created->wish.user = strdup(start->user ? start->user : "");
    int result =
        created->wish.command && created->wish.environment && created->wish.user ? 0 : -ENOMEM;
    if (result == 0 && created->wish.user[0])
        result = spawn_find_user(created->wish.user, &created->user);
    if (result < 0) {
        launch_free(created);
        return result;
    }
    *launch = created;
    return 0;
}

bool launch_is_same(const struct launch *launch, const struct config_start *start)
{
    const struct config_start *wish = &launch->wish;
    return words_are_same(wish->command, wish->command_count, start->command,
                          start->command_count) &&
           words_are_same(wish->environment, wish->environment_count, start->environment,
                          start->environment_count) &&
           strcmp(wish->user, start->user ? start->user : "") == 0 && wish->cpu == start->cpu &&
           wish->restart_limit == start->restart_limit &&
           wish->restart_within_ns == start->restart_within_ns;
}

/* ---- figures ----------------------------------------------------------------------------- */

uint32_t launch_recent_restarts(const struct launch *launch)
{
    uint64_t now = ticks_now(), within = ticks_from_ns(launch->wish.restart_within_ns);
    uint32_t count = 0;
    for (uint32_t i = 0; i < CONFIG_RESTARTS_MAX; i++)
        count += launch->restarts[i] && now - launch->restarts[i] < within;
    return count;
}

struct launch_figures launch_figures(const struct launch *launch)
{
    static const char *const names[] = {[LAUNCH_STOPPED] = "stopped",
                                        [LAUNCH_WAITING] = "waiting",
                                        [LAUNCH_RUNNING] = "running",
                                        [LAUNCH_STOPPING] = "stopping",
                                        [LAUNCH_LIMPING] = "limp-home"};
    return (struct launch_figures){.state = names[launch->state],
                                   .pid = launch->pid,
                                   .starts = launch->starts,
                                   .restarts = launch_recent_restarts(launch),
                                   .limit = launch->wish.restart_limit};
}

/* ---- starting ---------------------------------------------------------------------------- */

int launch_spawn(const struct launch *launch, const char *socket_path, const cpu_set_t *cpus,
                 struct spawned *spawned)
{
    const struct config_start *wish = &launch->wish;
    char server[160], vm[32], client[32];
    const char *environment[CONFIG_WORDS_MAX + OWN_WORDS + 1];
    size_t count = 0;
    snprintf(server, sizeof(server), "IOREQD_SOCKET=%s", socket_path);
    snprintf(vm, sizeof(vm), "IOREQD_VM=%s", launch->vm);
    snprintf(client, sizeof(client), "IOREQD_CLIENT=%s", launch->name);
    for (; count < wish->environment_count; count++)
        environment[count] = wish->environment[count]; /* first: who looks finds these */
    environment[count++] = PATH_WORD;
    environment[count++] = server;
    environment[count++] = vm;
    environment[count++] = client;
    environment[count] = NULL;
    cpu_set_t own;
    CPU_ZERO(&own);
    if (wish->cpu < CPU_SETSIZE)
        CPU_SET(wish->cpu, &own);
    const struct spawn_options options = {
        .words = wish->command,
        .environment = environment,
        .user = &launch->user,
        .cpus = wish->cpu == CONFIG_CPU_ANY ? cpus : &own,
    };
    return spawn_process(&options, spawned);
}

/* ---- whether it can work ----------------------------------------------------------------- */

static void check_user(struct config *config, const struct config_start *start)
{
    struct spawn_user user;
    if (spawn_find_user(start->user, &user) < 0)
        config_report(config, start->user_mark,
                      "user: there is no user '%s' here; expected the name or the number of one",
                      start->user);
    else if (geteuid() != 0 && user.uid != geteuid())
        config_report(
            config, start->user_mark,
            "user: only root may start processes of '%s'; expected the server's own user, "
            "or none",
            start->user);
}

void launcher_check(struct config *config, const struct placement_machine *machine)
{
    for (size_t i = 0; i < config->client_count; i++) {
        const struct config_client *client = &config->clients[i];
        const struct config_start *start = &client->start;
        char reason[PLACEMENT_REASON_BYTES];
        if (!client->is_sound || start->command_count == 0)
            continue;
        if (access(start->command[0], X_OK) < 0)
            config_report(config, start->command_mark,
                          "command: %s: %s; expected a program that can be executed",
                          start->command[0], strerror(errno));
        if (start->user && start->user[0])
            check_user(config, start);
        if (start->cpu != CONFIG_CPU_ANY &&
            !placement_check(machine, start->cpu, reason, sizeof(reason)))
            config_report(config, start->cpu_mark, "cpu: %s", reason);
    }
}
