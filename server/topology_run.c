/* SPDX-License-Identifier: BSD-3-Clause */
/* topology.h's second half: starting what topology.c built, and bringing it to rest. */
#include "server/topology.h"

#include "pollers/notifier.h"
#include "pollers/ticks.h"
#include "server/log.h"
#include "server/notify/completion.h"
#include "server/restart/adoption.h"
#include "server/threads/advice.h"
#include "server/threads/residence.h"
#include "server/threads/thread_faults.h"
#include "server/vm_source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* Longer than a call's: one that is not stuck, but has no CPU, comes round and loses nothing. */
#define FREEZE_TIMEOUT_NS (5 * VM_CALL_TIMEOUT_NS)

/* It keeps its CPU while there is nothing to do. */
static bool is_busy(const struct topology_poller *poller)
{
    return poller->idle == POLLER_IDLE_SPIN || poller->idle == POLLER_IDLE_PAUSE;
}

static void say_advice(void *context, bool is_warning, const char *line)
{
    (void)context;
    if (is_warning)
        log_warning("%s", line);
    else
        log_info("%s", line);
}

void topology_advise(const struct topology *topology, const struct machine_facts *facts)
{
    struct advice_poller *pollers = calloc(topology->poller_count, sizeof(*pollers));
    if (!pollers)
        return;
    for (size_t i = 0; i < topology->poller_count; i++)
        pollers[i] = (struct advice_poller){
            .name = topology->pollers[i].name,
            .cpu = topology->pollers[i].cpu,
            .is_busy = is_busy(&topology->pollers[i]),
            .facts = machine_cpu_facts_read_at("", topology->pollers[i].cpu),
        };
    const struct advice_case advised = {
        .machine = facts,
        .pollers = pollers,
        .poller_count = topology->poller_count,
        .locks_memory = topology->locks_memory,
        .wants_cpu_latency = topology->wants_cpu_latency,
    };
    advice_give(&advised, say_advice, NULL);
    free(pollers);
}

/* What cannot be held is part of the advice. */
static void hold_cpu_latency(struct topology *topology, struct machine_facts *facts)
{
    for (size_t i = 0; topology->wants_cpu_latency && i < topology->poller_count; i++) {
        if (!is_busy(&topology->pollers[i]))
            continue;
        facts->cpu_latency_error = -cpu_latency_hold(&topology->cpu_latency, CPU_LATENCY_PATH);
        return;
    }
}

static void tell_strays(const struct topology *topology)
{
    for (size_t i = 0; i < topology->poller_count; i++)
        residence_count_strays(topology, i, memory_check_node, true);
}

int topology_start(struct topology *topology)
{
    thread_plan_log(topology->plan);
    struct machine_facts facts = machine_facts_read();
    hold_cpu_latency(topology, &facts);
    topology_advise(topology, &facts);
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

/* One that hangs in a device, or comes back just now, is made to stand still: what it took on from
 * here on nobody would answer, and the devices it would call are about to be closed. */
static int stop_pollers(struct topology *topology)
{
    int result = 0;
    for (size_t i = 0; i < topology->poller_count; i++) {
        struct topology_poller *poller = &topology->pollers[i];
        if (poller_stop(poller->poller, VM_CALL_TIMEOUT_NS) == 0)
            continue;
        result = -ETIMEDOUT;
        log_error("poller %s is stuck in a device", poller->name);
        if (poller_freeze(poller->poller, FREEZE_TIMEOUT_NS) < 0)
            log_error("poller %s cannot be made to stand still; what it handles stays unanswered",
                      poller->name);
    }
    return result;
}

/* What was taken on after page_settle_all, by a poller that could not be told to pause its pages, and
 * what such a poller was handling. */
static void settle_rest(struct topology *topology)
{
    for (size_t i = 0; i < topology->vm_count; i++) {
        struct vm *vm = topology->vms[i];
        bool is_mapped = vm->is_attached || vm->is_detaching;
        say_late(vm, is_mapped && poller_is_frozen(vm->poller) ? page_settle_frozen(vm->page)
                                                               : page_settle_all(vm->page));
    }
}

/* Takes on nothing more, and waits for what is in flight. */
static int rest(struct topology *topology)
{
    int result = 0;
    for (size_t i = 0; i < topology->vm_count; i++)
        if (topology->vms[i]->state == VM_RUNNING && vm_rest(topology->vms[i]) < 0)
            result = -ETIMEDOUT;
    uint64_t deadline = ticks_now() + ticks_from_ns(topology->settle_ns);
    while (count_in_flight(topology) > 0 && ticks_now() < deadline) {
        struct timespec pause = {.tv_nsec = 50000};
        nanosleep(&pause, NULL);
    }
    return result;
}

int topology_settle(struct topology *topology)
{
    int result = rest(topology);
    for (size_t i = 0; i < topology->vm_count; i++)
        say_late(topology->vms[i], page_settle_all(topology->vms[i]->page));
    if (stop_pollers(topology) < 0)
        result = -ETIMEDOUT;
    settle_rest(topology);
    notifier_stop(topology->notifier); /* the doorbells that were answered have rung */
    completion_settle(topology);       /* alone now: what is told here is told once */
    cpu_latency_release(&topology->cpu_latency);
    return result;
}

int topology_leave(struct topology *topology)
{
    int result = rest(topology);
    topology->is_left = true;
    for (size_t i = 0; i < topology->poller_count; i++)
        if (poller_stop(topology->pollers[i].poller, VM_CALL_TIMEOUT_NS) < 0)
            result = -ETIMEDOUT;
    cpu_latency_release(&topology->cpu_latency);
    notifier_stop(topology->notifier);
    return result;
}

void topology_poll(struct topology *topology)
{
    for (size_t i = 0; i < topology->vm_count; i++) {
        vm_clear_poll(topology->vms[i]);
        vm_source_poll(topology->vms[i]);
    }
    watchdog_look(topology, ticks_now());
}

void topology_tick(struct topology *topology)
{
    for (size_t i = 0; i < topology->vm_count; i++) {
        vm_source_tick(topology->vms[i]);
        vm_detach_again(topology->vms[i]);
    }
    topology_look_at_faults(topology);
    adoption_tick(topology);
}
