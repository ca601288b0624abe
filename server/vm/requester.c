/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/vm/requester_internal.h"

#include "pollers/ticks.h"
#include "server/reason.h"
#include "server/socket/wire.h"
#include "server/vm/ivshmem.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

/*
 * How long to spin before giving the CPU away at every look. With vCPU and poller on cores of their
 * own the answer is there long before. Where they share one (a single core, a busy machine) the
 * poller cannot run while we spin. Ticks, not turns: a pause takes 40 cycles here and 140 there.
 */
#define SPIN_NS 50000u

#define JOIN_MS 2000 /* an ivshmem server answers at once */

static void ignore_line(void *context, const char *line, int descriptor)
{
    (void)context;
    (void)line;
    if (descriptor >= 0)
        close(descriptor);
}

/* Maps the page that came with the reply; fd stays the caller's. */
static int requester_map(struct requester *requester, int fd, char *error, size_t error_bytes)
{
    struct stat status;
    if (fstat(fd, &status) != 0 || status.st_size != PAGE_BYTES)
        return reason_give(error, error_bytes, -EPROTO, "the server handed over no %d-byte page",
                           PAGE_BYTES);
    /* An unsealed page could be cut off under us: SIGBUS in every vCPU. */
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & F_SEAL_SHRINK) == 0)
        return reason_give(error, error_bytes, -EPROTO,
                           "the server's page is not sealed against shrinking");
    void *page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        return reason_give(error, error_bytes, -errno, "cannot map the server's page: %s",
                           strerror(errno));
    requester->slots = page;
    return 0;
}

/* "KEY=NUMBER", the number at most `maximum`, and its end or a blank behind it. */
static bool parse_field(const char *text, const char *key, uint32_t maximum, uint32_t *value)
{
    size_t length = strlen(key);
    if (strncmp(text, key, length) != 0 || text[length] != '=')
        return false;
    const char *digits = text + length + 1;
    char *end;
    unsigned long number = strtoul(digits, &end, 10);
    if (*digits < '0' || *digits > '9' || (*end != '\0' && *end != ' ') || number > maximum)
        return false;
    *value = (uint32_t)number;
    return true;
}

/* "vcpus=N poller_cpu=C": the fields behind the first in any order, unknown ones passed over. */
static int requester_parse_attached(struct requester *requester, const char *text)
{
    if (!parse_field(text, "vcpus", SLOT_COUNT, &requester->vcpu_count) ||
        requester->vcpu_count == 0)
        return -EPROTO;
    requester->poller_cpu = REQUESTER_CPU_UNKNOWN;
    while ((text = strchr(text, ' ')) != NULL) {
        text++;
        if (strncmp(text, "poller_cpu=", 11) == 0 &&
            !parse_field(text, "poller_cpu", CPU_SETSIZE - 1, &requester->poller_cpu))
            return -EPROTO;
        uint32_t waits;
        if (strncmp(text, "waits=", 6) == 0 && parse_field(text, "waits", 1, &waits))
            requester->server_waits = waits;
        requester->is_kept = requester->is_kept || strncmp(text, "kept=1", 6) == 0;
    }
    return 0;
}

/* The dialogue up to the mapped page. */
static int requester_handshake(struct requester *requester, const char *socket_path,
                               const char *vm_name, char *error, size_t error_bytes)
{
    requester->socket_fd = wire_connect(socket_path);
    if (requester->socket_fd < 0)
        return reason_give(error, error_bytes, requester->socket_fd,
                           "no server on %s: %s (start ioreqd, or name its socket with --socket)",
                           socket_path, strerror(-requester->socket_fd));
    char line[WIRE_LINE_MAX];
    int page_fd = -1;
    int result = wire_send_line(requester->socket_fd, "attach %s", vm_name);
    if (result == 0)
        result = wire_receive_line(requester->socket_fd, line, sizeof(line), &page_fd);
    if (result != 0)
        return reason_give(error, error_bytes, result, "the server on %s does not answer: %s",
                           socket_path, strerror(-result));
    const char *text;
    result = wire_parse_reply(line, &text);
    if (result != 0) {
        reason_give(error, error_bytes, 0, "the server refuses VM '%s': %s", vm_name,
                    *text ? text : strerror(-result));
    } else if (page_fd < 0 || requester_parse_attached(requester, text) != 0) {
        result = reason_give(error, error_bytes, -EPROTO, "the server's reply makes no sense: '%s'",
                             line);
    } else {
        result = requester_map(requester, page_fd, error, error_bytes);
    }
    requester->page_fd = page_fd;
    return result;
}

/* Gives back whatever the requester holds; the watcher must have ended. */
static void requester_release(struct requester *requester)
{
    if (requester->slots)
        munmap(requester->slots, PAGE_BYTES);
    if (requester->socket_fd >= 0)
        close(requester->socket_fd);
    if (requester->page_fd >= 0)
        close(requester->page_fd);
    if (requester->wake_fd >= 0)
        close(requester->wake_fd);
    if (requester->ivshmem_fd >= 0)
        close(requester->ivshmem_fd);
    if (requester_eventfd(&requester->upcall_fd) >= 0)
        close(requester_eventfd(&requester->upcall_fd));
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        if (requester_eventfd(&requester->notify_fds[i]) >= 0)
            close(requester_eventfd(&requester->notify_fds[i]));
    free(requester);
}

/* Without a page. NULL, and a line in error: there is nothing to be had. */
static struct requester *requester_create(const char *socket_path, const char *vm_name,
                                          const struct requester_listener *listener, char *error,
                                          size_t error_bytes)
{
    size_t path_bytes = strlen(socket_path) + 1, name_bytes = strlen(vm_name) + 1;
    struct requester *created = calloc(1, sizeof(*created) + path_bytes + name_bytes);
    if (!created) {
        reason_give(error, error_bytes, 0, "out of memory");
        return NULL;
    }
    char *copies = (char *)(created + 1);
    created->socket_path = memcpy(copies, socket_path, path_bytes);
    created->vm_name = memcpy(copies + path_bytes, vm_name, name_bytes);
    created->ivshmem_fd = created->socket_fd = created->page_fd = -1;
    requester_set_eventfd(&created->upcall_fd, -1);
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        requester_set_eventfd(&created->notify_fds[i], -1);
    created->listener = *listener;
    created->poller_cpu = REQUESTER_CPU_UNKNOWN;
    created->spin_ticks = ticks_from_ns(SPIN_NS);
    created->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (created->wake_fd >= 0)
        return created;
    reason_give(error, error_bytes, 0, "cannot create an eventfd: %s", strerror(errno));
    free(created);
    return NULL;
}

/* With its page, if result is 0; then the watcher, and it is the caller's. */
static int requester_finish(struct requester *created, int result, struct requester **requester,
                            char *error, size_t error_bytes)
{
    if (result == 0) {
        result = -pthread_create(&created->watcher, NULL, requester_watch, created);
        if (result != 0)
            reason_give(error, error_bytes, 0, "cannot start a thread: %s", strerror(-result));
    }
    if (result != 0) {
        requester_release(created);
        return result;
    }
    *requester = created;
    return 0;
}

int requester_attach_listening(const char *socket_path, const char *vm_name,
                               const struct requester_listener *listener,
                               struct requester **requester, char *error, size_t error_bytes)
{
    struct requester *created =
        requester_create(socket_path, vm_name, listener, error, error_bytes);
    if (!created)
        return -ENOMEM;
    int result = requester_handshake(created, socket_path, vm_name, error, error_bytes);
    return requester_finish(created, result, requester, error, error_bytes);
}

/* Takes over the connection of joined, and the eventfds that are used. */
static void requester_take_vectors(struct requester *requester, struct ivshmem *joined,
                                   uint32_t notified)
{
    requester->ivshmem_fd = dup(joined->socket);
    requester_set_eventfd(&requester->upcall_fd, dup(joined->peer_vectors[0]));
    for (uint32_t i = 0; i < requester->vcpu_count; i++)
        if (notified >> i & 1)
            requester_set_eventfd(&requester->notify_fds[i], dup(joined->vectors[i]));
}

int requester_register(const char *ivshmem_path, uint64_t offset_bytes, uint32_t vcpu_count,
                       uint32_t notified, struct requester **requester, char *error,
                       size_t error_bytes)
{
    static const struct requester_listener deaf = {.line = ignore_line};
    struct ivshmem joined;
    void *page;
    int result = ivshmem_join(ivshmem_path, vcpu_count, JOIN_MS, &joined, error, error_bytes);
    if (result != 0)
        return result;
    result = ivshmem_map(&joined, offset_bytes, &page, error, error_bytes);
    struct requester *created =
        result == 0 ? requester_create("", "", &deaf, error, error_bytes) : NULL;
    if (created) {
        created->slots = page;
        created->vcpu_count = vcpu_count;
        requester_take_vectors(created, &joined, notified);
        /* What a hypervisor does at registration, before anybody serves the page. */
        slots_free_all(created->slots);
        result = requester_finish(created, 0, requester, error, error_bytes);
    } else if (result == 0) {
        munmap(page, PAGE_BYTES);
        result = -ENOMEM;
    }
    ivshmem_leave(&joined);
    return result;
}

int requester_attach(const char *socket_path, const char *vm_name, struct requester **requester,
                     char *error, size_t error_bytes)
{
    static const struct requester_listener deaf = {.line = ignore_line};
    return requester_attach_listening(socket_path, vm_name, &deaf, requester, error, error_bytes);
}

/* The vCPUs of the mask sleep from now on. */
static int requester_make_eventfds(struct requester *requester, uint32_t notified)
{
    for (uint32_t i = 0; i < requester->vcpu_count; i++) {
        if (!(notified >> i & 1))
            continue;
        if (requester_set_eventfd(&requester->notify_fds[i],
                                  eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
            return -errno;
    }
    if (requester->server_waits &&
        requester_set_eventfd(&requester->upcall_fd, eventfd(0, EFD_CLOEXEC)) < 0)
        return -errno;
    return 0;
}

int requester_prepare(struct requester *requester, uint32_t notified, char *error,
                      size_t error_bytes)
{
    int result = requester_make_eventfds(requester, notified);
    if (result == 0)
        result = requester_give_eventfds(requester);
    return result == 0
               ? 0
               : reason_give(error, error_bytes, result,
                             "the server does not take our eventfds: %s", strerror(-result));
}

void requester_detach(struct requester *requester)
{
    requester_ring(requester->wake_fd);
    pthread_join(requester->watcher, NULL);
    requester_release(requester);
}

uint32_t requester_vcpu_count(const struct requester *requester)
{
    return requester->vcpu_count;
}

uint32_t requester_poller_cpu(const struct requester *requester)
{
    return requester->poller_cpu;
}
