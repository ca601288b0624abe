/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The buckets beside a router's trees: after any change they lead every address to what the tree says
 * and nowhere else, a change stores few of them, and without memory there is still an answer.
 */
#include "pollers/router_index.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
/* after those, as it asks */
#include <cmocka.h>

#define RANGES_MAX 4096u

/* The router's memory, as long as there is some. */
static size_t allocations_left = SIZE_MAX;
static size_t allocation_count;

void *memory_allocate(size_t size_bytes, int node)
{
    (void)node;
    if (allocations_left == 0)
        return NULL;
    allocations_left--;
    allocation_count++;
    void *memory = aligned_alloc(4096, (size_bytes + 4095) & ~(size_t)4095);
    memset(memory, 0, size_bytes);
    return memory;
}

void memory_free(void *memory, size_t size_bytes)
{
    memset(memory, 0xa5, size_bytes); /* a lookup that still goes there does not go far */
    free(memory);
}

static struct client client;

static struct router *create_router(void)
{
    struct router *router = NULL;
    assert_int_equal(router_create(NULL, 0, MEMORY_ANY_NODE, &router, NULL), 0);
    return router;
}

static struct router_range range_at(uint64_t first, uint64_t last, uint32_t range_index)
{
    return (struct router_range){first, last, &client, REQUEST_MMIO, range_index, 0};
}

static void add(struct router *router, uint64_t first, uint64_t last, uint32_t range_index)
{
    struct router_range range = range_at(first, last, range_index);
    assert_int_equal(router_change(router, REQUEST_MMIO, first, last, &range, 1, NULL), 0);
}

static void delete (struct router *router, uint64_t first, uint64_t last)
{
    assert_int_equal(router_change(router, REQUEST_MMIO, first, last, NULL, 0, NULL), 0);
}

static const struct router_index *index_of(const struct router *router)
{
    return atomic_load_explicit(&router->indexes[REQUEST_MMIO], memory_order_relaxed);
}

static uintptr_t root_of(const struct router *router)
{
    return atomic_load_explicit(&router->roots[REQUEST_MMIO], memory_order_relaxed);
}

static uintptr_t bucket_at(const struct router_index *index, size_t i)
{
    return atomic_load_explicit(&index->buckets[i], memory_order_relaxed);
}

/* ---- the buckets against the tree -------------------------------------------------------- */

static bool can_reach(uintptr_t from, const struct router_node *wanted)
{
    const struct router_node *node = (const struct router_node *)(from & ROUTER_NODE_MASK);
    uintptr_t levels = from & ROUTER_LEVELS_MASK;
    if (node == wanted)
        return true;
    for (size_t i = 0; levels > 0 && i < tree_child_count(node); i++)
        if (can_reach((uintptr_t)tree_child(node, i) | (levels - 1), wanted))
            return true;
    return false;
}

/* Not by place: behind a leaf's last segment lie copies of it, which UINT64_MAX is led to. */
static bool is_same(const struct router_route *route, const struct router_segment *segment)
{
    if (!route || !segment)
        return !route && !segment;
    return route->first == segment->route.first && route->client == segment->route.client &&
           route->range_index == segment->route.range_index &&
           route->priority == segment->route.priority;
}

static void compare_at(const struct router *router, uint64_t address)
{
    uint64_t first;
    for (uint32_t size_bytes = 1; size_bytes <= 8; size_bytes *= 2) {
        if (address + (size_bytes - 1) < address)
            continue;
        const struct router_segment *segment =
            router_find_below(root_of(router), address, size_bytes, &first);
        if (!is_same(router_find(router, REQUEST_MMIO, address, size_bytes), segment))
            fail_msg("%u bytes at %#llx", size_bytes, (unsigned long long)address);
    }
}

/* At all edges there are: of segments, of buckets. */
static void compare(const struct router *router, uintptr_t from)
{
    const struct router_node *node = (const struct router_node *)(from & ROUTER_NODE_MASK);
    uintptr_t levels = from & ROUTER_LEVELS_MASK;
    for (size_t i = 0; levels > 0 && i < tree_child_count(node); i++)
        compare(router, (uintptr_t)tree_child(node, i) | (levels - 1));
    for (size_t i = 0; levels == 0 && i < tree_segment_count(node); i++)
        for (uint64_t offset = 0; offset < 4; offset++) {
            compare_at(router, node->firsts[i] + offset - 2);
            compare_at(router, node->segments[i].last + offset - 2);
        }
}

static void check(const struct router *router)
{
    const struct router_index *index = index_of(router);
    uintptr_t root = root_of(router), last_reached = 0;
    compare(router, root);
    for (size_t i = 0; i < index->count; i++) {
        uint64_t first = index->first + ((uint64_t)i << index->shift);
        compare_at(router, first);
        compare_at(router, first + (((uint64_t)1 << index->shift) - 1));
        compare_at(router, first + (((uint64_t)1 << index->shift) / 2));
        uintptr_t reached = bucket_at(index, i) & ROUTER_NODE_MASK;
        if (reached != last_reached)
            assert_true(can_reach(root, (const struct router_node *)reached));
        last_reached = reached;
    }
    compare_at(router, 0);
    compare_at(router, index->first - 1);
    compare_at(router, UINT64_MAX);
}

/* ---- tests ------------------------------------------------------------------------------- */

static unsigned print_seed(void)
{
    const char *given = getenv("ROUTER_SEED");
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 0) : (unsigned)time(NULL);
    printf("ROUTER_SEED=%u\n", seed);
    return seed;
}

static uint64_t random_64(void)
{
    return (uint64_t)random() << 42 ^ (uint64_t)random() << 21 ^ (uint64_t)random();
}

/* Addresses as machines have them: clusters, far from each other, ranges of all lengths. */
static struct router_range pick_range(unsigned spread)
{
    static const uint64_t clusters[] = {0, 0xd0000000, 0xfee00000, 0x4000000000,
                                        UINT64_MAX - 0xffff};
    uint64_t base = clusters[(uint64_t)random() % (spread < 5 ? spread + 1 : 5)];
    uint64_t first = base + random_64() % (random() % 4 ? 0x10000 : 0x800000);
    if (spread > 5)
        first = random_64();
    if (first < base)
        first = UINT64_MAX;
    uint64_t last = first + random_64() % ((uint64_t)1 << random() % (random() % 32 ? 8 : 60));
    return range_at(first, last < first ? UINT64_MAX : last, (uint32_t)random());
}

static void buckets_agree_with_the_tree(void **state)
{
    (void)state;
    srandom(print_seed());
    for (unsigned spread = 0; spread < 7; spread++) {
        struct router *router = create_router();
        for (int step = 0; step < 400; step++) {
            bool is_growing = step / 100 % 2 == 0;
            for (int i = 0; i < 1 + step % 4; i++) {
                struct router_range range = pick_range(spread);
                if (random() % 4 < (is_growing ? 3 : 1))
                    add(router, range.first, range.last, range.range_index);
                else
                    delete (router, range.first, is_growing ? range.last : range.last | 0xfff);
            }
            check(router);
            router_reclaim(router);
            check(router);
        }
        delete (router, 0, UINT64_MAX);
        check(router);
        assert_null(router_find(router, REQUEST_MMIO, 0, 1));
        router_destroy(router);
    }
}

static void evenly_spread_ranges_have_a_bucket_each(void **state)
{
    (void)state;
    struct router_range *ranges = calloc(RANGES_MAX, sizeof(*ranges));
    for (uint32_t i = 0; i < RANGES_MAX; i++)
        ranges[i] = range_at(0xd0000000 + 0x1000ull * i, 0xd00007ff + 0x1000ull * i, i);
    struct router *router = NULL;
    assert_int_equal(router_create(ranges, RANGES_MAX, MEMORY_ANY_NODE, &router, NULL), 0);
    for (size_t i = 0; i < index_of(router)->count; i++)
        assert_true(bucket_at(index_of(router), i) & ROUTER_PLACED);
    check(router);
    router_destroy(router);
    free(ranges);
}

/* What a poller has of the others in its caches stays there. */
static void a_change_stores_few_buckets(void **state)
{
    (void)state;
    struct router *router = create_router();
    for (uint32_t i = 0; i < RANGES_MAX; i++)
        add(router, 0x1000ull * i, 0x1000ull * i + 0x7ff, i);
    const struct router_index *index = index_of(router);
    size_t bytes = index->count * sizeof(uintptr_t);
    uintptr_t *before = malloc(bytes);
    for (uint32_t i = 0; i < 200; i++) {
        memcpy(before, (const void *)index->buckets, bytes);
        if (i % 2 == 0)
            add(router, 0x400900, 0x40097f, i);
        else
            delete (router, 0x400900, 0x40097f);
        assert_ptr_equal(index_of(router), index);
        size_t stored = 0;
        for (size_t j = 0; j < index->count; j++)
            stored += before[j] != bucket_at(index, j);
        /* The first one may split nodes up to the root, but what leads to other leaves is kept. */
        assert_true(stored <= 3 * ROUTER_FANOUT);
        router_reclaim(router);
    }
    check(router);
    free(before);
    router_destroy(router);
}

/* Upwards, downwards, and from the middle: an index is made anew when the ranges have doubled. */
static void growth_needs_few_indexes(void **state)
{
    (void)state;
    for (int way = 0; way < 3; way++) {
        struct router *router = create_router();
        const struct router_index *index = index_of(router);
        size_t indexes = 0;
        for (uint32_t i = 0; i < RANGES_MAX; i++) {
            uint32_t place = way == 0 || (way == 2 && i % 2) ? RANGES_MAX + i : RANGES_MAX - i;
            add(router, 0x1000ull * place, 0x1000ull * place + 0x7ff, i);
            indexes += index != index_of(router);
            index = index_of(router);
            router_reclaim(router);
        }
        check(router);
        if (indexes > 40)
            fail_msg("%zu indexes, way %d", indexes, way);
        router_destroy(router);
    }
}

/* A range far away that comes and goes leaves the buckets as narrow as they were. */
static void buckets_become_narrow_again(void **state)
{
    (void)state;
    struct router *router = create_router();
    for (uint32_t i = 0; i < 256; i++)
        add(router, 0xd0000000 + 0x1000ull * i, 0xd00007ff + 0x1000ull * i, i);
    uint32_t shift = index_of(router)->shift;
    add(router, 0x4000000000, 0x4000000fff, 0);
    check(router);
    assert_true(index_of(router)->shift > shift);
    delete (router, 0x4000000000, 0x4000000fff);
    check(router);
    assert_true(index_of(router)->shift <= shift);
    router_destroy(router);
}

static void without_memory_the_root_answers(void **state)
{
    (void)state;
    srandom(print_seed());
    struct router *router = create_router();
    for (uint32_t i = 0; i < 64; i++) {
        allocations_left = i % 8 == 7 ? SIZE_MAX : 0;
        /* Each one far behind the last: every time there ought to be another index. */
        add(router, (uint64_t)1 << (i / 2 + 24) | i << 8, (uint64_t)1 << (i / 2 + 24) | i << 8 | 7,
            i);
        check(router);
        router_reclaim(router);
        check(router);
    }
    allocations_left = SIZE_MAX;
    router_destroy(router);
}

static void every_index_is_among_the_blocks(void **state)
{
    (void)state;
    allocation_count = 0;
    struct router *router = create_router();
    for (uint32_t i = 0; i < 100; i++)
        add(router, 0x1000ull * i, 0x1000ull * i + 7, i);
    router_reclaim(router);
    bool is_found = false;
    size_t count = 0;
    for (struct memory_block block; block = router_block(router, count), block.memory; count++)
        is_found |= block.memory == index_of(router);
    assert_true(is_found);
    assert_true(count >= 3 && count <= allocation_count);
    router_destroy(router);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_memory_the_root_answers),
        cmocka_unit_test(buckets_agree_with_the_tree),
        cmocka_unit_test(evenly_spread_ranges_have_a_bucket_each),
        cmocka_unit_test(a_change_stores_few_buckets),
        cmocka_unit_test(growth_needs_few_indexes),
        cmocka_unit_test(buckets_become_narrow_again),
        cmocka_unit_test(every_index_is_among_the_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
