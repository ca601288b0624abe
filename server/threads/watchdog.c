/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/threads/watchdog.h"

#include "pollers/ticks.h"
#include "server/log.h"
#include "server/topology.h"
#include "server/vm_client.h"

#include <stdio.h>

/* It had less than this share of the gap: somebody else had its CPU. */
#define HAD_CPU_SHARE 2

/* NULL: it is none of ours (any more). The pointer is compared, not followed. */
static const struct vm_client *find_client(const struct topology *topology,
                                           const struct client *client)
{
    for (size_t i = 0; i < topology->vm_count; i++)
        for (uint32_t k = 0; k < topology->vms[i]->client_count; k++)
            if (&topology->vms[i]->clients[k]->client == client)
                return topology->vms[i]->clients[k];
    return NULL;
}

static void name_place(const struct topology *topology, const struct topology_poller *poller,
                       uint64_t gap_ns, char place[WATCH_PLACE_BYTES])
{
    const struct client *asked = poller_figures(poller->poller).asked;
    const struct vm_client *client = asked ? find_client(topology, asked) : NULL;
    uint64_t cpu_ns = poller_cpu_ns(poller->poller) - poller->watch.moved_cpu_ns;
    const char *without = cpu_ns < gap_ns / HAD_CPU_SHARE ? ", without its CPU" : "";
    if (client)
        snprintf(place, WATCH_PLACE_BYTES, "in client %s of VM %s (%s)%s", client->client.name,
                 client->vm->name,
                 client->client.device ? client->client.device->ops->name : "external", without);
    else
        snprintf(place, WATCH_PLACE_BYTES, "%s%s",
                 asked ? "in a client that has gone" : "outside of any device", without);
}

static void tell_stuck(const struct topology *topology, struct topology_poller *poller,
                       uint64_t gap_ns)
{
    struct watch *watch = &poller->watch;
    watch->is_stuck = true;
    watch->stuck_count++;
    name_place(topology, poller, gap_ns, watch->place);
    log_error("poller %s: stuck for %llu ms, %s; nothing that it serves is answered meanwhile",
              poller->name, (unsigned long long)(gap_ns / 1000000), watch->place);
}

static void note_moved(struct topology_poller *poller, uint64_t sweeps, uint64_t gap_ns,
                       uint64_t now_ticks)
{
    struct watch *watch = &poller->watch;
    if (watch->is_stuck)
        log_warning("poller %s: goes on after %llu ms, %s", poller->name,
                    (unsigned long long)(gap_ns / 1000000), watch->place);
    watch->is_stuck = false;
    watch->sweeps_seen = sweeps;
    watch->moved_ticks = now_ticks;
    watch->moved_cpu_ns = poller_cpu_ns(poller->poller);
}

static void look(const struct topology *topology, struct topology_poller *poller,
                 uint64_t now_ticks)
{
    struct watch *watch = &poller->watch;
    const struct poller_figures figures = poller_figures(poller->poller);
    uint64_t sweeps = figures.sweeps;
    bool is_first = watch->moved_ticks == 0;
    uint64_t gap_ns = ticks_to_ns(now_ticks - watch->moved_ticks);
    /* One that waits for requests need not move. */
    if (is_first || sweeps != watch->sweeps_seen || figures.is_waiting) {
        note_moved(poller, sweeps, gap_ns, now_ticks);
        return;
    }
    if (gap_ns > watch->longest_gap_ns)
        watch->longest_gap_ns = gap_ns;
    if (!watch->is_stuck && gap_ns >= watch->stuck_after_ns)
        tell_stuck(topology, poller, gap_ns);
}

void watchdog_look(struct topology *topology, uint64_t now_ticks)
{
    for (size_t i = 0; i < topology->poller_count; i++)
        if (topology->pollers[i].watch.stuck_after_ns)
            look(topology, &topology->pollers[i], now_ticks);
}
