/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/vm/requester.h"

#include "pollers/slot.h"
#include "pollers/ticks.h"
#include "server/socket/wire.h"
#include "server/vm/ivshmem.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdarg.h>
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

/* A server that died comes back within tens of milliseconds; one that does not come at all is given up. */
#define RETURN_NS            30000000000ull
#define RETURN_PAUSE_MOST_MS 32
#define JOIN_MS              2000 /* an ivshmem server answers at once */

struct requester {
    struct acrn_io_request *slots; /* [SLOT_COUNT], shared with the server */
    uint32_t vcpu_count;
    uint32_t poller_cpu; /* or REQUESTER_CPU_UNKNOWN */
    uint64_t spin_ticks;
    bool server_waits;                  /* for requests: it wants to be rung */
    _Atomic int upcall_fd;              /* eventfd: written after each PENDING; -1: none */
    _Atomic int notify_fds[SLOT_COUNT]; /* eventfds: read for COMPLETE; -1: the vCPU polls */
    int ivshmem_fd;                     /* its hang-up tells the guest that we are gone; -1: none */
    int socket_fd;                      /* its hang-up is the server's death */
    int page_fd;                        /* shows the next server that we are who had the page */
    bool is_kept;                       /* by somebody who starts a next server */
    const char *socket_path, *vm_name;  /* copies, behind the requester */
    int wake_fd;                        /* eventfd: ends the watcher */
    pthread_t watcher;
    struct requester_listener listener; /* the watcher calls it */
    _Atomic bool is_over; /* set by the watcher or requester_stop, read by every access */
};

static int fail(char *error, size_t error_bytes, int result, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static int fail(char *error, size_t error_bytes, int result, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error, error_bytes, format, arguments);
    va_end(arguments);
    return result;
}

static void ignore_line(void *context, const char *line, int descriptor)
{
    (void)context;
    (void)line;
    if (descriptor >= 0)
        close(descriptor);
}

/* False: the server is gone, or no longer makes sense. */
static bool requester_hear(struct requester *requester)
{
    char line[WIRE_LINE_MAX];
    int descriptor;
    if (wire_receive_line(requester->socket_fd, line, sizeof(line), &descriptor) != 0)
        return false;
    if (strcmp(line, "end") == 0) { /* in order: no other one comes */
        requester->is_kept = false;
        return true;
    }
    requester->listener.line(requester->listener.context, line, descriptor);
    return true;
}

/* True: somebody wants the watcher to end, within timeout_ms. */
static bool requester_is_woken(const struct requester *requester, int timeout_ms)
{
    struct pollfd entry = {.fd = requester->wake_fd, .events = POLLIN};
    return poll(&entry, 1, timeout_ms) > 0;
}

/* An eventfd of our own, far from full. */
static void ring(int fd)
{
    const uint64_t one = 1;
    if (write(fd, &one, sizeof(one)) != sizeof(one) && errno != EAGAIN)
        abort(); /* cannot happen */
}

/* The watcher looks at them while they are made. Acquire: pairs with set_eventfd. */
static int eventfd_of(const _Atomic int *place)
{
    return atomic_load_explicit(place, memory_order_acquire);
}

/* Release: pairs with eventfd_of. */
static int set_eventfd(_Atomic int *place, int fd)
{
    atomic_store_explicit(place, fd, memory_order_release);
    return fd;
}

/* Gives the server one of our eventfds. */
static int requester_give(const struct requester *requester, const char *line, int fd)
{
    char reply[WIRE_LINE_MAX];
    const char *text;
    int socket_fd = wire_connect(requester->socket_path);
    if (socket_fd < 0)
        return socket_fd;
    int result = wire_send_line_with(socket_fd, fd, "%s", line);
    if (result == 0)
        result = wire_receive_line(socket_fd, reply, sizeof(reply), NULL);
    if (result == 0)
        result = wire_parse_reply(reply, &text);
    close(socket_fd);
    return result;
}

/* Those that there are; then whoever sleeps looks at its slot, for it may have been COMPLETE before. */
static int requester_give_eventfds(const struct requester *requester)
{
    char line[64];
    int result = 0, upcall_fd = eventfd_of(&requester->upcall_fd);
    for (uint32_t i = 0; i < SLOT_COUNT && result == 0; i++) {
        int notify_fd = eventfd_of(&requester->notify_fds[i]);
        if (notify_fd < 0)
            continue;
        snprintf(line, sizeof(line), "notify-assign %.15s %u", requester->vm_name, i);
        result = requester_give(requester, line, notify_fd);
        ring(notify_fd);
    }
    snprintf(line, sizeof(line), "upcall-assign %.15s", requester->vm_name);
    if (result == 0 && upcall_fd >= 0) {
        result = requester_give(requester, line, upcall_fd);
        if (result == -EOPNOTSUPP) /* it spins now */
            result = 0;
        ring(upcall_fd);
    }
    return result;
}

/* Shows the page to the server that is there now. 0; -ENOENT, -ECONNREFUSED and the like: not yet;
 * -EPROTO: it says no. */
static int requester_show_page(struct requester *requester)
{
    char line[WIRE_LINE_MAX];
    const char *text;
    int fd = wire_connect(requester->socket_path);
    if (fd < 0)
        return fd;
    int result = wire_send_line_with(fd, requester->page_fd, "attach %s", requester->vm_name);
    /* It may have a lot to do. Who hangs up now, has left. */
    struct pollfd entries[2] = {{.fd = fd, .events = POLLIN},
                                {.fd = requester->wake_fd, .events = POLLIN}};
    if (result == 0 && poll(entries, 2, (int)(RETURN_NS / 1000000)) <= 0)
        result = -ETIMEDOUT;
    if (result == 0)
        result = wire_receive_line(fd, line, sizeof(line), NULL);
    if (result == 0 && wire_parse_reply(line, &text) != 0)
        result = -EPROTO;
    if (result != 0) {
        close(fd);
        return result;
    }
    close(requester->socket_fd);
    requester->socket_fd = fd;
    return requester_give_eventfds(requester);
}

/* The server has died, and another one is on its way: it has our page, and every slot of it. False:
 * none came, or not for us. Accesses wait meanwhile. */
static bool requester_return(struct requester *requester)
{
    if (!requester->is_kept)
        return false;
    uint64_t begin_ticks = ticks_now(), patience_ticks = ticks_from_ns(RETURN_NS);
    for (int pause_ms = 1; ticks_now() - begin_ticks < patience_ticks;) {
        int result = requester_show_page(requester);
        if (result == 0 && requester->listener.again)
            requester->listener.again(requester->listener.context);
        if (result == 0 || result == -EPROTO)
            return result == 0;
        if (requester_is_woken(requester, pause_ms))
            return false;
        pause_ms = pause_ms < RETURN_PAUSE_MOST_MS ? 2 * pause_ms : pause_ms;
    }
    return false;
}

static void *requester_watch(void *argument)
{
    struct requester *requester = argument;
    bool goes_on = true;
    while (goes_on) {
        struct pollfd entries[2] = {
            {.fd = requester->socket_fd, .events = POLLIN | POLLRDHUP},
            {.fd = requester->wake_fd, .events = POLLIN},
        };
        if (poll(entries, 2, -1) < 0)
            goes_on = errno == EINTR;
        else
            goes_on = entries[1].revents == 0 &&
                      (((entries[0].revents & POLLIN) != 0 && requester_hear(requester)) ||
                       requester_return(requester));
    }
    requester_stop(requester);
    return NULL;
}

/* Maps the page that came with the reply; fd stays the caller's. */
static int requester_map(struct requester *requester, int fd, char *error, size_t error_bytes)
{
    struct stat status;
    if (fstat(fd, &status) != 0 || status.st_size != PAGE_BYTES)
        return fail(error, error_bytes, -EPROTO, "the server handed over no %d-byte page",
                    PAGE_BYTES);
    /* An unsealed page could be cut off under us: SIGBUS in every vCPU. */
    int seals = fcntl(fd, F_GET_SEALS);
    if (seals < 0 || (seals & F_SEAL_SHRINK) == 0)
        return fail(error, error_bytes, -EPROTO,
                    "the server's page is not sealed against shrinking");
    void *page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (page == MAP_FAILED)
        return fail(error, error_bytes, -errno, "cannot map the server's page: %s",
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
        return fail(error, error_bytes, requester->socket_fd,
                    "no server on %s: %s (start ioreqd, or name its socket with --socket)",
                    socket_path, strerror(-requester->socket_fd));
    char line[WIRE_LINE_MAX];
    int page_fd = -1;
    int result = wire_send_line(requester->socket_fd, "attach %s", vm_name);
    if (result == 0)
        result = wire_receive_line(requester->socket_fd, line, sizeof(line), &page_fd);
    if (result != 0)
        return fail(error, error_bytes, result, "the server on %s does not answer: %s", socket_path,
                    strerror(-result));
    const char *text;
    result = wire_parse_reply(line, &text);
    if (result != 0) {
        fail(error, error_bytes, 0, "the server refuses VM '%s': %s", vm_name,
             *text ? text : strerror(-result));
    } else if (page_fd < 0 || requester_parse_attached(requester, text) != 0) {
        result = fail(error, error_bytes, -EPROTO, "the server's reply makes no sense: '%s'", line);
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
    if (eventfd_of(&requester->upcall_fd) >= 0)
        close(eventfd_of(&requester->upcall_fd));
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        if (eventfd_of(&requester->notify_fds[i]) >= 0)
            close(eventfd_of(&requester->notify_fds[i]));
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
        fail(error, error_bytes, 0, "out of memory");
        return NULL;
    }
    char *copies = (char *)(created + 1);
    created->socket_path = memcpy(copies, socket_path, path_bytes);
    created->vm_name = memcpy(copies + path_bytes, vm_name, name_bytes);
    created->ivshmem_fd = created->socket_fd = created->page_fd = -1;
    set_eventfd(&created->upcall_fd, -1);
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        set_eventfd(&created->notify_fds[i], -1);
    created->listener = *listener;
    created->poller_cpu = REQUESTER_CPU_UNKNOWN;
    created->spin_ticks = ticks_from_ns(SPIN_NS);
    created->wake_fd = eventfd(0, EFD_CLOEXEC);
    if (created->wake_fd >= 0)
        return created;
    fail(error, error_bytes, 0, "cannot create an eventfd: %s", strerror(errno));
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
            fail(error, error_bytes, 0, "cannot start a thread: %s", strerror(-result));
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
    set_eventfd(&requester->upcall_fd, dup(joined->peer_vectors[0]));
    for (uint32_t i = 0; i < requester->vcpu_count; i++)
        if (notified >> i & 1)
            set_eventfd(&requester->notify_fds[i], dup(joined->vectors[i]));
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
        if (set_eventfd(&requester->notify_fds[i], eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
            return -errno;
    }
    if (requester->server_waits && set_eventfd(&requester->upcall_fd, eventfd(0, EFD_CLOEXEC)) < 0)
        return -errno;
    return 0;
}

int requester_prepare(struct requester *requester, uint32_t notified, char *error,
                      size_t error_bytes)
{
    int result = requester_make_eventfds(requester, notified);
    if (result == 0)
        result = requester_give_eventfds(requester);
    return result == 0 ? 0
                       : fail(error, error_bytes, result,
                              "the server does not take our eventfds: %s", strerror(-result));
}

void requester_detach(struct requester *requester)
{
    ring(requester->wake_fd);
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

void requester_stop(struct requester *requester)
{
    /* Relaxed: a flag of its own, nothing is published with it. */
    atomic_store_explicit(&requester->is_over, true, memory_order_relaxed);
    for (uint32_t i = 0; i < SLOT_COUNT; i++) /* whoever sleeps looks again */
        if (eventfd_of(&requester->notify_fds[i]) >= 0)
            ring(eventfd_of(&requester->notify_fds[i]));
}

bool requester_is_over(const struct requester *requester)
{
    return atomic_load_explicit(&requester->is_over, memory_order_relaxed);
}

/* Fields are plain stores: the release of PENDING publishes them. */
static void slot_fill(struct acrn_io_request *slot, const struct requester_access *access,
                      bool is_polling)
{
    slot->type = access->type;
    slot->completion_polling = is_polling;
    if (access->type == REQUEST_PCICFG) {
        struct acrn_pci_request *pci = &slot->reqs.pci_request;
        pci->direction = access->direction;
        pci->size = access->size_bytes;
        pci->value = (uint32_t)access->value;
        pci->bus = (uint32_t)(access->address >> 20) & 0xff;
        pci->dev = (uint32_t)(access->address >> 15) & 0x1f;
        pci->func = (uint32_t)(access->address >> 12) & 0x7;
        pci->reg = (uint32_t)access->address & 0xfff;
        return;
    }
    struct acrn_mmio_request *mmio = &slot->reqs.mmio_request;
    mmio->direction = access->direction;
    mmio->address = access->address;
    mmio->size = access->size_bytes;
    if (access->type == REQUEST_PORTIO)
        slot->reqs.pio_request.value = (uint32_t)access->value;
    else
        mmio->value = access->value;
}

static uint64_t slot_value(const struct acrn_io_request *slot, uint32_t type)
{
    /* One read each: the server may be broken and still write. */
    if (type == REQUEST_PORTIO || type == REQUEST_PCICFG)
        return __atomic_load_n(&slot->reqs.pio_request.value, __ATOMIC_RELAXED);
    return __atomic_load_n(&slot->reqs.mmio_request.value, __ATOMIC_RELAXED);
}

/* The same, asleep until the eventfd was written: once for each COMPLETE, and at the end. */
static int slot_sleep(const struct requester *requester, const struct acrn_io_request *slot, int fd)
{
    struct pollfd entry = {.fd = fd, .events = POLLIN};
    for (;;) {
        uint64_t count;
        if (read(fd, &count, sizeof(count)) < 0) {
            poll(&entry, 1, -1);
            continue;
        }
        if (slot_state(slot) == SLOT_COMPLETE)
            return 0;
        if (requester_is_over(requester))
            return slot_state(slot) == SLOT_COMPLETE ? 0 : -ESHUTDOWN;
    }
}

/* 0 once the slot is COMPLETE, or -ESHUTDOWN. */
static int slot_wait(const struct requester *requester, const struct acrn_io_request *slot)
{
    uint64_t begin_ticks = ticks_now();
    /* Acquire: pairs with the server's release of COMPLETE, orders its value before our read. */
    while (__atomic_load_n(&slot->processed, __ATOMIC_ACQUIRE) != SLOT_COMPLETE) {
        /* A server that ends answers first and hangs up then: look once more. */
        if (requester_is_over(requester))
            return slot_state(slot) == SLOT_COMPLETE ? 0 : -ESHUTDOWN;
        if (ticks_now() - begin_ticks < requester->spin_ticks)
            ticks_pause();
        else
            sched_yield();
    }
    return 0;
}

int requester_access(struct requester *requester, uint32_t vcpu, struct requester_access *access)
{
    if (vcpu >= requester->vcpu_count)
        return -EINVAL;
    if (requester_is_over(requester))
        return -ESHUTDOWN;
    struct acrn_io_request *slot = &requester->slots[vcpu];
    /* Acquire: pairs with the server's release when it frees a slot at attach or reset. */
    if (__atomic_load_n(&slot->processed, __ATOMIC_ACQUIRE) != SLOT_FREE)
        return -EPROTO;
    int notify_fd = eventfd_of(&requester->notify_fds[vcpu]);
    slot_fill(slot, access, notify_fd < 0);
    /* Release: pairs with the poller's acquire of PENDING, publishes the request. */
    __atomic_store_n(&slot->processed, SLOT_PENDING, __ATOMIC_RELEASE);
    if (eventfd_of(&requester->upcall_fd) >= 0)
        ring(eventfd_of(&requester->upcall_fd));
    int result =
        notify_fd < 0 ? slot_wait(requester, slot) : slot_sleep(requester, slot, notify_fd);
    if (result != 0)
        return result;
    if (access->direction == REQUEST_READ)
        access->value = slot_value(slot, access->type);
    /* Release: our read of the value stays before the slot may be used again. */
    __atomic_store_n(&slot->processed, SLOT_FREE, __ATOMIC_RELEASE);
    return 0;
}
