/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/support/device_harness.h"

#include <errno.h>

enum { RBR = 0, THR = 0, DLL = 0, IER = 1, DLM = 1, IIR = 2, FCR = 2, LCR, MCR, LSR, MSR, SCR };

#define LSR_IDLE    0x60u
#define FIFO_ON     0x01u
#define FIFO_BYTES  16u
#define IIR_FIFO_ON 0xc0u

static int uart_setup(void **state)
{
    static struct device_harness harness;
    harness = device_harness_init(REQUEST_PORTIO, 0x3f8, 8);
    device_harness_start(&harness, "uart", "");
    *state = &harness;
    return 0;
}

static int uart_teardown(void **state)
{
    device_harness_stop(*state);
    return 0;
}

static uint8_t in(struct device_harness *harness, uint64_t offset)
{
    return (uint8_t)device_harness_read(harness, offset, 1);
}

static void out(struct device_harness *harness, uint64_t offset, uint8_t byte)
{
    device_harness_write(harness, offset, 1, byte);
}

static void type_in(struct device_harness *harness, const char *text)
{
    for (; *text; text++)
        assert_true(byte_ring_try_push(harness->device->input, (uint8_t)*text));
}

/* Leaves exactly `space` bytes in the output ring. */
static void output_fill(struct device_harness *harness, size_t space)
{
    while (byte_ring_space(harness->device->output) > space)
        assert_true(byte_ring_try_push(harness->device->output, '.'));
}

static void output_drain(struct device_harness *harness)
{
    uint8_t byte;
    while (byte_ring_try_pop(harness->device->output, &byte))
        ;
}

/* ---- refusals ---------------------------------------------------------------------------- */

static void too_small_a_range_is_refused(void **state)
{
    (void)state;
    struct device_harness harness = device_harness_init(REQUEST_PORTIO, 0x3f8, 7);
    device_harness_refusal(&harness, "uart", "", EINVAL, "ranges: with stride 1");
    harness = device_harness_init(REQUEST_MMIO, 0x9000000, 31);
    device_harness_refusal(&harness, "uart", "stride: 4", EINVAL, "of 32 addresses");
    harness.setup.range_count = 0;
    device_harness_refusal(&harness, "uart", "", EINVAL, "ranges: ");
}

static void bad_stream_is_refused(void **state)
{
    (void)state;
    struct device_harness harness = device_harness_init(REQUEST_PORTIO, 0x3f8, 8);
    device_harness_refusal(&harness, "uart", "stream: com1", EINVAL, "stream: 'com1'");
}

/* ---- registers --------------------------------------------------------------------------- */

static void reset_values_are_those_of_the_data_sheet(void **state)
{
    assert_int_equal(in(*state, IER), 0x00);
    assert_int_equal(in(*state, IIR), 0x01);
    assert_int_equal(in(*state, LCR), 0x00);
    assert_int_equal(in(*state, MCR), 0x00);
    assert_int_equal(in(*state, LSR), LSR_IDLE);
    assert_int_equal(in(*state, MSR), 0xb0); /* CTS, DSR, DCD; no deltas */
}

static void divisor_hides_behind_dlab(void **state)
{
    out(*state, LCR, 0x83);
    out(*state, DLL, 0x34);
    out(*state, DLM, 0x12);
    assert_int_equal(in(*state, DLL), 0x34);
    assert_int_equal(in(*state, DLM), 0x12);
    out(*state, LCR, 0x03);
    assert_int_equal(in(*state, IER), 0x00);
    out(*state, IER, 0x05);
    out(*state, LCR, 0x83);
    assert_int_equal(in(*state, DLL), 0x34);
    assert_int_equal(in(*state, DLM), 0x12);
    struct device_harness *harness = *state;
    assert_true(byte_ring_is_empty(harness->device->output));
}

static void unused_register_bits_read_zero(void **state)
{
    out(*state, IER, 0xf0);
    assert_int_equal(in(*state, IER), 0x00);
    out(*state, MCR, 0xe0);
    assert_int_equal(in(*state, MCR), 0x00);
}

static void status_registers_cannot_be_written(void **state)
{
    out(*state, LSR, 0x9f);
    assert_int_equal(in(*state, LSR), LSR_IDLE);
    out(*state, MSR, 0x0f);
    assert_int_equal(in(*state, MSR), 0xb0);
}

static void scratch_keeps_any_byte(void **state)
{
    for (uint32_t byte = 0; byte < 256; byte++) {
        out(*state, SCR, (uint8_t)byte);
        assert_int_equal(in(*state, SCR), byte);
    }
}

/* ---- transmitter ------------------------------------------------------------------------- */

static void written_bytes_are_output(void **state)
{
    struct device_harness *harness = *state;
    assert_string_equal(harness->device->stream, "pty");
    out(harness, THR, 'o');
    out(harness, THR, 'k');
    uint8_t bytes[4];
    assert_int_equal(byte_ring_pop(harness->device->output, bytes, sizeof(bytes)), 2);
    assert_memory_equal(bytes, "ok", 2);
    assert_int_equal(in(harness, LSR), LSR_IDLE);
}

static void full_output_holds_the_transmitter_back_without_loss(void **state)
{
    struct device_harness *harness = *state;
    output_fill(harness, FIFO_BYTES);
    assert_int_equal(in(harness, LSR), LSR_IDLE);
    /* a driver may now write a whole FIFO blindly */
    for (uint32_t i = 0; i < FIFO_BYTES; i++)
        out(harness, THR, 'x');
    assert_int_equal(byte_ring_dropped(harness->device->output), 0);
    assert_int_equal(in(harness, LSR), 0x00);
    output_drain(harness);
    assert_int_equal(in(harness, LSR), LSR_IDLE);
}

static void writes_that_ignore_a_full_transmitter_are_counted(void **state)
{
    struct device_harness *harness = *state;
    output_fill(harness, 0);
    out(harness, THR, 'x');
    out(harness, THR, 'y');
    assert_int_equal(byte_ring_dropped(harness->device->output), 2);
}

static void thr_empty_interrupt_comes_on_enabling_and_goes_on_reading_iir(void **state)
{
    out(*state, IER, 0x02);
    assert_int_equal(in(*state, IIR), 0x02);
    assert_int_equal(in(*state, IIR), 0x01);
    out(*state, IER, 0x02); /* no edge: was enabled already */
    assert_int_equal(in(*state, IIR), 0x01);
    out(*state, THR, 'x');
    assert_int_equal(in(*state, IIR), 0x02);
    assert_int_equal(in(*state, IIR), 0x01);
}

static void thr_empty_interrupt_waits_for_the_output(void **state)
{
    struct device_harness *harness = *state;
    out(harness, IER, 0x02);
    (void)in(harness, IIR);
    output_fill(harness, 1);
    out(harness, THR, 'x');
    assert_int_equal(in(harness, IIR), 0x01);
    output_drain(harness);
    assert_int_equal(in(harness, IIR), 0x02);
}

/* ---- receiver ---------------------------------------------------------------------------- */

static void typed_bytes_are_received_in_order(void **state)
{
    type_in(*state, "ls\n");
    for (const char *c = "ls\n"; *c; c++) {
        assert_int_equal(in(*state, LSR), LSR_IDLE | 0x01);
        assert_int_equal(in(*state, RBR), *c);
    }
    assert_int_equal(in(*state, LSR), LSR_IDLE);
}

static void long_input_waits_in_the_ring_and_never_overruns(void **state)
{
    out(*state, FCR, FIFO_ON);
    for (int i = 0; i < 100; i++)
        type_in(*state, "0123456789");
    for (uint32_t i = 0; i < 1000; i++) {
        assert_int_equal(in(*state, LSR), LSR_IDLE | 0x01);
        assert_int_equal(in(*state, RBR), '0' + i % 10);
    }
    assert_int_equal(in(*state, LSR), LSR_IDLE);
}

static void received_data_interrupt_follows_the_trigger_level(void **state)
{
    static const struct {
        uint8_t fcr;
        uint32_t level;
    } levels[] = {{0x01, 1}, {0x41, 4}, {0x81, 8}, {0xc1, 14}};
    out(*state, IER, 0x01);
    for (size_t i = 0; i < sizeof(levels) / sizeof(levels[0]); i++) {
        out(*state, FCR, levels[i].fcr | 0x02);
        assert_int_equal(in(*state, IIR), IIR_FIFO_ON | 0x01);
        for (uint32_t count = 1; count <= levels[i].level; count++) {
            type_in(*state, "a");
            uint8_t wanted = count < levels[i].level ? 0x0c : 0x04; /* timeout : data */
            assert_int_equal(in(*state, IIR), IIR_FIFO_ON | wanted);
        }
        (void)in(*state, RBR);
        if (levels[i].level > 1)
            assert_int_equal(in(*state, IIR), IIR_FIFO_ON | 0x0c);
    }
}

static void without_fifos_one_byte_is_received_data(void **state)
{
    out(*state, IER, 0x01);
    type_in(*state, "ab");
    assert_int_equal(in(*state, IIR), 0x04);
    assert_int_equal(in(*state, RBR), 'a');
    assert_int_equal(in(*state, IIR), 0x04);
    assert_int_equal(in(*state, RBR), 'b');
    assert_int_equal(in(*state, IIR), 0x01);
}

static void fcr_clears_what_was_received(void **state)
{
    out(*state, FCR, FIFO_ON);
    type_in(*state, "abc");
    assert_int_equal(in(*state, LSR), LSR_IDLE | 0x01);
    out(*state, FCR, FIFO_ON | 0x02);
    assert_int_equal(in(*state, LSR), LSR_IDLE);
    type_in(*state, "abc");
    assert_int_equal(in(*state, LSR), LSR_IDLE | 0x01);
    out(*state, FCR, 0); /* leaving FIFO mode clears too */
    assert_int_equal(in(*state, LSR), LSR_IDLE);
    assert_int_equal(in(*state, IIR), 0x01);
}

static void fcr_bits_need_the_enable_bit(void **state)
{
    type_in(*state, "a");
    out(*state, FCR, 0xc6);
    assert_int_equal(in(*state, IIR), 0x01);
    assert_int_equal(in(*state, RBR), 'a');
}

/* ---- loopback, modem, priorities --------------------------------------------------------- */

static void loopback_returns_bytes_and_cuts_the_line(void **state)
{
    struct device_harness *harness = *state;
    out(harness, MCR, 0x10);
    type_in(harness, "z");
    assert_int_equal(in(harness, LSR), LSR_IDLE);
    out(harness, THR, 0xa5);
    assert_int_equal(in(harness, LSR), LSR_IDLE | 0x01);
    assert_int_equal(in(harness, RBR), 0xa5);
    assert_true(byte_ring_is_empty(harness->device->output));
    out(harness, MCR, 0x00);
    assert_int_equal(in(harness, RBR), 'z');
}

static void loopback_ties_modem_outputs_to_inputs(void **state)
{
    out(*state, MCR, 0x10);
    (void)in(*state, MSR);
    static const uint8_t wired[4] = {0x20, 0x10, 0x40, 0x80}; /* DTR-DSR RTS-CTS OUT1-RI OUT2-DCD */
    for (uint32_t bit = 0; bit < 4; bit++) {
        out(*state, MCR, (uint8_t)(0x10 | 1u << bit));
        assert_int_equal(in(*state, MSR) & 0xf0, wired[bit]);
    }
    out(*state, MCR, 0x1f);
    assert_int_equal(in(*state, MSR) & 0xf0, 0xf0);
}

static void modem_deltas_are_cleared_by_reading(void **state)
{
    out(*state, MCR, 0x10); /* CTS, DSR and DCD drop */
    assert_int_equal(in(*state, MSR), 0x0b);
    assert_int_equal(in(*state, MSR), 0x00);
    out(*state, MCR, 0x14); /* RI begins: no delta */
    assert_int_equal(in(*state, MSR), 0x40);
    out(*state, MCR, 0x10); /* RI ends: trailing edge */
    assert_int_equal(in(*state, MSR), 0x04);
    out(*state, MCR, 0x12);
    out(*state, MCR, 0x10); /* there and back: still a change */
    assert_int_equal(in(*state, MSR), 0x01);
}

static void loopback_overrun_with_fifos_keeps_the_fifo(void **state)
{
    out(*state, FCR, FIFO_ON);
    out(*state, MCR, 0x10);
    for (uint32_t i = 0; i < FIFO_BYTES + 1; i++)
        out(*state, THR, (uint8_t)i);
    assert_int_equal(in(*state, LSR), LSR_IDLE | 0x03);
    assert_int_equal(in(*state, LSR), LSR_IDLE | 0x01); /* overrun goes with the read */
    for (uint32_t i = 0; i < FIFO_BYTES; i++)
        assert_int_equal(in(*state, RBR), i);
    assert_int_equal(in(*state, LSR), LSR_IDLE);
}

static void loopback_overrun_without_fifos_keeps_the_newest(void **state)
{
    out(*state, MCR, 0x10);
    out(*state, THR, 1);
    out(*state, THR, 2);
    assert_int_equal(in(*state, LSR), LSR_IDLE | 0x03);
    assert_int_equal(in(*state, RBR), 2);
}

static void interrupts_are_identified_by_priority(void **state)
{
    out(*state, MCR, 0x10); /* modem deltas */
    out(*state, THR, 1);
    out(*state, THR, 2); /* data and overrun */
    out(*state, IER, 0x0f);
    assert_int_equal(in(*state, IIR), 0x06);
    (void)in(*state, LSR);
    assert_int_equal(in(*state, IIR), 0x04);
    (void)in(*state, RBR);
    assert_int_equal(in(*state, IIR), 0x02);
    assert_int_equal(in(*state, IIR), 0x00);
    (void)in(*state, MSR);
    assert_int_equal(in(*state, IIR), 0x01);
}

static void reading_iir_clears_only_what_it_shows(void **state)
{
    out(*state, IER, 0x03);
    type_in(*state, "a");
    assert_int_equal(in(*state, IIR), 0x04); /* THRE is pending behind it */
    assert_int_equal(in(*state, IIR), 0x04);
    (void)in(*state, RBR);
    assert_int_equal(in(*state, IIR), 0x02);
}

/* ---- widths, strides, streams ------------------------------------------------------------ */

static void wide_access_reaches_consecutive_registers(void **state)
{
    out(*state, LCR, 0x80);
    device_harness_write(*state, DLL, 2, 0x0102);
    assert_int_equal(in(*state, DLL), 0x02);
    assert_int_equal(in(*state, DLM), 0x01);
    assert_int_equal(device_harness_read(*state, DLL, 2), 0x0102);
    out(*state, SCR, 0x77);
    assert_int_equal(device_harness_read(*state, LSR, 4), 0xff77b060); /* runs off the end */
}

static void stride_spreads_the_registers(void **state)
{
    (void)state;
    struct device_harness harness = device_harness_init(REQUEST_MMIO, 0x9000000, 0x1000);
    device_harness_start(&harness, "uart", "stride: 4\nstream: stdio");
    assert_int_equal(device_harness_read(&harness, LSR * 4, 4), LSR_IDLE);
    assert_int_equal(device_harness_read(&harness, LSR * 4, 1), LSR_IDLE);
    assert_int_equal(device_harness_read(&harness, LSR * 4 + 1, 1), 0);
    device_harness_write(&harness, SCR * 4, 4, 0x12345678);
    assert_int_equal(device_harness_read(&harness, SCR * 4, 4), 0x78);
    device_harness_write(&harness, SCR * 4 + 1, 1, 0xff);
    assert_int_equal(device_harness_read(&harness, SCR * 4, 1), 0x78);
    assert_int_equal(device_harness_read(&harness, 8 * 4, 4), 0xffffffff);
    device_harness_stop(&harness);
    device_harness_start(&harness, "uart", "stride: 2\nstream: none");
    assert_int_equal(device_harness_read(&harness, LSR * 2, 4), LSR_IDLE | 0xb0 << 16);
    device_harness_stop(&harness);
}

static void uart_without_a_stream_swallows_output(void **state)
{
    (void)state;
    struct device_harness harness = device_harness_init(REQUEST_PORTIO, 0x3f8, 8);
    device_harness_start(&harness, "uart", "stream: none");
    assert_null(harness.device->output);
    assert_null(harness.device->input);
    out(&harness, THR, 'x');
    assert_int_equal(in(&harness, LSR), LSR_IDLE);
    device_harness_stop(&harness);
    device_harness_start(&harness, "uart", "stream: file:/tmp/x");
    assert_non_null(harness.device->output);
    assert_null(harness.device->input); /* a file is never read */
    device_harness_stop(&harness);
}

static void reset_forgets_all_and_what_was_typed_before(void **state)
{
    struct device_harness *harness = *state;
    out(harness, FCR, FIFO_ON);
    out(harness, IER, 0x0f);
    out(harness, MCR, 0x1f);
    out(harness, THR, 1);
    for (int i = 0; i < 200; i++)
        type_in(harness, "typed for another");
    harness->device->ops->reset(harness->device);
    assert_int_equal(in(harness, IER), 0);
    assert_int_equal(in(harness, IIR), 0x01);
    assert_int_equal(in(harness, MSR), 0xb0);
    assert_int_equal(in(harness, LSR), 0x60);
    type_in(harness, "q");
    assert_int_equal(in(harness, RBR), 'q');
    assert_int_equal(in(harness, LSR), 0x60);
}

#define UART_TEST(name) cmocka_unit_test_setup_teardown(name, uart_setup, uart_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(too_small_a_range_is_refused),
        cmocka_unit_test(bad_stream_is_refused),
        UART_TEST(reset_values_are_those_of_the_data_sheet),
        UART_TEST(divisor_hides_behind_dlab),
        UART_TEST(unused_register_bits_read_zero),
        UART_TEST(status_registers_cannot_be_written),
        UART_TEST(scratch_keeps_any_byte),
        UART_TEST(written_bytes_are_output),
        UART_TEST(full_output_holds_the_transmitter_back_without_loss),
        UART_TEST(writes_that_ignore_a_full_transmitter_are_counted),
        UART_TEST(thr_empty_interrupt_comes_on_enabling_and_goes_on_reading_iir),
        UART_TEST(thr_empty_interrupt_waits_for_the_output),
        UART_TEST(typed_bytes_are_received_in_order),
        UART_TEST(long_input_waits_in_the_ring_and_never_overruns),
        UART_TEST(received_data_interrupt_follows_the_trigger_level),
        UART_TEST(without_fifos_one_byte_is_received_data),
        UART_TEST(fcr_clears_what_was_received),
        UART_TEST(fcr_bits_need_the_enable_bit),
        UART_TEST(loopback_returns_bytes_and_cuts_the_line),
        UART_TEST(loopback_ties_modem_outputs_to_inputs),
        UART_TEST(modem_deltas_are_cleared_by_reading),
        UART_TEST(loopback_overrun_with_fifos_keeps_the_fifo),
        UART_TEST(loopback_overrun_without_fifos_keeps_the_newest),
        UART_TEST(interrupts_are_identified_by_priority),
        UART_TEST(reading_iir_clears_only_what_it_shows),
        UART_TEST(wide_access_reaches_consecutive_registers),
        cmocka_unit_test(stride_spreads_the_registers),
        cmocka_unit_test(uart_without_a_stream_swallows_output),
        UART_TEST(reset_forgets_all_and_what_was_typed_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
