/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A poller looks up what control replaces all the while: it finds what was there before or what is there
 * now. For a thread sanitizer as well: nothing is written that a reader may still look into.
 */
#include "pollers/memory.h"
#include "tests/support/router_reader.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
/* after those, as it asks */
#include <cmocka.h>

#define PLACE_BYTES 64u
#define PLACE_COUNT 32u

static struct client clients[4];

/* Covers bytes 24..31 of its place; where it begins and ends, whose it is and its number go together. */
static struct router_range make_place(uint64_t place, uint32_t begin, uint32_t end)
{
    uint64_t base = place * PLACE_BYTES;
    return (struct router_range){base + begin, base + end,       &clients[(begin + end) % 4],
                                 REQUEST_MMIO, begin << 8 | end, 0};
}

static bool is_consistent(const struct router_route *found, uint64_t place)
{
    uint32_t begin = found->range_index >> 8, end = found->range_index & 0xff;
    return found->first == place * PLACE_BYTES + begin && begin <= 24 && end >= 31 &&
           found->client == &clients[(begin + end) % 4];
}

static void look(struct router_reader *reader)
{
    struct router_route route;
    for (uint64_t i = 0; i < 256; i++) {
        uint64_t place = router_reader_pick(reader, PLACE_COUNT);
        uint64_t address = place * PLACE_BYTES + 24;
        reader->wrong += !router_find(reader->router, REQUEST_MMIO, address, 8, &route) ||
                         !is_consistent(&route, place);
        reader->wrong += !router_find_again(reader->router, &reader->hint, REQUEST_MMIO,
                                            address + i % 8, 1, &route) ||
                         !is_consistent(&route, place);
    }
}

/* A range is replaced by another one in its place: found is either, never some of each, and never neither.
 * Ever other beginnings and ends, so that outlines are taken and left all the time. */
static void a_reader_never_finds_a_mixture(void **state)
{
    (void)state;
    const char *given = getenv("ROUTER_SEED");
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 0) : (unsigned)time(NULL);
    printf("ROUTER_SEED=%u\n", seed);
    srandom(seed);
    struct router_range ranges[PLACE_COUNT];
    for (uint64_t i = 0; i < PLACE_COUNT; i++)
        ranges[i] = make_place(i, 0, 31);
    struct router *router;
    struct router_reader reader;
    assert_int_equal(router_create(ranges, PLACE_COUNT, MEMORY_ANY_NODE, &router, NULL), 0);
    assert_int_equal(router_reader_start(&reader, router, look), 0);
    for (int i = 0; i < 200000; i++) {
        uint64_t place = (uint64_t)random() % PLACE_COUNT;
        ranges[place] = make_place(place, (uint32_t)random() % 25, 31 + (uint32_t)random() % 33);
        assert_int_equal(router_change(router, REQUEST_MMIO, place * PLACE_BYTES,
                                       place * PLACE_BYTES + PLACE_BYTES - 1, &ranges[place], 1,
                                       NULL),
                         0);
        if (i % 8 == 0) {
            router_reader_pass(&reader);
            router_reclaim(router);
        }
    }
    router_reader_stop(&reader);
    assert_int_equal(reader.wrong, 0);
    router_destroy(router);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reader_never_finds_a_mixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
