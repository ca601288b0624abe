/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vm_client.h - the clients of a VM and their ranges, changed while requests flow.
 *
 * Flow:    vm_client_create -> vm_client_add_range... -> vm_client_delete_range... ->
 *          vm_client_destroy. An external client waits, looks and finishes in between.
 *
 *          Ranges: what a change touches is built beside the router's tree and published by one
 *          pointer; what it replaced is used again after the sweeping poller has passed a command,
 *          its quiescent point. That needs no read-side code, no thread that registers itself and
 *          no system call on the poller, which its sandbox would punish; liburcu's QSBR would ask
 *          for the first two. A request is routed once, as the ranges were before a change or as
 *          they are after it: it goes to exactly one client.
 *
 * Threads: control; wait, look and finish: the external client's one thread.
 * Memory:  a client belongs to its VM; a device to its client.
 * Errors:  negative errno; nothing half applied.
 * Source:  Linux drivers/virt/acrn/ioreq.c (facts). Other than there, ranges of one priority may
 *          not overlap (-EEXIST), and deleting what is not there is -ENOENT.
 */
#ifndef SERVER_VM_CLIENT_H
#define SERVER_VM_CLIENT_H

#include "clients/late.h"
#include "server/vm.h"

/* Of a range that wins over all others: the doorbells' (ioeventfd.h). */
#define VM_PRIORITY_DOORBELL UINT32_MAX

struct histogram;
struct launch;
struct registration;
struct interrupt;
struct stream;

/* What answers. Exactly one of device, handle and is_external. */
struct vm_client_options {
    const char *name;      /* 1..15 characters */
    uint32_t poller_index; /* where it lives; an external one, or a process: its VM's */
    bool is_default;       /* takes what no range matches */
    bool is_external;      /* requests wait for vm_client_finish */
    struct device *device; /* the client's after success, the caller's after failure */
    int (*handle)(void *context, struct request *request); /* as device_ops.handle, on its poller */
    void *context;
    bool is_prompt;       /* of handle: as device_ops.is_prompt */
    uint64_t deadline_ns; /* of a request to a device on another poller; 0: none */
    enum late_kind late;  /* what a read gets past it */
    uint64_t late_value;
    uint64_t broken_after; /* errors until the device is asked no more; 0: never */
    struct config_client_interrupt interrupt; /* of the guest, by its device */
};

struct vm_client {
    struct client client;
    struct vm *vm;
    struct poller *poller; /* where it lives */
    uint32_t poller_index;
    size_t size_bytes;           /* of the allocation that begins here */
    struct histogram *latency;   /* in there too, as is the inbox */
    struct router_range *ranges; /* [range_count] */
    size_t range_count;
    uint32_t next_range_index;
    _Atomic uint32_t waiters; /* threads inside vm_client_wait */
    _Atomic bool is_destroying;
    /* Control's part of a device, see service.h. */
    struct stream *stream;
    struct config_client_interrupt interrupt_route;
    struct interrupt *interrupt; /* interrupt.h; NULL: none, or not open */
    uint64_t image_saved;
    bool image_failed; /* said once, not every second */
    /* Of a client whose device is another process. */
    struct registration *registration; /* NULL: nobody serves it */
    uint32_t epoch;                    /* of the last incarnation; 0: there was none */
    struct launch *launch;             /* NULL: its process is not ours to start */
    struct budget budget;              /* what one of the client's two points to, if it does */
    /* By events.c. */
    uint64_t overruns_seen;
    uint64_t errors_seen;
    uint64_t late_seen;
    uint64_t refused_seen;
};

/* -EEXIST: the name is taken, or it is a second default client. -EINVAL: no name, too long a name,
 * or not exactly one that answers; a client that is neither default nor has a handler is refused; a
 * device with `completed` on another poller than the VM's.
 * -ENOSPC: VM_CLIENTS_MAX. */
int vm_client_create(struct vm *vm, const struct vm_client_options *options,
                     struct vm_client **client);

/* Its ranges go first, then what it has in flight is settled: a device on another poller handles
 * what lies in its inbox; an external client's requests are completed with all-ones, and whoever
 * waits is woken. Requests that come meanwhile stay PENDING for no longer than a sweep. */
int vm_client_destroy(struct vm_client *client);

/* first and last inclusive; type: REQUEST_PORTIO, REQUEST_MMIO or REQUEST_PCICFG. Where priorities differ,
 * the higher range owns the shared addresses, and an access must lie in what one range owns as a whole.
 * -EINVAL: last < first, beyond the type's space, a type that is not routed by range, or
 * VM_PRIORITY_DOORBELL, which is reserved. -EEXIST: it overlaps one of the same priority. -E2BIG:
 * ROUTER_RANGES_MAX. */
int vm_client_add_range(struct vm_client *client, uint32_t type, uint64_t first, uint64_t last,
                        uint32_t priority);

/* Exactly that range of that client, or -ENOENT. Of several priorities the highest goes first. */
int vm_client_delete_range(struct vm_client *client, uint32_t type, uint64_t first, uint64_t last);

/* The priority of the one that would go; 0 if there is none. */
uint32_t vm_client_priority(const struct vm_client *client, uint32_t type, uint64_t first,
                            uint64_t last);

/* Replaces the ranges of all clients of a VM at once: ranges [count] name clients of this VM. */
int vm_set_ranges(struct vm *vm, const struct router_range *ranges, size_t count);

/* Publishes the ranges of all clients and doorbells as they are now, in a router of their own; the old
 * one goes at the sweeping poller's next quiescent point. On failure nothing changed. */
int vm_publish_router(struct vm *vm);

/* The same where only first..last of `type` may be other than before: a few hundred bytes change,
 * however many ranges there are. */
int vm_publish_range(struct vm *vm, uint32_t type, uint64_t first, uint64_t last);

/* The sweeping poller's quiescent point: nothing that was published before is looked at any more.
 * -ETIMEDOUT: it does not answer. */
int vm_quiesce(struct vm *vm);

/* Makes client the default one of its VM, or nobody (NULL). -EINVAL: a client of another VM. */
int vm_set_default_client(struct vm *vm, struct vm_client *client);

/* Waits until a request is there for the external client; *vcpus has a bit for each. -ENODEV: the
 * client is being destroyed. -ETIMEDOUT. -EINVAL: not external. */
int vm_client_wait(struct vm_client *client, uint64_t timeout_ns, uint32_t *vcpus);

/* The request of vcpu, which stays in flight. -EINVAL: vcpu >= vCPU count. -ENOENT: none. */
int vm_client_look(struct vm_client *client, uint32_t vcpu, struct request *request);

/* Completes the request of vcpu; value answers a read. -EINVAL: vcpu >= vCPU count. -ENOENT: no
 * request of this vCPU is in flight with this client (refused and counted). */
int vm_client_finish(struct vm_client *client, uint32_t vcpu, uint64_t value);

#endif
