/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * firmware.h - a flash image as it sits at the top of the first 4 GiB.
 *
 * Flow:    firmware_load -> mapped read-only by machine.c, its tail copied below 1 MiB ->
 *          firmware_unload after the machine is gone.
 * Threads: one.
 * Memory:  a private copy: a file that changes or shrinks later does no harm.
 * Errors:  negative errno with one line.
 * Source:  the PC's address map: reset vector 0xfffffff0, the ROM's last 128 KiB also at 0xe0000.
 */
#ifndef SERVER_VM_FIRMWARE_H
#define SERVER_VM_FIRMWARE_H

#include <stddef.h>
#include <stdint.h>

#define FIRMWARE_MIN_BYTES    (64u << 10)
#define FIRMWARE_MAX_BYTES    (16u << 20)
#define FIRMWARE_SHADOW_BYTES (128u << 10) /* usual; more covers the option ROMs' addresses */
#define FIRMWARE_SHADOW_MAX   (256u << 10)
#define FIRMWARE_TOP          (1ull << 32) /* where an image ends */
#define FIRMWARE_SHADOW_TOP   (1ull << 20) /* where its shadow ends */

struct firmware {
    uint8_t *bytes; /* page-aligned */
    size_t size_bytes;
    char name[256]; /* the file's last path component, cut if longer */
};

/* 64 KiB..16 MiB, a multiple of 4 KiB. 0; -EINVAL not such a file; -ENOENT, -EACCES, -EIO ... */
int firmware_load(const char *path, struct firmware *firmware, char *error, size_t error_bytes);
/* An image of one repeated byte, for probing. 0 or -ENOMEM. */
int firmware_fill(struct firmware *firmware, size_t size_bytes, uint8_t byte);
void firmware_unload(struct firmware *firmware);

/* How much of the image's end appears below 1 MiB: wanted_bytes, or all of a smaller image. */
size_t firmware_shadow_bytes(size_t size_bytes, size_t wanted_bytes);

#endif
