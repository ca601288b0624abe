/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * adoption.h - VMs whose ioreqd died, or was told to make room, taken on by this one: pages out of the
 * keeper's hands (keeper.h), requests by the journal (journal.h).
 *
 * Flow:    adoption_begin, before the first VM -> adoption_place_vm and adoption_place_client, as each is
 *          built -> adoption_take_vm, once it has its clients and ranges -> adoption_end.
 *          At work: adoption_note_attached, adoption_note_detached, adoption_note_state.
 *          At the end: adoption_leave (a successor comes), or adoption_forget (none does).
 * Threads: control, while no poller runs; the notes while they do.
 * Memory:  topology->journal is ours to close; NULL: nobody keeps anything.
 * Errors:  what cannot be adopted is answered, once, and said: a guest waits for no one for ever.
 */
#ifndef SERVER_RESTART_ADOPTION_H
#define SERVER_RESTART_ADOPTION_H

#include "server/topology.h"
#include "server/vm_client.h"

struct channel;

/* How long a requester has to come back before its VM is let go, and a process before its requests are
 * those of a dead one. */
#define ADOPTION_REQUESTER_NS 30000000000ull
#define ADOPTION_YIELDS_NS    2000000000ull /* to another requester, that is */
#define ADOPTION_PROCESS_NS   1000000000ull

/* As the program begins: what an earlier one measured of this machine need not be measured again. */
void adoption_recall(void);

void adoption_begin(struct topology *topology);

/* Gives vm, new, the records that its page had. */
void adoption_place_vm(struct vm *vm);

/* Gives client, a process, new, its place in the journal; owes it what an earlier server did. */
void adoption_place_client(struct vm_client *client);
void adoption_forget_client(struct vm_client *client);

/* A process comes with channel, before its poller knows of it, and, the other one of before: it is gone.
 * What was taken out of a channel is asked when server and process are dead. */
int adoption_note_channel(const struct vm_client *client, const struct channel *channel);
void adoption_note_channel_end(const struct vm_client *client, uint32_t epoch);

/* Attaches vm to the page that it had, if there is one. */
void adoption_take_vm(struct vm *vm);

/* The same of a VM whose page is in a device's memory, and open: true, its requests go on; false, nothing
 * is known of an earlier server's. Before the pollers run. */
bool adoption_open_page(struct vm *vm);

/* Answers what lies in the pages of VMs that are no more. */
void adoption_end(struct topology *topology);

/* Before the page is anybody's else, and after it no longer is. */
int adoption_note_attached(struct vm *vm);
void adoption_note_detached(struct vm *vm);
/* Paused, or not any more. */
void adoption_note_state(struct vm *vm);

/* The requester has come back with the page that vm has, by descriptor. -ESTALE: another one. -EEXIST:
 * it is attached already. */
int adoption_return(struct vm *vm, int descriptor, pid_t pid);

/* Once a second: lets go of VMs whose requester did not come back. */
void adoption_tick(struct topology *topology);

/* All is settled and no successor comes: the keeper may forget. */
void adoption_forget(struct topology *topology);

#endif
