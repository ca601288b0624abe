/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/control.h"

#include "pollers/ring.h"
#include "server/devices/service.h"
#include "server/event_loop.h"
#include "server/events.h"
#include "server/log.h"
#include "server/processes/launcher.h"
#include "server/processes/registration.h"
#include "server/restart/adoption.h"
#include "server/restart/keeper.h"
#include "server/socket/listener.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define TICK_NS          10000000 /* typed bytes and console lines appear within that */
#define TICKS_PER_SECOND 100

struct control {
    struct topology *topology;
    struct reload reload;
    struct event_loop *loop;
    struct listener *listener;
    uint64_t tick_count;
    int signal_descriptor;
    int timer_descriptor;
    bool makes_room; /* for a successor: SIGUSR2 */
};

static void signal_set(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
    sigaddset(set, SIGUSR2);
}

void control_block_signals(void)
{
    sigset_t set;
    signal_set(&set);
    sigprocmask(SIG_BLOCK, &set, NULL);
    /* Broken pipes are seen where they are written to; a terminal in the background stops nobody.
     */
    signal(SIGPIPE, SIG_IGN);
    signal(SIGTTIN, SIG_IGN);
    signal(SIGTTOU, SIG_IGN);
}

/* ---- timer and signals ------------------------------------------------------------------- */

static void timer_ready(void *context, uint32_t events)
{
    (void)events;
    struct control *control = context;
    uint64_t expirations;
    if (read(control->timer_descriptor, &expirations, sizeof(expirations)) < 0)
        return;
    services_pump(control->topology);
    topology_poll(control->topology);
    registrations_poll(control->topology);
    launcher_poll(control->topology->launcher);
    listener_poll(control->listener);
    if (++control->tick_count % TICKS_PER_SECOND != 0)
        return;
    topology_tick(control->topology);
    services_save(control->topology);
    events_report(control->topology);
    listener_tick(control->listener);
}

static void signal_ready(void *context, uint32_t events)
{
    (void)events;
    struct control *control = context;
    struct signalfd_siginfo signal_info;
    if (read(control->signal_descriptor, &signal_info, sizeof(signal_info)) < 0)
        return;
    if (signal_info.ssi_signo == SIGHUP) {
        reload_run(&control->reload);
        return;
    }
    control->makes_room = signal_info.ssi_signo == SIGUSR2 && control->topology->journal;
    log_info("%s: %s", strsignal((int)signal_info.ssi_signo),
             control->makes_room ? "leaving what is in flight to a successor"
                                 : "settling what is in flight");
    event_loop_stop(control->loop);
}

static int watch_signals_and_timer(struct control *control)
{
    sigset_t set;
    signal_set(&set);
    struct event_watch *watch;
    control->signal_descriptor = signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
    control->timer_descriptor = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    const struct itimerspec period = {.it_interval.tv_nsec = TICK_NS, .it_value.tv_nsec = TICK_NS};
    if (control->signal_descriptor < 0 || control->timer_descriptor < 0 ||
        timerfd_settime(control->timer_descriptor, 0, &period, NULL) < 0)
        return -errno;
    int result = event_loop_watch(control->loop, control->signal_descriptor, POLLIN, signal_ready,
                                  control, &watch);
    if (result == 0)
        result = event_loop_watch(control->loop, control->timer_descriptor, POLLIN, timer_ready,
                                  control, &watch);
    return result;
}

/* ---- life -------------------------------------------------------------------------------- */

static int control_listen(struct control *control, const struct config_server *server)
{
    int result = event_loop_create(&control->loop);
    if (result < 0) {
        log_error("cannot wait for events: %s", strerror(-result));
        return result;
    }
    result = listener_create(control->loop, server, &control->listener);
    if (result == -EADDRINUSE)
        log_error("another ioreqd answers on %s; stop it, or give this one its own server: socket",
                  server->socket);
    else if (result < 0)
        log_error("cannot listen on %s: %s; expected a path in a folder that exists and may be "
                  "written, by server: socket or --socket",
                  server->socket, strerror(-result));
    return result;
}

static int control_start(struct control *control, const struct config *config)
{
    int result = control_listen(control, &config->server);
    control->topology->loop = control->loop;
    if (result == 0)
        result = launcher_create(control->loop, config->server.socket, control->topology,
                                 &control->topology->launcher);
    if (result == 0)
        result = watch_signals_and_timer(control);
    if (result == 0) {
        adoption_begin(control->topology);
        result = topology_populate(control->topology, config);
    }
    const struct command_context context = {control->topology, &control->reload};
    if (result == 0) {
        commands_run_again(&context);
        result = topology_take_on(control->topology);
    }
    if (result == 0)
        adoption_end(control->topology);
    if (result == 0)
        result = topology_start(control->topology);
    if (result == 0)
        result = listener_start(control->listener, &context);
    if (result == 0)
        log_info("ready on %s", config->server.socket);
    if (result == 0)
        keeper_tell_ready();
    return result;
}

int control_run(struct topology *topology, const struct config *config,
                const struct config_device_kind *kinds, size_t kind_count)
{
    struct control control = {
        .topology = topology,
        .reload = {.topology = topology,
                   .first = config,
                   .current = config,
                   .kinds = kinds,
                   .kind_count = kind_count},
        .signal_descriptor = -1,
        .timer_descriptor = -1,
    };
    int result = control_start(&control, config);
    if (result == 0)
        result = event_loop_run(control.loop);
    if (control.listener)
        listener_stop(control.listener);
    if (topology->is_started) {
        keeper_tell_stopping();
        int settled = control.makes_room ? topology_leave(topology) : topology_settle(topology);
        result = result < 0 ? result : settled;
        if (!control.makes_room)
            adoption_forget(topology);
    }
    launcher_stop(topology->launcher, control.makes_room);
    services_close(topology);
    listener_destroy(control.listener);
    launcher_destroy(topology->launcher);
    topology->launcher = NULL;
    reload_fini(&control.reload);
    if (control.signal_descriptor >= 0)
        close(control.signal_descriptor);
    if (control.timer_descriptor >= 0)
        close(control.timer_descriptor);
    topology->loop = NULL;
    event_loop_destroy(control.loop);
    return result;
}
