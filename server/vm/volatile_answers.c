/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/vm/volatile_answers.h"

#include "clients/request.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RTC_INDEX_PORT 0x70
#define RTC_DATA_PORT  0x71

/* Offsets from a UART's first port, and the bits of them that matter here. */
#define UART_DATA        0
#define UART_IDENTIFY    2
#define UART_LINE        3
#define UART_LINE_DLAB   0x80
#define UART_STATUS      5
#define UART_STATUS_DATA 0x01
#define UART_MODEM       6

static const uint16_t uart_ports[VOLATILE_UART_COUNT] = {0x3f8, 0x2f8, 0x3e8, 0x2e8};

void volatile_answers_init(struct volatile_answers *answers, const struct address_range *ranges,
                           size_t range_count)
{
    assert(range_count <= VOLATILE_RANGE_MAX);
    memset(answers, 0, sizeof(*answers));
    for (size_t i = 0; i < range_count; i++)
        answers->ranges[i] = ranges[i];
    answers->range_count = range_count;
}

static bool rtc_register_is_volatile(uint8_t index)
{
    switch (index) {
    case 0x00: /* seconds, minutes, hours; between them the alarm, which stays as written */
    case 0x02:
    case 0x04:
    case 0x06: /* weekday, day, month, year, register A */
    case 0x07:
    case 0x08:
    case 0x09:
    case 0x0a:
    case 0x0c:
    case 0x32:
        return true;
    default:
        return false;
    }
}

static bool rtc_see(struct volatile_answers *answers, const struct requester_access *access)
{
    if (access->address == RTC_INDEX_PORT && access->direction == REQUEST_WRITE)
        answers->rtc_index = access->value & 0x7f;
    /* A 2-byte read of the index port covers the data port, too. */
    bool covers_data =
        access->address <= RTC_DATA_PORT && access->address + access->size_bytes > RTC_DATA_PORT;
    return covers_data && access->direction == REQUEST_READ &&
           rtc_register_is_volatile(answers->rtc_index);
}

static bool uart_see_read(struct volatile_uart *uart, uint64_t offset, uint64_t value)
{
    bool is_absent = value == 0xff;
    switch (offset) {
    case UART_DATA:
        return !uart->latch_is_open && uart->has_received;
    case UART_IDENTIFY: {
        uint64_t cause = value & 0x0f;
        if (!is_absent && (cause == 0x04 || cause == 0x0c)) /* data there, or timed out */
            uart->has_received = true;
        return uart->has_sent || uart->has_received;
    }
    case UART_STATUS:
        if (!is_absent && (value & UART_STATUS_DATA))
            uart->has_received = true;
        return !is_absent && (uart->has_sent || uart->has_received);
    case UART_MODEM:
        return uart->has_received;
    default:
        return false;
    }
}

static bool uart_see(struct volatile_uart *uart, uint64_t offset,
                     const struct requester_access *access)
{
    if (access->size_bytes != 1)
        return false;
    if (access->direction == REQUEST_READ)
        return uart_see_read(uart, offset, access->value);
    if (offset == UART_LINE)
        uart->latch_is_open = (access->value & UART_LINE_DLAB) != 0;
    if (offset == UART_DATA && !uart->latch_is_open)
        uart->has_sent = true;
    return false;
}

bool volatile_answers_see(struct volatile_answers *answers, const struct requester_access *access)
{
    bool is_volatile = false;
    if (access->type == REQUEST_PORTIO) {
        is_volatile = rtc_see(answers, access);
        for (size_t i = 0; i < VOLATILE_UART_COUNT; i++)
            if (access->address >= uart_ports[i] && access->address < uart_ports[i] + 8u)
                is_volatile |=
                    uart_see(&answers->uarts[i], access->address - uart_ports[i], access);
    }
    if (access->direction != REQUEST_READ)
        return false;
    uint64_t last = access->address + access->size_bytes - 1;
    for (size_t i = 0; i < answers->range_count; i++) {
        const struct address_range *range = &answers->ranges[i];
        if (range->type == access->type && range->first <= last && access->address <= range->last)
            is_volatile = true;
    }
    return is_volatile;
}

static bool parse_address(const char *text, uint64_t *address, const char **end)
{
    if (!isdigit((unsigned char)*text))
        return false;
    char *rest;
    errno = 0;
    *address = strtoull(text, &rest, 0);
    *end = rest;
    return errno == 0;
}

bool address_range_parse(const char *text, struct address_range *range, const char **end)
{
    struct address_range parsed;
    if (strncmp(text, "portio:", 7) == 0) {
        parsed.type = REQUEST_PORTIO;
        text += 7;
    } else if (strncmp(text, "mmio:", 5) == 0) {
        parsed.type = REQUEST_MMIO;
        text += 5;
    } else {
        return false;
    }
    if (!parse_address(text, &parsed.first, &text) || *text != '-' ||
        !parse_address(text + 1, &parsed.last, &text) || parsed.last < parsed.first)
        return false;
    if (parsed.type == REQUEST_PORTIO && parsed.last > 0xffff)
        return false;
    *range = parsed;
    *end = text;
    return true;
}
