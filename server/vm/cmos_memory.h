/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cmos_memory.h - what the server's clock device tells the firmware about RAM, against what the
 * guest has: one is --memory, the other a key of the server's configuration.
 *
 * Flow:    cmos_memory_see with each answered access of a vCPU -> cmos_memory_merge and
 *          cmos_memory_differs once the threads are joined.
 * Threads: one a struct.
 * Memory:  plain data, zeroed to begin.
 * Errors:  none. A VM without such a device (all-ones) says nothing.
 * Source:  the PC's CMOS map: 0x30/0x31 KiB from 1 MiB on, at most 65535; 0x34/0x35 64-KiB units
 *          from 16 MiB up to 4 GiB; 0x5b..0x5d 64-KiB units above 4 GiB.
 */
#ifndef SERVER_VM_CMOS_MEMORY_H
#define SERVER_VM_CMOS_MEMORY_H

#include "server/vm/requester.h"

#define CMOS_MEMORY_BYTES 7

struct cmos_memory {
    uint8_t index;                    /* last written to port 0x70 */
    bool has_read[CMOS_MEMORY_BYTES]; /* 0x30, 0x31, 0x34, 0x35, 0x5b, 0x5c, 0x5d */
    uint8_t bytes[CMOS_MEMORY_BYTES]; /* the first answers */
};

void cmos_memory_see(struct cmos_memory *memory, const struct requester_access *access);
/* Adds what `from` has read and `to` has not. */
void cmos_memory_merge(struct cmos_memory *to, const struct cmos_memory *from);
/* True: firmware was told of another size than guest_bytes, and text [text_bytes] says so. */
bool cmos_memory_differs(const struct cmos_memory *memory, uint64_t guest_bytes, char *text,
                         size_t text_bytes);

#endif
