/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/ctl/eventfds.h"

#include "server/socket/wire.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#define RAISE_PAUSE_NS 2000000 /* edges that come closer than the guest takes them merge */

/* Sends one command with the eventfd and reads its reply. */
static int ask_with(const char *socket_path, int event, const char *command, const char *words)
{
    int server = wire_connect(socket_path);
    if (server < 0) {
        fprintf(stderr, "ioreqctl: no ioreqd answers on %s: %s\n", socket_path, strerror(-server));
        return server;
    }
    static char line[WIRE_LINE_MAX];
    const char *text = "";
    int result = wire_send_line_with(server, event, "%s %s", command, words);
    if (result == 0)
        result = wire_receive_line(server, line, sizeof(line), NULL);
    if (result == 0)
        result = wire_parse_reply(line, &text);
    if (result < 0)
        fprintf(stderr, "ioreqctl: %s: %s\n", command, text[0] ? text : strerror(-result));
    close(server);
    return result;
}

/* Prints until a signal ends it. */
static int watch(int event, int signals)
{
    for (;;) {
        struct pollfd ready[] = {{.fd = event, .events = POLLIN},
                                 {.fd = signals, .events = POLLIN}};
        if (poll(ready, 2, -1) < 0 && errno != EINTR)
            return -errno;
        uint64_t count;
        if ((ready[0].revents & POLLIN) && read(event, &count, sizeof(count)) == sizeof(count)) {
            printf("rang %" PRIu64 "\n", count);
            fflush(stdout);
        }
        if (ready[1].revents & POLLIN)
            return 0;
    }
}

int eventfds_watch(const char *socket_path, const char *words)
{
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigprocmask(SIG_BLOCK, &set, NULL);
    int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int signals = signalfd(-1, &set, SFD_CLOEXEC);
    if (event < 0 || signals < 0)
        return -errno;
    int result = ask_with(socket_path, event, "ioeventfd-assign", words);
    if (result == 0) {
        result = watch(event, signals);
        int removed = ask_with(socket_path, event, "ioeventfd-deassign", words);
        result = result < 0 ? result : removed;
    }
    close(signals);
    close(event);
    return result;
}

int eventfds_raise(const char *socket_path, const char *words, unsigned count)
{
    int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (event < 0)
        return -errno;
    int result = ask_with(socket_path, event, "irqfd-assign", words);
    const struct timespec pause = {.tv_nsec = RAISE_PAUSE_NS};
    for (unsigned i = 0; i < count && result == 0; i++) {
        nanosleep(&pause, NULL); /* the requester binds it meanwhile */
        if (eventfd_write(event, 1) < 0)
            result = -errno;
    }
    if (result == 0) {
        nanosleep(&pause, NULL);
        char vm[64];
        snprintf(vm, sizeof(vm), "%.*s", (int)strcspn(words, " "), words);
        result = ask_with(socket_path, event, "irqfd-deassign", vm);
    }
    close(event);
    return result;
}
