/* SPDX-License-Identifier: BSD-3-Clause */
/* Every operation by ioreqctl, and reload (row 47 of tests/faults.md), while requests flow. */
#include "tests/support/child.h"
#include "tests/support/ioreqd.h"

#include <pthread.h>
#include <stdatomic.h>

static int start(void **state)
{
    ioreqd_init(state);
    ioreqd_start("");
    return 0;
}

/* Runs ioreqctl with the words of text; its output is in ctl.out and ctl.err. */
static struct daemon ctl;

static int ctl_run(const char *text)
{
    ctl = daemon_beside(&ioreqd);
    const char *const arguments[] = {BINARY_DIR "/ioreqctl", "--socket", ioreqd.socket, text, NULL};
    return daemon_run(&ctl, arguments);
}

static void refused_operations_say_why(void **state)
{
    (void)state;
    const struct {
        const char *command;
        int exit_code;
        const char *reason;
    } cases[] = {
        {"frobnicate", 2, "unknown command 'frobnicate'"},
        {"vm-start", 2, "expected: vm-start VM"},
        {"vm-start nobody", 1, "no VM is called nobody"},
        {"vm-start guest", 2, "VM guest is running; expected a stopped one"},
        {"vm-resume guest", 2, "VM guest is running; expected a paused one"},
        {"range-add guest scratch mmio 0x20 0x10", 2, "expected FIRST up to LAST"},
        {"range-add guest scratch mmio 0xfe000800 0xfe0008ff", 1, "overlaps"},
        {"range-add guest scratch portio 0x10000 0x10000", 2, "of portio at most 0xffff"},
        {"range-add guest scratch nonsense 0 1", 2, "expected TYPE"},
        {"range-add guest nobody mmio 0 1", 1, "no client called nobody"},
        {"range-delete guest scratch mmio 0xfe000000 0xfe000ffe", 1, "no such range"},
        {"client-create-external guest another", 1, "File exists"},
        {"client-destroy guest nobody", 1, "no client called nobody"},
        {"client-attach guest scratch", 2, "client scratch answers by itself; expected"},
        {"notify-finish guest scratch 0", 2, "client scratch answers by itself; expected"},
        {"vm-create {name: guest, vcpus: 1, source: memfd, poller: rt}", 1, "File exists"},
        {"vm-create {name: x, vcpus: 17, source: memfd, poller: rt}", 2, "<command>:1:"},
        {"ioeventfd-watch guest mmio 0xfb000000 3", 1, "Invalid argument"},
        {"ioeventfd-watch guest mmio", 1, "expected: ioeventfd-assign"},
        {"ioeventfd-assign guest mmio 0xfb000000 4", 1, "Bad file descriptor"},
        {"irqfd-raise guest line 99", 1, "Invalid argument"},
        {"irqfd-raise guest nonsense 4", 1, "expected VM line GSI"},
        {"client-create {name: x, vm: guest, device: uart, ranges: [{type: portio, first: 1}]}", 2,
         "the device refuses it"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        int exit_code = ctl_run(cases[i].command);
        if (exit_code != cases[i].exit_code || !daemon_file_has(ctl.err, cases[i].reason))
            fail_msg("%s: exit %d, expected %d and: %s", cases[i].command, exit_code,
                     cases[i].exit_code, cases[i].reason);
    }
    /* Nothing was half applied. */
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    daemon_exercise(requester, 100);
    requester_detach(requester);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

static void a_vm_made_at_run_time_serves_and_goes(void **state)
{
    (void)state;
    assert_int_equal(ctl_run("vm-create {name: late, vcpus: 2, source: memfd, poller: rt}"), 0);
    assert_int_equal(
        ctl_run("client-create {name: bank, vm: late, device: register_bank, "
                "ranges: [{type: mmio, first: 0xfe000000, last: 0xfe000fff}], "
                "options: {registers: [{name: word, offset: 0, size: 8, count: 512}]}}"),
        0);
    assert_int_equal(ctl_run("vm-start late"), 0);
    struct requester *requester = daemon_attach(&ioreqd, "late");
    daemon_exercise(requester, 200);
    assert_int_equal(ctl_run("vm-destroy late"), 0);
    requester_detach(requester);
    struct requester *none = NULL;
    char error[256];
    assert_int_equal(requester_attach(ioreqd.socket, "late", &none, error, sizeof(error)), -ENOENT);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

struct traffic {
    struct requester *requester;
    _Atomic uint64_t answered;
    _Atomic uint64_t wrong;
    _Atomic bool is_over;
    uint64_t address;
    uint64_t allowed[3]; /* answers that are right */
};

static void *traffic_main(void *argument)
{
    struct traffic *traffic = argument;
    while (!atomic_load(&traffic->is_over)) {
        struct requester_access access = {.address = traffic->address,
                                          .size_bytes = 4,
                                          .type = REQUEST_MMIO,
                                          .direction = REQUEST_READ};
        if (requester_access(traffic->requester, 1, &access) < 0)
            break;
        bool is_right = false;
        for (size_t i = 0; i < 3; i++)
            is_right = is_right || access.value == traffic->allowed[i];
        if (!is_right)
            atomic_fetch_add(&traffic->wrong, 1);
        atomic_fetch_add(&traffic->answered, 1);
    }
    return NULL;
}

static void wait_for_answers(struct traffic *traffic, uint64_t more)
{
    uint64_t from = atomic_load(&traffic->answered);
    while (atomic_load(&traffic->answered) < from + more)
        daemon_pause();
}

static void paused_vm_waits_and_resumed_goes_on(void **state)
{
    (void)state;
    struct traffic traffic = {.requester = daemon_attach(&ioreqd, "guest"),
                              .address = DAEMON_SCRATCH};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, traffic_main, &traffic), 0);
    for (int i = 0; i < 5; i++) {
        wait_for_answers(&traffic, 100);
        assert_int_equal(ctl_run("vm-pause guest"), 0);
        uint64_t before = atomic_load(&traffic.answered);
        for (int k = 0; k < 5; k++)
            daemon_pause();
        assert_true(atomic_load(&traffic.answered) <= before + 1);
        assert_int_equal(ctl_run("vm-resume guest"), 0);
    }
    wait_for_answers(&traffic, 100);
    atomic_store(&traffic.is_over, true);
    pthread_join(thread, NULL);
    assert_int_equal(traffic.wrong, 0);
    requester_detach(traffic.requester);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

static void ranges_come_and_go_under_load(void **state)
{
    (void)state;
    /* Beyond the bank's registers the device answers all-ones; so does the default client. */
    struct traffic traffic = {.requester = daemon_attach(&ioreqd, "guest"),
                              .address = DAEMON_SCRATCH,
                              .allowed = {0, 0xffffffff, 0}};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, traffic_main, &traffic), 0);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(ctl_run("range-delete guest scratch mmio 0xfe000000 0xfe000fff"), 0);
        wait_for_answers(&traffic, 20);
        assert_int_equal(ctl_run("range-add guest scratch mmio 0xfe000000 0xfe000fff"), 0);
        wait_for_answers(&traffic, 20);
    }
    atomic_store(&traffic.is_over, true);
    pthread_join(thread, NULL);
    assert_int_equal(traffic.wrong, 0);
    requester_detach(traffic.requester);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

static void priority_decides_who_answers(void **state)
{
    (void)state;
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    daemon_write_word(requester, DAEMON_SCRATCH, 0x1234);
    assert_int_equal(ctl_run("client-create {name: top, vm: guest, device: example, ranges: "
                             "[{type: mmio, first: 0xfe000000, last: 0xfe000007, priority: 5}]}"),
                     0);
    assert_int_not_equal(daemon_read(requester, DAEMON_SCRATCH, 4), 0x1234);
    assert_int_equal(ctl_run("client-destroy guest top"), 0);
    assert_int_equal(daemon_read(requester, DAEMON_SCRATCH, 4), 0x1234);
    requester_detach(requester);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

static void external_default_client_attaches_and_finishes(void **state)
{
    (void)state;
    struct traffic traffic = {.requester = daemon_attach(&ioreqd, "other"),
                              .address = 0x12345678,
                              .allowed = {0xabcd, 0xffffffff, 0}};
    /* VM other has one vCPU, number 0; traffic uses number 1 of guest, so ask by hand. */
    assert_int_equal(ctl_run("client-create-external other model"), 0);
    pid_t child = child_fork();
    if (child == 0) {
        for (int i = 0; i < 3; i++) {
            if (ctl_run("client-attach other model") != 0 ||
                !daemon_file_has(ctl.out, "vcpu=0 type=mmio direction=read address=0x12345678"))
                _exit(1);
            if (ctl_run("notify-finish other model 0 0xabcd") != 0)
                _exit(2);
        }
        _exit(ctl_run("notify-finish other model 0") == 1 ? 0 : 3); /* nothing is in flight */
    }
    for (int i = 0; i < 3; i++)
        assert_int_equal(daemon_read(traffic.requester, 0x12345678, 4), 0xabcd);
    assert_int_equal(child_wait(child), 0);
    assert_int_equal(ctl_run("notify-finish other model 1 0"), 2);
    assert_true(daemon_file_has(ctl.err, "VM other has no vCPU 1; expected a number from 0 to 0"));
    requester_detach(traffic.requester);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

static void watched_ioeventfd_rings(void **state)
{
    (void)state;
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    struct daemon watch = ioreqd;
    snprintf(watch.out, sizeof(watch.out), "%s/watch-out", ioreqd.folder);
    snprintf(watch.err, sizeof(watch.err), "%s/watch-err", ioreqd.folder);
    const char *const arguments[] = {BINARY_DIR "/ioreqctl", "--socket", ioreqd.socket,
                                     "ioeventfd-watch guest mmio 0xfe000010 8 77",
                                     NULL}; /* inside the bank: a doorbell wins */
    daemon_spawn(&watch, arguments);
    while (daemon_read(requester, DAEMON_SCRATCH + 0x10, 8) != 0 ||
           !daemon_file_has(watch.out, "rang")) {
        daemon_write_word(requester, DAEMON_SCRATCH + 0x10, 77);
        daemon_pause();
    }
    daemon_write_word(requester, DAEMON_SCRATCH + 0x10, 78); /* matches nothing: dropped */
    assert_int_equal(daemon_read(requester, DAEMON_SCRATCH + 0x10, 8), 0);
    kill(watch.pid, SIGINT);
    assert_int_equal(daemon_wait(&watch), 0);
    daemon_write_word(requester, DAEMON_SCRATCH + 0x10, 78); /* the bank's again */
    assert_int_equal(daemon_read(requester, DAEMON_SCRATCH + 0x10, 8), 78);
    assert_int_equal(ctl_run("irqfd-raise guest line 4"), 0);
    requester_detach(requester);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

static void destroyed_client_wakes_who_waits(void **state)
{
    (void)state;
    assert_int_equal(ctl_run("client-create-external other model"), 0);
    pid_t child = child_fork();
    if (child == 0)
        _exit(ctl_run("client-attach other model") == 1 &&
                      daemon_file_has(ctl.err, "the client is being destroyed")
                  ? 0
                  : 1);
    for (int i = 0; i < 400; i++) /* it should wait by now; if not, it finds no client at all */
        daemon_pause();
    assert_int_equal(ctl_run("client-destroy other model"), 0);
    assert_int_equal(child_wait(child), 0);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

static void reset_answers_what_an_external_client_left(void **state)
{
    (void)state;
    assert_int_equal(ctl_run("client-create-external other model"), 0);
    struct requester *requester = daemon_attach(&ioreqd, "other");
    pid_t child = child_fork();
    if (child == 0)
        _exit(ctl_run("client-attach other model") == 0 && ctl_run("vm-reset other") == 0 &&
                      daemon_file_has(ctl.out, "completed=1") &&
                      ctl_run("notify-finish other model 0 1") == 1 /* late */
                  ? 0
                  : 1);
    assert_int_equal(daemon_read(requester, 0x1000, 4), 0xffffffff);
    assert_int_equal(child_wait(child), 0);
    requester_detach(requester);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

/* ---- reload ------------------------------------------------------------------------------ */

/* Two banks whose registers read 1 and 2; `owner` has the range under test. */
static void write_banks(const char *owner, const char *other, const char *extra)
{
    char text[4096];
    snprintf(text, sizeof(text),
             "server: {socket: %s}\n"
             "pollers: [{name: rt, cpu: any, idle: yield, sandbox: %s}]\n"
             "vms: [{name: guest, vcpus: 2, source: memfd, poller: rt}%s]\n"
             "clients:\n"
             "  - name: %s\n"
             "    vm: guest\n"
             "    device: register_bank\n"
             "    ranges: [{type: mmio, first: 0xfe000000, last: 0xfe000fff}]\n"
             "    options: {registers: [{name: id, offset: 0, size: 4, reset: %s}]}\n"
             "  - name: %s\n"
             "    vm: guest\n"
             "    device: register_bank\n"
             "    ranges: [{type: mmio, first: 0xfd000000, last: 0xfd000fff}]\n"
             "    options: {registers: [{name: id, offset: 0, size: 4, reset: %s}]}\n",
             ioreqd.socket, DAEMON_SANDBOX, extra, owner, owner[0] == 'a' ? "1" : "2", other,
             other[0] == 'a' ? "1" : "2");
    daemon_write(ioreqd.config, text);
}

static int start_banks(void **state)
{
    (void)state;
    daemon_init(&ioreqd);
    write_banks("a", "b", "");
    daemon_start(&ioreqd);
    return 0;
}

static void row47_range_that_moves_is_answered_by_exactly_one(void **state)
{
    (void)state;
    struct traffic traffic = {.requester = daemon_attach(&ioreqd, "guest"),
                              .address = DAEMON_SCRATCH,
                              .allowed = {1, 2, 1}};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, traffic_main, &traffic), 0);
    for (int i = 0; i < 10; i++) {
        wait_for_answers(&traffic, 50);
        write_banks(i % 2 ? "a" : "b", i % 2 ? "b" : "a", "");
        assert_int_equal(ctl_run("reload"), 0);
        wait_for_answers(&traffic, 2);
        struct requester_access access = {.address = DAEMON_SCRATCH,
                                          .size_bytes = 4,
                                          .type = REQUEST_MMIO,
                                          .direction = REQUEST_READ};
        assert_int_equal(daemon_access(traffic.requester, 0, access), i % 2 ? 1 : 2);
    }
    atomic_store(&traffic.is_over, true);
    pthread_join(thread, NULL);
    assert_int_equal(traffic.wrong, 0); /* never all-ones: there was always an owner */
    requester_detach(traffic.requester);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

static void row47_bad_file_leaves_the_old_configuration(void **state)
{
    (void)state;
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    char text[256];
    snprintf(text, sizeof(text), "server: {socket: %s}\npollers: [{name: rt, cpu: any}]\nvms: []\n",
             ioreqd.socket);
    const char *const bad[] = {"not: [yaml", "pollers: []\n", text};
    for (size_t i = 0; i < 3; i++) {
        daemon_write(ioreqd.config, bad[i]);
        assert_int_not_equal(ctl_run("reload"), 0);
        assert_true(daemon_file_has(ioreqd.err, "the old configuration stays"));
        assert_int_equal(daemon_read(requester, DAEMON_SCRATCH, 4), 1);
    }
    /* A device that cannot be built, a poller or VM that changed: the same. */
    write_banks("a", "b", ", {name: more, vcpus: 1, source: memfd, poller: other}");
    assert_int_not_equal(ctl_run("reload"), 0);
    write_banks("b", "b2", "");
    assert_int_equal(ctl_run("reload"), 0);
    assert_int_equal(daemon_read(requester, DAEMON_SCRATCH, 4), 2);
    requester_detach(requester);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

static void row47_overlap_with_a_run_time_range_changes_nothing(void **state)
{
    (void)state;
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    assert_int_equal(ctl_run("client-create {name: late, vm: guest, device: example, ranges: "
                             "[{type: mmio, first: 0xfc000000, last: 0xfc000007}]}"),
                     0);
    uint64_t late = daemon_read(requester, 0xfc000000, 4);
    char command[256];
    snprintf(command, sizeof(command), "sed -i s/0xfd000/0xfc000/g %s", ioreqd.config);
    assert_int_equal(system(command), 0);
    assert_int_not_equal(ctl_run("reload"), 0);
    assert_int_equal(daemon_read(requester, DAEMON_SCRATCH, 4), 1);
    assert_int_equal(daemon_read(requester, 0xfd000000, 4), 2);
    assert_int_equal(daemon_read(requester, 0xfc000000, 4), late);
    requester_detach(requester);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

static void sighup_reloads_and_vms_come_and_go(void **state)
{
    (void)state;
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    write_banks("a", "b", ", {name: more, vcpus: 1, source: memfd, poller: rt}");
    kill(ioreqd.pid, SIGHUP);
    struct requester *more = NULL;
    char error[256];
    while (requester_attach(ioreqd.socket, "more", &more, error, sizeof(error)) != 0)
        daemon_pause();
    assert_int_equal(daemon_read(more, DAEMON_SCRATCH, 4), 0xffffffff);
    write_banks("a", "b", "");
    assert_int_equal(ctl_run("reload"), 0);
    requester_detach(more);
    assert_int_equal(requester_attach(ioreqd.socket, "more", &more, error, sizeof(error)), -ENOENT);
    assert_int_equal(daemon_read(requester, DAEMON_SCRATCH, 4), 1);
    requester_detach(requester);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

#define OPERATION_TEST(function) cmocka_unit_test_setup_teardown(function, start, ioreqd_fini)
#define RELOAD_TEST(function)    cmocka_unit_test_setup_teardown(function, start_banks, ioreqd_fini)

int main(void)
{
    const struct CMUnitTest tests[] = {
        OPERATION_TEST(refused_operations_say_why),
        OPERATION_TEST(a_vm_made_at_run_time_serves_and_goes),
        OPERATION_TEST(paused_vm_waits_and_resumed_goes_on),
        OPERATION_TEST(ranges_come_and_go_under_load),
        OPERATION_TEST(priority_decides_who_answers),
        OPERATION_TEST(external_default_client_attaches_and_finishes),
        OPERATION_TEST(watched_ioeventfd_rings),
        OPERATION_TEST(destroyed_client_wakes_who_waits),
        OPERATION_TEST(reset_answers_what_an_external_client_left),
        RELOAD_TEST(row47_range_that_moves_is_answered_by_exactly_one),
        RELOAD_TEST(row47_bad_file_leaves_the_old_configuration),
        RELOAD_TEST(row47_overlap_with_a_run_time_range_changes_nothing),
        RELOAD_TEST(sighup_reloads_and_vms_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
