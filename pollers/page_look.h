/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * page_look.h - looking at the slots of a page, inline for the pollers' loop: who asks, whom for, and what
 * should not be there.
 *
 * Flow:    a sweep: page_find_pending, of each page_route; between two rounds page_watch_slot.
 * Threads: the sweeping poller.
 * Errors:  a state that is none, and a request beyond the vCPUs, are counted and never touched.
 */
#ifndef POLLERS_PAGE_LOOK_H
#define POLLERS_PAGE_LOOK_H

#include "pollers/page.h"

/* The client that owns the request, or NULL; fills in where in its range the access lies. */
static inline struct client *page_route(struct page *page, struct request *request)
{
    const struct router *router = atomic_load_explicit(&page->router, memory_order_acquire);
    struct router_route found;
    if (__builtin_expect(router_find_again(router, &page->hints[request->vcpu], request->type,
                                           request->address, request->size_bytes, &found),
                         true)) {
        request->offset = request->address - found.first;
        request->range_index = found.range_index;
        return found.client;
    }
    request->offset = request->address;
    request->range_index = REQUEST_NO_RANGE;
    return page->default_client;
}

/* A state that is none of the four is never touched, and counted once, not once a sweep. */
static inline void page_note_odd_state(struct page *page, uint32_t slot_index, uint32_t state)
{
    struct slot_record *record = &page->records[slot_index];
    if (record->odd_state == state)
        return;
    record->odd_state = state;
    counter_add(&page->counters[PAGE_ODD_STATE], 1);
}

/* A slot beyond the VM's vCPUs: nobody should use it, and nobody answers it. */
static inline void page_note_stray_slot(struct page *page, uint32_t slot_index, uint32_t state)
{
    uint32_t bit = 1u << slot_index;
    bool is_pending = state == SLOT_PENDING;
    if (is_pending && !(page->stray_seen & bit))
        counter_add(&page->counters[PAGE_STRAY_SLOT], 1);
    page->stray_seen = is_pending ? page->stray_seen | bit : page->stray_seen & ~bit;
}

/* One slot a round, in turn, is looked at for what should not be. */
static inline void page_watch_slot(struct page *page)
{
    uint32_t slot_index = page->watch_next;
    page->watch_next = (slot_index + 1) % SLOT_COUNT;
    uint32_t state = slot_state(&page->slots[slot_index]);
    if (__builtin_expect(state > SLOT_FREE, false))
        page_note_odd_state(page, slot_index, state);
    if (slot_index >= page->vcpu_count)
        page_note_stray_slot(page, slot_index, state);
}

/* Those of slots [count] behind `pending`'s, the last one first: the first becomes bit 0. */
static inline __attribute__((always_inline)) uint32_t
page_shift_in(uint32_t pending, const struct acrn_io_request *slots, uint32_t count)
{
#pragma GCC unroll 16
    for (uint32_t i = count; i-- > 0;)
        pending = slot_shift_in_pending(pending, &slots[i]);
    return pending;
}

/* Slots that are PENDING, one bit each. */
static inline uint32_t page_find_pending(const struct page *page)
{
    if (page->vcpu_count == SLOT_COUNT)
        return page_shift_in(0, page->slots, SLOT_COUNT);
    uint32_t left = page->vcpu_count, pending = 0;
    for (; left % 4; left--)
        pending = page_shift_in(pending, page->slots + left - 1, 1);
    for (; left > 0; left -= 4)
        pending = page_shift_in(pending, page->slots + left - 4, 4);
    return pending;
}

/* Slots whose budget is used up: nobody looks at them until it is there again. */
static inline void page_hold(struct page *page, uint32_t slots, uint64_t until_ticks)
{
    if (!page->held || (int64_t)(until_ticks - page->held_until_ticks) < 0)
        page->held_until_ticks = until_ticks;
    page->held |= slots;
}

/* Those of `pending` that are not held. Whoever is then still over its budget is held anew. */
static inline uint32_t page_pass_held(struct page *page, uint32_t pending, uint64_t now)
{
    if ((int64_t)(now - page->held_until_ticks) >= 0)
        page->held = 0;
    return pending & ~page->held;
}

#endif
