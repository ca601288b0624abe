/* SPDX-License-Identifier: BSD-3-Clause */
#include "clients/devices/rtc.h"

#include "clients/devices/calendar.h"

#include <string.h>

#define A_UPDATE_IN_PROGRESS 0x80u
#define A_DIVIDER_RESET      0x60u /* 11x: the chain is held */
#define A_RATE_MASK          0x0fu
#define A_AT_START           0x26u /* 32,768 Hz, periodic rate 1,024 Hz, as PC firmware sets it */

#define B_SET                0x80u
#define B_PERIODIC_ENABLE    0x40u
#define B_ALARM_ENABLE       0x20u
#define B_UPDATE_ENABLE      0x10u
#define B_SQUARE_WAVE_ENABLE 0x08u
#define B_BINARY             0x04u
#define B_24_HOURS           0x02u

#define C_INTERRUPT 0x80u
#define C_PERIODIC  0x40u /* the three flags lie where B has their enables */
#define C_ALARM     0x20u
#define C_UPDATE    0x10u
#define C_FLAGS     (C_PERIODIC | C_ALARM | C_UPDATE)

#define D_BATTERY_IS_GOOD  0x80u
#define HOUR_PM            0x80u
#define ALARM_ANY          0xc0u /* this and above: matches everything */
#define PERIODS_PER_SECOND 32768u

static bool updates_are_inhibited(const struct rtc *rtc)
{
    return (rtc->registers[RTC_B] & B_SET) != 0;
}

static bool divider_is_held(uint8_t a)
{
    return (a & A_DIVIDER_RESET) == A_DIVIDER_RESET;
}

static uint8_t field_encode(const struct rtc *rtc, uint32_t value)
{
    if (rtc->registers[RTC_B] & B_BINARY)
        return (uint8_t)value;
    return (uint8_t)(value / 10 << 4 | value % 10);
}

static uint32_t field_decode(const struct rtc *rtc, uint8_t byte)
{
    if (rtc->registers[RTC_B] & B_BINARY)
        return byte;
    return (uint32_t)(byte >> 4) * 10 + (byte & 0xf);
}

static uint8_t hour_encode(const struct rtc *rtc, uint32_t hour)
{
    if (rtc->registers[RTC_B] & B_24_HOURS)
        return field_encode(rtc, hour);
    uint32_t hour_of_12 = hour % 12 == 0 ? 12 : hour % 12;
    return (uint8_t)(field_encode(rtc, hour_of_12) | (hour >= 12 ? HOUR_PM : 0));
}

static uint32_t hour_decode(const struct rtc *rtc, uint8_t byte)
{
    if (rtc->registers[RTC_B] & B_24_HOURS)
        return field_decode(rtc, byte);
    uint32_t hour_of_12 = field_decode(rtc, byte & (uint8_t)~HOUR_PM) % 12;
    return hour_of_12 + (byte & HOUR_PM ? 12 : 0);
}

static void registers_from_clock(struct rtc *rtc)
{
    struct calendar now = calendar_from_seconds(rtc->clock_s);
    uint8_t *registers = rtc->registers;
    registers[RTC_SECONDS] = field_encode(rtc, now.second);
    registers[RTC_MINUTES] = field_encode(rtc, now.minute);
    registers[RTC_HOURS] = hour_encode(rtc, now.hour);
    registers[RTC_WEEKDAY] = field_encode(rtc, (now.weekday + rtc->weekday_offset) % 7 + 1);
    registers[RTC_DAY] = field_encode(rtc, now.day);
    registers[RTC_MONTH] = field_encode(rtc, now.month);
    registers[RTC_YEAR] = field_encode(rtc, now.year % 100);
    registers[RTC_CENTURY] = field_encode(rtc, now.year / 100);
}

static void clock_from_registers(struct rtc *rtc)
{
    const uint8_t *registers = rtc->registers;
    struct calendar now = {
        .year = field_decode(rtc, registers[RTC_CENTURY]) * 100 +
                field_decode(rtc, registers[RTC_YEAR]),
        .month = field_decode(rtc, registers[RTC_MONTH]),
        .day = field_decode(rtc, registers[RTC_DAY]),
        .hour = hour_decode(rtc, registers[RTC_HOURS]),
        .minute = field_decode(rtc, registers[RTC_MINUTES]),
        .second = field_decode(rtc, registers[RTC_SECONDS]),
    };
    rtc->clock_s = calendar_to_seconds(&now);
    uint32_t weekday = field_decode(rtc, registers[RTC_WEEKDAY]) + 6; /* 1..7 to 0..6, mod 7 */
    rtc->weekday_offset = (weekday + 7 - calendar_from_seconds(rtc->clock_s).weekday) % 7;
}

/* ---- alarm ------------------------------------------------------------------------------- */

struct alarm_field {
    bool is_any;
    uint32_t value;
};

static struct alarm_field alarm_field(uint8_t byte, uint32_t value)
{
    return (struct alarm_field){.is_any = byte >= ALARM_ANY, .value = value};
}

static bool alarm_field_matches(struct alarm_field field, uint32_t value)
{
    return field.is_any || field.value == value;
}

static uint32_t alarm_field_first(struct alarm_field field)
{
    return field.is_any ? 0 : field.value;
}

/* Seconds from second_of_day to the next match, 0 if that matches. UINT64_MAX: never. */
static uint64_t alarm_delay_s(const struct rtc *rtc, uint32_t second_of_day)
{
    const uint8_t *registers = rtc->registers;
    struct alarm_field hours =
        alarm_field(registers[RTC_HOURS_ALARM], hour_decode(rtc, registers[RTC_HOURS_ALARM]));
    struct alarm_field minutes =
        alarm_field(registers[RTC_MINUTES_ALARM], field_decode(rtc, registers[RTC_MINUTES_ALARM]));
    struct alarm_field seconds =
        alarm_field(registers[RTC_SECONDS_ALARM], field_decode(rtc, registers[RTC_SECONDS_ALARM]));
    if ((!hours.is_any && hours.value > 23) || (!minutes.is_any && minutes.value > 59) ||
        (!seconds.is_any && seconds.value > 59))
        return UINT64_MAX;

    uint32_t hour = second_of_day / 3600;
    uint32_t minute = second_of_day / 60 % 60;
    uint32_t second = second_of_day % 60;
    uint32_t first_second = alarm_field_first(seconds);
    if (alarm_field_matches(hours, hour)) {
        if (alarm_field_matches(minutes, minute)) {
            if (seconds.is_any)
                return 0;
            if (seconds.value >= second)
                return seconds.value - second;
        }
        uint32_t later_minute = minutes.is_any ? minute + 1 : minutes.value;
        if (later_minute > minute && later_minute < 60)
            return hour * 3600 + later_minute * 60 + first_second - second_of_day;
    }
    uint32_t later_hour = hours.value > hour ? hours.value : hours.value + 24;
    if (hours.is_any)
        later_hour = hour + 1;
    return later_hour * 3600 + alarm_field_first(minutes) * 60 + first_second - second_of_day;
}

/* ---- time -------------------------------------------------------------------------------- */

/* log2 of the periodic interrupt's interval in 1/32768 s; 0: off. Rates 1 and 2 repeat 8 and 9. */
static uint32_t period_shift(const struct rtc *rtc)
{
    uint32_t rate = rtc->registers[RTC_A] & A_RATE_MASK;
    if (rate == 0)
        return 0;
    return rate <= 2 ? rate + 6 : rate - 1;
}

/* Accounts for everything that happened up to `ticks`: seconds passed and flags raised. */
static void rtc_advance(struct rtc *rtc, uint64_t ticks)
{
    if (ticks > rtc->newest_ticks)
        rtc->newest_ticks = ticks;
    rtc->update_is_near = false;
    if (divider_is_held(rtc->registers[RTC_A]))
        return;
    struct tick_time now = tick_clock_split(&rtc->clock, rtc->newest_ticks - rtc->divider_ticks);
    uint64_t fraction = (uint64_t)(((unsigned __int128)now.ticks * rtc->period_reciprocal) >> 64);
    uint64_t period = now.seconds * PERIODS_PER_SECOND + fraction;
    uint32_t shift = period_shift(rtc);
    if (shift && period >> shift != rtc->period >> shift)
        rtc->registers[RTC_C] |= C_PERIODIC;
    uint64_t passed_s = now.seconds - rtc->second;
    rtc->period = period;
    rtc->second = now.seconds;
    if (updates_are_inhibited(rtc))
        return;
    rtc->update_is_near = now.ticks >= rtc->clock.ticks_per_second - rtc->uip_ticks;
    if (passed_s == 0)
        return;
    rtc->registers[RTC_C] |= C_UPDATE;
    if (alarm_delay_s(rtc, (uint32_t)((rtc->clock_s + 1) % SECONDS_PER_DAY)) < passed_s)
        rtc->registers[RTC_C] |= C_ALARM;
    rtc->clock_s += passed_s;
}

/* After a reset of the chain the first update comes half a second later. */
static void divider_restart(struct rtc *rtc)
{
    rtc->divider_ticks = rtc->newest_ticks - rtc->clock.ticks_per_second / 2;
    rtc->second = 0;
    rtc->period = PERIODS_PER_SECOND / 2;
}

void rtc_init(struct rtc *rtc, uint64_t ticks_per_second, uint64_t start_ticks,
              int64_t wall_clock_s)
{
    assert(ticks_per_second >= RTC_TICKS_PER_SECOND_MIN);
    memset(rtc, 0, sizeof(*rtc));
    tick_clock_init(&rtc->clock, ticks_per_second);
    rtc->uip_ticks = (uint64_t)((unsigned __int128)ticks_per_second * 244 / 1000000);
    rtc->period_reciprocal =
        (uint64_t)(((unsigned __int128)PERIODS_PER_SECOND << 64) / ticks_per_second);
    rtc->divider_ticks = start_ticks;
    rtc->newest_ticks = start_ticks;
    rtc->clock_s = wall_clock_s > 0 ? (uint64_t)wall_clock_s : 0;
    if (rtc->clock_s > CALENDAR_SECONDS_MAX)
        rtc->clock_s = CALENDAR_SECONDS_MAX;
    rtc->registers[RTC_A] = A_AT_START;
    rtc->registers[RTC_B] = B_24_HOURS;
    rtc->registers[RTC_D] = D_BATTERY_IS_GOOD;
}

void rtc_reset(struct rtc *rtc)
{
    rtc->registers[RTC_B] &=
        (uint8_t) ~(B_PERIODIC_ENABLE | B_ALARM_ENABLE | B_UPDATE_ENABLE | B_SQUARE_WAVE_ENABLE);
    rtc->registers[RTC_C] = 0;
}

/* ---- registers --------------------------------------------------------------------------- */

static bool is_time_register(uint32_t index)
{
    switch (index) {
    case RTC_SECONDS:
    case RTC_MINUTES:
    case RTC_HOURS:
    case RTC_WEEKDAY:
    case RTC_DAY:
    case RTC_MONTH:
    case RTC_YEAR:
    case RTC_CENTURY:
        return true;
    default:
        return false;
    }
}

bool rtc_owns(uint32_t index)
{
    return index <= RTC_D || index == RTC_CENTURY;
}

static uint8_t register_c_take(struct rtc *rtc)
{
    uint8_t flags = rtc->registers[RTC_C] & C_FLAGS;
    rtc->registers[RTC_C] = 0;
    return (uint8_t)(flags | (flags & rtc->registers[RTC_B] ? C_INTERRUPT : 0));
}

uint8_t rtc_read(struct rtc *rtc, uint32_t index, uint64_t ticks)
{
    assert(rtc_owns(index));
    rtc_advance(rtc, ticks);
    if (index == RTC_C)
        return register_c_take(rtc);
    if (index == RTC_A)
        return (uint8_t)(rtc->registers[RTC_A] | (rtc->update_is_near ? A_UPDATE_IN_PROGRESS : 0));
    if (is_time_register(index) && !updates_are_inhibited(rtc))
        registers_from_clock(rtc);
    return rtc->registers[index];
}

static void register_a_write(struct rtc *rtc, uint8_t byte)
{
    bool was_held = divider_is_held(rtc->registers[RTC_A]);
    rtc->registers[RTC_A] = byte & (uint8_t)~A_UPDATE_IN_PROGRESS;
    if (was_held && !divider_is_held(byte))
        divider_restart(rtc);
}

static void register_b_write(struct rtc *rtc, uint8_t byte)
{
    bool was_set = updates_are_inhibited(rtc);
    if (byte & B_SET)
        byte &= (uint8_t)~B_UPDATE_ENABLE; /* the data sheet clears it with SET */
    rtc->registers[RTC_B] = byte;
    if (byte & B_SET && !was_set) {
        registers_from_clock(rtc); /* in the new format: a guest may leave some fields alone */
    } else if (!(byte & B_SET) && was_set) {
        clock_from_registers(rtc);
    }
}

void rtc_write(struct rtc *rtc, uint32_t index, uint8_t byte, uint64_t ticks)
{
    assert(rtc_owns(index));
    rtc_advance(rtc, ticks);
    if (index == RTC_A) {
        register_a_write(rtc, byte);
    } else if (index == RTC_B) {
        register_b_write(rtc, byte);
    } else if (index == RTC_C || index == RTC_D) {
        return; /* read-only */
    } else if (is_time_register(index) && !updates_are_inhibited(rtc)) {
        registers_from_clock(rtc);
        rtc->registers[index] = byte;
        clock_from_registers(rtc);
    } else {
        rtc->registers[index] = byte;
    }
}

/* ---- the interrupt pin ------------------------------------------------------------------- */

void rtc_tend(struct rtc *rtc, uint64_t ticks)
{
    rtc_advance(rtc, ticks);
}

bool rtc_interrupts(const struct rtc *rtc)
{
    return (rtc->registers[RTC_C] & rtc->registers[RTC_B] & C_FLAGS) != 0;
}

bool rtc_may_interrupt(const struct rtc *rtc)
{
    return (rtc->registers[RTC_B] & C_FLAGS) != 0;
}
