/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/vm/pieces.h"

#include "clients/request.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void lengths_that_kvm_never_reports_are_refused(void **state)
{
    (void)state;
    struct pieces pieces;
    uint8_t bytes[16] = {0};
    assert_int_equal(pieces_of_port(&pieces, REQUEST_READ, 0x60, 0, 1, bytes), -EINVAL);
    assert_int_equal(pieces_of_port(&pieces, REQUEST_READ, 0x60, 3, 1, bytes), -EINVAL);
    assert_int_equal(pieces_of_port(&pieces, REQUEST_READ, 0x60, 8, 1, bytes), -EINVAL);
    assert_int_equal(pieces_of_mmio(&pieces, REQUEST_READ, 0, 0, bytes), -EINVAL);
    assert_int_equal(pieces_of_mmio(&pieces, REQUEST_READ, 0, 9, bytes), -EINVAL);
}

static void string_output_is_one_access_an_element_in_order(void **state)
{
    (void)state;
    struct pieces pieces;
    struct requester_access access;
    uint8_t bytes[6] = {0x11, 0x22, 0x33, 0x44, 0x55, 0x66};
    const uint64_t values[] = {0x2211, 0x4433, 0x6655};
    assert_int_equal(pieces_of_port(&pieces, REQUEST_WRITE, 0x1f0, 2, 3, bytes), 0);
    for (size_t i = 0; i < 3; i++) {
        assert_true(pieces_next(&pieces, &access));
        assert_int_equal(access.type, REQUEST_PORTIO);
        assert_int_equal(access.direction, REQUEST_WRITE);
        assert_int_equal(access.address, 0x1f0);
        assert_int_equal(access.size_bytes, 2);
        assert_int_equal(access.value, values[i]);
        access.value = UINT64_MAX; /* nobody writes into what the guest has written */
        pieces_answer(&pieces, &access);
    }
    assert_false(pieces_next(&pieces, &access));
    assert_int_equal(bytes[0], 0x11);
    assert_int_equal(bytes[5], 0x66);
}

static void string_input_fills_the_elements_and_nothing_else(void **state)
{
    (void)state;
    struct pieces pieces;
    struct requester_access access;
    uint8_t bytes[5] = {0, 0, 0, 0, 0xaa};
    assert_int_equal(pieces_of_port(&pieces, REQUEST_READ, 0x60, 1, 4, bytes), 0);
    for (uint64_t i = 0; i < 4; i++) {
        assert_true(pieces_next(&pieces, &access));
        assert_int_equal(access.value, 0);
        access.value = 0xffffff00 + i; /* more than was asked for */
        pieces_answer(&pieces, &access);
    }
    assert_false(pieces_next(&pieces, &access));
    const uint8_t expected[5] = {0, 1, 2, 3, 0xaa};
    assert_memory_equal(bytes, expected, sizeof(bytes));
}

static void no_element_is_no_access(void **state)
{
    (void)state;
    struct pieces pieces;
    struct requester_access access;
    uint8_t byte = 0;
    assert_int_equal(pieces_of_port(&pieces, REQUEST_READ, 0x60, 4, 0, &byte), 0);
    assert_false(pieces_next(&pieces, &access));
}

/* The sizes into which an MMIO access of so many bytes falls, as digits. */
static void check_mmio(size_t length_bytes, const char *sizes)
{
    struct pieces pieces;
    struct requester_access access;
    uint8_t bytes[9] = {1, 2, 3, 4, 5, 6, 7, 8, 0xaa};
    uint64_t address = 0xfe000ffd; /* misaligned: splits nothing */
    assert_int_equal(pieces_of_mmio(&pieces, REQUEST_WRITE, address, length_bytes, bytes), 0);
    size_t offset = 0;
    for (; *sizes; sizes++) {
        assert_true(pieces_next(&pieces, &access));
        assert_int_equal(access.type, REQUEST_MMIO);
        assert_int_equal(access.size_bytes, *sizes - '0');
        assert_int_equal(access.address, address + offset);
        uint64_t value = 0;
        memcpy(&value, bytes + offset, access.size_bytes);
        assert_int_equal(access.value, value);
        pieces_answer(&pieces, &access);
        offset += access.size_bytes;
    }
    assert_false(pieces_next(&pieces, &access));
    assert_int_equal(offset, length_bytes);
}

static void mmio_of_odd_length_falls_into_powers_of_two(void **state)
{
    (void)state;
    check_mmio(1, "1");
    check_mmio(2, "2");
    check_mmio(3, "21");
    check_mmio(4, "4");
    check_mmio(5, "41");
    check_mmio(6, "42");
    check_mmio(7, "421");
    check_mmio(8, "8");
}

static void mmio_read_of_odd_length_is_put_together(void **state)
{
    (void)state;
    struct pieces pieces;
    struct requester_access access;
    uint8_t bytes[8] = {0, 0, 0, 0, 0, 0, 0, 0xaa};
    const uint64_t answers[] = {0x9944332211, 0x6655, 0x77};
    assert_int_equal(pieces_of_mmio(&pieces, REQUEST_READ, 0x1000, 7, bytes), 0);
    for (size_t i = 0; i < 3; i++) {
        assert_true(pieces_next(&pieces, &access));
        access.value = answers[i];
        pieces_answer(&pieces, &access);
    }
    assert_false(pieces_next(&pieces, &access));
    const uint8_t expected[8] = {0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0xaa};
    assert_memory_equal(bytes, expected, sizeof(bytes));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lengths_that_kvm_never_reports_are_refused),
        cmocka_unit_test(string_output_is_one_access_an_element_in_order),
        cmocka_unit_test(string_input_fills_the_elements_and_nothing_else),
        cmocka_unit_test(no_element_is_no_access),
        cmocka_unit_test(mmio_of_odd_length_falls_into_powers_of_two),
        cmocka_unit_test(mmio_read_of_odd_length_is_put_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
