/* SPDX-License-Identifier: BSD-3-Clause */
#include "clients/devices/calendar.h"

#include <stdbool.h>

#define DAYS_PER_ERA            146097u /* 400 years */
#define DAYS_0000_03_01_TO_1970 719468u

static uint32_t clamp(uint32_t value, uint32_t minimum, uint32_t maximum)
{
    if (value < minimum)
        return minimum;
    return value > maximum ? maximum : value;
}

static uint32_t month_days(uint32_t year, uint32_t month)
{
    static const uint8_t days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return month == 2 && is_leap ? 29 : days[month - 1];
}

struct calendar calendar_from_seconds(uint64_t seconds)
{
    if (seconds > CALENDAR_SECONDS_MAX)
        seconds = CALENDAR_SECONDS_MAX;
    uint32_t days_since_1970 = (uint32_t)(seconds / SECONDS_PER_DAY);
    uint32_t second_of_day = (uint32_t)(seconds % SECONDS_PER_DAY);

    uint32_t days = days_since_1970 + DAYS_0000_03_01_TO_1970;
    uint32_t era = days / DAYS_PER_ERA;
    uint32_t day_of_era = days % DAYS_PER_ERA;
    uint32_t year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
    uint32_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint32_t march_month = (5 * day_of_year + 2) / 153; /* 0: March */
    uint32_t month = march_month < 10 ? march_month + 3 : march_month - 9;
    return (struct calendar){
        .year = era * 400 + year_of_era + (month <= 2),
        .month = month,
        .day = day_of_year - (153 * march_month + 2) / 5 + 1,
        .weekday = (days_since_1970 + 4) % 7, /* 1970-01-01 was a Thursday */
        .hour = second_of_day / 3600,
        .minute = second_of_day / 60 % 60,
        .second = second_of_day % 60,
    };
}

uint64_t calendar_to_seconds(const struct calendar *calendar)
{
    uint32_t year = clamp(calendar->year, 1970, 9999);
    uint32_t month = clamp(calendar->month, 1, 12);
    uint32_t day = clamp(calendar->day, 1, month_days(year, month));

    uint32_t march_year = year - (month <= 2);
    uint32_t era = march_year / 400;
    uint32_t year_of_era = march_year % 400;
    uint32_t march_month = month > 2 ? month - 3 : month + 9;
    uint32_t day_of_year = (153 * march_month + 2) / 5 + day - 1;
    uint32_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    uint64_t days = (uint64_t)era * DAYS_PER_ERA + day_of_era - DAYS_0000_03_01_TO_1970;
    uint32_t second_of_day = clamp(calendar->hour, 0, 23) * 3600u +
                             clamp(calendar->minute, 0, 59) * 60u + clamp(calendar->second, 0, 59);
    return days * SECONDS_PER_DAY + second_of_day;
}
