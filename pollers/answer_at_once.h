/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * answer_at_once.h - answers that the sweeping poller gives before it looks at anything else, inline for the
 * loop: a prompt device's, and those that need no client, as of what is malformed or nobody's, and of the
 * PCI address port.
 *
 * Flow:    PENDING -> COMPLETE, without a claim (slot.h).
 * Threads: the poller that sweeps page.
 * Errors:  the requester took the slot back meanwhile: counted, and nothing came of it.
 */
#ifndef POLLERS_ANSWER_AT_ONCE_H
#define POLLERS_ANSWER_AT_ONCE_H

#include "pollers/device_call.h"
#include "pollers/page_driver.h"
#include "pollers/pci_ports.h"

/* Completes a slot as it stands, PENDING. False, and counted: the requester took it back. */
static inline bool answer_unclaimed(struct page *page, uint32_t slot_index,
                                    const struct slot_copy *copy, uint64_t value)
{
    struct slot_record *record = &page->records[slot_index];
    record->was_full = false; /* if it waited, it does no more */
    record->odd_state = 0;
    /* First, so that who has the answer finds it counted. */
    counter_add(&page->counters[PAGE_REQUESTS], 1);
    if (unlikely(!slot_complete(&page->slots[slot_index], SLOT_PENDING,
                                copy->direction != REQUEST_WRITE, copy->type, value))) {
        counter_add(&page->counters[PAGE_REQUESTS], (uint64_t)-1);
        counter_add(&page->counters[PAGE_REVOKED], 1);
        return false;
    }
    if (copy->completion_polling == 0)
        page_notify(page, slot_index);
    return true;
}

/* The same without any client. Apart from the usual way, which would need more registers: 2 % of its
 * instructions. */
static __attribute__((noinline)) bool answer_at_once(struct page *page, uint32_t slot_index,
                                                     const struct slot_copy *copy, uint64_t value)
{
    return unlikely(page->has_driver) ? page_driver_answer_at_once(page, slot_index, copy, value)
                                      : answer_unclaimed(page, slot_index, copy, value);
}

/* Answers what nobody may see, and counts why. */
static inline uint32_t answer_refused(struct page *page, uint32_t slot_index,
                                      const struct slot_copy *copy, enum page_counter reason,
                                      uint64_t value)
{
    if (!answer_at_once(page, slot_index, copy, value))
        return 0;
    counter_add(&page->counters[reason], 1);
    return 1;
}

/* The address is written before the answer is out: a guest that goes on finds it, whoever serves it
 * by then. */
static inline bool answer_pci_address(struct page *page, uint32_t slot_index,
                                      const struct slot_copy *copy, const struct request *request)
{
    uint32_t before = page_pci_address(page);
    if (!request_is_read(request))
        page_set_pci_address(page, (uint32_t)request->value);
    bool is_answered = answer_at_once(page, slot_index, copy, request->value);
    if (!is_answered)
        page_set_pci_address(page, before);
    return is_answered;
}

/* An access to the PCI ports of a VM that has them. True: *work is what came of it; false: route
 * the request, as it is now. */
static inline bool answer_pci_ports(struct page *page, uint32_t slot_index,
                                    const struct slot_copy *copy, struct request *request,
                                    uint32_t *work)
{
    uint64_t ones = request_ones(request->size_bytes);
    switch (pci_ports_translate(request, page_pci_address(page))) {
    case PCI_PORTS_NOT_OURS:
    case PCI_PORTS_CONFIG:
        return false;
    case PCI_PORTS_ANSWERED:
        *work = answer_pci_address(page, slot_index, copy, request);
        return true;
    case PCI_PORTS_DISABLED:
        *work = answer_at_once(page, slot_index, copy, ones);
        return true;
    case PCI_PORTS_CROSSING:
        *work = answer_refused(page, slot_index, copy, PAGE_BAD_PCI_PORT, ones);
        return true;
    }
    return false;
}

#endif
