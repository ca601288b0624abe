/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * router_change: random sequences of additions and deletions against a list of ranges, the shape of the
 * tree and what it costs after each of them, and readers that are under way.
 */
#include "pollers/memory.h"
#include "tests/support/router_reader.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
/* after those, as it asks */
#include <cmocka.h>

#define LIST_MAX 3000u

/* The router's memory, as long as there is some. */
static size_t allocations_left = SIZE_MAX;

void *memory_allocate(size_t size_bytes, int node)
{
    (void)node;
    if (allocations_left == 0)
        return NULL;
    allocations_left--;
    void *memory = aligned_alloc(4096, (size_bytes + 4095) & ~(size_t)4095);
    memset(memory, 0, size_bytes);
    return memory;
}

void memory_free(void *memory, size_t size_bytes)
{
    (void)size_bytes;
    free(memory);
}

/* ---- the list, and a router that ought to say the same ----------------------------------- */

struct subject {
    struct router_range ranges[LIST_MAX]; /* [count] */
    size_t count;
    uint64_t space; /* addresses below this */
    uint32_t priorities;
    uint32_t next_index;
    struct router *router;
};

static struct client clients[4];

static const struct router_route *find(const struct router *router, uint32_t type, uint64_t address,
                                       uint32_t size_bytes)
{
    static _Thread_local struct router_route route;
    return router_find(router, type, address, size_bytes, &route) ? &route : NULL;
}

static const struct router_route *find_again(const struct router *router, struct router_hint *hint,
                                             uint32_t type, uint64_t address, uint32_t size_bytes)
{
    static _Thread_local struct router_route route;
    return router_find_again(router, hint, type, address, size_bytes, &route) ? &route : NULL;
}

static void subject_init(struct subject *subject, uint64_t space, uint32_t priorities)
{
    *subject = (struct subject){.space = space, .priorities = priorities};
    assert_int_equal(router_create(NULL, 0, MEMORY_ANY_NODE, &subject->router, NULL), 0);
}

static uint64_t pick(uint64_t below)
{
    return ((uint64_t)random() << 31 | (uint64_t)random()) % below;
}

static const struct router_range *owner_of(const struct subject *subject, uint32_t type,
                                           uint64_t address)
{
    const struct router_range *owner = NULL;
    for (size_t i = 0; i < subject->count; i++) {
        const struct router_range *range = &subject->ranges[i];
        if (range->type == type && address >= range->first && address <= range->last &&
            (!owner || range->priority > owner->priority))
            owner = range;
    }
    return owner;
}

/* By definition: every byte of the access has the same owner. */
static const struct router_range *find_slowly(const struct subject *subject, uint32_t type,
                                              uint64_t address, uint32_t size_bytes)
{
    const struct router_range *owner = owner_of(subject, type, address);
    for (uint32_t i = 1; i < size_bytes && owner; i++)
        if (owner_of(subject, type, address + i) != owner)
            return NULL;
    return owner;
}

static bool is_route_of(const struct router_route *route, const struct router_range *range)
{
    if (!route || !range)
        return !route && !range;
    return route->first == range->first && route->client == range->client &&
           route->range_index == range->range_index;
}

static void compare_at(const struct subject *subject, uint32_t type, uint64_t address,
                       uint32_t size_bytes)
{
    if (address + (size_bytes - 1) < address)
        return; /* request_check lets no such access through */
    const struct router_range *expected = find_slowly(subject, type, address, size_bytes);
    const struct router_route *found = find(subject->router, type, address, size_bytes);
    if (!is_route_of(found, expected))
        fail_msg("%u bytes at %#llx of type %u", size_bytes, (unsigned long long)address, type);
    /* One hint for all routers there ever are: found, and found again. */
    static struct router_hint hint;
    for (int i = 0; i < 2; i++)
        if (!is_route_of(find_again(subject->router, &hint, type, address, size_bytes), expected))
            fail_msg("%u bytes at %#llx of type %u, by a hint", size_bytes,
                     (unsigned long long)address, type);
}

/* Everywhere around first..last, and at random elsewhere. */
static void compare(const struct subject *subject, const struct router_range *changed)
{
    const uint64_t edges[] = {changed->first, changed->last + 1};
    for (size_t i = 0; i < 2; i++)
        for (uint64_t offset = 0; offset < 16; offset++)
            compare_at(subject, changed->type, edges[i] + offset - 8, 1u << random() % 4);
    for (int i = 0; i < 24; i++)
        compare_at(subject, (uint32_t)pick(ROUTER_TREES), pick(subject->space + 16),
                   1u << random() % 4);
    compare_at(subject, changed->type, UINT64_MAX, 1);
    compare_at(subject, changed->type, UINT64_MAX - 7, 8);
}

/* What vm_ranges.c does: all ranges that touch the span, and no others. */
static int change(struct subject *subject, const struct router_range *span)
{
    static struct router_range touching[LIST_MAX];
    size_t count = 0;
    for (size_t i = 0; i < subject->count; i++) {
        const struct router_range *range = &subject->ranges[i];
        if (range->type == span->type && range->first <= span->last && range->last >= span->first)
            touching[count++] = *range;
    }
    return router_change(subject->router, span->type, span->first, span->last, touching, count,
                         NULL);
}

static bool has_conflict(const struct subject *subject, const struct router_range *added)
{
    for (size_t i = 0; i < subject->count; i++) {
        const struct router_range *range = &subject->ranges[i];
        if (range->type == added->type && range->priority == added->priority &&
            range->first <= added->last && range->last >= added->first)
            return true;
    }
    return false;
}

static struct router_range make_range(struct subject *subject)
{
    uint64_t first = pick(subject->space);
    uint64_t longest = random() % 8 ? 24 : subject->space;
    uint64_t last = first + pick(longest);
    if (random() % 64 == 0)
        last = UINT64_MAX;
    if (random() % 64 == 0)
        first = UINT64_MAX - pick(4), last = UINT64_MAX;
    uint32_t index = subject->next_index++;
    return (struct router_range){first,
                                 last,
                                 &clients[index % 4],
                                 (uint32_t)pick(ROUTER_TREES),
                                 index,
                                 (uint32_t)pick(subject->priorities)};
}

static struct router_range add(struct subject *subject)
{
    struct router_range range = make_range(subject);
    bool is_refused = has_conflict(subject, &range);
    subject->ranges[subject->count++] = range;
    assert_int_equal(change(subject, &range), is_refused ? -EEXIST : 0);
    if (is_refused)
        subject->count--;
    return range;
}

static struct router_range delete (struct subject *subject)
{
    size_t index = pick(subject->count);
    struct router_range range = subject->ranges[index];
    subject->ranges[index] = subject->ranges[--subject->count];
    assert_int_equal(change(subject, &range), 0);
    return range;
}

/* ---- shape ------------------------------------------------------------------------------- */

static const struct router_node *child_of(const struct router_node *node, size_t index)
{
    return atomic_load_explicit(&node->children[index], memory_order_relaxed);
}

/* Nodes of the subtree; every address in it lies in lowest..highest, in ascending order. */
static size_t check_subtree(const struct router_node *node, uintptr_t levels, uint64_t lowest,
                            uint64_t highest, uint64_t *free_from)
{
    size_t nodes = 1;
    for (size_t i = 0; i < ROUTER_FANOUT; i++) {
        uint64_t first = node->firsts[i];
        bool is_repeated = i > 0 && (levels ? child_of(node, i) == child_of(node, i - 1)
                                            : node->segments[i].last == node->segments[i - 1].last);
        if (is_repeated) {
            assert_true(first == UINT64_MAX);
            continue;
        }
        if (i > 0)
            assert_true(first > node->firsts[i - 1]);
        if (levels > 0 && i > 0)
            assert_true(first > lowest);
        if (levels > 0) {
            uint64_t next = i + 1 < ROUTER_FANOUT ? node->firsts[i + 1] : UINT64_MAX;
            bool is_last = i + 1 == ROUTER_FANOUT || child_of(node, i + 1) == child_of(node, i);
            nodes += check_subtree(child_of(node, i), levels - 1, i ? first : lowest,
                                   is_last ? highest : next - 1, free_from);
        } else {
            assert_true(first >= lowest && first >= *free_from);
            assert_true(node->segments[i].last >= first && node->segments[i].last <= highest);
            *free_from = node->segments[i].last + 1;
        }
    }
    return nodes;
}

/* Returns how many nodes can be reached. */
static size_t check_shape(const struct router *router)
{
    size_t nodes = 0;
    for (uint32_t type = 0; type < ROUTER_TREES; type++) {
        uintptr_t root = atomic_load_explicit(&router->roots[type], memory_order_relaxed);
        const struct router_node *node = (const struct router_node *)(root & ROUTER_NODE_MASK);
        uint64_t free_from = 0;
        if (find(router, type, node->firsts[0], 1) || (root & ROUTER_LEVELS_MASK))
            nodes += check_subtree(node, root & ROUTER_LEVELS_MASK, 0, UINT64_MAX, &free_from);
        else
            nodes++; /* a leaf of nothing */
    }
    return nodes;
}

/* ---- a lookup that is under way ---------------------------------------------------------- */

struct journey {
    uint64_t address;
    uint32_t type;
    uintptr_t levels;
    const struct router_node *nodes[64]; /* [level] passed */
    struct router_node leaf;             /* as it was */
};

static struct journey set_out(const struct router *router, uint32_t type, uint64_t address)
{
    uintptr_t root = atomic_load_explicit(&router->roots[type], memory_order_relaxed);
    struct journey journey = {
        .address = address, .type = type, .levels = root & ROUTER_LEVELS_MASK};
    const struct router_node *node = (const struct router_node *)(root & ROUTER_NODE_MASK);
    for (uintptr_t level = journey.levels;; level--) {
        journey.nodes[level] = node;
        if (level == 0)
            break;
        node = child_of(node, router_rank(node, address));
    }
    memcpy(&journey.leaf, node, sizeof(journey.leaf));
    return journey;
}

static bool is_segment_of(const struct router_segment *segment, const struct router_range *range)
{
    if (!segment || !range)
        return !segment && !range;
    return segment->range_first == range->first && segment->client == range->client &&
           segment->range_index == range->range_index && segment->priority == range->priority;
}

/* Wherever it was when the change came, it finds what was there before or what is there after. */
static void arrive(const struct journey *journey, const struct router_range *before,
                   const struct router_range *after)
{
    assert_memory_equal(journey->nodes[0], &journey->leaf, sizeof(journey->leaf));
    for (uintptr_t level = 0; level <= journey->levels; level++) {
        uint64_t first;
        const struct router_segment *found = router_find_below(
            (uintptr_t)journey->nodes[level] | level, journey->address, 1, &first);
        assert_true(is_segment_of(found, before) || is_segment_of(found, after));
    }
}

/* ---- tests ------------------------------------------------------------------------------- */

static unsigned print_seed(void)
{
    const char *given = getenv("ROUTER_SEED");
    unsigned seed = given ? (unsigned)strtoul(given, NULL, 0) : (unsigned)time(NULL);
    printf("ROUTER_SEED=%u\n", seed);
    return seed;
}

static void changes_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    struct subject *subject = calloc(1, sizeof(*subject));
    subject_init(subject, 100, 1);
    const struct router_range backward = {9, 8, &clients[0], REQUEST_MMIO, 0, 0};
    const struct router_range other = {0, 8, &clients[0], REQUEST_PORTIO, 0, 0};
    const struct router_range twice[] = {{0, 8, &clients[0], REQUEST_MMIO, 0, 0},
                                         {8, 9, &clients[0], REQUEST_MMIO, 0, 0}};
    size_t conflict[2] = {7, 7};
    struct router *router = subject->router;
    assert_int_equal(router_change(router, ROUTER_TREES, 0, 9, NULL, 0, NULL), -EINVAL);
    assert_int_equal(router_change(router, REQUEST_MMIO, 9, 8, NULL, 0, NULL), -EINVAL);
    assert_int_equal(router_change(router, REQUEST_MMIO, 0, 9, &backward, 1, NULL), -EINVAL);
    assert_int_equal(router_change(router, REQUEST_MMIO, 0, 9, &other, 1, NULL), -EINVAL);
    assert_int_equal(router_change(router, REQUEST_MMIO, 0, 9, twice, 2, conflict), -EEXIST);
    assert_int_equal(conflict[0], 0);
    assert_int_equal(conflict[1], 1);
    assert_int_equal(router_change(router, REQUEST_MMIO, 0, 9, twice, ROUTER_RANGES_MAX + 1, NULL),
                     -E2BIG);
    for (uint64_t address = 0; address < 12; address++)
        assert_null(find(router, REQUEST_MMIO, address, 1));
    assert_int_equal(check_shape(router), ROUTER_TREES);
    router_destroy(router);
    free(subject);
}

/* One run: mostly additions, then mostly deletions, and so on, until nothing is left. */
static void run(uint64_t space, uint32_t priorities, size_t most, int steps)
{
    struct subject *subject = calloc(1, sizeof(*subject));
    subject_init(subject, space, priorities);
    bool is_growing = true;
    for (int step = 0; step < steps || subject->count > 0; step++) {
        is_growing = step < steps && (subject->count == 0 ||
                                      (is_growing ? subject->count < most : random() % 200 == 0));
        uint64_t address = pick(space);
        uint32_t type = (uint32_t)pick(ROUTER_TREES);
        struct journey journey = set_out(subject->router, type, address);
        const struct router_range *owner = owner_of(subject, type, address);
        struct router_range before = owner ? *owner : (struct router_range){0};
        bool is_adding =
            subject->count == 0 || (step < steps && random() % 4 < (is_growing ? 3 : 1));
        if (subject->count == LIST_MAX - 1)
            is_adding = false;
        struct router_range changed = is_adding ? add(subject) : delete (subject);
        arrive(&journey, owner ? &before : NULL, owner_of(subject, type, address));
        compare(subject, &changed);
        router_reclaim(subject->router);
        assert_int_equal(check_shape(subject->router), router_figures(subject->router).node_count);
    }
    assert_int_equal(router_figures(subject->router).node_count, ROUTER_TREES);
    router_destroy(subject->router);
    free(subject);
}

static void changes_agree_with_a_list(void **state)
{
    (void)state;
    srandom(print_seed());
    run(120, 1, 24, 3000);
    run(200, 6, 40, 3000);
    run(3000, 2, 600, 4000);
    run(60000, 3, 2500, 6000);
}

/* One change replaces everything, or lays one range over all others and takes it away. */
static void changes_of_the_whole_space(void **state)
{
    (void)state;
    srandom(print_seed());
    struct subject *subject = calloc(1, sizeof(*subject));
    subject_init(subject, 40000, 1);
    while (subject->count < 1500)
        add(subject);
    router_reclaim(subject->router);
    size_t nodes = check_shape(subject->router);
    for (uint32_t priority = 0; priority < 10; priority += 5) {
        for (size_t i = 0; i < subject->count; i++)
            if (subject->ranges[i].type == REQUEST_MMIO)
                subject->ranges[i].priority = 3;
        const struct router_range all = {.last = UINT64_MAX, .type = REQUEST_MMIO};
        assert_int_equal(change(subject, &all), 0);
        subject->ranges[subject->count++] =
            (struct router_range){2, 39990, &clients[0], REQUEST_MMIO, 77, priority};
        assert_int_equal(change(subject, &subject->ranges[subject->count - 1]), 0);
        for (uint64_t address = 0; address < 40000; address += 7)
            compare_at(subject, REQUEST_MMIO, address, 4);
        subject->count--;
        assert_int_equal(change(subject, &subject->ranges[subject->count]), 0);
        for (uint64_t address = 0; address < 40000; address += 7)
            compare_at(subject, REQUEST_MMIO, address, 4);
        router_reclaim(subject->router);
        assert_int_equal(check_shape(subject->router), router_figures(subject->router).node_count);
    }
    assert_true(check_shape(subject->router) <= nodes); /* repacked, it is no larger */
    const struct router_range all = {.last = UINT64_MAX, .type = REQUEST_MMIO};
    assert_int_equal(router_change(subject->router, REQUEST_MMIO, 0, UINT64_MAX, NULL, 0, NULL), 0);
    for (size_t i = 0; i < subject->count; i++)
        if (subject->ranges[i].type == REQUEST_MMIO)
            subject->ranges[i--] = subject->ranges[--subject->count];
    compare(subject, &all);
    router_destroy(subject->router);
    free(subject);
}

static void fill_with(struct subject *subject, size_t count)
{
    while (subject->count < count) {
        uint64_t first = 64 * subject->count;
        subject->ranges[subject->count++] =
            (struct router_range){first, first + 31, &clients[0], REQUEST_MMIO, 0, 0};
        assert_int_equal(change(subject, &subject->ranges[subject->count - 1]), 0);
        router_reclaim(subject->router);
    }
}

static void remove_at(struct subject *subject, uint64_t first)
{
    size_t index = 0;
    while (subject->ranges[index].first != first)
        index++;
    struct router_range range = subject->ranges[index];
    subject->ranges[index] = subject->ranges[--subject->count];
    assert_int_equal(change(subject, &range), 0);
    router_reclaim(subject->router);
}

/* The node of ranges 64..127 loses its first ones, gets one back, and is put together with the one
 * before it: what came back must still be found. */
static void what_returns_to_the_front_of_a_node_is_found(void **state)
{
    (void)state;
    struct subject *subject = calloc(1, sizeof(*subject));
    subject_init(subject, 64 * 2048, 1);
    fill_with(subject, 2048);
    for (uint64_t i = 64; i < 70; i++)
        remove_at(subject, 64 * i);
    struct router_range back = {64 * 64, 64 * 64 + 31, &clients[2], REQUEST_MMIO, 5, 0};
    subject->ranges[subject->count++] = back;
    assert_int_equal(change(subject, &back), 0);
    for (uint64_t i = 127; i > 75; i--) {
        remove_at(subject, 64 * i);
        compare(subject, &back);
        assert_int_equal(check_shape(subject->router), router_figures(subject->router).node_count);
    }
    router_destroy(subject->router);
    free(subject);
}

static void ascending_ranges_fill_their_nodes(void **state)
{
    (void)state;
    struct subject *subject = calloc(1, sizeof(*subject));
    subject_init(subject, 64 * 2048, 1);
    fill_with(subject, 2048);
    assert_true(check_shape(subject->router) <= 2048 / 8 + 2048 / 64 + 2048 / 512 + 8);
    router_destroy(subject->router);
    free(subject);
}

/* Elsewhere nothing is copied: what a poller has in its caches stays there. */
static void a_change_replaces_few_nodes(void **state)
{
    (void)state;
    struct subject *subject = calloc(1, sizeof(*subject));
    subject_init(subject, 64 * 2048, 1);
    fill_with(subject, 2048);
    struct router_range range = {64 * 1000 + 40, 64 * 1000 + 47, &clients[1], REQUEST_MMIO, 1, 0};
    for (int i = 0; i < 100; i++) {
        size_t nodes = router_figures(subject->router).node_count;
        subject->ranges[subject->count++] = range;
        assert_int_equal(change(subject, &range), 0);
        /* The first one may split full nodes up to the root. */
        assert_true(router_figures(subject->router).node_count - nodes <= (i ? 3 : 9));
        router_reclaim(subject->router);
        nodes = router_figures(subject->router).node_count;
        subject->count--;
        assert_int_equal(change(subject, &range), 0);
        assert_true(router_figures(subject->router).node_count - nodes <= 3);
        router_reclaim(subject->router);
    }
    router_destroy(subject->router);
    free(subject);
}

static void memory_does_not_grow_with_changes(void **state)
{
    (void)state;
    srandom(print_seed());
    struct subject *subject = calloc(1, sizeof(*subject));
    subject_init(subject, 20000, 1);
    while (subject->count < 100)
        add(subject);
    size_t capacity = 0;
    for (int i = 0; i < 100000; i++) {
        if (subject->count < 200 && (subject->count < 100 || random() % 2))
            add(subject);
        else
            delete (subject);
        router_reclaim(subject->router);
        if (i == 1000)
            capacity = router_figures(subject->router).capacity;
    }
    assert_int_equal(router_figures(subject->router).capacity, capacity);
    assert_int_equal(router_figures(subject->router).node_count, check_shape(subject->router));
    router_destroy(subject->router);
    free(subject);
}

/* Without reclaim every change needs new nodes, and at some time there are none. */
static void without_memory_nothing_changes(void **state)
{
    (void)state;
    srandom(print_seed());
    struct subject *subject = calloc(1, sizeof(*subject));
    subject_init(subject, 8000, 4);
    allocations_left = 0;
    struct router *none = NULL;
    assert_int_equal(router_create(NULL, 0, MEMORY_ANY_NODE, &none, NULL), -ENOMEM);
    assert_null(none);
    int refused = 0;
    while (refused < 50) {
        struct router_range range = make_range(subject);
        if (has_conflict(subject, &range))
            continue;
        size_t nodes = router_figures(subject->router).node_count;
        subject->ranges[subject->count++] = range;
        int result = change(subject, &range);
        if (result < 0) {
            assert_int_equal(result, -ENOMEM);
            assert_int_equal(router_figures(subject->router).node_count, nodes);
            subject->count--;
            refused++;
        }
        compare(subject, &range);
    }
    router_reclaim(subject->router);
    assert_int_equal(check_shape(subject->router), router_figures(subject->router).node_count);
    allocations_left = SIZE_MAX;
    while (subject->count > 0) {
        struct router_range range = delete (subject);
        compare(subject, &range);
    }
    router_destroy(subject->router);
    free(subject);
}

/* ---- with a thread that reads ------------------------------------------------------------ */

#define STABLE_COUNT 500u

static void look(struct router_reader *reader)
{
    for (int i = 0; i < 32; i++) {
        uint64_t index = router_reader_pick(reader, STABLE_COUNT);
        const struct router_route *found = find(reader->router, REQUEST_MMIO, index * 64 + 4, 4);
        reader->wrong += !found || found->first != index * 64 || found->range_index != index;
        /* Comes and goes, but is never another. */
        found = find_again(reader->router, &reader->hint, REQUEST_MMIO, index * 64 + 36, 4);
        reader->wrong += found && found->first != index * 64 + 32;
    }
}

static void a_reader_never_misses_what_stays(void **state)
{
    (void)state;
    srandom(print_seed());
    struct subject *subject = calloc(1, sizeof(*subject));
    subject_init(subject, STABLE_COUNT * 64, 1);
    while (subject->count < STABLE_COUNT) {
        uint32_t index = (uint32_t)subject->count;
        subject->ranges[subject->count++] = (struct router_range){
            index * 64ull, index * 64ull + 31, &clients[0], REQUEST_MMIO, index, 0};
        assert_int_equal(change(subject, &subject->ranges[index]), 0);
    }
    struct router_reader reader;
    assert_int_equal(router_reader_start(&reader, subject->router, look), 0);
    for (int i = 0; i < 3000; i++) {
        uint64_t index = pick(STABLE_COUNT);
        struct router_range range = {
            index * 64 + 32, index * 64 + 63, &clients[1], REQUEST_MMIO, 9, 0};
        size_t at = STABLE_COUNT;
        while (at < subject->count && subject->ranges[at].first != range.first)
            at++;
        if (at < subject->count)
            subject->ranges[at] = subject->ranges[--subject->count];
        else
            subject->ranges[subject->count++] = range;
        assert_int_equal(change(subject, &range), 0);
        if (i % 3 == 0) {
            router_reader_pass(&reader);
            router_reclaim(subject->router);
        }
    }
    router_reader_stop(&reader);
    assert_int_equal(reader.wrong, 0);
    router_destroy(subject->router);
    free(subject);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_that_make_no_sense_are_refused),
        cmocka_unit_test(changes_agree_with_a_list),
        cmocka_unit_test(changes_of_the_whole_space),
        cmocka_unit_test(what_returns_to_the_front_of_a_node_is_found),
        cmocka_unit_test(ascending_ranges_fill_their_nodes),
        cmocka_unit_test(a_change_replaces_few_nodes),
        cmocka_unit_test(memory_does_not_grow_with_changes),
        cmocka_unit_test(without_memory_nothing_changes),
        cmocka_unit_test(a_reader_never_misses_what_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
