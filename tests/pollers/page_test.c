/* SPDX-License-Identifier: BSD-3-Clause */
/* A page between its requesters: what it forgets when it is opened anew, and whom it leaves alone
 * when it closes or settles. */
#include "tests/support/guest.h"

static const struct guest_access read_four = {REQUEST_MMIO, REQUEST_READ, GUEST_MMIO, 4, 0};

static struct guest *create(uint32_t vcpus)
{
    return guest_create((struct guest_options){.vcpus = vcpus, .with_inbox = true});
}

/* Long enough for every slot beyond the vCPUs to be looked at. */
static void sweep_all(struct guest *guest)
{
    for (uint32_t i = 0; i < 2 * SLOT_COUNT; i++)
        poller_round(guest->poller);
}

/* Slot slot_index in flight, its request in the client's inbox; returns its ticket. */
static uint64_t put_in_flight(struct guest *guest, uint32_t slot_index)
{
    guest_ask(guest, slot_index, read_four);
    poller_round(guest->poller);
    assert_int_equal(guest_state(guest, slot_index), SLOT_PROCESSING);
    return slot_record_word(&guest->page->records[slot_index]);
}

static void slot_beyond_the_vcpus_counts_again_once_it_was_free(void **state)
{
    (void)state;
    struct guest *guest = create(15);
    for (uint64_t expected = 1; expected <= 2; expected++) {
        guest_set_state(guest, 15, SLOT_PENDING);
        sweep_all(guest);
        assert_int_equal(guest_counter(guest, PAGE_STRAY_SLOT), expected);
        guest_set_state(guest, 15, SLOT_FREE);
        sweep_all(guest);
        assert_int_equal(guest_counter(guest, PAGE_STRAY_SLOT), expected);
    }
    guest_destroy(guest);
}

static void slot_beyond_the_vcpus_counts_again_for_the_next_requester(void **state)
{
    (void)state;
    struct guest *guest = create(15);
    for (uint64_t expected = 1; expected <= 2; expected++) {
        guest_set_state(guest, 15, SLOT_PENDING);
        sweep_all(guest);
        assert_int_equal(guest_counter(guest, PAGE_STRAY_SLOT), expected);
        page_close(guest->page);
        page_open(guest->page, guest->slots);
        assert_int_equal(guest_state(guest, 15), SLOT_FREE);
    }
    guest_destroy(guest);
}

/* Between winning and closing its record a settler stores; its record is not to be opened anew. */
static void closing_leaves_to_a_settler_what_it_has_won(void **state)
{
    (void)state;
    struct guest *guest = create(2);
    uint64_t settling = put_in_flight(guest, 0);
    put_in_flight(guest, 1);
    assert_true(slot_record_win(&guest->page->records[0], settling));
    uint64_t word = slot_record_word(&guest->page->records[0]);
    page_close(guest->page);
    assert_int_equal(slot_record_word(&guest->page->records[0]), word);
    assert_int_equal(page_in_flight(guest->page), 1);
    slot_record_close(&guest->page->records[0], settling);
    assert_int_equal(page_in_flight(guest->page), 0);
    guest_destroy(guest);
}

static void closing_leaves_idle_records_as_they_are(void **state)
{
    (void)state;
    struct guest *guest = create(1);
    uint64_t ticket = put_in_flight(guest, 0);
    assert_true(page_settle(guest->page, 0, ticket, 1));
    uint64_t word = slot_record_word(&guest->page->records[0]);
    page_close(guest->page);
    assert_int_equal(slot_record_word(&guest->page->records[0]), word);
    guest_destroy(guest);
}

static void settling_all_answers_those_in_flight_and_no_other(void **state)
{
    (void)state;
    struct guest *guest = create(4);
    uint64_t settling = put_in_flight(guest, 0);
    assert_true(slot_record_win(&guest->page->records[0], settling));
    put_in_flight(guest, 1);
    put_in_flight(guest, 2);
    guest_set_state(guest, 2, SLOT_FREE); /* taken back meanwhile */
    guest_ask(guest, 3, read_four);       /* not claimed yet */
    assert_int_equal(page_in_flight(guest->page), 3);
    assert_int_equal(page_settle_all(guest->page), 1);
    assert_int_equal(guest_state(guest, 0), SLOT_PROCESSING); /* its settler's */
    assert_int_equal(guest_state(guest, 1), SLOT_COMPLETE);
    assert_int_equal(guest_value(guest, 1), 0xffffffff);
    assert_int_equal(guest_state(guest, 2), SLOT_FREE);
    assert_int_equal(guest_state(guest, 3), SLOT_PENDING);
    assert_int_equal(counter_read(&guest->page->settled[PAGE_DROPPED]), 1);
    assert_int_equal(page_in_flight(guest->page), 1);
    assert_int_equal(page_settle_all(guest->page), 0);
    guest_destroy(guest);
}

static void settled_write_leaves_the_value(void **state)
{
    (void)state;
    struct guest *guest = create(1);
    guest_ask(guest, 0, (struct guest_access){REQUEST_MMIO, REQUEST_WRITE, GUEST_MMIO, 4, 0x1234});
    poller_round(guest->poller);
    assert_int_equal(page_settle_all(guest->page), 1);
    assert_int_equal(guest_state(guest, 0), SLOT_COMPLETE);
    assert_int_equal(guest_value(guest, 0), 0x1234);
    guest_destroy(guest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(slot_beyond_the_vcpus_counts_again_once_it_was_free),
        cmocka_unit_test(slot_beyond_the_vcpus_counts_again_for_the_next_requester),
        cmocka_unit_test(closing_leaves_to_a_settler_what_it_has_won),
        cmocka_unit_test(closing_leaves_idle_records_as_they_are),
        cmocka_unit_test(settling_all_answers_those_in_flight_and_no_other),
        cmocka_unit_test(settled_write_leaves_the_value),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
