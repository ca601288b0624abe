/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * process_serve.h - the poller's part of a client whose device is another process: what goes into its
 * channel, what comes out, and what happens if nothing does.
 *
 * Flow:    process_attach (command) -> process_has_room, process_hand_over -> process_drain, each
 *          round, or process_miss at the deadline -> process_detach (command).
 *
 *          Whatever is answered, by whom ever, passes the slot's gate with its ticket: an answer
 *          whose ticket is over is refused and counted. A process that breaks its channel, answers
 *          what it was not asked, or is late too often, gets a verdict: its channel is never looked
 *          at again, what it had in flight is settled by the policy, and control hangs up.
 * Threads: the poller that sweeps page, where the client lives: process_drain and the commands, too.
 * Memory:  the port is the client's, the channel its registration's, which takes it back after
 *          process_detach.
 * Errors:  a process is never waited for, and never the reason that another client waits.
 */
#ifndef POLLERS_PROCESS_SERVE_H
#define POLLERS_PROCESS_SERVE_H

#include "clients/inbox.h"
#include "clients/process_port.h"
#include "pollers/page.h"

#define PROCESS_STRAYS_MAX     16u   /* answers to nothing, then the process is cut */
#define PROCESS_FORGIVEN_AFTER 1024u /* timely answers, then its missed deadlines are forgotten */

/* False: its ring is full, and the request stays PENDING, as the process may have any time. */
bool process_has_room(struct page *page, struct client *client);

/* A claimed request with an open ticket. Where nobody serves, or with deadlines the ring is full, it is
 * answered by the policy at once. */
void process_hand_over(struct page *page, struct client *client, const struct inbox_entry *entry);

/* What a request gets that the process is not asked. */
uint64_t process_late_value(const struct client *client, const struct request *request);

/* Takes at most SLOT_COUNT answers; wakes the process if it sleeps over a request. Returns how many
 * answers there were. */
uint32_t process_drain(struct page *page, struct client *client);

/* The deadline of slot_index passed and it is in flight: completes it by the policy. */
void process_miss(struct page *page, struct client *client, uint32_t slot_index);

/* What the journal calls the client (slot_record.h). */
static inline uint32_t process_owner(const struct client *client)
{
    return client->process->owner;
}

/* ---- commands ---------------------------------------------------------------------------- */

/* A process that served before the server died: its channel's epoch then, and how many requests it
 * had taken. epoch 0: it is new. */
struct process_resume {
    uint32_t epoch;
    uint32_t taken;
};

/* The process of `channel` serves from now on; what waits for one is given to it. Whoever served
 * before was detached. True: it goes on where it was under an earlier server, and answers with the
 * tokens of then. */
bool process_attach(struct page *page, struct client *client, struct channel *channel,
                    struct notifier_port *notifier_port, uint32_t wake_signal,
                    struct process_resume resume);

/* Before the page is swept: if the client was served when an earlier server died, as port->kept tells, that
 * process is awaited until the ticks of grace_until, and from then on as after any death. */
void process_adopt(struct client *client, uint64_t grace_until);

/* A request of the page that was in flight with that incarnation; its record is open with ticket. */
void process_adopt_hold(struct page *page, struct client *client, const struct request *request,
                        uint64_t ticket, uint64_t handed);

/* The VM was reset, and what was in flight is settled: the process, if there is one, is told. */
void process_tell_reset(struct client *client);

/* Nobody serves. What the process answered is taken; is_final: nobody else will come, so that all the
 * rest is settled by the policy; otherwise as the policy says of a death. The channel is not looked
 * at any more. */
void process_detach(struct page *page, struct client *client, bool is_final);

#endif
