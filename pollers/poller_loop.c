/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The hot path. A request's way through this file, top to bottom:
 *
 *   poller_find_first_calls -> take_calls -> dispatch -> request_check -> (answer_pci_ports) -> page_route
 *       -> handle_here: the device, slot_complete
 *       or hand_over: slot_claim, the client's inbox -> inbox_drain, on its poller: the device
 *                         -> page_take_answers, on this one again: page_settle
 *                     or another process -> process_drain, or, if it is late, page_check_due
 *
 * No system call, allocation, lock, log, division by a variable or unbounded loop.
 */
#include "clients/external.h"
#include "pollers/answer_at_once.h"
#include "pollers/budget_serve.h"
#include "pollers/deadlines.h"
#include "pollers/inbox_drain.h"
#include "pollers/inbox_serve.h"
#include "pollers/notify_ring.h"
#include "pollers/page_settle.h"
#include "pollers/poller_internal.h"
#include "pollers/poller_look.h"
#include "pollers/poller_wait.h"
#include "pollers/process_serve.h"
#include "pollers/ticks.h"

#include <assert.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* Claims a slot; false, and counted: the requester took it back. */
static inline bool claim(struct page *page, const struct client *client,
                         const struct request *request)
{
    struct slot_record *record = &page->records[request->vcpu];
    record->was_full = false; /* if it waited, it does no more */
    record->odd_state = 0;
    struct acrn_io_request *slot = &page->slots[request->vcpu];
    bool is_claimed =
        unlikely(page->has_driver) ? slot_is_offered(slot) : slot_claim(slot, client->is_default);
    counter_add(&page->counters[likely(is_claimed) ? PAGE_REQUESTS : PAGE_REVOKED], 1);
    return is_claimed;
}

/* What whoever settles the request must know of it. */
static inline void note_request(struct page *page, const struct request *request,
                                const struct slot_copy *copy)
{
    struct slot_record *record = &page->records[request->vcpu];
    record->type = (uint8_t)copy->type; /* as the requester will read the answer */
    record->size_bytes = request->size_bytes;
    record->is_read = request_is_read(request);
    record->notify_wanted = copy->completion_polling == 0;
}

/* The client lives here. */
static inline uint32_t handle_here(struct poller *poller, struct page *page, struct client *client,
                                   struct request *request, const struct slot_copy *copy)
{
    struct slot_record *record = &page->records[request->vcpu];
    bool is_prompt = client->device->ops->is_prompt && !page->has_driver;
    uint64_t ticket = slot_record_hold(record);
    if (unlikely(!is_prompt)) {
        note_request(page, request, copy);
        if (!claim(page, client, request)) {
            slot_record_close(record, ticket);
            return 0;
        }
    }
    note_asked(poller, client);
    uint64_t value = ask_device(client, request);
    bool is_over = true;
    if (likely(is_prompt)) {
        is_over =
            answer_unclaimed(page, request->vcpu, copy, value & request_ones(request->size_bytes));
        slot_record_close(record, ticket);
    } else {
        page_answer(page, request->vcpu, ticket, value, true);
    }
    if (likely(is_over))
        note_answered(poller, client, request);
    note_asked(poller, NULL);
    return is_over;
}

static inline bool has_room(struct page *page, struct client *client)
{
    return client->inbox     ? inbox_has_space(client->inbox)
           : client->process ? process_has_room(page, client)
                             : true;
}

/* The client lives elsewhere: once the record is open, the gate decides. */
static inline uint32_t hand_over(struct page *page, struct client *client,
                                 struct inbox_entry *entry, const struct slot_copy *copy)
{
    struct slot_record *record = &page->records[entry->request.vcpu];
    if (client->inbox)
        inbox_prefetch(client->inbox);
    if (unlikely(!has_room(page, client))) {
        if (!record->was_full)
            counter_add(&page->counters[PAGE_INBOX_FULL], 1);
        record->was_full = true;
        return 0;
    }
    note_request(page, &entry->request, copy);
    if (unlikely(!claim(page, client, &entry->request)))
        return 0;
    slot_record_hand(record,
                     client->inbox     ? SLOT_PLACE_HERE
                     : client->process ? SLOT_PLACE_WAITS
                                       : SLOT_PLACE_TAKEN,
                     client->process ? process_owner(client) : SLOT_NO_OWNER);
    entry->ticket = slot_record_open(record);
    if (unlikely(client->external != NULL)) {
        external_offer(client->external, &entry->request, entry->ticket);
        return 1;
    }
    if (client->process) {
        process_hand_over(page, client, entry);
        return 1;
    }
    inbox_hand_over(page, client, entry);
    return 1;
}

/* A PENDING slot whose record is idle. Returns 1 if it was taken on, 0 if it stays as it is. */
static inline uint32_t dispatch(struct poller *poller, struct page *page, uint32_t slot_index,
                                uint64_t now)
{
    struct inbox_entry entry;
    struct request *request = &entry.request;
    struct slot_copy copy;
    request->arrival_ticks = now;
    request->vcpu = (uint16_t)slot_index;
    slot_copy_out(&page->slots[slot_index], &copy);
    enum request_fault fault = request_check(&copy, request);
    if (unlikely(fault != REQUEST_FAULT_NONE))
        return answer_refused(page, slot_index, &copy, (enum page_counter)fault,
                              request_fault_answer(fault, copy.size_bytes));
    uint64_t ones = request_ones(request->size_bytes);
    if (unlikely(page->is_clearing))
        return answer_refused(page, slot_index, &copy, PAGE_CLEARED, ones);
    uint32_t work;
    if (page->has_pci && request->type == REQUEST_PORTIO &&
        unlikely((request->address & ~7ull) == PCI_PORT_ADDRESS) &&
        answer_pci_ports(page, slot_index, &copy, request, &work))
        return work;
    struct client *client = page_route(page, request);
    if (unlikely(!client))
        return answer_refused(page, slot_index, &copy, PAGE_UNROUTED, ones);
    if (unlikely(page->has_budgets)) {
        uint64_t value;
        enum budget_verdict verdict = page_ask_client_budget(page, client, request, &value);
        if (verdict != BUDGET_GOES_ON)
            return verdict == BUDGET_ANSWERS && answer_at_once(page, slot_index, &copy, value);
    }
    if (unlikely(client->inbox || client->external || client->process))
        return hand_over(page, client, &entry, &copy);
    return handle_here(poller, page, client, request, &copy);
}

/* A PENDING slot, and what it cost: from the look at it until it was answered or handed over. */
static inline uint32_t take(struct poller *poller, struct page *page, uint32_t slot_index)
{
    /* The requester asks again while we own the slot. It may do so for as long as it likes: the other
     * pages' slots wait for no more than this look. */
    if (unlikely(!slot_record_is_idle(&page->records[slot_index])))
        return 0;
    uint64_t begin = ticks_now();
    if (unlikely(page->has_budgets) && page_is_over_budget(page, begin))
        return 0;
    poller->last_ticks = begin;
    uint32_t work = dispatch(poller, page, slot_index, begin);
    if (likely(work))
        note_busy(poller, begin);
    if (unlikely(page->has_budgets))
        page_charge_budgets(page, ticks_now() - begin, work);
    return work;
}

/* Every slot once: a requester that is always PENDING gets one turn, like the others. */
static inline uint32_t take_calls(struct poller *poller, struct page *page, uint32_t pending)
{
    uint32_t work = 0;
    if (unlikely(page->held))
        pending = page_pass_held(page, pending, ticks_now());
    for (; pending; pending &= pending - 1)
        work += take(poller, page, (uint32_t)__builtin_ctz(pending));
    return work;
}

static inline uint32_t sweep(struct poller *poller)
{
    uint32_t work = 0;
    for (struct poller_calls calls = poller_find_first_calls(poller); calls.pending;
         calls = poller_find_next_calls(poller, calls.page_index + 1))
        work += take_calls(poller, poller->pages[calls.page_index], calls.pending);
    return work;
}

static uint32_t drain_process(struct poller *poller, const struct poller_process *duty)
{
    const struct process_port *port = duty->client->process;
    if (!port->channel || (!port->held && channel_look(port->channel) == CHANNEL_NO_ANSWER))
        return 0;
    uint64_t begin = ticks_now();
    uint32_t work = process_drain(duty->page, duty->client);
    if (!work)
        return 0;
    /* As requests they were counted when they were handed over. */
    uint64_t ticks = ticks_now() - begin;
    counter_add(&poller->busy_ticks, ticks);
    if (duty->page->has_budgets) {
        duty->page->charged = duty->client;
        page_charge_budgets(duty->page, ticks, 0);
    }
    return work;
}

/* What only those pay for who have it: answers of other processes, and what is late. */
static __attribute__((noinline)) uint32_t serve_processes(struct poller *poller)
{
    uint32_t work = 0;
    for (uint32_t i = 0; i < poller->process_count; i++)
        work += drain_process(poller, &poller->processes[i]);
    for (uint32_t i = 0; i < poller->page_count; i++)
        if (poller->pages[i]->timed)
            work += page_check_due(poller->pages[i]);
    return work;
}

/* Notifications: of what others completed, and to the kernel, where no thread of its polls. */
static __attribute__((noinline)) uint32_t serve_notifications(struct poller *poller)
{
    uint32_t work = 0;
    for (uint32_t i = 0; i < poller->page_count; i++)
        if (page_notify_is_due(&poller->pages[i]->notify))
            work += page_notify_due(poller->pages[i]);
    if (poller->submits)
        notify_ring_submit(poller->submits);
    return work;
}

static uint32_t run_command(struct poller *poller)
{
    /* Relaxed: only a hint; the exchange below acquires what control's release published. */
    if (likely(!atomic_load_explicit(&poller->command, memory_order_relaxed)))
        return 0;
    struct poller_command *command =
        atomic_exchange_explicit(&poller->command, NULL, memory_order_acquire);
    if (!command)
        return 0; /* control took it back */
    command->function(command->context);
    /* Release: pairs with poller_call's acquire; what the command did is visible to control. */
    atomic_store_explicit(&command->is_done, true, memory_order_release);
    return 1;
}

static void idle(const struct poller *poller, uint32_t empty_sweeps)
{
    switch (poller->options.idle) {
    case POLLER_IDLE_SPIN:
        break;
    case POLLER_IDLE_PAUSE:
        ticks_pause();
        break;
    case POLLER_IDLE_YIELD:
        if (empty_sweeps >= poller->options.idle_spins)
            sched_yield();
        break;
    case POLLER_IDLE_SLEEP:
        /* Whoever awaits an answer stays up: it will be soon, and its requester waits. */
        if (empty_sweeps >= poller->options.idle_spins && !poller->awaits_answer) {
            struct timespec pause = {.tv_nsec = (long)poller->options.idle_sleep_ns};
            /* By the system call: libc's wrapper may do more, and the sandbox allows no more. */
            syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &pause, NULL);
        }
        break;
    }
}

/* The time is taken before the look: between the look and the answer it would cost 60 to 100 ns, as the
 * sweeping poller then looks in between (ioreq-bench hop). */
static inline uint32_t drain_inboxes(struct poller *poller)
{
    uint32_t work = 0;
    poller->last_ticks = ticks_now();
    for (uint32_t i = 0; i < poller->inbox_count; i++)
        work += inbox_drain(poller, poller->inboxes[i]);
    return work;
}

/* Answers of clients on other pollers. */
static inline uint32_t take_answers(struct poller *poller)
{
    uint32_t taken = 0;
    for (uint32_t i = 0; i < poller->page_count; i++)
        if (poller->pages[i]->asked)
            taken += page_take_answers(poller->pages[i]);
    return taken;
}

/* A sweep or some, and then what else there is to do. */
static inline uint32_t round_once(struct poller *poller)
{
    uint32_t work = sweep(poller);
    uint32_t timed = 0, asked = 0;
    /* Not of what this sweep handed over: a look that comes before the answer takes the line away from
     * whoever is about to write it. */
    if (unlikely(poller->awaits_answer))
        work += take_answers(poller);
    bool notifies = poller->submits != NULL;
    for (uint32_t i = 0; i < poller->page_count; i++) {
        timed |= poller->pages[i]->timed;
        asked |= poller->pages[i]->asked;
        notifies |= page_notify_is_due(&poller->pages[i]->notify);
        if (poller->pages[i]->is_open)
            page_watch_slot(poller->pages[i]);
    }
    poller->awaits_answer = asked != 0;
    poller->more_sweeps = unlikely(asked | timed) ? 0 : poller->spare_sweeps;
    if (poller->inbox_count)
        work += drain_inboxes(poller);
    if (unlikely(poller->process_count || timed))
        work += serve_processes(poller);
    if (unlikely(notifies))
        work += serve_notifications(poller);
    return work + run_command(poller);
}

uint32_t poller_round(struct poller *poller)
{
    return round_once(poller);
}

void poller_loop(struct poller *poller)
{
    uint32_t empty_sweeps = 0;
    while (!poller->is_stopping) {
        if (round_once(poller)) {
            empty_sweeps = 0;
            continue;
        }
        if (unlikely(poller->options.wait != NULL))
            poller_wait_if_idle(poller, empty_sweeps == 0);
        empty_sweeps += empty_sweeps < UINT32_MAX;
        idle(poller, empty_sweeps);
    }
}
