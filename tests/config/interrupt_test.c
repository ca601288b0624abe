/* SPDX-License-Identifier: BSD-3-Clause */
/* Key `interrupt` of a client: a line, short or whole, or a message; and what is neither. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above. */
#include <cmocka.h>

#include "tests/config/fixture.h"

#define CLIENT(keys)                               \
    "pollers: [{name: rt}]\n"                      \
    "vms: [{name: guest, vcpus: 1, poller: rt}]\n" \
    "clients:\n"                                   \
    "  - {name: com1, vm: guest, device: plain, ranges: [{type: mmio, first: 4}], " keys "}\n"

static void what_is_no_line_is_refused(void **state)
{
    (void)state;
    REFUSED(CLIENT("interrupt: 0"),
            "interrupt: '0' is out of range; expected a number from 1 to 23\n");
    REFUSED(CLIENT("interrupt: 24"),
            "interrupt: '24' is out of range; expected a number from 1 to 23\n");
    REFUSED(CLIENT("interrupt: com1"), "interrupt: ");
    REFUSED(CLIENT("interrupt: \"4\""), "interrupt: ");
    REFUSED(CLIENT("interrupt: ~"),
            "interrupt: no value; expected a number from 1 to 23, or a mapping\n");
    REFUSED(CLIENT("interrupt: [4]"),
            "interrupt: a list; expected a number from 1 to 23, or a mapping\n");
    REFUSED(CLIENT("interrupt: {line: 0}"), "line: '0' is out of range");
    REFUSED(CLIENT("interrupt: {line: 4, trigger: pulse}"),
            "trigger: 'pulse' is none of the choices; expected one of edge, level\n");
    REFUSED(CLIENT("interrupt: {lines: 4}"), "did you mean 'line'?");
    REFUSED(CLIENT("interrupt: {}"),
            "interrupt: neither a line nor a message; expected line, or address and data\n");
    REFUSED(CLIENT("interrupt: {trigger: level}"), "neither a line nor a message");
}

static void what_is_no_message_is_refused(void **state)
{
    (void)state;
    REFUSED(CLIENT("interrupt: {address: 0xfee00000}"),
            "interrupt: half a message; expected both address and data\n");
    REFUSED(CLIENT("interrupt: {line: 4, data: 0x41}"), "half a message");
    REFUSED(CLIENT("interrupt: {line: 4, address: 0xfee00000, data: 0x41}"),
            "interrupt: a line and a message; expected line, or address and data\n");
    REFUSED(CLIENT("interrupt: {trigger: edge, address: 0xfee00000, data: 0x41}"),
            "trigger: a message has none; expected it with line\n");
    REFUSED(CLIENT("interrupt: {address: 0xfe000000, data: 0x41}"),
            "expected a number from 0xfee00000 to 0xfeefffff\n");
    REFUSED(CLIENT("interrupt: {address: 0xfee00002, data: 0x41}"),
            "address: 0xfee00002; expected a multiple of 4\n");
    REFUSED(CLIENT("interrupt: {address: 0xfee00000, data: 3}"), "data: '3' is out of range");
    REFUSED(CLIENT("interrupt: {address: 0xfee00000, data: 0x10000}"), "data: ");
    REFUSED(CLIENT("interrupt: {address: 0xfee00000, data: 0x103}"),
            "data: its vector is 3, an exception's; expected 0x10 or more in the low 8 bits\n");
}

static struct config_client_interrupt read_interrupt(const char *text)
{
    struct loaded loaded = loaded_text(text);
    assert_string_equal(loaded.report, "");
    struct config_client_interrupt interrupt = loaded.config->clients[0].interrupt;
    loaded_free(&loaded);
    return interrupt;
}

static void lines_and_messages_are_read(void **state)
{
    (void)state;
    struct config_client_interrupt interrupt = read_interrupt(CLIENT("poller: rt"));
    assert_int_equal(interrupt.kind, CONFIG_CLIENT_INTERRUPT_NONE);
    const char *const edges[] = {CLIENT("interrupt: 4"), CLIENT("interrupt: {line: 4}"),
                                 CLIENT("interrupt: {line: 0x4, trigger: edge}")};
    for (size_t i = 0; i < 3; i++) {
        interrupt = read_interrupt(edges[i]);
        assert_int_equal(interrupt.kind, CONFIG_CLIENT_INTERRUPT_EDGE);
        assert_int_equal(interrupt.line, 4);
    }
    interrupt = read_interrupt(CLIENT("interrupt: {line: 23, trigger: level}"));
    assert_int_equal(interrupt.kind, CONFIG_CLIENT_INTERRUPT_LEVEL);
    assert_int_equal(interrupt.line, 23);
    interrupt = read_interrupt(CLIENT("interrupt: {address: 0xfee01000, data: 0x4041}"));
    assert_int_equal(interrupt.kind, CONFIG_CLIENT_INTERRUPT_MESSAGE);
    assert_int_equal(interrupt.address, 0xfee01000);
    assert_int_equal(interrupt.data, 0x4041);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_line_is_refused),
        cmocka_unit_test(what_is_no_message_is_refused),
        cmocka_unit_test(lines_and_messages_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
