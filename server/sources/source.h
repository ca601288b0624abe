/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * source.h - where a VM's page comes from. One file a kind.
 *
 * Flow:    open -> the page is mapped and may be swept -> close. A source is opened anew for every
 *          requester, so that an earlier one that still holds its page can disturb nobody.
 * Threads: control only.
 * Memory:  the mapping belongs to the source until close.
 * Errors:  negative errno.
 */
#ifndef SERVER_SOURCES_SOURCE_H
#define SERVER_SOURCES_SOURCE_H

struct acrn_io_request;

struct page_source {
    struct acrn_io_request *slots; /* mapped, 16 slots */
    int descriptor;                /* what the requester is handed; owned by the source */
};

/* memfd.c: a sealed memory file of one page. */
int source_memfd_open(struct page_source *source);
void source_memfd_close(struct page_source *source);

#endif
