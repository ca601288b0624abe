/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * observer.h - watches the accesses of a running guest: waits for its console to print a text, and
 * records the trace.
 *
 * Flow:    observer_init -> observer_see by the vCPU threads after each answer -> observer_commit
 *          or observer_abandon once they are joined.
 * Threads: see: any, one after the other by a lock, which is only taken where there is something to
 *          watch. The order of the trace is the order in which answers were taken.
 * Memory:  the caller's; the trace writer is its own.
 * Errors:  those of the trace; observer_commit gives them.
 */
#ifndef SERVER_VM_OBSERVER_H
#define SERVER_VM_OBSERVER_H

#include "server/vm/trace.h"
#include "server/vm/volatile_answers.h"

#include <pthread.h>

#define UNTIL_TEXT_MAX 255

/* Looks for a text in a stream of bytes. */
struct text_matcher {
    char text[UNTIL_TEXT_MAX + 1];
    char tail[UNTIL_TEXT_MAX]; /* the last bytes, never more than the text has */
    size_t text_length;
    size_t tail_length;
};

void text_matcher_init(struct text_matcher *matcher, const char *text);
/* True when this byte completes the text. */
bool text_matcher_see(struct text_matcher *matcher, char byte);

struct observer {
    pthread_mutex_t lock;
    bool waits_for_text;
    uint16_t console_port;
    struct text_matcher matcher;
    struct trace_writer *trace; /* NULL: none */
    struct volatile_answers volatile_answers;
};

struct observer_setup {
    const char *until;       /* NULL: none; at most UNTIL_TEXT_MAX bytes */
    uint16_t console_port;   /* 1-byte writes to it are the console's output */
    const char *record_path; /* NULL: none */
    struct trace_header header;
    const struct address_range *volatile_ranges; /* [volatile_count] */
    size_t volatile_count;
};

/* 0, or a negative errno with a line in error [TRACE_ERROR_BYTES]. */
int observer_init(struct observer *observer, const struct observer_setup *setup, char *error);
/* True: the awaited text is complete now. */
bool observer_see(struct observer *observer, uint32_t vcpu, const struct requester_access *access);
/* Both end the observer; as trace_writer_commit and _abandon. */
int observer_commit(struct observer *observer, char *error);
void observer_abandon(struct observer *observer);

#endif
