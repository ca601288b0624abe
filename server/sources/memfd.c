/* SPDX-License-Identifier: BSD-3-Clause */
/* A page that the server makes itself and hands to whoever plays the hypervisor. Its size is
 * sealed, so that the requester cannot truncate it under us; a hole punched into it only makes its
 * content zero, which is 16 invalid requests and no more. */
#include "server/sources/source.h"

#include "pollers/slot.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

int source_memfd_open(struct page_source *source)
{
    int descriptor = memfd_create("ioreqd-page", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (descriptor < 0)
        return -errno;
    void *mapping = MAP_FAILED;
    if (ftruncate(descriptor, PAGE_BYTES) == 0 &&
        fcntl(descriptor, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) == 0)
        mapping = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE,
                       descriptor, 0);
    if (mapping == MAP_FAILED) {
        int error = errno;
        close(descriptor);
        return -error;
    }
    source->slots = mapping;
    source->descriptor = descriptor;
    /* Before anybody else sees it: PENDING is 0, and a new memfd is all zero. */
    slots_free_all(source->slots);
    return 0;
}

void source_memfd_close(struct page_source *source)
{
    munmap(source->slots, PAGE_BYTES);
    close(source->descriptor);
    *source = (struct page_source){.descriptor = -1};
}
