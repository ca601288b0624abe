/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * request.h - one access of a guest, copied out of the shared page.
 *
 * Flow:    a poller fills it from a slot (each field read once), checks it, routes it, and hands it
 *          to a device; the device puts the answer of a read into `value`.
 * Threads: one owner at a time; handed over by a plain call or through an inbox.
 * Memory:  plain data, no pointers.
 * Errors:  a device only ever sees a request that passed the poller's checks: type, direction and
 *          size are valid and the whole access lies in one range of its client.
 * Source:  <linux/acrn.h>, struct acrn_io_request. The values below equal the ABI's
 *          (pollers/slot.h asserts it).
 */
#ifndef CLIENTS_REQUEST_H
#define CLIENTS_REQUEST_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

enum request_type {
    REQUEST_PORTIO = 0,
    REQUEST_MMIO = 1,
    REQUEST_PCICFG = 2,
    REQUEST_WP = 3, /* write to a write-protected page; known to the hypervisor only */
};
#define REQUEST_TYPE_COUNT 4u

enum request_direction {
    REQUEST_READ = 0,
    REQUEST_WRITE = 1,
};

/* `range_index` of a request that reached its client because no range matched. */
#define REQUEST_NO_RANGE UINT32_MAX

struct request {
    /* Port number, guest-physical address, or for PCICFG the configuration address in ECAM form:
     * bus << 20 | dev << 15 | func << 12 | reg. */
    uint64_t address;
    /* address minus the first address of the matched range; address itself without a range. */
    uint64_t offset;
    /* Write: the data, masked to the size. Read: 0 on arrival, the answer on return. */
    uint64_t value;
    /* Time-stamp counter when the poller saw the request. A device's only clock. */
    uint64_t arrival_ticks;
    uint32_t range_index; /* which of the client's ranges, or REQUEST_NO_RANGE */
    uint16_t vcpu;        /* slot index, 0..15 */
    uint8_t type;         /* enum request_type */
    uint8_t direction;    /* enum request_direction */
    uint8_t size_bytes;   /* 1, 2, 4, and for MMIO and WP 8 */
};

/* All-ones of an access of size_bytes (1..8): what a read of nothing answers. */
static inline uint64_t request_ones(uint32_t size_bytes)
{
    assert(size_bytes >= 1 && size_bytes <= 8);
    return UINT64_MAX >> (64 - 8 * size_bytes);
}

static inline bool request_is_read(const struct request *request)
{
    return request->direction == REQUEST_READ;
}

#endif
