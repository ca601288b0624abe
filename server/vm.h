/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vm.h - one VM: the operations of Linux's ACRN driver (HSM) around a page, in user space.
 *
 * Flow:    vm_create -> clients and ranges (vm_client.h) -> vm_attach, a page -> vm_start ->
 *          vm_pause, vm_resume, vm_clear, vm_reset, as often as wanted -> vm_detach -> vm_destroy.
 *
 *              vm_create            vm_start             vm_pause
 *                        STOPPED ------------> RUNNING ------------> PAUSED
 *                                                      <------------
 *                                                        vm_resume
 *
 *          A page is swept while the VM is RUNNING and somebody is attached.
 * Threads: control. What a poller owns is changed by commands on that poller (poller_call).
 * Memory:  a VM owns its clients, its router and its page source.
 * Errors:  negative errno; nothing half applied. -ETIMEDOUT: a poller does not answer, within
 *          VM_CALL_TIMEOUT_NS for the first time, and nothing changed. -EINPROGRESS: it is stuck in
 *          what it was asked to do; the VM is then out of service for good (is_stuck), and what that
 *          poller may still use is never freed.
 * Source:  Linux drivers/virt/acrn (facts); the names are the driver's.
 */
#ifndef SERVER_VM_H
#define SERVER_VM_H

#include "pollers/poller.h"
#include "server/sources/source.h"

#include <sys/types.h>

#define VM_CALL_TIMEOUT_NS          1000000000ull
#define VM_CLIENTS_MAX              128u
#define VM_CLEAR_TIMEOUT_DEFAULT_NS 100000000ull

struct ioeventfds;
struct vm_completion;
struct irqfds;
struct requester_link;
struct topology;
struct vm_client;

enum vm_state { VM_STOPPED = 1, VM_RUNNING, VM_PAUSED };

struct vm_options {
    const char *name;          /* 1..15 characters */
    uint32_t vcpus;            /* 1..16 */
    uint32_t poller_index;     /* into the topology's pollers */
    uint64_t clear_timeout_ns; /* what clients get to finish at a reset; 0: the default */
    uint64_t wait_after_ns;    /* without a request, then its poller may wait; 0: never */
    bool has_pci;              /* ports 0xcf8..0xcff are PCI configuration mechanism 1 */
    const struct page_source_kind *source; /* NULL: memfd */
    const struct config_place *place;      /* of the page, where source is not memfd */
    const char *source_root;               /* a test's, in front of /sys and /dev; NULL: none */
};

struct vm {
    char name[CLIENT_NAME_MAX + 1];
    struct topology *topology;
    struct page *page;
    struct router *router; /* published; NULL before the first one */
    struct poller *poller; /* sweeps the page */
    uint32_t poller_index;
    int node; /* of the sweeping poller's memory */
    enum vm_state state;
    uint64_t clear_timeout_ns;
    bool has_pci;
    struct vm_client *clients[VM_CLIENTS_MAX]; /* [client_count] */
    uint32_t client_count;
    struct page_source source;
    const struct page_source_kind *source_kind;
    const char *source_root;
    struct config_place place; /* where it is no memfd */
    char device[CONFIG_DEVICE_BYTES_MAX + 1];
    int handed[2];          /* hsm: a device that waits for its page, and that page, or both of a VM of
                             * ours that an earlier ioreqd left; -1: none */
    bool is_driver_cleared; /* hsm: since vm_clear_begin */
    bool is_attached;
    bool is_detaching;   /* nobody is attached, but a poller has yet to let go of the page */
    pid_t requester_pid; /* for display; 0 if it lives outside our process namespace */
    struct requester_link *link;      /* irqfd.h; NULL: none */
    struct ioeventfds *ioeventfds;    /* NULL: never had one */
    struct irqfds *irqfds;            /* NULL: never had one */
    struct vm_completion *completion; /* completion.h; NULL: nobody is told */
    bool has_upcall;                  /* arrival.h */
    bool is_stuck;
    bool is_to_run; /* at topology_take_on */
    /* adoption.c's */
    struct page_kept *kept; /* in the journal; NULL: nobody keeps it */
    bool was_kept;          /* by an earlier server */
    bool adopts_paused;
    bool is_orphan;        /* adopted, and its requester has yet to come back */
    uint64_t orphan_since; /* ticks */
    uint32_t adopted_ones; /* requests that nothing could be believed of: completed with all-ones */
    struct router *retired; /* replaced, but the sweeping poller may still look into it */
    bool is_clearing;       /* between vm_clear_begin and the poll that ended it */
    bool resets_devices;    /* once it is cleared */
    int clear_result;
    int clear_settled; /* completed for their clients so far */
    uint64_t clear_deadline_ticks;
    uint64_t clear_retry_ticks;
    /* What events.c has told of. */
    uint64_t counters_seen[PAGE_COUNTER_COUNT];
    uint64_t settled_seen[PAGE_SETTLED_COUNT];
    uint64_t doorbell_misses_seen;
    uint64_t overruns_seen;
};

/* Adds a VM to topology. -EEXIST: the name is taken. -EINVAL: name, vCPU count or poller. -ENOSPC:
 * no place for another VM, there or on the poller. */
int vm_create(struct topology *topology, const struct vm_options *options, struct vm **vm);

/* Detaches, destroys all clients, then the page. Nothing of the VM is touched after. */
int vm_destroy(struct vm *vm);

/* -EINVAL: not STOPPED, RUNNING, PAUSED, respectively. Start opens the page of a VM that has it from a
 * device, and says why it cannot. */
int vm_start(struct vm *vm);
int vm_pause(struct vm *vm); /* new requests stay PENDING; those in flight are answered */
int vm_resume(struct vm *vm);

/* As vm_pause, of a server that comes to its end: to its successor, the VM runs. */
int vm_rest(struct vm *vm);

/* Gives the VM a fresh page for the requester `pid`, and power-on devices. *descriptor stays the
 * VM's. -EEXIST: it has a page already. -EOPNOTSUPP: its page comes from a device. */
int vm_attach(struct vm *vm, pid_t pid, int *descriptor);

/* Abandons what is in flight, for whoever waited is gone, and lets go of the page. If a poller does not
 * answer, the page stays until vm_detach_again, once a second, finds it well. */
void vm_detach(struct vm *vm);
void vm_detach_again(struct vm *vm);

/*
 * What a VM reset does to requests: while it lasts, new ones are answered with all-ones at once;
 * clients get clear_timeout_ns to finish theirs; the rest is completed with all-ones, and their
 * late answers are refused. Then normal service. Returns how many were completed for their clients,
 * or a negative errno.
 */
int vm_clear(struct vm *vm);

/* vm_clear, then every device at power-on. */
int vm_reset(struct vm *vm);

/* The same in steps, for a thread that must not wait: begin, then poll until it says other than
 * -EAGAIN; polling a VM that is not cleared returns the last result. A second begin joins the
 * first. */
int vm_clear_begin(struct vm *vm);
int vm_reset_begin(struct vm *vm);
int vm_clear_poll(struct vm *vm);

#endif
