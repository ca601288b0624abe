/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * page_driver.h - a page on which a kernel driver dispatches too, and we are its default client: Linux's
 * ACRN driver, by /dev/acrn_hsm.
 *
 * Flow:    the driver sees PENDING, keeps what a client in the kernel owns, and makes the rest PROCESSING
 *          with kernel_handled 0. That is what a sweep takes here; our claim stores nothing: the private
 *          record, which is not IDLE until the driver was told, is what keeps a request from being taken
 *          twice. An answer is the value alone; COMPLETE is the driver's, who also has a bit for that
 *          slot to clear:
 *
 *              HANDLING, SETTLING -> value -> FINISHING -> page_notify -> the notifier's thread:
 *                  page_driver_is_due -> the driver is told, by ioctl -> page_driver_close -> IDLE
 *
 *          is_direct: slots whose completion_polling is set are completed here, past the driver, whose
 *          bits stay set: see server/sources/hsm_device.h for what that means.
 * Threads: answer: whoever won the record, or the sweeping poller; is_due and close: who tells the driver,
 *          one thread at a time.
 * Memory:  struct page.
 * Errors:  a slot that was taken back (VM reset) is counted and the driver not told, for it would make even
 *          a FREE slot COMPLETE. Between that look and the driver's store a reset may still come: as
 *          everywhere, a hypervisor clears before it resets.
 * Source:  Linux drivers/virt/acrn/ioreq.c (facts).
 */
#ifndef POLLERS_PAGE_DRIVER_H
#define POLLERS_PAGE_DRIVER_H

#include "pollers/page.h"

/* Sweeping poller: the slots that the driver has given us, one bit each. PENDING is the driver's to take. */
uint32_t page_driver_find_offered(struct page *page);

/* page_answer and answer_at_once of such a page. False: the slot was taken back. */
bool page_driver_answer(struct page *page, uint32_t slot_index, uint64_t ticket, uint64_t value,
                        bool is_sweeper);
bool page_driver_answer_at_once(struct page *page, uint32_t slot_index,
                                const struct slot_copy *copy, uint64_t value);

/* As page_settle_frozen, for what the poller had taken on and not handed over. */
uint32_t page_driver_settle_frozen(struct page *page);

/* Whether the driver is to be told that slot_index is finished. True: page_driver_close comes next. */
bool page_driver_is_due(struct page *page, uint32_t slot_index);

/* The driver was told, and the slot is the requester's. */
void page_driver_close(struct page *page, uint32_t slot_index);

#endif
