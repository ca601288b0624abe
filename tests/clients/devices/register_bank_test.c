/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/support/device_harness.h"

#include <errno.h>

#define RANDOM_BYTES  64u
#define RANDOM_ROUNDS 20000u
#define RANDOM_SEED   UINT64_C(0x2545f4914f6cdd1d)

static struct device_harness bank_init(void)
{
    return device_harness_init(REQUEST_MMIO, 0xfe000000, 0x100);
}

static void overlapping_registers_are_refused_by_name(void **state)
{
    (void)state;
    struct device_harness harness = bank_init();
    const char *text = "registers: name=STATUS offset=0x10 size=4\n"
                       "registers: name=CONTROL offset=0x20 size=4\n"
                       "registers: name=MASK offset=0x13 size=1";
    device_harness_refusal(&harness, "register_bank", text, EINVAL,
                           "registers: 'STATUS' and 'MASK' overlap at offset 0x13");
    text = "registers: name=RING offset=0 size=8 count=4\n"
           "registers: name=HEAD offset=0x1c size=4";
    device_harness_refusal(&harness, "register_bank", text, EINVAL, "'RING' and 'HEAD'");
}

static void register_outside_the_range_is_refused(void **state)
{
    (void)state;
    struct device_harness harness = bank_init();
    static const char *const texts[] = {
        "registers: name=LATE offset=0x100 size=1",
        "registers: name=LATE offset=0xfd size=4",
        "registers: name=LATE offset=0 size=4 count=65",
        "registers: name=LATE offset=0xfffff size=8 count=1048576",
    };
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        device_harness_refusal(&harness, "register_bank", texts[i], EINVAL, "'LATE'");
}

static void value_wider_than_the_register_is_refused(void **state)
{
    (void)state;
    struct device_harness harness = bank_init();
    device_harness_refusal(&harness, "register_bank",
                           "registers: name=R offset=0 size=1 reset=0x100", EINVAL,
                           "'R': reset 0x100 does not fit");
    device_harness_refusal(&harness, "register_bank",
                           "registers: name=R offset=0 size=2 write_mask=0x10000", EINVAL,
                           "'R': write_mask");
    device_harness_refusal(&harness, "register_bank",
                           "registers: name=R offset=0 size=4 read_mask=0x100000000", EINVAL,
                           "'R': read_mask");
    device_harness_refusal(&harness, "register_bank",
                           "registers: name=R offset=0 size=4 write_one_clears=0xffffffffffffffff",
                           EINVAL, "'R': write_one_clears");
}

static void names_must_be_there_and_differ(void **state)
{
    (void)state;
    struct device_harness harness = bank_init();
    device_harness_refusal(&harness, "register_bank", "registers: name= offset=0x8 size=1", EINVAL,
                           "offset 0x8 has an empty name");
    device_harness_refusal(&harness, "register_bank",
                           "registers: name=A offset=0 size=1\nregisters: name=A offset=1 size=1",
                           EINVAL, "two are named 'A'");
}

static void bank_without_registers_or_with_wrong_ranges_is_refused(void **state)
{
    (void)state;
    struct device_harness harness = bank_init();
    device_harness_refusal(&harness, "register_bank", "", EINVAL, "registers: ");
    harness = device_harness_init(REQUEST_MMIO, 0, (1 << 20) + 1);
    device_harness_refusal(&harness, "register_bank", "registers: name=A offset=0 size=1", EINVAL,
                           "1 MiB");
    harness = device_harness_init(REQUEST_MMIO, 0, 0); /* 0..2^64-1 */
    device_harness_refusal(&harness, "register_bank", "registers: name=A offset=0 size=1", EINVAL,
                           "1 MiB");
    const struct device_range two[2] = {{0, 7, REQUEST_MMIO}, {16, 23, REQUEST_MMIO}};
    harness.setup.ranges = two;
    harness.setup.range_count = 2;
    device_harness_refusal(&harness, "register_bank", "registers: name=A offset=0 size=1", EINVAL,
                           "exactly one");
}

static void access_outside_the_bank_is_an_error(void **state)
{
    (void)state;
    struct device_harness harness = bank_init();
    device_harness_start(&harness, "register_bank", "registers: name=A offset=0 size=4");
    uint64_t value = 0;
    assert_int_equal(device_harness_access(&harness, REQUEST_READ, 0xfd, 4, &value), -ENXIO);
    assert_int_equal(device_harness_access(&harness, REQUEST_READ, UINT64_MAX, 2, &value), -ENXIO);
    assert_int_equal(device_harness_access(&harness, REQUEST_WRITE, 0x100, 1, &value), -ENXIO);
    device_harness_stop(&harness);
}

static void reset_values_and_gaps_are_read(void **state)
{
    (void)state;
    struct device_harness harness = bank_init();
    device_harness_start(&harness, "register_bank",
                         "registers: name=ID offset=0x4 size=4 reset=0x11223344 write_mask=0\n"
                         "registers: name=WIDE offset=0x10 size=8 reset=0x8877665544332211");
    assert_int_equal(device_harness_read(&harness, 4, 4), 0x11223344);
    assert_int_equal(device_harness_read(&harness, 0x10, 8), 0x8877665544332211);
    assert_int_equal(device_harness_read(&harness, 0, 4), 0xffffffff);
    /* parts, and across the edge into the gap */
    assert_int_equal(device_harness_read(&harness, 5, 2), 0x2233);
    assert_int_equal(device_harness_read(&harness, 2, 4), 0x3344ffff);
    assert_int_equal(device_harness_read(&harness, 0, 8), 0x11223344ffffffff);
    device_harness_write(&harness, 0, 8, 0);
    assert_int_equal(device_harness_read(&harness, 0, 8), 0x11223344ffffffff);
    device_harness_stop(&harness);
}

static void masks_rule_each_bit(void **state)
{
    (void)state;
    struct device_harness harness = bank_init();
    device_harness_start(&harness, "register_bank",
                         "registers: name=CTRL offset=0 size=4 reset=0xf0 write_mask=0x0f0f\n"
                         "registers: name=STAT offset=4 size=2 reset=0xffff write_mask=0x00ff "
                         "write_one_clears=0xf00f\n"
                         "registers: name=KEY offset=6 size=2 read_mask=0x00ff");
    device_harness_write(&harness, 0, 4, 0xffffffff);
    assert_int_equal(device_harness_read(&harness, 0, 4), 0x0fff);
    device_harness_write(&harness, 4, 2, 0x1001);
    assert_int_equal(device_harness_read(&harness, 4, 2), 0xef0e); /* writable bits 4..7 took 0 */
    device_harness_write(&harness, 6, 2, 0xabcd);
    assert_int_equal(device_harness_read(&harness, 6, 2), 0x00cd);
    device_harness_stop(&harness);
}

static void access_may_span_registers(void **state)
{
    (void)state;
    struct device_harness harness = bank_init();
    device_harness_start(&harness, "register_bank",
                         "registers: name=A offset=0 size=2\nregisters: name=B offset=2 size=2\n"
                         "registers: name=C offset=4 size=4 count=2");
    device_harness_write(&harness, 1, 8, 0x8877665544332211);
    assert_int_equal(device_harness_read(&harness, 0, 2), 0x1100);
    assert_int_equal(device_harness_read(&harness, 2, 2), 0x3322);
    assert_int_equal(device_harness_read(&harness, 4, 4), 0x77665544);
    assert_int_equal(device_harness_read(&harness, 8, 4), 0x00000088);
    device_harness_stop(&harness);
}

static void array_repeats_reset_and_masks(void **state)
{
    (void)state;
    struct device_harness harness = bank_init();
    device_harness_start(&harness, "register_bank",
                         "registers: name=V offset=0x20 size=4 count=3 reset=0x12345678 "
                         "write_mask=0xff");
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(device_harness_read(&harness, 0x20 + 4 * i, 4), 0x12345678);
        device_harness_write(&harness, 0x20 + 4 * i, 4, i);
        assert_int_equal(device_harness_read(&harness, 0x20 + 4 * i, 4), 0x12345600 + i);
    }
    assert_int_equal(device_harness_read(&harness, 0x2c, 4), 0xffffffff);
    harness.device->ops->reset(harness.device);
    assert_int_equal(device_harness_read(&harness, 0x28, 4), 0x12345678);
    device_harness_stop(&harness);
}

static void largest_bank_works_to_its_last_byte(void **state)
{
    (void)state;
    struct device_harness harness = device_harness_init(REQUEST_MMIO, 0xfe000000, 1 << 20);
    device_harness_start(&harness, "register_bank",
                         "registers: name=ALL offset=0 size=1 count=1048576 reset=7");
    device_harness_write(&harness, 0xffff8, 8, 0x0102030405060708);
    assert_int_equal(device_harness_read(&harness, 0xffff8, 8), 0x0102030405060708);
    assert_int_equal(device_harness_read(&harness, 0xffff0, 8), 0x0707070707070707);
    device_harness_stop(&harness);
}

static uint64_t random_next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* The bank against a model of whole 64-bit words; one register covers all 64 bytes. */
static void random_accesses_equal_a_model(void **state)
{
    (void)state;
    struct device_harness harness = device_harness_init(REQUEST_MMIO, 0x1000, RANDOM_BYTES);
    device_harness_start(&harness, "register_bank",
                         "registers: name=W offset=0 size=8 count=8 reset=0x0123456789abcdef "
                         "write_mask=0xffff0000ffff00f0 read_mask=0xff00ffff00ffffff "
                         "write_one_clears=0x0000ffff000000ff");
    const uint64_t clears = 0x0000ffff000000ff;
    const uint64_t writes = 0xffff0000ffff00f0 & ~clears;
    uint64_t words[RANDOM_BYTES / 8];
    for (size_t i = 0; i < RANDOM_BYTES / 8; i++)
        words[i] = 0x0123456789abcdef;
    uint64_t seed = RANDOM_SEED;
    for (uint32_t round = 0; round < RANDOM_ROUNDS; round++) {
        uint32_t size = 1u << (random_next(&seed) % 4);
        uint64_t offset = random_next(&seed) % (RANDOM_BYTES - size + 1);
        uint64_t data = random_next(&seed);
        bool is_write = random_next(&seed) & 1;
        uint64_t expected = 0;
        for (uint32_t i = 0; i < size; i++) {
            uint64_t at = offset + i;
            uint32_t shift = 8 * (uint32_t)(at % 8);
            uint64_t bits = (uint64_t)0xff << shift;
            uint64_t byte = (data >> (8 * i) & 0xff) << shift;
            uint64_t *word = &words[at / 8];
            expected |= ((*word & 0xff00ffff00ffffff) >> shift & 0xff) << (8 * i);
            if (is_write)
                *word = ((*word & ~(writes & bits)) | (byte & writes)) & ~(byte & clears);
        }
        if (is_write)
            device_harness_write(&harness, offset, size, data);
        else
            assert_int_equal(device_harness_read(&harness, offset, size), expected);
    }
    device_harness_stop(&harness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(overlapping_registers_are_refused_by_name),
        cmocka_unit_test(register_outside_the_range_is_refused),
        cmocka_unit_test(value_wider_than_the_register_is_refused),
        cmocka_unit_test(names_must_be_there_and_differ),
        cmocka_unit_test(bank_without_registers_or_with_wrong_ranges_is_refused),
        cmocka_unit_test(access_outside_the_bank_is_an_error),
        cmocka_unit_test(reset_values_and_gaps_are_read),
        cmocka_unit_test(masks_rule_each_bit),
        cmocka_unit_test(access_may_span_registers),
        cmocka_unit_test(array_repeats_reset_and_masks),
        cmocka_unit_test(largest_bank_works_to_its_last_byte),
        cmocka_unit_test(random_accesses_equal_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
