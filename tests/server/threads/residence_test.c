/* SPDX-License-Identifier: BSD-3-Clause */
/* What is looked at when a poller's memory is verified, and what is said of what lies elsewhere.
 * The kernel's answers are invented: this machine may have one node. */
#include "server/threads/residence.h"
#include "tests/support/captured_stderr.h"
#include "tests/support/world.h"

#include "clients/inbox.h"
#include "pollers/histogram.h"
#include "pollers/slot.h"

#include <stdio.h>

#define SEEN_MAX 64u

/* What was asked about, and the one that strays (NULL: none; ALL: each). */
static struct memory_block seen[SEEN_MAX];
static size_t seen_count;
static const void *strayed;
static int strayed_to;
static const char all;
#define ALL ((const void *)&all)

static bool lies(const void *memory, struct memory_block block)
{
    const char *byte = memory, *begin = block.memory;
    return byte >= begin && byte < begin + block.size_bytes;
}

static bool check(struct memory_block block, int node, int *found)
{
    (void)node;
    assert_true(seen_count < SEEN_MAX && block.size_bytes > 0);
    seen[seen_count++] = block;
    if (!strayed || (strayed != ALL && !lies(strayed, block)))
        return true;
    *found = strayed_to;
    return false;
}

static bool was_seen(const void *memory)
{
    for (size_t i = 0; i < seen_count; i++)
        if (lies(memory, seen[i]))
            return true;
    return false;
}

/* What is said while the poller's memory is looked at. */
static const char *look(const struct world *world, size_t poller, const void *stray, int to,
                        uint32_t *strays)
{
    static struct captured_stderr captured;
    seen_count = 0;
    strayed = stray;
    strayed_to = to;
    capture_begin(&captured);
    *strays = residence_count_strays(&world->topology, poller, check, true);
    return capture_end(&captured);
}

struct fixture {
    struct world world;
    struct vm *vm;
    struct vm_client *here, *there; /* on the sweeping poller, and on the other one */
};

static struct vm_client *client_of_ours(struct vm *vm, const char *name, uint32_t poller)
{
    struct vm_client *client = NULL;
    struct device *device = calloc(1, sizeof(*device));
    assert_non_null(device);
    device->ops = device_kind_find("fallback");
    const struct vm_client_options options = {
        .name = name, .poller_index = poller, .device = device};
    assert_int_equal(vm_client_create(vm, &options, &client), 0);
    return client;
}

static void fixture_create(struct fixture *fixture)
{
    world_create(&fixture->world, 2);
    fixture->vm = world_vm(&fixture->world, "vm", 1);
    fixture->here = client_of_ours(fixture->vm, "here", 0);
    fixture->there = client_of_ours(fixture->vm, "there", 1);
}

static void all_that_a_poller_touches_is_looked_at(void **state)
{
    (void)state;
    struct fixture f;
    uint32_t strays;
    fixture_create(&f);
    assert_string_equal(look(&f.world, 0, NULL, 0, &strays), "");
    assert_int_equal(strays, 0);
    const void *const sweepers[] = {
        f.world.pollers[0].poller,
        f.world.pollers[0].notifier_port,
        f.vm->source.slots,
        &f.vm->page->records[15],
        f.vm->router,
        (const void *)(atomic_load(&f.vm->router->roots[REQUEST_MMIO]) & ~ROUTER_LEVELS_MASK),
        &f.here->client,
        &f.here->latency->buckets[HISTOGRAM_BUCKET_COUNT - 1],
        f.here->client.device,
    };
    for (size_t i = 0; i < sizeof(sweepers) / sizeof(sweepers[0]); i++)
        assert_true(was_seen(sweepers[i]));
    assert_false(was_seen(&f.there->client));
    look(&f.world, 1, NULL, 0, &strays);
    const void *const others[] = {f.world.pollers[1].poller,
                                  f.world.pollers[1].notifier_port,
                                  &f.there->client,
                                  f.there->latency,
                                  (char *)f.there->client.inbox + sizeof(struct inbox) - 1,
                                  f.there->client.device};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++)
        assert_true(was_seen(others[i]));
    assert_false(was_seen(f.vm->source.slots));
    assert_false(was_seen(f.vm->router));
    world_destroy(&f.world);
}

static void what_strays_is_named_with_both_nodes(void **state)
{
    (void)state;
    struct fixture f;
    uint32_t strays;
    fixture_create(&f);
    const struct {
        const void *memory;
        const char *expected;
    } cases[] = {
        {f.world.pollers[0].poller, "poller a: its state lies on NUMA node 9, wanted was node "},
        {f.world.pollers[0].notifier_port,
         "poller a: its ring to the notifier lies on NUMA node 9"},
        {f.vm->source.slots, "vm vm: its page lies on NUMA node 9"},
        {f.vm->page, "vm vm: its slot records lies on NUMA node 9"},
        {f.vm->router, "vm vm: its router lies on NUMA node 9"},
        {f.here, "client here: its state (counters, histogram, inbox) lies on NUMA node 9"},
        {f.here->client.device, "client here: its device lies on NUMA node 9"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *said = look(&f.world, 0, cases[i].memory, 9, &strays);
        assert_int_equal(strays, 1);
        if (!strstr(said, cases[i].expected))
            fail_msg("not said: %s\nbut: %s", cases[i].expected, said);
        assert_non_null(strstr(said, "give the poller a CPU of node 9\n"));
    }
    world_destroy(&f.world);
}

static void many_strays_are_a_few_lines(void **state)
{
    (void)state;
    struct fixture f;
    uint32_t strays;
    fixture_create(&f);
    const char *said = look(&f.world, 0, ALL, 1, &strays);
    assert_int_equal(strays, seen_count);
    size_t lines = 0;
    for (const char *place = said; (place = strchr(place, '\n')); place++)
        lines++;
    assert_int_equal(lines, 5);
    char last[96];
    snprintf(last, sizeof(last), "poller a: %u more blocks of memory lie on other nodes",
             strays - 4);
    assert_non_null(strstr(said, last));
    world_destroy(&f.world);
}

static void absent_pages_count_and_are_not_said(void **state)
{
    (void)state;
    struct fixture f;
    uint32_t strays;
    fixture_create(&f);
    assert_string_equal(look(&f.world, 0, f.vm->router, MEMORY_ANY_NODE, &strays), "");
    assert_int_equal(strays, 1);
    world_destroy(&f.world);
}

static void a_requesters_page_is_told_alone(void **state)
{
    (void)state;
    static struct captured_stderr captured;
    struct fixture f;
    fixture_create(&f);
    seen_count = 0;
    strayed = ALL;
    strayed_to = 2;
    capture_begin(&captured);
    residence_tell_page(f.vm, check);
    assert_non_null(strstr(capture_end(&captured), "warning: vm vm: its page lies on NUMA node 2"));
    assert_int_equal(seen_count, 1);
    vm_detach(f.vm);
    seen_count = 0;
    residence_tell_page(f.vm, check);
    assert_int_equal(seen_count, 0);
    world_destroy(&f.world);
}

static void on_this_machine_it_is_where_it_belongs(void **state)
{
    (void)state;
    struct fixture f;
    fixture_create(&f);
    world_start(&f.world);
    for (size_t i = 0; i < 2; i++)
        assert_int_equal(residence_count_strays(&f.world.topology, i, memory_check_node, true), 0);
    world_destroy(&f.world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_a_poller_touches_is_looked_at),
        cmocka_unit_test(what_strays_is_named_with_both_nodes),
        cmocka_unit_test(many_strays_are_a_few_lines),
        cmocka_unit_test(absent_pages_count_and_are_not_said),
        cmocka_unit_test(a_requesters_page_is_told_alone),
        cmocka_unit_test(on_this_machine_it_is_where_it_belongs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
