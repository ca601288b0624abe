/* SPDX-License-Identifier: BSD-3-Clause */
#include "clients/inbox.h"

#include <assert.h>

static bool capacity_is_valid(uint32_t capacity)
{
    return capacity >= 2 && capacity <= INBOX_CAPACITY_MAX && (capacity & (capacity - 1)) == 0;
}

size_t inbox_size_bytes(uint32_t capacity)
{
    assert(capacity_is_valid(capacity));
    return sizeof(struct inbox) + (size_t)capacity * sizeof(struct inbox_cell);
}

struct inbox *inbox_init(void *memory, uint32_t capacity)
{
    assert(capacity_is_valid(capacity));
    assert((uintptr_t)memory % INBOX_ALIGN_BYTES == 0);
    struct inbox *inbox = memory;
    atomic_init(&inbox->pushed, 0);
    inbox->popped_seen = 0;
    inbox->producer_mask = capacity - 1;
    atomic_init(&inbox->popped, 0);
    inbox->consumer_mask = capacity - 1;
    /* No turn that comes next: that would be one more. */
    for (uint32_t i = 0; i < capacity; i++)
        atomic_init(&inbox->cells[i].turn, i);
    return inbox;
}
