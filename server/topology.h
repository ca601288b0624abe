/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * topology.h - all wiring: which poller sweeps which page, where each client lives, who owns what.
 * Read this first.
 *
 * Flow:    topology_check (is this configuration possible on this machine?) -> topology_create ->
 *          topology_start -> ... -> topology_settle -> topology_destroy.
 *
 *              config            placement (hwloc)
 *                 \                  /
 *                  topology_create
 *          for each poller:  struct poller on its CPU
 *          for each VM:      struct page, router, vm; swept by one poller
 *          for each client:  device, histogram; an inbox if it lives on another poller than its
 * VM's
 *
 * Threads: control.
 * Memory:  struct topology owns everything it builds, on the node of the poller that uses it.
 * Errors:  negative errno, and one line on stderr that names the cause and the remedy.
 */
#ifndef SERVER_TOPOLOGY_H
#define SERVER_TOPOLOGY_H

#include "config/config.h"
#include "pollers/placement.h"
#include "server/vm.h"

struct sandbox;

struct topology_poller {
    const char *name; /* config's */
    struct poller *poller;
    struct sandbox *sandbox; /* NULL: none */
    uint32_t cpu;
    enum poller_idle idle;
    struct poller_figures last; /* at the last status call, and when that was */
    uint64_t last_ticks;
};

struct topology {
    const struct config *config; /* not owned; outlives the topology */
    struct placement *placement;
    struct topology_poller *pollers; /* [poller_count] */
    size_t poller_count;
    struct vm *vms; /* [vm_count] */
    size_t vm_count;
    bool is_started;
};

/* What the machine has to say about the configuration; kept apart so that a test can invent it. */
struct machine_facts {
    bool tsc_is_invariant;
};
struct machine_facts machine_facts_read(void);

/* Reports (config_report) every CPU that is not to be had, and a sandbox where it cannot work. */
void topology_check(struct config *config, const struct placement *placement,
                    const struct machine_facts *facts);

int topology_create(const struct config *config, struct placement *placement,
                    struct topology **topology);

/* Starts every poller. What will hurt latency is said here. */
int topology_start(struct topology *topology);

/* Takes on no more requests, waits up to settle_ns for those in flight, completes the rest with
 * all-ones, and stops the pollers. -ETIMEDOUT: a poller is stuck. */
int topology_settle(struct topology *topology, uint64_t settle_ns);

void topology_destroy(struct topology *topology);

struct vm *topology_find_vm(struct topology *topology, const char *name);

#endif
