/* SPDX-License-Identifier: BSD-3-Clause */
/* A poller and a process over a channel, round by round: rows 25, 27, 29, 30, 31, 32 and 33 of
 * tests/faults.md as the poller sees them. The test plays the process, good or bad. No threads, and no
 * waiting: a deadline of one tick is over at the end of the round. */
#include "tests/support/guest.h"

#include "clients/channel_peer.h"
#include "pollers/notifier.h"
#include "pollers/process_serve.h"

#define NEVER 0u
#define PAST  1u

struct fixture {
    struct guest *guest;
    struct process_port port;
    struct channel *channel;
    struct channel_peer peer;
    uint32_t epoch;
};

static void connect_process(struct fixture *fixture)
{
    assert_int_equal(channel_open(++fixture->epoch, &fixture->channel), 0);
    assert_int_equal(channel_peer_map(fixture->channel->requests_descriptor,
                                      fixture->channel->answers_descriptor, &fixture->peer),
                     0);
    process_attach(fixture->guest->page, &fixture->guest->client, fixture->channel, NULL, 0,
                   (struct process_resume){0});
}

static void disconnect_process(struct fixture *fixture, bool is_final)
{
    process_detach(fixture->guest->page, &fixture->guest->client, is_final);
    channel_close(fixture->channel);
    channel_peer_unmap(&fixture->peer);
    fixture->channel = NULL;
}

static struct fixture *create_with(struct process_policy policy)
{
    struct fixture *fixture = aligned_alloc(128, sizeof(*fixture) + 128 - sizeof(*fixture) % 128);
    assert_non_null(fixture);
    memset(fixture, 0, sizeof(*fixture));
    fixture->guest = guest_create((struct guest_options){.vcpus = SLOT_COUNT});
    fixture->port.policy = policy;
    fixture->port.state = PROCESS_ABSENT;
    fixture->guest->client.process = &fixture->port;
    assert_int_equal(
        poller_add_process(fixture->guest->poller, &fixture->guest->client, fixture->guest->page),
        0);
    connect_process(fixture);
    return fixture;
}

static struct fixture *create(uint64_t deadline_ticks)
{
    return create_with((struct process_policy){.deadline_ticks = deadline_ticks});
}

static void destroy(struct fixture *fixture)
{
    if (fixture->channel)
        disconnect_process(fixture, true);
    assert_int_equal(poller_remove_process(fixture->guest->poller, &fixture->guest->client), 0);
    guest_destroy(fixture->guest);
    free(fixture);
}

static void process_round(struct fixture *fixture)
{
    poller_round(fixture->guest->poller);
}

static void ask(struct fixture *fixture, uint32_t slot_index)
{
    guest_ask(fixture->guest, slot_index,
              (struct guest_access){REQUEST_MMIO, REQUEST_READ, GUEST_MMIO + 8 * slot_index, 8, 0});
    process_round(fixture);
}

static bool is_answered(struct fixture *fixture, uint32_t slot_index)
{
    return guest_state(fixture->guest, slot_index) == SLOT_COMPLETE;
}

/* The answer, and the slot is free again. */
static uint64_t collect(struct fixture *fixture, uint32_t slot_index)
{
    assert_true(is_answered(fixture, slot_index));
    uint64_t value = guest_value(fixture->guest, slot_index);
    guest_set_state(fixture->guest, slot_index, SLOT_FREE);
    return value;
}

static struct channel_request take(struct fixture *fixture)
{
    struct channel_request request;
    assert_true(channel_peer_take(&fixture->peer, &request));
    return request;
}

static void answer_as(struct fixture *fixture, uint64_t token, uint64_t value, uint32_t epoch)
{
    const struct channel_answer answer = {token, value, epoch, CHANNEL_ANSWERED};
    assert_true(channel_peer_answer(&fixture->peer, &answer));
}

static void answer(struct fixture *fixture, uint64_t token, uint64_t value)
{
    answer_as(fixture, token, value, fixture->peer.epoch);
}

static void assert_state(struct fixture *fixture, enum process_state state)
{
    assert_int_equal(fixture->port.state, state);
}

/* Cut: the verdict is spoken, its channel has ended, and requests are answered at once. */
static void assert_cut(struct fixture *fixture, enum process_verdict verdict)
{
    assert_state(fixture, PROCESS_QUARANTINED);
    assert_int_equal(fixture->port.verdict, verdict);
    assert_null(fixture->port.channel);
    assert_false(channel_peer_is_alive(&fixture->peer));
    assert_int_equal(page_in_flight(fixture->guest->page), 0);
    ask(fixture, 9);
    assert_int_equal(collect(fixture, 9), UINT64_MAX);
}

/* ---- 25: death at every step ------------------------------------------------------------- */

static void row25_not_taken_is_given_to_the_next(void **state)
{
    (void)state;
    struct fixture *fixture = create(NEVER);
    ask(fixture, 3);
    disconnect_process(fixture, false);
    assert_state(fixture, PROCESS_AWAITED);
    process_round(fixture);
    assert_false(is_answered(fixture, 3));
    connect_process(fixture);
    answer(fixture, take(fixture).token, 42);
    process_round(fixture);
    assert_int_equal(collect(fixture, 3), 42);
    assert_int_equal(fixture->port.handed_on, 1);
    destroy(fixture);
}

static void row25_taken_is_failed_at_once(void **state)
{
    (void)state;
    struct fixture *fixture = create(NEVER);
    ask(fixture, 3);
    take(fixture);
    ask(fixture, 4);
    disconnect_process(fixture, false);
    assert_int_equal(collect(fixture, 3), UINT64_MAX);
    assert_false(is_answered(fixture, 4));
    assert_int_equal(fixture->port.failed, 1);
    connect_process(fixture);
    assert_int_equal(take(fixture).vcpu, 4);
    destroy(fixture);
}

static void row25_taken_is_asked_again_if_the_policy_says_so(void **state)
{
    (void)state;
    struct fixture *fixture = create_with((struct process_policy){.reissues = true});
    ask(fixture, 3);
    uint64_t token = take(fixture).token;
    disconnect_process(fixture, false);
    assert_false(is_answered(fixture, 3));
    connect_process(fixture);
    assert_int_equal(take(fixture).token, token);
    answer(fixture, token, 43);
    process_round(fixture);
    assert_int_equal(collect(fixture, 3), 43);
    assert_int_equal(fixture->port.asked_again, 1);
    destroy(fixture);
}

static void row25_answer_that_was_published_counts(void **state)
{
    (void)state;
    struct fixture *fixture = create(NEVER);
    ask(fixture, 3);
    answer(fixture, take(fixture).token, 44);
    disconnect_process(fixture, false);
    assert_int_equal(collect(fixture, 3), 44);
    assert_int_equal(fixture->port.failed, 0);
    destroy(fixture);
}

static void row25_answer_that_was_written_but_not_published_does_not(void **state)
{
    (void)state;
    struct fixture *fixture = create(NEVER);
    ask(fixture, 3);
    answer(fixture, take(fixture).token, 45);
    atomic_store(&fixture->peer.answers->cells[CHANNEL_FIRST & CHANNEL_MASK].turn,
                 CHANNEL_FIRST - CHANNEL_CAPACITY);
    disconnect_process(fixture, false);
    assert_int_equal(collect(fixture, 3), UINT64_MAX);
    assert_int_equal(fixture->port.failed, 1);
    destroy(fixture);
}

static void row25_dead_one_that_lied_about_what_it_took_took_all(void **state)
{
    (void)state;
    struct fixture *fixture = create(NEVER);
    ask(fixture, 3);
    atomic_store(&fixture->peer.answers->requests_taken, 0);
    disconnect_process(fixture, false);
    assert_int_equal(collect(fixture, 3), UINT64_MAX);
    destroy(fixture);
}

static void awaited_successor_that_does_not_come_costs_one_deadline(void **state)
{
    (void)state;
    struct fixture *fixture = create(NEVER);
    ask(fixture, 3);
    fixture->port.policy.deadline_ticks = PAST;
    disconnect_process(fixture, false);
    ask(fixture, 4); /* comes while nobody is there */
    assert_int_equal(collect(fixture, 4), UINT64_MAX);
    assert_int_equal(fixture->port.late, 1);
    assert_false(is_answered(fixture, 3)); /* has no deadline */
    destroy(fixture);
}

static void one_that_leaves_is_not_awaited(void **state)
{
    (void)state;
    struct fixture *fixture = create(NEVER);
    ask(fixture, 3);
    atomic_store(&fixture->peer.answers->is_leaving, 1);
    disconnect_process(fixture, false);
    assert_int_equal(collect(fixture, 3), UINT64_MAX);
    assert_state(fixture, PROCESS_ABSENT);
    ask(fixture, 3);
    assert_int_equal(collect(fixture, 3), UINT64_MAX);
    assert_int_equal(fixture->port.unserved, 1);
    destroy(fixture);
}

/* ---- 27: it does not answer in time ------------------------------------------------------ */

static void row27_late_request_is_completed_by_the_policy_and_its_answer_refused(void **state)
{
    (void)state;
    struct fixture *fixture = create(PAST);
    ask(fixture, 0);
    assert_int_equal(collect(fixture, 0), UINT64_MAX);
    assert_int_equal(fixture->port.late, 1);
    uint64_t token = take(fixture).token;
    fixture->port.policy.deadline_ticks = NEVER;
    ask(fixture, 0); /* the slot's next request is not answered by it */
    answer(fixture, token, 46);
    process_round(fixture);
    assert_false(is_answered(fixture, 0));
    assert_int_equal(fixture->port.refused, 1);
    assert_int_equal(fixture->port.strays, 0); /* late is no malice */
    answer(fixture, take(fixture).token, 47);
    process_round(fixture);
    assert_int_equal(collect(fixture, 0), 47);
    destroy(fixture);
}

static void row27_quarantined_after_missed_deadlines_until_it_registers_anew(void **state)
{
    (void)state;
    struct fixture *fixture =
        create_with((struct process_policy){.deadline_ticks = PAST, .quarantine_after = 3});
    for (uint32_t i = 0; i < 2; i++) {
        ask(fixture, 0);
        assert_int_equal(collect(fixture, 0), UINT64_MAX);
    }
    assert_state(fixture, PROCESS_SERVING);
    ask(fixture, 0);
    collect(fixture, 0);
    assert_int_equal(fixture->port.late, 3);
    assert_cut(fixture, PROCESS_LATE);
    assert_int_equal(fixture->port.late, 3);
    answer(fixture, take(fixture).token, 48); /* nobody reads it */
    process_round(fixture);
    disconnect_process(fixture, false);
    assert_state(fixture, PROCESS_QUARANTINED);
    fixture->port.policy.deadline_ticks = NEVER;
    connect_process(fixture);
    assert_state(fixture, PROCESS_SERVING);
    ask(fixture, 0);
    answer(fixture, take(fixture).token, 49);
    process_round(fixture);
    assert_int_equal(collect(fixture, 0), 49);
    fixture->port.policy.deadline_ticks =
        PAST; /* what its predecessor missed is not held against it */
    ask(fixture, 0);
    collect(fixture, 0);
    assert_state(fixture, PROCESS_SERVING);
    destroy(fixture);
}

static void row27_missed_deadlines_are_forgiven_after_many_timely_answers(void **state)
{
    (void)state;
    struct fixture *fixture =
        create_with((struct process_policy){.deadline_ticks = PAST, .quarantine_after = 2});
    ask(fixture, 0);
    collect(fixture, 0);
    take(fixture);
    fixture->port.policy.deadline_ticks = NEVER;
    for (uint32_t i = 0; i < PROCESS_FORGIVEN_AFTER; i++) {
        assert_int_equal(fixture->port.misses, 1);
        ask(fixture, 0);
        answer(fixture, take(fixture).token, i);
        process_round(fixture);
        assert_int_equal(collect(fixture, 0), i);
    }
    assert_int_equal(fixture->port.misses, 0);
    fixture->port.policy.deadline_ticks = PAST;
    ask(fixture, 0);
    collect(fixture, 0);
    take(fixture);
    fixture->port.policy.deadline_ticks = NEVER;
    ask(fixture, 0);
    answer(fixture, take(fixture).token, 1);
    process_round(fixture);
    assert_int_equal(fixture->port.misses, 1); /* they count from the last miss */
    destroy(fixture);
}

static void row27_answer_that_lies_there_at_the_deadline_is_taken(void **state)
{
    (void)state;
    struct fixture *fixture = create(UINT64_MAX / 4);
    ask(fixture, 0);
    answer(fixture, take(fixture).token, 50);
    process_miss(fixture->guest->page, &fixture->guest->client, 0);
    assert_int_equal(collect(fixture, 0), 50);
    assert_int_equal(fixture->port.late, 0);
    destroy(fixture);
}

static void late_value_is_what_the_policy_says(void **state)
{
    (void)state;
    struct fixture *fixture = create_with((struct process_policy){
        .deadline_ticks = PAST, .late = LATE_VALUE, .late_value = 0x123456789});
    ask(fixture, 0);
    assert_int_equal(collect(fixture, 0), 0x123456789);
    guest_ask(fixture->guest, 0,
              (struct guest_access){REQUEST_MMIO, REQUEST_READ, GUEST_MMIO, 2, 0});
    process_round(fixture);
    assert_int_equal(collect(fixture, 0), 0x6789);
    fixture->port.policy.late = LATE_LAST;
    ask(fixture, 0);
    assert_int_equal(collect(fixture, 0), UINT64_MAX); /* there is none */
    while (channel_peer_has_request(&fixture->peer))
        take(fixture);
    fixture->port.policy.deadline_ticks = NEVER;
    ask(fixture, 0);
    answer(fixture, take(fixture).token, 51);
    process_round(fixture);
    assert_int_equal(collect(fixture, 0), 51);
    fixture->port.policy.deadline_ticks = PAST;
    ask(fixture, 0);
    assert_int_equal(collect(fixture, 0), 51);
    ask(fixture, 1); /* another address */
    assert_int_equal(collect(fixture, 1), UINT64_MAX);
    destroy(fixture);
}

static void deadline_of_an_inbox_is_kept_by_the_sweeping_poller(void **state)
{
    (void)state;
    struct guest *guest = guest_create((struct guest_options){.vcpus = 1, .with_inbox = true});
    struct poller *home;
    const struct poller_options options = {.name = "home", .idle = POLLER_IDLE_YIELD};
    assert_int_equal(poller_create(&options, &home), 0);
    assert_int_equal(poller_add_inbox(home, &guest->client), 0);
    guest->client.deadline_ticks = PAST;
    assert_int_equal(
        guest_access(guest, (struct guest_access){REQUEST_MMIO, REQUEST_READ, GUEST_MMIO, 4, 0}),
        UINT32_MAX);
    assert_int_equal(counter_read(&guest->client.late), 1);
    poller_round(home); /* its device is not asked */
    assert_int_equal(guest->device.calls, 0);
    guest->client.deadline_ticks = NEVER;
    guest_ask(guest, 0, (struct guest_access){REQUEST_MMIO, REQUEST_READ, GUEST_MMIO, 4, 0});
    poller_round(guest->poller);
    poller_round(home);
    poller_round(guest->poller);
    assert_int_equal(guest_value(guest, 0), (uint32_t)GUEST_ANSWER);
    assert_int_equal(counter_read(&guest->client.late), 1);
    poller_destroy(home);
    guest_destroy(guest);
}

/* ---- 29, 30: answers to what was not asked ----------------------------------------------- */

static void row29_second_answer_is_refused(void **state)
{
    (void)state;
    struct fixture *fixture = create(NEVER);
    ask(fixture, 0);
    uint64_t token = take(fixture).token;
    answer(fixture, token, 52);
    answer(fixture, token, 53);
    process_round(fixture);
    assert_int_equal(collect(fixture, 0), 52);
    assert_int_equal(fixture->port.refused, 1);
    assert_int_equal(counter_read(&fixture->guest->page->settled[PAGE_REFUSED]), 1);
    ask(fixture, 0);
    answer(fixture, token, 53);
    process_round(fixture);
    assert_false(is_answered(fixture, 0));
    destroy(fixture);
}

static void row29_answers_to_nothing_change_nothing_and_are_cut_in_the_end(void **state)
{
    (void)state;
    struct fixture *fixture = create(NEVER);
    ask(fixture, 2);
    uint64_t token = take(fixture).token;
    const uint64_t strays[] = {0,
                               UINT64_MAX,
                               token + 1,              /* the slot beside it */
                               token ^ 1ull << 63,     /* another life of the slot */
                               token + 16,             /* another phase */
                               token + (16ull << 3),   /* its next request */
                               token & 15,             /* no ticket */
                               (token & ~15ull) | 15}; /* a slot that asked nothing */
    for (uint32_t i = 0; i + 1 < PROCESS_STRAYS_MAX; i++) {
        answer(fixture, strays[i % 8], 54);
        process_round(fixture);
        assert_int_equal(guest_state(fixture->guest, 2), SLOT_PROCESSING);
        assert_state(fixture, PROCESS_SERVING);
    }
    answer(fixture, 0, 54);
    process_round(fixture);
    assert_int_equal(collect(fixture, 2), UINT64_MAX);
    assert_int_equal(fixture->port.refused, PROCESS_STRAYS_MAX);
    assert_cut(fixture, PROCESS_STRAY_ANSWERS);
    destroy(fixture);
}

static void row29_slot_of_another_client_is_not_answered(void **state)
{
    (void)state;
    struct fixture *fixture = create(NEVER);
    struct page *page = fixture->guest->page;
    /* In flight, but with somebody else. */
    guest_ask(fixture->guest, 5, (struct guest_access){REQUEST_MMIO, REQUEST_READ, 0, 8, 0});
    guest_set_state(fixture->guest, 5, SLOT_PROCESSING);
    uint64_t ticket = slot_record_open(&page->records[5]);
    answer(fixture, ticket << 4 | 5, 55);
    process_round(fixture);
    assert_int_equal(guest_state(fixture->guest, 5), SLOT_PROCESSING);
    assert_int_equal(slot_record_word(&page->records[5]), ticket);
    destroy(fixture);
}

static void row29_answer_of_no_known_status_is_refused(void **state)
{
    (void)state;
    struct fixture *fixture = create(NEVER);
    ask(fixture, 0);
    struct channel_answer made = {take(fixture).token, 56, fixture->peer.epoch, 0};
    assert_true(channel_peer_answer(&fixture->peer, &made));
    made.status = 3;
    assert_true(channel_peer_answer(&fixture->peer, &made));
    process_round(fixture);
    assert_false(is_answered(fixture, 0));
    assert_int_equal(fixture->port.refused, 2);
    made.status = CHANNEL_FAILED;
    assert_true(channel_peer_answer(&fixture->peer, &made));
    process_round(fixture);
    assert_int_equal(collect(fixture, 0), UINT64_MAX);
    assert_int_equal(counter_read(&fixture->guest->client.errors), 1);
    destroy(fixture);
}

static void row30_answer_of_an_old_incarnation_is_refused(void **state)
{
    (void)state;
    struct fixture *fixture = create_with((struct process_policy){.reissues = true});
    ask(fixture, 0);
    uint64_t token = take(fixture).token;
    disconnect_process(fixture, false);
    connect_process(fixture);
    answer_as(fixture, token, 57, fixture->epoch - 1);
    answer_as(fixture, token, 57, 0);
    process_round(fixture);
    assert_false(is_answered(fixture, 0));
    assert_int_equal(fixture->port.refused, 2);
    answer(fixture, token, 58);
    process_round(fixture);
    assert_int_equal(collect(fixture, 0), 58);
    destroy(fixture);
}

static void row30_old_memory_is_not_read_any_more(void **state)
{
    (void)state;
    struct fixture *fixture = create_with((struct process_policy){.reissues = true});
    ask(fixture, 0);
    struct channel_peer old = fixture->peer; /* its mappings outlive the registration */
    struct channel_request request = take(fixture);
    process_detach(fixture->guest->page, &fixture->guest->client, false);
    channel_close(fixture->channel);
    connect_process(fixture);
    const struct channel_answer late = {request.token, 59, request.epoch, CHANNEL_ANSWERED};
    assert_true(channel_peer_answer(&old, &late));
    process_round(fixture);
    assert_false(is_answered(fixture, 0));
    channel_peer_unmap(&old);
    destroy(fixture);
}

/* ---- 31: its indices jump ---------------------------------------------------------------- */

static void row31_answer_out_of_turn_is_cut_and_what_is_in_flight_settled(void **state)
{
    (void)state;
    const uint64_t jumps[] = {0, CHANNEL_FIRST - 1, CHANNEL_FIRST + CHANNEL_CAPACITY + 1,
                              CHANNEL_FIRST + (1ull << 31), UINT64_MAX};
    for (size_t i = 0; i < 5; i++) {
        struct fixture *fixture = create(NEVER);
        ask(fixture, 0);
        ask(fixture, 7);
        take(fixture);
        atomic_store(&fixture->peer.answers->cells[CHANNEL_FIRST & CHANNEL_MASK].turn, jumps[i]);
        process_round(fixture);
        assert_int_equal(collect(fixture, 0), UINT64_MAX);
        assert_int_equal(collect(fixture, 7), UINT64_MAX);
        assert_cut(fixture, PROCESS_BROKE_CHANNEL);
        destroy(fixture);
    }
}

static void row31_broken_taken_count_is_cut_when_it_matters(void **state)
{
    (void)state;
    struct fixture *fixture =
        create_with((struct process_policy){.deadline_ticks = PAST, .quarantine_after = NEVER});
    atomic_store(&fixture->peer.answers->requests_taken, 1ull << 31);
    for (uint32_t i = 0; i <= CHANNEL_CAPACITY; i++) {
        ask(fixture, 0);
        assert_int_equal(collect(fixture, 0), UINT64_MAX);
    }
    assert_cut(fixture, PROCESS_BROKE_CHANNEL);
    destroy(fixture);
}

/* ---- 32, 33: full rings ------------------------------------------------------------------ */

static void row32_ring_full_of_stale_answers_loses_nothing(void **state)
{
    (void)state;
    struct fixture *fixture = create(PAST);
    for (uint32_t i = 0; i + 1 < CHANNEL_CAPACITY; i++) {
        ask(fixture, i % SLOT_COUNT);
        collect(fixture, i % SLOT_COUNT);
    }
    fixture->port.policy.deadline_ticks = NEVER;
    ask(fixture, 5);
    for (uint32_t i = 0; i < CHANNEL_CAPACITY; i++) /* the last one is not stale */
        answer(fixture, take(fixture).token, 60);
    process_round(fixture);
    assert_false(is_answered(fixture, 5)); /* a round does a bounded part of it */
    for (uint32_t i = 0; i < 3; i++)
        process_round(fixture);
    assert_int_equal(collect(fixture, 5), 60);
    assert_int_equal(fixture->port.refused, CHANNEL_CAPACITY - 1);
    assert_state(fixture, PROCESS_SERVING);
    destroy(fixture);
}

static void row33_full_request_ring_leaves_the_slot_pending(void **state)
{
    (void)state;
    struct fixture *fixture = create(PAST);
    for (uint32_t i = 0; i < CHANNEL_CAPACITY; i++) {
        ask(fixture, 0);
        collect(fixture, 0);
    }
    fixture->port.policy.deadline_ticks = NEVER;
    ask(fixture, 0);
    process_round(fixture);
    assert_int_equal(guest_state(fixture->guest, 0), SLOT_PENDING);
    assert_int_equal(guest_counter(fixture->guest, PAGE_INBOX_FULL), 1);
    guest_ask(fixture->guest, 1, (struct guest_access){REQUEST_MMIO, REQUEST_READ, 0, 4, 0});
    process_round(fixture);
    assert_int_equal(collect(fixture, 1), UINT32_MAX); /* others are served */
    take(fixture);
    process_round(fixture);
    assert_int_equal(guest_state(fixture->guest, 0), SLOT_PROCESSING);
    for (uint32_t i = 1; i < CHANNEL_CAPACITY; i++)
        take(fixture);
    answer(fixture, take(fixture).token, 61);
    process_round(fixture);
    assert_int_equal(collect(fixture, 0), 61);
    destroy(fixture);
}

static void
row33_full_request_ring_is_answered_by_the_policy_where_there_is_a_deadline(void **state)
{
    (void)state;
    struct fixture *fixture = create(PAST);
    for (uint32_t i = 0; i < CHANNEL_CAPACITY; i++) {
        ask(fixture, 0);
        collect(fixture, 0);
    }
    fixture->port.policy.deadline_ticks = 1ull << 60; /* far away: it is not what answers */
    ask(fixture, 0);
    process_round(fixture);
    assert_int_equal(collect(fixture, 0), UINT64_MAX);
    assert_int_equal(fixture->port.unserved, 1);
    assert_int_equal(guest_counter(fixture->guest, PAGE_INBOX_FULL), 0);
    take(fixture);
    ask(fixture, 0);
    for (uint32_t i = 1; i < CHANNEL_CAPACITY; i++)
        take(fixture);
    answer(fixture, take(fixture).token, 62);
    process_round(fixture);
    assert_int_equal(collect(fixture, 0), 62);
    assert_state(fixture, PROCESS_SERVING);
    destroy(fixture);
}

/* ---- what it is for ---------------------------------------------------------------------- */

static void answers_may_come_in_any_order(void **state)
{
    (void)state;
    struct fixture *fixture = create(NEVER);
    uint64_t tokens[SLOT_COUNT];
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        ask(fixture, i);
        struct channel_request request = take(fixture);
        assert_int_equal(request.vcpu, i);
        assert_int_equal(request.offset, 8 * i);
        tokens[i] = request.token;
    }
    for (uint32_t i = SLOT_COUNT; i-- > 0;)
        answer(fixture, tokens[i], 100 + i);
    process_round(fixture);
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        assert_int_equal(collect(fixture, i), 100 + i);
    assert_int_equal(fixture->port.refused, 0);
    assert_int_equal(histogram_count(fixture->guest->latency), SLOT_COUNT);
    destroy(fixture);
}

static void answer_after_a_clear_is_refused_without_blame(void **state)
{
    (void)state;
    struct fixture *fixture = create(NEVER);
    ask(fixture, 0);
    uint64_t token = take(fixture).token;
    assert_int_equal(page_settle_all(fixture->guest->page), 1);
    collect(fixture, 0);
    ask(fixture, 0);
    answer(fixture, token, 62);
    process_round(fixture);
    assert_false(is_answered(fixture, 0));
    assert_int_equal(fixture->port.strays, 0);
    answer(fixture, take(fixture).token, 63);
    process_round(fixture);
    assert_int_equal(collect(fixture, 0), 63);
    destroy(fixture);
}

static void death_after_a_clear_fails_nothing(void **state)
{
    (void)state;
    struct fixture *fixture = create(NEVER);
    ask(fixture, 0);
    take(fixture);
    assert_int_equal(page_settle_all(fixture->guest->page), 1);
    disconnect_process(fixture, false);
    assert_int_equal(fixture->port.failed, 0);
    assert_int_equal(histogram_count(fixture->guest->latency), 0);
    connect_process(fixture);
    struct channel_request request;
    assert_false(channel_peer_take(&fixture->peer, &request)); /* nor is it handed on */
    destroy(fixture);
}

/* Settled by somebody else, its client is gone: the deadline looks at neither. */
static void deadline_of_what_is_settled_is_forgotten(void **state)
{
    (void)state;
    struct fixture *fixture = create(UINT64_MAX / 4);
    ask(fixture, 2);
    assert_int_equal(fixture->guest->page->timed, 1u << 2);
    page_settle_all(fixture->guest->page);
    fixture->guest->page->due[2].client = NULL;
    process_round(fixture);
    assert_int_equal(fixture->guest->page->timed, 0);
    ask(fixture, 3);
    answer(fixture, take(fixture).token, 0);
    answer(fixture, take(fixture).token, 0);
    process_round(fixture);
    assert_int_equal(fixture->guest->page->timed, 0);
    destroy(fixture);
}

static void answer_to_a_cleared_slot_is_no_answer(void **state)
{
    (void)state;
    struct fixture *fixture = create(NEVER);
    ask(fixture, 0);
    uint64_t token = take(fixture).token;
    page_settle_all(fixture->guest->page);
    answer(fixture, token, 64);
    process_round(fixture);
    assert_int_equal(fixture->port.refused, 1);
    assert_int_equal(histogram_count(fixture->guest->latency), 0);
    assert_int_equal(collect(fixture, 0), UINT64_MAX);
    destroy(fixture);
}

static void sleeping_process_is_woken_once_for_what_lies_there(void **state)
{
    (void)state;
    struct fixture *fixture = create(NEVER);
    struct notifier_port *port = aligned_alloc(128, sizeof(*port));
    assert_non_null(port);
    memset(port, 0, sizeof(*port));
    fixture->port.notifier_port = port;
    fixture->port.wake_signal = 3;
    ask(fixture, 0); /* awake: not told */
    process_round(fixture);
    assert_int_equal(atomic_load(&port->pushed), 0);
    channel_peer_set_asleep(&fixture->peer, true); /* sleeps over a request */
    for (uint32_t i = 0; i < 5; i++)
        process_round(fixture);
    assert_int_equal(atomic_load(&port->pushed), 1);
    assert_int_equal(port->cells[0], 3);
    ask(fixture, 1);
    assert_int_equal(atomic_load(&port->pushed), 2);
    free(port);
    destroy(fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row25_not_taken_is_given_to_the_next),
        cmocka_unit_test(row25_taken_is_failed_at_once),
        cmocka_unit_test(row25_taken_is_asked_again_if_the_policy_says_so),
        cmocka_unit_test(row25_answer_that_was_published_counts),
        cmocka_unit_test(row25_answer_that_was_written_but_not_published_does_not),
        cmocka_unit_test(row25_dead_one_that_lied_about_what_it_took_took_all),
        cmocka_unit_test(awaited_successor_that_does_not_come_costs_one_deadline),
        cmocka_unit_test(one_that_leaves_is_not_awaited),
        cmocka_unit_test(row27_late_request_is_completed_by_the_policy_and_its_answer_refused),
        cmocka_unit_test(row27_quarantined_after_missed_deadlines_until_it_registers_anew),
        cmocka_unit_test(row27_missed_deadlines_are_forgiven_after_many_timely_answers),
        cmocka_unit_test(row27_answer_that_lies_there_at_the_deadline_is_taken),
        cmocka_unit_test(late_value_is_what_the_policy_says),
        cmocka_unit_test(deadline_of_an_inbox_is_kept_by_the_sweeping_poller),
        cmocka_unit_test(row29_second_answer_is_refused),
        cmocka_unit_test(row29_answers_to_nothing_change_nothing_and_are_cut_in_the_end),
        cmocka_unit_test(row29_slot_of_another_client_is_not_answered),
        cmocka_unit_test(row29_answer_of_no_known_status_is_refused),
        cmocka_unit_test(row30_answer_of_an_old_incarnation_is_refused),
        cmocka_unit_test(row30_old_memory_is_not_read_any_more),
        cmocka_unit_test(row31_answer_out_of_turn_is_cut_and_what_is_in_flight_settled),
        cmocka_unit_test(row31_broken_taken_count_is_cut_when_it_matters),
        cmocka_unit_test(row32_ring_full_of_stale_answers_loses_nothing),
        cmocka_unit_test(row33_full_request_ring_leaves_the_slot_pending),
        cmocka_unit_test(
            row33_full_request_ring_is_answered_by_the_policy_where_there_is_a_deadline),
        cmocka_unit_test(answers_may_come_in_any_order),
        cmocka_unit_test(answer_after_a_clear_is_refused_without_blame),
        cmocka_unit_test(death_after_a_clear_fails_nothing),
        cmocka_unit_test(deadline_of_what_is_settled_is_forgotten),
        cmocka_unit_test(answer_to_a_cleared_slot_is_no_answer),
        cmocka_unit_test(sleeping_process_is_woken_once_for_what_lies_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
