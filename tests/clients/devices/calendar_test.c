/* SPDX-License-Identifier: BSD-3-Clause */
#include "clients/devices/calendar.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

/* Not a divisor of a day: walks through all hours, minutes and seconds, 1970 to 9999. */
#define STEP_S 86399u * 3u + 7u

static void every_date_equals_gmtime(void **state)
{
    (void)state;
    for (uint64_t seconds = 0; seconds <= CALENDAR_SECONDS_MAX; seconds += STEP_S) {
        struct calendar calendar = calendar_from_seconds(seconds);
        time_t wanted_s = (time_t)seconds;
        struct tm wanted;
        assert_non_null(gmtime_r(&wanted_s, &wanted));
        if (calendar.year != (uint32_t)wanted.tm_year + 1900 ||
            calendar.month != (uint32_t)wanted.tm_mon + 1 ||
            calendar.day != (uint32_t)wanted.tm_mday ||
            calendar.weekday != (uint32_t)wanted.tm_wday ||
            calendar.hour != (uint32_t)wanted.tm_hour ||
            calendar.minute != (uint32_t)wanted.tm_min ||
            calendar.second != (uint32_t)wanted.tm_sec)
            fail_msg("%llu", (unsigned long long)seconds);
        if (calendar_to_seconds(&calendar) != seconds)
            fail_msg("back from %llu", (unsigned long long)seconds);
    }
}

static void time_ends_with_the_year_9999(void **state)
{
    (void)state;
    struct calendar last = calendar_from_seconds(CALENDAR_SECONDS_MAX);
    assert_int_equal(last.year, 9999);
    assert_int_equal(last.month, 12);
    assert_int_equal(last.day, 31);
    assert_int_equal(last.second, 59);
    struct calendar beyond = calendar_from_seconds(UINT64_MAX);
    assert_int_equal(calendar_to_seconds(&beyond), CALENDAR_SECONDS_MAX);
}

static void fields_out_of_range_become_the_nearest(void **state)
{
    (void)state;
    struct calendar wild = {.year = 165 * 100, .month = 0, .day = 0, .hour = 99, .minute = 165};
    struct calendar tamed = calendar_from_seconds(calendar_to_seconds(&wild));
    assert_int_equal(tamed.year, 9999);
    assert_int_equal(tamed.month, 1);
    assert_int_equal(tamed.day, 1);
    assert_int_equal(tamed.hour, 23);
    assert_int_equal(tamed.minute, 59);
    struct calendar february = {.year = 2028, .month = 2, .day = 31};
    assert_int_equal(calendar_from_seconds(calendar_to_seconds(&february)).day, 29);
    struct calendar early = {.year = 1900, .month = 13, .day = 1};
    assert_int_equal(calendar_from_seconds(calendar_to_seconds(&early)).year, 1970);
    assert_int_equal(calendar_from_seconds(calendar_to_seconds(&early)).month, 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_out_of_range_become_the_nearest),
        cmocka_unit_test(time_ends_with_the_year_9999),
        cmocka_unit_test(every_date_equals_gmtime),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
