/* SPDX-License-Identifier: BSD-3-Clause */
#include "clients/doorbell.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* after those, as it asks */
#include <cmocka.h>
#include <stdlib.h>

#define ADDRESS 0xfe000010ull

struct bench {
    struct doorbell doorbell;
    struct doorbell_figures figures;
    uint32_t rung; /* the last signal */
    uint32_t ring_count;
};

static void note_ring(void *context, uint32_t signal)
{
    struct bench *bench = context;
    bench->rung = signal;
    bench->ring_count++;
}

static int setup(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    assert_non_null(bench);
    const struct doorbell_options options = {
        .address = ADDRESS,
        .read_value = 0x5a,
        .figures = &bench->figures,
        .ring = note_ring,
        .ring_context = bench,
    };
    doorbell_init(&bench->doorbell, &options);
    *state = bench;
    return 0;
}

static int teardown(void **state)
{
    free(*state);
    return 0;
}

/* As a poller does it; the signal that rang, or 0. */
static uint32_t write_to(struct bench *bench, uint64_t address, uint8_t size, uint64_t value)
{
    struct device *device = &bench->doorbell.device;
    struct request request = {.address = address,
                              .value = value,
                              .type = REQUEST_MMIO,
                              .direction = REQUEST_WRITE,
                              .size_bytes = size};
    uint32_t count = bench->ring_count;
    assert_int_equal(device->ops->handle(device, &request), 0);
    assert_int_equal(bench->ring_count, count); /* not before the answer */
    device->ops->completed(device, &request);
    return bench->ring_count == count ? 0 : bench->rung;
}

static const struct doorbell_table *table_of(const struct doorbell_bell *bells, uint32_t count)
{
    static struct {
        struct doorbell_table table;
        struct doorbell_bell bells[DOORBELL_BELLS_MAX];
    } storage;
    storage.table.count = count;
    for (uint32_t i = 0; i < count; i++)
        storage.table.bells[i] = bells[i];
    return &storage.table;
}

static void without_bells_every_write_misses(void **state)
{
    struct bench *bench = *state;
    assert_int_equal(write_to(bench, ADDRESS, 4, 1), 0);
    assert_int_equal(bench->figures.misses, 1);
    assert_int_equal(bench->figures.rings, 0);
}

static void other_addresses_and_wider_writes_miss(void **state)
{
    struct bench *bench = *state;
    const struct doorbell_bell bell = {.length_bytes = 4, .signal = 9, .is_wildcard = true};
    doorbell_set_table(&bench->doorbell, table_of(&bell, 1));
    assert_int_equal(write_to(bench, ADDRESS + 1, 1, 1), 0);
    assert_int_equal(write_to(bench, ADDRESS + 2, 2, 1), 0);
    assert_int_equal(write_to(bench, ADDRESS, 8, 1), 0);
    assert_int_equal(bench->figures.misses, 3);
    const uint8_t sizes[] = {1, 2, 4};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(write_to(bench, ADDRESS, sizes[i], 1), 9);
    assert_int_equal(bench->figures.rings, 3);
}

static void data_selects_and_the_first_match_rings(void **state)
{
    struct bench *bench = *state;
    const struct doorbell_bell bells[] = {
        {.data = 1, .length_bytes = 2, .signal = 11},
        {.data = 2, .length_bytes = 4, .signal = 12},
        {.length_bytes = 2, .signal = 13, .is_wildcard = true},
        {.data = 3, .length_bytes = 2, .signal = 14}, /* never: a wildcard comes before */
    };
    doorbell_set_table(&bench->doorbell, table_of(bells, 4));
    assert_int_equal(write_to(bench, ADDRESS, 2, 1), 11);
    assert_int_equal(write_to(bench, ADDRESS, 2, 2), 12);
    assert_int_equal(write_to(bench, ADDRESS, 4, 2), 12);
    assert_int_equal(write_to(bench, ADDRESS, 2, 3), 13);
    assert_int_equal(write_to(bench, ADDRESS, 4, 1), 0); /* too wide for its bell */
    assert_int_equal(bench->figures.misses, 1);
}

static void reads_are_answered_and_ring_nobody(void **state)
{
    struct bench *bench = *state;
    struct device *device = &bench->doorbell.device;
    const struct doorbell_bell bell = {.length_bytes = 4, .signal = 9, .is_wildcard = true};
    doorbell_set_table(&bench->doorbell, table_of(&bell, 1));
    assert_int_equal(write_to(bench, ADDRESS, 4, 1), 9); /* leaves nothing behind */
    struct request request = {.address = ADDRESS, .direction = REQUEST_READ, .size_bytes = 4};
    assert_int_equal(device->ops->handle(device, &request), 0);
    device->ops->completed(device, &request);
    assert_int_equal(request.value, 0x5a);
    assert_int_equal(bench->ring_count, 1);
    assert_int_equal(bench->figures.misses, 0);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(without_bells_every_write_misses),
        CASE(other_addresses_and_wider_writes_miss),
        CASE(data_selects_and_the_first_match_rings),
        CASE(reads_are_answered_and_ring_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
