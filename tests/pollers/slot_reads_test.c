/* SPDX-License-Identifier: BSD-3-Clause */
/* Each field of a slot is read once, and whatever the other side does between two of our accesses,
 * the decision is that of one snapshot. Seen instruction by instruction. */
#include "tests/support/guest.h"
#include "tests/support/page_tracer.h"

#define WORD(field)        (offsetof(struct acrn_io_request, field) / 4)
#define REQUEST_WORD(name) ((64 + offsetof(struct acrn_mmio_request, name)) / 4)

struct traced_guest {
    struct guest *guest;
    struct page_tracer tracer;
};

static struct traced_guest *traced_create(void (*after)(struct page_tracer *, size_t, bool),
                                          bool is_prompt)
{
    struct traced_guest *traced = calloc(1, sizeof(*traced));
    assert_non_null(traced);
    traced->guest = guest_create((struct guest_options){.vcpus = 1, .is_prompt = is_prompt});
    page_tracer_start(&traced->tracer, traced->guest->descriptor, traced->guest->slots);
    page_close(traced->guest->page);
    page_open(traced->guest->page, (struct acrn_io_request *)(void *)traced->tracer.traced);
    memset(traced->tracer.reads, 0, sizeof(traced->tracer.reads));
    memset(traced->tracer.writes, 0, sizeof(traced->tracer.writes));
    traced->tracer.after = after;
    return traced;
}

static void traced_destroy(struct traced_guest *traced)
{
    page_tracer_stop(&traced->tracer);
    guest_destroy(traced->guest);
    free(traced);
}

static const struct guest_access write_four = {REQUEST_MMIO, REQUEST_WRITE, GUEST_MMIO + 0x10, 4,
                                               0xcafe1234};
static const struct guest_access read_four = {REQUEST_MMIO, REQUEST_READ, GUEST_MMIO + 0x10, 4, 0};

static void assert_fields_read_once(const struct page_tracer *tracer)
{
    const size_t words[] = {WORD(type),
                            WORD(completion_polling),
                            REQUEST_WORD(direction),
                            REQUEST_WORD(address),
                            REQUEST_WORD(size),
                            REQUEST_WORD(value)};
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++)
        assert_int_equal(tracer->reads[words[i]], 1);
    /* The upper halves come with the lower ones, in one access. */
    assert_int_equal(tracer->reads[REQUEST_WORD(address) + 1], 0);
    assert_int_equal(tracer->reads[REQUEST_WORD(size) + 1], 0);
    assert_int_equal(tracer->reads[REQUEST_WORD(value) + 1], 0);
}

static uint32_t count_writes(const struct page_tracer *tracer)
{
    uint32_t writes = 0;
    for (size_t i = 0; i < PAGE_BYTES / 4; i++)
        writes += tracer->writes[i];
    return writes;
}

static void each_field_is_read_once(void **state)
{
    (void)state;
    struct traced_guest *traced = traced_create(NULL, false);
    guest_ask(traced->guest, 0, read_four);
    poller_round(traced->guest->poller);
    assert_int_equal(guest_state(traced->guest, 0), SLOT_COMPLETE);
    assert_fields_read_once(&traced->tracer);
    assert_int_equal(traced->tracer.reads[WORD(kernel_handled)], 1);
    /* Written: kernel_handled, PROCESSING, value, COMPLETE; nothing else. */
    assert_int_equal(count_writes(&traced->tracer), 4);
    assert_int_equal(traced->tracer.writes[WORD(processed)], 2);
    assert_int_equal(traced->tracer.writes[WORD(kernel_handled)], 1);
    assert_int_equal(traced->tracer.writes[REQUEST_WORD(value)], 1);
    traced_destroy(traced);
}

static void prompt_answer_is_two_stores(void **state)
{
    (void)state;
    struct traced_guest *traced = traced_create(NULL, true);
    guest_ask(traced->guest, 0, read_four);
    poller_round(traced->guest->poller);
    assert_int_equal(guest_state(traced->guest, 0), SLOT_COMPLETE);
    assert_fields_read_once(&traced->tracer);
    assert_int_equal(count_writes(&traced->tracer), 2);
    assert_int_equal(traced->tracer.writes[WORD(processed)], 1);
    assert_int_equal(traced->tracer.writes[REQUEST_WORD(value)], 1);
    traced_destroy(traced);
}

/* Replaces what was just read by something as wrong as it can be. */
static void spoil_after_read(struct page_tracer *tracer, size_t offset, bool is_write)
{
    if (!is_write && offset != offsetof(struct acrn_io_request, processed))
        memset(tracer->shadow + (offset & ~(size_t)7), 0xff, 8);
}

static void row18_fields_changed_after_their_read_change_nothing(void **state)
{
    bool is_prompt = *state;
    struct traced_guest *traced = traced_create(spoil_after_read, is_prompt);
    struct guest *guest = traced->guest;
    guest_ask(guest, 0, write_four);
    /* spoil_after_read works on 8 bytes: type and completion_polling lie in the same ones. The
     * requester polls, and after the type was read it no longer seems to; either is a snapshot. */
    poller_round(guest->poller);
    assert_int_equal(guest->device.calls, 1);
    assert_int_equal(guest->device.last.type, REQUEST_MMIO);
    assert_int_equal(guest->device.last.direction, REQUEST_WRITE);
    assert_int_equal(guest->device.last.address, write_four.address);
    assert_int_equal(guest->device.last.size_bytes, 4);
    assert_int_equal(guest->device.last.value, write_four.value);
    assert_int_equal(guest_state(guest, 0), SLOT_COMPLETE);
    assert_fields_read_once(&traced->tracer);
    traced_destroy(traced);
}

static void free_after_value_was_read(struct page_tracer *tracer, size_t offset, bool is_write)
{
    struct acrn_io_request *slot = (struct acrn_io_request *)(void *)tracer->shadow;
    if (!is_write && offset / 4 == REQUEST_WORD(value))
        slot->processed = SLOT_FREE;
}

static void row16_slot_taken_back_on_the_way_is_left_to_its_owner(void **state)
{
    bool is_prompt = *state;
    struct traced_guest *traced = traced_create(free_after_value_was_read, is_prompt);
    struct guest *guest = traced->guest;
    guest_ask(guest, 0, read_four);
    struct acrn_io_request expected = guest->slots[0];
    expected.processed = SLOT_FREE;
    poller_round(guest->poller);
    assert_memory_equal(&guest->slots[0], &expected, sizeof(expected)); /* nothing was stored */
    assert_int_equal(guest->device.calls, is_prompt); /* which is asked before the second look */
    assert_int_equal(guest_counter(guest, PAGE_REVOKED), 1);
    assert_int_equal(guest_counter(guest, PAGE_REQUESTS), 0);
    assert_true(slot_record_is_idle(&guest->page->records[0]));
    traced_destroy(traced);
}

static void row16_invalid_request_taken_back_is_left_to_its_owner(void **state)
{
    (void)state;
    struct traced_guest *traced = traced_create(free_after_value_was_read, false);
    struct guest *guest = traced->guest;
    struct guest_access invalid = read_four;
    invalid.size = 3;
    guest_ask(guest, 0, invalid);
    poller_round(guest->poller);
    assert_int_equal(guest_state(guest, 0), SLOT_FREE);
    assert_int_equal(guest_value(guest, 0), 0);
    assert_int_equal(guest_counter(guest, PAGE_REVOKED), 1);
    traced_destroy(traced);
}

static void flip_polling_after_read(struct page_tracer *tracer, size_t offset, bool is_write)
{
    struct acrn_io_request *slot = (struct acrn_io_request *)(void *)tracer->shadow;
    if (!is_write && offset / 4 == WORD(completion_polling))
        slot->completion_polling = 0;
}

static void row20_completion_polling_is_sampled_once_before_complete(void **state)
{
    bool is_prompt = *state;
    struct traced_guest *traced = traced_create(flip_polling_after_read, is_prompt);
    struct guest *guest = traced->guest;
    guest_ask(guest, 0, read_four);
    poller_round(guest->poller);
    assert_int_equal(guest_state(guest, 0), SLOT_COMPLETE);
    assert_int_equal(traced->tracer.reads[WORD(completion_polling)], 1);
    assert_int_equal(counter_read(&guest->page->settled[PAGE_UNNOTIFIED]), 0);
    traced_destroy(traced);
}

#define OF_A_PROMPT_DEVICE(test)                   \
    {                                              \
#test "_prompt", test, NULL, NULL, &prompt \
    }

int main(void)
{
    static bool prompt = true; /* *state */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_field_is_read_once),
        cmocka_unit_test(prompt_answer_is_two_stores),
        cmocka_unit_test(row16_slot_taken_back_on_the_way_is_left_to_its_owner),
        OF_A_PROMPT_DEVICE(row16_slot_taken_back_on_the_way_is_left_to_its_owner),
        cmocka_unit_test(row16_invalid_request_taken_back_is_left_to_its_owner),
        cmocka_unit_test(row18_fields_changed_after_their_read_change_nothing),
        OF_A_PROMPT_DEVICE(row18_fields_changed_after_their_read_change_nothing),
        cmocka_unit_test(row20_completion_polling_is_sampled_once_before_complete),
        OF_A_PROMPT_DEVICE(row20_completion_polling_is_sampled_once_before_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
