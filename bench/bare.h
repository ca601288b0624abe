/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * bare.h - the bare slot protocol, the limit that rtt is measured against: no routing, no checks,
 * no ownership, no figures. Read the request, store the value of a read, store COMPLETE.
 *
 * Which plain loop is fastest depends on where the two CPUs lie, so there are four, and the fastest
 * of a run is its limit.
 */
#ifndef BENCH_BARE_H
#define BENCH_BARE_H

#include "pollers/slot.h"
#include "pollers/ticks.h"

#include <sched.h>

enum bare_variant {
    BARE_PLAIN,
    BARE_PAUSE, /* a pause instruction between looks */
    BARE_EARLY, /* an early store to the slot's state line, so that it is ours when COMPLETE goes */
    BARE_EARLY_PAUSE,
    BARE_VARIANT_COUNT,
};

static const char *const bare_variant_names[BARE_VARIANT_COUNT] = {"plain", "pause", "early store",
                                                                   "early store, pause"};

/* Every slot [slot_count] once. */
static inline __attribute__((always_inline)) void bare_pass(struct acrn_io_request *slots,
                                                            uint32_t slot_count, bool is_early)
{
    for (uint32_t i = 0; i < slot_count; i++) {
        struct acrn_io_request *slot = &slots[i];
        if (slot_state(slot) != SLOT_PENDING)
            continue;
        if (is_early)
            __atomic_store_n(&slot->kernel_handled, 1, __ATOMIC_RELAXED);
        struct slot_copy copy;
        slot_copy_out(slot, &copy);
        /* A write needs no answer, and its line stays where it is. */
        if (copy.direction == REQUEST_READ)
            slot_answer(slot, REQUEST_MMIO,
                        copy.address + copy.type + copy.size_bytes + copy.value);
        __atomic_store_n(&slot->processed, SLOT_COMPLETE, __ATOMIC_RELEASE);
    }
}

static inline __attribute__((always_inline)) void
bare_serve_variant(struct acrn_io_request *const *pages, uint32_t page_count, uint32_t slot_count,
                   const _Atomic uint32_t *stop, bool is_early, bool has_pause)
{
    while (!atomic_load_explicit(stop, memory_order_relaxed)) {
        for (uint32_t i = 0; i < page_count; i++)
            bare_pass(pages[i], slot_count, is_early);
        if (has_pause)
            ticks_pause();
    }
}

/* Serves slots [slot_count] of pages [page_count] until *stop is set by the other side. */
static inline void bare_serve(struct acrn_io_request *const *pages, uint32_t page_count,
                              uint32_t slot_count, const _Atomic uint32_t *stop,
                              enum bare_variant variant)
{
    switch (variant) {
    case BARE_PAUSE:
        bare_serve_variant(pages, page_count, slot_count, stop, false, true);
        break;
    case BARE_EARLY:
        bare_serve_variant(pages, page_count, slot_count, stop, true, false);
        break;
    case BARE_EARLY_PAUSE:
        bare_serve_variant(pages, page_count, slot_count, stop, true, true);
        break;
    default:
        bare_serve_variant(pages, page_count, slot_count, stop, false, false);
    }
}

/* The requester's side: what the hypervisor writes for a read of 4 bytes, but for PENDING. */
static inline void bare_fill(struct acrn_io_request *slot, uint64_t address)
{
    slot->type = REQUEST_MMIO;
    slot->completion_polling = 1;
    slot->reqs.mmio_request.direction = REQUEST_READ;
    slot->reqs.mmio_request.address = address;
    slot->reqs.mmio_request.size = 4;
    slot->reqs.mmio_request.value = 0;
}

/* Spins until the slot is COMPLETE. */
static inline void bare_await(const struct acrn_io_request *slot)
{
    uint64_t spins = 0;
    while (slot_state(slot) != SLOT_COMPLETE) {
        ticks_pause();
        if (++spins % (1u << 20) == 0)
            sched_yield(); /* both on one CPU: let the other go on */
    }
}

/* A whole read; ticks from PENDING to COMPLETE. */
static inline uint64_t bare_access(struct acrn_io_request *slot, uint64_t address)
{
    bare_fill(slot, address);
    uint64_t begin = ticks_now();
    __atomic_store_n(&slot->processed, SLOT_PENDING, __ATOMIC_RELEASE);
    bare_await(slot);
    uint64_t end = ticks_now();
    __atomic_store_n(&slot->processed, SLOT_FREE, __ATOMIC_RELEASE);
    return end - begin;
}

#endif
