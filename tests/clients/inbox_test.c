/* SPDX-License-Identifier: BSD-3-Clause */
#include "clients/inbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>

#define CAPACITY         64u
#define THREADED_ENTRIES 200000u

static int inbox_setup(void **state)
{
    size_t size_bytes = inbox_size_bytes(CAPACITY);
    void *memory = aligned_alloc(INBOX_ALIGN_BYTES, size_bytes);
    if (!memory)
        return -1;
    /* Memory need not be zero: all ones reads as the turn that comes next. */
    for (size_t i = 0; i < size_bytes / sizeof(uint32_t); i++)
        ((uint32_t *)memory)[i] = 1;
    *state = inbox_init(memory, CAPACITY);
    return 0;
}

static int inbox_teardown(void **state)
{
    free(*state);
    return 0;
}

/* Every field differs for every number: a mixed-up or torn entry is seen. */
static struct inbox_entry entry_make(uint32_t number)
{
    return (struct inbox_entry){
        .request = {.address = number * 3ull,
                    .offset = number * 5ull,
                    .value = ~(uint64_t)number,
                    .arrival_ticks = number * 11ull,
                    .range_index = number,
                    .vcpu = (uint16_t)(number & 15),
                    .type = REQUEST_MMIO,
                    .direction = REQUEST_WRITE,
                    .size_bytes = 8},
        .ticket = (uint64_t)number << 32,
    };
}

static bool entry_equals(const struct inbox_entry *a, const struct inbox_entry *b)
{
    return a->request.address == b->request.address && a->request.offset == b->request.offset &&
           a->request.value == b->request.value &&
           a->request.arrival_ticks == b->request.arrival_ticks &&
           a->request.range_index == b->request.range_index && a->request.vcpu == b->request.vcpu &&
           a->request.type == b->request.type && a->request.direction == b->request.direction &&
           a->request.size_bytes == b->request.size_bytes && a->ticket == b->ticket;
}

static void push_fails_when_full(void **state)
{
    for (uint32_t i = 0; i < CAPACITY; i++) {
        struct inbox_entry entry = entry_make(i);
        assert_true(inbox_has_space(*state));
        assert_true(inbox_try_push(*state, &entry));
    }
    struct inbox_entry extra = entry_make(99);
    assert_false(inbox_has_space(*state));
    assert_false(inbox_try_push(*state, &extra));
    for (uint32_t i = 0; i < CAPACITY; i++) {
        struct inbox_entry expected = entry_make(i);
        struct inbox_entry entry;
        assert_true(inbox_try_pop(*state, &entry));
        assert_true(entry_equals(&entry, &expected));
    }
    assert_true(inbox_is_empty(*state));
    assert_true(inbox_has_space(*state));
}

static void pop_fails_when_empty(void **state)
{
    struct inbox_entry entry = entry_make(1);
    struct inbox_entry before = entry;
    assert_true(inbox_is_empty(*state));
    assert_false(inbox_try_pop(*state, &entry));
    assert_true(entry_equals(&entry, &before));
}

static void order_survives_the_wrap_of_cells_and_counts(void **state)
{
    struct inbox *inbox = *state;
    /* Start just below 2^32, so that the counts wrap within the test. */
    atomic_store(&inbox->pushed, UINT32_MAX - 10);
    atomic_store(&inbox->popped, UINT32_MAX - 10);
    inbox->popped_seen = UINT32_MAX - 10;
    uint32_t pushed = 0;
    uint32_t popped = 0;
    for (uint32_t round = 0; round < 100; round++) {
        for (uint32_t i = 0; i < round % 70; i++) {
            struct inbox_entry entry = entry_make(pushed);
            pushed += inbox_try_push(inbox, &entry);
        }
        struct inbox_entry entry;
        while (inbox_try_pop(inbox, &entry)) {
            struct inbox_entry expected = entry_make(popped++);
            assert_true(entry_equals(&entry, &expected));
        }
        assert_int_equal(popped, pushed);
    }
}

static void smallest_inbox_works(void **state)
{
    (void)state;
    void *memory = aligned_alloc(INBOX_ALIGN_BYTES, inbox_size_bytes(2));
    assert_non_null(memory);
    struct inbox *inbox = inbox_init(memory, 2);
    struct inbox_entry entry = entry_make(1);
    assert_true(inbox_try_push(inbox, &entry));
    assert_true(inbox_try_push(inbox, &entry));
    assert_false(inbox_try_push(inbox, &entry));
    free(memory);
}

static void producer_and_consumer_share_no_cache_line(void **state)
{
    (void)state;
    assert_true(offsetof(struct inbox, popped) - offsetof(struct inbox, pushed) >= 128);
    assert_true(offsetof(struct inbox, cells) - offsetof(struct inbox, popped) >= 128);
    assert_int_equal(inbox_size_bytes(64) % INBOX_ALIGN_BYTES, 0);
}

static void *push_numbers(void *inbox)
{
    for (uint32_t i = 0; i < THREADED_ENTRIES; i++) {
        struct inbox_entry entry = entry_make(i);
        while (!inbox_try_push(inbox, &entry))
            sched_yield();
    }
    return NULL;
}

static void entries_cross_threads_whole_and_in_order(void **state)
{
    pthread_t producer;
    assert_int_equal(pthread_create(&producer, NULL, push_numbers, *state), 0);
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < THREADED_ENTRIES; i++) {
        struct inbox_entry expected = entry_make(i);
        struct inbox_entry entry;
        while (!inbox_try_pop(*state, &entry))
            sched_yield();
        wrong += !entry_equals(&entry, &expected);
    }
    assert_int_equal(pthread_join(producer, NULL), 0);
    assert_int_equal(wrong, 0);
    assert_true(inbox_is_empty(*state));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(push_fails_when_full, inbox_setup, inbox_teardown),
        cmocka_unit_test_setup_teardown(pop_fails_when_empty, inbox_setup, inbox_teardown),
        cmocka_unit_test_setup_teardown(order_survives_the_wrap_of_cells_and_counts, inbox_setup,
                                        inbox_teardown),
        cmocka_unit_test(smallest_inbox_works),
        cmocka_unit_test(producer_and_consumer_share_no_cache_line),
        cmocka_unit_test_setup_teardown(entries_cross_threads_whole_and_in_order, inbox_setup,
                                        inbox_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
