/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The buckets beside a router's trees: after any change they say of every address what the tree says, and
 * lead nowhere else, a change stores few of them, ranges that lie alike share outlines, and without
 * memory there is still an answer.
 */
#include "pollers/router_index.h"
#include "pollers/router_outlines.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
/* after those, as it asks */
#include <cmocka.h>

#define RANGES_MAX 4096u

/* The router's memory, as long as there is some. */
static size_t allocations_left = SIZE_MAX;
static size_t allocation_count;

/* Not a way to name in a bucket. */
#define FAR_BYTES ((uintptr_t)1 << 36)
#define FAR_FROM  ((uintptr_t)1 << 45)
static uintptr_t next_far; /* 0: near */

void *memory_allocate(size_t size_bytes, int node)
{
    (void)node;
    if (allocations_left == 0)
        return NULL;
    allocations_left--;
    allocation_count++;
    if (next_far != 0) {
        next_far += FAR_BYTES;
        void *far = mmap((void *)next_far, size_bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        return far == MAP_FAILED ? NULL : far;
    }
    void *memory = aligned_alloc(4096, (size_bytes + 4095) & ~(size_t)4095);
    memset(memory, 0, size_bytes);
    return memory;
}

void memory_free(void *memory, size_t size_bytes)
{
    if (next_far != 0) {
        munmap(memory, size_bytes);
        return;
    }
    memset(memory, 0xa5, size_bytes); /* a lookup that still goes there does not go far */
    free(memory);
}

static struct client clients[2];

static struct router *create_router(void)
{
    struct router *router = NULL;
    assert_int_equal(router_create(NULL, 0, MEMORY_ANY_NODE, &router, NULL), 0);
    return router;
}

static struct router_range range_at(uint64_t first, uint64_t last, uint32_t range_index)
{
    return (struct router_range){first, last, &clients[0], REQUEST_MMIO, range_index, 0};
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

static uint32_t bucket_at(const struct router_index *index, size_t i)
{
    return atomic_load_explicit(&index->buckets[i], memory_order_relaxed);
}

static const struct router_outline *outline_at(const struct router_index *index, size_t i)
{
    assert_true(bucket_at(index, i) < ROUTER_WAYS);
    return &index->outlines[bucket_at(index, i) >> 16];
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

static void compare_at(const struct router *router, uint64_t address)
{
    uint64_t first;
    struct router_route route;
    for (uint32_t size_bytes = 1; size_bytes <= 8; size_bytes *= 2) {
        if (address + (size_bytes - 1) < address)
            continue;
        const struct router_segment *segment =
            router_find_below(root_of(router), address, size_bytes, &first);
        bool is_found = router_find(router, REQUEST_MMIO, address, size_bytes, &route);
        if (is_found != (segment != NULL) ||
            (is_found && (route.first != segment->range_first || route.client != segment->client ||
                          route.range_index != segment->range_index)))
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
    uintptr_t root = root_of(router), last_way = 0;
    compare(router, root);
    for (size_t i = 0; i < index->count; i++) {
        uint64_t first = index->first + ((uint64_t)i << index->shift);
        compare_at(router, first);
        compare_at(router, first + (((uint64_t)1 << index->shift) - 1));
        compare_at(router, first + (((uint64_t)1 << index->shift) / 2));
        uint32_t bucket = bucket_at(index, i);
        uintptr_t way = bucket >= ROUTER_WAYS ? router_way(router, REQUEST_MMIO, bucket) : 0;
        if (way != 0 && way != last_way)
            assert_true(can_reach(root, (const struct router_node *)(way & ROUTER_NODE_MASK)));
        last_way = way;
    }
    compare_at(router, 0);
    compare_at(router, index->first - 1);
    compare_at(router, UINT64_MAX);
}

/* ---- outlines ---------------------------------------------------------------------------- */

static struct router_outline outline_of(uint64_t last)
{
    return (struct router_outline){.mask = 0xfff, .last = last, .client = &clients[0]};
}

static void equal_outlines_have_one_place(void **state)
{
    (void)state;
    struct router_outline outlines[OUTLINES_MIN] = {0}, one = outline_of(7), other = outline_of(8);
    struct outline_table table;
    assert_int_equal(outlines_init(&table, outlines, OUTLINES_MIN), 0);
    uint32_t place = outlines_take(&table, &one);
    assert_true(place != OUTLINES_FULL);
    assert_int_equal(outlines_take(&table, &one), place);
    assert_true(outlines_take(&table, &other) != place);
    assert_int_equal(table.used_count, 2);
    outlines_leave(&table, place);
    assert_int_equal(table.used_count, 2);
    outlines_leave(&table, place);
    assert_int_equal(table.used_count, 1);
    outlines_fini(&table);
}

/* What a reader may still look into is not written before its quiescent point. */
static void an_outline_is_reused_after_reclaim(void **state)
{
    (void)state;
    struct router_outline outlines[OUTLINES_MIN] = {0}, before[OUTLINES_MIN];
    struct outline_table table;
    assert_int_equal(outlines_init(&table, outlines, OUTLINES_MIN), 0);
    for (uint64_t i = 0; i < OUTLINES_MIN; i++) {
        struct router_outline outline = outline_of(i);
        uint32_t place = outlines_take(&table, &outline);
        assert_true(place != OUTLINES_FULL);
        outlines_leave(&table, place);
    }
    memcpy(before, outlines, sizeof(before));
    struct router_outline another = outline_of(100), again = outline_of(3);
    assert_int_equal(outlines_take(&table, &another), OUTLINES_FULL);
    assert_true(outlines_take(&table, &again) != OUTLINES_FULL); /* it says that still */
    assert_memory_equal(outlines, before, sizeof(before));
    outlines_reclaim(&table);
    uint32_t place = outlines_take(&table, &another);
    assert_true(place != OUTLINES_FULL);
    assert_int_equal(outlines[place].last, 100);
    assert_int_equal(outlines[outlines_take(&table, &again)].last, 3);
    outlines_fini(&table);
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
    /* Now and then more than a bucket has room for. */
    uint32_t range_index = (uint32_t)random() >> (random() % 4 ? 15 : 0);
    struct router_range range = range_at(first, last < first ? UINT64_MAX : last, range_index);
    range.client = &clients[random() % 2];
    return range;
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
        compare_at(router, 0x1000);
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
    const struct router_index *index = index_of(router);
    for (size_t i = 0; i < index->count; i++) {
        assert_ptr_equal(outline_at(index, i), outline_at(index, 0)); /* one for all of them */
    }
    check(router);
    router_destroy(router);
    free(ranges);
}

/* As many outlines as there are ranges, and some more than there is room for. */
static void ranges_of_which_no_two_lie_alike_are_found(void **state)
{
    (void)state;
    struct router_range *ranges = calloc(RANGES_MAX, sizeof(*ranges));
    for (uint32_t i = 0; i < RANGES_MAX; i++) {
        uint64_t first = 0xd0000000 + 0x1000ull * i + i % 64;
        ranges[i] = range_at(first, first + 0x100 + i / 64, i);
    }
    struct router *router = NULL;
    assert_int_equal(router_create(ranges, RANGES_MAX, MEMORY_ANY_NODE, &router, NULL), 0);
    check(router);
    for (uint32_t i = 0; i < 200; i++) {
        delete (router, ranges[i].first, ranges[i].last);
        add(router, ranges[i].first, ranges[i].last + 0x200, i);
        if (i % 16 == 0) {
            check(router);
            router_reclaim(router);
        }
    }
    check(router);
    router_destroy(router);
    free(ranges);
}

/* Buckets that a range fills from one end to the other have one outline, as the range has. */
static void a_long_range_has_one_outline(void **state)
{
    (void)state;
    struct router *router = create_router();
    for (uint32_t i = 0; i < 256; i++)
        add(router, 0x1000ull * i, 0x1000ull * i + 0x7ff, i);
    add(router, 0x100000, 0x1fffff, 256);
    const struct router_index *index = index_of(router);
    size_t first = (0x100000 - index->first) >> index->shift;
    size_t end = (0x200000 - index->first) >> index->shift;
    assert_true(end > first + 8);
    for (size_t i = first; i < end; i++) {
        assert_ptr_equal(outline_at(index, i), outline_at(index, first));
        assert_true(outline_at(index, i)->mask == UINT64_MAX);
    }
    check(router);
    router_destroy(router);
}

/* What a poller has of the others in its caches stays there. */
static void a_change_stores_few_buckets(void **state)
{
    (void)state;
    struct router *router = create_router();
    for (uint32_t i = 0; i < RANGES_MAX; i++)
        add(router, 0x1000ull * i, 0x1000ull * i + 0x7ff, i);
    const struct router_index *index = index_of(router);
    size_t bytes = index->count * sizeof(uint32_t);
    uint32_t *before = malloc(bytes);
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

static void outlines_come_and_go_in_one_index(void **state)
{
    (void)state;
    struct router *router = create_router();
    for (uint32_t i = 0; i < 256; i++)
        add(router, 0x1000ull * i, 0x1000ull * i + 0x7ff, i);
    const struct router_index *index = index_of(router);
    for (uint32_t i = 0; i < 1700; i++) {
        struct router_range range = range_at(0x40000, 0x40000 + 0x100 + i, i);
        assert_int_equal(router_change(router, REQUEST_MMIO, 0x40000, 0x40fff, &range, 1, NULL), 0);
        router_reclaim(router);
        assert_ptr_equal(index_of(router), index);
    }
    check(router);
    router_destroy(router);
}

/* Several ranges a bucket, and nodes all over the place: the root leads to those out of reach. */
static void nodes_far_from_each_other_are_found(void **state)
{
    (void)state;
    next_far = FAR_FROM;
    struct router *router = create_router();
    for (uint32_t i = 0; i < RANGES_MAX; i++)
        add(router, 0x1000ull * (i / 4) + 0x100 * (i % 4),
            0x1000ull * (i / 4) + 0x100 * (i % 4) + 7, i);
    check(router);
    router_destroy(router);
    next_far = 0;
}

/* As ports may: a bucket is one address. */
static void ranges_of_one_address_are_found(void **state)
{
    (void)state;
    struct router *router = create_router();
    for (uint32_t i = 0; i < 64; i++)
        add(router, 0x60 + i, 0x60 + i, i);
    assert_int_equal(index_of(router)->shift, 0);
    check(router);
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
        cmocka_unit_test(equal_outlines_have_one_place),
        cmocka_unit_test(an_outline_is_reused_after_reclaim),
        cmocka_unit_test(without_memory_the_root_answers),
        cmocka_unit_test(buckets_agree_with_the_tree),
        cmocka_unit_test(evenly_spread_ranges_have_a_bucket_each),
        cmocka_unit_test(ranges_of_which_no_two_lie_alike_are_found),
        cmocka_unit_test(a_long_range_has_one_outline),
        cmocka_unit_test(nodes_far_from_each_other_are_found),
        cmocka_unit_test(ranges_of_one_address_are_found),
        cmocka_unit_test(a_change_stores_few_buckets),
        cmocka_unit_test(outlines_come_and_go_in_one_index),
        cmocka_unit_test(growth_needs_few_indexes),
        cmocka_unit_test(buckets_become_narrow_again),
        cmocka_unit_test(every_index_is_among_the_blocks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
