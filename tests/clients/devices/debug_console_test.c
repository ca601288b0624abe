/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/support/device_harness.h"

#include <errno.h>

static void console_start(struct device_harness *harness, const char *options_text)
{
    *harness = device_harness_init(REQUEST_PORTIO, 0x402, 1);
    device_harness_start(harness, "debug_console", options_text);
}

static void bad_streams_are_refused_by_option(void **state)
{
    (void)state;
    static const char *const texts[] = {"output: tty",     "output: file:", "output: pty:",
                                        "output: FILE:/x", "output: ",      "output: stdio "};
    struct device_harness harness = device_harness_init(REQUEST_PORTIO, 0x402, 1);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        device_harness_refusal(&harness, "debug_console", texts[i], EINVAL, "output: ");
}

static void console_without_a_range_is_refused(void **state)
{
    (void)state;
    struct device_harness harness = device_harness_init(REQUEST_PORTIO, 0x402, 1);
    harness.setup.range_count = 0;
    device_harness_refusal(&harness, "debug_console", "", EINVAL, "ranges: ");
}

static void read_says_e9(void **state)
{
    (void)state;
    struct device_harness harness;
    console_start(&harness, "");
    assert_int_equal(device_harness_read(&harness, 0, 1), 0xe9);
    assert_int_equal(device_harness_read(&harness, 0, 4), 0xe9e9e9e9);
    device_harness_stop(&harness);
}

static void bytes_written_are_output_low_byte_first(void **state)
{
    (void)state;
    struct device_harness harness;
    console_start(&harness, "");
    assert_string_equal(harness.device->stream, "stdio");
    assert_null(harness.device->input);
    device_harness_write(&harness, 0, 1, 'S');
    device_harness_write(&harness, 0, 4, 0x42616553); /* "SeaB" */
    uint8_t bytes[16];
    assert_int_equal(byte_ring_pop(harness.device->output, bytes, sizeof(bytes)), 5);
    assert_memory_equal(bytes, "SSeaB", 5);
    device_harness_stop(&harness);
}

static void full_ring_drops_and_counts(void **state)
{
    (void)state;
    struct device_harness harness;
    console_start(&harness, "output: file:/tmp/x");
    size_t space = byte_ring_space(harness.device->output);
    for (size_t i = 0; i < space + 3; i++)
        device_harness_write(&harness, 0, 1, 'x');
    assert_int_equal(byte_ring_dropped(harness.device->output), 3);
    device_harness_stop(&harness);
}

static void console_to_nowhere_still_answers(void **state)
{
    (void)state;
    struct device_harness harness;
    console_start(&harness, "output: none");
    assert_null(harness.device->stream);
    assert_null(harness.device->output);
    device_harness_write(&harness, 0, 1, 'x');
    assert_int_equal(device_harness_read(&harness, 0, 1), 0xe9);
    device_harness_stop(&harness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_streams_are_refused_by_option),
        cmocka_unit_test(console_without_a_range_is_refused),
        cmocka_unit_test(read_says_e9),
        cmocka_unit_test(bytes_written_are_output_low_byte_first),
        cmocka_unit_test(full_ring_drops_and_counts),
        cmocka_unit_test(console_to_nowhere_still_answers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
