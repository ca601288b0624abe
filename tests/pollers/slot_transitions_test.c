/* SPDX-License-Identifier: BSD-3-Clause */
/* The steps that the code makes, against the table of those it may make: slot_transitions.def,
 * which the model of a slot's life (tests/model) is checked against too. From every state, every
 * function that changes a slot is called as its contract says; what it did must be in the table,
 * and in the end each row of the server's must have been seen. */
#include "pollers/page_settle.h"
#include "tests/support/guest.h"

#define RECORDS_SEQUENCE 5u

enum actor { REQUESTER = 1, RESET, SWEEPER, SETTLER, FREEZER, DRIVER, TELLER };

struct transition {
    enum actor actor;
    uint32_t from, to;
};

static const struct transition record_table[] = {
#define SLOT_RECORD_TRANSITION(who, from, to) {who, SLOT_PHASE_##from, SLOT_PHASE_##to},
#include "pollers/slot_transitions.def"
};
#define RECORD_ROWS (sizeof(record_table) / sizeof(record_table[0]))

static const struct transition page_table[] = {
#define SLOT_PAGE_TRANSITION(who, from, to) {who, SLOT_##from, SLOT_##to},
#include "pollers/slot_transitions.def"
};
#define PAGE_ROWS (sizeof(page_table) / sizeof(page_table[0]))

/* What the requester may write, and two values that are no state. */
static const uint32_t page_states[] = {SLOT_PENDING, SLOT_COMPLETE, SLOT_PROCESSING, SLOT_FREE, 4,
                                       0xffffffff};
#define PAGE_STATES (sizeof(page_states) / sizeof(page_states[0]))

static void note(const struct transition *table, size_t count, bool *seen, struct transition step)
{
    if (step.from == step.to)
        return;
    for (size_t i = 0; i < count; i++) {
        if (table[i].actor == step.actor && table[i].from == step.from && table[i].to == step.to) {
            seen[i] = true;
            return;
        }
    }
    fail_msg("actor %d moved %u -> %u, which is not in the table", step.actor, step.from, step.to);
}

static uint64_t record_word(enum slot_phase phase)
{
    return (uint64_t)RECORDS_SEQUENCE << SLOT_PHASE_BITS | phase;
}

static void set_record(struct slot_record *record, enum slot_phase phase)
{
    slot_record_init_at(record, 0);
    record->size_bytes = 4;
    atomic_store_explicit(&record->word, record_word(phase), memory_order_relaxed);
}

static void note_record(bool *seen, enum actor actor, uint64_t before, uint64_t after)
{
    struct transition step = {actor, slot_record_phase(before), slot_record_phase(after)};
    note(record_table, RECORD_ROWS, seen, step);
    uint64_t opened =
        actor == SWEEPER && before != after && slot_record_phase(before) == SLOT_PHASE_IDLE;
    assert_int_equal(after >> SLOT_PHASE_BITS, (before >> SLOT_PHASE_BITS) + opened);
}

/* Who tells the driver moves a record on that waits for it, and no other. */
static void note_driver_told(bool *seen)
{
    for (uint32_t phase = SLOT_PHASE_IDLE; phase <= SLOT_PHASE_FINISHING; phase++) {
        struct guest *guest = guest_create((struct guest_options){.vcpus = 1});
        struct slot_record *record = &guest->page->records[0];
        guest->page->has_driver = true;
        set_record(record, (enum slot_phase)phase);
        guest_set_state(guest, 0, SLOT_PROCESSING);
        uint64_t before = slot_record_word(record);
        if (page_driver_is_due(guest->page, 0))
            page_driver_close(guest->page, 0);
        note_record(seen, TELLER, before, slot_record_word(record));
        guest_destroy(guest);
    }
}

static void record_moves_are_those_of_the_table(void **state)
{
    (void)state;
    bool seen[RECORD_ROWS] = {false};
    for (uint32_t phase = SLOT_PHASE_IDLE; phase <= SLOT_PHASE_FINISHING; phase++) {
        struct slot_record record;
        set_record(&record, (enum slot_phase)phase);
        uint64_t before = slot_record_word(&record);
        if (slot_record_is_idle(&record))
            slot_record_open(&record);
        note_record(seen, SWEEPER, before, slot_record_word(&record));

        set_record(&record, (enum slot_phase)phase);
        if (slot_record_is_idle(&record)) {
            uint64_t held = slot_record_hold(&record);
            note_record(seen, SWEEPER, before, held);
            assert_false(
                slot_record_win(&record, held ^ SLOT_PHASE_HANDLING ^ SLOT_PHASE_IN_FLIGHT));
            slot_record_close(&record, held);
            note_record(seen, SWEEPER, held, slot_record_word(&record));

            /* The same where a driver is to be told. */
            set_record(&record, (enum slot_phase)phase);
            held = slot_record_hold(&record);
            slot_record_finish(&record, held);
            note_record(seen, SWEEPER, held, slot_record_word(&record));
            assert_false(slot_record_is_idle(&record));
            assert_false(slot_record_win(&record, held));
        }

        set_record(&record, (enum slot_phase)phase);
        uint64_t stale = before - ((uint64_t)1 << SLOT_PHASE_BITS);
        assert_false(slot_record_win(&record, stale));
        assert_int_equal(slot_record_word(&record), before);
        /* The ticket of this life, whatever the record is at now. */
        uint64_t ticket = record_word(SLOT_PHASE_IN_FLIGHT);
        bool has_won = slot_record_win(&record, ticket);
        uint64_t between = slot_record_word(&record);
        note_record(seen, SETTLER, before, between);
        if (has_won)
            slot_record_close(&record, ticket);
        note_record(seen, SETTLER, between, slot_record_word(&record));

        set_record(&record, (enum slot_phase)phase);
        if (slot_record_win(&record, ticket)) {
            between = slot_record_word(&record);
            slot_record_finish(&record, ticket);
            note_record(seen, SETTLER, between, slot_record_word(&record));
        }
    }
    note_driver_told(seen);
    for (size_t i = 0; i < RECORD_ROWS; i++)
        assert_true(seen[i] || record_table[i].actor == FREEZER); /* below */
}

static void frozen_poller_leaves_nothing_untold(void **state)
{
    (void)state;
    for (uint32_t phase = SLOT_PHASE_IDLE; phase <= SLOT_PHASE_FINISHING; phase++) {
        bool seen[RECORD_ROWS] = {false};
        struct guest *guest = guest_create((struct guest_options){.vcpus = 1});
        struct slot_record *record = &guest->page->records[0];
        guest->page->has_driver = true;
        set_record(record, (enum slot_phase)phase);
        guest_set_state(guest, 0, SLOT_PROCESSING);
        uint64_t before = slot_record_word(record);
        bool is_ours = phase == SLOT_PHASE_IN_FLIGHT || phase == SLOT_PHASE_HANDLING;
        assert_int_equal(page_settle_frozen(guest->page), is_ours);
        if (phase != SLOT_PHASE_IN_FLIGHT)
            note_record(seen, FREEZER, before, slot_record_word(record));
        assert_int_equal(guest_state(guest, 0), SLOT_PROCESSING); /* COMPLETE is the driver's */
        assert_int_equal(page_notify_is_due(&guest->page->notify), is_ours);
        guest_destroy(guest);
    }
}

/* Frozen in a device that is prompt: what it was asked for is PENDING, as is what nobody looked at. */
static void frozen_poller_leaves_no_prompt_device_unanswered(void **state)
{
    (void)state;
    for (uint32_t phase = SLOT_PHASE_IDLE; phase <= SLOT_PHASE_HANDLING; phase++) {
        struct guest *guest = guest_create((struct guest_options){.vcpus = 1});
        bool is_handling = phase == SLOT_PHASE_HANDLING;
        set_record(&guest->page->records[0], (enum slot_phase)phase);
        guest_set_state(guest, 0, SLOT_PENDING);
        assert_int_equal(page_settle_frozen(guest->page), is_handling);
        assert_int_equal(guest_state(guest, 0), is_handling ? SLOT_COMPLETE : SLOT_PENDING);
        guest_destroy(guest);
    }
}

static void frozen_poller_leaves_nothing_unanswered(void **state)
{
    (void)state;
    for (uint32_t phase = SLOT_PHASE_IDLE; phase <= SLOT_PHASE_HANDLING; phase++) {
        bool seen[RECORD_ROWS] = {false};
        bool is_settling = phase == SLOT_PHASE_SETTLING; /* somebody else, who goes on */
        struct guest *guest = guest_create((struct guest_options){.vcpus = 1});
        struct slot_record *record = &guest->page->records[0];
        set_record(record, (enum slot_phase)phase);
        guest_set_state(guest, 0, SLOT_PROCESSING);
        uint64_t before = slot_record_word(record);
        assert_int_equal(page_settle_frozen(guest->page), !is_settling);
        if (phase != SLOT_PHASE_IN_FLIGHT)
            note_record(seen, FREEZER, before, slot_record_word(record));
        assert_int_equal(guest_state(guest, 0), is_settling ? SLOT_PROCESSING : SLOT_COMPLETE);
        guest_destroy(guest);
    }
}

/* Slot 0 is in flight, and the page says `from`; somebody acts. */
static void note_page(bool *seen, enum actor actor, uint32_t from, void (*act)(struct guest *guest))
{
    struct guest *guest = guest_create((struct guest_options){.vcpus = 1});
    set_record(&guest->page->records[0], SLOT_PHASE_IN_FLIGHT);
    guest_set_state(guest, 0, from);
    act(guest);
    uint32_t to = guest_state(guest, 0);
    /* Whatever is not one of the four is nobody's: only page_open may overwrite it. */
    if (from <= SLOT_FREE)
        note(page_table, PAGE_ROWS, seen, (struct transition){actor, from, to});
    else
        assert_true(to == from || actor == RESET);
    guest_destroy(guest);
}

static void claim(struct guest *guest)
{
    slot_claim(&guest->slots[0], true);
}

/* As answer_unclaimed of poller_loop.c does. */
static void complete_unclaimed(struct guest *guest)
{
    slot_complete(&guest->slots[0], SLOT_PENDING, true, REQUEST_MMIO, 0);
}

static void complete(struct guest *guest)
{
    slot_complete(&guest->slots[0], SLOT_PROCESSING, true, REQUEST_MMIO, 0);
}

static void settle(struct guest *guest)
{
    page_settle(guest->page, 0, record_word(SLOT_PHASE_IN_FLIGHT), 0);
}

static void settle_all(struct guest *guest)
{
    page_settle_all(guest->page);
}

static void settle_frozen(struct guest *guest)
{
    set_record(&guest->page->records[0], SLOT_PHASE_HANDLING);
    page_settle_frozen(guest->page);
}

static void settle_too_late(struct guest *guest)
{
    uint32_t before = guest_state(guest, 0);
    set_record(&guest->page->records[0], SLOT_PHASE_IDLE);
    assert_false(page_settle(guest->page, 0, record_word(SLOT_PHASE_IN_FLIGHT), 0));
    set_record(&guest->page->records[0], SLOT_PHASE_SETTLING);
    assert_false(page_settle(guest->page, 0, record_word(SLOT_PHASE_IN_FLIGHT), 0));
    assert_int_equal(page_settle_all(guest->page), 0);
    assert_int_equal(guest_state(guest, 0), before);
}

static void abandon(struct guest *guest)
{
    page_close(guest->page);
}

static void sweep_while_in_flight(struct guest *guest)
{
    uint32_t before = guest_state(guest, 0);
    poller_round(guest->poller);
    assert_int_equal(guest_state(guest, 0), before);
}

static void open_again(struct guest *guest)
{
    page_open(guest->page, guest->slots);
}

static void page_moves_are_those_of_the_table(void **state)
{
    (void)state;
    bool seen[PAGE_ROWS] = {false};
    for (size_t i = 0; i < PAGE_STATES; i++) {
        uint32_t from = page_states[i];
        note_page(seen, SWEEPER, from, claim);
        note_page(seen, SWEEPER, from, complete_unclaimed);
        note_page(seen, SWEEPER, from, complete);
        note_page(seen, SWEEPER, from, sweep_while_in_flight);
        note_page(seen, SETTLER, from, settle);
        note_page(seen, SETTLER, from, settle_all);
        note_page(seen, FREEZER, from, settle_frozen);
        note_page(seen, SETTLER, from, settle_too_late);
        note_page(seen, SETTLER, from, abandon);
        note_page(seen, RESET, from, open_again);
    }
    for (size_t i = 0; i < PAGE_ROWS; i++)
        assert_true(seen[i] || page_table[i].actor == REQUESTER || page_table[i].actor == DRIVER);
}

/* Answered as it stands: of an idle slot the sweep touches nothing but PENDING. */
static void sweep_of_an_idle_slot_answers_pending_alone(void **state)
{
    (void)state;
    for (size_t i = 0; i < PAGE_STATES; i++) {
        struct guest *guest = guest_create((struct guest_options){.vcpus = 1});
        guest_ask(guest, 0, (struct guest_access){REQUEST_MMIO, REQUEST_READ, 0x1000, 4, 7});
        guest_set_state(guest, 0, page_states[i]);
        poller_round(guest->poller);
        uint32_t expected = page_states[i] == SLOT_PENDING ? SLOT_COMPLETE : page_states[i];
        assert_int_equal(guest_state(guest, 0), expected);
        assert_true(slot_record_is_idle(&guest->page->records[0]));
        guest_destroy(guest);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(record_moves_are_those_of_the_table),
        cmocka_unit_test(frozen_poller_leaves_nothing_unanswered),
        cmocka_unit_test(frozen_poller_leaves_no_prompt_device_unanswered),
        cmocka_unit_test(frozen_poller_leaves_nothing_untold),
        cmocka_unit_test(page_moves_are_those_of_the_table),
        cmocka_unit_test(sweep_of_an_idle_slot_answers_pending_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
