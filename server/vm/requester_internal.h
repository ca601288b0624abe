/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * requester_internal.h - what requester.c (its life, and the dialogue that begins it),
 * requester_watch.c (the server's words, its end and the next server) and requester_access.c (one
 * access) share.
 *
 * Threads: fields are set before the watcher and the vCPUs' threads begin; from then on socket_fd and
 *          is_kept are the watcher's, and what is atomic is anybody's.
 */
#ifndef SERVER_VM_REQUESTER_INTERNAL_H
#define SERVER_VM_REQUESTER_INTERNAL_H

#include "pollers/slot.h"
#include "server/vm/requester.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

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

/* An eventfd of our own, far from full. */
static inline void requester_ring(int fd)
{
    const uint64_t one = 1;
    if (write(fd, &one, sizeof(one)) != sizeof(one) && errno != EAGAIN)
        abort(); /* cannot happen */
}

/* The watcher looks at them while they are made. Acquire: pairs with requester_set_eventfd. */
static inline int requester_eventfd(const _Atomic int *place)
{
    return atomic_load_explicit(place, memory_order_acquire);
}

/* Release: pairs with requester_eventfd. */
static inline int requester_set_eventfd(_Atomic int *place, int fd)
{
    atomic_store_explicit(place, fd, memory_order_release);
    return fd;
}

/* The watcher's thread; argument: the requester. It ends when wake_fd is written, or with the server. */
void *requester_watch(void *argument);

/* Gives the server those eventfds that there are; then whoever sleeps looks at its slot, for it may have
 * been COMPLETE before. 0 or a negative errno. */
int requester_give_eventfds(const struct requester *requester);

#endif
