/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Any bytes from peers of the server's socket, in any pieces, with and without descriptors, from peers
 * that stay, leave, or end half of it: real connections, commands and registrations, without threads.
 * Whatever they say, a reply is `ok` or `error ERRNO REASON`, a process is given three descriptors or
 * none, a client has at most one, and when all peers have gone there is no registration and no
 * descriptor left.
 *
 * Text, so that the corpus can be read; these bytes do something instead of being sent:
 *   1 the next piece comes with a descriptor    2 with three of them      3 a new peer, up to four
 *   4 this peer sends no more                   5 this peer is gone       6 a tick of control
 *   7 a request for the client, and a round of the poller
 */
#include "clients/channel.h"
#include "pollers/notifier.h"
#include "pollers/poller_internal.h"
#include "server/devices/device_options.h"
#include "server/log.h"
#include "server/processes/registration.h"
#include "server/socket/connection.h"
#include "server/socket/descriptor_passing.h"
#include "tests/support/chosen_cpu.h"

#include <dirent.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define PEERS_MAX 4u

static struct topology topology;
static struct topology_poller topology_poller;
static struct reload reload; /* the kinds of devices; there is no file to read anew */
static struct event_loop *loop;
static struct connections connections;
static int stop_descriptor;
static int peers[PEERS_MAX], passed;

/* In place of server/log.c: a line for each would be all that is seen of a run. */
void log_info(const char *format, ...)
{
    (void)format;
}

void log_warning(const char *format, ...)
{
    (void)format;
}

void log_error(const char *format, ...)
{
    (void)format;
}

uint64_t log_lines_lost(void)
{
    return 0;
}

static void require(bool holds)
{
    if (!holds)
        abort();
}

static void stop_ready(void *context, uint32_t events)
{
    uint64_t count;
    (void)context;
    (void)events;
    if (read(stop_descriptor, &count, sizeof(count)) > 0)
        event_loop_stop(loop);
}

/* What is ready now, and what that makes ready. */
static void run_loop(void)
{
    const uint64_t one = 1;
    for (int i = 0; i < 3; i++) {
        require(write(stop_descriptor, &one, sizeof(one)) == sizeof(one));
        require(event_loop_run(loop) == 0);
    }
}

static void create_world(void)
{
    struct event_watch *watch;
    require(placement_open(&topology.placement) == 0 && notifier_create(&topology.notifier) == 0);
    topology.pollers = &topology_poller;
    topology.poller_count = 1;
    strcpy(topology_poller.name, "rt");
    const struct poller_options options = {.name = topology_poller.name,
                                           .placement = topology.placement,
                                           .cpu = chosen_cpu(topology.placement, 0, 1),
                                           .idle = POLLER_IDLE_YIELD};
    topology_poller.cpu = options.cpu;
    require(poller_create(&options, &topology_poller.poller) == 0);
    require(notifier_add_port(topology.notifier, MEMORY_ANY_NODE, &topology_poller.notifier_port) ==
            0);
    require(event_loop_create(&loop) == 0);
    stop_descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    require(event_loop_watch(loop, stop_descriptor, POLLIN, stop_ready, NULL, &watch) == 0);
    reload.kinds = device_config_kinds(&reload.kind_count);
    connections =
        (struct connections){.loop = loop, .context = {.topology = &topology, .reload = &reload}};
}

/* A line of the operator's. */
static void command(const char *line)
{
    struct command_reply reply = command_run(&connections.context, line, 0, -1);
    require(reply.text && strncmp(reply.text, "ok", 2) == 0);
    free(reply.text);
}

static uint32_t count_descriptors(void)
{
    uint32_t count = 0;
    DIR *folder = opendir("/proc/self/fd");
    require(folder != NULL);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

/* ---- peers ------------------------------------------------------------------------------- */

static uint32_t newest(void)
{
    uint32_t index = 0;
    for (uint32_t i = 0; i < PEERS_MAX; i++)
        if (peers[i] >= 0)
            index = i;
    return index;
}

static void come(void)
{
    int pair[2];
    uint32_t index = 0;
    while (index < PEERS_MAX && peers[index] >= 0)
        index++;
    if (index == PEERS_MAX)
        return;
    require(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair) == 0);
    peers[index] = pair[0];
    connection_open(&connections, pair[1], getpid(), index != 0); /* one as a process of ours */
}

/* The descriptors of a reply: a channel's, or nothing of ours. */
static uint32_t close_rights(struct msghdr *message)
{
    uint32_t count = 0;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
         header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < (header->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++, count++) {
            int descriptor;
            memcpy(&descriptor, CMSG_DATA(header) + i * sizeof(int), sizeof(int));
            close(descriptor);
        }
    }
    return count;
}

/* What the server said to this peer so far; the first piece begins with a reply. */
static void hear(uint32_t index)
{
    static char text[1 << 16];
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(8 * sizeof(int))];
    } control;
    struct iovec piece = {text, sizeof(text) - 1};
    struct msghdr message = {.msg_iov = &piece,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    ssize_t count = recvmsg(peers[index], &message, MSG_CMSG_CLOEXEC);
    if (count <= 0)
        return;
    text[count] = '\0';
    uint32_t descriptors = close_rights(&message);
    if (strncmp(text, "ok version=", 11) == 0)
        require(descriptors == REGISTRATION_DESCRIPTORS);
    else if (strncmp(text, "error ", 6) == 0)
        require(descriptors == 0 && text[6] >= '1' && text[6] <= '9' && strchr(text, '\n'));
}

static void leave(uint32_t index)
{
    if (peers[index] < 0)
        return;
    hear(index);
    close(peers[index]);
    peers[index] = -1;
}

static void say(const uint8_t *bytes, size_t length, uint32_t descriptor_count)
{
    const int descriptors[] = {passed, passed, passed};
    uint32_t index = newest();
    if (peers[index] < 0)
        come();
    /* What does not fit is lost: a peer that sends more than the server takes. */
    if (length && descriptors_send(peers[index], bytes, length, descriptors, descriptor_count) < 0)
        leave(index);
    run_loop();
}

/* ---- the guest --------------------------------------------------------------------------- */

static void ask(void)
{
    struct vm *vm = topology_find_vm(&topology, "guest");
    if (vm && vm->source.slots) {
        struct acrn_io_request *slot = &vm->source.slots[0];
        slot->type = 1;
        slot->completion_polling = 1;
        slot->reqs.mmio_request.direction = 0;
        slot->reqs.mmio_request.address = 0xfe100000;
        slot->reqs.mmio_request.size = 8;
        if (slot->processed == SLOT_FREE || slot->processed == SLOT_COMPLETE)
            __atomic_store_n(&slot->processed, SLOT_PENDING, __ATOMIC_RELEASE);
    }
    poller_round(topology_poller.poller);
}

/* ---- one input --------------------------------------------------------------------------- */

static void tick(void)
{
    topology_poll(&topology);
    registrations_poll(&topology);
    connections_poll(&connections);
    run_loop();
}

/* No client is served by more than it should be, and nobody by a peer that is not there. */
static void check(void)
{
    uint32_t served = 0;
    for (size_t i = 0; i < topology.vm_count; i++)
        for (uint32_t k = 0; k < topology.vms[i]->client_count; k++)
            served += topology.vms[i]->clients[k]->registration != NULL;
    require(served <= connections.count);
}

static void play(const uint8_t *bytes, size_t size)
{
    uint32_t descriptor_count = 0;
    size_t begin = 0;
    for (size_t i = 0; i <= size; i++) {
        bool is_act = i < size && bytes[i] >= 1 && bytes[i] <= 7;
        if (i < size && !is_act)
            continue;
        if (i > begin) {
            say(bytes + begin, i - begin, descriptor_count);
            descriptor_count = 0;
        }
        begin = i + 1;
        if (!is_act)
            break;
        switch (bytes[i]) {
        case 1:
        case 2:
            descriptor_count = bytes[i] == 1 ? 1 : 3;
            break;
        case 3:
            come();
            break;
        case 4:
            if (peers[newest()] >= 0)
                shutdown(peers[newest()], SHUT_WR);
            run_loop();
            break;
        case 5:
            leave(newest());
            run_loop();
            break;
        case 6:
            tick();
            break;
        default:
            ask();
        }
        check();
    }
}

/* Devices that open files or terminals are the configuration's own fuzz target's, and no business of
 * a fuzzer. */
static bool is_tame(const uint8_t *bytes, size_t size)
{
    static const char *const wild[] = {"\\", "console", "uart", "nvram", "cmos", "reload"};
    for (size_t i = 0; i < sizeof(wild) / sizeof(wild[0]); i++)
        if (memmem(bytes, size, wild[i], strlen(wild[i])))
            return false;
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    if (!loop)
        create_world();
    if (!is_tame(bytes, size))
        return -1;
    command("vm-create {name: guest, vcpus: 2, source: memfd, poller: rt}");
    command("client-create {name: outside, vm: guest, device: process, ranges: "
            "[{type: mmio, first: 0xfe100000, last: 0xfe100fff}]}");
    command("client-create {name: bank, vm: guest, device: register_bank, ranges: [{type: mmio, "
            "first: 0xfe000000, last: 0xfe000007}], options: {registers: [{name: a, offset: 0, "
            "size: 8}]}}");
    passed = memfd_create("passed", MFD_CLOEXEC);
    require(passed >= 0);
    uint32_t descriptors = count_descriptors();
    for (uint32_t i = 0; i < PEERS_MAX; i++)
        peers[i] = -1;
    play(bytes, size);
    for (uint32_t i = 0; i < PEERS_MAX; i++)
        leave(i);
    for (int i = 0; i < 4; i++)
        tick();
    connections_end(&connections);
    run_loop();
    check();
    while (topology.vm_count > 0 && strcmp(topology.vms[0]->name, "guest") != 0)
        require(vm_destroy(topology.vms[0]) == 0);
    if (topology.vm_count == 1 && topology.vms[0]->client_count == 2)
        require(count_descriptors() <= descriptors + 1); /* its page, once it was asked for */
    close(passed);
    while (topology.vm_count > 0)
        require(vm_destroy(topology.vms[0]) == 0);
    return 0;
}
