/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * doorbell.h - a register of a device whose store tells the requester: the cheapest way to notify, for
 * the poller makes it itself.
 *
 * Threads: control maps; the stores are a poller's (notify_target.h).
 * Memory:  the mapping lasts until source_doorbell_unmap.
 * Errors:  negative errno and a reason, as in source.h.
 */
#ifndef SERVER_SOURCES_DOORBELL_H
#define SERVER_SOURCES_DOORBELL_H

#include "server/sources/source.h"

struct source_doorbell {
    void *mapping; /* NULL: none */
    size_t mapping_bytes;
    volatile uint32_t *address;
    struct lost_page *lost; /* stores go nowhere once the device is gone */
};

/* Maps [place->notify_offset_bytes + 4] of path, or of descriptor from file_offset on. */
int source_doorbell_map_file(struct source_doorbell *doorbell, const char *path,
                             const struct config_place *place, char *reason);
int source_doorbell_map(struct source_doorbell *doorbell, int descriptor, uint64_t file_offset,
                        const struct config_place *place, char *reason);
void source_doorbell_unmap(struct source_doorbell *doorbell);

struct notify_target source_doorbell_target(const struct source_doorbell *doorbell,
                                            const struct config_place *place, uint32_t vcpu);

#endif
