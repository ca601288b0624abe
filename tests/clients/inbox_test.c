/* SPDX-License-Identifier: BSD-3-Clause */
#include "clients/inbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>

#define THREADED_ENTRIES 200000u

static int inbox_setup(void **state)
{
    void *memory = aligned_alloc(INBOX_ALIGN_BYTES, sizeof(struct inbox));
    if (!memory)
        return -1;
    memset(memory, 0xff, sizeof(struct inbox)); /* memory need not be zero */
    *state = inbox_init(memory);
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

static struct inbox_cell *push(struct inbox *inbox, uint32_t number)
{
    struct inbox_entry entry = entry_make(number);
    return inbox_try_push(inbox, &entry);
}

static void give_back(struct inbox_cell *cell, uint64_t value)
{
    cell->entry.request.value = value;
    inbox_answer(cell);
}

/* Pops what must be the entry of that number, and answers it. */
static struct inbox_cell *answer(struct inbox *inbox, uint32_t number)
{
    struct inbox_entry expected = entry_make(number);
    struct inbox_cell *cell = inbox_try_pop(inbox);
    assert_non_null(cell);
    assert_true(entry_equals(&cell->entry, &expected));
    give_back(cell, number);
    return cell;
}

static void push_fails_when_full(void **state)
{
    struct inbox *inbox = *state;
    struct inbox_cell *cells[INBOX_CAPACITY];
    for (uint32_t i = 0; i < INBOX_CAPACITY; i++) {
        assert_true(inbox_has_space(inbox));
        assert_non_null(cells[i] = push(inbox, i));
    }
    assert_false(inbox_has_space(inbox));
    assert_null(push(inbox, 99));
    assert_int_equal(inbox_count(inbox), INBOX_CAPACITY);
    /* An answer that was not taken keeps its cell. */
    assert_ptr_equal(answer(inbox, 0), cells[0]);
    assert_null(push(inbox, 99));
    assert_int_equal(inbox_count(inbox), INBOX_CAPACITY - 1);
    inbox_take(inbox, cells[0]);
    assert_non_null(push(inbox, INBOX_CAPACITY));
    assert_null(push(inbox, 99));
    for (uint32_t i = 1; i <= INBOX_CAPACITY; i++)
        answer(inbox, i);
    assert_int_equal(inbox_count(inbox), 0);
}

static void pop_fails_when_empty(void **state)
{
    assert_true(inbox_is_empty(*state));
    assert_null(inbox_try_pop(*state));
    push(*state, 2);
    assert_false(inbox_is_empty(*state));
    answer(*state, 2);
    assert_true(inbox_is_empty(*state));
    assert_null(inbox_try_pop(*state)); /* nor what was answered */
}

static void answer_comes_back_in_the_cell_of_its_request(void **state)
{
    struct inbox *inbox = *state;
    struct inbox_cell *first = push(inbox, 1), *second = push(inbox, 2);
    assert_false(inbox_is_answered(first));
    answer(inbox, 1);
    assert_true(inbox_is_answered(first));
    assert_false(inbox_is_answered(second));
    assert_int_equal(first->entry.request.value, 1);
    assert_int_equal(first->entry.ticket, entry_make(1).ticket);
}

static void abandoned_entry_is_not_popped(void **state)
{
    struct inbox *inbox = *state;
    for (uint32_t round = 0; round < 3 * INBOX_CAPACITY; round++) {
        struct inbox_cell *abandoned = push(inbox, 1);
        push(inbox, 2);
        inbox_abandon(inbox, abandoned);
        assert_int_equal(inbox_count(inbox), 2);
        inbox_take(inbox, answer(inbox, 2));
        assert_int_equal(inbox_count(inbox), 0);
    }
}

/* Its consumer is at it: the cell comes back with an answer that nobody awaits. */
static void entry_abandoned_too_late_is_free_once_answered(void **state)
{
    struct inbox *inbox = *state;
    for (uint32_t i = 0; i < INBOX_CAPACITY; i++)
        push(inbox, i);
    struct inbox_cell *cell = inbox_try_pop(inbox);
    inbox_abandon(inbox, cell);
    assert_false(inbox_has_space(inbox));
    give_back(cell, 7);
    assert_true(inbox_has_space(inbox));
    /* Answered first, and then abandoned. */
    push(inbox, INBOX_CAPACITY);
    cell = answer(inbox, 1);
    assert_false(inbox_has_space(inbox));
    inbox_abandon(inbox, cell);
    assert_true(inbox_has_space(inbox));
}

static void order_survives_the_wrap_of_cells_and_counts(void **state)
{
    struct inbox *inbox = *state;
    /* Start just below 2^32, so that the counts wrap within the test. */
    inbox->pushed = inbox->popped = UINT32_MAX - 10;
    uint32_t pushed = 0, popped = 0;
    for (uint32_t round = 0; round < 100; round++) {
        for (uint32_t i = 0; i < round % 70; i++)
            pushed += push(inbox, pushed) != NULL;
        while (popped < pushed)
            inbox_take(inbox, answer(inbox, popped++));
    }
}

static void producer_and_consumer_share_no_cache_line(void **state)
{
    (void)state;
    assert_true(offsetof(struct inbox, popped) - offsetof(struct inbox, pushed) >= 64);
    assert_true(offsetof(struct inbox, popped) % INBOX_ALIGN_BYTES == 0);
    assert_true(offsetof(struct inbox, cells) % INBOX_ALIGN_BYTES == 0);
    assert_int_equal(sizeof(struct inbox) % INBOX_ALIGN_BYTES, 0);
}

static uint64_t answer_to(const struct request *request)
{
    return request->address ^ 0x5555;
}

/* Abandons every seventh of them at some time; the others come back answered. */
static void *push_numbers(void *context)
{
    struct inbox *inbox = context;
    struct inbox_cell *cells[16] = {0};
    uint32_t wrong = 0;
    for (uint32_t i = 0; i < THREADED_ENTRIES + 16; i++) {
        struct inbox_cell **cell = &cells[i % 16];
        while (*cell && !inbox_is_answered(*cell))
            sched_yield();
        if (*cell) {
            wrong += (*cell)->entry.request.value != answer_to(&(*cell)->entry.request);
            inbox_take(inbox, *cell);
            *cell = NULL;
        }
        if (i >= THREADED_ENTRIES)
            continue;
        struct inbox_cell *pushed;
        while (!(pushed = push(inbox, i)))
            sched_yield();
        if (i % 7 == 0)
            inbox_abandon(inbox, pushed);
        else
            *cell = pushed;
    }
    return (void *)(uintptr_t)wrong;
}

static void entries_cross_threads_whole_and_in_order(void **state)
{
    pthread_t producer;
    struct inbox *inbox = *state;
    assert_int_equal(pthread_create(&producer, NULL, push_numbers, inbox), 0);
    uint32_t wrong = 0;
    for (uint32_t next = 1; next < THREADED_ENTRIES; next++) {
        struct inbox_cell *cell;
        uint32_t number;
        if (next % 7 == 0)
            next++; /* it may come, too, if it was abandoned too late */
        for (;;) {
            while (!(cell = inbox_try_pop(inbox)))
                sched_yield();
            number = cell->entry.request.range_index;
            if (number % 7 != 0)
                break;
            give_back(cell, 0);
        }
        struct inbox_entry expected = entry_make(next);
        wrong += !entry_equals(&cell->entry, &expected);
        give_back(cell, answer_to(&cell->entry.request));
    }
    void *wrong_there;
    assert_int_equal(pthread_join(producer, &wrong_there), 0);
    assert_int_equal(wrong, 0);
    assert_null(wrong_there);
    assert_null(inbox_try_pop(inbox));
    assert_int_equal(inbox_count(inbox), 0);
}

#define inbox_unit_test(test) cmocka_unit_test_setup_teardown(test, inbox_setup, inbox_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        inbox_unit_test(push_fails_when_full),
        inbox_unit_test(pop_fails_when_empty),
        inbox_unit_test(answer_comes_back_in_the_cell_of_its_request),
        inbox_unit_test(abandoned_entry_is_not_popped),
        inbox_unit_test(entry_abandoned_too_late_is_free_once_answered),
        inbox_unit_test(order_survives_the_wrap_of_cells_and_counts),
        cmocka_unit_test(producer_and_consumer_share_no_cache_line),
        inbox_unit_test(entries_cross_threads_whole_and_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
