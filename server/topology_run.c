/* SPDX-License-Identifier: BSD-3-Clause */
/* topology.h's second half: starting what topology.c built, and bringing it to rest. */
#include "server/topology.h"

#include "pollers/notifier.h"
#include "pollers/ticks.h"
#include "server/log.h"
#include "server/residence.h"
#include "server/thread_faults.h"

#include <errno.h>
#include <string.h>
#include <time.h>

static void warn_of_what_hurts(const struct topology *topology)
{
    for (size_t i = 0; i < topology->poller_count; i++) {
        const struct topology_poller *poller = &topology->pollers[i];
        if (!placement_is_isolated(topology->placement, poller->cpu))
            log_info("poller %s: CPU %u is not isolated; other threads may interrupt it (kernel "
                     "argument isolcpus=%u)",
                     poller->name, poller->cpu, poller->cpu);
    }
    if (!ticks_are_invariant())
        log_warning("the time-stamp counter is not invariant: latencies are approximate");
}

static void tell_strays(const struct topology *topology)
{
    for (size_t i = 0; i < topology->poller_count; i++)
        residence_count_strays(topology, i, memory_check_node, true);
}

int topology_start(struct topology *topology)
{
    thread_plan_log(topology->plan);
    warn_of_what_hurts(topology);
    topology->is_started = true;
    int result = placement_bind_self(topology->placement, topology->plan->control->cpu);
    if (result < 0) {
        log_error("the control thread cannot run on CPU %u: %s", topology->plan->control->cpu,
                  strerror(-result));
        return result;
    }
    result = notifier_start(topology->notifier);
    if (result < 0) {
        log_error("cannot start the notifier's thread on CPU %u: %s", topology->plan->notifier->cpu,
                  strerror(-result));
        return result;
    }
    for (size_t i = 0; i < topology->poller_count; i++) {
        struct topology_poller *poller = &topology->pollers[i];
        result = poller_start(poller->poller);
        if (result < 0) {
            log_error("poller %s: cannot run on CPU %u: %s", poller->name, poller->cpu,
                      strerror(-result));
            return result;
        }
        poller->last_ticks = ticks_now();
    }
    tell_strays(topology);
    return 0;
}

void topology_look_at_faults(struct topology *topology)
{
    for (size_t i = 0; i < topology->poller_count; i++) {
        struct topology_poller *poller = &topology->pollers[i];
        struct poller_thread thread = poller_thread(poller->poller);
        uint64_t faults;
        if (thread.id && thread_faults_read(thread.id, &faults) == 0)
            poller->faults = faults - thread.faults_before;
    }
}

static uint32_t count_in_flight(const struct topology *topology)
{
    uint32_t count = 0;
    for (size_t i = 0; i < topology->vm_count; i++)
        count += page_in_flight(topology->vms[i]->page);
    return count;
}

static void say_late(const struct vm *vm, uint32_t late)
{
    if (late)
        log_warning("vm %s: %u requests were not answered in time; completed with all-ones",
                    vm->name, late);
}

/* A poller that hangs in a device of its own VM: nobody else can answer while it might go on. */
static void settle_stuck(struct topology *topology)
{
    for (size_t i = 0; i < topology->vm_count; i++) {
        struct vm *vm = topology->vms[i];
        if (!page_is_handling(vm->page))
            continue;
        if (poller_freeze(vm->poller, VM_CALL_TIMEOUT_NS) == 0)
            say_late(vm, page_settle_frozen(vm->page));
        else
            log_error("vm %s: its poller cannot be made to stand still; what it handles stays "
                      "unanswered",
                      vm->name);
    }
}

int topology_settle(struct topology *topology)
{
    int result = 0;
    for (size_t i = 0; i < topology->vm_count; i++)
        if (topology->vms[i]->state == VM_RUNNING && vm_pause(topology->vms[i]) < 0)
            result = -ETIMEDOUT;
    uint64_t deadline = ticks_now() + ticks_from_ns(topology->settle_ns);
    while (count_in_flight(topology) > 0 && ticks_now() < deadline) {
        struct timespec pause = {.tv_nsec = 50000};
        nanosleep(&pause, NULL);
    }
    for (size_t i = 0; i < topology->vm_count; i++)
        say_late(topology->vms[i], page_settle_all(topology->vms[i]->page));
    for (size_t i = 0; i < topology->poller_count; i++) {
        if (poller_stop(topology->pollers[i].poller, VM_CALL_TIMEOUT_NS) == 0)
            continue;
        log_error("poller %s is stuck in a device", topology->pollers[i].name);
        result = -ETIMEDOUT;
    }
    settle_stuck(topology);
    notifier_stop(topology->notifier); /* the doorbells that were answered have rung */
    return result;
}

void topology_poll(struct topology *topology)
{
    for (size_t i = 0; i < topology->vm_count; i++)
        vm_clear_poll(topology->vms[i]);
}

void topology_tick(struct topology *topology)
{
    for (size_t i = 0; i < topology->vm_count; i++)
        vm_detach_again(topology->vms[i]);
    topology_look_at_faults(topology);
}
