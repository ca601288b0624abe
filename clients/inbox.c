/* SPDX-License-Identifier: BSD-3-Clause */
#include "clients/inbox.h"

#include <assert.h>

struct inbox *inbox_init(void *memory)
{
    assert((uintptr_t)memory % INBOX_ALIGN_BYTES == 0);
    struct inbox *inbox = memory;
    inbox->awaited = 0;
    inbox->pushed = inbox->popped = 0;
    for (uint32_t i = 0; i < INBOX_CAPACITY; i++)
        atomic_init(&inbox->cells[i].state, INBOX_ANSWERED);
    return inbox;
}
