/* SPDX-License-Identifier: BSD-3-Clause */
/* ioreqd is killed and started again under load: rows 43, 44 and 45 of the list of faults, end to end.
 * IOREQ_KILLS=N: so many kills (20), IOREQ_APART_MS=N:
 * so far apart (at random within 30). */
#include "tests/support/supervised.h"

#define COUNTERS 0xfe100000ull /* each read of a word gives one more than the last */
#define PATIENT  0xfe200000ull /* no deadline; what a dead process took fails */
#define AGAIN    0xfe300000ull /* no deadline; what a dead process took is asked again */
#define NOBODY   0xfd000000ull

static struct daemon ioreqd;
static pid_t counter_pid;

static int setup(void **state)
{
    (void)state;
    char text[4096];
    daemon_init(&ioreqd);
    snprintf(text, sizeof(text),
             "server: {socket: %s}\n"
             "pollers:\n"
             "  - {name: rt, cpu: any, idle: yield, sandbox: %s}\n"
             "vms:\n"
             "  - {name: guest, vcpus: %u, source: memfd, poller: rt}\n"
             "clients:\n"
             "  - name: counters\n"
             "    vm: guest\n"
             "    device: process\n"
             "    ranges: [{type: mmio, first: 0xfe100000, last: 0xfe100fff}]\n"
             "    options: {deadline_us: 0}\n"
             "  - name: patient\n"
             "    vm: guest\n"
             "    device: process\n"
             "    ranges: [{type: mmio, first: 0xfe200000, last: 0xfe200fff}]\n"
             "    options: {deadline_us: 0}\n"
             "  - name: again\n"
             "    vm: guest\n"
             "    device: process\n"
             "    ranges: [{type: mmio, first: 0xfe300000, last: 0xfe300fff}]\n"
             "    options: {deadline_us: 0, on_death: reissue}\n"
             "  - name: scratch\n"
             "    vm: guest\n"
             "    device: register_bank\n"
             "    ranges: [{type: mmio, first: 0xfe000000, last: 0xfe000fff}]\n"
             "    options: {registers: [{name: word, offset: 0, size: 8, count: 512}]}\n",
             ioreqd.socket, DAEMON_SANDBOX, COUNTERS_VCPUS);
    daemon_write(ioreqd.config, text);
    supervised_start(&ioreqd);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    return supervised_end(&ioreqd, &counter_pid);
}

/* ---- row 44 ------------------------------------------------------------------------------- */

/* One vCPU polls, the other sleeps: its eventfd goes to each server anew. */
static struct requester *attach_mixed(void)
{
    char error[256] = "";
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    if (requester_prepare(requester, 1u << 1, error, sizeof(error)) != 0)
        fail_msg("%s", error);
    return requester;
}

static int compare(const void *a, const void *b)
{
    const uint64_t *left = a, *right = b;
    return *left < *right ? -1 : *left > *right;
}

static void row_44_kills_under_load_lose_nothing_and_repeat_nothing(void **state)
{
    (void)state;
    const char *text = getenv("IOREQ_KILLS");
    uint32_t kills = text ? (uint32_t)strtoul(text, NULL, 10) : 20;
    const char *apart = getenv("IOREQ_APART_MS");
    struct counting vcpus[COUNTERS_VCPUS];
    counter_pid = counter_start(&ioreqd, "guest", "counters");
    struct requester *requester = attach_mixed();
    counting_start(vcpus, requester, COUNTERS, NOBODY);
    supervised_kill(&ioreqd);
    uint32_t descriptors = supervised_descriptors(&ioreqd);
    srand(1);
    uint64_t *pauses = calloc(kills, sizeof(*pauses));
    for (uint32_t i = 0; i < kills; i++) {
        pause_us(apart ? strtoul(apart, NULL, 10) * 1000ul : (uint64_t)(rand() % 30000));
        atomic_store(&vcpus[0].longest_us, 0);
        supervised_kill(&ioreqd);
        while (atomic_load(&vcpus[0].longest_us) == 0)
            daemon_pause();
        pauses[i] = atomic_load(&vcpus[0].longest_us);
    }
    pause_us(50000);
    counting_end(vcpus);
    qsort(pauses, kills, sizeof(*pauses), compare);
    print_message("pause of the guest, %u kills: p50 %.1f ms, max %.1f ms\n", kills,
                  (double)pauses[kills / 2] / 1000, (double)pauses[kills - 1] / 1000);
    free(pauses);
    assert_int_equal(supervised_descriptors(&ioreqd), descriptors);
    requester_detach(requester);
}

/* `ioreqd --supervise` told to restart it: the same, and exit code 0 in the log. */
static void row_44_a_restart_in_order_loses_nothing(void **state)
{
    (void)state;
    struct counting vcpus[COUNTERS_VCPUS];
    counter_pid = counter_start(&ioreqd, "guest", "counters");
    struct requester *requester = attach_mixed();
    counting_start(vcpus, requester, COUNTERS, NOBODY);
    for (uint32_t i = 0; i < 5; i++) {
        pid_t old = supervised_server(&ioreqd);
        kill(ioreqd.pid, SIGUSR2);
        supervised_wait_for_another(&ioreqd, old);
        pause_us(10000);
    }
    counting_end(vcpus);
    requester_detach(requester);
    assert_false(daemon_file_has(ioreqd.err, "was killed"));
}

/* Its token is of a server that is no more, and valid. */
static void row_44_a_process_answers_what_it_took_of_the_dead_server(void **state)
{
    (void)state;
    struct counting vcpu;
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    struct outside outside = outside_start(&ioreqd, "patient");
    assert_int_equal(outside_do(&outside, OUTSIDE_REGISTER), 0);
    counting_begin_read(&vcpu, requester, PATIENT);
    assert_int_equal(outside_do(&outside, OUTSIDE_TAKE), 0);
    supervised_kill(&ioreqd);
    assert_int_equal(outside_do(&outside, OUTSIDE_ANSWER), 0);
    outside_begin(&outside, OUTSIDE_SERVE);
    assert_true(counting_end_read(&vcpu) == outside_value(PATIENT));
    outside_kill(&outside);
    requester_detach(requester);
}

/* Both are dead: what it took is settled as the client's policy says. */
static void row_44_what_a_dead_process_took_goes_by_its_policy(void **state)
{
    (void)state;
    static const struct {
        const char *client;
        uint64_t address;
        bool is_asked_again;
    } cases[] = {{"patient", PATIENT, false}, {"again", AGAIN, true}};
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    for (size_t i = 0; i < 2; i++) {
        struct counting vcpu;
        struct outside outside = outside_start(&ioreqd, cases[i].client);
        assert_int_equal(outside_do(&outside, OUTSIDE_REGISTER), 0);
        counting_begin_read(&vcpu, requester, cases[i].address);
        assert_int_equal(outside_do(&outside, OUTSIDE_TAKE), 0);
        outside_kill(&outside);
        supervised_kill(&ioreqd);
        outside = outside_start(&ioreqd, cases[i].client);
        assert_int_equal(outside_do(&outside, OUTSIDE_REGISTER), 0);
        outside_begin(&outside, OUTSIDE_SERVE);
        uint64_t expected = cases[i].is_asked_again ? outside_value(cases[i].address) : UINT64_MAX;
        assert_true(counting_end_read(&vcpu) == expected);
        outside_kill(&outside);
    }
    requester_detach(requester);
}

/* Nobody keeps waiting for a server that ends in order. */
static void an_end_in_order_is_told(void **state)
{
    (void)state;
    struct outside outside = outside_start(&ioreqd, "patient");
    assert_int_equal(outside_do(&outside, OUTSIDE_REGISTER), 0);
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    outside_begin(&outside, OUTSIDE_WAIT_FOR_END);
    assert_int_equal(daemon_stop(&ioreqd), 0);
    assert_int_equal(outside_result(&outside), 0);
    while (!requester_is_over(requester))
        daemon_pause();
    requester_detach(requester);
    outside_kill(&outside);
    assert_int_not_equal(access(ioreqd.socket, F_OK), 0);
}

/* ---- row 45 ------------------------------------------------------------------------------- */

static void row_45_a_refused_journal_costs_ones_and_no_more(void **state)
{
    (void)state;
    struct counting vcpu;
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    struct outside outside = outside_start(&ioreqd, "patient");
    assert_int_equal(outside_do(&outside, OUTSIDE_REGISTER), 0);
    counting_begin_read(&vcpu, requester, PATIENT);
    assert_int_equal(outside_do(&outside, OUTSIDE_TAKE), 0);
    int journal = supervised_open_kept(&ioreqd, "ioreqd-journal");
    assert_true(journal >= 0);
    pid_t old = supervised_server(&ioreqd);
    kill(old, SIGSTOP);
    uint64_t zero = 0;
    assert_int_equal(pwrite(journal, &zero, sizeof(zero), 0), sizeof(zero));
    close(journal);
    kill(old, SIGKILL);
    supervised_wait_for_another(&ioreqd, old);
    assert_true(counting_end_read(&vcpu) == UINT64_MAX);
    assert_true(
        daemon_file_has(ioreqd.err, "journal of an earlier ioreqd is refused: it is empty"));
    /* The next death is as any other. */
    supervised_kill(&ioreqd);
    assert_true(daemon_read(requester, NOBODY, 8) == UINT64_MAX);
    outside_kill(&outside);
    requester_detach(requester);
}

/* ---- row 43 ------------------------------------------------------------------------------- */

static void preload_shim(struct daemon *daemon)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/once", daemon->folder);
    setenv("IOREQ_SHIM_ONCE", path, 1);
    setenv("LD_PRELOAD", BINARY_DIR "/tests/libsystem_call_shim.so", 1);
}

static void row_43_a_poller_that_makes_a_system_call_is_replaced(void **state)
{
    (void)state;
    if (IOREQD_SANITIZE[0]) {
        print_message("skip: under sanitizers there is no sandbox\n");
        skip();
    }
    char path[128];
    struct counting vcpus[COUNTERS_VCPUS];
    assert_int_equal(daemon_stop(&ioreqd), 0);
    snprintf(path, sizeof(path), "%s/once", ioreqd.folder);
    daemon_write(path, "");
    ioreqd.prepare = preload_shim;
    supervised_start(&ioreqd);
    counter_pid = counter_start(&ioreqd, "guest", "counters");
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    counting_start(vcpus, requester, COUNTERS, NOBODY);
    while (!daemon_file_has(ioreqd.err, "a poller made a system call; it is started again"))
        daemon_pause();
    supervised_wait_for_another(&ioreqd, 0);
    pause_us(20000);
    counting_end(vcpus);
    requester_detach(requester);
}

/* ---- the supervisor itself ---------------------------------------------------------------- */

static void one_that_cannot_start_is_not_started_for_ever(void **state)
{
    (void)state;
    struct daemon broken;
    daemon_init(&broken);
    daemon_write(broken.config, "pollers: nonsense\n");
    const char *const arguments[] = {BINARY_DIR "/ioreqd", "--supervise", "--config", broken.config,
                                     NULL};
    daemon_spawn(&broken, arguments);
    assert_int_equal(daemon_wait(&broken), 2);
    daemon_fini(&broken);
    /* One that was well, and whose file is not when it must come back. */
    pid_t old = supervised_server(&ioreqd);
    daemon_write(ioreqd.config, "pollers: nonsense\n");
    kill(old, SIGKILL);
    assert_int_equal(daemon_wait(&ioreqd), 1);
    assert_true(daemon_file_has(ioreqd.err, "died 5 times before it was ready"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_that_cannot_start_is_not_started_for_ever, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(row_45_a_refused_journal_costs_ones_and_no_more, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(row_44_a_process_answers_what_it_took_of_the_dead_server,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(row_44_what_a_dead_process_took_goes_by_its_policy, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(row_44_a_restart_in_order_loses_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(row_44_kills_under_load_lose_nothing_and_repeat_nothing,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(row_43_a_poller_that_makes_a_system_call_is_replaced, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(an_end_in_order_is_told, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
