/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * checksum.h - what tells damage in the files that outlive us: FNV-1a.
 *
 * Threads: any.
 * Memory:  none.
 * Source:  Fowler, Noll, Vo: draft-eastlake-fnv.
 */
#ifndef SERVER_RESTART_CHECKSUM_H
#define SERVER_RESTART_CHECKSUM_H

#include <stddef.h>
#include <stdint.h>

/* Never 0, which stands for what is not there. seed: what else the bytes must belong to. */
static inline uint64_t checksum(const void *bytes, size_t size_bytes, uint64_t seed)
{
    const unsigned char *byte = bytes;
    uint64_t result = 0xcbf29ce484222325u ^ seed;
    for (size_t i = 0; i < size_bytes; i++)
        result = (result ^ byte[i]) * 0x100000001b3u;
    return result ? result : 1;
}

#endif
