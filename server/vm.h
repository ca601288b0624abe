/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vm.h - one VM: its page, its clients, and who plays its hypervisor.
 *
 * Flow:    vm_attach: fresh page, devices at power-on, sweeping -> vm_detach. As often as
 * requesters come and go; one at a time. Threads: control. What a poller owns is changed by
 * commands on that poller (poller_call). Memory:  built and freed by topology.c. Errors:  negative
 * errno. A poller that does not answer within VM_CALL_TIMEOUT_NS is stuck: the page then stays
 * mapped for good, and the VM cannot be attached any more.
 */
#ifndef SERVER_VM_H
#define SERVER_VM_H

#include "pollers/poller.h"
#include "server/sources/source.h"

#include <sys/types.h>

#define VM_CALL_TIMEOUT_NS 1000000000ull

struct vm_client {
    struct client client;
    struct poller *poller; /* where it lives */
    uint32_t poller_index; /* into the topology's pollers */
    void *inbox_memory;    /* NULL: lives on the sweeping poller */
    struct histogram *latency;
};

struct vm {
    char name[CLIENT_NAME_MAX + 1];
    struct page *page;
    struct router *router;
    struct poller *poller; /* sweeps the page */
    uint32_t poller_index;
    struct vm_client *clients; /* [client_count] */
    size_t client_count;
    struct page_source source;
    pid_t requester_pid; /* 0: nobody is attached */
    bool is_stuck;       /* a poller did not answer; the page may still be in use */
};

/* Opens a fresh page for the requester `pid` and starts to serve it. *descriptor stays the VM's.
 * -EBUSY: somebody is attached. -ETIMEDOUT: a poller is stuck. */
int vm_attach(struct vm *vm, pid_t pid, int *descriptor);

/* Abandons what is in flight and lets go of the page. */
void vm_detach(struct vm *vm);

/* Takes on no more requests; what is in flight goes on. */
int vm_pause(struct vm *vm);

#endif
