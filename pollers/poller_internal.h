/* SPDX-License-Identifier: BSD-3-Clause */
/* poller_internal.h - what poller.c and poller_loop.c share: the poller's own state. */
#ifndef POLLERS_POLLER_INTERNAL_H
#define POLLERS_POLLER_INTERNAL_H

#include "pollers/poller.h"

#include <pthread.h>

struct notify_ring_port;

enum poller_state {
    POLLER_NEW = 1,
    POLLER_STARTING,
    POLLER_RUNNING,
    POLLER_FAILED, /* start_error says why */
    POLLER_STOPPED,
    POLLER_PARKED, /* stopped, but the thread cannot exit */
    POLLER_FROZEN, /* stuck, and now made to stand still */
};

struct poller_command {
    void (*function)(void *context);
    void *context;
    _Atomic bool is_done;
};

/* A client whose device is another process, and the page its requests come from. */
struct poller_process {
    struct client *client;
    struct page *page;
};

struct poller {
    struct poller_options options;
    uint32_t page_count;
    uint32_t inbox_count;
    struct page *pages[POLLER_PAGES_MAX];
    struct client *inboxes[POLLER_INBOXES_MAX]; /* clients that live here */
    uint32_t process_count;
    struct poller_process processes[POLLER_INBOXES_MAX]; /* clients in processes of their own */
    uint32_t more_sweeps;             /* in a round whose first sweep found nothing */
    uint32_t spare_sweeps;            /* as many, unless an answer is awaited */
    struct notify_ring_port *submits; /* to be given to the kernel once a round; NULL: none */
    bool is_stopping;                 /* set by a command, therefore the poller's own */
    bool awaits_answer;               /* a request of its pages is with another poller */
    char name[16];

    uint64_t empty_since_ticks; /* of one that may wait: since when there was nothing to do */
    uint64_t spin_ticks;        /* that it spins on then, as the last waits went */
    uint64_t last_ticks;        /* when the last answer was out */

    _Alignas(64) _Atomic uint64_t sweeps;
    _Atomic uint64_t busy_ticks;
    _Atomic uint64_t requests;
    _Atomic uint64_t waits;
    _Atomic bool is_waiting;              /* for requests, in the kernel */
    _Atomic(const struct client *) asked; /* whose device is being called; NULL: none */

    /* Control posts with release; whoever exchanges it for NULL has it: the poller, to run it, or
     * control, to take it back. */
    _Alignas(64) _Atomic(struct poller_command *) command;
    struct poller_command mailbox;
    bool was_late; /* control's: the last call was not answered, so the next one waits less */
    _Atomic uint32_t state;
    int start_error;
    pthread_t thread;
    /* Written by the thread before POLLER_RUNNING. */
    struct poller_thread started;
};

/* Sweeps until a command sets is_stopping. */
void poller_loop(struct poller *poller);

/* One round of it, for whoever wants to look between two: tests. Returns how much work it did. */
uint32_t poller_round(struct poller *poller);

#endif
