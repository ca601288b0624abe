/* SPDX-License-Identifier: BSD-3-Clause */
/* A device on another poller that does not answer in time: the poller that sweeps answers for it, by the
 * client's policy, counts it, and refuses what comes late. No threads; time is the deadline's own. */
#include "tests/support/guest.h"

#include "pollers/inbox_serve.h"
#include "pollers/ticks.h"

#define PAST  1u /* ticks: over by the next round */
#define NEVER (UINT64_MAX / 4)

static struct guest *guest;
static struct late late;

static int setup(void **state)
{
    (void)state;
    guest = guest_create((struct guest_options){.vcpus = 2, .with_inbox = true});
    late = (struct late){0};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    guest_destroy(guest);
    return 0;
}

static void ask(uint64_t address, uint32_t size_bytes)
{
    guest_ask(guest, 0, (struct guest_access){REQUEST_MMIO, REQUEST_READ, address, size_bytes, 0});
    poller_round(guest->poller);
}

/* The value that the request is completed with, and the slot free again. */
static uint64_t collect(void)
{
    poller_round(guest->poller);
    assert_int_equal(guest_state(guest, 0), SLOT_COMPLETE);
    uint64_t value = guest_value(guest, 0);
    guest_set_state(guest, 0, SLOT_FREE);
    return value;
}

static uint64_t missed(void)
{
    return counter_read(&guest->client.late);
}

static void set(enum late_kind kind, uint64_t value, uint64_t deadline_ticks)
{
    late.kind = kind;
    late.value = value;
    guest->client.late_answers = kind == LATE_ONES ? NULL : &late;
    guest->client.deadline_ticks = deadline_ticks;
}

/* Its deadline is over from now on. */
static void be_late(void)
{
    guest->page->due[0].ticks = ticks_now() - 1;
}

static void without_a_deadline_a_request_waits(void **state)
{
    (void)state;
    set(LATE_VALUE, 5, 0);
    ask(GUEST_MMIO, 4);
    poller_round(guest->poller);
    assert_int_equal(guest_state(guest, 0), SLOT_PROCESSING);
    assert_int_equal(missed(), 0);
}

static void past_it_a_read_gets_what_the_policy_says(void **state)
{
    (void)state;
    set(LATE_ONES, 5, PAST);
    ask(GUEST_MMIO, 4);
    assert_int_equal(collect(), UINT32_MAX);
    set(LATE_VALUE, 0x123456789, PAST);
    ask(GUEST_MMIO, 8);
    assert_int_equal(collect(), 0x123456789);
    ask(GUEST_MMIO, 2);
    assert_int_equal(collect(), 0x6789);
    assert_int_equal(missed(), 3);
}

static void last_is_the_last_answer_to_that_address_that_came_in_time(void **state)
{
    (void)state;
    set(LATE_LAST, 0, NEVER);
    ask(GUEST_MMIO, 4);
    struct inbox_cell *cell = inbox_try_pop(guest->client.inbox); /* the device is at it */
    be_late();
    assert_int_equal(collect(), UINT32_MAX); /* there is none */
    guest_answer_cell(cell, 0x11);           /* too late to be one */
    ask(GUEST_MMIO, 4);
    be_late();
    assert_int_equal(collect(), UINT32_MAX);
    set(LATE_LAST, 0, NEVER);
    ask(GUEST_MMIO, 4);
    guest_answer_cell(inbox_try_pop(guest->client.inbox), 0x22);
    assert_int_equal(collect(), 0x22);
    set(LATE_LAST, 0, PAST);
    ask(GUEST_MMIO, 4);
    assert_int_equal(collect(), 0x22);
    ask(GUEST_MMIO + 8, 4);
    assert_int_equal(collect(), UINT32_MAX);
    ask(GUEST_MMIO, 2); /* another access */
    assert_int_equal(collect(), UINT16_MAX);
    assert_int_equal(missed(), 5);
}

/* Neither this request's nor the next one's. */
static void an_answer_that_comes_late_changes_nothing(void **state)
{
    (void)state;
    set(LATE_VALUE, 7, NEVER);
    ask(GUEST_MMIO, 4);
    struct inbox_cell *cell = inbox_try_pop(guest->client.inbox);
    be_late();
    assert_int_equal(collect(), 7);
    ask(GUEST_MMIO, 4);
    guest_answer_cell(cell, 0x33);
    poller_round(guest->poller);
    assert_int_equal(guest_state(guest, 0), SLOT_PROCESSING);
    guest_answer_cell(inbox_try_pop(guest->client.inbox), 0x44);
    assert_int_equal(collect(), 0x44);
    assert_int_equal(missed(), 1);
}

/* One that the device had not begun with does not reach it any more. */
static void a_request_that_was_answered_for_is_not_asked(void **state)
{
    (void)state;
    set(LATE_ONES, 0, PAST);
    ask(GUEST_MMIO, 4);
    assert_int_equal(collect(), UINT32_MAX);
    assert_null(inbox_try_pop(guest->client.inbox));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(without_a_deadline_a_request_waits, setup, teardown),
        cmocka_unit_test_setup_teardown(past_it_a_read_gets_what_the_policy_says, setup, teardown),
        cmocka_unit_test_setup_teardown(last_is_the_last_answer_to_that_address_that_came_in_time,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(an_answer_that_comes_late_changes_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(a_request_that_was_answered_for_is_not_asked, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
