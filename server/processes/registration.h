/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * registration.h - a process that serves a client, for as long as its connection lasts.
 *
 * Flow:    registration_create -> its descriptors go to the process -> registration_link,
 *          registration_watch -> registration_end: the connection is closed, the process has died
 *          (pidfd), the client goes, or its poller hung up (registrations_poll).
 * Threads: control. The client's poller is told by commands.
 * Memory:  a registration owns its channel, fresh for each, and what it passes on; the process has
 *          duplicates. A client has at most one.
 * Errors:  negative errno, and nothing is left behind.
 * Source:  pidfd_open(2); memory is given as in vhost-user, by descriptors over the socket.
 */
#ifndef SERVER_PROCESSES_REGISTRATION_H
#define SERVER_PROCESSES_REGISTRATION_H

#include "pollers/process_serve.h"
#include "server/event_loop.h"
#include "server/vm_client.h"

#define REGISTRATIONS_MAX         48u /* connections stay for others: ioreqctl, requesters */
#define REGISTRATIONS_PROCESS_MAX 16u /* of one process */
#define REGISTRATION_DESCRIPTORS  3u  /* requests, answers, the eventfd that wakes */

struct registration;

/* Whoever tells the process: its connection. */
struct registration_link {
    /* It is over, and registration no longer valid: the peer is cut, later. */
    void (*end)(struct registration_link *link);
};

/* -EINVAL: client is no `device: process`. -EBUSY: it is served already. -EDQUOT:
 * REGISTRATIONS_PROCESS_MAX. -EUSERS: REGISTRATIONS_MAX. -ESRCH: pid is gone. -EMFILE, -ENOSPC,
 * -ENOMEM; -ETIMEDOUT: the poller does not answer. pid 0: of another namespace, not watched. */
int registration_create(struct vm_client *client, pid_t pid, struct process_resume resume,
                        struct registration **registration);

/* True if the process goes on where it was under an earlier server. */
bool registration_is_resumed(const struct registration *registration);

/* What the process gets; they stay the registration's. */
void registration_descriptors(const struct registration *registration,
                              int descriptors[REGISTRATION_DESCRIPTORS]);

/* link is valid until registration_end or its end(). */
void registration_link(struct registration *registration, struct registration_link *link);

/* Ends it, by way of link, when the process dies: its socket may live on in a child. */
int registration_watch(struct registration *registration, struct event_loop *loop);

/* Nobody serves the client until the next one registers; what is in flight goes by its policy. Frees
 * registration. at_exit: pollers that are parked for good are not asked. */
void registration_end(struct registration *registration, bool at_exit);

/* Wakes its process, if it sleeps, to look at what it was told. NULL does nothing. */
void registration_wake(const struct registration *registration);

/* The process of that pid has ended: so has its registration, if it has one with client. */
void registration_process_ended(struct vm_client *client, pid_t pid);

/* Nobody serves client, and nobody will: what waits for a successor is settled by the policy, and what
 * comes is answered at once. */
void registration_give_up(struct vm_client *client);

/* Before its client goes: ends it, if there is one, and tells its connection; whatever waits for a
 * successor is settled, and the poller forgets the client. -ETIMEDOUT, -EINPROGRESS. */
int registration_remove_client(struct vm_client *client);

/* Every few milliseconds: tells what pollers have hung up on, and ends those. */
void registrations_poll(const struct topology *topology);

/* For display. 0: nobody serves. */
pid_t registration_pid(const struct registration *registration);

#endif
