/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * topology.h - all wiring: which poller sweeps which page, where each client lives, who owns what.
 * Read this first.
 *
 * Flow:    topology_check (is this configuration possible on this machine?) -> topology_create ->
 *          topology_populate -> topology_take_on -> topology_start -> ... -> topology_settle ->
 *          topology_destroy.
 *
 *              config            placement (hwloc)
 *                 \                  /
 *              topology_create, _populate
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
#include "server/threads/cpu_latency.h"
#include "server/threads/machine_facts.h"
#include "server/threads/thread_plan.h"
#include "server/threads/watchdog.h"
#include "server/vm.h"

struct completion;
struct journal;
struct script;
struct notifier;
struct notifier_port;
struct poller_wait;
struct sandbox;
struct launcher;

struct topology_poller {
    char name[CLIENT_NAME_MAX + 1];
    struct poller *poller;
    struct notifier_port *notifier_port; /* the notifier's; this poller pushes */
    struct sandbox *sandbox;             /* NULL: none */
    struct poller_wait *wait;            /* NULL: it always spins */
    uint32_t cpu;
    enum poller_idle idle;
    struct poller_figures last; /* at the last status call, and when that was */
    uint64_t last_ticks;
    uint64_t faults;      /* page faults since it began to poll, as of topology_look_at_faults */
    uint64_t faults_seen; /* by events.c */
    struct watch watch;
};

#define TOPOLOGY_VMS_MAX      64u
#define TOPOLOGY_REASON_BYTES 320u /* one line for the operator */

struct event_loop;

struct topology {
    struct placement *placement;
    struct thread_plan *plan; /* which thread runs where; NULL: pollers chose otherwise (tests) */
    struct topology_poller *pollers; /* [poller_count] */
    size_t poller_count;
    struct notifier *notifier;        /* its thread runs while the pollers do */
    struct completion *completion;    /* NULL: the notifier's thread tells (tests) */
    struct launcher *launcher;        /* control's; NULL: no processes are started */
    struct event_loop *loop;          /* control's; NULL: it looks every few milliseconds */
    struct vm *vms[TOPOLOGY_VMS_MAX]; /* [vm_count] */
    size_t vm_count;
    uint64_t settle_ns; /* what a client gets at the end, see topology_settle */
    bool locks_memory;
    bool wants_cpu_latency;         /* held while a poller spins or pauses */
    struct cpu_latency cpu_latency; /* from the start to topology_settle */
    bool is_started;
    bool is_left; /* as it stands, for a successor: nothing is settled or taken apart */
    /* adoption.c's */
    struct journal *journal; /* NULL: nobody keeps it */
    bool journal_is_fresh;   /* the keeper has yet to be given it */
    bool journal_refused;
    struct script *script; /* remake.h; NULL: nothing was made at run time */
};

/* topology_check.c. Reports (config_report), before anything starts: every CPU that is not to be
 * had; a sandbox where it cannot work; of every sound client a device that cannot be built and a
 * stream that cannot be opened; files and standard input that two clients want. Opens nothing for
 * writing and makes nothing. */
void topology_check(struct config *config, const struct placement *placement,
                    const struct machine_facts *facts);

/* Pollers without VMs. placement outlives the topology. */
int topology_create(const struct config *config, struct placement *placement,
                    struct topology **topology);

/* A VM, a device, a client, as the configuration describes them; errors are told on stderr. Ranges
 * go in together, by topology_apply_ranges. device is the client's after success. */
int topology_create_vm(struct topology *topology, const struct config_vm *from, struct vm **vm);
int topology_create_device(const struct topology *topology, const struct config_client *from,
                           struct device **device);
/* The same without a word on stderr: why it failed goes to error [error_bytes]. */
int topology_build_device(const struct config_client *from, struct device **device, char *error,
                          size_t error_bytes);
int topology_create_client(struct vm *vm, const struct config_client *from, struct device *device,
                           struct vm_client **client);

/* The ranges of all clients of a VM, swapped at once to what config says of them. A client that
 * config does not name keeps none. */
int topology_apply_ranges(struct vm *vm, const struct config *config);

/* The same without doing it: what topology_apply_ranges would return. */
int topology_check_ranges(const struct vm *vm, const struct config *config);

/* Everything that config describes: VMs, clients, ranges. */
int topology_populate(struct topology *topology, const struct config *config);

/* Takes on the pages that an earlier server left, and opens those of devices; the VMs that config describes,
 * and those that were started at run time, run as soon as they have a page. */
int topology_take_on(struct topology *topology);

/* Says on stderr what will hurt the latency of pollers that are where these are, each in a line
 * with its remedy (advice.h). */
void topology_advise(const struct topology *topology, const struct machine_facts *facts);

/* Binds the calling thread, which is control, to its CPU and starts the notifier and every poller on
 * theirs. What will hurt latency is said here; memory of theirs that lies on a node that is not
 * theirs too. */
int topology_start(struct topology *topology);

/* Reads how many page faults each poller took since it began to poll. */
void topology_look_at_faults(struct topology *topology);

/* Every few milliseconds: VM resets that are under way. */
void topology_poll(struct topology *topology);

/* Once a second: pages that a poller has yet to let go of, and page faults. */
void topology_tick(struct topology *topology);

/* Takes on no more requests, waits up to settle_ns for those in flight, completes the rest with
 * all-ones, and stops the pollers. -ETIMEDOUT: a poller is stuck. */
int topology_settle(struct topology *topology);

/* The same for a successor, which will have the pages and the journal: what is still in flight after
 * settle_ns stays so, and PENDING requests wait. topology_destroy then leaves everything as it is. */
int topology_leave(struct topology *topology);

/* False: a poller does not end. Everything it may use, placement too, is left to the end of the
 * process. */
bool topology_destroy(struct topology *topology);

/* NULL: there is none of that name. */
struct vm *topology_find_vm(const struct topology *topology, const char *name);
struct vm_client *topology_find_client(const struct vm *vm, const char *name);

#endif
