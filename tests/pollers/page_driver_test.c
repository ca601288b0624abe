/* SPDX-License-Identifier: BSD-3-Clause */
/* A page on which a kernel driver dispatches: what is taken, that it is taken once, and that every answer
 * goes through the driver, or in direct mode past it where the vCPU polls. The test is the driver, and who
 * tells it. */
#include "pollers/page_driver.h"
#include "tests/support/guest.h"

#define RUNG UINT32_C(0x600d)

struct driven {
    struct guest *guest;
    struct page *page;
    volatile uint32_t bell; /* RUNG: the helper thread was woken for a slot */
};

static struct driven driven_create(struct guest_options options, bool is_direct)
{
    struct driven driven = {.guest = guest_create(options)};
    driven.page = driven.guest->page;
    driven.page->has_driver = true;
    driven.page->is_direct = is_direct;
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        guest_set_state(driven.guest, i, SLOT_FREE);
    return driven;
}

/* The bell's address must not move. */
static void watch(struct driven *driven)
{
    const struct page_notify_slot bell = {
        .way = PAGE_NOTIFY_STORE, .value = RUNG, .address = &driven->bell};
    for (uint32_t i = 0; i < driven->page->vcpu_count; i++)
        page_notify_set(driven->page, i, &bell);
}

static bool has_rung(struct driven *driven)
{
    bool was = driven->bell == RUNG;
    driven->bell = 0;
    return was;
}

static const struct guest_access read_mmio = {REQUEST_MMIO, REQUEST_READ, GUEST_MMIO, 8, 0};

/* The hypervisor's and the driver's part: PENDING, then PROCESSING. */
static void offer(struct driven *driven, uint32_t slot, struct guest_access access, bool polls,
                  bool is_kernels)
{
    guest_ask(driven->guest, slot, access);
    driven->guest->slots[slot].completion_polling = polls;
    driven->guest->slots[slot].kernel_handled = is_kernels;
    guest_set_state(driven->guest, slot, SLOT_PROCESSING);
}

/* NOTIFY_REQUEST_FINISH as the driver does it. */
static bool tell(struct driven *driven, uint32_t slot)
{
    if (!page_driver_is_due(driven->page, slot))
        return false;
    guest_set_state(driven->guest, slot, SLOT_COMPLETE);
    page_driver_close(driven->page, slot);
    return true;
}

static uint64_t settled(struct driven *driven, enum page_settled figure)
{
    return counter_read(&driven->page->settled[figure]);
}

static void what_is_pending_or_the_kernels_is_left_alone(void **state)
{
    (void)state;
    struct driven driven = driven_create((struct guest_options){.vcpus = 2}, false);
    guest_ask(driven.guest, 0, read_mmio);
    offer(&driven, 1, read_mmio, true, true);
    poller_round(driven.guest->poller);
    assert_int_equal(guest_state(driven.guest, 0), SLOT_PENDING);
    assert_int_equal(guest_state(driven.guest, 1), SLOT_PROCESSING);
    assert_int_equal(driven.guest->device.calls, 0);
    guest_destroy(driven.guest);
}

static void an_offered_request_is_taken_once_and_finished_by_the_driver(void **state)
{
    (void)state;
    for (int polls = 0; polls < 2; polls++) {
        struct driven driven = driven_create((struct guest_options){.vcpus = 1}, false);
        watch(&driven);
        for (uint64_t i = 1; i <= 3; i++) {
            offer(&driven, 0, read_mmio, polls, false);
            for (int round = 0; round < 3; round++)
                poller_round(driven.guest->poller);
            assert_int_equal(driven.guest->device.calls, i);
            assert_true(has_rung(&driven));
            assert_int_equal(guest_state(driven.guest, 0), SLOT_PROCESSING);
            assert_int_equal(guest_value(driven.guest, 0), GUEST_ANSWER);
            assert_int_equal(page_in_flight(driven.page), 1);
            assert_true(tell(&driven, 0));
            assert_false(tell(&driven, 0)); /* one signal too many */
            assert_int_equal(page_in_flight(driven.page), 0);
            guest_set_state(driven.guest, 0, SLOT_FREE);
        }
        guest_destroy(driven.guest);
    }
}

/* Malformed, unrouted, or while a clear lasts: no device, but the driver all the same. */
static void what_is_refused_is_finished_by_the_driver(void **state)
{
    (void)state;
    static const struct guest_access refused[] = {
        {REQUEST_MMIO, REQUEST_READ, GUEST_MMIO, 3, 0},
        {REQUEST_MMIO, REQUEST_READ, 0x1000, 8, 0},
        {7, REQUEST_READ, GUEST_MMIO, 8, 0},
    };
    struct driven driven = driven_create((struct guest_options){.vcpus = 1}, false);
    watch(&driven);
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        offer(&driven, 0, refused[i], false, false);
        poller_round(driven.guest->poller);
        poller_round(driven.guest->poller);
        assert_true(has_rung(&driven));
        assert_true(tell(&driven, 0));
        assert_true(guest_value(driven.guest, 0) != 0);
    }
    assert_int_equal(guest_counter(driven.guest, PAGE_REQUESTS), 3);
    assert_int_equal(guest_counter(driven.guest, PAGE_UNROUTED), 1);
    page_set_clearing(driven.page, true);
    offer(&driven, 0, read_mmio, false, false);
    poller_round(driven.guest->poller);
    assert_true(tell(&driven, 0));
    assert_int_equal(guest_value(driven.guest, 0), UINT64_MAX);
    assert_int_equal(driven.guest->device.calls, 0);
    guest_destroy(driven.guest);
}

static void direct_completes_past_the_driver_where_the_vcpu_polls(void **state)
{
    (void)state;
    struct driven driven = driven_create((struct guest_options){.vcpus = 1}, true);
    watch(&driven);
    offer(&driven, 0, read_mmio, true, false);
    poller_round(driven.guest->poller);
    assert_int_equal(guest_state(driven.guest, 0), SLOT_COMPLETE);
    assert_int_equal(guest_value(driven.guest, 0), GUEST_ANSWER);
    assert_false(has_rung(&driven));
    assert_false(tell(&driven, 0));
    offer(&driven, 0, read_mmio, false, false);
    poller_round(driven.guest->poller);
    assert_int_equal(guest_state(driven.guest, 0), SLOT_PROCESSING);
    assert_true(has_rung(&driven));
    assert_true(tell(&driven, 0));
    guest_destroy(driven.guest);
}

/* A reset between the answer and the driver's store: even a FREE slot it would make COMPLETE. */
static void the_driver_is_not_told_of_a_slot_that_was_taken_back(void **state)
{
    (void)state;
    struct driven driven = driven_create((struct guest_options){.vcpus = 1}, false);
    offer(&driven, 0, read_mmio, false, false);
    poller_round(driven.guest->poller);
    guest_set_state(driven.guest, 0, SLOT_FREE);
    assert_false(tell(&driven, 0));
    assert_int_equal(guest_state(driven.guest, 0), SLOT_FREE);
    assert_int_equal(settled(&driven, PAGE_DROPPED), 1);
    assert_int_equal(page_in_flight(driven.page), 0);
    guest_destroy(driven.guest);
}

/* Its client lives elsewhere; whoever settles it leaves it to the sweeping poller to wake the helper. */
static void a_settled_request_is_told_by_the_next_round(void **state)
{
    (void)state;
    struct driven driven =
        driven_create((struct guest_options){.vcpus = 1, .with_inbox = true}, false);
    watch(&driven);
    offer(&driven, 0, read_mmio, false, false);
    poller_round(driven.guest->poller);
    poller_round(driven.guest->poller);
    assert_int_equal(guest_counter(driven.guest, PAGE_REQUESTS), 1);
    assert_false(has_rung(&driven));
    assert_int_equal(page_settle_all(driven.page), 1);
    assert_int_equal(page_settle_all(driven.page), 0);
    assert_int_equal(guest_value(driven.guest, 0), UINT64_MAX);
    assert_int_equal(guest_state(driven.guest, 0), SLOT_PROCESSING);
    poller_round(driven.guest->poller);
    assert_true(has_rung(&driven));
    assert_true(tell(&driven, 0));
    guest_destroy(driven.guest);
}

static void an_answer_to_a_slot_that_was_taken_back_is_dropped(void **state)
{
    (void)state;
    for (int is_direct = 0; is_direct < 2; is_direct++) {
        struct driven driven =
            driven_create((struct guest_options){.vcpus = 1, .with_inbox = true}, is_direct);
        watch(&driven);
        offer(&driven, 0, read_mmio, true, false);
        poller_round(driven.guest->poller);
        guest_set_state(driven.guest, 0, SLOT_FREE);
        assert_int_equal(page_settle_all(driven.page), 0);
        poller_round(driven.guest->poller);
        assert_false(has_rung(&driven));
        assert_int_equal(guest_state(driven.guest, 0), SLOT_FREE);
        assert_int_equal(settled(&driven, PAGE_DROPPED), 1);
        assert_int_equal(page_in_flight(driven.page), 0);
        guest_destroy(driven.guest);
    }
}

/* Its VM runs already, and what was offered before we came is for us. */
static void opening_leaves_the_slots_as_they_are(void **state)
{
    (void)state;
    struct driven driven = driven_create((struct guest_options){.vcpus = 3}, false);
    page_close(driven.page);
    offer(&driven, 0, read_mmio, false, false);
    guest_ask(driven.guest, 1, read_mmio);
    guest_set_state(driven.guest, 2, SLOT_COMPLETE);
    assert_int_equal(page_open_registered(driven.page, driven.guest->slots), 0);
    poller_round(driven.guest->poller);
    assert_true(tell(&driven, 0));
    assert_int_equal(guest_value(driven.guest, 0), GUEST_ANSWER);
    assert_int_equal(guest_state(driven.guest, 1), SLOT_PENDING);
    assert_int_equal(guest_state(driven.guest, 2), SLOT_COMPLETE);
    guest_destroy(driven.guest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_pending_or_the_kernels_is_left_alone),
        cmocka_unit_test(the_driver_is_not_told_of_a_slot_that_was_taken_back),
        cmocka_unit_test(an_answer_to_a_slot_that_was_taken_back_is_dropped),
        cmocka_unit_test(an_offered_request_is_taken_once_and_finished_by_the_driver),
        cmocka_unit_test(what_is_refused_is_finished_by_the_driver),
        cmocka_unit_test(direct_completes_past_the_driver_where_the_vcpu_polls),
        cmocka_unit_test(a_settled_request_is_told_by_the_next_round),
        cmocka_unit_test(opening_leaves_the_slots_as_they_are),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
