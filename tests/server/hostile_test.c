/* SPDX-License-Identifier: BSD-3-Clause */
/* A hostile process (tests/support/hostile_client.c) beside an honest one and a device of the server's
 * own, all under `ioreq-vm load`: rows 29 to 36 of tests/faults.md from outside. The honest ones
 * serve as if it were not there, the load finds every answer right, the hostile one is counted and,
 * where that is due, cut; and nothing of it stays behind. */
#include "tests/support/child.h"
#include "tests/support/descriptors.h"
#include "tests/support/ioreqd.h"

#include "clients/library/ioreq.h"
#include "server/vm/load_mix.h"

#include <jansson.h>
#include <sys/prctl.h>

#define ACCESSES_WANTED 300u /* of the honest ones while the hostile one is at it */

static pid_t honest, load, hostile;
static char report_path[128];

/* ---- processes --------------------------------------------------------------------------- */

static _Noreturn void serve(void)
{
    struct ioreq_client *client;
    struct ioreq_request request;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int result = ioreq_register(ioreqd.socket, "guest", "honest", &client);
    while (result == 0) {
        result = ioreq_receive(client, &request, IOREQ_FOREVER, 20000);
        if (result == 0)
            result = ioreq_answer(client, request.token,
                                  load_formula(request.address, request.size_bytes));
    }
    _exit(1);
}

static pid_t start_program(const char *const *arguments, const char *out)
{
    pid_t pid = child_fork();
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int file = open(out, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    dup2(file, STDOUT_FILENO);
    execv(arguments[0], (char *const *)(uintptr_t)arguments);
    _exit(127);
}

static int wait_for(pid_t pid)
{
    int status = child_wait(pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

static void start_hostile(const char *act)
{
    const char *const arguments[] = {BINARY_DIR "/tests/hostile_client",
                                     "--socket",
                                     ioreqd.socket,
                                     "--vm",
                                     "guest",
                                     "--client",
                                     "hostile",
                                     "--act",
                                     act,
                                     "--seed",
                                     "29",
                                     NULL};
    hostile = start_program(arguments, "/dev/null");
}

static int setup(void **state)
{
    ioreqd_init(state);
    daemon_write_guest(&ioreqd, 2);
    daemon_add_process(&ioreqd, "honest", 0xfe100000, "deadline_us: 0");
    daemon_add_process(&ioreqd, "hostile", 0xfe101000, "deadline_us: 500, quarantine_after: 400");
    daemon_start(&ioreqd);
    honest = fork();
    assert_true(honest >= 0);
    if (honest == 0)
        serve();
    return 0;
}

static int teardown(void **state)
{
    const pid_t pids[] = {honest, load, hostile};
    for (size_t i = 0; i < 3; i++)
        if (pids[i] > 0) {
            kill(pids[i], SIGKILL);
            waitpid(pids[i], NULL, 0);
        }
    honest = load = hostile = 0;
    return ioreqd_fini(state);
}

/* ---- what the server says ---------------------------------------------------------------- */

static json_t *status(void)
{
    json_error_t error;
    json_t *root = json_loads(daemon_status(&ioreqd), 0, &error);
    if (!root)
        fail_msg("status: %s", error.text);
    return root;
}

/* Of a client; of its process where the client has no such key. */
static uint64_t figure(const char *name, const char *key)
{
    json_t *root = status(), *each;
    size_t index;
    uint64_t number = UINT64_MAX;
    json_array_foreach(json_object_get(root, "clients"), index, each)
    {
        if (strcmp(json_string_value(json_object_get(each, "name")), name) != 0)
            continue;
        const json_t *found = json_object_get(each, key);
        if (!found)
            found = json_object_get(json_object_get(each, "process"), key);
        assert_non_null(found);
        number = (uint64_t)json_integer_value(found);
    }
    json_decref(root);
    return number;
}

static void wait_for_descriptors(uint32_t expected)
{
    for (int i = 0; i < 2000 && descriptors_count(ioreqd.pid) > expected; i++)
        daemon_pause();
    assert_true(descriptors_count(ioreqd.pid) <= expected);
}

/* ---- the scene --------------------------------------------------------------------------- */

/* hostile_kind: what its own range is held to. What it guesses may be the token of its own next request,
 * which it may answer as it likes: then `any`. */
static void start_load(const char *hostile_kind)
{
    char mix[192];
    while (figure("honest", "epoch") == 0)
        daemon_pause();
    snprintf(report_path, sizeof(report_path), "%s/report", ioreqd.folder);
    snprintf(mix, sizeof(mix),
             "scratch:mmio:0xfe000000-0xfe000fff=1,formula:mmio:0xfe100000-0xfe100fff=1,"
             "%s:mmio:0xfe101000-0xfe101fff=1",
             hostile_kind);
    const char *const arguments[] = {BINARY_DIR "/ioreq-vm",
                                     "load",
                                     "--socket",
                                     ioreqd.socket,
                                     "--duration",
                                     "1000000",
                                     "--mix",
                                     mix,
                                     "--json",
                                     NULL};
    load = start_program(arguments, report_path);
    while (figure("honest", "accesses") == 0 || figure("scratch", "accesses") == 0)
        daemon_pause();
}

static uint64_t number_of(const json_t *report, const char *key)
{
    assert_non_null(json_object_get(report, key));
    return (uint64_t)json_integer_value(json_object_get(report, key));
}

/* Every answer was right, none is owed, and the honest process was never answered for. */
static void assert_unharmed(void)
{
    json_error_t error;
    kill(load, SIGINT);
    assert_int_equal(wait_for(load), 0);
    load = 0;
    json_t *report = json_load_file(report_path, 0, &error);
    assert_non_null(report);
    assert_int_equal(number_of(report, "wrong"), 0);
    assert_int_equal(number_of(report, "unanswered"), 0);
    json_decref(report);
    const char *const kept[] = {"late", "unserved", "failed", "refused", "quarantines"};
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
        assert_int_equal(figure("honest", kept[i]), 0);
}

/* Until the hostile client's figure has grown to `least`, and the honest ones have served on. */
static void play_held_to(const char *hostile_kind, const char *act, const char *key, uint64_t least)
{
    start_load(hostile_kind);
    uint32_t descriptors = descriptors_count(ioreqd.pid);
    start_hostile(act);
    while (figure("hostile", key) < least)
        daemon_pause();
    uint64_t at_honest = figure("honest", "accesses"), at_scratch = figure("scratch", "accesses");
    while (figure("honest", "accesses") < at_honest + ACCESSES_WANTED ||
           figure("scratch", "accesses") < at_scratch + ACCESSES_WANTED)
        daemon_pause();
    assert_int_equal(figure("honest", "epoch"), 1);
    assert_unharmed();
    kill(hostile, SIGKILL);
    wait_for(hostile);
    hostile = 0;
    wait_for_descriptors(descriptors);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

static void play(const char *act, const char *key, uint64_t least)
{
    play_held_to("formula", act, key, least);
}

static void row29_answering_twice_is_refused_and_cut(void **state)
{
    (void)state;
    play("twice", "quarantines", 2);
}

static void row29_answering_what_was_never_sent_is_refused_and_cut(void **state)
{
    (void)state;
    play_held_to("any", "unknown", "quarantines", 2);
}

static void row29_answering_for_other_slots_is_refused_and_cut(void **state)
{
    (void)state;
    play_held_to("any", "slots", "quarantines", 2);
}

static void row29_answering_for_slots_that_are_none_is_refused_and_cut(void **state)
{
    (void)state;
    play_held_to("any", "far-slots", "quarantines", 2);
}

static void row30_answers_of_another_incarnation_are_refused_and_cut(void **state)
{
    (void)state;
    play("old", "quarantines", 2);
}

static void row31_turn_that_jumps_by_2_to_the_31_is_cut(void **state)
{
    (void)state;
    play("jump", "quarantines", 2);
}

static void row31_turn_that_goes_back_is_cut(void **state)
{
    (void)state;
    play("back", "quarantines", 2);
}

static void row31_count_beyond_what_can_be_is_cut(void **state)
{
    (void)state;
    play("miscount", "quarantines", 2);
}

static void row32_flood_of_stale_answers_is_refused(void **state)
{
    (void)state;
    play("stale", "refused", 200);
}

static void row33_process_that_never_takes_is_answered_for(void **state)
{
    (void)state;
    play("full", "unserved", 200);
}

static void row34_process_that_writes_its_requests_dies_alone(void **state)
{
    (void)state;
    start_load("formula");
    start_hostile("write");
    assert_int_equal(wait_for(hostile), 128 + SIGSEGV);
    hostile = 0;
    uint64_t at = figure("honest", "accesses");
    while (figure("honest", "accesses") < at + ACCESSES_WANTED)
        daemon_pause();
    assert_unharmed();
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

static void row35_memory_that_is_changed_is_contained(void **state)
{
    (void)state;
    play("memory", "quarantines", 2);
}

static void row36_process_that_never_reads_is_late_like_any_other(void **state)
{
    (void)state;
    play("deaf", "late", 50);
}

static void anything_in_its_memory_is_contained(void **state)
{
    (void)state;
    play_held_to("any", "anything", "quarantines", 2);
}

static void malice_at_random_is_contained(void **state)
{
    (void)state;
    play_held_to("any", "random", "quarantines", 3);
}

int main(void)
{
    if (IOREQD_SANITIZE[0])
        setenv("ASAN_OPTIONS", "handle_segv=0:allow_user_segv_handler=1", 0);
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(row29_answering_twice_is_refused_and_cut),
        TEST(row29_answering_what_was_never_sent_is_refused_and_cut),
        TEST(row29_answering_for_other_slots_is_refused_and_cut),
        TEST(row29_answering_for_slots_that_are_none_is_refused_and_cut),
        TEST(row30_answers_of_another_incarnation_are_refused_and_cut),
        TEST(row31_turn_that_jumps_by_2_to_the_31_is_cut),
        TEST(row31_turn_that_goes_back_is_cut),
        TEST(row31_count_beyond_what_can_be_is_cut),
        TEST(row32_flood_of_stale_answers_is_refused),
        TEST(row33_process_that_never_takes_is_answered_for),
        TEST(row34_process_that_writes_its_requests_dies_alone),
        TEST(row35_memory_that_is_changed_is_contained),
        TEST(row36_process_that_never_reads_is_late_like_any_other),
        TEST(anything_in_its_memory_is_contained),
        TEST(malice_at_random_is_contained),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
