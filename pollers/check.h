/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * check.h - from the unchecked words of a slot to a request that a device may see.
 *
 * Flow:    slot_copy (hostile) -> request_check -> struct request, or the fault that refuses it.
 * Threads: pure functions of private memory.
 * Errors:  a fault is the requester's; the poller answers it (request_fault_answer) and counts it.
 * Source:  <linux/acrn.h>; ACRN hypervisor, dm/io_req.c (facts): types, directions, sizes, port space.
 */
#ifndef POLLERS_CHECK_H
#define POLLERS_CHECK_H

#include "pollers/slot.h"

/* Also the index of the page's counter of it. */
enum request_fault {
    REQUEST_FAULT_NONE,
    REQUEST_FAULT_TYPE,      /* not PORTIO, MMIO, PCICFG or WP */
    REQUEST_FAULT_DIRECTION, /* neither READ nor WRITE */
    REQUEST_FAULT_EMPTY,     /* size 0 */
    REQUEST_FAULT_SIZE,      /* not 1, 2, 4, or where the type allows it 8 */
    REQUEST_FAULT_ADDRESS,   /* wraps, or leaves the port or configuration space */
    REQUEST_FAULT_COUNT,
};

#define PORT_LAST    0xffffull
#define PCICFG_BYTES 4096u        /* configuration space of one function */
#define PCICFG_LAST  0xfffffffull /* of all functions, in ECAM form */

static inline enum request_fault request_check_pcicfg(const struct slot_copy *copy,
                                                      struct request *request)
{
    uint64_t bus = copy->value >> 32;
    if (bus > 255 || copy->dev > 31 || copy->func > 7 ||
        copy->reg > PCICFG_BYTES - (uint32_t)copy->size_bytes)
        return REQUEST_FAULT_ADDRESS;
    request->address =
        bus << 20 | (uint64_t)copy->dev << 15 | (uint64_t)copy->func << 12 | copy->reg;
    return REQUEST_FAULT_NONE;
}

/* Fills request, except what routing adds (offset, range_index) and what the slot does not tell
 * (vcpu, arrival_ticks). With a fault, request's content is of no use. */
static inline enum request_fault request_check(const struct slot_copy *copy,
                                               struct request *request)
{
    const uint32_t sizes_allowed = 1u << 1 | 1u << 2 | 1u << 4 | 1u << 8;
    if (copy->type >= REQUEST_TYPE_COUNT)
        return REQUEST_FAULT_TYPE;
    if (copy->direction > REQUEST_WRITE)
        return REQUEST_FAULT_DIRECTION;
    if (copy->size_bytes == 0)
        return REQUEST_FAULT_EMPTY;
    if (copy->size_bytes > 8 || !(sizes_allowed >> copy->size_bytes & 1))
        return REQUEST_FAULT_SIZE;
    bool narrow = copy->type == REQUEST_PORTIO || copy->type == REQUEST_PCICFG;
    if (narrow && copy->size_bytes == 8)
        return REQUEST_FAULT_SIZE;

    request->type = (uint8_t)copy->type;
    request->direction = (uint8_t)copy->direction;
    request->size_bytes = (uint8_t)copy->size_bytes;
    request->address = copy->address;
    request->value =
        copy->direction == REQUEST_WRITE ? copy->value & request_ones(request->size_bytes) : 0;
    if (copy->type == REQUEST_PCICFG)
        return request_check_pcicfg(copy, request);
    uint64_t space_last = copy->type == REQUEST_PORTIO ? PORT_LAST : UINT64_MAX;
    if (copy->address > space_last - (copy->size_bytes - 1))
        return REQUEST_FAULT_ADDRESS;
    return REQUEST_FAULT_NONE;
}

/* What a refused read is answered with: nothing for no bytes, otherwise all-ones. */
static inline uint64_t request_fault_answer(enum request_fault fault, uint64_t size_bytes)
{
    if (fault == REQUEST_FAULT_EMPTY)
        return 0;
    return size_bytes >= 1 && size_bytes <= 8 ? request_ones((uint32_t)size_bytes) : UINT64_MAX;
}

#endif
