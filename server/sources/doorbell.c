/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/sources/doorbell.h"

#include "pollers/slot.h"
#include "server/sources/lost_page.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

int source_doorbell_map(struct source_doorbell *doorbell, int descriptor, uint64_t file_offset,
                        const struct config_place *place, char *reason)
{
    size_t bytes = (size_t)place->notify_offset_bytes + sizeof(uint32_t);
    bytes = (bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    void *mapping =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, (off_t)file_offset);
    if (mapping == MAP_FAILED)
        return source_fail(-errno, reason, "%s: its doorbell, map %u, cannot be mapped: %s",
                           place->device, place->notify_map, strerror(errno));
    doorbell->mapping = mapping;
    doorbell->mapping_bytes = bytes;
    doorbell->address = (volatile uint32_t *)(void *)((char *)mapping + place->notify_offset_bytes);
    doorbell->lost = lost_page_watch((char *)mapping + bytes - PAGE_BYTES);
    return doorbell->lost ? 0 : source_fail(-ENOSPC, reason, "too many pages and doorbells");
}

int source_doorbell_map_file(struct source_doorbell *doorbell, const char *path,
                             const struct config_place *place, char *reason)
{
    int descriptor = open(path, O_RDWR | O_SYNC | O_CLOEXEC);
    if (descriptor < 0)
        return source_fail(-errno, reason, "%s: its doorbell, %s: %s", place->device, path,
                           strerror(errno));
    struct stat status; /* lseek does not know a resource's end */
    int result = fstat(descriptor, &status) < 0 ? -errno : 0;
    if (result < 0)
        source_fail(result, reason, "%s: its doorbell, %s: %s", place->device, path,
                    strerror(-result));
    else
        result = (uint64_t)status.st_size < place->notify_offset_bytes + sizeof(uint32_t)
                     ? source_fail(-ERANGE, reason,
                                   "%s: its doorbell, map %u, has %lld bytes; expected a "
                                   "notify_offset below that",
                                   place->device, place->notify_map, (long long)status.st_size)
                     : source_doorbell_map(doorbell, descriptor, 0, place, reason);
    close(descriptor);
    return result;
}

void source_doorbell_unmap(struct source_doorbell *doorbell)
{
    lost_page_unwatch(doorbell->lost);
    if (doorbell->mapping)
        munmap(doorbell->mapping, doorbell->mapping_bytes);
    *doorbell = (struct source_doorbell){0};
}

struct notify_target source_doorbell_target(const struct source_doorbell *doorbell,
                                            const struct config_place *place, uint32_t vcpu)
{
    return (struct notify_target){
        .kind = NOTIFY_DOORBELL,
        .descriptor = -1,
        .value = place->notify_value + vcpu * place->notify_step,
        .address = doorbell->address,
    };
}
