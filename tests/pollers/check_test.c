/* SPDX-License-Identifier: BSD-3-Clause */
/* What request_check lets through and what it refuses, at the first value of each kind on either
 * side of a limit. */
#include "pollers/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* after those, as it asks */
#include <cmocka.h>
#include <string.h>

static struct request request;

static enum request_fault check(struct slot_copy copy)
{
    memset(&request, 0x5a, sizeof(request));
    return request_check(&copy, &request);
}

static enum request_fault check_access(uint32_t type, uint64_t address, uint64_t size_bytes)
{
    return check((struct slot_copy){.type = type, .address = address, .size_bytes = size_bytes});
}

static struct slot_copy pcicfg(uint32_t bus, uint32_t dev, uint32_t func, uint32_t reg,
                               uint64_t size_bytes)
{
    return (struct slot_copy){.type = REQUEST_PCICFG,
                              .value = (uint64_t)bus << 32,
                              .dev = dev,
                              .func = func,
                              .reg = reg,
                              .size_bytes = size_bytes};
}

static void types_up_to_wp_are_known(void **state)
{
    (void)state;
    for (uint32_t type = REQUEST_PORTIO; type <= REQUEST_WP; type++) {
        assert_int_equal(check_access(type, 0, 1), REQUEST_FAULT_NONE);
        assert_int_equal(request.type, type);
    }
    assert_int_equal(check_access(REQUEST_WP + 1, 0, 1), REQUEST_FAULT_TYPE);
    /* Not cut to a byte before the look: 0x100 is no PORTIO. */
    assert_int_equal(check_access(0x100, 0, 1), REQUEST_FAULT_TYPE);
}

static void directions_are_read_and_write(void **state)
{
    (void)state;
    struct slot_copy copy = {.type = REQUEST_MMIO, .size_bytes = 1};
    for (copy.direction = REQUEST_READ; copy.direction <= REQUEST_WRITE; copy.direction++) {
        assert_int_equal(check(copy), REQUEST_FAULT_NONE);
        assert_int_equal(request.direction, copy.direction);
    }
    assert_int_equal(check(copy), REQUEST_FAULT_DIRECTION);
    copy.direction = 0x100;
    assert_int_equal(check(copy), REQUEST_FAULT_DIRECTION);
}

static void sizes_are_powers_of_two_that_the_type_allows(void **state)
{
    (void)state;
    for (uint32_t type = REQUEST_PORTIO; type <= REQUEST_WP; type++) {
        bool is_wide = type == REQUEST_MMIO || type == REQUEST_WP;
        for (uint64_t size = 1; size < 300; size++) {
            bool is_valid = size == 1 || size == 2 || size == 4 || (size == 8 && is_wide);
            assert_int_equal(check_access(type, 0, size),
                             is_valid ? REQUEST_FAULT_NONE : REQUEST_FAULT_SIZE);
            if (is_valid)
                assert_int_equal(request.size_bytes, size);
        }
        assert_int_equal(check_access(type, 0, 0), REQUEST_FAULT_EMPTY);
        /* Valid ones in the lower half alone. */
        assert_int_equal(check_access(type, 0, (1ull << 32) + 4), REQUEST_FAULT_SIZE);
        assert_int_equal(check_access(type, 0, 1ull << 63), REQUEST_FAULT_SIZE);
    }
}

static void ports_end_at_0xffff(void **state)
{
    (void)state;
    for (uint64_t size = 1; size <= 4; size *= 2) {
        assert_int_equal(check_access(REQUEST_PORTIO, 0x10000 - size, size), REQUEST_FAULT_NONE);
        assert_int_equal(request.address, 0x10000 - size);
        assert_int_equal(check_access(REQUEST_PORTIO, 0x10001 - size, size), REQUEST_FAULT_ADDRESS);
    }
    assert_int_equal(check_access(REQUEST_PORTIO, UINT64_MAX, 1), REQUEST_FAULT_ADDRESS);
}

static void memory_ends_at_the_last_address(void **state)
{
    (void)state;
    const uint32_t types[] = {REQUEST_MMIO, REQUEST_WP};
    for (size_t i = 0; i < 2; i++) {
        for (uint64_t size = 1; size <= 8; size *= 2) {
            uint64_t last = UINT64_MAX - size + 1;
            assert_int_equal(check_access(types[i], last, size), REQUEST_FAULT_NONE);
            assert_int_equal(request.address, last);
            if (size > 1)
                assert_int_equal(check_access(types[i], last + 1, size), REQUEST_FAULT_ADDRESS);
        }
    }
}

static void pcicfg_ends_at_bus_255_device_31_function_7(void **state)
{
    (void)state;
    assert_int_equal(check(pcicfg(255, 31, 7, 0, 4)), REQUEST_FAULT_NONE);
    assert_int_equal(request.address, 0xffff000);
    assert_int_equal(check(pcicfg(256, 0, 0, 0, 4)), REQUEST_FAULT_ADDRESS);
    assert_int_equal(check(pcicfg(0, 32, 0, 0, 4)), REQUEST_FAULT_ADDRESS);
    assert_int_equal(check(pcicfg(0, 0, 8, 0, 4)), REQUEST_FAULT_ADDRESS);
    assert_int_equal(check(pcicfg(UINT32_MAX, 0, 0, 0, 4)), REQUEST_FAULT_ADDRESS);
    assert_int_equal(check(pcicfg(0, UINT32_MAX, 0, 0, 4)), REQUEST_FAULT_ADDRESS);
    assert_int_equal(check(pcicfg(0, 0, UINT32_MAX, 0, 4)), REQUEST_FAULT_ADDRESS);
}

static void pcicfg_access_ends_with_the_function(void **state)
{
    (void)state;
    for (uint32_t size = 1; size <= 4; size *= 2) {
        assert_int_equal(check(pcicfg(1, 2, 3, 4096 - size, size)), REQUEST_FAULT_NONE);
        assert_int_equal(request.address, 1 << 20 | 2 << 15 | 3 << 12 | (4096 - size));
        assert_int_equal(check(pcicfg(1, 2, 3, 4097 - size, size)), REQUEST_FAULT_ADDRESS);
        assert_int_equal(check(pcicfg(1, 2, 3, 4096, size)), REQUEST_FAULT_ADDRESS);
        assert_int_equal(check(pcicfg(1, 2, 3, UINT32_MAX, size)), REQUEST_FAULT_ADDRESS);
    }
    assert_int_equal(check(pcicfg(0, 0, 0, 0, 8)), REQUEST_FAULT_SIZE);
}

/* The union's address lies where nothing of PCICFG does. */
static void pcicfg_does_not_look_at_the_address(void **state)
{
    (void)state;
    struct slot_copy copy = pcicfg(0, 1, 0, 8, 4);
    copy.address = UINT64_MAX;
    assert_int_equal(check(copy), REQUEST_FAULT_NONE);
    assert_int_equal(request.address, 1 << 15 | 8);
}

static void data_of_a_write_is_cut_and_a_read_has_none(void **state)
{
    (void)state;
    struct slot_copy copy = {.type = REQUEST_MMIO, .value = 0x1122334455667788};
    const uint64_t expected[] = {[1] = 0x88, [2] = 0x7788, [4] = 0x55667788, [8] = copy.value};
    for (copy.size_bytes = 1; copy.size_bytes <= 8; copy.size_bytes *= 2) {
        copy.direction = REQUEST_WRITE;
        assert_int_equal(check(copy), REQUEST_FAULT_NONE);
        assert_int_equal(request.value, expected[copy.size_bytes]);
        copy.direction = REQUEST_READ;
        assert_int_equal(check(copy), REQUEST_FAULT_NONE);
        assert_int_equal(request.value, 0);
    }
    /* Of PCICFG the upper half is the bus, and no data. */
    copy = pcicfg(7, 0, 0, 0, 4);
    copy.direction = REQUEST_WRITE;
    copy.value |= 0xcafe1234;
    assert_int_equal(check(copy), REQUEST_FAULT_NONE);
    assert_int_equal(request.value, 0xcafe1234);
}

static void refused_reads_answer_ones_of_their_size_and_empty_ones_nothing(void **state)
{
    (void)state;
    assert_int_equal(request_fault_answer(REQUEST_FAULT_EMPTY, 0), 0);
    assert_int_equal(request_fault_answer(REQUEST_FAULT_TYPE, 1), 0xff);
    assert_int_equal(request_fault_answer(REQUEST_FAULT_SIZE, 3), 0xffffff);
    assert_int_equal(request_fault_answer(REQUEST_FAULT_SIZE, 7), 0xffffffffffffff);
    assert_int_equal(request_fault_answer(REQUEST_FAULT_ADDRESS, 8), UINT64_MAX);
    assert_int_equal(request_fault_answer(REQUEST_FAULT_SIZE, 9), UINT64_MAX);
    assert_int_equal(request_fault_answer(REQUEST_FAULT_SIZE, (1ull << 32) + 1), UINT64_MAX);
    /* The type is looked at first: its size may be anything, 0 too. */
    assert_int_equal(request_fault_answer(REQUEST_FAULT_TYPE, 0), UINT64_MAX);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(types_up_to_wp_are_known),
        cmocka_unit_test(directions_are_read_and_write),
        cmocka_unit_test(sizes_are_powers_of_two_that_the_type_allows),
        cmocka_unit_test(ports_end_at_0xffff),
        cmocka_unit_test(memory_ends_at_the_last_address),
        cmocka_unit_test(pcicfg_ends_at_bus_255_device_31_function_7),
        cmocka_unit_test(pcicfg_access_ends_with_the_function),
        cmocka_unit_test(pcicfg_does_not_look_at_the_address),
        cmocka_unit_test(data_of_a_write_is_cut_and_a_read_has_none),
        cmocka_unit_test(refused_reads_answer_ones_of_their_size_and_empty_ones_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
