/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * poller_look.h - which slots call, over all of a poller's pages.
 *
 * Flow:    a sweep: poller_find_first_calls -> poller_find_next_calls, until there are none.
 * Threads: the sweeping poller.
 * Errors:  none.
 */
#ifndef POLLERS_POLLER_LOOK_H
#define POLLERS_POLLER_LOOK_H

#include "pollers/device_call.h"
#include "pollers/page_driver.h"
#include "pollers/page_look.h"

/* Slots that call, of one page. */
struct poller_calls {
    uint32_t page_index; /* page_count: of none */
    uint32_t pending;    /* bit per slot */
};

/* Of the first page from page_index on that has any. */
static inline struct poller_calls poller_find_calls(const struct poller *poller,
                                                    uint32_t page_index)
{
    for (; page_index < poller->page_count; page_index++) {
        struct page *page = poller->pages[page_index];
        if (unlikely(!page->is_open))
            continue;
        uint32_t pending =
            unlikely(page->has_driver) ? page_driver_find_offered(page) : page_find_pending(page);
        if (unlikely(pending))
            return (struct poller_calls){page_index, pending};
    }
    return (struct poller_calls){page_index, 0};
}

/* These two apart from what a call takes, as registers that this needs would be saved and restored at
 * each page: 10 % of an empty sweep. */
static __attribute__((noinline)) struct poller_calls
poller_find_next_calls(const struct poller *poller, uint32_t page_index)
{
    return poller_find_calls(poller, page_index);
}

/* Some sweeps, until one finds something. */
static __attribute__((noinline)) struct poller_calls poller_find_first_calls(struct poller *poller)
{
    uint32_t sweeps = 0;
    struct poller_calls calls;
    do {
        calls = poller_find_calls(poller, 0);
        sweeps++;
    } while (!calls.pending && sweeps <= poller->more_sweeps);
    counter_add(&poller->sweeps, sweeps);
    return calls;
}

#endif
