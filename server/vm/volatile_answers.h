/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * volatile_answers.h - which reads answer differently in another run: those that tell the time, or
 * what somebody typed.
 *
 * Flow:    volatile_answers_see with every access of a VM in order, after its answer; true marks
 *          it.
 * Threads: one at a time (the observer's lock).
 * Memory:  the caller's; volatile_answers_init to begin.
 * Errors:  none.
 * Source:  MC146818A data sheet (time registers, UIP, register C); TL16C550C data sheet.
 *
 * Marked are:
 *   RTC   port 0x71 while the index (port 0x70, bits 0..6) is a time or date register, the century
 *         (0x32), register A (update in progress) or C (interrupt flags).
 *   UART  COM1..COM4: line status and interrupt identification from the first byte sent (when the
 *         transmitter is empty again depends on time) or received; receive data and modem status
 *         from the first byte received. An absent UART (status all-ones) is not marked.
 *   more  ranges the operator names (--volatile), for devices of his own.
 */
#ifndef SERVER_VM_VOLATILE_ANSWERS_H
#define SERVER_VM_VOLATILE_ANSWERS_H

#include "server/vm/requester.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VOLATILE_UART_COUNT 4
#define VOLATILE_RANGE_MAX  16

struct address_range {
    uint32_t type; /* REQUEST_PORTIO or REQUEST_MMIO */
    uint64_t first;
    uint64_t last; /* inclusive */
};

struct volatile_uart {
    bool has_sent;
    bool has_received;
    bool latch_is_open; /* DLAB: offsets 0 and 1 are the divisor */
};

struct volatile_answers {
    uint8_t rtc_index;
    struct volatile_uart uarts[VOLATILE_UART_COUNT];
    struct address_range ranges[VOLATILE_RANGE_MAX];
    size_t range_count;
};

/* ranges [range_count], at most VOLATILE_RANGE_MAX, copied. */
void volatile_answers_init(struct volatile_answers *answers, const struct address_range *ranges,
                           size_t range_count);
/* True: a read whose answer may differ in another run. */
bool volatile_answers_see(struct volatile_answers *answers, const struct requester_access *access);

/* "portio:0x608-0x60b" or "mmio:FIRST-LAST": true and *range, of which all lies in its space. *end
 * is what follows. */
bool address_range_parse(const char *text, struct address_range *range, const char **end);

#endif
