/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/events.h"

#include "server/log.h"
#include "server/status.h"

#include <stdlib.h>

/* What was last seen of one VM, and of its clients' errors. */
struct vm_seen {
    uint64_t counters[PAGE_COUNTER_COUNT];
    uint64_t settled[PAGE_SETTLED_COUNT];
    uint64_t *client_errors; /* [client_count] */
};

struct events {
    const struct topology *topology;
    struct vm_seen seen[]; /* [vm_count] */
};

struct events *events_create(const struct topology *topology)
{
    struct events *events =
        calloc(1, sizeof(*events) + topology->vm_count * sizeof(events->seen[0]));
    if (!events)
        return NULL;
    events->topology = topology;
    for (size_t i = 0; i < topology->vm_count; i++) {
        events->seen[i].client_errors = calloc(topology->vms[i].client_count + 1, sizeof(uint64_t));
        if (!events->seen[i].client_errors) {
            events_destroy(events);
            return NULL;
        }
    }
    return events;
}

void events_destroy(struct events *events)
{
    if (!events)
        return;
    for (size_t i = 0; i < events->topology->vm_count; i++)
        free(events->seen[i].client_errors);
    free(events);
}

/* How much the counter rose since the last look. */
static uint64_t rise(const _Atomic uint64_t *counter, uint64_t *seen)
{
    uint64_t now = counter_read(counter);
    uint64_t rose = now - *seen;
    *seen = now;
    return rose;
}

void events_report(struct events *events)
{
    for (size_t i = 0; i < events->topology->vm_count; i++) {
        const struct vm *vm = &events->topology->vms[i];
        struct vm_seen *seen = &events->seen[i];
        for (size_t k = PAGE_REQUESTS + 1; k < PAGE_COUNTER_COUNT; k++) {
            uint64_t rose = rise(&vm->page->counters[k], &seen->counters[k]);
            if (rose)
                log_warning("vm %s: %s: %llu more", vm->name, status_page_counters[k],
                            (unsigned long long)rose);
        }
        for (size_t k = 0; k < PAGE_SETTLED_COUNT; k++) {
            uint64_t rose = rise(&vm->page->settled[k], &seen->settled[k]);
            if (rose)
                log_warning("vm %s: %s: %llu more", vm->name, status_page_settled[k],
                            (unsigned long long)rose);
        }
        for (size_t k = 0; k < vm->client_count; k++) {
            uint64_t rose = rise(&vm->clients[k].client.errors, &seen->client_errors[k]);
            if (rose)
                log_warning("vm %s: client %s: %llu more errors of its device", vm->name,
                            vm->clients[k].client.name, (unsigned long long)rose);
        }
    }
}
