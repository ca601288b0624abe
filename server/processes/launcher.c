/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/processes/launcher.h"

#include "pollers/ticks.h"
#include "server/log.h"
#include "server/processes/launch.h"
#include "server/processes/registration.h"
#include "server/topology.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DELAY_NS_MIN 50000000ull /* before the second restart; twice that before the third ... */
#define DELAY_NS_MAX 5000000000ull
#define TAKEN_NS     20000000ull /* until it is looked again whether the client is free */

struct launcher {
    struct event_loop *loop;
    const char *socket_path;
    cpu_set_t cpus;       /* of a process that names none */
    struct launch *first; /* all of them */
    bool is_open_to_all;  /* the socket's mode lets other users connect */
};

/* ---- life -------------------------------------------------------------------------------- */

static bool is_poller_cpu(const struct topology *topology, uint32_t cpu)
{
    for (size_t i = 0; i < topology->poller_count; i++)
        if (topology->pollers[i].cpu == cpu)
            return true;
    return false;
}

/* Where we may run, but for the pollers' CPUs and those that the kernel keeps free. */
static void choose_cpus(const struct topology *topology, cpu_set_t *cpus)
{
    const struct placement_machine *machine = placement_machine(topology->placement);
    CPU_ZERO(cpus);
    for (size_t i = 0; i < machine->cpu_count; i++) {
        const struct placement_cpu *cpu = &machine->cpus[i];
        if (cpu->is_usable && cpu->is_inherited && !cpu->is_isolated && cpu->cpu < CPU_SETSIZE &&
            !is_poller_cpu(topology, cpu->cpu))
            CPU_SET(cpu->cpu, cpus);
    }
    if (CPU_COUNT(cpus) == 0)
        CPU_SET(topology->plan->control->cpu, cpus);
}

int launcher_create(struct event_loop *loop, const char *socket_path,
                    const struct topology *topology, struct launcher **launcher)
{
    struct launcher *created = calloc(1, sizeof(*created));
    if (!created)
        return -ENOMEM;
    created->loop = loop;
    created->socket_path = socket_path;
    choose_cpus(topology, &created->cpus);
    *launcher = created;
    return 0;
}

void launcher_destroy(struct launcher *launcher)
{
    struct launch *next;
    for (struct launch *each = launcher ? launcher->first : NULL; each; each = next) {
        next = each->next;
        if (each->client)
            each->client->launch = NULL;
        launch_free(each);
    }
    free(launcher);
}

static void forget(struct launcher *launcher, struct launch *launch)
{
    struct launch **link = &launcher->first;
    while (*link != launch)
        link = &(*link)->next;
    *link = launch->next;
    launch_free(launch);
}

/* ---- starting ---------------------------------------------------------------------------- */

static void wait_for(struct launch *launch, uint64_t delay_ns)
{
    launch->state = LAUNCH_WAITING;
    launch->due_ticks = ticks_now() + ticks_from_ns(delay_ns);
}

/* Nobody will serve it: whatever waits for a successor is settled, now or by the next poll. */
static void stand_down(struct launch *launch, enum launch_state state)
{
    launch->state = state;
    launch->settles = true;
}

static void limp(struct launch *launch)
{
    stand_down(launch, LAUNCH_LIMPING);
    log_error("vm %s: client %s: limp-home: its process was started again %llu times within %llu "
              "ms; its ranges are answered for at once, until `ioreqctl client-start %s %s`",
              launch->vm, launch->name, (unsigned long long)launch->wish.restart_limit,
              (unsigned long long)(launch->wish.restart_within_ns / 1000000), launch->vm,
              launch->name);
}

static void process_ready(void *context, uint32_t events);

/* So many restarts count already: how long the next one waits. All that are allowed fit into the time
 * in which they count, or the limit would never be reached. */
static uint64_t delay_ns(const struct launch *launch, uint32_t count)
{
    uint64_t most = launch->wish.restart_within_ns / (2 * (launch->wish.restart_limit + 1));
    uint64_t delay = count == 0 ? 0 : DELAY_NS_MIN << (count < 16 ? count - 1 : 15);
    delay = delay < DELAY_NS_MAX ? delay : DELAY_NS_MAX;
    return delay < most ? delay : most;
}

/* It died, or could not be started. */
static void start_again(struct launch *launch)
{
    uint32_t count = launch_recent_restarts(launch);
    if (count >= launch->wish.restart_limit) {
        limp(launch);
        return;
    }
    wait_for(launch, delay_ns(launch, count));
    launch->restarts[launch->restart_next] = ticks_now();
    launch->restart_next = (launch->restart_next + 1) % CONFIG_RESTARTS_MAX;
}

/* A user who is neither ours nor root's must be able to reach the socket; who may say what is decided
 * by credentials. */
static void open_socket(struct launcher *launcher, const struct launch *launch)
{
    if (!launch->user.is_set || launcher->is_open_to_all)
        return;
    launcher->is_open_to_all = chmod(launcher->socket_path, 0666) == 0;
    if (!launcher->is_open_to_all)
        log_warning("%s cannot be opened to other users: %s", launcher->socket_path,
                    strerror(errno));
}

static int start_process(struct launcher *launcher, struct launch *launch)
{
    struct spawned spawned;
    open_socket(launcher, launch);
    int result = launch_spawn(launch, launcher->socket_path, &launcher->cpus, &spawned);
    if (result < 0) {
        log_error("vm %s: client %s: %s: %s: %s; expected a program that this user may execute",
                  launch->vm, launch->name, launch->wish.command[0], spawned.step,
                  strerror(-result));
        return result;
    }
    launch->pid = spawned.pid;
    launch->descriptor = spawned.descriptor;
    launch->state = LAUNCH_RUNNING;
    launch->starts++;
    launch->alone_ticks = ticks_now();
    result = event_loop_watch(launcher->loop, launch->descriptor, POLLIN, process_ready, launch,
                              &launch->watch);
    if (result < 0) { /* the tick looks on */
        launch->watch = NULL;
        log_warning("vm %s: client %s: its death will be seen late: %s", launch->vm, launch->name,
                    strerror(-result));
    }
    log_info("vm %s: client %s: started %s as process %d", launch->vm, launch->name,
             launch->wish.command[0], (int)launch->pid);
    return 0;
}

/* True: a process of before has yet to end. */
static bool has_predecessor(const struct launch *launch)
{
    for (const struct launch *each = launch->launcher->first; each; each = each->next)
        if (!each->client && each->pid && strcmp(each->vm, launch->vm) == 0 &&
            strcmp(each->name, launch->name) == 0)
            return true;
    return false;
}

static void start(struct launch *launch)
{
    /* Somebody else was faster, or is on the way out. */
    if (launch->client->registration || has_predecessor(launch)) {
        wait_for(launch, TAKEN_NS);
        return;
    }
    if (start_process(launch->launcher, launch) < 0)
        start_again(launch);
}

/* ---- the end of a process ---------------------------------------------------------------- */

static void tell_end(const struct launch *launch, const struct spawn_end *end)
{
    if (end->signal)
        log_warning("vm %s: client %s: process %d was ended by signal %d (%s)", launch->vm,
                    launch->name, (int)launch->pid, end->signal, strsignal(end->signal));
    else if (end->exit_code)
        log_warning("vm %s: client %s: process %d ended with exit code %d", launch->vm,
                    launch->name, (int)launch->pid, end->exit_code);
    else
        log_info("vm %s: client %s: process %d has ended by itself", launch->vm, launch->name,
                 (int)launch->pid);
}

/* Looks whether it lives. May free launch. */
static void look(struct launch *launch)
{
    struct spawn_end end;
    if (!launch->pid || !spawn_reap(launch->pid, launch->descriptor, &end))
        return;
    pid_t pid = launch->pid;
    tell_end(launch, &end);
    if (launch->watch)
        event_loop_unwatch(launch->watch);
    close(launch->descriptor);
    launch->watch = NULL;
    launch->descriptor = -1;
    launch->pid = 0;
    if (!launch->client) {
        forget(launch->launcher, launch);
        return;
    }
    registration_process_ended(launch->client, pid);
    if (launch->state == LAUNCH_STOPPING && launch->starts_again)
        wait_for(launch, 0);
    else if (launch->state == LAUNCH_STOPPING || end.exit_code == 0)
        stand_down(launch, LAUNCH_STOPPED);
    else
        start_again(launch);
    launch->starts_again = false;
    launch_poll(launch);
}

static void process_ready(void *context, uint32_t events)
{
    (void)events;
    look(context);
}

static void stop(struct launch *launch, bool starts_again)
{
    launch->starts_again = starts_again;
    if (launch->state == LAUNCH_STOPPING)
        return;
    launch->state = LAUNCH_STOPPING;
    launch->due_ticks = ticks_now() + ticks_from_ns(LAUNCH_STOP_NS);
    spawn_signal(launch->pid, SIGTERM);
}

/* ---- each tick --------------------------------------------------------------------------- */

/* Lives, but serves nobody. */
static void watch_for_registration(struct launch *launch, uint64_t now)
{
    if (launch->client->registration)
        launch->alone_ticks = now;
    if (now - launch->alone_ticks < ticks_from_ns(LAUNCH_REGISTER_NS))
        return;
    log_warning("vm %s: client %s: process %d has not registered for %llu s; it is killed",
                launch->vm, launch->name, (int)launch->pid, LAUNCH_REGISTER_NS / 1000000000ull);
    launch->alone_ticks = now;
    spawn_signal(launch->pid, SIGKILL);
}

void launch_poll(struct launch *launch)
{
    uint64_t now = ticks_now();
    bool is_served = launch->client && launch->client->registration;
    if (launch->state == LAUNCH_LIMPING && is_served) {
        log_info("vm %s: client %s: another process serves it; limp-home is over", launch->vm,
                 launch->name);
        launch->state = LAUNCH_STOPPED;
    }
    if (launch->settles && launch->client && !is_served)
        registration_give_up(launch->client);
    launch->settles = false;
    if (launch->state == LAUNCH_WAITING && (int64_t)(now - launch->due_ticks) >= 0)
        start(launch);
    else if (launch->state == LAUNCH_RUNNING)
        watch_for_registration(launch, now);
    else if (launch->state == LAUNCH_STOPPING && (int64_t)(now - launch->due_ticks) >= 0)
        spawn_signal(launch->pid, SIGKILL);
}

void launcher_poll(struct launcher *launcher)
{
    struct launch *next;
    for (struct launch *each = launcher->first; each; each = next) {
        next = each->next;
        if (each->pid && !each->watch)
            look(each);
        else
            launch_poll(each);
    }
}

/* ---- at the end -------------------------------------------------------------------------- */

/* Those that live; the others are forgotten. */
static size_t count_living(struct launcher *launcher)
{
    size_t count = 0;
    for (struct launch *each = launcher->first; each; each = each->next) {
        struct spawn_end end;
        if (each->pid && spawn_reap(each->pid, each->descriptor, &end))
            each->pid = 0;
        count += each->pid != 0;
    }
    return count;
}

void launcher_stop(struct launcher *launcher, bool is_brief)
{
    static const int signals[] = {SIGTERM, SIGKILL};
    for (size_t i = is_brief ? 1 : 0; launcher && i < 2 && count_living(launcher) > 0; i++) {
        for (struct launch *each = launcher->first; each; each = each->next)
            if (each->pid)
                spawn_signal(each->pid, signals[i]);
        uint64_t until = ticks_now() + ticks_from_ns(LAUNCH_STOP_NS);
        while (count_living(launcher) > 0 && ticks_now() < until) {
            struct timespec pause = {.tv_nsec = 1000000};
            nanosleep(&pause, NULL);
        }
    }
}

/* ---- what the configuration says --------------------------------------------------------- */

static int add(struct launcher *launcher, struct vm_client *client, struct launch *launch)
{
    launch->launcher = launcher;
    launch->client = client;
    launch->next = launcher->first;
    launcher->first = launch;
    client->launch = launch;
    wait_for(launch, 0);
    return 0;
}

int launcher_set(struct launcher *launcher, struct vm_client *client,
                 const struct config_start *start)
{
    struct launch *launch = client->launch, *next = NULL;
    if (!launcher || (launch && launch_is_same(launch, start)))
        return 0;
    if (start->command_count > 0) {
        int result = launch_create(client, start, &next);
        if (result < 0) {
            log_error("vm %s: client %s: its process cannot be started: %s", client->vm->name,
                      client->client.name, strerror(-result));
            return result;
        }
    }
    if (launch)
        launcher_remove(client);
    return next ? add(launcher, client, next) : 0;
}

void launcher_remove(struct vm_client *client)
{
    struct launch *launch = client->launch;
    client->launch = NULL;
    if (!launch)
        return;
    launch->client = NULL;
    if (launch->pid)
        stop(launch, false);
    else
        forget(launch->launcher, launch);
}

/* ---- by the operator --------------------------------------------------------------------- */

int launcher_start_client(struct vm_client *client)
{
    struct launch *launch = client->launch;
    if (!launch)
        return -EINVAL;
    if (launch->state == LAUNCH_RUNNING)
        return -EALREADY;
    memset(launch->restarts, 0, sizeof(launch->restarts));
    if (launch->state == LAUNCH_STOPPING)
        launch->starts_again = true;
    else
        wait_for(launch, 0);
    return 0;
}

int launcher_stop_client(struct vm_client *client)
{
    struct launch *launch = client->launch;
    if (!launch)
        return -EINVAL;
    if (launch->state == LAUNCH_STOPPED)
        return -EALREADY;
    if (launch->pid)
        stop(launch, false);
    else
        stand_down(launch, LAUNCH_STOPPED);
    return 0;
}

/* ---- who may connect --------------------------------------------------------------------- */

static const struct launch *find(const struct launcher *launcher, pid_t pid)
{
    for (const struct launch *each = launcher ? launcher->first : NULL; each; each = each->next)
        if (each->pid == pid)
            return each;
    return NULL;
}

bool launcher_knows(const struct launcher *launcher, pid_t pid)
{
    return pid > 0 && find(launcher, pid);
}

bool launcher_allows(const struct launcher *launcher, pid_t pid, const char *line)
{
    static const char *const commands[] = {"client-register", "range-add", "range-delete"};
    const struct launch *launch = pid > 0 ? find(launcher, pid) : NULL;
    for (size_t i = 0; launch && launch->client && i < 3; i++) {
        char begin[64];
        int length =
            snprintf(begin, sizeof(begin), "%s %s %s", commands[i], launch->vm, launch->name);
        if (strncmp(line, begin, (size_t)length) == 0 &&
            (line[length] == '\0' || line[length] == ' '))
            return true;
    }
    return false;
}
