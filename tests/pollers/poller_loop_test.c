/* SPDX-License-Identifier: BSD-3-Clause */
/* What one round of a poller does, request by request: what the device is told, what is counted,
 * and in which order things are seen. No threads. */
#include "tests/support/guest.h"

#include "clients/external.h"
#include "pollers/inbox_serve.h"
#include "pollers/ticks.h"

#include <errno.h>

#define REQUESTS   10u
#define WORK_TICKS 20000u /* of a device that works */

static struct guest *create(uint32_t vcpus)
{
    return guest_create((struct guest_options){.vcpus = vcpus});
}

static struct guest_access mmio_read(uint64_t address)
{
    return (struct guest_access){REQUEST_MMIO, REQUEST_READ, address, 4, 0};
}

static uint64_t settled(struct guest *guest, enum page_settled counter)
{
    return counter_read(&guest->page->settled[counter]);
}

/* ---- where a request lies ---------------------------------------------------------------- */

static void routed_request_tells_its_range_and_the_offset_in_it(void **state)
{
    (void)state;
    struct guest *guest = create(1);
    guest_access(guest, mmio_read(GUEST_MMIO + 0x123));
    assert_int_equal(guest->device.last.address, GUEST_MMIO + 0x123);
    assert_int_equal(guest->device.last.offset, 0x123);
    assert_int_equal(guest->device.last.range_index, 0);
    guest_access(guest, (struct guest_access){REQUEST_PORTIO, REQUEST_WRITE, GUEST_PORT + 5, 1, 7});
    assert_int_equal(guest->device.last.address, GUEST_PORT + 5);
    assert_int_equal(guest->device.last.offset, 5);
    assert_int_equal(guest->device.last.range_index, 1);
    guest_destroy(guest);
}

static void request_without_a_range_tells_its_address(void **state)
{
    (void)state;
    struct guest *guest =
        guest_create((struct guest_options){.vcpus = 1, .has_default_client = true});
    guest_access(guest, mmio_read(0x123456789a));
    assert_int_equal(guest->default_device.last.address, 0x123456789a);
    assert_int_equal(guest->default_device.last.offset, 0x123456789a);
    assert_int_equal(guest->default_device.last.range_index, REQUEST_NO_RANGE);
    guest_destroy(guest);
}

static void request_tells_its_vcpu_and_when_it_was_seen(void **state)
{
    (void)state;
    struct guest *guest = create(3);
    guest_ask(guest, 2, mmio_read(GUEST_MMIO));
    uint64_t before = ticks_now();
    poller_round(guest->poller);
    assert_int_equal(guest->device.last.vcpu, 2);
    assert_in_range(guest->device.last.arrival_ticks, before, ticks_now());
    guest_destroy(guest);
}

/* ---- what is counted --------------------------------------------------------------------- */

static int work_handle(struct device *device, struct request *request)
{
    uint64_t begin = ticks_now();
    while (ticks_now() - begin < WORK_TICKS)
        ticks_pause();
    return guest_device_handle(device, request);
}

static const struct device_ops work_ops = {.name = "work", .handle = work_handle};

/* The poller's figures after REQUESTS requests; what it says it was busy for is at least `least`
 * ticks, and no more than passed. */
static void assert_figures(struct guest *guest, const struct poller *poller,
                           struct guest_access access, uint64_t least)
{
    uint64_t begin = ticks_now();
    for (uint64_t i = 1; i <= REQUESTS; i++) {
        guest_access(guest, access);
        assert_int_equal(poller_figures(poller).requests, i);
    }
    uint64_t busy = poller_figures(poller).busy_ticks;
    assert_in_range(busy, least, ticks_now() - begin);
    uint64_t sweeps = poller_figures(guest->poller).sweeps;
    assert_int_equal(sweeps, REQUESTS);
    for (int i = 0; i < 100; i++)
        poller_round(guest->poller);
    /* Nothing to do is not busy. */
    assert_int_equal(poller_figures(poller).busy_ticks, busy);
    assert_int_equal(poller_figures(poller).requests, REQUESTS);
    assert_int_equal(poller_figures(guest->poller).sweeps, sweeps + 100);
}

/* How many sweeps a round makes of a poller that spins, when there is nothing to do. */
static uint64_t sweeps_of_a_round(struct poller *poller)
{
    uint64_t before = poller_figures(poller).sweeps;
    poller_round(poller);
    return poller_figures(poller).sweeps - before;
}

static void spinning_poller_looks_for_requests_more_often_than_for_anything_else(void **state)
{
    (void)state;
    struct guest *guest = create(1);
    struct poller *poller;
    const struct poller_options options = {.name = "spin", .idle = POLLER_IDLE_SPIN};
    assert_int_equal(poller_create(&options, &poller), 0);
    assert_int_equal(sweeps_of_a_round(poller), 1); /* of no page */
    assert_int_equal(poller_add_page(poller, guest->page), 0);
    uint64_t alone = sweeps_of_a_round(poller);
    assert_true(alone > 1);
    /* What is found ends the round. */
    guest_ask(guest, 0, mmio_read(GUEST_MMIO));
    assert_int_equal(sweeps_of_a_round(poller), 1);
    assert_int_equal(guest_state(guest, 0), SLOT_COMPLETE);
    assert_int_equal(poller_add_page(poller, guest->page), 0);
    assert_true(sweeps_of_a_round(poller) < alone);
    /* Somebody may wait in an inbox: as often as for requests. */
    struct guest *other = guest_create((struct guest_options){.vcpus = 1, .with_inbox = true});
    assert_int_equal(poller_add_inbox(poller, &other->client), 0);
    assert_int_equal(sweeps_of_a_round(poller), 1);
    assert_int_equal(poller_remove_inbox(poller, &other->client), 0);
    assert_true(sweeps_of_a_round(poller) > 1);
    assert_int_equal(poller_remove_page(poller, guest->page), 0);
    poller_destroy(poller);
    guest_destroy(other);
    guest_destroy(guest);
}

static void request_handled_here_counts_with_its_devices_time(void **state)
{
    (void)state;
    struct guest *guest = create(1);
    guest->device.device.ops = &work_ops;
    assert_figures(guest, guest->poller, mmio_read(GUEST_MMIO), REQUESTS * WORK_TICKS);
    guest_destroy(guest);
}

static void refused_request_counts_with_its_time(void **state)
{
    (void)state;
    struct guest *guest = create(1);
    struct guest_access refused = mmio_read(GUEST_MMIO);
    refused.size = 3;
    assert_figures(guest, guest->poller, refused, REQUESTS);
    guest_destroy(guest);
}

static void request_for_another_poller_counts_on_both(void **state)
{
    (void)state;
    struct guest *guest = guest_create((struct guest_options){.vcpus = 1, .with_inbox = true});
    guest->device.device.ops = &work_ops;
    struct poller *home = NULL;
    const struct poller_options options = {.name = "home"};
    assert_int_equal(poller_create(&options, &home), 0);
    assert_int_equal(poller_add_inbox(home, &guest->client), 0);
    uint64_t begin = ticks_now();
    for (uint64_t i = 1; i <= REQUESTS; i++) {
        guest_ask(guest, 0, mmio_read(GUEST_MMIO));
        assert_int_equal(poller_round(guest->poller), 1);
        assert_int_equal(poller_figures(guest->poller).requests, i);
        assert_int_equal(poller_figures(home).requests, i - 1);
        assert_int_equal(poller_round(home), 1);
        assert_int_equal(poller_figures(home).requests, i);
        assert_int_equal(guest_state(guest, 0), SLOT_PROCESSING);
        assert_int_equal(poller_round(guest->poller), 1);
        assert_int_equal(poller_figures(guest->poller).requests, i);
        assert_int_equal(guest_state(guest, 0), SLOT_COMPLETE);
        assert_in_range(poller_figures(home).busy_ticks, i * WORK_TICKS, ticks_now() - begin);
        guest_set_state(guest, 0, SLOT_FREE);
    }
    assert_true(poller_figures(guest->poller).busy_ticks > 0);
    assert_int_equal(histogram_count(guest->latency), REQUESTS);
    assert_int_equal(poller_round(home), 0);
    poller_destroy(home);
    guest_destroy(guest);
}

static void refused_request_of_one_who_does_not_poll_is_counted(void **state)
{
    (void)state;
    struct guest *guest = create(1);
    const uint64_t addresses[] = {GUEST_MMIO, 0x1000}; /* an invalid size, and no client */
    for (uint64_t i = 0; i < 2; i++) {
        struct guest_access access = mmio_read(addresses[i]);
        access.size = i == 0 ? 3 : 4;
        guest_access(guest, access);
        assert_int_equal(settled(guest, PAGE_UNNOTIFIED), i); /* it polls */
        guest_ask(guest, 0, access);
        guest->slots[0].completion_polling = 0;
        poller_round(guest->poller);
        assert_int_equal(guest_state(guest, 0), SLOT_COMPLETE);
        assert_int_equal(settled(guest, PAGE_UNNOTIFIED), i + 1);
        guest_set_state(guest, 0, SLOT_FREE);
    }
    guest_destroy(guest);
}

static void odd_state_counts_again_after_a_request(void **state)
{
    (void)state;
    struct guest *guest = create(1);
    for (uint64_t expected = 1; expected <= 3; expected++) {
        guest_set_state(guest, 0, 7);
        for (int i = 0; i < (int)SLOT_COUNT; i++)
            poller_round(guest->poller);
        assert_int_equal(guest_counter(guest, PAGE_ODD_STATE), expected);
        guest_access(guest, mmio_read(GUEST_MMIO));
    }
    guest_destroy(guest);
}

/* Nobody awaits the answers of what the test pushed. */
static void answer_all(struct guest *guest)
{
    struct inbox *inbox = guest->client.inbox;
    struct inbox_cell *cell;
    while ((cell = inbox_try_pop(inbox))) {
        bool is_of_test = cell->entry.ticket == 0;
        inbox_answer(cell);
        if (is_of_test)
            inbox_take(inbox, cell);
    }
}

static void full_inbox_counts_once_a_request(void **state)
{
    (void)state;
    struct guest *guest = guest_create((struct guest_options){.vcpus = 1, .with_inbox = true});
    struct inbox_entry entry = {0};
    for (uint64_t expected = 1; expected <= 2; expected++) {
        while (inbox_try_push(guest->client.inbox, &entry))
            ;
        guest_ask(guest, 0, mmio_read(GUEST_MMIO));
        for (int i = 0; i < 5; i++)
            assert_int_equal(poller_round(guest->poller), 0);
        assert_int_equal(guest_counter(guest, PAGE_INBOX_FULL), expected);
        assert_int_equal(poller_figures(guest->poller).requests, expected - 1); /* not taken on */
        answer_all(guest);
        assert_int_equal(poller_round(guest->poller), 1);
        answer_all(guest);
        assert_int_equal(poller_round(guest->poller), 1);
        assert_int_equal(guest_state(guest, 0), SLOT_COMPLETE);
    }
    guest_destroy(guest);
}

/* ---- inboxes ----------------------------------------------------------------------------- */

static void round_drains_sixteen_entries_and_skips_the_dead(void **state)
{
    (void)state;
    struct guest *guest = guest_create((struct guest_options){.vcpus = 2, .with_inbox = true});
    struct inbox *inbox = guest->client.inbox;
    /* 19 of requests that a reset settled long ago, 19 of others, then one of ours. */
    struct inbox_entry entry = {0};
    for (uint32_t i = 0; i < 38; i++) {
        struct inbox_cell *cell = inbox_try_push(inbox, &entry);
        assert_non_null(cell);
        if (i < 19)
            inbox_abandon(inbox, cell);
    }
    guest_ask(guest, 1, mmio_read(GUEST_MMIO));
    poller_round(guest->poller);
    assert_int_equal(inbox_count(inbox), 39);
    assert_int_equal(poller_add_inbox(guest->poller, &guest->client), 0);
    assert_int_equal(poller_round(guest->poller), 16);
    assert_int_equal(inbox_count(inbox), 4);
    assert_int_equal(guest->device.calls, 16);
    assert_int_equal(guest_state(guest, 1), SLOT_PROCESSING);
    assert_int_equal(poller_round(guest->poller), 4);
    assert_int_equal(guest->device.calls, 20);
    assert_int_equal(poller_round(guest->poller), 1);
    assert_int_equal(guest_state(guest, 1), SLOT_COMPLETE);
    assert_int_equal(poller_figures(guest->poller).requests, 21); /* taken on, and handled */
    assert_int_equal(settled(guest, PAGE_DROPPED), 0);
    guest_destroy(guest);
}

static void request_settled_in_its_inbox_never_reaches_the_device(void **state)
{
    (void)state;
    struct guest *guest = guest_create((struct guest_options){.vcpus = 1, .with_inbox = true});
    guest_ask(guest, 0, mmio_read(GUEST_MMIO));
    poller_round(guest->poller);
    assert_int_equal(page_settle_all(guest->page), 1);
    /* The slot has its next request in flight by then: the ticket tells them apart. */
    guest_ask(guest, 0, mmio_read(GUEST_MMIO + 4));
    poller_round(guest->poller);
    assert_int_equal(poller_add_inbox(guest->poller, &guest->client), 0);
    poller_round(guest->poller);
    assert_int_equal(guest->device.calls, 1);
    assert_int_equal(guest->device.last.offset, 4);
    poller_round(guest->poller);
    assert_int_equal(guest_state(guest, 0), SLOT_COMPLETE);
    guest_destroy(guest);
}

/* Settled by control, without a next request: a command of control's tells the inbox. */
static void request_that_a_clear_settled_never_reaches_the_device(void **state)
{
    (void)state;
    struct guest *guest = guest_create((struct guest_options){.vcpus = 2, .with_inbox = true});
    guest_ask(guest, 0, mmio_read(GUEST_MMIO));
    poller_round(guest->poller);
    assert_int_equal(page_settle_all(guest->page), 1);
    guest_ask(guest, 1, mmio_read(GUEST_MMIO + 4));
    poller_round(guest->poller);
    page_abandon_settled(guest->page); /* and no other */
    assert_int_equal(poller_add_inbox(guest->poller, &guest->client), 0);
    poller_round(guest->poller);
    poller_round(guest->poller);
    assert_int_equal(guest->device.calls, 1);
    assert_int_equal(guest->device.last.offset, 4);
    assert_int_equal(guest_state(guest, 1), SLOT_COMPLETE);
    guest_destroy(guest);
}

/* The device was at it when a reset settled the slot: its answer is the next request's neither. */
static void late_answer_of_an_inbox_changes_nothing(void **state)
{
    (void)state;
    struct guest *guest = guest_create((struct guest_options){.vcpus = 1, .with_inbox = true});
    struct inbox *inbox = guest->client.inbox;
    guest_ask(guest, 0, mmio_read(GUEST_MMIO));
    poller_round(guest->poller);
    struct inbox_cell *cell = inbox_try_pop(inbox);
    assert_int_equal(page_settle_all(guest->page), 1);
    guest_ask(guest, 0, mmio_read(GUEST_MMIO));
    poller_round(guest->poller);
    guest_answer_cell(cell, 0x11);
    poller_round(guest->poller);
    assert_int_equal(guest_state(guest, 0), SLOT_PROCESSING);
    guest_answer_cell(inbox_try_pop(inbox), 0x22);
    poller_round(guest->poller);
    assert_int_equal(guest_value(guest, 0), 0x22);
    assert_int_equal(inbox_count(inbox), 0);
    assert_int_equal(histogram_count(guest->latency), 1);
    guest_destroy(guest);
}

static void client_that_goes_leaves_nothing_in_flight(void **state)
{
    (void)state;
    struct guest *guest = guest_create((struct guest_options){.vcpus = 3, .with_inbox = true});
    struct inbox *inbox = guest->client.inbox;
    for (uint32_t i = 0; i < 2; i++)
        guest_ask(guest, i, mmio_read(GUEST_MMIO));
    poller_round(guest->poller);
    guest_answer_cell(inbox_try_pop(inbox), 0x33);
    page_forget_client(guest->page, &guest->default_client); /* another */
    assert_int_equal(page_in_flight(guest->page), 2);
    page_forget_client(guest->page, &guest->client);
    assert_int_equal(page_in_flight(guest->page), 0);
    assert_int_equal(guest_value(guest, 0), 0x33);
    assert_int_equal(guest_value(guest, 1), 0xffffffff);
    assert_int_equal(guest->page->asked, 0);
    guest_destroy(guest);
}

/* ---- devices ----------------------------------------------------------------------------- */

static struct guest *completed_guest;
static uint32_t completed_calls;
static struct request completed_request;

static void note_completed(struct device *device, const struct request *request)
{
    assert_ptr_equal(device, &completed_guest->device.device);
    assert_int_equal(guest_state(completed_guest, request->vcpu), SLOT_COMPLETE);
    assert_int_equal(page_in_flight(completed_guest->page), 0);
    completed_calls++;
    completed_request = *request;
}

static void device_hears_of_completion_once_it_is_visible(void **state)
{
    (void)state;
    static const struct device_ops ops = {
        .name = "bell", .handle = guest_device_handle, .completed = note_completed};
    completed_guest = create(2);
    completed_guest->device.device.ops = &ops;
    completed_calls = 0;
    guest_ask(completed_guest, 1, mmio_read(GUEST_MMIO + 8));
    poller_round(completed_guest->poller);
    assert_int_equal(completed_calls, 1);
    assert_int_equal(completed_request.offset, 8);
    assert_int_equal(completed_request.value, GUEST_ANSWER);
    guest_destroy(completed_guest);
}

static void device_that_failed_too_often_is_asked_no_more(void **state)
{
    (void)state;
    struct guest *guest = create(1);
    guest->client.broken_after = 3;
    for (uint64_t i = 1; i <= 5; i++) {
        guest->device.result = i == 2 ? 0 : -EIO; /* errors count in all, not in a row */
        guest_access(guest, mmio_read(GUEST_MMIO));
        assert_int_equal(guest->device.calls, i < 4 ? i : 4);
        assert_int_equal(atomic_load(&guest->client.is_broken), i >= 4);
    }
    assert_int_equal(counter_read(&guest->client.errors), 3);
    /* Well again is too late; it is still answered. */
    guest->device.result = 0;
    assert_int_equal(guest_access(guest, mmio_read(GUEST_MMIO)), 0xffffffff);
    assert_int_equal(guest->device.calls, 4);
    assert_int_equal(histogram_count(guest->latency), 6);
    guest_destroy(guest);
}

static void device_without_a_limit_is_asked_for_ever(void **state)
{
    (void)state;
    struct guest *guest = create(1);
    guest->device.result = -EIO;
    for (int i = 0; i < 100; i++)
        assert_int_equal(guest_access(guest, mmio_read(GUEST_MMIO)), 0xffffffff);
    guest->device.result = 0;
    assert_int_equal(guest_access(guest, mmio_read(GUEST_MMIO)), GUEST_ANSWER & 0xffffffff);
    assert_int_equal(counter_read(&guest->client.errors), 100);
    guest_destroy(guest);
}

/* ---- a VM that is cleared, paused, closed ------------------------------------------------ */

static void request_to_a_vm_that_is_cleared_is_answered_at_once(void **state)
{
    (void)state;
    struct guest *guest = guest_create((struct guest_options){.vcpus = 2, .with_inbox = true});
    assert_int_equal(poller_add_inbox(guest->poller, &guest->client), 0);
    page_set_clearing(guest->page, true);
    assert_int_equal(guest_access(guest, mmio_read(GUEST_MMIO)), 0xffffffff);
    assert_int_equal(guest->device.calls, 0);
    assert_int_equal(guest_counter(guest, PAGE_CLEARED), 1);
    /* What is wrong is told as that. */
    struct guest_access wrong = mmio_read(GUEST_MMIO);
    wrong.size = 3;
    guest_access(guest, wrong);
    assert_int_equal(guest_counter(guest, (enum page_counter)REQUEST_FAULT_SIZE), 1);
    assert_int_equal(guest_counter(guest, PAGE_CLEARED), 1);
    page_set_clearing(guest->page, false);
    assert_int_equal(guest_access(guest, mmio_read(GUEST_MMIO)), GUEST_ANSWER & 0xffffffff);
    guest_destroy(guest);
}

static void request_in_flight_when_clearing_begins_is_still_answered(void **state)
{
    (void)state;
    struct guest *guest = guest_create((struct guest_options){.vcpus = 1, .with_inbox = true});
    guest_ask(guest, 0, mmio_read(GUEST_MMIO));
    poller_round(guest->poller);
    page_set_clearing(guest->page, true);
    assert_int_equal(poller_add_inbox(guest->poller, &guest->client), 0);
    poller_round(guest->poller);
    poller_round(guest->poller);
    assert_int_equal(guest_value(guest, 0), GUEST_ANSWER & 0xffffffff);
    guest_destroy(guest);
}

static void paused_page_waits_but_what_is_in_flight_is_answered(void **state)
{
    (void)state;
    struct guest *guest = guest_create((struct guest_options){.vcpus = 2, .with_inbox = true});
    guest_ask(guest, 0, mmio_read(GUEST_MMIO));
    poller_round(guest->poller);
    page_pause(guest->page);
    assert_int_equal(poller_add_inbox(guest->poller, &guest->client), 0);
    guest_ask(guest, 1, mmio_read(GUEST_MMIO));
    assert_int_equal(poller_round(guest->poller), 1); /* handled */
    assert_int_equal(poller_round(guest->poller), 1); /* taken out */
    assert_int_equal(guest_state(guest, 0), SLOT_COMPLETE);
    for (int i = 0; i < 5; i++)
        assert_int_equal(poller_round(guest->poller), 0);
    assert_int_equal(guest_state(guest, 1), SLOT_PENDING);
    page_resume(guest->page);
    assert_int_equal(poller_round(guest->poller), 2); /* taken on, and handled */
    assert_int_equal(poller_round(guest->poller), 1);
    assert_int_equal(guest_state(guest, 1), SLOT_COMPLETE);
    guest_destroy(guest);
}

/* ---- external clients -------------------------------------------------------------------- */

static void external_client_is_offered_the_request(void **state)
{
    (void)state;
    struct guest *guest = create(3);
    struct external *external = memory_allocate(sizeof(*external), MEMORY_ANY_NODE);
    guest->client.external = external;
    guest_ask(guest, 2, mmio_read(GUEST_MMIO + 0x10));
    assert_int_equal(poller_round(guest->poller), 1);
    assert_int_equal(guest_state(guest, 2), SLOT_PROCESSING);
    assert_int_equal(guest->device.calls, 0);
    assert_int_equal(external_waiting(external), 1 << 2);
    struct request seen, taken;
    uint64_t ticket = external_look(external, 2, &seen);
    assert_int_equal(ticket, slot_record_word(&guest->page->records[2]));
    assert_int_equal(seen.offset, 0x10);
    assert_int_equal(external_take(external, 2, &taken), ticket);
    assert_int_equal(taken.offset, 0x10);
    assert_int_equal(external_waiting(external), 0);
    assert_int_equal(external_take(external, 2, &taken), 0);
    assert_true(page_settle(guest->page, 2, ticket, 0x99));
    assert_int_equal(guest_value(guest, 2), 0x99);
    assert_int_equal(poller_figures(guest->poller).requests, 1);
    memory_free(external, sizeof(*external));
    guest_destroy(guest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(routed_request_tells_its_range_and_the_offset_in_it),
        cmocka_unit_test(request_without_a_range_tells_its_address),
        cmocka_unit_test(request_tells_its_vcpu_and_when_it_was_seen),
        cmocka_unit_test(spinning_poller_looks_for_requests_more_often_than_for_anything_else),
        cmocka_unit_test(request_handled_here_counts_with_its_devices_time),
        cmocka_unit_test(refused_request_counts_with_its_time),
        cmocka_unit_test(request_for_another_poller_counts_on_both),
        cmocka_unit_test(refused_request_of_one_who_does_not_poll_is_counted),
        cmocka_unit_test(odd_state_counts_again_after_a_request),
        cmocka_unit_test(full_inbox_counts_once_a_request),
        cmocka_unit_test(round_drains_sixteen_entries_and_skips_the_dead),
        cmocka_unit_test(request_settled_in_its_inbox_never_reaches_the_device),
        cmocka_unit_test(request_that_a_clear_settled_never_reaches_the_device),
        cmocka_unit_test(late_answer_of_an_inbox_changes_nothing),
        cmocka_unit_test(client_that_goes_leaves_nothing_in_flight),
        cmocka_unit_test(device_hears_of_completion_once_it_is_visible),
        cmocka_unit_test(device_that_failed_too_often_is_asked_no_more),
        cmocka_unit_test(device_without_a_limit_is_asked_for_ever),
        cmocka_unit_test(request_to_a_vm_that_is_cleared_is_answered_at_once),
        cmocka_unit_test(request_in_flight_when_clearing_begins_is_still_answered),
        cmocka_unit_test(paused_page_waits_but_what_is_in_flight_is_answered),
        cmocka_unit_test(external_client_is_offered_the_request),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
