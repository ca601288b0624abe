/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/support/device_harness.h"

#include <errno.h>

#define FUNCTION_BYTES 4096u

static int host_setup(void **state)
{
    static struct device_harness harness;
    harness = device_harness_init(REQUEST_PCICFG, 0, FUNCTION_BYTES);
    device_harness_start(&harness, "pci_host", "");
    *state = &harness;
    return 0;
}

static int host_teardown(void **state)
{
    device_harness_stop(*state);
    return 0;
}

static void refusal(uint32_t type, uint64_t first, uint64_t size_bytes)
{
    struct device_harness harness = device_harness_init(type, first, size_bytes);
    device_harness_refusal(&harness, "pci_host", "", EINVAL,
                           "ranges: a host bridge needs exactly one");
    device_harness_refusal(&harness, "pci_host", "", EINVAL, "{type: pcicfg, bdf: \"00:00.0\"}");
}

static void other_address_spaces_are_refused(void **state)
{
    (void)state;
    refusal(REQUEST_PORTIO, 0xcf8, 8);
    refusal(REQUEST_PORTIO, 0, FUNCTION_BYTES);
    refusal(REQUEST_MMIO, 0xe0000000, FUNCTION_BYTES);
    refusal(REQUEST_WP, 0, FUNCTION_BYTES);
}

static void ranges_other_than_one_function_are_refused(void **state)
{
    (void)state;
    refusal(REQUEST_PCICFG, 0, FUNCTION_BYTES + 1);
    refusal(REQUEST_PCICFG, 0, UINT64_C(1) << 28);
    refusal(REQUEST_PCICFG, 4, 0x100);
    refusal(REQUEST_PCICFG, FUNCTION_BYTES - 4, FUNCTION_BYTES);
}

static void ranges_other_than_exactly_one_are_refused(void **state)
{
    (void)state;
    static const struct device_range ranges[] = {
        {.first = 0, .last = FUNCTION_BYTES - 1, .type = REQUEST_PCICFG},
        {.first = FUNCTION_BYTES, .last = 2 * FUNCTION_BYTES - 1, .type = REQUEST_PCICFG},
    };
    struct device_harness harness = device_harness_init(REQUEST_PCICFG, 0, FUNCTION_BYTES);
    harness.setup.range_count = 0;
    device_harness_refusal(&harness, "pci_host", "", EINVAL, "exactly one");
    harness.setup.ranges = ranges;
    harness.setup.range_count = 2;
    device_harness_refusal(&harness, "pci_host", "", EINVAL, "exactly one");
}

static uint64_t unclaimed(struct device_harness *harness, uint32_t type, uint32_t direction,
                          uint64_t address, uint32_t size_bytes)
{
    struct request request = {.address = address,
                              .offset = address,
                              .range_index = REQUEST_NO_RANGE,
                              .type = (uint8_t)type,
                              .direction = (uint8_t)direction,
                              .size_bytes = (uint8_t)size_bytes};
    assert_int_equal(harness->device->ops->handle(harness->device, &request), 0);
    return request.value;
}

static void what_no_range_matched_reads_ones_and_drops_writes(void **state)
{
    struct device_harness *harness = *state;
    for (uint32_t size = 1; size <= 4; size *= 2) {
        uint64_t ones = request_ones(size);
        assert_int_equal(unclaimed(harness, REQUEST_PCICFG, REQUEST_READ, 1 << 12, size), ones);
        assert_int_equal(unclaimed(harness, REQUEST_PCICFG, REQUEST_READ, 1 << 15, size), ones);
        assert_int_equal(unclaimed(harness, REQUEST_PCICFG, REQUEST_READ, 1 << 20, size), ones);
        assert_int_equal(unclaimed(harness, REQUEST_PCICFG, REQUEST_READ, 0xffff000, size), ones);
        /* an access that leaves the range is not the bridge's, even where it begins in it */
        assert_int_equal(unclaimed(harness, REQUEST_PCICFG, REQUEST_READ, 0x3c, size), ones);
        assert_int_equal(unclaimed(harness, REQUEST_PORTIO, REQUEST_READ, 0xcfc, size), ones);
        assert_int_equal(unclaimed(harness, REQUEST_MMIO, REQUEST_READ, 0xe0000000, size), ones);
    }
    assert_true(unclaimed(harness, REQUEST_MMIO, REQUEST_READ, UINT64_MAX - 7, 8) == UINT64_MAX);
    unclaimed(harness, REQUEST_PCICFG, REQUEST_WRITE, 0x04, 2);
    unclaimed(harness, REQUEST_PORTIO, REQUEST_WRITE, 0x04, 2);
    assert_int_equal(device_harness_read(harness, 0x04, 2), 0x0006);
}

static void header_is_that_of_a_host_bridge(void **state)
{
    assert_int_equal(device_harness_read(*state, 0x00, 4), 0x12751275);
    assert_int_equal(device_harness_read(*state, 0x02, 2), 0x1275);
    assert_int_equal(device_harness_read(*state, 0x08, 4), 0x06000000); /* class, revision */
    assert_int_equal(device_harness_read(*state, 0x0e, 1), 0);          /* header type */
    assert_int_equal(device_harness_read(*state, 0x10, 4), 0);          /* no BAR */
    assert_int_equal(device_harness_read(*state, 0x2c, 4), 0x12751275);
    assert_int_equal(device_harness_read(*state, 0x34, 1), 0); /* no capability */
    assert_int_equal(device_harness_read(*state, 0x3d, 1), 0); /* no pin */
}

static void every_size_reads_the_same_bytes(void **state)
{
    for (uint64_t at = 0; at + 4 <= FUNCTION_BYTES; at++) {
        uint64_t bytes = 0;
        for (uint32_t i = 0; i < 4; i++)
            bytes |= device_harness_read(*state, at + i, 1) << (8 * i);
        assert_int_equal(device_harness_read(*state, at, 4), bytes);
        assert_int_equal(device_harness_read(*state, at, 2), bytes & 0xffff);
    }
}

static void registers_beyond_the_header_read_0_and_drop_writes(void **state)
{
    for (uint64_t at = 0x100; at < FUNCTION_BYTES; at += 4) {
        device_harness_write(*state, at, 4, 0xffffffff);
        assert_int_equal(device_harness_read(*state, at, 4), 0);
    }
    device_harness_write(*state, 0xfe, 4, 0xffffffff); /* across its end */
    assert_int_equal(device_harness_read(*state, 0xfe, 4), 0);
    assert_int_equal(device_harness_read(*state, 0xfff, 1), 0);
}

static void writes_change_only_writable_bits(void **state)
{
    device_harness_write(*state, 0x00, 4, 0);
    assert_int_equal(device_harness_read(*state, 0x00, 4), 0x12751275);
    assert_int_equal(device_harness_read(*state, 0x04, 4), 0x0006);
    device_harness_write(*state, 0x04, 4, 0xffffffff);
    assert_int_equal(device_harness_read(*state, 0x04, 4), 0x0146);
    device_harness_write(*state, 0x04, 2, 0);
    assert_int_equal(device_harness_read(*state, 0x04, 4), 0);
    device_harness_write(*state, 0x05, 1, 0xff); /* only the byte that is written */
    assert_int_equal(device_harness_read(*state, 0x04, 2), 0x0100);
    device_harness_write(*state, 0x10, 4, 0xffffffff); /* sizing a BAR that is not there */
    assert_int_equal(device_harness_read(*state, 0x10, 4), 0);
    device_harness_write(*state, 0x3c, 2, 0xff0b);
    assert_int_equal(device_harness_read(*state, 0x3c, 2), 0x000b);
}

static void reset_restores_the_header(void **state)
{
    struct device_harness *harness = *state;
    device_harness_write(harness, 0x04, 2, 0);
    device_harness_write(harness, 0x3c, 1, 0x0b);
    harness->device->ops->reset(harness->device);
    assert_int_equal(device_harness_read(harness, 0x04, 2), 0x0006);
    assert_int_equal(device_harness_read(harness, 0x3c, 1), 0);
}

static void any_function_can_be_the_bridge(void **state)
{
    (void)state;
    static const uint64_t firsts[] = {1 << 12, 0x1f << 15, 0xffff000};
    for (size_t i = 0; i < sizeof(firsts) / sizeof(firsts[0]); i++) {
        struct device_harness harness =
            device_harness_init(REQUEST_PCICFG, firsts[i], i == 0 ? 0x100 : FUNCTION_BYTES);
        device_harness_start(&harness, "pci_host", "");
        assert_int_equal(device_harness_read(&harness, 0x08, 4), 0x06000000);
        device_harness_stop(&harness);
    }
}

static void ids_can_be_configured(void **state)
{
    (void)state;
    struct device_harness harness = device_harness_init(REQUEST_PCICFG, 0, FUNCTION_BYTES);
    device_harness_start(&harness, "pci_host", "vendor: 0x8086\ndevice: 0x1237");
    assert_int_equal(device_harness_read(&harness, 0x00, 4), 0x12378086);
    device_harness_stop(&harness);
}

#define HOST_TEST(name) cmocka_unit_test_setup_teardown(name, host_setup, host_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(other_address_spaces_are_refused),
        cmocka_unit_test(ranges_other_than_one_function_are_refused),
        cmocka_unit_test(ranges_other_than_exactly_one_are_refused),
        HOST_TEST(what_no_range_matched_reads_ones_and_drops_writes),
        HOST_TEST(registers_beyond_the_header_read_0_and_drop_writes),
        HOST_TEST(header_is_that_of_a_host_bridge),
        HOST_TEST(every_size_reads_the_same_bytes),
        HOST_TEST(writes_change_only_writable_bits),
        HOST_TEST(reset_restores_the_header),
        cmocka_unit_test(any_function_can_be_the_bridge),
        cmocka_unit_test(ids_can_be_configured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
