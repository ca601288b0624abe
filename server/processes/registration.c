/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/processes/registration.h"

#include "clients/process_port.h"
#include "pollers/notifier.h"
#include "pollers/process_serve.h"
#include "server/log.h"
#include "server/restart/adoption.h"
#include "server/topology.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <unistd.h>

struct registration {
    struct vm_client *client;
    struct registration_link *link; /* NULL: not yet */
    struct channel *channel;
    struct event_watch *watch; /* of process_descriptor; NULL: none */
    pid_t pid;
    int process_descriptor; /* -1: pid is unknown */
    int wake_descriptor;
    uint32_t wake_signal; /* 0: none */
    bool is_resumed;
};

/* ---- what runs on the client's poller ---------------------------------------------------- */

struct port_change {
    struct vm_client *client;
    struct channel *channel;
    struct notifier_port *notifier_port;
    uint32_t wake_signal;
    bool is_final;
    struct process_resume resume;
    bool *is_resumed;
};

static void attach(void *context)
{
    const struct port_change *change = context;
    *change->is_resumed =
        process_attach(change->client->vm->page, &change->client->client, change->channel,
                       change->notifier_port, change->wake_signal, change->resume);
}

static void detach(void *context)
{
    const struct port_change *change = context;
    process_detach(change->client->vm->page, &change->client->client, change->is_final);
}

static int run(struct port_change change, void (*function)(void *context))
{
    return poller_call_brief(change.client->poller, function, &change, VM_CALL_TIMEOUT_NS);
}

/* ---- life -------------------------------------------------------------------------------- */

static int check_limits(const struct vm_client *client, pid_t pid)
{
    const struct topology *topology = client->vm->topology;
    uint32_t in_all = 0, of_process = 0;
    for (size_t i = 0; i < topology->vm_count; i++) {
        const struct vm *vm = topology->vms[i];
        for (uint32_t k = 0; k < vm->client_count; k++) {
            const struct registration *each = vm->clients[k]->registration;
            in_all += each != NULL;
            of_process += each && pid && each->pid == pid;
        }
    }
    return of_process >= REGISTRATIONS_PROCESS_MAX ? -EDQUOT
           : in_all >= REGISTRATIONS_MAX           ? -EUSERS
                                                   : 0;
}

static void close_all(struct registration *registration)
{
    struct notifier *notifier = registration->client->vm->topology->notifier;
    if (registration->wake_signal)
        notifier_remove(notifier, registration->wake_signal);
    if (registration->watch)
        event_loop_unwatch(registration->watch);
    if (registration->process_descriptor >= 0)
        close(registration->process_descriptor);
    if (registration->wake_descriptor >= 0)
        close(registration->wake_descriptor);
}

static int open_all(struct registration *registration)
{
    struct vm_client *client = registration->client;
    if (registration->pid) {
        registration->process_descriptor = (int)syscall(SYS_pidfd_open, registration->pid, 0);
        /* A kernel without: the connection tells its end. */
        if (registration->process_descriptor < 0 && errno != ENOSYS && errno != EPERM)
            return -errno;
    }
    registration->wake_descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (registration->wake_descriptor < 0)
        return -errno;
    int result = notifier_add(client->vm->topology->notifier, registration->wake_descriptor,
                              &registration->wake_signal);
    if (result < 0)
        return result;
    uint32_t epoch = client->epoch + 1 ? client->epoch + 1 : 1;
    result = channel_open(epoch, &registration->channel);
    if (result == 0)
        client->epoch = epoch;
    return result;
}

int registration_create(struct vm_client *client, pid_t pid, struct process_resume resume,
                        struct registration **registration)
{
    if (!client->client.process)
        return -EINVAL;
    if (client->registration)
        return -EBUSY;
    int result = check_limits(client, pid);
    if (result < 0)
        return result;
    struct registration *created = calloc(1, sizeof(*created));
    if (!created)
        return -ENOMEM;
    *created = (struct registration){
        .client = client, .pid = pid, .process_descriptor = -1, .wake_descriptor = -1};
    uint32_t epoch_before = client->epoch;
    result = open_all(created);
    const struct topology *topology = client->vm->topology;
    if (result == 0) {
        adoption_note_channel(client, created->channel);
        result = run((struct port_change){.client = client,
                                          .channel = created->channel,
                                          .notifier_port =
                                              topology->pollers[client->poller_index].notifier_port,
                                          .wake_signal = created->wake_signal,
                                          .resume = resume,
                                          .is_resumed = &created->is_resumed},
                     attach);
        adoption_note_channel_end(client, result < 0 ? client->epoch : epoch_before);
    }
    if (result < 0) {
        close_all(created);
        channel_close(created->channel);
        free(created);
        return result;
    }
    client->registration = created;
    *registration = created;
    return 0;
}

void registration_descriptors(const struct registration *registration,
                              int descriptors[REGISTRATION_DESCRIPTORS])
{
    descriptors[0] = registration->channel->requests_descriptor;
    descriptors[1] = registration->channel->answers_descriptor;
    descriptors[2] = registration->wake_descriptor;
}

void registration_link(struct registration *registration, struct registration_link *link)
{
    registration->link = link;
}

bool registration_is_resumed(const struct registration *registration)
{
    return registration->is_resumed;
}

pid_t registration_pid(const struct registration *registration)
{
    return registration ? registration->pid : 0;
}

void registration_wake(const struct registration *registration)
{
    if (registration)
        eventfd_write(registration->wake_descriptor, 1); /* full: it has not looked yet */
}

/* ---- the end ----------------------------------------------------------------------------- */

/* Tells the connection, which forgets us, and is closed by and by. */
static void hang_up(struct registration *registration)
{
    struct registration_link *link = registration->link;
    registration->link = NULL;
    if (link)
        link->end(link);
}

/* True if its poller hung up on the process, which is said once. */
static bool tell_verdict(struct vm_client *client)
{
    static const char *const verdicts[] = {
        [PROCESS_BROKE_CHANNEL] = "it wrote counts into its channel that cannot be",
        [PROCESS_STRAY_ANSWERS] = "it answered requests that it was not asked",
        [PROCESS_LATE] = "it missed too many deadlines",
    };
    /* relaxed: only read, and what is then done goes through a command */
    uint32_t verdict =
        atomic_exchange_explicit(&client->client.process->verdict, 0, memory_order_relaxed);
    if (verdict)
        log_warning("vm %s: client %s: %s; it is quarantined, and answered for until a process "
                    "registers anew",
                    client->vm->name, client->client.name, verdicts[verdict]);
    return verdict != 0;
}

static int end(struct registration *registration, bool is_final)
{
    struct vm_client *client = registration->client;
    tell_verdict(client); /* a successor's attach would forget it */
    int result = run((struct port_change){.client = client, .is_final = is_final}, detach);
    close_all(registration);
    client->registration = NULL;
    adoption_note_channel_end(client, client->epoch);
    if (result == 0)
        channel_close(registration->channel);
    else
        log_error("vm %s: client %s: its poller does not answer; the channel stays",
                  client->vm->name, client->client.name);
    free(registration);
    return result;
}

void registration_end(struct registration *registration, bool at_exit)
{
    struct vm_client *client = registration->client;
    if (at_exit && (client->vm->topology->is_left || !poller_is_gone(client->poller))) {
        close_all(registration); /* the end of the process takes the rest */
        client->registration = NULL;
        free(registration);
        return;
    }
    end(registration, at_exit);
}

int registration_remove_client(struct vm_client *client)
{
    struct registration *registration = client->registration;
    int result = 0;
    if (registration) {
        hang_up(registration);
        result = end(registration, true);
    } else {
        result = run((struct port_change){.client = client, .is_final = true}, detach);
    }
    return result < 0 ? result : poller_remove_process(client->poller, &client->client);
}

static void process_ready(void *context, uint32_t events)
{
    (void)events;
    struct registration *registration = context;
    const struct vm_client *client = registration->client;
    pid_t pid = registration->pid;
    hang_up(registration);
    end(registration, false);
    /* Last: somebody may wait for an answer. */
    log_info("vm %s: client %s: process %d has ended", client->vm->name, client->client.name,
             (int)pid);
}

void registration_process_ended(struct vm_client *client, pid_t pid)
{
    if (client->registration && client->registration->pid == pid)
        process_ready(client->registration, 0);
}

void registration_give_up(struct vm_client *client)
{
    if (client->registration)
        return;
    if (run((struct port_change){.client = client, .is_final = true}, detach) < 0)
        log_error("vm %s: client %s: its poller does not answer; what waits for a process waits on",
                  client->vm->name, client->client.name);
}

int registration_watch(struct registration *registration, struct event_loop *loop)
{
    if (registration->process_descriptor < 0)
        return 0;
    return event_loop_watch(loop, registration->process_descriptor, POLLIN, process_ready,
                            registration, &registration->watch);
}

/* ---- what pollers hung up on ------------------------------------------------------------- */

static void poll_client(struct vm_client *client)
{
    if (!client->client.process || !tell_verdict(client) || !client->registration)
        return;
    hang_up(client->registration);
    end(client->registration, false);
}

void registrations_poll(const struct topology *topology)
{
    for (size_t i = 0; i < topology->vm_count; i++)
        for (uint32_t k = 0; k < topology->vms[i]->client_count; k++)
            poll_client(topology->vms[i]->clients[k]);
}
