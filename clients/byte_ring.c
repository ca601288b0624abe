/* SPDX-License-Identifier: BSD-3-Clause */
#include "clients/byte_ring.h"

#include <assert.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Two cache lines: the adjacent-line prefetcher of x86 fetches lines in pairs. */
#define LINE_GROUP_BYTES   128
#define CAPACITY_MIN_BYTES 16
#define CAPACITY_MAX_BYTES ((size_t)1 << 24)

/* `pushed` and `popped` count bytes since creation and wrap at 2^32; a position is a count & mask.
 * Full: pushed - popped == capacity. Empty: pushed == popped. */
struct byte_ring {
    alignas(LINE_GROUP_BYTES) _Atomic uint32_t pushed; /* written by the producer */
    uint32_t popped_seen;                              /* producer's last look at `popped` */
    _Atomic uint64_t dropped;                          /* written by the producer */
    alignas(LINE_GROUP_BYTES) _Atomic uint32_t popped; /* written by the consumer */
    uint32_t pushed_seen;                              /* consumer's last look at `pushed` */
    alignas(LINE_GROUP_BYTES) uint32_t mask;           /* constant: shared by both without cost */
    uint8_t bytes[];
};

struct byte_ring *byte_ring_create(size_t capacity_bytes)
{
    assert(capacity_bytes >= CAPACITY_MIN_BYTES && capacity_bytes <= CAPACITY_MAX_BYTES);
    assert((capacity_bytes & (capacity_bytes - 1)) == 0);
    size_t size_bytes = sizeof(struct byte_ring) + capacity_bytes;
    size_bytes = (size_bytes + LINE_GROUP_BYTES - 1) / LINE_GROUP_BYTES * LINE_GROUP_BYTES;
    struct byte_ring *ring = aligned_alloc(LINE_GROUP_BYTES, size_bytes);
    if (!ring)
        return NULL;
    atomic_init(&ring->pushed, 0);
    ring->popped_seen = 0;
    atomic_init(&ring->dropped, 0);
    atomic_init(&ring->popped, 0);
    ring->pushed_seen = 0;
    ring->mask = (uint32_t)(capacity_bytes - 1);
    return ring;
}

void byte_ring_destroy(struct byte_ring *ring)
{
    free(ring);
}

/* Producer. Free bytes by the producer's last look at the consumer. */
static uint32_t space_seen(const struct byte_ring *ring, uint32_t pushed)
{
    return ring->mask + 1 - (pushed - ring->popped_seen);
}

bool byte_ring_try_push(struct byte_ring *ring, uint8_t byte)
{
    /* relaxed: only this thread writes `pushed` */
    uint32_t pushed = atomic_load_explicit(&ring->pushed, memory_order_relaxed);
    if (space_seen(ring, pushed) == 0) {
        /* acquires the release of `popped` in byte_ring_pop: those bytes have been read */
        ring->popped_seen = atomic_load_explicit(&ring->popped, memory_order_acquire);
        if (space_seen(ring, pushed) == 0) {
            /* relaxed: one writer, a statistic that orders nothing; load + store instead of a
             * locked add for the same reason */
            uint64_t dropped = atomic_load_explicit(&ring->dropped, memory_order_relaxed);
            atomic_store_explicit(&ring->dropped, dropped + 1, memory_order_relaxed);
            return false;
        }
    }
    ring->bytes[pushed & ring->mask] = byte;
    /* release: byte_ring_pop and byte_ring_is_empty acquire it and see the byte */
    atomic_store_explicit(&ring->pushed, pushed + 1, memory_order_release);
    return true;
}

size_t byte_ring_space(struct byte_ring *ring)
{
    /* relaxed: only this thread writes `pushed` */
    uint32_t pushed = atomic_load_explicit(&ring->pushed, memory_order_relaxed);
    /* acquires the release of `popped` in byte_ring_pop */
    ring->popped_seen = atomic_load_explicit(&ring->popped, memory_order_acquire);
    return space_seen(ring, pushed);
}

bool byte_ring_try_pop(struct byte_ring *ring, uint8_t *byte)
{
    return byte_ring_pop(ring, byte, 1) == 1;
}

size_t byte_ring_pop(struct byte_ring *ring, uint8_t *bytes, size_t capacity)
{
    /* relaxed: only this thread writes `popped` */
    uint32_t popped = atomic_load_explicit(&ring->popped, memory_order_relaxed);
    if (ring->pushed_seen - popped < capacity) {
        /* acquires the release of `pushed` in byte_ring_try_push */
        ring->pushed_seen = atomic_load_explicit(&ring->pushed, memory_order_acquire);
    }
    size_t count = ring->pushed_seen - popped;
    if (count > capacity)
        count = capacity;
    if (count == 0)
        return 0;
    size_t begin = popped & ring->mask;
    size_t until_wrap = (size_t)ring->mask + 1 - begin;
    size_t head_count = count < until_wrap ? count : until_wrap;
    memcpy(bytes, ring->bytes + begin, head_count);
    memcpy(bytes + head_count, ring->bytes, count - head_count);
    /* release: byte_ring_try_push and byte_ring_space acquire it before they reuse the bytes */
    atomic_store_explicit(&ring->popped, popped + (uint32_t)count, memory_order_release);
    return count;
}

bool byte_ring_is_empty(struct byte_ring *ring)
{
    /* relaxed: only this thread writes `popped` */
    uint32_t popped = atomic_load_explicit(&ring->popped, memory_order_relaxed);
    if (ring->pushed_seen != popped)
        return false;
    /* acquires the release of `pushed` in byte_ring_try_push */
    ring->pushed_seen = atomic_load_explicit(&ring->pushed, memory_order_acquire);
    return ring->pushed_seen == popped;
}

uint64_t byte_ring_dropped(const struct byte_ring *ring)
{
    /* relaxed: a statistic */
    return atomic_load_explicit(&ring->dropped, memory_order_relaxed);
}
