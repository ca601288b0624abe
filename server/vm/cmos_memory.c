/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/vm/cmos_memory.h"

#include "clients/request.h"
#include "server/vm/machine.h"

#include <inttypes.h>
#include <stdio.h>

#define INDEX_PORT 0x70
#define DATA_PORT  0x71
#define KIB        (UINT64_C(1) << 10)
#define MIB        (UINT64_C(1) << 20)
#define UNIT_BYTES (64 * KIB)

static const uint8_t registers[CMOS_MEMORY_BYTES] = {0x30, 0x31, 0x34, 0x35, 0x5b, 0x5c, 0x5d};

void cmos_memory_see(struct cmos_memory *memory, const struct requester_access *access)
{
    if (access->type != REQUEST_PORTIO)
        return;
    if (access->address == INDEX_PORT && access->direction == REQUEST_WRITE)
        memory->index = access->value & 0x7f;
    if (access->address != DATA_PORT || access->direction != REQUEST_READ)
        return;
    for (size_t i = 0; i < CMOS_MEMORY_BYTES; i++) {
        if (registers[i] != memory->index || memory->has_read[i])
            continue;
        memory->has_read[i] = true;
        memory->bytes[i] = (uint8_t)access->value;
    }
}

void cmos_memory_merge(struct cmos_memory *to, const struct cmos_memory *from)
{
    for (size_t i = 0; i < CMOS_MEMORY_BYTES; i++) {
        if (to->has_read[i] || !from->has_read[i])
            continue;
        to->has_read[i] = true;
        to->bytes[i] = from->bytes[i];
    }
}

/* The number in count bytes from `first` on. False: not all were read, or nobody answered. */
static bool number_read(const struct cmos_memory *memory, size_t first, size_t count,
                        uint64_t *number)
{
    bool is_ones = true;
    *number = 0;
    for (size_t i = 0; i < count; i++) {
        if (!memory->has_read[first + i])
            return false;
        *number |= (uint64_t)memory->bytes[first + i] << (8 * i);
        is_ones = is_ones && memory->bytes[first + i] == 0xff;
    }
    return !is_ones;
}

bool cmos_memory_differs(const struct cmos_memory *memory, uint64_t guest_bytes, char *text,
                         size_t text_bytes)
{
    uint64_t low_bytes = guest_bytes < MACHINE_LOW_RAM_LAST ? guest_bytes : MACHINE_LOW_RAM_LAST;
    uint64_t high_bytes = guest_bytes - low_bytes;
    uint64_t told_low_bytes = low_bytes;
    uint64_t told_high_bytes = high_bytes;
    uint64_t number;
    bool differs = false;
    if (number_read(memory, 2, 2, &number) && number > 0) {
        differs = low_bytes < 16 * MIB || number != (low_bytes - 16 * MIB) / UNIT_BYTES;
        told_low_bytes = 16 * MIB + number * UNIT_BYTES;
    } else if (number_read(memory, 0, 2, &number)) {
        uint64_t low_kib = (low_bytes - MIB) / KIB;
        differs = number != (low_kib < UINT16_MAX ? low_kib : UINT16_MAX);
        told_low_bytes = MIB + number * KIB;
    }
    if (number_read(memory, 4, 3, &number)) {
        differs = differs || number != high_bytes / UNIT_BYTES;
        told_high_bytes = number * UNIT_BYTES;
    }
    if (differs)
        snprintf(text, text_bytes,
                 "the rtc says %" PRIu64 " MiB, the guest has %" PRIu64
                 " MiB: set the cmos client's memory, or --memory",
                 (told_low_bytes + told_high_bytes) / MIB, guest_bytes / MIB);
    return differs;
}
