/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * page_adopt.h - a page whose server died in the middle of things, taken on by the next one.
 *
 * Flow:    page_keep with what the dead one kept -> page_adopt -> for each slot that is still with
 *          another process: process_adopt_hold, or page_settle -> the page is swept.
 *
 *          What the page says, then what the record says, and what is done:
 *
 *              FREE, COMPLETE    -                     nothing: it is the requester's
 *              PENDING           -                     swept as ever; who had the slot before has lost it,
 *                                                      and a prompt device of the dead one is asked again
 *              PROCESSING        IDLE, HANDLING        PENDING again: it died with the device it was with
 *              PROCESSING        IN_FLIGHT, HERE       the same
 *              PROCESSING        IN_FLIGHT, external   the same: it is offered again
 *              PROCESSING        SETTLING, an answer   that answer, COMPLETE
 *              PROCESSING        IN_FLIGHT, elsewhere  stays: for the process that has it, or gets it
 *              PROCESSING        damaged               all-ones, COMPLETE
 *
 *          A device of a dead server is at power-on, so asking it (again) is right. What it did to
 *          others in those nanoseconds between the act and the answer is done twice: a byte on its way to a
 *          terminal, a ring of a doorbell.
 *
 *          Killed here, the next one does the rest: the page is changed before the record, and a
 *          record that is done fits a slot that is not PROCESSING.
 * Threads: the sweeping poller before it sweeps the page, or control while there is none.
 * Memory:  none.
 * Errors:  what does not fit is answered and counted; nothing is believed but what fits its check.
 */
#ifndef POLLERS_PAGE_ADOPT_H
#define POLLERS_PAGE_ADOPT_H

#include "pollers/page.h"

struct page_adoption {
    uint32_t pending;  /* nobody had claimed */
    uint32_t again;    /* had been claimed: PENDING again */
    uint32_t answered; /* with the answer that was known */
    uint32_t ones;     /* nothing could be believed of */
    uint32_t awaited;  /* bit per slot: in flight elsewhere, or waiting for somebody elsewhere */
    uint32_t with_process; /* of those, what the caller found a process for */
};

/* is_believed false: the records are not those of this page, or nobody knows; every PROCESSING slot is
 * completed with all-ones. Opens the page: slots stay mapped until page_close. */
void page_adopt(struct page *page, struct acrn_io_request *slots, bool is_believed,
                struct page_adoption *adoption);

/* The request of an awaited slot, read from the page anew and checked, and the client that it would go to
 * now, or NULL. False: the page no longer holds a request that is routed, *request is not whole. */
bool page_adopt_route(struct page *page, uint32_t slot_index, struct request *request,
                      struct client **client);

/* An awaited slot that nobody has acted on is PENDING again. */
void page_adopt_ask_again(struct page *page, uint32_t slot_index);

/* Whether *kept may be what a page kept: every record of it. */
bool page_kept_is_sound(const struct page_kept *kept);

#endif
