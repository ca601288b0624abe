/* SPDX-License-Identifier: BSD-3-Clause */
/* Page faults of a poller: how the kernel's line is read, that faults are seen, and told. */
#include "server/events.h"
#include "server/status.h"
#include "server/threads/thread_faults.h"
#include "tests/support/captured_stderr.h"
#include "tests/support/world.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGES 40u

static void lines_that_are_none_are_refused(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "",
        "1",
        "1 (rt",
        "1 (rt)",
        "1 (rt) R 1 2 3 4 5 6",
        "1 (rt) R 1 2 3 4 5 6 7",
        "1 (rt) R 1 2 3 4 5 6 7 8 x",
        "1 (rt) R 1 2 3 4 5 6 x 8 9",
    };
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        uint64_t faults = 77;
        assert_int_equal(thread_faults_parse(lines[i], &faults), -EINVAL);
        assert_int_equal(faults, 77);
    }
    uint64_t faults;
    assert_int_equal(thread_faults_read(0, &faults), -ENOENT);
    assert_int_equal(thread_faults_read(1, &faults), -ENOENT); /* no thread of ours */
    assert_int_equal(thread_faults_read(-1, &faults), -ENOENT);
}

static void minor_and_major_ones_are_added(void **state)
{
    (void)state;
    uint64_t faults;
    assert_int_equal(thread_faults_parse("7 (rt) R 1 2 3 4 -1 4194304 100 200 30 400 9", &faults),
                     0);
    assert_int_equal(faults, 130);
    assert_int_equal(thread_faults_parse("7 (a) b) 1 (c) S 1 2 3 4 5 6 7 8 9 0", &faults), 0);
    assert_int_equal(faults, 16);
    assert_int_equal(
        thread_faults_parse("7 (x) R 1 2 3 4 5 4294967295 18446744073709551614 0 1 0", &faults), 0);
    assert_true(faults == UINT64_MAX);
}

static void touch_fresh_memory(void *context)
{
    char *memory = context;
    for (size_t i = 0; i < PAGES; i++)
        memory[i * 4096] = 1;
}

static void faults_of_a_poller_are_counted_from_when_it_began(void **state)
{
    (void)state;
    static struct captured_stderr captured;
    struct world world;
    world_create(&world, 1);
    topology_look_at_faults(&world.topology); /* without a thread: none */
    assert_int_equal(world.pollers[0].faults, 0);
    world_start(&world);
    char *memory =
        mmap(NULL, PAGES * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(memory != MAP_FAILED);
    assert_int_equal(madvise(memory, PAGES * 4096, MADV_NOHUGEPAGE), 0);
    topology_look_at_faults(&world.topology);
    uint64_t before = world.pollers[0].faults;
    while (poller_call(world.pollers[0].poller, touch_fresh_memory, memory, VM_CALL_TIMEOUT_NS) < 0)
        ;
    topology_tick(&world.topology);
    uint64_t faults = world.pollers[0].faults;
    assert_true(faults >= before + PAGES);
    /* Its thread took more of them before it began: those do not count. */
    uint64_t whole;
    assert_int_equal(thread_faults_read(poller_thread(world.pollers[0].poller).id, &whole), 0);
    assert_true(whole > faults);

    char line[96];
    snprintf(line, sizeof(line), "ioreqd: warning: poller a: page faults: %llu more\n",
             (unsigned long long)faults);
    capture_begin(&captured);
    events_report(&world.topology);
    assert_string_equal(capture_end(&captured), line);
    capture_begin(&captured);
    events_report(&world.topology);
    assert_string_equal(capture_end(&captured), "");

    /* Status looks again, and a sanitizer may have touched memory of its own on the poller. */
    char *text = status_json(&world.topology);
    snprintf(line, sizeof(line), "\"memory_on_node\": true, \"faults\": %llu,",
             (unsigned long long)world.pollers[0].faults);
    assert_non_null(strstr(text, line));
    free(text);
    text = status_text(&world.topology);
    assert_non_null(strstr(text, " FAULTS\n"));
    snprintf(line, sizeof(line), "%% %7llu\n", (unsigned long long)world.pollers[0].faults);
    assert_non_null(strstr(text, line));
    free(text);
    munmap(memory, PAGES * 4096);
    world_destroy(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_that_are_none_are_refused),
        cmocka_unit_test(minor_and_major_ones_are_added),
        cmocka_unit_test(faults_of_a_poller_are_counted_from_when_it_began),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
