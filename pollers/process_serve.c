/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers/process_serve.h"

#include "pollers/histogram.h"
#include "pollers/notifier.h"
#include "pollers/page_settle.h"
#include "pollers/ticks.h"

#include <string.h>

/* A token is the ticket and its slot: tickets of different slots may be the same. */
#define TOKEN_SLOT_BITS 4
_Static_assert(SLOT_COUNT == PROCESS_SLOTS && SLOT_COUNT == 1u << TOKEN_SLOT_BITS, "a slot fits");

static uint64_t token_make(uint64_t ticket, uint32_t slot_index)
{
    return ticket << TOKEN_SLOT_BITS | slot_index;
}

static uint32_t state_of(const struct process_port *port)
{
    return atomic_load_explicit(&port->state, memory_order_relaxed);
}

/* epoch: of whoever serves, or served last. */
static void set_state(struct process_port *port, enum process_state state, uint32_t epoch)
{
    atomic_store_explicit(&port->state, state, memory_order_relaxed);
    if (port->kept)
        process_kept_set(port->kept,
                         (struct process_kept_words){.epoch = epoch,
                                                     .from_epoch = port->from_epoch,
                                                     .is_served = state == PROCESS_SERVING ||
                                                                  state == PROCESS_AWAITED});
}

/* Where the request of a hold is now, for whoever comes after us. */
static void note_place(struct page *page, struct process_port *port, uint32_t slot_index,
                       enum slot_place place, uint64_t number)
{
    struct process_hold *hold = &port->holds[slot_index];
    hold->place = place;
    hold->number = number;
    slot_record_hand_on(&page->records[slot_index], hold->ticket, place, port->owner,
                        (uint32_t)number);
}

/* ---- the policy -------------------------------------------------------------------------- */

static void remember(struct process_port *port, const struct request *request, uint64_t value)
{
    late_remember(port->policy.late, port->last, request, value);
}

static uint64_t late_value(struct process_port *port, const struct request *request)
{
    return late_answer(port->policy.late, port->policy.late_value, port->last, request);
}

uint64_t process_late_value(const struct client *client, const struct request *request)
{
    return late_value(client->process, request);
}

/* ---- what is held ------------------------------------------------------------------------ */

static bool is_in_flight(const struct page *page, const struct process_hold *hold,
                         uint32_t slot_index)
{
    return slot_record_word(&page->records[slot_index]) == hold->ticket;
}

/* By the policy; true if nobody settled it before. */
static bool give_up(struct page *page, struct client *client, uint32_t slot_index)
{
    struct process_port *port = client->process;
    struct process_hold *hold = &port->holds[slot_index];
    port->held &= ~(1u << slot_index);
    if (!is_in_flight(page, hold, slot_index))
        return false;
    page_settle_noted(page, slot_index, hold->ticket, late_value(port, &hold->request));
    uint64_t now = ticks_now(), since = hold->request.arrival_ticks;
    histogram_record(client->latency, now > since ? now - since : 0);
    return true;
}

/* Returns how many were settled. */
static uint32_t give_up_all(struct page *page, struct client *client)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        if (client->process->held >> i & 1)
            count += give_up(page, client, i);
    return count;
}

/* Hangs up: until the next attach the policy answers at once. */
static void condemn(struct page *page, struct client *client, enum process_verdict verdict)
{
    struct process_port *port = client->process;
    uint32_t epoch = port->channel ? port->channel->epoch : 0;
    if (port->channel)
        channel_end(port->channel);
    port->channel = NULL;
    set_state(port, PROCESS_QUARANTINED, epoch);
    counter_add(&port->failed, give_up_all(page, client));
    counter_add(&port->quarantines, 1);
    /* Relaxed: control only reads it, and what it then does goes through a command. */
    atomic_store_explicit(&port->verdict, verdict, memory_order_relaxed);
}

/* ---- requests ---------------------------------------------------------------------------- */

bool process_has_room(struct page *page, struct client *client)
{
    struct process_port *port = client->process;
    if (!port->channel)
        return true;
    enum channel_room room = channel_room(port->channel);
    if (room == CHANNEL_BROKEN)
        condemn(page, client, PROCESS_BROKE_CHANNEL);
    /* A deadline begins when the request is handed over: one left PENDING would have none. */
    return room != CHANNEL_FULL || port->policy.deadline_ticks != 0;
}

/* There are more cells than slots: what fills them was given up, and nobody takes it. */
static bool is_far_behind(const struct process_port *port)
{
    return port->channel && port->channel->pushed - port->channel->taken_seen >= CHANNEL_CAPACITY;
}

static void push(struct page *page, struct process_port *port, uint32_t slot_index)
{
    const struct process_hold *hold = &port->holds[slot_index];
    note_place(page, port, slot_index, SLOT_PLACE_SENT, port->channel->pushed);
    channel_push(port->channel, &hold->request, token_make(hold->ticket, slot_index));
}

/* Until when whoever serves, or the next one, has time for a request that came at `since`. */
static void set_due(struct page *page, struct client *client, uint32_t slot_index, uint64_t since)
{
    const struct process_port *port = client->process;
    uint64_t due = since + port->policy.deadline_ticks;
    if (!port->policy.deadline_ticks)
        return;
    if (!port->channel && due < port->grace_until)
        due = port->grace_until;
    page_set_due(page, slot_index, port->holds[slot_index].ticket, due, client);
}

void process_hand_over(struct page *page, struct client *client, const struct inbox_entry *entry)
{
    struct process_port *port = client->process;
    const struct request *request = &entry->request;
    uint32_t slot_index = request->vcpu, state = state_of(port);
    if ((state != PROCESS_SERVING && state != PROCESS_AWAITED) || is_far_behind(port)) {
        counter_add(&port->unserved, 1);
        page_settle_noted(page, slot_index, entry->ticket, late_value(port, request));
        return;
    }
    /* What is held of this slot was settled by a clear or a detach, and may still be answered. */
    port->owed += port->held >> slot_index & 1;
    port->held |= 1u << slot_index;
    port->holds[slot_index] = (struct process_hold){
        .ticket = entry->ticket, .place = SLOT_PLACE_WAITS, .request = *request};
    set_due(page, client, slot_index, request->arrival_ticks);
    if (port->channel)
        push(page, port, slot_index);
}

/* ---- answers ----------------------------------------------------------------------------- */

/* Late, a second one, or to nothing that it was asked. */
static void refuse_answer(struct page *page, struct client *client)
{
    struct process_port *port = client->process;
    counter_add(&port->refused, 1);
    atomic_fetch_add_explicit(&page->settled[PAGE_REFUSED], 1, memory_order_relaxed);
    if (port->owed > 0)
        port->owed--;
    else if (++port->strays >= PROCESS_STRAYS_MAX)
        condemn(page, client, PROCESS_STRAY_ANSWERS);
}

static bool is_expected(const struct process_port *port, const struct channel_answer *answer)
{
    uint32_t slot_index = answer->token % SLOT_COUNT;
    return (answer->status == CHANNEL_ANSWERED || answer->status == CHANNEL_FAILED) &&
           answer->epoch == port->channel->epoch && (port->held >> slot_index & 1) &&
           answer->token == token_make(port->holds[slot_index].ticket, slot_index);
}

static void take_answer(struct page *page, struct client *client,
                        const struct channel_answer *answer)
{
    struct process_port *port = client->process;
    if (!is_expected(port, answer)) {
        refuse_answer(page, client);
        return;
    }
    uint32_t slot_index = answer->token % SLOT_COUNT;
    const struct process_hold *hold = &port->holds[slot_index];
    uint64_t value = answer->status == CHANNEL_ANSWERED ? answer->value : UINT64_MAX;
    port->held &= ~(1u << slot_index);
    if (answer->status == CHANNEL_FAILED)
        counter_add(&client->errors, 1);
    if (!is_in_flight(page, hold, slot_index)) { /* a clear was faster */
        counter_add(&port->refused, 1);
        return;
    }
    page_settle_noted(page, slot_index, hold->ticket, value);
    page->timed &= ~(1u << slot_index);
    uint64_t now = ticks_now(), since = hold->request.arrival_ticks;
    histogram_record(client->latency, now > since ? now - since : 0);
    remember(port, &hold->request, value);
    if (++port->timely >= PROCESS_FORGIVEN_AFTER)
        port->misses = 0;
}

/* Up to `most` of them. Returns how many. */
static uint32_t take_answers(struct page *page, struct client *client, uint32_t most)
{
    struct process_port *port = client->process;
    enum channel_answer_state state = CHANNEL_NO_ANSWER;
    uint32_t taken = 0;
    while (taken < most && port->channel &&
           (state = channel_look(port->channel)) == CHANNEL_HAS_ANSWER) {
        struct channel_answer answer;
        channel_read_answer(port->channel, &answer);
        take_answer(page, client, &answer);
        taken++;
    }
    if (port->channel && state == CHANNEL_JUMPED)
        condemn(page, client, PROCESS_BROKE_CHANNEL);
    else if (port->channel && taken)
        channel_release(port->channel);
    return taken + (state == CHANNEL_JUMPED);
}

/* Once for what lies in the ring now: whoever sleeps again has looked at all of it. */
static void wake(struct process_port *port)
{
    struct channel *channel = port->channel;
    if (port->woken_for == channel->pushed || !channel_is_asleep(channel))
        return;
    port->woken_for = channel->pushed;
    if (port->notifier_port)
        notifier_push(port->notifier_port, port->wake_signal);
}

uint32_t process_drain(struct page *page, struct client *client)
{
    struct process_port *port = client->process;
    if (!port->channel)
        return 0;
    uint32_t taken = take_answers(page, client, SLOT_COUNT);
    if (port->channel && port->held)
        wake(port);
    return taken;
}

/* ---- no answer --------------------------------------------------------------------------- */

void process_miss(struct page *page, struct client *client, uint32_t slot_index)
{
    struct process_port *port = client->process;
    /* The answer may lie there, and the requester need not pay for our being late. */
    if (port->channel)
        take_answers(page, client, CHANNEL_CAPACITY);
    if (!(port->held >> slot_index & 1))
        return;
    counter_add(&port->late, 1);
    port->owed += port->channel != NULL;
    port->timely = 0;
    port->misses++;
    give_up(page, client, slot_index);
    if (port->policy.quarantine_after && port->misses >= port->policy.quarantine_after)
        condemn(page, client, PROCESS_LATE);
}

/* ---- commands ---------------------------------------------------------------------------- */

/* Numbers wrap; no more than a ring full of them is ever in flight. */
static bool is_before(const struct process_hold *hold, uint32_t taken)
{
    return (int32_t)((uint32_t)hold->number - taken) < 0;
}

/* A request that was with the process when an earlier server died: true if it goes on with it. */
static bool is_still_there(const struct process_port *port, const struct process_hold *hold,
                           struct process_resume resume)
{
    if (hold->place == SLOT_PLACE_TAKEN)
        return true;
    /* It never heard of the channel that the request lies in. */
    if (resume.epoch != port->adopted_epoch)
        return false;
    return is_before(hold, resume.taken);
}

/* The same of a process that died with the server, as its channel says; if that is gone, it had all. */
static bool was_taken_then(const struct process_port *port, const struct process_hold *hold)
{
    return hold->place == SLOT_PLACE_TAKEN || port->adopted_taken == 0 ||
           is_before(hold, port->adopted_taken);
}

/* True: the process that an earlier server knew. */
static bool is_known(const struct process_port *port, struct process_resume resume)
{
    return resume.epoch && port->adopted_epoch &&
           (resume.epoch == port->adopted_epoch || resume.epoch == port->adopted_from);
}

/* What an earlier server left with a process that is still there, or with one that died meanwhile, is
 * made into what the one that now comes has, or waits for it. All of it before the new epoch is noted:
 * places are of the epoch that stands beside them. */
static void sort_adopted(struct page *page, struct client *client, struct process_resume resume)
{
    struct process_port *port = client->process;
    bool is_resumed = is_known(port, resume);
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        if (!(port->held >> i & 1) || port->holds[i].place == SLOT_PLACE_WAITS)
            continue;
        bool was_sent = is_in_flight(page, &port->holds[i], i);
        if (was_sent && is_resumed && is_still_there(port, &port->holds[i], resume)) {
            note_place(page, port, i, SLOT_PLACE_TAKEN, 0);
        } else if (was_sent && !is_resumed && !port->policy.reissues &&
                   was_taken_then(port, &port->holds[i])) {
            counter_add(&port->failed, give_up(page, client, i));
        } else if (was_sent) {
            bool was_taken = !is_resumed && was_taken_then(port, &port->holds[i]);
            note_place(page, port, i, SLOT_PLACE_WAITS, 0);
            counter_add(was_taken ? &port->asked_again : &port->handed_on, 1);
        }
    }
    /* What was answered and settled then, and whose cells were not given back, comes again. */
    port->owed = is_resumed ? CHANNEL_CAPACITY : 0;
    port->adopted_epoch = port->adopted_taken = 0;
}

bool process_attach(struct page *page, struct client *client, struct channel *channel,
                    struct notifier_port *notifier_port, uint32_t wake_signal,
                    struct process_resume resume)
{
    struct process_port *port = client->process;
    uint32_t adopted_epoch = port->adopted_epoch;
    bool is_resumed = is_known(port, resume);
    port->channel = channel;
    port->notifier_port = notifier_port;
    port->wake_signal = wake_signal;
    port->woken_for = CHANNEL_FIRST;
    port->misses = port->timely = port->owed = port->strays = 0;
    atomic_store_explicit(&port->verdict, 0, memory_order_relaxed);
    if (adopted_epoch)
        sort_adopted(page, client, resume);
    port->from_epoch = is_resumed ? resume.epoch : 0;
    set_state(port, PROCESS_SERVING, channel->epoch);
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        if (!(port->held >> i & 1))
            continue;
        if (!is_in_flight(page, &port->holds[i], i)) {
            port->held &= ~(1u << i);
            continue;
        }
        if (adopted_epoch)
            set_due(page, client, i, ticks_now());
        if (port->holds[i].place == SLOT_PLACE_WAITS)
            push(page, port, i);
    }
    return is_resumed;
}

static void hand_on(struct page *page, struct process_port *port, uint32_t slot_index,
                    bool was_taken)
{
    if (is_in_flight(page, &port->holds[slot_index], slot_index))
        note_place(page, port, slot_index, SLOT_PLACE_WAITS, 0);
    counter_add(was_taken ? &port->asked_again : &port->handed_on, 1);
}

void process_tell_reset(struct client *client)
{
    if (client->process->channel)
        channel_tell_reset(client->process->channel);
}

/* The dead one may have said what it took; if it lied, it took all. */
static void sort_holds(struct page *page, struct client *client)
{
    struct process_port *port = client->process;
    uint64_t taken = channel_taken(port->channel);
    if (taken == 0)
        taken = port->channel->pushed;
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        if (!(port->held >> i & 1))
            continue;
        bool was_taken = port->holds[i].place == SLOT_PLACE_TAKEN || port->holds[i].number < taken;
        if (was_taken && !port->policy.reissues)
            counter_add(&port->failed, give_up(page, client, i));
        else
            hand_on(page, port, i, was_taken);
    }
}

void process_detach(struct page *page, struct client *client, bool is_final)
{
    struct process_port *port = client->process;
    if (port->channel)
        take_answers(page, client, CHANNEL_CAPACITY);
    if (port->channel && !is_final)
        is_final = channel_is_leaving(port->channel);
    if (port->channel) {
        if (!is_final)
            sort_holds(page, client);
        channel_end(port->channel);
        set_state(port, PROCESS_AWAITED, port->channel->epoch);
        port->channel = NULL;
    }
    if (!is_final)
        return;
    counter_add(&port->failed, give_up_all(page, client));
    set_state(port, PROCESS_ABSENT, 0);
}

/* ---- after an earlier server -------------------------------------------------------------- */

void process_adopt(struct client *client, uint64_t grace_until)
{
    struct process_port *port = client->process;
    struct process_kept_words words;
    if (!process_kept_get(port->kept, &words) || !words.is_served)
        return;
    port->adopted_epoch = words.epoch;
    port->adopted_from = port->from_epoch = words.from_epoch;
    port->grace_until = grace_until;
    set_state(port, PROCESS_AWAITED, words.epoch);
}

void process_adopt_hold(struct page *page, struct client *client, const struct request *request,
                        uint64_t ticket, uint64_t handed)
{
    struct process_port *port = client->process;
    uint32_t slot_index = request->vcpu;
    port->held |= 1u << slot_index;
    port->holds[slot_index] = (struct process_hold){.ticket = ticket,
                                                    .number = slot_handed_number(handed),
                                                    .place = slot_handed_place(handed),
                                                    .request = *request};
    set_due(page, client, slot_index, request->arrival_ticks);
}
