/* SPDX-License-Identifier: BSD-3-Clause */
/* A page that the server makes itself and hands to whoever plays the hypervisor. Its size is
 * sealed, so that the requester cannot truncate it under us; a hole punched into it only makes its
 * content zero, which is 16 invalid requests and no more. */
#include "server/sources/source.h"

#include "pollers/slot.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static int memfd_open(struct page_source *source, char *reason)
{
    source->descriptor = memfd_create("ioreqd-page", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (source->descriptor < 0 || ftruncate(source->descriptor, PAGE_BYTES) < 0 ||
        fcntl(source->descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) < 0)
        return source_fail(-errno, reason, "no memory file: %s", strerror(errno));
    return 0;
}

static int memfd_map(struct page_source *source, char *reason)
{
    void *mapping = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                         source->descriptor, 0);
    if (mapping == MAP_FAILED)
        return source_fail(-errno, reason, "no memory: %s", strerror(errno));
    source->mapping = mapping;
    source->mapping_bytes = PAGE_BYTES;
    source->slots = mapping;
    /* Before anybody else sees it: PENDING is 0, and a new memfd is all zero. */
    slots_free_all(source->slots);
    return 0;
}

int source_memfd_adopt(struct page_source *source, int descriptor)
{
    struct stat file;
    int seals = fcntl(descriptor, F_GET_SEALS), error = EINVAL;
    void *mapping = MAP_FAILED;
    if (seals >= 0 && (seals & F_SEAL_SHRINK) && fstat(descriptor, &file) == 0 &&
        file.st_size == PAGE_BYTES) {
        mapping = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                       descriptor, 0);
        error = errno;
    }
    if (mapping == MAP_FAILED) {
        close(descriptor);
        return -error;
    }
    *source = (struct page_source){.kind = &source_memfd,
                                   .slots = mapping,
                                   .descriptor = descriptor,
                                   .root = "",
                                   .mapping = mapping,
                                   .mapping_bytes = PAGE_BYTES,
                                   .node = SOURCE_ANY_NODE};
    return 0;
}

static void memfd_close(struct page_source *source)
{
    if (source->descriptor >= 0)
        close(source->descriptor);
}

const struct page_source_kind source_memfd = {
    .name = "memfd",
    .is_ours = true,
    .open = memfd_open,
    .map = memfd_map,
    .close = memfd_close,
};
