/* SPDX-License-Identifier: BSD-3-Clause */
/* How one text becomes a number, a size, a duration: every edge of the rules in scalar.h. */
#include "tests/config/fixture.h"

#include "config/scalar.h"

static bool reads(enum schema_kind kind, const char *text, uint64_t *number)
{
    const struct schema_key key = {.name = "k", .kind = kind, .maximum = UINT64_MAX};
    struct schema_value value = {0};
    char problem[SCALAR_PROBLEM_BYTES];
    bool is_read =
        scalar_read(&key, (struct scalar_text){text, strlen(text), false}, &value, problem);
    *number = value.number;
    return is_read;
}

struct accepted {
    enum schema_kind kind;
    const char *text;
    uint64_t number;
};

static void right_texts_are_read(void **state)
{
    (void)state;
    static const struct accepted cases[] = {
        {SCHEMA_NUMBER, "0", 0},
        {SCHEMA_NUMBER, "0x0", 0},
        {SCHEMA_NUMBER, "0X1f", 31},
        {SCHEMA_NUMBER, "0x00ff", 255},
        {SCHEMA_NUMBER, "18446744073709551615", UINT64_MAX},
        {SCHEMA_NUMBER, "0xFFFFffffFFFFffff", UINT64_MAX},
        {SCHEMA_SIZE, "0", 0},
        {SCHEMA_SIZE, "4096", 4096},
        {SCHEMA_SIZE, "64KiB", 65536},
        {SCHEMA_SIZE, "0x10 MiB", 16u << 20},
        {SCHEMA_SIZE, "17179869183GiB", UINT64_C(17179869183) << 30},
        {SCHEMA_DURATION, "1ns", 1},
        {SCHEMA_DURATION, "50us", 50000},
        {SCHEMA_DURATION, "10 ms", 10000000},
        {SCHEMA_DURATION, "1s", 1000000000},
        {SCHEMA_DURATION, "18446744073s", UINT64_C(18446744073000000000)},
        {SCHEMA_BOOL, "true", 1},
        {SCHEMA_BOOL, "false", 0},
        {SCHEMA_CPU, "any", CONFIG_CPU_ANY},
        {SCHEMA_CPU, "9999", 9999},
        {SCHEMA_CPU_LIST, "none", 0}, /* the number is how many */
        {SCHEMA_CPU_LIST, "0", 1},
        {SCHEMA_CPU_LIST, "2-5,8", 5},
        {SCHEMA_CPU_LIST, "7-7", 1},
        {SCHEMA_CPU_LIST, "0-8191", 8192},
        {SCHEMA_BDF, "00:00.0", 0},
        {SCHEMA_BDF, "00:1f.3", 0xfb000},
        {SCHEMA_BDF, "0:2.0", 0x10000},
        {SCHEMA_BDF, "FF:1F.7", 0xffff000},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t number;
        if (!reads(cases[i].kind, cases[i].text, &number) || number != cases[i].number)
            fail_msg("%s", cases[i].text);
    }
}

static void wrong_texts_are_refused(void **state)
{
    (void)state;
    static const struct accepted cases[] = {
        {SCHEMA_NUMBER, "", 0},
        {SCHEMA_NUMBER, "-1", 0},
        {SCHEMA_NUMBER, "-0", 0},
        {SCHEMA_NUMBER, "+1", 0},
        {SCHEMA_NUMBER, " 1", 0},
        {SCHEMA_NUMBER, "1 ", 0},
        {SCHEMA_NUMBER, "010", 0},
        {SCHEMA_NUMBER, "00", 0},
        {SCHEMA_NUMBER, "0o10", 0},
        {SCHEMA_NUMBER, "0b1", 0},
        {SCHEMA_NUMBER, "0x", 0},
        {SCHEMA_NUMBER, "0xg", 0},
        {SCHEMA_NUMBER, "0x-1", 0},
        {SCHEMA_NUMBER, "x1", 0},
        {SCHEMA_NUMBER, "1e9", 0},
        {SCHEMA_NUMBER, "1.0", 0},
        {SCHEMA_NUMBER, "1_000", 0},
        {SCHEMA_NUMBER, "1,000", 0},
        {SCHEMA_NUMBER, "12:30", 0},
        {SCHEMA_NUMBER, "18446744073709551616", 0},
        {SCHEMA_NUMBER, "99999999999999999999999999", 0},
        {SCHEMA_NUMBER, "0x10000000000000000", 0},
        {SCHEMA_NUMBER, "1KiB", 0},
        {SCHEMA_SIZE, "KiB", 0},
        {SCHEMA_SIZE, "1KB", 0},
        {SCHEMA_SIZE, "1kib", 0},
        {SCHEMA_SIZE, "1K", 0},
        {SCHEMA_SIZE, "1  KiB", 0},
        {SCHEMA_SIZE, "1KiB ", 0},
        {SCHEMA_SIZE, "1.5MiB", 0},
        {SCHEMA_SIZE, "17179869184GiB", 0},
        {SCHEMA_SIZE, "18446744073709551615KiB", 0},
        {SCHEMA_DURATION, "50", 0},
        {SCHEMA_DURATION, "0", 0},
        {SCHEMA_DURATION, "1m", 0},
        {SCHEMA_DURATION, "1h", 0},
        {SCHEMA_DURATION, "1us1ns", 0},
        {SCHEMA_DURATION, "18446744074s", 0},
        {SCHEMA_BOOL, "yes", 0},
        {SCHEMA_BOOL, "True", 0},
        {SCHEMA_BOOL, "1", 0},
        {SCHEMA_CPU, "Any", 0},
        {SCHEMA_CPU, "0-3", 0},
        {SCHEMA_CPU_LIST, "", 0},
        {SCHEMA_CPU_LIST, "any", 0},
        {SCHEMA_CPU_LIST, "-", 0},
        {SCHEMA_CPU_LIST, "1-", 0},
        {SCHEMA_CPU_LIST, "1,", 0},
        {SCHEMA_CPU_LIST, ",1", 0},
        {SCHEMA_CPU_LIST, "1 2", 0},
        {SCHEMA_CPU_LIST, "1, 2", 0},
        {SCHEMA_CPU_LIST, "1-2-3", 0},
        {SCHEMA_CPU_LIST, "3-2", 0},
        {SCHEMA_CPU_LIST, "1,1", 0},
        {SCHEMA_CPU_LIST, "1-3,2-5", 0},
        {SCHEMA_CPU_LIST, "8192", 0},
        {SCHEMA_CPU_LIST, "0-99999999999999999999", 0},
        {SCHEMA_CPU_LIST, "01", 0},
        {SCHEMA_CPU_LIST, "0x1", 0},
        {SCHEMA_CPU_LIST, "0-31:2", 0},
        {SCHEMA_BDF, "", 0},
        {SCHEMA_BDF, "0", 0},
        {SCHEMA_BDF, "00:1f", 0},
        {SCHEMA_BDF, "00:1f.", 0},
        {SCHEMA_BDF, "00:.0", 0},
        {SCHEMA_BDF, ":1f.0", 0},
        {SCHEMA_BDF, "00:20.0", 0},
        {SCHEMA_BDF, "00:ff.0", 0},
        {SCHEMA_BDF, "00:1f.8", 0},
        {SCHEMA_BDF, "00:1f.f", 0},
        {SCHEMA_BDF, "00:1f.03", 0},
        {SCHEMA_BDF, "00:01f.3", 0},
        {SCHEMA_BDF, "000:1f.3", 0},
        {SCHEMA_BDF, "100:00.0", 0},
        {SCHEMA_BDF, "0000:00:1f.3", 0},
        {SCHEMA_BDF, "00:1f.3 ", 0},
        {SCHEMA_BDF, " 00:1f.3", 0},
        {SCHEMA_BDF, "00-1f.3", 0},
        {SCHEMA_BDF, "-1:0.0", 0},
        {SCHEMA_BDF, "0x0:0.0", 0},
        {SCHEMA_BDF, "00:1g.3", 0},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t number;
        if (reads(cases[i].kind, cases[i].text, &number))
            fail_msg("'%s' was read as %llu", cases[i].text, (unsigned long long)number);
    }
}

static void quoted_numbers_are_text(void **state)
{
    (void)state;
    static const enum schema_kind all[] = {SCHEMA_NUMBER, SCHEMA_SIZE, SCHEMA_DURATION,
                                           SCHEMA_BOOL};
    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        const struct schema_key key = {.name = "k", .kind = all[i], .maximum = UINT64_MAX};
        struct schema_value value = {0};
        char problem[SCALAR_PROBLEM_BYTES];
        assert_false(scalar_read(&key, (struct scalar_text){"1", 1, true}, &value, problem));
        assert_string_equal(problem, "'1' is text because of its quotes");
    }
}

static void bounds_are_inclusive(void **state)
{
    (void)state;
    const struct schema_key key = {.name = "k", .kind = SCHEMA_NUMBER, .minimum = 3, .maximum = 5};
    static const bool in_range[] = {false, false, false, true, true, true, false};
    for (unsigned i = 0; i < 7; i++) {
        char text[4];
        int length = snprintf(text, sizeof(text), "%u", i);
        struct schema_value value = {0};
        char problem[SCALAR_PROBLEM_BYTES];
        assert_int_equal(
            scalar_read(&key, (struct scalar_text){text, (size_t)length, false}, &value, problem),
            in_range[i]);
    }
}

static void long_texts_are_quoted_in_part(void **state)
{
    (void)state;
    char text[1001];
    memset(text, '\x01', 1000);
    text[1000] = '\0';
    const struct schema_key key = {.name = "k", .kind = SCHEMA_NUMBER, .maximum = 5};
    struct schema_value value = {0};
    char problem[SCALAR_PROBLEM_BYTES];
    assert_false(scalar_read(&key, (struct scalar_text){text, 1000, false}, &value, problem));
    assert_memory_equal(problem, "'\\x01\\x01", 9);
    assert_non_null(strstr(problem, "...' is no number"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(right_texts_are_read),          cmocka_unit_test(wrong_texts_are_refused),
        cmocka_unit_test(quoted_numbers_are_text),       cmocka_unit_test(bounds_are_inclusive),
        cmocka_unit_test(long_texts_are_quoted_in_part),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
