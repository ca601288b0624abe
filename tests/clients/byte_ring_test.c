/* SPDX-License-Identifier: BSD-3-Clause */
#include "clients/byte_ring.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>

#define CAPACITY          16u
#define THREADED_BYTES    200000u
#define POP_BYTES_AT_MOST 7u

static int ring_setup(void **state)
{
    *state = byte_ring_create(CAPACITY);
    return *state ? 0 : -1;
}

static int ring_teardown(void **state)
{
    byte_ring_destroy(*state);
    return 0;
}

static void new_ring_is_empty_and_has_all_its_space(void **state)
{
    uint8_t byte;
    assert_true(byte_ring_is_empty(*state));
    assert_false(byte_ring_try_pop(*state, &byte));
    assert_int_equal(byte_ring_space(*state), CAPACITY);
    assert_int_equal(byte_ring_dropped(*state), 0);
}

static void push_fails_when_full_and_is_counted(void **state)
{
    for (uint32_t i = 0; i < CAPACITY; i++)
        assert_true(byte_ring_try_push(*state, (uint8_t)i));
    assert_int_equal(byte_ring_space(*state), 0);
    assert_false(byte_ring_try_push(*state, 0xff));
    assert_false(byte_ring_try_push(*state, 0xff));
    assert_int_equal(byte_ring_dropped(*state), 2);
    uint8_t byte;
    for (uint32_t i = 0; i < CAPACITY; i++) {
        assert_true(byte_ring_try_pop(*state, &byte));
        assert_int_equal(byte, i);
    }
    assert_true(byte_ring_is_empty(*state));
}

static void one_pop_makes_room_for_one_push(void **state)
{
    for (uint32_t i = 0; i < CAPACITY; i++)
        assert_true(byte_ring_try_push(*state, (uint8_t)i));
    uint8_t byte;
    assert_true(byte_ring_try_pop(*state, &byte));
    assert_int_equal(byte_ring_space(*state), 1);
    assert_true(byte_ring_try_push(*state, 0x5a));
    assert_false(byte_ring_try_push(*state, 0x5a));
}

static void bulk_pop_keeps_order_across_the_wrap(void **state)
{
    uint8_t next_push = 0;
    uint8_t next_pop = 0;
    for (uint32_t round = 0; round < 1000; round++) {
        while (byte_ring_try_push(*state, next_push))
            next_push++;
        uint8_t bytes[CAPACITY + 8];
        size_t wanted = round % (CAPACITY + 8);
        size_t count = byte_ring_pop(*state, bytes, wanted);
        assert_int_equal(count, wanted < CAPACITY ? wanted : CAPACITY);
        for (size_t i = 0; i < count; i++)
            assert_int_equal(bytes[i], next_pop++);
    }
}

static void pop_of_nothing_takes_nothing(void **state)
{
    uint8_t byte = 0xaa;
    assert_true(byte_ring_try_push(*state, 1));
    assert_int_equal(byte_ring_pop(*state, &byte, 0), 0);
    assert_int_equal(byte, 0xaa);
    assert_false(byte_ring_is_empty(*state));
}

static void *push_numbers(void *ring)
{
    for (uint32_t i = 0; i < THREADED_BYTES; i++) {
        while (byte_ring_space(ring) == 0)
            sched_yield();
        (void)byte_ring_try_push(ring, (uint8_t)(i * 7));
    }
    return NULL;
}

static void bytes_cross_threads_in_order_without_loss(void **state)
{
    pthread_t producer;
    assert_int_equal(pthread_create(&producer, NULL, push_numbers, *state), 0);
    uint32_t received = 0;
    uint32_t wrong = 0;
    while (received < THREADED_BYTES) {
        uint8_t bytes[POP_BYTES_AT_MOST];
        size_t count = byte_ring_pop(*state, bytes, 1 + received % POP_BYTES_AT_MOST);
        for (size_t i = 0; i < count; i++)
            wrong += bytes[i] != (uint8_t)(received++ * 7);
        if (count == 0)
            sched_yield();
    }
    assert_int_equal(pthread_join(producer, NULL), 0);
    assert_int_equal(wrong, 0);
    assert_int_equal(byte_ring_dropped(*state), 0);
    assert_true(byte_ring_is_empty(*state));
}

static void largest_capacity_can_be_made(void **state)
{
    (void)state;
    struct byte_ring *ring = byte_ring_create((size_t)1 << 24);
    assert_non_null(ring);
    assert_int_equal(byte_ring_space(ring), (size_t)1 << 24);
    byte_ring_destroy(ring);
    byte_ring_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(push_fails_when_full_and_is_counted, ring_setup,
                                        ring_teardown),
        cmocka_unit_test_setup_teardown(new_ring_is_empty_and_has_all_its_space, ring_setup,
                                        ring_teardown),
        cmocka_unit_test_setup_teardown(one_pop_makes_room_for_one_push, ring_setup, ring_teardown),
        cmocka_unit_test_setup_teardown(bulk_pop_keeps_order_across_the_wrap, ring_setup,
                                        ring_teardown),
        cmocka_unit_test_setup_teardown(pop_of_nothing_takes_nothing, ring_setup, ring_teardown),
        cmocka_unit_test_setup_teardown(bytes_cross_threads_in_order_without_loss, ring_setup,
                                        ring_teardown),
        cmocka_unit_test(largest_capacity_can_be_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
