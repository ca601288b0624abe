/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/vm/observer.h"
#include "server/vm/volatile_answers.h"

#include "clients/request.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static bool matcher_sees(const char *text, const char *stream)
{
    struct text_matcher matcher;
    text_matcher_init(&matcher, text);
    for (; *stream; stream++)
        if (text_matcher_see(&matcher, *stream))
            return stream[1] == '\0'; /* not before the last byte */
    return false;
}

static void matcher_finds_a_text_at_its_last_byte(void **state)
{
    (void)state;
    char longest[UNTIL_TEXT_MAX + 1];
    memset(longest, 'a', UNTIL_TEXT_MAX);
    longest[UNTIL_TEXT_MAX] = '\0';
    assert_true(matcher_sees("device", "No bootable device"));
    assert_true(matcher_sees("aab", "aaaab")); /* restarts inside itself */
    assert_true(matcher_sees("x", "x"));
    assert_true(matcher_sees(longest, longest));
    assert_false(matcher_sees(longest, longest + 1));
    assert_false(matcher_sees("device", "devic e"));
    assert_false(matcher_sees("", "anything"));
}

static struct requester_access port(uint32_t direction, uint64_t address, uint64_t value)
{
    return (struct requester_access){.address = address,
                                     .value = value,
                                     .size_bytes = 1,
                                     .type = REQUEST_PORTIO,
                                     .direction = direction};
}

static bool see(struct volatile_answers *answers, uint32_t direction, uint64_t address,
                uint64_t value)
{
    const struct requester_access access = port(direction, address, value);
    return volatile_answers_see(answers, &access);
}

static void time_registers_of_the_rtc_are_volatile(void **state)
{
    (void)state;
    static const uint8_t time_registers[] = {0x00, 0x02, 0x04, 0x06, 0x07,
                                             0x08, 0x09, 0x0a, 0x0c, 0x32};
    struct volatile_answers answers;
    volatile_answers_init(&answers, NULL, 0);
    for (uint64_t index = 0; index < 256; index++) {
        bool expected = memchr(time_registers, (int)(index & 0x7f), sizeof(time_registers)) != NULL;
        assert_false(see(&answers, REQUEST_WRITE, 0x70, index)); /* bit 7: NMI mask */
        assert_false(see(&answers, REQUEST_WRITE, 0x71, 0));
        assert_int_equal(see(&answers, REQUEST_READ, 0x71, 0), expected);
    }
}

static void uart_is_volatile_from_its_first_byte_on(void **state)
{
    (void)state;
    struct volatile_answers answers;
    volatile_answers_init(&answers, NULL, 0);
    assert_false(see(&answers, REQUEST_READ, 0x3fd, 0x60));
    assert_false(see(&answers, REQUEST_WRITE, 0x3fb, 0x83)); /* divisor latch open */
    assert_false(see(&answers, REQUEST_WRITE, 0x3f8, 0x01)); /* no byte: the divisor */
    assert_false(see(&answers, REQUEST_READ, 0x3f8, 0x01));
    assert_false(see(&answers, REQUEST_WRITE, 0x3fb, 0x03));
    assert_false(see(&answers, REQUEST_READ, 0x3fd, 0x60));
    assert_false(see(&answers, REQUEST_WRITE, 0x3f8, 'x'));
    assert_true(see(&answers, REQUEST_READ, 0x3fd, 0x00)); /* empty again: a matter of time */
    assert_true(see(&answers, REQUEST_READ, 0x3fa, 0xc1));
    assert_false(see(&answers, REQUEST_READ, 0x3f8, 0x00));
    assert_false(see(&answers, REQUEST_READ, 0x3fe, 0xb0));
    assert_true(see(&answers, REQUEST_READ, 0x3fd, 0x61)); /* something was typed */
    assert_true(see(&answers, REQUEST_READ, 0x3f8, 'y'));
    assert_true(see(&answers, REQUEST_READ, 0x3fe, 0xb0));
    assert_false(see(&answers, REQUEST_READ, 0x3ff, 0x00)); /* scratch register */
    assert_false(see(&answers, REQUEST_READ, 0x2fd, 0x60)); /* COM2 has seen nothing */
}

static void absent_uart_is_deterministic(void **state)
{
    (void)state;
    struct volatile_answers answers;
    volatile_answers_init(&answers, NULL, 0);
    assert_false(see(&answers, REQUEST_WRITE, 0x3f8, 'x'));
    assert_false(see(&answers, REQUEST_READ, 0x3fd, 0xff));
    assert_false(see(&answers, REQUEST_READ, 0x3f8, 0xff));
    assert_false(see(&answers, REQUEST_READ, 0x3fe, 0xff));
}

static void named_ranges_are_volatile(void **state)
{
    (void)state;
    struct volatile_answers answers;
    const struct address_range ranges[] = {
        {REQUEST_PORTIO, 0x608, 0x60b},
        {REQUEST_MMIO, 0xfed00000, 0xfed003ff},
    };
    volatile_answers_init(&answers, ranges, 2);
    assert_true(see(&answers, REQUEST_READ, 0x608, 0));
    assert_true(see(&answers, REQUEST_READ, 0x60b, 0));
    assert_false(see(&answers, REQUEST_READ, 0x60c, 0));
    assert_false(see(&answers, REQUEST_WRITE, 0x608, 0));
    struct requester_access mmio = {.address = 0xfecffffe, .size_bytes = 4, .type = REQUEST_MMIO};
    assert_true(volatile_answers_see(&answers, &mmio)); /* reaches into it */
    mmio.address = 0x608;
    assert_false(volatile_answers_see(&answers, &mmio));
}

static void ranges_out_of_shape_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",          "portio",     "portio:",          "portio:1",
        "portio:1-", "portio:2-1", "portio:0-0x10000", "mmio:-1-2",
        "mmio:a-b",  "pci:1-2",    "mmio: 1-2",        "mmio:0-0x10000000000000000",
    };
    struct address_range range;
    const char *end;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        if (address_range_parse(bad[i], &range, &end))
            fail_msg("'%s' was taken", bad[i]);
    assert_true(address_range_parse("mmio:0-0xffffffffffffffff=1", &range, &end));
    assert_int_equal(range.last, UINT64_MAX);
    assert_string_equal(end, "=1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matcher_finds_a_text_at_its_last_byte),
        cmocka_unit_test(time_registers_of_the_rtc_are_volatile),
        cmocka_unit_test(uart_is_volatile_from_its_first_byte_on),
        cmocka_unit_test(absent_uart_is_deterministic),
        cmocka_unit_test(named_ranges_are_volatile),
        cmocka_unit_test(ranges_out_of_shape_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
