/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/control.h"

#include "server/event_loop.h"
#include "server/events.h"
#include "server/image.h"
#include "server/listener.h"
#include "server/log.h"
#include "server/stream.h"

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

/* What control does for one device. */
struct device_service {
    const struct client *client;
    struct stream *stream;
    uint64_t image_saved;
    bool image_failed; /* said once, not every second */
};

struct control {
    struct topology *topology;
    struct event_loop *loop;
    struct listener *listener;
    struct events *events;
    struct device_service *services; /* [service_count] */
    size_t service_count;
    uint64_t tick_count;
    int signal_descriptor;
    int timer_descriptor;
};

static void signal_set(sigset_t *set)
{
    sigemptyset(set);
    sigaddset(set, SIGTERM);
    sigaddset(set, SIGINT);
    sigaddset(set, SIGHUP);
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

/* ---- devices ------------------------------------------------------------------------------------
 */

static int services_open(struct control *control)
{
    const struct topology *topology = control->topology;
    size_t count = 0;
    for (size_t i = 0; i < topology->vm_count; i++)
        count += topology->vms[i].client_count;
    control->services = calloc(count + 1, sizeof(*control->services));
    if (!control->services)
        return -ENOMEM;
    for (size_t i = 0; i < topology->vm_count; i++) {
        for (size_t k = 0; k < topology->vms[i].client_count; k++) {
            struct device_service *service = &control->services[control->service_count];
            service->client = &topology->vms[i].clients[k].client;
            char announce[128];
            int result =
                stream_open(service->client->device, &service->stream, announce, sizeof(announce));
            if (result < 0) {
                log_error("client %s: cannot open %s: %s", service->client->name,
                          service->client->device->stream, strerror(-result));
                return result;
            }
            control->service_count++;
            if (announce[0])
                log_info("client %s: terminal at %s", service->client->name, announce);
        }
    }
    return 0;
}

static void services_pump(struct control *control)
{
    for (size_t i = 0; i < control->service_count; i++)
        if (control->services[i].stream)
            stream_pump(control->services[i].stream);
}

static void services_save(struct control *control)
{
    for (size_t i = 0; i < control->service_count; i++) {
        struct device_service *service = &control->services[i];
        const struct device_image *image = service->client->device->image;
        int result = image ? image_save_if_changed(image, &service->image_saved) : 0;
        if (result < 0 && !service->image_failed)
            log_warning("client %s: cannot write %s: %s; trying again every second",
                        service->client->name, image->path, strerror(-result));
        service->image_failed = result < 0;
    }
}

static void services_close(struct control *control)
{
    services_save(control);
    for (size_t i = 0; i < control->service_count; i++) {
        struct device_service *service = &control->services[i];
        stream_close(service->stream);
    }
    free(control->services);
}

/* ---- timer and signals --------------------------------------------------------------------------
 */

static void timer_ready(void *context, uint32_t events)
{
    (void)events;
    struct control *control = context;
    uint64_t expirations;
    if (read(control->timer_descriptor, &expirations, sizeof(expirations)) < 0)
        return;
    services_pump(control);
    if (++control->tick_count % TICKS_PER_SECOND != 0)
        return;
    services_save(control);
    events_report(control->events);
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
        log_info("SIGHUP: the configuration is read at start only; restart to apply a new one");
        return;
    }
    log_info("%s: settling what is in flight", strsignal((int)signal_info.ssi_signo));
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

/* ---- life ---------------------------------------------------------------------------------------
 */

static int control_start(struct control *control)
{
    int result = event_loop_create(&control->loop);
    if (result < 0) {
        log_error("io_uring is not to be had: %s%s", strerror(-result),
                  result == -EPERM ? "; allow it with sysctl kernel.io_uring_disabled=0" : "");
        return result;
    }
    control->events = events_create(control->topology);
    if (!control->events)
        return -ENOMEM;
    result = services_open(control);
    if (result == 0)
        result = watch_signals_and_timer(control);
    if (result == 0)
        result = topology_start(control->topology);
    if (result < 0)
        return result;
    const char *path = control->topology->config->server.socket;
    result = listener_create(control->loop, control->topology, &control->listener);
    if (result == -EADDRINUSE)
        log_error("another ioreqd answers on %s; stop it, or give this one its own server: socket",
                  path);
    else if (result < 0)
        log_error("cannot listen on %s: %s", path, strerror(-result));
    else
        log_info("ready on %s", path);
    return result;
}

int control_run(struct topology *topology)
{
    struct control control = {
        .topology = topology,
        .signal_descriptor = -1,
        .timer_descriptor = -1,
    };
    int result = control_start(&control);
    if (result == 0)
        result = event_loop_run(control.loop);
    if (control.listener)
        listener_stop(control.listener);
    if (topology->is_started) {
        int settled = topology_settle(topology, topology->config->server.settle_ns);
        result = result < 0 ? result : settled;
    }
    listener_destroy(control.listener);
    services_close(&control);
    events_destroy(control.events);
    if (control.signal_descriptor >= 0)
        close(control.signal_descriptor);
    if (control.timer_descriptor >= 0)
        close(control.timer_descriptor);
    event_loop_destroy(control.loop);
    return result;
}
