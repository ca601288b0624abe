/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * route: one lookup of the range that owns an address, and its client.
 *
 * Ours beside what others do: a list behind a lock (the shape of Linux's driver, range added last
 * first), a red-black tree with a hint (red_black.h), and a binary search over a sorted array as gcc
 * compiles the textbook's loop. All hold the same ranges and are asked for the same addresses; all
 * find the same, which is checked before anything is timed.
 *
 * What is timed is latency, as a poller sees it: it looks up once a request, and the answer that follows
 * is a locked instruction, which waits until the lookup has retired. So each lookup here begins when
 * the one before is over, by its address, which depends on what that one found, and by a fence, as
 * otherwise predicted branches would go ahead of the data. What a loop with the fence and without a
 * lookup takes, measured in each block, is taken off.
 */
#include "bench/bench.h"
#include "bench/partner.h"
#include "bench/red_black.h"

#include "pollers/memory.h"
#include "pollers/ticks.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ADDRESS_COUNT 16384u /* a power of two */
#define RANGE_STRIDE  0x1000u
#define RANGE_BASE    0xd0000000u
#define ACCESS_BYTES  4u

#define LOOKUPS_A_SAMPLE 64u
#define SAMPLES_A_BLOCK  500u
#define EMPTY_SAMPLES    51u
/* Of a long list: one lookup a sample, and no more steps than this a block. */
#define LIST_LONG          4096u
#define LIST_STEPS_A_BLOCK 500000u

#define TO_RED_BLACK_WANTED 2.0
#define TO_LIST_WANTED      20.0
#define TO_BINARY_WANTED    1.0
#define GROWTH_WANTED       2.0

enum pattern { PATTERN_RANDOM, PATTERN_HOT, PATTERN_MISSING, PATTERN_COUNT };
static const char *const pattern_names[PATTERN_COUNT] = {"random", "hot", "missing"};

enum method {
    METHOD_OURS,
    METHOD_BINARY,
    METHOD_RED_BLACK,
    METHOD_LIST,
    METHOD_COUNT,
    METHOD_NONE = METHOD_COUNT, /* a loop without a lookup */
};
static const char *const method_names[METHOD_COUNT] = {"ioreqd", "binary search",
                                                       "red-black tree, hint", "locked list"};

struct list_node {
    struct list_node *next;
    uint64_t last;
    struct router_route route;
};

struct route {
    uint32_t range_count;
    struct client client;
    struct router_range *ranges; /* [range_count], sorted */
    struct router *router;
    struct router_hint hint;
    struct red_black_tree tree;
    struct list_node *list;
    pthread_mutex_t list_lock;
    uint64_t *addresses;              /* [ADDRESS_COUNT] */
    uint32_t cursor[METHOD_NONE + 1]; /* the next address, so that every method sees all of them */
    struct histogram empty;           /* ticks of a sample without lookups */
    uint64_t never;                   /* 0, but the compiler does not know */
};

/* ---- lookups ----------------------------------------------------------------------------- */

static inline struct router_route find_binary(const struct route *route, uint64_t address)
{
    uint32_t begin = 0, end = route->range_count;
    while (begin < end) {
        uint32_t middle = begin + (end - begin) / 2;
        const struct router_range *range = &route->ranges[middle];
        if (address < range->first)
            end = middle;
        else if (address > range->last)
            begin = middle + 1;
        else if (address + (ACCESS_BYTES - 1) > range->last)
            break;
        else
            return (struct router_route){
                .first = range->first, .client = range->client, .range_index = range->range_index};
    }
    return (struct router_route){0};
}

static inline const struct router_route *find_in_list(struct route *route, uint64_t address)
{
    const struct router_route *found = NULL;
    pthread_mutex_lock(&route->list_lock);
    for (struct list_node *node = route->list; node; node = node->next) {
        if (address < node->route.first || address + (ACCESS_BYTES - 1) > node->last)
            continue;
        found = &node->route;
        break;
    }
    pthread_mutex_unlock(&route->list_lock);
    return found;
}

static inline __attribute__((always_inline)) struct router_route
find(struct route *route, enum method method, uint64_t address)
{
    const struct router_route *found;
    struct router_route ours;
    if (method == METHOD_OURS)
        found = router_find_again(route->router, &route->hint, REQUEST_MMIO, address, ACCESS_BYTES,
                                  &ours)
                    ? &ours
                    : NULL;
    else if (method == METHOD_RED_BLACK)
        found = red_black_find(&route->tree, address, ACCESS_BYTES);
    else if (method == METHOD_LIST)
        found = find_in_list(route, address);
    else if (method == METHOD_BINARY)
        return find_binary(route, address);
    else
        return (struct router_route){.first = address};
    return found ? *found : (struct router_route){0};
}

/* Fills samples [count] and returns where the next lookup goes on. */
static inline __attribute__((always_inline)) uint32_t run_lookups(struct route *route,
                                                                  enum method method,
                                                                  uint64_t *samples, uint32_t count,
                                                                  uint32_t operations)
{
    uint32_t cursor = route->cursor[method];
    const uint64_t *addresses = route->addresses;
    uint64_t never = route->never;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t begin = ticks_now();
        for (uint32_t j = 0; j < operations; j++) {
            struct router_route found = find(route, method, addresses[cursor]);
            uint64_t answer = found.first + found.range_index + (uint64_t)(uintptr_t)found.client;
            cursor = (cursor + 1 + (uint32_t)(answer & never)) & (ADDRESS_COUNT - 1);
            _mm_lfence(); /* the next one begins when this one is over, guessed right or not */
        }
        samples[i] = ticks_now() - begin;
    }
    return cursor;
}

static uint32_t operations_of(const struct route *route, enum method method)
{
    return method == METHOD_LIST && route->range_count >= LIST_LONG ? 1 : LOOKUPS_A_SAMPLE;
}

static int compare_ticks(const void *left, const void *right)
{
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* What a sample holds beside its lookups: the loop, the fence, the clock. */
static uint64_t empty_ticks(struct route *route, uint32_t operations)
{
    uint64_t samples[EMPTY_SAMPLES];
    run_lookups(route, METHOD_NONE, samples, EMPTY_SAMPLES, operations);
    qsort(samples, EMPTY_SAMPLES, sizeof(samples[0]), compare_ticks);
    return samples[EMPTY_SAMPLES / 2];
}

static int run_block(void *context, uint32_t method, uint64_t *samples, uint32_t count)
{
    struct route *route = context;
    uint32_t operations = operations_of(route, (enum method)method);
    uint64_t empty = empty_ticks(route, operations);
    uint32_t cursor;
    switch ((enum method)method) {
    case METHOD_OURS:
        cursor = run_lookups(route, METHOD_OURS, samples, count, LOOKUPS_A_SAMPLE);
        break;
    case METHOD_BINARY:
        cursor = run_lookups(route, METHOD_BINARY, samples, count, LOOKUPS_A_SAMPLE);
        break;
    case METHOD_RED_BLACK:
        cursor = run_lookups(route, METHOD_RED_BLACK, samples, count, LOOKUPS_A_SAMPLE);
        break;
    default:
        cursor = run_lookups(route, METHOD_LIST, samples, count, operations);
    }
    route->cursor[method] = cursor;
    for (uint32_t i = 0; i < count; i++)
        samples[i] = samples[i] > empty ? samples[i] - empty : 0;
    histogram_record(&route->empty, empty * LOOKUPS_A_SAMPLE / operations);
    return 0;
}

/* ---- set-up ------------------------------------------------------------------------------ */

static void choose_addresses(struct route *route, enum pattern pattern)
{
    uint64_t random = 0x9e3779b97f4a7c15u, range = 0;
    for (uint32_t i = 0; i < ADDRESS_COUNT; i++) {
        random = random * 6364136223846793005u + 1442695040888963407u;
        if (pattern != PATTERN_HOT || i % LOOKUPS_A_SAMPLE == 0)
            range = (random >> 33) % route->range_count;
        uint64_t address = RANGE_BASE + range * RANGE_STRIDE + (random >> 20 & 0x7f) * 4;
        route->addresses[i] = pattern == PATTERN_MISSING ? address + RANGE_STRIDE / 2 : address;
    }
    memset(route->cursor, 0, sizeof(route->cursor));
}

static int build(struct route *route)
{
    for (uint32_t i = 0; i < route->range_count; i++) {
        uint64_t first = RANGE_BASE + (uint64_t)i * RANGE_STRIDE;
        route->ranges[i] = (struct router_range){
            first, first + RANGE_STRIDE / 2 - 1, &route->client, REQUEST_MMIO, i, 0};
    }
    for (uint32_t i = 0; i < route->range_count; i++) {
        const struct router_range *range = &route->ranges[i];
        struct list_node *node = malloc(sizeof(*node));
        if (!node)
            return -ENOMEM;
        *node = (struct list_node){
            .next = route->list,
            .last = range->last,
            .route = {.first = range->first,
                      .client = range->client,
                      .range_index = range->range_index},
        };
        route->list = node;
        int result = red_black_insert(&route->tree, range);
        if (result < 0)
            return result;
    }
    return router_create(route->ranges, route->range_count, MEMORY_ANY_NODE, &route->router, NULL);
}

static void tear_down(struct route *route)
{
    router_destroy(route->router);
    route->router = NULL;
    red_black_destroy(&route->tree);
    while (route->list) {
        struct list_node *next = route->list->next;
        free(route->list);
        route->list = next;
    }
}

/* All methods must find the same. */
static int check(struct route *route)
{
    uint32_t step = route->range_count < LIST_LONG ? 1 : 64;
    for (uint32_t i = 0; i < ADDRESS_COUNT; i += step) {
        struct router_route ours = find(route, METHOD_OURS, route->addresses[i]);
        for (uint32_t method = 1; method < METHOD_COUNT; method++) {
            struct router_route other = find(route, (enum method)method, route->addresses[i]);
            if (other.client == ours.client && other.first == ours.first &&
                other.range_index == ours.range_index)
                continue;
            fprintf(stderr, "ioreq-bench: route: %s finds another range for 0x%llx\n",
                    method_names[method], (unsigned long long)route->addresses[i]);
            return -EIO;
        }
    }
    return 0;
}

/* ---- result ------------------------------------------------------------------------------ */

/* What is quoted in the end, gathered on the way. */
struct findings {
    double slowest_to_binary;
    char slowest_name[BENCH_NAME_BYTES];
    double random_ns_256, random_ns_65536;
};

static void note_point(struct bench_result *result, const struct bench_point *point,
                       enum pattern pattern, uint32_t range_count, struct findings *findings)
{
    const struct bench_series *series = point->series;
    char name[2 * BENCH_NAME_BYTES];
    if (series[METHOD_BINARY].ours.median > findings->slowest_to_binary) {
        findings->slowest_to_binary = series[METHOD_BINARY].ours.median;
        snprintf(findings->slowest_name, sizeof(findings->slowest_name), "%s", point->name);
    }
    if (pattern != PATTERN_RANDOM)
        return;
    if (range_count == 256) {
        findings->random_ns_256 = bench_series_ns(&series[METHOD_OURS], 0.5);
        snprintf(name, sizeof(name), "times as fast as a list, %s", point->name);
        bench_reach_at_least(result, name, 1 / series[METHOD_LIST].ours.median, TO_LIST_WANTED);
    } else if (range_count == 4096) {
        snprintf(name, sizeof(name), "times as fast as red-black, %s", point->name);
        bench_reach_at_least(result, name, 1 / series[METHOD_RED_BLACK].ours.median,
                             TO_RED_BLACK_WANTED);
    } else if (range_count == 65536) {
        findings->random_ns_65536 = bench_series_ns(&series[METHOD_OURS], 0.5);
    }
}

static int measure(struct bench_result *result, struct route *route, enum pattern pattern,
                   struct findings *findings)
{
    struct bench_contender contenders[METHOD_COUNT];
    for (uint32_t i = 0; i < METHOD_COUNT; i++)
        contenders[i] = (struct bench_contender){
            .name = method_names[i],
            .role = i == METHOD_OURS ? BENCH_OURS : BENCH_BASELINE,
            .operations = operations_of(route, (enum method)i),
            .samples_max = i == METHOD_LIST ? 1 + LIST_STEPS_A_BLOCK / route->range_count /
                                                      operations_of(route, METHOD_LIST)
                                            : SAMPLES_A_BLOCK,
            .run_block = run_block,
            .context = route,
            .variant = i,
        };
    char name[BENCH_NAME_BYTES];
    struct bench_point *point;
    snprintf(name, sizeof(name), "%s, %u range%s", pattern_names[pattern], route->range_count,
             route->range_count > 1 ? "s" : "");
    choose_addresses(route, pattern);
    int failed = check(route);
    if (failed == 0)
        failed = bench_compare(result, name, route->range_count, contenders, METHOD_COUNT, &point);
    if (failed == 0)
        note_point(result, point, pattern, route->range_count, findings);
    return failed;
}

static int measure_count(struct bench_result *result, struct route *route, uint32_t range_count,
                         struct findings *findings)
{
    route->range_count = range_count;
    int failed = build(route);
    for (uint32_t pattern = 0; pattern < PATTERN_COUNT && failed == 0; pattern++)
        failed = measure(result, route, (enum pattern)pattern, findings);
    tear_down(route);
    return failed;
}

int bench_route(struct bench_result *result)
{
    static const uint32_t counts[] = {1, 16, 256, 4096, 65536};
    static struct route route = {.list_lock = PTHREAD_MUTEX_INITIALIZER};
    const struct bench_options *options = result->options;
    struct findings findings = {0};
    result->scale_name = "ranges";
    bench_parameter(result, "lookups a sample", LOOKUPS_A_SAMPLE);
    route.ranges = calloc(ROUTER_RANGES_MAX, sizeof(*route.ranges));
    route.addresses = calloc(ADDRESS_COUNT, sizeof(*route.addresses));
    int failed = route.ranges && route.addresses ? bench_bind_self(options->poller_cpu) : -ENOMEM;
    if (options->has_ranges && failed == 0)
        failed = measure_count(result, &route, options->ranges, &findings);
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]) && failed == 0; i++)
        if (!options->has_ranges)
            failed = measure_count(result, &route, counts[i], &findings);
    free(route.ranges);
    free(route.addresses);
    if (failed < 0)
        return failed;
    bench_fact(result, "taken off a lookup, ns",
               (double)histogram_percentile(&route.empty, 0.5) * 1e9 / (double)ticks_per_second() /
                   LOOKUPS_A_SAMPLE);
    bench_fact_text(result, "slowest beside binary search", "%s", findings.slowest_name);
    bench_reach_at_most(result, "time to binary search's, at the slowest",
                        findings.slowest_to_binary, TO_BINARY_WANTED);
    if (findings.random_ns_256 > 0 && findings.random_ns_65536 > 0)
        bench_reach_at_most(result, "time at 65536 to that at 256, random",
                            findings.random_ns_65536 / findings.random_ns_256, GROWTH_WANTED);
    return 0;
}
