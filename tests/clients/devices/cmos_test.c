/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/support/device_harness.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

/* Friday 2024-03-01 11:59:58 UTC, just after a leap day. */
#define SEEDED_S    INT64_C(1709294398)
#define TICKS       HARNESS_TICKS_PER_SECOND
#define B_DEFAULT   0x02u
#define B_SET       0x80u
#define C_INTERRUPT 0x80u
#define C_PERIODIC  0x40u
#define C_ALARM     0x20u
#define C_UPDATE    0x10u
#define NVRAM_BYTES 128u

static struct device_harness cmos_init(void)
{
    struct device_harness harness = device_harness_init(REQUEST_PORTIO, 0x70, 2);
    harness.setup.wall_clock_s = SEEDED_S;
    return harness;
}

static int cmos_setup(void **state)
{
    static struct device_harness harness;
    harness = cmos_init();
    device_harness_start(&harness, "cmos", "");
    *state = &harness;
    return 0;
}

static int cmos_teardown(void **state)
{
    device_harness_stop(*state);
    return 0;
}

static uint8_t cmos_read(struct device_harness *harness, uint8_t index)
{
    device_harness_write(harness, 0, 1, index);
    return (uint8_t)device_harness_read(harness, 1, 1);
}

static void cmos_write(struct device_harness *harness, uint8_t index, uint8_t byte)
{
    device_harness_write(harness, 0, 1, index);
    device_harness_write(harness, 1, 1, byte);
}

static void wait_s(struct device_harness *harness, uint64_t seconds)
{
    harness->now_ticks += seconds * TICKS;
}

/* What the clock shows as YYYYMMDDhhmmss, in BCD. */
static uint64_t clock_read(struct device_harness *harness)
{
    static const uint8_t indexes[] = {0x32, 0x09, 0x08, 0x07, 0x04, 0x02, 0x00};
    uint64_t clock = 0;
    for (size_t i = 0; i < sizeof(indexes); i++)
        clock = clock << 8 | cmos_read(harness, indexes[i]);
    return clock;
}

/* ---- refusals ---------------------------------------------------------------------------- */

static void wrong_ranges_are_refused(void **state)
{
    (void)state;
    struct device_harness harness = device_harness_init(REQUEST_PORTIO, 0x70, 1);
    device_harness_refusal(&harness, "cmos", "", EINVAL, "ranges: ");
    harness = device_harness_init(REQUEST_PORTIO, 0x70, 4);
    device_harness_refusal(&harness, "cmos", "", EINVAL, "ranges: ");
    harness.setup.range_count = 0;
    device_harness_refusal(&harness, "cmos", "", EINVAL, "ranges: ");
}

static void clock_without_ticks_is_refused(void **state)
{
    (void)state;
    struct device_harness harness = cmos_init();
    harness.setup.ticks_per_second = 0;
    device_harness_refusal(&harness, "cmos", "", EINVAL, "time-stamp counter");
}

static void unusable_nvram_files_are_refused(void **state)
{
    (void)state;
    struct device_harness harness = cmos_init();
    char folder[] = "/tmp/cmos_test.XXXXXX";
    assert_non_null(mkdtemp(folder));
    char path[64];
    char text[96];
    (void)snprintf(path, sizeof(path), "%s/nvram", folder);
    (void)snprintf(text, sizeof(text), "nvram: %s", path);

    int fd = open(path, O_CREAT | O_WRONLY, 0600);
    assert_int_equal(write(fd, "short", 5), 5);
    close(fd);
    device_harness_refusal(&harness, "cmos", text, EINVAL, "has 5 bytes, not 128");
    assert_int_equal(truncate(path, 129), 0);
    device_harness_refusal(&harness, "cmos", text, EINVAL, "has 129 bytes, not 128");
    unlink(path);

    assert_int_equal(mkfifo(path, 0600), 0); /* must not hold up the start either */
    device_harness_refusal(&harness, "cmos", text, EINVAL, "no regular file");
    unlink(path);

    (void)snprintf(text, sizeof(text), "nvram: %s", folder);
    device_harness_refusal(&harness, "cmos", text, EINVAL, "no regular file");
    (void)snprintf(text, sizeof(text), "nvram: %s/no/such/folder", folder);
    device_harness_refusal(&harness, "cmos", text, EACCES, "make its folder");
    rmdir(folder);
}

/* ---- time -------------------------------------------------------------------------------- */

static void clock_begins_at_the_hosts_time_and_follows_ticks(void **state)
{
    assert_int_equal(clock_read(*state), 0x20240301115958);
    assert_int_equal(cmos_read(*state, 0x06), 6); /* Friday */
    wait_s(*state, 1);
    assert_int_equal(clock_read(*state), 0x20240301115959);
    wait_s(*state, 1);
    assert_int_equal(clock_read(*state), 0x20240301120000);
    wait_s(*state, 86400);
    assert_int_equal(clock_read(*state), 0x20240302120000);
    assert_int_equal(cmos_read(*state, 0x06), 7);
    wait_s(*state, 10 * 365 * UINT64_C(86400));
    assert_int_equal(clock_read(*state), 0x20340228120000); /* two leap days on the way */
}

/* faults row 50: the device has no clock but the ticks of its requests */
static void time_survives_wall_clock_jump(void **state)
{
    struct device_harness *harness = *state;
    harness->setup.wall_clock_s += 10 * INT64_C(31556952);
    wait_s(harness, 2);
    assert_int_equal(clock_read(harness), 0x20240301120000);
    harness->device->ops->reset(harness->device);
    assert_int_equal(clock_read(harness), 0x20240301120000);
}

static void time_never_runs_backwards(void **state)
{
    struct device_harness *harness = *state;
    wait_s(harness, 100);
    assert_int_equal(clock_read(harness), 0x20240301120138);
    harness->now_ticks = 0; /* a counter behind the first one */
    assert_int_equal(clock_read(harness), 0x20240301120138);
    harness->now_ticks = HARNESS_START_TICKS + 101 * TICKS;
    assert_int_equal(clock_read(harness), 0x20240301120139);
}

static void senseless_host_time_starts_within_the_calendar(void **state)
{
    (void)state;
    struct device_harness harness = cmos_init();
    harness.setup.wall_clock_s = INT64_MIN;
    device_harness_start(&harness, "cmos", "");
    assert_int_equal(clock_read(&harness), 0x19700101000000);
    device_harness_stop(&harness);
    harness.setup.wall_clock_s = INT64_MAX;
    device_harness_start(&harness, "cmos", "");
    assert_int_equal(clock_read(&harness), 0x99991231235959);
    wait_s(&harness, 5);
    assert_int_equal(clock_read(&harness), 0x99991231235959);
    device_harness_stop(&harness);
}

static void update_in_progress_covers_the_last_244_us_of_each_second(void **state)
{
    struct device_harness *harness = *state;
    uint64_t uip_ticks = TICKS * 244 / 1000000;
    for (uint64_t second = 0; second < 3; second++) {
        uint64_t begin = HARNESS_START_TICKS + second * TICKS;
        harness->now_ticks = begin;
        assert_int_equal(cmos_read(harness, 0x0a), 0x26);
        harness->now_ticks = begin + TICKS - uip_ticks - 1;
        assert_int_equal(cmos_read(harness, 0x0a), 0x26);
        harness->now_ticks = begin + TICKS - uip_ticks;
        assert_int_equal(cmos_read(harness, 0x0a), 0xa6);
        harness->now_ticks = begin + TICKS - 1;
        assert_int_equal(cmos_read(harness, 0x0a), 0xa6);
    }
    cmos_write(harness, 0x0b, B_SET | B_DEFAULT);
    assert_int_equal(cmos_read(harness, 0x0a), 0x26); /* no updates, so none near */
}

static void binary_and_12_hour_modes_show_the_same_time(void **state)
{
    cmos_write(*state, 0x0b, 0x06); /* binary, 24 h */
    assert_int_equal(clock_read(*state), 0x141803010b3b3a);
    cmos_write(*state, 0x0b, 0x00); /* BCD, 12 h */
    assert_int_equal(cmos_read(*state, 0x04), 0x11);
    wait_s(*state, 2);
    assert_int_equal(cmos_read(*state, 0x04), 0x92); /* 12 PM: noon */
    wait_s(*state, 3600);
    assert_int_equal(cmos_read(*state, 0x04), 0x81); /* 1 PM */
    wait_s(*state, 11 * 3600);
    assert_int_equal(cmos_read(*state, 0x04), 0x12); /* 12 AM: midnight */
    cmos_write(*state, 0x0b, 0x04);                  /* binary, 12 h */
    assert_int_equal(cmos_read(*state, 0x04), 12);
}

static void guest_sets_the_time_while_set_is_on(void **state)
{
    cmos_write(*state, 0x0b, B_SET | B_DEFAULT);
    wait_s(*state, 100);
    assert_int_equal(clock_read(*state), 0x20240301115958); /* stands still */
    static const uint8_t writes[][2] = {{0x32, 0x19}, {0x09, 0x99}, {0x08, 0x12}, {0x07, 0x31},
                                        {0x04, 0x23}, {0x02, 0x59}, {0x00, 0x58}, {0x06, 0x06}};
    for (size_t i = 0; i < sizeof(writes) / sizeof(writes[0]); i++)
        cmos_write(*state, writes[i][0], writes[i][1]);
    assert_int_equal(clock_read(*state), 0x19991231235958);
    cmos_write(*state, 0x0b, B_DEFAULT);
    assert_int_equal(clock_read(*state), 0x19991231235958);
    wait_s(*state, 2);
    assert_int_equal(clock_read(*state), 0x20000101000000);
    assert_int_equal(cmos_read(*state, 0x06), 7);
}

static void guest_sets_the_time_in_12_hour_mode(void **state)
{
    cmos_write(*state, 0x0b, B_SET);
    cmos_write(*state, 0x04, 0x92); /* noon */
    cmos_write(*state, 0x0b, 0x00);
    cmos_write(*state, 0x0b, B_DEFAULT);
    assert_int_equal(cmos_read(*state, 0x04), 0x12);
    cmos_write(*state, 0x0b, B_SET);
    cmos_write(*state, 0x04, 0x12); /* midnight */
    cmos_write(*state, 0x0b, 0x00);
    cmos_write(*state, 0x0b, B_DEFAULT);
    assert_int_equal(cmos_read(*state, 0x04), 0x00);
}

static void guest_sets_one_field_of_the_running_clock(void **state)
{
    cmos_write(*state, 0x04, 0x05);
    assert_int_equal(clock_read(*state), 0x20240301055958);
    cmos_write(*state, 0x06, 0x01); /* calls this Friday a Sunday */
    wait_s(*state, 86400);
    assert_int_equal(cmos_read(*state, 0x06), 2);
    assert_int_equal(clock_read(*state), 0x20240302055958);
}

static void nonsense_becomes_the_nearest_time(void **state)
{
    cmos_write(*state, 0x0b, B_SET | B_DEFAULT);
    static const uint8_t indexes[] = {0x32, 0x09, 0x08, 0x07, 0x04, 0x02, 0x00, 0x06};
    for (size_t i = 0; i < sizeof(indexes); i++) {
        cmos_write(*state, indexes[i], 0xff);
        assert_int_equal(cmos_read(*state, indexes[i]), 0xff); /* as long as SET is on */
    }
    cmos_write(*state, 0x0b, B_DEFAULT);
    assert_int_equal(clock_read(*state), 0x99991231235959);
    uint8_t weekday = cmos_read(*state, 0x06);
    assert_true(weekday >= 1 && weekday <= 7);
}

static void released_divider_updates_after_half_a_second(void **state)
{
    struct device_harness *harness = *state;
    cmos_write(harness, 0x0a, 0x76); /* held */
    wait_s(harness, 50);
    assert_int_equal(clock_read(harness), 0x20240301115958);
    cmos_write(harness, 0x0a, 0x26);
    harness->now_ticks += TICKS / 2 - 1;
    assert_int_equal(clock_read(harness), 0x20240301115958);
    harness->now_ticks += 2;
    assert_int_equal(clock_read(harness), 0x20240301115959);
}

/* ---- flags ------------------------------------------------------------------------------- */

static void reading_c_clears_it(void **state)
{
    assert_int_equal(cmos_read(*state, 0x0c), 0);
    wait_s(*state, 1);
    assert_int_equal(cmos_read(*state, 0x0c), C_UPDATE | C_PERIODIC);
    assert_int_equal(cmos_read(*state, 0x0c), 0);
    cmos_write(*state, 0x0b, B_DEFAULT | C_UPDATE);
    wait_s(*state, 1);
    assert_int_equal(cmos_read(*state, 0x0c), C_INTERRUPT | C_UPDATE | C_PERIODIC);
    assert_int_equal(cmos_read(*state, 0x0c), 0);
}

static void set_turns_update_interrupts_off(void **state)
{
    cmos_write(*state, 0x0b, B_SET | C_UPDATE | B_DEFAULT);
    assert_int_equal(cmos_read(*state, 0x0b), B_SET | B_DEFAULT);
    wait_s(*state, 3);
    assert_int_equal(cmos_read(*state, 0x0c), C_PERIODIC); /* the chain runs on */
}

static void periodic_flag_follows_the_rate(void **state)
{
    struct device_harness *harness = *state;
    static const struct {
        uint8_t rate;
        uint32_t per_second;
    } rates[] = {{1, 256}, {2, 128}, {3, 8192}, {6, 1024}, {8, 256}, {15, 2}};
    for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++) {
        cmos_write(harness, 0x0a, 0x20 | rates[i].rate);
        (void)cmos_read(harness, 0x0c);
        uint32_t seen = 0;
        for (uint32_t step = 0; step < 20000; step++) {
            harness->now_ticks += TICKS / 20000;
            seen += (cmos_read(harness, 0x0c) & C_PERIODIC) != 0;
        }
        assert_in_range(seen, rates[i].per_second - 1, rates[i].per_second + 1);
    }
    cmos_write(harness, 0x0a, 0x20);
    (void)cmos_read(harness, 0x0c);
    wait_s(harness, 1);
    assert_int_equal(cmos_read(harness, 0x0c), C_UPDATE);
}

static bool alarm_fires_after(struct device_harness *harness, uint64_t seconds)
{
    (void)cmos_read(harness, 0x0c);
    wait_s(harness, seconds);
    return cmos_read(harness, 0x0c) & C_ALARM;
}

static void alarm_set(struct device_harness *harness, uint8_t hour, uint8_t minute, uint8_t second)
{
    cmos_write(harness, 0x05, hour);
    cmos_write(harness, 0x03, minute);
    cmos_write(harness, 0x01, second);
}

static void alarm_fires_at_its_time_only(void **state)
{
    alarm_set(*state, 0x12, 0x00, 0x01); /* in 3 s */
    assert_false(alarm_fires_after(*state, 2));
    assert_true(alarm_fires_after(*state, 1));
    assert_false(alarm_fires_after(*state, 86399));
    assert_true(alarm_fires_after(*state, 1));
    assert_true(alarm_fires_after(*state, 3 * 86400)); /* seen once however late */
    assert_false(alarm_fires_after(*state, 1));
}

static void alarm_wildcards_match_everything(void **state)
{
    alarm_set(*state, 0xff, 0xff, 0xff);
    assert_true(alarm_fires_after(*state, 1)); /* now 11:59:59 */
    alarm_set(*state, 0xc0, 0xff, 0x05);       /* each minute */
    assert_false(alarm_fires_after(*state, 5));
    assert_true(alarm_fires_after(*state, 1)); /* 12:00:05 */
    assert_false(alarm_fires_after(*state, 59));
    assert_true(alarm_fires_after(*state, 1)); /* 12:01:05 */
    alarm_set(*state, 0xff, 0x00, 0x00);       /* each hour */
    assert_false(alarm_fires_after(*state, 3534));
    assert_true(alarm_fires_after(*state, 1)); /* 13:00:00 */
    alarm_set(*state, 0x00, 0xff, 0xff);       /* all of the first hour */
    assert_false(alarm_fires_after(*state, 11 * 3600 - 1));
    assert_true(alarm_fires_after(*state, 1)); /* midnight */
    assert_true(alarm_fires_after(*state, 1));
}

static void impossible_alarm_never_fires(void **state)
{
    alarm_set(*state, 0x24, 0x00, 0x00);
    assert_false(alarm_fires_after(*state, 3 * 86400));
    alarm_set(*state, 0x10, 0x60, 0x00);
    assert_false(alarm_fires_after(*state, 3 * 86400));
}

static void reset_disables_interrupts_and_keeps_the_rest(void **state)
{
    struct device_harness *harness = *state;
    cmos_write(harness, 0x0b, 0x7b);
    cmos_write(harness, 0x40, 0x99);
    wait_s(harness, 1);
    harness->device->ops->reset(harness->device);
    assert_int_equal(cmos_read(harness, 0x0b), 0x03);
    assert_int_equal(cmos_read(harness, 0x40), 0x99);
}

/* ---- memory and NVRAM -------------------------------------------------------------------- */

static uint32_t cmos_read_16(struct device_harness *harness, uint8_t index)
{
    return cmos_read(harness, index) | (uint32_t)cmos_read(harness, index + 1) << 8;
}

static void memory_size_is_told_in_all_registers(void **state)
{
    (void)state;
    static const struct {
        const char *option;
        uint32_t extended_kib;
        uint32_t above_16m;
        uint32_t above_4g;
    } sizes[] = {
        {"", 63 * 1024, 48 * 16, 0}, /* 64 MiB */
        {"memory: 1MiB", 0, 0, 0},
        {"memory: 16MiB", 15 * 1024, 0, 0},
        {"memory: 256MiB", 65535, 240 * 16, 0},
        {"memory: 3GiB", 65535, (3072 - 16) * 16, 0},
        {"memory: 4GiB", 65535, (3072 - 16) * 16, 0x4000},
        {"memory: 1024GiB", 65535, (3072 - 16) * 16, 0xff4000},
    };
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct device_harness harness = cmos_init();
        device_harness_start(&harness, "cmos", sizes[i].option);
        assert_int_equal(cmos_read_16(&harness, 0x15), 640);
        assert_int_equal(cmos_read_16(&harness, 0x17), sizes[i].extended_kib);
        assert_int_equal(cmos_read_16(&harness, 0x30), sizes[i].extended_kib);
        assert_int_equal(cmos_read_16(&harness, 0x34), sizes[i].above_16m);
        assert_int_equal(cmos_read_16(&harness, 0x5b) | (uint32_t)cmos_read(&harness, 0x5d) << 16,
                         sizes[i].above_4g);
        device_harness_stop(&harness);
    }
}

static void only_nvram_bytes_take_writes(void **state)
{
    for (uint32_t index = 0x0e; index < NVRAM_BYTES; index++) {
        if (index == 0x32)
            continue;
        uint8_t before = cmos_read(*state, (uint8_t)index);
        cmos_write(*state, (uint8_t)index, 0xa7);
        bool is_memory = (index >= 0x15 && index <= 0x18) || index == 0x30 || index == 0x31 ||
                         index == 0x34 || index == 0x35 || (index >= 0x5b && index <= 0x5d);
        assert_int_equal(cmos_read(*state, (uint8_t)index), is_memory ? before : 0xa7);
    }
    cmos_write(*state, 0x0d, 0);
    assert_int_equal(cmos_read(*state, 0x0d), 0x80);
    cmos_write(*state, 0x0c, 0xff);
    assert_int_equal(cmos_read(*state, 0x0c), 0);
}

static void nmi_bit_is_masked_and_the_index_reads_ones(void **state)
{
    cmos_write(*state, 0x40, 0x12);
    assert_int_equal(cmos_read(*state, 0xc0), 0x12);
    assert_int_equal(device_harness_read(*state, 0, 1), 0xff);
}

static void two_byte_access_is_index_and_data(void **state)
{
    device_harness_write(*state, 0, 2, 0x3440);
    assert_int_equal(cmos_read(*state, 0x40), 0x34);
    assert_int_equal(device_harness_read(*state, 0, 2), 0x34ff);
}

static void nvram_is_announced_and_comes_back(void **state)
{
    (void)state;
    char path[] = "/tmp/cmos_test.XXXXXX";
    char text[64];
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    unlink(path); /* missing: begins afresh */
    (void)snprintf(text, sizeof(text), "nvram: %s", path);
    struct device_harness harness = cmos_init();
    device_harness_start(&harness, "cmos", text);
    struct device_image *image = harness.device->image;
    assert_non_null(image);
    assert_string_equal(image->path, path);
    assert_int_equal(image->size_bytes, NVRAM_BYTES);
    assert_int_equal(atomic_load(&image->generation), 0);
    cmos_write(&harness, 0x40, 0x5a);
    assert_int_equal(atomic_load(&image->generation), 1);
    cmos_write(&harness, 0x40, 0x5a); /* nothing new: the disk may rest */
    assert_int_equal(atomic_load(&image->generation), 1);
    cmos_write(&harness, 0x05, 0x07); /* alarm */
    cmos_write(&harness, 0x0b, 0x06); /* not kept: firmware sets it */
    cmos_write(&harness, 0x00, 0x01); /* not kept: time is the host's */
    cmos_write(&harness, 0x34, 0x01); /* not kept: memory is the configuration's */
    assert_int_equal(atomic_load(&image->generation), 2);

    uint8_t bytes[NVRAM_BYTES];
    for (size_t i = 0; i < NVRAM_BYTES; i++)
        bytes[i] = atomic_load(&image->bytes[i]);
    device_harness_stop(&harness);
    bytes[0x34] = 0xee; /* a file from a VM with other memory */
    bytes[0x09] = 0xee;
    assert_int_equal(close(fd), 0);
    fd = open(path, O_CREAT | O_EXCL | O_WRONLY, 0600);
    assert_int_equal(write(fd, bytes, sizeof(bytes)), sizeof(bytes));
    assert_int_equal(close(fd), 0);

    device_harness_start(&harness, "cmos", text);
    assert_int_equal(atomic_load(&harness.device->image->generation), 0);
    assert_int_equal(cmos_read(&harness, 0x40), 0x5a);
    assert_int_equal(cmos_read(&harness, 0x05), 0x07);
    assert_int_equal(cmos_read(&harness, 0x0b), B_DEFAULT);
    assert_int_equal(cmos_read_16(&harness, 0x34), 48 * 16);
    assert_int_equal(clock_read(&harness), 0x20240301115958);
    device_harness_stop(&harness);
    unlink(path);
}

#define CMOS_TEST(name) cmocka_unit_test_setup_teardown(name, cmos_setup, cmos_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_ranges_are_refused),
        cmocka_unit_test(clock_without_ticks_is_refused),
        cmocka_unit_test(unusable_nvram_files_are_refused),
        CMOS_TEST(nonsense_becomes_the_nearest_time),
        cmocka_unit_test(senseless_host_time_starts_within_the_calendar),
        CMOS_TEST(time_survives_wall_clock_jump),
        CMOS_TEST(time_never_runs_backwards),
        CMOS_TEST(impossible_alarm_never_fires),
        CMOS_TEST(clock_begins_at_the_hosts_time_and_follows_ticks),
        CMOS_TEST(update_in_progress_covers_the_last_244_us_of_each_second),
        CMOS_TEST(binary_and_12_hour_modes_show_the_same_time),
        CMOS_TEST(guest_sets_the_time_while_set_is_on),
        CMOS_TEST(guest_sets_the_time_in_12_hour_mode),
        CMOS_TEST(guest_sets_one_field_of_the_running_clock),
        CMOS_TEST(released_divider_updates_after_half_a_second),
        CMOS_TEST(reading_c_clears_it),
        CMOS_TEST(set_turns_update_interrupts_off),
        CMOS_TEST(periodic_flag_follows_the_rate),
        CMOS_TEST(alarm_fires_at_its_time_only),
        CMOS_TEST(alarm_wildcards_match_everything),
        CMOS_TEST(reset_disables_interrupts_and_keeps_the_rest),
        cmocka_unit_test(memory_size_is_told_in_all_registers),
        CMOS_TEST(only_nvram_bytes_take_writes),
        CMOS_TEST(nmi_bit_is_masked_and_the_index_reads_ones),
        CMOS_TEST(two_byte_access_is_index_and_data),
        cmocka_unit_test(nvram_is_announced_and_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
