/* SPDX-License-Identifier: BSD-3-Clause */
#include "clients/request.h"
#include "server/vm/cmos_memory.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define MIB (UINT64_C(1) << 20)
#define GIB (UINT64_C(1) << 30)

static void read_register(struct cmos_memory *memory, uint8_t index, uint8_t answer)
{
    struct requester_access select = {0x70, 0x80u | index, 1, REQUEST_PORTIO, REQUEST_WRITE};
    struct requester_access data = {0x71, answer, 1, REQUEST_PORTIO, REQUEST_READ};
    cmos_memory_see(memory, &select);
    cmos_memory_see(memory, &data);
}

/* What firmware reads of a device that was told `told` bytes; the registers of `indexes`. */
static struct cmos_memory read_all(uint64_t told, const char *indexes)
{
    struct cmos_memory memory = {0};
    uint64_t low = told < 3 * GIB ? told : 3 * GIB;
    uint64_t kib = (low - MIB) >> 10 < 0xffff ? (low - MIB) >> 10 : 0xffff;
    uint64_t units = low > 16 * MIB ? (low - 16 * MIB) >> 16 : 0;
    uint64_t high_units = (told - low) >> 16;
    const struct {
        uint8_t index;
        uint64_t value;
    } registers[] = {
        {0x30, kib},
        {0x31, kib >> 8},
        {0x34, units},
        {0x35, units >> 8},
        {0x5b, high_units},
        {0x5c, high_units >> 8},
        {0x5d, high_units >> 16},
    };
    for (; *indexes; indexes++)
        for (size_t i = 0; i < sizeof(registers) / sizeof(registers[0]); i++)
            if (registers[i].index >> 4 == *indexes - '0')
                read_register(&memory, registers[i].index, (uint8_t)registers[i].value);
    return memory;
}

static void same_memory_is_no_difference(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {MIB,           2 * MIB,   16 * MIB,       17 * MIB,
                                     64 * MIB,      512 * MIB, 3 * GIB - 4096, 3 * GIB,
                                     3 * GIB + MIB, 8 * GIB,   1024 * GIB};
    char text[256] = "";
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct cmos_memory memory = read_all(sizes[i], "35");
        if (cmos_memory_differs(&memory, sizes[i], text, sizeof(text)))
            fail_msg("%lu MiB: %s", (unsigned long)(sizes[i] / MIB), text);
    }
}

static void another_memory_is_told_with_both_sizes(void **state)
{
    (void)state;
    static const struct {
        uint64_t told, guest;
        const char *text;
    } pairs[] = {
        {64 * MIB, 512 * MIB, "the rtc says 64 MiB, the guest has 512 MiB: set the cmos client's "},
        {512 * MIB, 64 * MIB, "says 512 MiB, the guest has 64 MiB"},
        {64 * MIB, 8 * MIB, "says 64 MiB, the guest has 8 MiB"},
        {8 * MIB, 64 * MIB, "says 8 MiB, the guest has 64 MiB"},
        {3 * GIB, 4 * GIB, "says 3072 MiB, the guest has 4096 MiB"},
        {4 * GIB, 3 * GIB, "says 4096 MiB, the guest has 3072 MiB"},
    };
    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++) {
        char text[256] = "";
        struct cmos_memory memory = read_all(pairs[i].told, "35");
        assert_true(cmos_memory_differs(&memory, pairs[i].guest, text, sizeof(text)));
        if (!strstr(text, pairs[i].text))
            fail_msg("'%s', wanted '%s'", text, pairs[i].text);
    }
}

static void what_was_not_read_or_not_answered_says_nothing(void **state)
{
    (void)state;
    char text[256];
    struct cmos_memory memory = {0};
    assert_false(cmos_memory_differs(&memory, 64 * MIB, text, sizeof(text)));
    read_register(&memory, 0x34, 7); /* one half */
    assert_false(cmos_memory_differs(&memory, 64 * MIB, text, sizeof(text)));
    memory = (struct cmos_memory){0};
    for (uint8_t index = 0; index < 0x80; index++)
        read_register(&memory, index, 0xff); /* nobody there */
    assert_false(cmos_memory_differs(&memory, 8 * MIB, text, sizeof(text)));
    memory = (struct cmos_memory){0};
    struct requester_access writes[] = {
        {0x70, 0x35, 1, REQUEST_PORTIO, REQUEST_WRITE},
        {0x71, 9, 1, REQUEST_PORTIO, REQUEST_WRITE}, /* no answer */
        {0x71, 9, 1, REQUEST_MMIO, REQUEST_READ},    /* another space */
    };
    for (size_t i = 0; i < 3; i++)
        cmos_memory_see(&memory, &writes[i]);
    read_register(&memory, 0x34, 9);
    assert_false(cmos_memory_differs(&memory, 64 * MIB, text, sizeof(text)));
}

static void first_answers_count_whichever_vcpu_read_them(void **state)
{
    (void)state;
    char text[256];
    struct cmos_memory all = read_all(64 * MIB, "3");
    read_register(&all, 0x35, 0x77); /* later: the guest may use it as it likes */
    assert_false(cmos_memory_differs(&all, 64 * MIB, text, sizeof(text)));
    struct cmos_memory other = {0};
    cmos_memory_merge(&other, &all);
    assert_true(cmos_memory_differs(&other, 65 * MIB, text, sizeof(text)));
    struct cmos_memory later = read_all(65 * MIB, "3");
    cmos_memory_merge(&other, &later);
    assert_false(cmos_memory_differs(&other, 64 * MIB, text, sizeof(text)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_memory_is_no_difference),
        cmocka_unit_test(another_memory_is_told_with_both_sizes),
        cmocka_unit_test(what_was_not_read_or_not_answered_says_nothing),
        cmocka_unit_test(first_answers_count_whichever_vcpu_read_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
