/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * rtc.h - the clock half of a CMOS chip: time, alarm, periodic flags, registers 0x00..0x0d, 0x32.
 *
 * Flow:    rtc_init (control) -> rtc_read, rtc_write (poller), each with the ticks of its request.
 *          Time is the host's wall clock at init plus ticks since: it never asks a clock again.
 * Threads: one at a time.
 * Memory:  plain data.
 * Errors:  nonsense written to a time register reads back as long as SET is on; when the clock
 *          takes it, it becomes the nearest valid time from 1970 to 9999.
 * Source:  Motorola MC146818A data sheet; century in 0x32 as on the PC/AT. Where it differs: the
 *          update itself takes no time, so that UIP is 1 only in the 244 us before it; every rate
 *          of the divider but "reset" is 32,768 Hz; daylight saving (DSE) is kept, not followed.
 */
#ifndef CLIENTS_DEVICES_RTC_H
#define CLIENTS_DEVICES_RTC_H

#include "clients/devices/tick_clock.h"

#include <stdbool.h>
#include <stdint.h>

#define RTC_SECONDS        0x00u
#define RTC_SECONDS_ALARM  0x01u
#define RTC_MINUTES        0x02u
#define RTC_MINUTES_ALARM  0x03u
#define RTC_HOURS          0x04u
#define RTC_HOURS_ALARM    0x05u
#define RTC_WEEKDAY        0x06u
#define RTC_DAY            0x07u
#define RTC_MONTH          0x08u
#define RTC_YEAR           0x09u
#define RTC_A              0x0au
#define RTC_B              0x0bu
#define RTC_C              0x0cu
#define RTC_D              0x0du
#define RTC_CENTURY        0x32u
#define RTC_REGISTER_BYTES 0x33u

/* Slower ticks could not tell the fastest periodic rate apart. */
#define RTC_TICKS_PER_SECOND_MIN UINT64_C(1000000)

struct rtc {
    struct tick_clock clock;
    uint64_t uip_ticks;         /* how long before an update UIP says so */
    uint64_t period_reciprocal; /* 2^64 * 32768 / ticks_per_second */
    uint64_t divider_ticks;     /* when the divider chain started: a second begins there */
    uint64_t newest_ticks;      /* latest request seen: time never runs backwards */
    uint64_t second;            /* of the divider chain, up to which flags and time are accounted */
    uint64_t period;            /* the same in 1/32768 s */
    uint64_t clock_s;           /* what the clock shows, seconds since 1970 */
    uint32_t weekday_offset;    /* the guest may call any day Sunday */
    bool update_is_near;
    uint8_t registers[RTC_REGISTER_BYTES]; /* as a guest reads them; only the chip's own are used */
};

/* ticks_per_second: RTC_TICKS_PER_SECOND_MIN..2^63. A wall clock before 1970 starts at 1970. */
void rtc_init(struct rtc *rtc, uint64_t ticks_per_second, uint64_t start_ticks,
              int64_t wall_clock_s);
/* The chip's RESET pin: interrupt enables and flags go, time and alarm stay. */
void rtc_reset(struct rtc *rtc);

/* Whether the clock owns that CMOS register; the two below need it. */
bool rtc_owns(uint32_t index);
uint8_t rtc_read(struct rtc *rtc, uint32_t index, uint64_t ticks);
void rtc_write(struct rtc *rtc, uint32_t index, uint8_t byte, uint64_t ticks);

/* Raises the flags of what happened up to ticks. */
void rtc_tend(struct rtc *rtc, uint64_t ticks);
/* The interrupt pin: active until register C is read. */
bool rtc_interrupts(const struct rtc *rtc);
/* Some interrupt is enabled. */
bool rtc_may_interrupt(const struct rtc *rtc);

#endif
