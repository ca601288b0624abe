/* SPDX-License-Identifier: BSD-3-Clause */
/* What every device kind must do, whatever it is. */
#include "tests/support/device_harness.h"

#include <errno.h>

#define RANDOM_SEED   UINT64_C(0xd1342543de82ef95)
#define RANDOM_ROUNDS 50000u

static const struct {
    const char *kind;
    uint32_t type;
    uint64_t first;
    uint64_t size_bytes;
    const char *options_text;
} samples[] = {
    {"cmos", REQUEST_PORTIO, 0x70, 2, ""},
    {"debug_console", REQUEST_PORTIO, 0x402, 2, ""},
    {"example", REQUEST_MMIO, 0xd0000000, 8, "initial: 7"},
    {"fallback", REQUEST_PORTIO, 0x1000, 8, ""},
    {"pci_host", REQUEST_PCICFG, 0, 4096, ""},
    {"process", REQUEST_MMIO, 0xfe002000, 32, "deadline_us: 500\nlate: value"},
    {"register_bank", REQUEST_MMIO, 0xfe000000, 32,
     "registers: name=A offset=0 size=4 count=3\nregisters: name=B offset=16 size=8"},
    {"uart", REQUEST_PORTIO, 0x3f8, 8, ""},
    {"uart", REQUEST_MMIO, 0x9000000, 32, "stride: 4\nstream: none"},
};
#define SAMPLE_COUNT (sizeof(samples) / sizeof(samples[0]))

static struct device_harness sample_start(size_t index)
{
    struct device_harness harness =
        device_harness_init(samples[index].type, samples[index].first, samples[index].size_bytes);
    device_harness_start(&harness, samples[index].kind, samples[index].options_text);
    return harness;
}

static uint64_t random_next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

static void unknown_kind_is_not_found(void **state)
{
    (void)state;
    assert_null(device_kind_find("toaster"));
    assert_null(device_kind_find(""));
    assert_null(device_kind_find("UART"));
}

static void every_kind_is_found_described_and_sampled(void **state)
{
    (void)state;
    for (size_t i = 0; device_kinds[i]; i++) {
        const struct device_ops *ops = device_kinds[i];
        assert_ptr_equal(device_kind_find(ops->name), ops);
        assert_true(ops->create && ops->reset && ops->handle && ops->destroy);
        assert_true(ops->summary && *ops->summary);
        bool is_sampled = false;
        for (size_t sample = 0; sample < SAMPLE_COUNT; sample++)
            is_sampled |= strcmp(samples[sample].kind, ops->name) == 0;
        assert_true(is_sampled);
    }
}

static void check_option(const struct device_option *option)
{
    assert_true(option->name && *option->name && option->help && *option->help);
    if (option->required)
        assert_null(option->default_text);
    if (option->kind == DEVICE_OPTION_NUMBER || option->kind == DEVICE_OPTION_SIZE)
        assert_true(option->minimum <= option->maximum);
    if (option->kind == DEVICE_OPTION_CHOICE)
        assert_non_null(option->choices);
    if (!option->required && option->kind != DEVICE_OPTION_RECORDS)
        (void)device_harness_value(option, NULL); /* the default is itself valid */
    for (size_t i = 0; i < option->field_count; i++)
        check_option(&option->fields[i]);
}

static void every_option_has_help_and_a_valid_default(void **state)
{
    (void)state;
    for (size_t i = 0; device_kinds[i]; i++) {
        for (size_t option = 0; option < device_kinds[i]->option_count; option++)
            check_option(&device_kinds[i]->options[option]);
    }
}

/* faults row 24 */
static void misaligned_access_reaches_every_device_unchanged(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        struct device_harness harness = sample_start(i);
        for (uint32_t size = 1; size <= (samples[i].type == REQUEST_MMIO ? 8u : 4u); size *= 2) {
            for (uint64_t offset = 0; offset + size <= samples[i].size_bytes; offset++) {
                for (uint32_t direction = REQUEST_READ; direction <= REQUEST_WRITE; direction++) {
                    struct request request = {.address = samples[i].first + offset,
                                              .offset = offset,
                                              .arrival_ticks = harness.now_ticks,
                                              .type = (uint8_t)samples[i].type,
                                              .direction = (uint8_t)direction,
                                              .size_bytes = (uint8_t)size};
                    int rc = harness.device->ops->handle(harness.device, &request);
                    assert_true(rc == 0 || rc == -EINVAL);
                    assert_int_equal(request.address, samples[i].first + offset);
                    assert_int_equal(request.offset, offset);
                    assert_int_equal(request.size_bytes, size);
                    if (rc == 0 && direction == REQUEST_READ)
                        assert_true(request.value <= request_ones(size));
                }
            }
        }
        device_harness_stop(&harness);
    }
}

static void requests_without_a_range_get_an_answer_or_an_error(void **state)
{
    (void)state;
    static const uint64_t addresses[] = {0, 1, 0x70, 0xcfe, UINT64_MAX - 7};
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        struct device_harness harness = sample_start(i);
        for (uint32_t type = 0; type < REQUEST_TYPE_COUNT; type++) {
            for (size_t at = 0; at < sizeof(addresses) / sizeof(addresses[0]); at++) {
                struct request request = {.address = addresses[at],
                                          .offset = addresses[at],
                                          .range_index = REQUEST_NO_RANGE,
                                          .arrival_ticks = UINT64_MAX,
                                          .type = (uint8_t)type,
                                          .size_bytes = 8};
                int rc = harness.device->ops->handle(harness.device, &request);
                assert_true(rc == 0 || rc == -ENXIO || rc == -EINVAL);
            }
        }
        device_harness_stop(&harness);
    }
}

/* Under the sanitizers: whatever a guest does, in whatever order, with time in jumps. */
static void random_requests_never_break_a_device(void **state)
{
    (void)state;
    print_message("seed 0x%llx\n", (unsigned long long)RANDOM_SEED);
    uint64_t seed = RANDOM_SEED;
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        struct device_harness harness = sample_start(i);
        for (uint32_t round = 0; round < RANDOM_ROUNDS; round++) {
            uint32_t size = 1u << (random_next(&seed) % 4);
            if (size > samples[i].size_bytes)
                size = 1;
            uint64_t value = random_next(&seed);
            uint64_t offset = random_next(&seed) % (samples[i].size_bytes - size + 1);
            harness.now_ticks += random_next(&seed) >> (random_next(&seed) % 64);
            int rc = device_harness_access(&harness, random_next(&seed) % 2, offset, size, &value);
            assert_true(rc == 0 || rc == -EINVAL);
            if (harness.device->input)
                (void)byte_ring_try_push(harness.device->input, (uint8_t)value);
            if (random_next(&seed) % 1000 == 0)
                harness.device->ops->reset(harness.device);
        }
        device_harness_stop(&harness);
    }
}

static void message_is_cut_to_the_space_for_it(void **state)
{
    (void)state;
    char error[8] = "untouch";
    struct device_setup setup = {.error = error, .error_bytes = sizeof(error)};
    assert_int_equal(device_refuse(&setup, EINVAL, "%s", "longer than that"), -EINVAL);
    assert_string_equal(error, "longer ");
    setup.error_bytes = 0;
    assert_int_equal(device_refuse(&setup, ENOMEM, "x"), -ENOMEM);
    assert_string_equal(error, "longer ");
}

static void fallback_answers_ones_to_anything(void **state)
{
    (void)state;
    struct device_harness harness = device_harness_init(REQUEST_MMIO, 0, 8);
    harness.setup.range_count = 0;
    device_harness_start(&harness, "fallback", "");
    for (uint32_t size = 1; size <= 8; size *= 2)
        assert_int_equal(device_harness_read(&harness, 0, size), request_ones(size));
    device_harness_write(&harness, 0, 8, 0);
    device_harness_stop(&harness);
}

static void example_counts_reads_of_its_scratch_register(void **state)
{
    (void)state;
    struct device_harness harness = device_harness_init(REQUEST_MMIO, 0, 4);
    device_harness_refusal(&harness, "example", "", EINVAL, "ranges: ");
    harness = device_harness_init(REQUEST_MMIO, 0, 8);
    device_harness_start(&harness, "example", "initial: 0x12345678");
    assert_int_equal(device_harness_read(&harness, 0, 4), 0x12345678);
    device_harness_write(&harness, 0, 4, 42);
    device_harness_write(&harness, 4, 4, 42);
    assert_int_equal(device_harness_read(&harness, 0, 4), 42);
    assert_int_equal(device_harness_read(&harness, 4, 4), 2);
    uint64_t value = 0;
    assert_int_equal(device_harness_access(&harness, REQUEST_READ, 2, 4, &value), -EINVAL);
    assert_int_equal(device_harness_access(&harness, REQUEST_READ, 0, 2, &value), -EINVAL);
    harness.device->ops->reset(harness.device);
    assert_int_equal(device_harness_read(&harness, 4, 4), 0);
    assert_int_equal(device_harness_read(&harness, 0, 4), 0x12345678);
    device_harness_stop(&harness);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unknown_kind_is_not_found),
        cmocka_unit_test(misaligned_access_reaches_every_device_unchanged),
        cmocka_unit_test(requests_without_a_range_get_an_answer_or_an_error),
        cmocka_unit_test(random_requests_never_break_a_device),
        cmocka_unit_test(message_is_cut_to_the_space_for_it),
        cmocka_unit_test(every_kind_is_found_described_and_sampled),
        cmocka_unit_test(every_option_has_help_and_a_valid_default),
        cmocka_unit_test(fallback_answers_ones_to_anything),
        cmocka_unit_test(example_counts_reads_of_its_scratch_register),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
