/* SPDX-License-Identifier: BSD-3-Clause */
/* A page whose memory goes while it is mapped: it becomes one of FREE slots, on any thread, also under a
 * poller's filter, which lets nothing else pass for it. What ends a process runs in a child. */
#include "tests/support/tree.h"

#include "pollers/ticks.h"
#include "server/sources/lost_page.h"
#include "server/threads/sandbox.h"
#include "tests/support/child.h"
#include "tests/support/skip.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>

/* A page of a file that can be cut off. */
struct cut {
    int descriptor;
    struct acrn_io_request *slots;
};

static struct cut cut_create(void)
{
    struct cut cut = {.descriptor = memfd_create("page", MFD_CLOEXEC)};
    assert_int_equal(ftruncate(cut.descriptor, PAGE_BYTES), 0);
    cut.slots = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, cut.descriptor, 0);
    assert_true(cut.slots != MAP_FAILED);
    memset(cut.slots, 0x55, PAGE_BYTES);
    return cut;
}

static void cut_destroy(const struct cut *cut)
{
    munmap(cut->slots, PAGE_BYTES);
    close(cut->descriptor);
}

static void a_lost_page_becomes_one_of_free_slots(void **state)
{
    (void)state;
    struct cut cut = cut_create(), other = cut_create();
    struct lost_page *lost = lost_page_watch(cut.slots), *kept = lost_page_watch(other.slots);
    assert_non_null(lost);
    assert_non_null(kept);
    assert_int_equal(slot_state(&cut.slots[0]), 0x55555555);
    assert_int_equal(ftruncate(cut.descriptor, 0), 0);
    assert_false(lost_page_is_lost(lost)); /* until somebody looks */
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        assert_int_equal(slot_state(&cut.slots[i]), SLOT_FREE);
    assert_true(lost_page_is_lost(lost));
    assert_false(lost_page_is_lost(kept));
    assert_int_equal(slot_state(&other.slots[0]), 0x55555555);
    cut.slots[3].processed = SLOT_FREE; /* a write ends nothing either */
    lost_page_unwatch(lost);
    lost_page_unwatch(kept);
    cut_destroy(&cut);
    cut_destroy(&other);
}

static void a_write_is_enough(void **state)
{
    (void)state;
    struct cut cut = cut_create();
    struct lost_page *lost = lost_page_watch(cut.slots);
    assert_int_equal(ftruncate(cut.descriptor, 0), 0);
    assert_false(slot_complete(&cut.slots[0], SLOT_PROCESSING, true, REQUEST_MMIO, 1));
    assert_true(lost_page_is_lost(lost));
    lost_page_unwatch(lost);
    lost = lost_page_watch(cut.slots);
    assert_false(lost_page_is_lost(lost)); /* a place that is used again is as new */
    lost_page_unwatch(lost);
    cut_destroy(&cut);
}

static void no_more_than_there_is_place_for(void **state)
{
    (void)state;
    struct lost_page *watched[LOST_PAGES_MAX];
    static char memory[LOST_PAGES_MAX + 1][PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));
    for (uint32_t i = 0; i < LOST_PAGES_MAX; i++)
        assert_non_null(watched[i] = lost_page_watch(memory[i]));
    assert_null(lost_page_watch(memory[LOST_PAGES_MAX]));
    for (uint32_t i = 0; i < LOST_PAGES_MAX; i++)
        lost_page_unwatch(watched[i]);
    lost_page_unwatch(NULL);
    assert_false(lost_page_is_lost(NULL));
}

/* ---- in a child -------------------------------------------------------------------------- */

static int status_of(void (*child_main)(void))
{
    pid_t child = child_fork();
    if (child == 0) {
        child_main();
        _exit(0);
    }
    return child_wait(child);
}

static void look_at_a_page_nobody_watches(void)
{
    if (lost_pages_start() < 0)
        _exit(10);
    struct cut cut = cut_create();
    if (ftruncate(cut.descriptor, 0) < 0)
        _exit(11);
    (void)slot_state(&cut.slots[0]);
}

static void another_bus_error_ends_the_process(void **state)
{
    (void)state;
    skip_if(IOREQD_SANITIZE[0], "the sanitizers' run time has a handler of its own");
    int status = status_of(look_at_a_page_nobody_watches);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGBUS);
}

/* What a thread under a poller's filter does once its page is gone. */
static struct cut filtered;
static void (*under_filter)(void);
static _Atomic bool was_done;

static void *run_under_filter(void *sandbox)
{
    if (sandbox_arm(sandbox) < 0)
        _exit(12);
    under_filter();
    atomic_store(&was_done, true);
    for (;;)
        ticks_pause();
}

static void start_under_filter(void)
{
    pthread_t thread;
    struct sandbox *sandbox;
    filtered = cut_create();
    struct lost_page *lost = lost_page_watch(filtered.slots);
    if (!lost || sandbox_create(POLLER_IDLE_SPIN, SANDBOX_NO_CALLS, &sandbox) < 0 ||
        ftruncate(filtered.descriptor, 0) < 0 ||
        pthread_create(&thread, NULL, run_under_filter, sandbox) != 0)
        _exit(10);
    for (uint32_t i = 0; i < 5000 && !atomic_load(&was_done); i++) {
        struct timespec pause = {.tv_nsec = 1000000};
        nanosleep(&pause, NULL);
    }
    _exit(atomic_load(&was_done) && lost_page_is_lost(lost) ? 0 : 13);
}

static void look_often(void)
{
    for (uint32_t i = 0; i < 1000; i++)
        if (slot_state(&filtered.slots[i % SLOT_COUNT]) != SLOT_FREE)
            _exit(14);
}

static void map_memory(void)
{
    syscall(SYS_mmap, NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void map_executable(void)
{
    syscall(SYS_mmap, filtered.slots, PAGE_BYTES, PROT_READ | PROT_EXEC, MAP_SHARED | MAP_FIXED,
            lost_page_descriptor(), 0);
}

static void map_another_file(void)
{
    syscall(SYS_mmap, filtered.slots, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
            filtered.descriptor, 0);
}

static void map_more(void)
{
    syscall(SYS_mmap, filtered.slots, 2 * PAGE_BYTES, PROT_READ | PROT_WRITE,
            MAP_SHARED | MAP_FIXED, lost_page_descriptor(), 0);
}

static void the_filter_lets_pass_just_that(void **state)
{
    (void)state;
    skip_if(IOREQD_SANITIZE[0], SKIP_SANITIZERS_CALL);
    under_filter = look_often;
    assert_int_equal(status_of(start_under_filter), 0);
    static void (*const others[])(void) = {map_memory, map_executable, map_another_file, map_more};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        under_filter = others[i];
        int status = status_of(start_under_filter);
        if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGSYS)
            fail_msg("call %zu: not ended by SIGSYS but %#x", i, (unsigned)status);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lost_page_becomes_one_of_free_slots),
        cmocka_unit_test(a_write_is_enough),
        cmocka_unit_test(no_more_than_there_is_place_for),
        cmocka_unit_test(another_bus_error_ends_the_process),
        cmocka_unit_test(the_filter_lets_pass_just_that),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
