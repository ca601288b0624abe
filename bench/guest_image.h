/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guest_image.h - a firmware image of our own that times port reads from inside a guest.
 *
 * It reads the port over and over, each time with the time-stamp counter before and after, and keeps
 * the differences; after every `count` of them it writes these to the same port, 4 bytes each, low
 * byte first, and begins anew.
 *
 * Source:  Intel SDM volume 2; an image of 64 KiB is entered at its 0xfff0 with cs's base at its start.
 */
#ifndef BENCH_GUEST_IMAGE_H
#define BENCH_GUEST_IMAGE_H

#include <stdint.h>
#include <string.h>

#define GUEST_IMAGE_BYTES        65536u
#define GUEST_IMAGE_PORT         0xe9u  /* as of debug consoles, which answer a read with 0xe9 */
#define GUEST_IMAGE_SAMPLES_MAX  14000u /* they lie in the RAM between 0x1000 and 64 KiB */
#define GUEST_IMAGE_SAMPLE_BYTES 4u

/* image [GUEST_IMAGE_BYTES], zeroed. count: 1..GUEST_IMAGE_SAMPLES_MAX. */
static inline void guest_image_write(uint8_t *image, uint32_t count)
{
    static const uint8_t code[] = {
        0xfc,                               /* cld */
        0x31, 0xc0, 0x8e, 0xc0, 0x8e, 0xd8, /* xor ax, ax; mov es, ax; mov ds, ax */
        0xbf, 0x00, 0x10,                   /* block: mov di, 0x1000 */
        0xb9, 0x00, 0x00,                   /* mov cx, count */
        0x0f, 0x31, 0x66, 0x89, 0xc3,       /* again: rdtsc; mov ebx, eax */
        0xe4, 0xe9,                         /* in al, port */
        0x0f, 0x31, 0x66, 0x29, 0xd8,       /* rdtsc; sub eax, ebx */
        0x66, 0xab, 0xe2, 0xf0,             /* stosd; loop again */
        0xbe, 0x00, 0x10,                   /* mov si, 0x1000 */
        0xb9, 0x00, 0x00,                   /* mov cx, count * 4 */
        0xba, 0xe9, 0x00, 0xf3, 0x6e,       /* mov dx, port; rep outsb */
        0xeb, 0xdd,                         /* jmp block */
    };
    static const uint8_t reset[] = {0xe9, 0x0d, 0x00}; /* jmp to the start: ip wraps at 64 KiB */
    const uint16_t samples = (uint16_t)count;
    const uint16_t bytes = (uint16_t)(count * GUEST_IMAGE_SAMPLE_BYTES);
    memcpy(image, code, sizeof(code));
    memcpy(image + 11, &samples, sizeof(samples)); /* what the first mov cx loads */
    memcpy(image + 33, &bytes, sizeof(bytes));     /* and the second */
    memcpy(image + 0xfff0, reset, sizeof(reset));
}

#endif
