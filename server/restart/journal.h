/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * journal.h - what the next ioreqd must know of requests in flight, in a memory file that a keeper
 * (keeper.h) holds while nobody runs.
 *
 * Flow:    journal_open of what an earlier ioreqd left, or journal_create -> journal_find_vm or
 *          journal_add_vm for each VM, journal_add_process for each client that is a process ->
 *          journal_forget_vm, journal_forget_process -> journal_close.
 *
 *              4 pages   header; for each client that is a process: its names, and what the poller
 *                        notes of its incarnations (clients/process_port.h)
 *              1 page    for each VM: what its page's poller writes (page.h, struct page_kept): the slot
 *                        records themselves; its name and state
 *
 *          Nothing is copied for the journal's sake: the records are where they are, and an entry is
 *          written so that a death between any two stores leaves what it was or what it is to be.
 * Threads: control; the pollers write into what they were given.
 * Memory:  a sealed memfd; a VM's page is mapped on its poller's node.
 * Errors:  a journal that was damaged, cut, or made by another version is refused as a whole, with the
 *          reason: nothing in it is believed.
 */
#ifndef SERVER_RESTART_JOURNAL_H
#define SERVER_RESTART_JOURNAL_H

#include "clients/process_port.h"
#include "pollers/page.h"

#include <sys/types.h>

#define JOURNAL_VERSION 2u

struct journal;

/* Fresh; its tickets are of no earlier one. -EMFILE, -ENOMEM. */
int journal_create(struct journal **journal);

/* Takes descriptor, also on failure. -EBADMSG, and why in reason [reason_bytes]. */
int journal_open(int descriptor, struct journal **journal, char *reason, size_t reason_bytes);

/* Of a journal in that descriptor, which stays the caller's: how fast the processor's counter runs (ticks.h).
 * 0: it cannot be believed. */
uint64_t journal_read_rate(int descriptor);

/* Unmaps all; pollers must be gone. The file goes with the keeper's descriptor. NULL does nothing. */
void journal_close(struct journal *journal);

int journal_descriptor(const struct journal *journal);

/* What an earlier ioreqd kept of the VM of that name with so many vCPUs; NULL: nothing. */
struct page_kept *journal_find_vm(struct journal *journal, const char *name, uint32_t vcpu_count,
                                  int node);

/* A fresh place for it. NULL: all are taken, or no memory. */
struct page_kept *journal_add_vm(struct journal *journal, const char *name, uint32_t vcpu_count,
                                 int node);

/* What an earlier ioreqd kept and nobody has asked for since journal_open is of VMs and clients that are no
 * more: their places are free again. */
void journal_forget_unclaimed(struct journal *journal);

/* NULL does nothing, of either; its poller must not write any more. */
void journal_forget_vm(struct journal *journal, struct page_kept *kept);

/* Of a VM that is attached: who plays its hypervisor, and whether it is paused. */
void journal_note_vm(struct page_kept *kept, pid_t requester_pid, bool is_paused);
void journal_read_vm(const struct page_kept *kept, pid_t *requester_pid, bool *is_paused);

/* The client's place, as an earlier ioreqd left it, or fresh; *owner is its number in slot records.
 * NULL and SLOT_NO_OWNER: all are taken. */
struct process_kept *journal_add_process(struct journal *journal, const char *vm,
                                         const char *client, uint32_t *owner);
void journal_forget_process(struct journal *journal, uint32_t owner);

#endif
