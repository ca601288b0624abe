/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * lost_page.h - what happens when the memory behind a mapped page goes: its device is unplugged, its
 * file cut off. The next access, on whatever thread, is a SIGBUS.
 *
 * Flow:    lost_pages_start -> lost_page_watch -> [SIGBUS: the handler puts a page of FREE slots in its
 *          place, in one step, and the access is made again] -> lost_page_is_lost -> control stops that
 *          VM; the other pages of that poller were held up by microseconds -> lost_page_unwatch.
 * Threads: control; the handler runs on any, pollers included, whose filters let pass the two system
 *          calls it makes: mmap of lost_page_descriptor with just these arguments, and rt_sigreturn.
 * Memory:  static; one page for all that are lost: nobody asks in it, so nobody writes it.
 * Errors:  a SIGBUS elsewhere ends the process as it would have.
 * Source:  mmap(2), sigaction(2).
 */
#ifndef SERVER_SOURCES_LOST_PAGE_H
#define SERVER_SOURCES_LOST_PAGE_H

#include <stdbool.h>

#define LOST_PAGES_MAX 128u /* a page and a doorbell for each VM */

struct lost_page;

/* Before the first filter is made (sandbox.h). Later it only takes SIGBUS back from whoever took it
 * meanwhile. Negative errno. */
int lost_pages_start(void);

/* -1: not started. */
int lost_page_descriptor(void);

/* page: 4096 bytes, mapped. NULL: too many, or not to be started. */
struct lost_page *lost_page_watch(void *page);
/* Before the page is unmapped. NULL: of no effect. */
void lost_page_unwatch(struct lost_page *lost);

/* False for NULL. */
bool lost_page_is_lost(const struct lost_page *lost);

#endif
