/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/sources/source.h"

#include "pollers/slot.h"
#include "server/sources/lost_page.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

const struct page_source_kind *page_source_kind(enum config_source source)
{
    static const struct page_source_kind *const kinds[] = {
        [CONFIG_SOURCE_MEMFD] = &source_memfd, [CONFIG_SOURCE_UIO] = &source_uio,
        [CONFIG_SOURCE_PCI] = &source_pci,     [CONFIG_SOURCE_VFIO] = &source_vfio,
        [CONFIG_SOURCE_HSM] = &source_hsm,
    };
    return kinds[source];
}

int source_fail(int result, char *reason, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, SOURCE_REASON_BYTES, format, arguments);
    va_end(arguments);
    return result;
}

int source_check_size(const struct page_source *source, uint64_t size_bytes, char *reason)
{
    const struct config_place *place = source->place;
    if (size_bytes >= PAGE_BYTES && place->offset_bytes <= size_bytes - PAGE_BYTES)
        return 0;
    return source_fail(
        -ERANGE, reason,
        "map %u of %s has %llu bytes, no whole page at offset 0x%llx; expected %u bytes "
        "there: check map and offset",
        place->map, place->device, (unsigned long long)size_bytes,
        (unsigned long long)place->offset_bytes, PAGE_BYTES);
}

int source_map_page(struct page_source *source, int descriptor, uint64_t file_offset,
                    uint64_t offset_bytes, char *reason)
{
    size_t bytes = (size_t)offset_bytes + PAGE_BYTES;
    void *mapping = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, descriptor,
                         (off_t)file_offset);
    if (mapping == MAP_FAILED && errno == EINVAL)
        return source_fail(-EINVAL, reason,
                           "%s: the kernel does not let it be mapped: a driver may have it for "
                           "itself alone; unbind that",
                           source->place->device);
    if (mapping == MAP_FAILED)
        return source_fail(-errno, reason, "%s cannot be mapped: %s", source->place->device,
                           strerror(errno));
    source->mapping = mapping;
    source->mapping_bytes = bytes;
    source->slots = (struct acrn_io_request *)((char *)mapping + offset_bytes);
    return 0;
}

/* Is that a page that a hypervisor has registered? */
static int look_at_page(const struct page_source *source, char *reason)
{
    if (source->kind->is_ours)
        return 0;
    if (lost_page_is_lost(source->lost))
        return source_fail(-EIO, reason, "%s has no memory where its page should be; expected %s",
                           source->place->device, "a whole page there: check map and offset");
    switch (slots_look(source->slots)) {
    case SLOTS_ZERO:
        return source_fail(-ENODATA, reason,
                           "the page of %s is not initialised (all zero); register it with the "
                           "hypervisor first, or check map and offset",
                           source->place->device);
    case SLOTS_ONES:
        return source_fail(-ENODEV, reason,
                           "the page of %s reads all-ones: the device is switched off or gone",
                           source->place->device);
    case SLOTS_STRANGE:
        return source_fail(-EPROTO, reason,
                           "%s has no page of requests there: a slot's state is none of the four; "
                           "check map and offset",
                           source->place->device);
    case SLOTS_SOUND:
        break;
    }
    return 0;
}

int page_source_open(struct page_source *source, const struct page_source_kind *kind,
                     const struct config_place *place, const char *root, char *reason)
{
    return page_source_open_handed(source, kind, place, NULL, root, reason);
}

int page_source_open_handed(struct page_source *source, const struct page_source_kind *kind,
                            const struct config_place *place, const int *handed, const char *root,
                            char *reason)
{
    *source = (struct page_source){.kind = kind,
                                   .descriptor = -1,
                                   .place = place,
                                   .handed = handed,
                                   .root = root ? root : "",
                                   .node = SOURCE_ANY_NODE};
    int result = kind->open(source, reason);
    if (result == 0)
        result = kind->map(source, reason);
    if (result == 0 && !kind->is_ours) {
        source->lost = lost_page_watch(source->slots);
        if (!source->lost)
            result = source_fail(-ENOSPC, reason, "too many pages");
    }
    if (result == 0)
        result = look_at_page(source, reason);
    source->handed = NULL;
    if (result < 0)
        page_source_close(source);
    return result;
}

int page_source_check(struct page_source *source, char *reason)
{
    if (!source->kind || source->kind->is_ours)
        return 0;
    if (lost_page_is_lost(source->lost))
        return source_fail(-EIO, reason,
                           "the memory of its page is gone (SIGBUS): %s was removed or cut off",
                           source->place->device);
    int result = source->kind->check ? source->kind->check(source, reason) : 0;
    if (result == 0 && slots_look(source->slots) == SLOTS_ONES)
        result = source_fail(-ENODEV, reason,
                             "its page reads all-ones: %s is switched off or was removed",
                             source->place->device);
    return result;
}

void page_source_close(struct page_source *source)
{
    if (!source->kind)
        return;
    lost_page_unwatch(source->lost);
    if (source->mapping)
        munmap(source->mapping, source->mapping_bytes);
    source->kind->close(source);
    *source = (struct page_source){.descriptor = -1};
}
