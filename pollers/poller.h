/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * poller.h - a thread pinned to one CPU that sweeps pages, drains inboxes and calls devices.
 *
 * Flow:    poller_create -> duties added -> poller_start -> poller_call, as often as needed ->
 *          poller_stop -> poller_destroy.
 *
 *          one round (poller_loop.c): sweep every open page, a few times over if nothing is there: a
 *          PENDING slot is copied, checked, routed, and handled here, or claimed and pushed into its
 *          client's inbox or channel, and what came back out of an inbox is completed; then answer
 *          what lies in the inboxes of the clients that live here, drain the channels of other
 *          processes, complete what is past its deadline, and run a command, if there is one.
 *
 * Threads: everything below is control's; the loop is the poller's. Between poller_start and
 *          poller_stop control changes a poller's state only through poller_call.
 * Memory:  one allocation on the CPU's node. Pages, clients and inboxes are the topology's.
 * Errors:  negative errno.
 * Source:  the duty cycle returns how much work it did, as Aeron's agents do.
 */
#ifndef POLLERS_POLLER_H
#define POLLERS_POLLER_H

#include "pollers/memory.h"
#include "pollers/page.h"

#define POLLER_PAGES_MAX   64u
#define POLLER_INBOXES_MAX 1024u

struct notify_ring_port;
struct poller_wait;
struct placement;

enum poller_idle {
    POLLER_IDLE_SPIN,  /* sweep again at once: lowest latency */
    POLLER_IDLE_PAUSE, /* one pause instruction between empty sweeps: kind to an SMT sibling */
    POLLER_IDLE_YIELD, /* sched_yield after idle_spins empty sweeps: for shared CPUs and tests */
    POLLER_IDLE_SLEEP, /* sleep idle_sleep_ns after idle_spins of them: for VMs without deadlines */
};

/* What idle_spins is where nobody says: a sleep is dear to the next request, a yield is not. */
#define POLLER_SPINS_BEFORE_YIELD 64u
#define POLLER_SPINS_BEFORE_SLEEP 1024u

struct poller_options {
    const char *name; /* up to 15 characters; also the thread's name */
    const struct placement *placement;
    uint32_t cpu;
    enum poller_idle idle;
    uint32_t idle_spins; /* empty sweeps in a row before it yields or sleeps; 0: as above */
    uint64_t idle_sleep_ns;
    struct poller_wait *wait; /* lets it wait for upcalls (poller_wait.h); NULL: it never does */
    /* Runs on the new thread once it is pinned, as its last system calls; NULL: none. A thread
     * that armed a filter cannot exit: it parks when stopped. */
    int (*arm)(void *arm_context);
    void *arm_context;
};

struct poller;

/* Copies options; what they point to outlives the poller. Not started yet. -ENOMEM. */
int poller_create(const struct poller_options *options, struct poller **poller);

/* Duties, before poller_start or while it runs. -ENOSPC: POLLER_PAGES_MAX or POLLER_INBOXES_MAX
 * reached. -ETIMEDOUT: the poller is stuck, nothing changed. */
int poller_add_page(struct poller *poller, struct page *page);
/* The page must be closed. */
int poller_remove_page(struct poller *poller, struct page *page);
/* The client lives here while another poller sweeps its VM's page. */
int poller_add_inbox(struct poller *poller, struct client *client);
/* Nobody may push any more; what is still in it is not answered. */
int poller_remove_inbox(struct poller *poller, struct client *client);

/* The client's device is another process; this poller sweeps page. */
int poller_add_process(struct poller *poller, struct client *client, struct page *page);
/* It was detached for good (process_serve.h). */
int poller_remove_process(struct poller *poller, struct client *client);

/* Its notifications go by port from now on, a ring that needs a system call a round (NOTIFY_RING_SUBMIT),
 * which its sandbox allows. port NULL: by none. -ETIMEDOUT: the poller is stuck, nothing changed. */
int poller_submit_to(struct poller *poller, struct notify_ring_port *port);

/* Starts the thread and waits until it runs on its CPU, as read back. -EXDEV: it runs elsewhere.
 * Its stack is on the CPU's node, and all of it has been touched. */
int poller_start(struct poller *poller);

/*
 * Runs function(context) on the poller, between two rounds, and waits for it: a quiescent point of
 * this poller. On a poller without a thread the call is made here and now. -ETIMEDOUT after
 * timeout_ns: the poller is stuck or parked, and the call was taken back. -EINPROGRESS after twice
 * that: it is stuck in function, and what context points to stays in use. After a call that was not
 * answered the next ones wait 10 ms at most, until one is.
 */
int poller_call(struct poller *poller, void (*function)(void *context), void *context,
                uint64_t timeout_ns);

/* The same for a function that cannot get stuck, with a context on the caller's stack: once the poller
 * has begun with it, its end is waited for, however long the poller gets no CPU. Never -EINPROGRESS. */
int poller_call_brief(struct poller *poller, void (*function)(void *context), void *context,
                      uint64_t timeout_ns);

/* Waits until the poller was between two rounds: what was published before is all it sees. As
 * poller_call. */
int poller_quiesce(struct poller *poller, uint64_t timeout_ns);

/* Ends the loop. -ETIMEDOUT: it is stuck in a device. */
int poller_stop(struct poller *poller, uint64_t timeout_ns);

/* For one that poller_stop could not end: its thread stands still for good, wherever it is, so that
 * control may settle what it was handling (page_settle_frozen). Uses SIGRTMAX - 1. 0: it stands, or
 * came to its end by itself, or there is none; -ETIMEDOUT. */
int poller_freeze(struct poller *poller, uint64_t timeout_ns);

/* True once poller_freeze made it stand still. */
bool poller_is_frozen(const struct poller *poller);

/* True if no thread runs on it: never started, or stopped and ended. */
bool poller_is_gone(const struct poller *poller);

/* Frees a poller that is gone. One that is parked, stuck or frozen is kept: its thread still is on
 * it. */
void poller_destroy(struct poller *poller);

/* The poller's own state, to see where it lies. */
struct memory_block poller_memory(const struct poller *poller);

/* Its thread, once it was started: to read its page faults by. id 0: never started. */
struct poller_thread {
    int id;                 /* as the kernel numbers it */
    uint64_t faults_before; /* page faults until it began to poll */
    struct memory_block stack;
};
struct poller_thread poller_thread(const struct poller *poller);

/* For display; any thread. */
struct poller_figures {
    bool is_waiting; /* for requests, in the kernel */
    uint64_t sweeps;
    uint64_t busy_ticks; /* spent on requests since the start */
    uint64_t requests;
    uint64_t waits;             /* for upcalls */
    const struct client *asked; /* calls its device now; to compare, never to follow; NULL: none */
};
struct poller_figures poller_figures(const struct poller *poller);

/* What its thread has had of a CPU; 0: there is no thread. Any thread. */
uint64_t poller_cpu_ns(const struct poller *poller);

#endif
