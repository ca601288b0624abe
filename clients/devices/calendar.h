/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * calendar.h - Gregorian dates and seconds since 1970-01-01 00:00 UTC, for use on a poller: no
 * libc (gmtime takes a lock), divisions by constants only, no loop.
 *
 * Threads: pure functions.
 * Errors:  none; fields out of range are brought into range first.
 * Source:  computation on years that begin in March, so that the leap day comes last: H. Hinnant,
 *          "chrono-Compatible Low-Level Date Algorithms".
 */
#ifndef CLIENTS_DEVICES_CALENDAR_H
#define CLIENTS_DEVICES_CALENDAR_H

#include <stdint.h>

#define SECONDS_PER_DAY UINT64_C(86400)
/* 9999-12-31 23:59:59, the last second that calendar_from_seconds tells apart. */
#define CALENDAR_SECONDS_MAX UINT64_C(253402300799)

struct calendar {
    uint32_t year;    /* 1970..9999 */
    uint32_t month;   /* 1..12 */
    uint32_t day;     /* 1..31 */
    uint32_t weekday; /* 0..6, 0 is Sunday; not read by calendar_to_seconds */
    uint32_t hour;
    uint32_t minute;
    uint32_t second;
};

/* Seconds beyond CALENDAR_SECONDS_MAX are taken for it. */
struct calendar calendar_from_seconds(uint64_t seconds);

/* Out of range: each field is taken for the nearest value it can have (31 February: the last day
 * of February). */
uint64_t calendar_to_seconds(const struct calendar *calendar);

#endif
