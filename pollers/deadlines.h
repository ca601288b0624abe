/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * deadlines.h - requests that were handed over and are not answered in time.
 *
 * Flow:    page_set_due (page_settle.h), with the hand-over -> page_check_due, once a round while a
 *          page has any. A deadline is one more settler: it wins the ticket or it does nothing, and
 *          an answer that comes later finds its ticket over.
 * Threads: the poller that sweeps the page.
 */
#ifndef POLLERS_DEADLINES_H
#define POLLERS_DEADLINES_H

#include "pollers/page.h"

/* Completes what is past its deadline, by the policy of its client's process or with all-ones; returns
 * how many. Forgets what is settled. */
uint32_t page_check_due(struct page *page);

#endif
