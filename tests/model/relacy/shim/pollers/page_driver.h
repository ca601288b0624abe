/* SPDX-License-Identifier: BSD-3-Clause */
/* No page of these suites has a kernel driver: slot_driver.pml has. */
#ifndef SHIM_POLLERS_PAGE_DRIVER_H
#define SHIM_POLLERS_PAGE_DRIVER_H

#include "pollers/page.h"

inline uint32_t page_driver_find_offered(struct page *)
{
    return 0;
}

inline bool page_driver_answer(struct page *, uint32_t, uint64_t, uint64_t, bool)
{
    return false;
}

inline bool page_driver_answer_at_once(struct page *, uint32_t, const struct slot_copy *, uint64_t)
{
    return false;
}

inline uint32_t page_driver_settle_frozen(struct page *)
{
    return 0;
}

#endif
