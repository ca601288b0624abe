/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vcpu.h - one vCPU's thread: runs the guest, and turns each of its exits into accesses.
 *
 * Flow:    vcpu_start -> [KVM_RUN -> exit -> pieces -> requester_access -> answer back into the
 *          exit]... until the run's ending is raised -> vcpu_stop from outside, or by itself.
 * Threads: each vCPU one; start and stop by the main one; last_access_ns read by it.
 * Memory:  struct vcpu is the caller's; what it points to outlives the thread.
 * Errors:  whatever ends a vCPU ends the run: it is raised as the cause. Only HLT without an
 *          interrupt controller ends one vCPU alone; the last one raises ENDING_HALTED.
 * Source:  Linux Documentation/virt/kvm/api.rst, KVM_RUN and immediate_exit.
 */
#ifndef SERVER_VM_VCPU_H
#define SERVER_VM_VCPU_H

#include "server/vm/affinity.h"
#include "server/vm/cmos_memory.h"
#include "server/vm/ending.h"
#include "server/vm/machine.h"
#include "server/vm/observer.h"
#include "server/vm/traffic.h"

#define VCPU_KICK_SIGNAL SIGUSR1

struct vcpu {
    struct machine *machine;
    struct requester *requester;
    struct observer *observer;
    struct ending *ending;
    _Atomic uint32_t *running_count; /* vCPUs that have not halted */
    _Atomic uint32_t *thread_count;  /* threads that have not ended; 0 to begin */
    uint32_t index;
    const struct affinity *affinity;
    struct cmos_memory cmos_memory; /* its thread's until joined */
    pthread_t thread;
    _Atomic uint64_t last_access_ns; /* monotonic */
    struct traffic traffic;          /* its thread's until joined */
};

/* Once a process, before the first vCPU: the handler that lets the kick interrupt KVM_RUN. */
int vcpu_prepare_kicks(void);

/* All members but thread filled in, traffic zeroed. 0 or a negative errno. */
int vcpu_start(struct vcpu *vcpu);
/* With the ending raised: gets all vCPUs out of the guest, lets answers that are on their way
 * arrive for up to grace_ns, then stops the requester; joins all. */
void vcpu_stop_all(struct vcpu *vcpus, uint32_t count, uint64_t grace_ns);

#endif
