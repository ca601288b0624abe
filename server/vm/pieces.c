/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/vm/pieces.h"

#include "clients/request.h"

#include <errno.h>
#include <string.h>

int pieces_of_port(struct pieces *pieces, uint32_t direction, uint64_t port, size_t size_bytes,
                   size_t count, uint8_t *bytes)
{
    if (size_bytes != 1 && size_bytes != 2 && size_bytes != 4)
        return -EINVAL;
    *pieces = (struct pieces){
        .bytes = bytes,
        .bytes_left = size_bytes * count,
        .piece_bytes = size_bytes,
        .address = port,
        .type = REQUEST_PORTIO,
        .direction = direction,
    };
    return 0;
}

int pieces_of_mmio(struct pieces *pieces, uint32_t direction, uint64_t address, size_t length_bytes,
                   uint8_t *bytes)
{
    if (length_bytes < 1 || length_bytes > 8)
        return -EINVAL;
    *pieces = (struct pieces){
        .bytes = bytes,
        .bytes_left = length_bytes,
        .address = address,
        .type = REQUEST_MMIO,
        .direction = direction,
    };
    return 0;
}

static size_t largest_power_of_two(size_t bytes)
{
    size_t power = 8;
    while (power > bytes)
        power /= 2;
    return power;
}

bool pieces_next(struct pieces *pieces, struct requester_access *access)
{
    if (pieces->bytes_left == 0)
        return false;
    size_t size_bytes = pieces->type == REQUEST_PORTIO ? pieces->piece_bytes
                                                       : largest_power_of_two(pieces->bytes_left);
    *access = (struct requester_access){
        .address = pieces->address,
        .size_bytes = size_bytes,
        .type = pieces->type,
        .direction = pieces->direction,
    };
    if (access->direction == REQUEST_WRITE)
        memcpy(&access->value, pieces->bytes, size_bytes); /* x86: little-endian, as the slot */
    return true;
}

void pieces_answer(struct pieces *pieces, const struct requester_access *access)
{
    size_t size_bytes = access->size_bytes;
    if (access->direction == REQUEST_READ)
        memcpy(pieces->bytes, &access->value, size_bytes);
    pieces->bytes += size_bytes;
    pieces->bytes_left -= size_bytes;
    if (pieces->type == REQUEST_MMIO)
        pieces->address += size_bytes;
}
