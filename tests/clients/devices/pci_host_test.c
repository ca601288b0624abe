/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/support/device_harness.h"

#include <errno.h>

#define ADDRESS 0u
#define DATA    4u
#define ENABLE  0x80000000u

static int host_setup(void **state)
{
    static struct device_harness harness;
    harness = device_harness_init(REQUEST_PORTIO, 0xcf8, 8);
    device_harness_start(&harness, "pci_host", "");
    *state = &harness;
    return 0;
}

static int host_teardown(void **state)
{
    device_harness_stop(*state);
    return 0;
}

static uint64_t config_read(struct device_harness *harness, uint32_t address, uint32_t port_offset,
                            uint32_t size_bytes)
{
    device_harness_write(harness, ADDRESS, 4, address);
    return device_harness_read(harness, DATA + port_offset, size_bytes);
}

static void wrong_ranges_are_refused(void **state)
{
    (void)state;
    struct device_harness harness = device_harness_init(REQUEST_PORTIO, 0xcf8, 4);
    device_harness_refusal(&harness, "pci_host", "", EINVAL, "ranges: ");
    harness = device_harness_init(REQUEST_MMIO, 0xcf8, 8);
    device_harness_refusal(&harness, "pci_host", "", EINVAL, "ranges: ");
    harness = device_harness_init(REQUEST_PORTIO, 0xcf8, 8);
    harness.setup.range_count = 0;
    device_harness_refusal(&harness, "pci_host", "", EINVAL, "ranges: ");
}

static void address_register_reads_back_as_written(void **state)
{
    device_harness_write(*state, ADDRESS, 4, 0xffffffff);
    assert_int_equal(device_harness_read(*state, ADDRESS, 4), 0xffffffff);
    device_harness_write(*state, ADDRESS, 4, ENABLE);
    assert_int_equal(device_harness_read(*state, ADDRESS, 4), ENABLE);
}

static void only_four_bytes_at_cf8_are_the_address_register(void **state)
{
    device_harness_write(*state, ADDRESS, 4, 0x80001234);
    for (uint32_t size = 1; size <= 4; size *= 2) {
        for (uint32_t offset = 0; offset < 4; offset++) {
            if (offset == 0 && size == 4)
                continue;
            /* offset 3 size 2 and others cross into the data port: still neither */
            device_harness_write(*state, offset, size, 0);
            assert_int_equal(device_harness_read(*state, offset, size), request_ones(size));
        }
    }
    assert_int_equal(device_harness_read(*state, ADDRESS, 4), 0x80001234);
}

static void disabled_address_reads_ones_and_drops_writes(void **state)
{
    assert_int_equal(config_read(*state, 0, 0, 4), 0xffffffff);
    device_harness_write(*state, DATA + 0, 4, 0);
    device_harness_write(*state, ADDRESS, 4, 0x3c); /* interrupt line, not enabled */
    device_harness_write(*state, DATA, 1, 0x55);
    assert_int_equal(config_read(*state, ENABLE | 0x3c, 0, 1), 0);
}

static void host_bridge_is_at_0_0_0(void **state)
{
    assert_int_equal(config_read(*state, ENABLE, 0, 4), 0x12751275);
    assert_int_equal(config_read(*state, ENABLE, 2, 2), 0x1275);
    assert_int_equal(config_read(*state, ENABLE | 0x08, 0, 4), 0x06000000); /* class, revision */
    assert_int_equal(config_read(*state, ENABLE | 0x0c, 2, 1), 0);          /* header type */
    assert_int_equal(config_read(*state, ENABLE | 0x2c, 0, 4), 0x12751275);
    assert_int_equal(config_read(*state, ENABLE | 0x10, 0, 4), 0); /* no BAR */
}

static void other_functions_are_empty(void **state)
{
    assert_int_equal(config_read(*state, ENABLE | 1 << 8, 0, 4), 0xffffffff);
    assert_int_equal(config_read(*state, ENABLE | 1 << 11, 0, 2), 0xffff);
    assert_int_equal(config_read(*state, ENABLE | 1 << 16, 3, 1), 0xff);
    assert_int_equal(config_read(*state, ENABLE | 0xffff00, 0, 4), 0xffffffff);
    device_harness_write(*state, DATA, 4, 0);
}

static void registers_beyond_256_read_ones(void **state)
{
    /* bits 24..27 of the address are bits 8..11 of the register */
    assert_int_equal(config_read(*state, ENABLE | 1 << 24, 0, 4), 0xffffffff);
}

static void byte_in_the_data_port_selects_the_byte_of_the_register(void **state)
{
    assert_int_equal(config_read(*state, ENABLE | 0x08, 3, 1), 0x06);
    assert_int_equal(config_read(*state, ENABLE | 0x0b, 3, 1), 0x06); /* low address bits: no */
    assert_int_equal(config_read(*state, ENABLE | 0x08, 1, 2), 0x0000);
    assert_int_equal(config_read(*state, ENABLE | 0x08, 2, 2), 0x0600);
}

static void writes_change_only_writable_bits(void **state)
{
    device_harness_write(*state, ADDRESS, 4, ENABLE);
    device_harness_write(*state, DATA, 4, 0);
    assert_int_equal(device_harness_read(*state, DATA, 4), 0x12751275);
    device_harness_write(*state, ADDRESS, 4, ENABLE | 0x04);
    assert_int_equal(device_harness_read(*state, DATA, 4), 0x0006);
    device_harness_write(*state, DATA, 4, 0xffffffff);
    assert_int_equal(device_harness_read(*state, DATA, 4), 0x0146);
    device_harness_write(*state, DATA, 2, 0);
    assert_int_equal(device_harness_read(*state, DATA, 4), 0);
    device_harness_write(*state, ADDRESS, 4, ENABLE | 0x3c);
    device_harness_write(*state, DATA, 1, 0x0b);
    assert_int_equal(device_harness_read(*state, DATA, 1), 0x0b);
}

static void reset_restores_the_bridge_and_the_address(void **state)
{
    struct device_harness *harness = *state;
    device_harness_write(harness, ADDRESS, 4, ENABLE | 0x04);
    device_harness_write(harness, DATA, 2, 0);
    harness->device->ops->reset(harness->device);
    assert_int_equal(device_harness_read(harness, ADDRESS, 4), 0);
    assert_int_equal(config_read(harness, ENABLE | 0x04, 0, 2), 0x0006);
}

static void decoded_requests_reach_the_same_space(void **state)
{
    struct device_harness *harness = *state;
    struct request request = {.address = 0x08,
                              .offset = 0x08,
                              .range_index = REQUEST_NO_RANGE,
                              .type = REQUEST_PCICFG,
                              .size_bytes = 4};
    assert_int_equal(harness->device->ops->handle(harness->device, &request), 0);
    assert_int_equal(request.value, 0x06000000);
    request.address = 1 << 15 | 0x08; /* device 1 */
    request.value = 0;
    assert_int_equal(harness->device->ops->handle(harness->device, &request), 0);
    assert_int_equal(request.value, 0xffffffff);
    request.address = 0xffe; /* runs out of the configuration space */
    request.value = 0;
    assert_int_equal(harness->device->ops->handle(harness->device, &request), 0);
    assert_int_equal(request.value, 0xffffffff);
}

static void ids_can_be_configured(void **state)
{
    (void)state;
    struct device_harness harness = device_harness_init(REQUEST_PORTIO, 0xcf8, 8);
    device_harness_start(&harness, "pci_host", "vendor: 0x8086\ndevice: 0x1237");
    assert_int_equal(config_read(&harness, ENABLE, 0, 4), 0x12378086);
    device_harness_stop(&harness);
}

#define HOST_TEST(name) cmocka_unit_test_setup_teardown(name, host_setup, host_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_ranges_are_refused),
        HOST_TEST(only_four_bytes_at_cf8_are_the_address_register),
        HOST_TEST(disabled_address_reads_ones_and_drops_writes),
        HOST_TEST(registers_beyond_256_read_ones),
        HOST_TEST(address_register_reads_back_as_written),
        HOST_TEST(host_bridge_is_at_0_0_0),
        HOST_TEST(other_functions_are_empty),
        HOST_TEST(byte_in_the_data_port_selects_the_byte_of_the_register),
        HOST_TEST(writes_change_only_writable_bits),
        HOST_TEST(reset_restores_the_bridge_and_the_address),
        HOST_TEST(decoded_requests_reach_the_same_space),
        cmocka_unit_test(ids_can_be_configured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
