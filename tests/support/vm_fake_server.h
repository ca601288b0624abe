/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vm_fake_server.h - a server of one VM in a thread, for tests of the requester side.
 *
 * Flow:    fake_server_start -> tests attach to socket_path -> fake_server_stop. Slots are freed
 *          at each attach; one requester at a time.
 * Threads: the server's own one answers, yielding; `answer` runs on it.
 * Memory:  the caller's; answer's context, too.
 * Errors:  asserted: a test cannot go on.
 */
#ifndef TESTS_SUPPORT_VM_FAKE_SERVER_H
#define TESTS_SUPPORT_VM_FAKE_SERVER_H

#include "pollers/slot.h"
#include "server/vm/requester.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

/* What a small machine keeps: enough for firmware, and for load's default mix. */
struct fake_machine {
    uint8_t bank[4096];    /* at MMIO 0xfe000000 */
    char console[1 << 16]; /* bytes written to port 0x402 */
    size_t console_length;
    uint8_t rtc_index;
    uint8_t rtc_time; /* counts on with each read of a time register */
    uint8_t nvram[128];
    uint64_t tampered_address; /* reads of it give a wrong answer; 0: none */
    uint64_t requests;
};

struct fake_server {
    char directory[64];
    char socket_path[96];
    uint32_t vcpu_count;
    const char *refusal;    /* sent instead of "ok ..." */
    const char *more;       /* fields behind vcpus=; NULL: none */
    bool passes_nothing;    /* "ok" without a descriptor */
    bool passes_once;       /* whoever attaches again shows the page it has */
    bool passes_twice;      /* two descriptors */
    bool is_unsealed;       /* the page could shrink */
    uint32_t attach_count;  /* its own thread's until stopped */
    _Atomic uint64_t turns; /* see fake_server_sync */
    _Atomic bool holds;     /* answers nothing meanwhile */
    _Atomic bool cuts;      /* closes the connection once */
    _Atomic bool stops;
    void (*answer)(void *context, uint32_t vcpu, struct requester_access *access);
    void *context;
    int listen_fd;
    int page_fd;
    int connection_fd;
    struct acrn_io_request *slots;
    pthread_t thread;
};

static inline uint64_t fake_machine_read_rtc(struct fake_machine *machine)
{
    switch (machine->rtc_index) {
    case 0x00:
    case 0x0a:
        return (machine->rtc_time += 0x80) | 1; /* bit 7 toggles: update in progress */
    case 0x35:
        return 0x03; /* (64 - 16) MiB in units of 64 KiB */
    default:
        return machine->nvram[machine->rtc_index];
    }
}

static inline void fake_machine_answer(void *context, uint32_t vcpu,
                                       struct requester_access *access)
{
    struct fake_machine *machine = context;
    bool is_read = access->direction == REQUEST_READ;
    uint64_t offset = access->address - 0xfe000000u;
    uint64_t value = request_ones((uint32_t)access->size_bytes);
    (void)vcpu;
    machine->requests++;
    if (access->type == REQUEST_MMIO && offset < sizeof(machine->bank) &&
        access->size_bytes <= sizeof(machine->bank) - offset) {
        if (is_read) {
            value = 0;
            memcpy(&value, machine->bank + offset, access->size_bytes);
        } else {
            memcpy(machine->bank + offset, &access->value, access->size_bytes);
        }
    } else if (access->type == REQUEST_PORTIO && access->address == 0x402) {
        value = 0xe9;
        if (!is_read && machine->console_length < sizeof(machine->console) - 1)
            machine->console[machine->console_length++] = (char)access->value;
    } else if (access->type == REQUEST_PORTIO && access->address == 0x70 && !is_read) {
        machine->rtc_index = access->value & 0x7f;
    } else if (access->type == REQUEST_PORTIO && access->address == 0x71) {
        if (is_read)
            value = fake_machine_read_rtc(machine);
        else
            machine->nvram[machine->rtc_index] = (uint8_t)access->value;
    }
    if (is_read && machine->tampered_address && access->address == machine->tampered_address)
        value ^= 1;
    access->value = is_read ? value : access->value;
}

static inline void fake_server_attach(struct fake_server *server)
{
    char line[64];
    size_t length = 0;
    while (length < sizeof(line) - 1 && recv(server->connection_fd, line + length, 1, 0) == 1)
        if (line[length++] == '\n')
            break;
    line[length] = '\0';
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        __atomic_store_n(&server->slots[i].processed, SLOT_FREE, __ATOMIC_RELEASE);

    server->attach_count++;
    char reply[256];
    snprintf(reply, sizeof(reply), "ok vcpus=%u%s\n", server->vcpu_count,
             server->more ? server->more : "");
    if (strncmp(line, "attach ", 7) != 0)
        snprintf(reply, sizeof(reply), "error %d no such command\n", EINVAL);
    if (server->refusal)
        snprintf(reply, sizeof(reply), "%s", server->refusal);
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(2 * sizeof(int))];
    } control = {0};
    struct iovec piece = {.iov_base = reply, .iov_len = strlen(reply)};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    size_t fds_bytes = (server->passes_twice ? 2 : 1) * sizeof(int);
    if (!server->passes_nothing && !(server->passes_once && server->attach_count > 1)) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(fds_bytes);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(fds_bytes);
        const int fds[2] = {server->page_fd, server->page_fd};
        memcpy(CMSG_DATA(header), fds, fds_bytes);
    }
    ssize_t sent = sendmsg(server->connection_fd, &message, MSG_NOSIGNAL);
    (void)sent; /* a requester that left shows as a hang-up */
}

/* Before and after an access by a test that looks at what `answer` did for it: a thread sanitizer
 * does not see that the requester's mapping and the server's are the same page. */
static inline void fake_server_sync(struct fake_server *server)
{
    atomic_fetch_add_explicit(&server->turns, 1, memory_order_acq_rel);
}

static inline void fake_server_sweep(struct fake_server *server)
{
    for (uint32_t i = 0; i < server->vcpu_count; i++) {
        struct acrn_io_request *slot = &server->slots[i];
        if (slot_state(slot) != SLOT_PENDING)
            continue;
        struct slot_copy copy;
        slot_copy_out(slot, &copy);
        if (!slot_claim(slot, true))
            continue;
        struct requester_access access = {
            .address = copy.address,
            .value = copy.value,
            .size_bytes = copy.size_bytes,
            .type = copy.type,
            .direction = copy.direction,
        };
        if (copy.type == REQUEST_PORTIO)
            access.value &= UINT32_MAX;
        fake_server_sync(server);
        server->answer(server->context, i, &access);
        fake_server_sync(server);
        slot_complete(slot, SLOT_PROCESSING, access.direction == REQUEST_READ, copy.type,
                      access.value);
    }
}

static inline void fake_server_check_sockets(struct fake_server *server)
{
    struct pollfd entries[2] = {
        {.fd = server->connection_fd < 0 ? server->listen_fd : -1, .events = POLLIN},
        {.fd = server->connection_fd, .events = POLLRDHUP},
    };
    bool is_cut = atomic_exchange(&server->cuts, false);
    if (poll(entries, 2, 0) <= 0 && !is_cut)
        return;
    if (server->connection_fd >= 0 && (is_cut || entries[1].revents)) {
        close(server->connection_fd);
        server->connection_fd = -1;
    } else if (entries[0].revents) {
        server->connection_fd = accept4(server->listen_fd, NULL, NULL, SOCK_CLOEXEC);
        if (server->connection_fd >= 0)
            fake_server_attach(server);
    }
}

static inline void *fake_server_run(void *argument)
{
    struct fake_server *server = argument;
    for (uint32_t turn = 0; !atomic_load(&server->stops); turn++) {
        if (turn % 64 == 0)
            fake_server_check_sockets(server);
        if (server->connection_fd >= 0 && !atomic_load(&server->holds))
            fake_server_sweep(server);
        sched_yield();
    }
    return NULL;
}

/* vcpu_count, answer, context and the oddities are set; everything else 0. */
static inline void fake_server_start(struct fake_server *server)
{
    snprintf(server->directory, sizeof(server->directory), "/tmp/ioreqd-test-XXXXXX");
    char *directory = mkdtemp(server->directory);
    assert(directory);
    (void)directory;
    snprintf(server->socket_path, sizeof(server->socket_path), "%s/socket", server->directory);
    server->page_fd = memfd_create("page", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    int result = ftruncate(server->page_fd, PAGE_BYTES);
    assert(result == 0);
    if (!server->is_unsealed)
        result = fcntl(server->page_fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    assert(result == 0);
    server->slots = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, server->page_fd, 0);
    assert(server->slots != MAP_FAILED);
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", server->socket_path);
    server->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    result = bind(server->listen_fd, (const struct sockaddr *)&address, sizeof(address));
    assert(result == 0);
    result = listen(server->listen_fd, 4);
    assert(result == 0);
    server->connection_fd = -1;
    result = pthread_create(&server->thread, NULL, fake_server_run, server);
    assert(result == 0);
    (void)result;
}

static inline void fake_server_stop(struct fake_server *server)
{
    atomic_store(&server->stops, true);
    pthread_join(server->thread, NULL);
    if (server->connection_fd >= 0)
        close(server->connection_fd);
    close(server->listen_fd);
    munmap(server->slots, PAGE_BYTES);
    close(server->page_fd);
    unlink(server->socket_path);
    rmdir(server->directory);
}

#endif
