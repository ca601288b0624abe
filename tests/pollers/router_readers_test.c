/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A poller looks up what control replaces all the while: it finds what was there before or what is there
 * now. For a thread sanitizer as well: nothing is written that a reader may still look into.
 */
#include "pollers/memory.h"
#include "pollers/router.h"

#include <pthread.h>
#include <sched.h>
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

struct reader {
    struct router *router;
    _Atomic uint64_t rounds;
    _Atomic bool is_over;
    uint64_t mixtures;
};

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

static void *reader_main(void *argument)
{
    struct reader *reader = argument;
    uint64_t random_state = 1;
    struct router_hint hint = {0};
    struct router_route route;
    while (!atomic_load_explicit(&reader->is_over, memory_order_acquire)) {
        for (uint64_t i = 0; i < 256; i++) {
            random_state = random_state * 6364136223846793005u + 1442695040888963407u;
            uint64_t place = (random_state >> 33) % PLACE_COUNT;
            uint64_t address = place * PLACE_BYTES + 24;
            reader->mixtures += !router_find(reader->router, REQUEST_MMIO, address, 8, &route) ||
                                !is_consistent(&route, place);
            reader->mixtures += !router_find_again(reader->router, &hint, REQUEST_MMIO,
                                                   address + i % 8, 1, &route) ||
                                !is_consistent(&route, place);
        }
        /* Release: pairs with wait_for_reader's acquire; a quiescent point. */
        atomic_store_explicit(&reader->rounds, reader->rounds + 1, memory_order_release);
        sched_yield();
    }
    return NULL;
}

static void wait_for_reader(struct reader *reader)
{
    uint64_t rounds = atomic_load_explicit(&reader->rounds, memory_order_acquire);
    while (atomic_load_explicit(&reader->rounds, memory_order_acquire) < rounds + 2)
        sched_yield();
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
    struct reader reader = {0};
    assert_int_equal(router_create(ranges, PLACE_COUNT, MEMORY_ANY_NODE, &reader.router, NULL), 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, reader_main, &reader), 0);
    for (int i = 0; i < 200000; i++) {
        uint64_t place = (uint64_t)random() % PLACE_COUNT;
        ranges[place] = make_place(place, (uint32_t)random() % 25, 31 + (uint32_t)random() % 33);
        assert_int_equal(router_change(reader.router, REQUEST_MMIO, place * PLACE_BYTES,
                                       place * PLACE_BYTES + PLACE_BYTES - 1, &ranges[place], 1,
                                       NULL),
                         0);
        if (i % 8 == 0) {
            wait_for_reader(&reader);
            router_reclaim(reader.router);
        }
    }
    atomic_store_explicit(&reader.is_over, true, memory_order_release);
    pthread_join(thread, NULL);
    assert_int_equal(reader.mixtures, 0);
    router_destroy(reader.router);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reader_never_finds_a_mixture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
