/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What instructions.sh counts: requests served by poller_round() and lookups by router_find(), nothing else
 * in between. callgrind collects inside these two only, and dumps its count when case_end() returns.
 *
 * Usage: instructions ROUNDS     one line for each case: its name, and how many operations ROUNDS were
 *        instructions --compiler
 */
#include "clients/inbox.h"
#include "pollers/histogram.h"
#include "pollers/memory.h"
#include "pollers/poller_internal.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RANGE_BASE   0xd0000000ull
#define RANGE_STRIDE 0x1000ull
#define RANGE_BYTES  0x800ull
#define FIND_BATCH   16u

struct bed {
    _Alignas(PAGE_BYTES) struct acrn_io_request slots[SLOT_COUNT];
    struct page page;
    struct client client;
    struct device device;
    struct histogram latency;
    struct poller *poller;
    struct router *router;
    uint32_t range_count;
    uint64_t random;
};

static int echo(struct device *device, struct request *request)
{
    (void)device;
    request->value = request->address;
    return 0;
}

static const struct device_ops echo_ops = {.name = "echo", .handle = echo, .is_prompt = true};

static uint64_t next_address(struct bed *bed)
{
    bed->random = bed->random * 6364136223846793005u + 1442695040888963407u;
    return RANGE_BASE + (bed->random >> 33) % bed->range_count * RANGE_STRIDE;
}

static void build_router(struct bed *bed, uint32_t range_count)
{
    struct router_range *ranges = calloc(range_count, sizeof(*ranges));
    assert(ranges);
    for (uint32_t i = 0; i < range_count; i++) {
        uint64_t first = RANGE_BASE + i * RANGE_STRIDE;
        ranges[i] =
            (struct router_range){first, first + RANGE_BYTES - 1, &bed->client, REQUEST_MMIO, i, 0};
    }
    int result = router_create(ranges, range_count, MEMORY_ANY_NODE, &bed->router, NULL);
    assert(result == 0);
    free(ranges);
    bed->range_count = range_count;
}

static struct bed *bed_create(uint32_t range_count)
{
    struct bed *bed = aligned_alloc(PAGE_BYTES, sizeof(*bed));
    assert(bed);
    memset(bed, 0, sizeof(*bed));
    bed->device.ops = &echo_ops;
    bed->client.device = &bed->device;
    bed->client.latency = &bed->latency;
    build_router(bed, range_count);
    const struct poller_options options = {.name = "count", .idle = POLLER_IDLE_SPIN};
    int result = poller_create(&options, &bed->poller);
    assert(result == 0);
    result = page_init(&bed->page, SLOT_COUNT, bed->router, NULL);
    assert(result == 0);
    result = poller_add_page(bed->poller, &bed->page);
    assert(result == 0);
    page_open(&bed->page, bed->slots);
    return bed;
}

static void bed_destroy(struct bed *bed)
{
    poller_destroy(bed->poller);
    router_destroy(bed->router);
    free(bed);
}

/* noipa: one symbol, called each time, whatever the compiler knows. */
__attribute__((noipa)) void case_end(const char *name, uint64_t operations);
void case_end(const char *name, uint64_t operations)
{
    printf("%s %llu\n", name, (unsigned long long)operations);
}

/* ---- cases ------------------------------------------------------------------------------- */

static void ask_all(struct bed *bed, uint32_t direction)
{
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        struct acrn_io_request *slot = &bed->slots[i];
        slot->type = REQUEST_MMIO;
        slot->completion_polling = 1;
        slot->reqs.mmio_request.direction = direction;
        slot->reqs.mmio_request.address = next_address(bed);
        slot->reqs.mmio_request.size = 4;
        slot->reqs.mmio_request.value = i;
        __atomic_store_n(&slot->processed, SLOT_PENDING, __ATOMIC_RELEASE);
    }
}

static void count_requests(const char *name, uint64_t rounds, uint32_t direction, bool has_inbox)
{
    struct bed *bed = bed_create(256);
    void *memory = aligned_alloc(INBOX_ALIGN_BYTES, sizeof(struct inbox));
    assert(memory);
    if (has_inbox) {
        bed->client.inbox = inbox_init(memory);
        int result = poller_add_inbox(bed->poller, &bed->client);
        assert(result == 0);
    }
    for (uint64_t i = 0; i < rounds; i++) {
        ask_all(bed, direction);
        poller_round(bed->poller);
        if (has_inbox)
            poller_round(bed->poller); /* takes the answers out of it */
        for (uint32_t slot = 0; slot < SLOT_COUNT; slot++)
            assert(slot_state(&bed->slots[slot]) == SLOT_COMPLETE);
    }
    case_end(name, rounds * SLOT_COUNT);
    bed_destroy(bed);
    free(memory);
}

static void count_empty_sweeps(uint64_t sweeps)
{
    struct bed *bed = bed_create(256);
    while (poller_figures(bed->poller).sweeps < sweeps) /* a round makes several */
        poller_round(bed->poller);
    case_end("sweep_of_16_empty_slots", poller_figures(bed->poller).sweeps);
    bed_destroy(bed);
}

__attribute__((noipa)) uint64_t find_batch(const struct router *router, const uint64_t *addresses);
uint64_t find_batch(const struct router *router, const uint64_t *addresses)
{
    uint64_t sum = 0;
    struct router_route route;
    for (uint32_t i = 0; i < FIND_BATCH; i++)
        if (router_find(router, REQUEST_MMIO, addresses[i], 4, &route))
            sum += route.range_index;
    return sum;
}

static void count_lookups(uint64_t rounds, uint32_t range_count)
{
    struct bed *bed = bed_create(range_count);
    char name[64];
    for (uint64_t i = 0; i < rounds; i++) {
        uint64_t addresses[FIND_BATCH], expected = 0;
        for (uint32_t k = 0; k < FIND_BATCH; k++) {
            addresses[k] = next_address(bed);
            expected += (addresses[k] - RANGE_BASE) / RANGE_STRIDE;
        }
        uint64_t found = find_batch(bed->router, addresses);
        assert(found == expected);
    }
    snprintf(name, sizeof(name), "lookup_in_%u_ranges", range_count);
    case_end(name, rounds * FIND_BATCH);
    bed_destroy(bed);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "--compiler") == 0) {
#ifdef __clang__
        printf("clang-%d-x86_64\n", __clang_major__);
#else
        printf("gcc-%d-x86_64\n", __GNUC__);
#endif
        return 0;
    }
    uint64_t rounds = argc == 2 ? strtoull(argv[1], NULL, 10) : 0;
    if (rounds == 0) {
        fputs("Usage: instructions ROUNDS | --compiler\n", stderr);
        return 2;
    }
    count_requests("read", rounds, REQUEST_READ, false);
    count_requests("write", rounds, REQUEST_WRITE, false);
    count_requests("read_through_inbox", rounds, REQUEST_READ, true);
    count_empty_sweeps(rounds);
    count_lookups(rounds, 256);
    count_lookups(rounds, 4096);
    count_lookups(rounds, 65536);
    return 0;
}
