/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers/memory.h"
#include "pollers/router.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
/* after those, as it asks */
#include <cmocka.h>

static struct client clients[4];

static const struct router_route *find(const struct router *router, uint32_t type, uint64_t address,
                                       uint32_t size_bytes)
{
    static _Thread_local struct router_route route;
    return router_find(router, type, address, size_bytes, &route) ? &route : NULL;
}

static struct router_range range(uint32_t type, uint64_t first, uint64_t last)
{
    return (struct router_range){first, last, &clients[0], type, 0, 0};
}

static int try_create(const struct router_range *ranges, size_t count)
{
    struct router *router = NULL;
    int result = router_create(ranges, count, MEMORY_ANY_NODE, &router, NULL);
    router_destroy(router);
    return result;
}

static void backward_ranges_are_refused(void **state)
{
    (void)state;
    const struct router_range backward = range(REQUEST_MMIO, 5, 4);
    assert_int_equal(try_create(&backward, 1), -EINVAL);
}

static void types_without_ranges_are_refused(void **state)
{
    (void)state;
    const struct router_range wp = range(REQUEST_WP, 5, 6);
    assert_int_equal(try_create(&wp, 1), -EINVAL);
}

static void overlaps_are_refused_and_named(void **state)
{
    (void)state;
    const struct router_range overlapping[] = {
        range(REQUEST_MMIO, 0x3000, 0x3fff),
        range(REQUEST_MMIO, 0x1000, 0x1fff),
        range(REQUEST_MMIO, 0x1fff, 0x2fff),
    };
    struct router *router = NULL;
    size_t conflict[2] = {9, 9};
    assert_int_equal(router_create(overlapping, 3, MEMORY_ANY_NODE, &router, conflict), -EEXIST);
    assert_null(router);
    assert_int_equal(conflict[0], 1);
    assert_int_equal(conflict[1], 2);
}

static void same_addresses_of_two_types_do_not_overlap(void **state)
{
    (void)state;
    const struct router_range ranges[] = {range(REQUEST_MMIO, 0, 0xff),
                                          range(REQUEST_PORTIO, 0, 0xff)};
    assert_int_equal(try_create(ranges, 2), 0);
}

static void too_many_ranges_are_refused(void **state)
{
    (void)state;
    size_t count = ROUTER_RANGES_MAX + 1;
    struct router_range *ranges = calloc(count, sizeof(*ranges));
    for (size_t i = 0; i < count; i++)
        ranges[i] = range(REQUEST_MMIO, i * 16, i * 16 + 15);
    assert_int_equal(try_create(ranges, count), -E2BIG);
    assert_int_equal(try_create(ranges, count - 1), 0);
    free(ranges);
}

static void empty_router_finds_nothing(void **state)
{
    (void)state;
    struct router *router = NULL;
    assert_int_equal(router_create(NULL, 0, MEMORY_ANY_NODE, &router, NULL), 0);
    for (uint32_t type = 0; type < REQUEST_TYPE_COUNT; type++)
        assert_null(find(router, type, 0, 1));
    router_destroy(router);
}

static void whole_access_must_lie_in_one_range(void **state)
{
    (void)state;
    const struct router_range ranges[] = {range(REQUEST_MMIO, 0x1000, 0x1fff),
                                          range(REQUEST_MMIO, 0x2000, 0x2fff),
                                          range(REQUEST_MMIO, UINT64_MAX - 15, UINT64_MAX)};
    struct router *router = NULL;
    assert_int_equal(router_create(ranges, 3, MEMORY_ANY_NODE, &router, NULL), 0);
    assert_non_null(find(router, REQUEST_MMIO, 0x1000, 8));
    assert_non_null(find(router, REQUEST_MMIO, 0x1ff8, 8));
    assert_null(find(router, REQUEST_MMIO, 0x1ff9, 8)); /* spans two */
    assert_null(find(router, REQUEST_MMIO, 0xfff, 2));
    assert_null(find(router, REQUEST_MMIO, 0x2fff, 2));
    assert_null(find(router, REQUEST_PORTIO, 0x1000, 1));
    assert_non_null(find(router, REQUEST_MMIO, UINT64_MAX - 7, 8));
    router_destroy(router);
}

static const struct router_range *find_slowly(const struct router_range *ranges, size_t count,
                                              uint32_t type, uint64_t address, uint32_t size)
{
    for (size_t i = 0; i < count; i++)
        if (ranges[i].type == type && address >= ranges[i].first &&
            address + (size - 1) <= ranges[i].last)
            return &ranges[i];
    return NULL;
}

/* Disjoint random ranges in random order. */
static size_t make_ranges(struct router_range *ranges, size_t count)
{
    uint64_t place = (uint64_t)random() % 32;
    for (size_t i = 0; i < count; i++) {
        uint64_t size = 1 + (uint64_t)random() % 64;
        ranges[i] = (struct router_range){
            place, place + size - 1, &clients[i % 4], (uint32_t)random() % 2, (uint32_t)i, 0};
        place += size + ((random() & 1) ? 0 : (uint64_t)random() % 32);
    }
    for (size_t i = count; i > 1; i--) {
        size_t other = (size_t)random() % i;
        struct router_range swap = ranges[i - 1];
        ranges[i - 1] = ranges[other];
        ranges[other] = swap;
    }
    return (size_t)place;
}

static void finds_what_a_search_of_a_list_finds(void **state)
{
    (void)state;
    unsigned seed = (unsigned)time(NULL);
    printf("seed %u\n", seed);
    srandom(seed);
    struct router_range ranges[300];
    for (size_t count = 0; count < 300; count += 1 + count / 8) {
        uint64_t end = make_ranges(ranges, count) + 64;
        struct router *router = NULL;
        assert_int_equal(router_create(ranges, count, MEMORY_ANY_NODE, &router, NULL), 0);
        for (int i = 0; i < 5000; i++) {
            uint32_t type = (uint32_t)random() % 2;
            uint64_t address = (uint64_t)random() % end;
            uint32_t size = 1u << (random() % 4);
            const struct router_range *expected = find_slowly(ranges, count, type, address, size);
            const struct router_route *found = find(router, type, address, size);
            assert_int_equal(found != NULL, expected != NULL);
            if (!found)
                continue;
            assert_ptr_equal(found->client, expected->client);
            assert_int_equal(found->first, expected->first);
            assert_int_equal(found->range_index, expected->range_index);
        }
        router_destroy(router);
    }
}

/* The owner of one address, by definition. */
static const struct router_range *owner_of(const struct router_range *ranges, size_t count,
                                           uint32_t type, uint64_t address)
{
    const struct router_range *owner = NULL;
    for (size_t i = 0; i < count; i++)
        if (ranges[i].type == type && address >= ranges[i].first && address <= ranges[i].last &&
            (!owner || ranges[i].priority > owner->priority))
            owner = &ranges[i];
    return owner;
}

static void higher_priority_owns_what_it_shares(void **state)
{
    (void)state;
    const struct router_range ranges[] = {
        {0x1000, 0x1fff, &clients[0], REQUEST_MMIO, 0, 0},
        {0x1100, 0x11ff, &clients[1], REQUEST_MMIO, 0, 5},
    };
    struct router *router = NULL;
    assert_int_equal(router_create(ranges, 2, MEMORY_ANY_NODE, &router, NULL), 0);
    assert_ptr_equal(find(router, REQUEST_MMIO, 0x10fc, 4)->client, &clients[0]);
    assert_ptr_equal(find(router, REQUEST_MMIO, 0x1100, 4)->client, &clients[1]);
    assert_null(find(router, REQUEST_MMIO, 0x10fe, 4)); /* in neither as a whole */
    const struct router_route *behind = find(router, REQUEST_MMIO, 0x1200, 8);
    assert_ptr_equal(behind->client, &clients[0]);
    assert_int_equal(behind->first, 0x1000); /* offsets still count from the range's beginning */
    router_destroy(router);
}

static void overlapping_priorities_agree_with_the_definition(void **state)
{
    (void)state;
    unsigned seed = (unsigned)time(NULL);
    printf("seed %u\n", seed);
    srandom(seed);
    for (int run = 0; run < 400; run++) {
        struct router_range ranges[24];
        size_t count = (size_t)random() % 24;
        for (size_t i = 0; i < count; i++) {
            uint64_t first = (uint64_t)random() % 96;
            ranges[i] = (struct router_range){first,           first + (uint64_t)random() % 40,
                                              &clients[i % 4], (uint32_t)random() % ROUTER_TREES,
                                              (uint32_t)i,     (uint32_t)i};
            if (random() % 16 == 0)
                ranges[i].last = UINT64_MAX;
        }
        struct router *router = NULL;
        assert_int_equal(router_create(ranges, count, MEMORY_ANY_NODE, &router, NULL), 0);
        for (uint32_t type = 0; type < ROUTER_TREES; type++) {
            for (uint64_t address = 0; address < 140; address++) {
                const struct router_range *expected = owner_of(ranges, count, type, address);
                const struct router_route *found = find(router, type, address, 1);
                assert_int_equal(found != NULL, expected != NULL);
                if (found)
                    assert_int_equal(found->range_index, expected->range_index);
            }
        }
        router_destroy(router);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(backward_ranges_are_refused),
        cmocka_unit_test(types_without_ranges_are_refused),
        cmocka_unit_test(overlaps_are_refused_and_named),
        cmocka_unit_test(same_addresses_of_two_types_do_not_overlap),
        cmocka_unit_test(too_many_ranges_are_refused),
        cmocka_unit_test(empty_router_finds_nothing),
        cmocka_unit_test(whole_access_must_lie_in_one_range),
        cmocka_unit_test(finds_what_a_search_of_a_list_finds),
        cmocka_unit_test(higher_priority_owns_what_it_shares),
        cmocka_unit_test(overlapping_priorities_agree_with_the_definition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
