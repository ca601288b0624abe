/* SPDX-License-Identifier: BSD-3-Clause */
/* ioreqd as its users run it: what it refuses, what it survives, how it ends. Rows are those of
 * tests/faults.md (server and host). */
#include "tests/support/ioreqd.h"
#include "tests/support/skip.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/prctl.h>
#include <sys/resource.h>

static int run(const char *program, const char *first, const char *second, const char *third)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", BINARY_DIR, program);
    const char *const arguments[] = {path, first, second, third, NULL};
    return daemon_run(&ioreqd, arguments);
}

/* ---- usage and configuration ------------------------------------------------------------- */

static void wrong_usage_exits_2(void **state)
{
    (void)state;
    assert_int_equal(run("ioreqd", NULL, NULL, NULL), 2);
    assert_true(daemon_file_has(ioreqd.err, "--config FILE is required"));
    assert_int_equal(run("ioreqd", "--nonsense", NULL, NULL), 2);
    assert_true(daemon_file_has(ioreqd.err, "ioreqd: unrecognized option '--nonsense'"));
    assert_false(daemon_file_has(ioreqd.err, "/ioreqd:")); /* whatever path it was started by */
    assert_int_equal(run("ioreqd", "--config", "/nowhere", "more"), 2);
    assert_true(daemon_file_has(ioreqd.err, "unexpected argument 'more'"));
    assert_int_equal(run("ioreqd", "--config", "/nowhere/at/all", NULL), 2);
    assert_true(daemon_file_has(ioreqd.err, "/nowhere/at/all"));
    assert_int_equal(run("ioreqctl", NULL, NULL, NULL), 2);
    assert_int_equal(run("ioreqctl", "--nonsense", NULL, NULL), 2);
    assert_true(daemon_file_has(ioreqd.err, "ioreqctl: unrecognized option '--nonsense'"));
}

/* Also where only the file is checked. */
static void socket_path_that_cannot_be_is_refused(void **state)
{
    (void)state;
    daemon_write_config(&ioreqd, "none", "");
    char config[256], socket[160] = "--socket=";
    snprintf(config, sizeof(config), "--config=%s", ioreqd.config);
    memset(socket + 9, 'x', 108);
    assert_int_equal(run("ioreqd", config, socket, "--check"), 2);
    assert_true(daemon_file_has(ioreqd.err, "--socket: 108 bytes; expected a path of 1 to 107"));
    socket[9] = '\0';
    assert_int_equal(run("ioreqd", config, socket, "--check"), 2);
    memset(socket + 9, 'x', 107);
    socket[116] = '\0';
    assert_int_equal(run("ioreqd", config, socket, "--check"), 0);
}

static void help_and_version_exit_0(void **state)
{
    (void)state;
    const char *const programs[] = {"ioreqd", "ioreqctl", "ioreq-vm", "ioreq-bench"};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(run(programs[i], "--help", NULL, NULL), 0);
        assert_true(daemon_file_has(ioreqd.out, "Usage: "));
        assert_int_equal(run(programs[i], "--version", NULL, NULL), 0);
        assert_true(daemon_file_has(ioreqd.out, IOREQD_VERSION));
    }
    assert_int_equal(run("ioreqd", "--help-config", NULL, NULL), 0);
    assert_true(daemon_file_has(ioreqd.out, "lock_memory"));
}

static void check_reports_every_problem_and_starts_nothing(void **state)
{
    (void)state;
    daemon_write(ioreqd.config, "server: {sokcet: /x}\n"
                                "pollers:\n"
                                "  - {name: rt, cpu: 9999}\n"
                                "  - {name: rt, cpu: 0}\n"
                                "vms:\n"
                                "  - {name: guest, vcpus: 17, source: memfd, poller: rt}\n"
                                "clients: []\n");
    char text[160];
    for (int with_check = 0; with_check < 2; with_check++) {
        assert_int_equal(run("ioreqd", "--config", ioreqd.config, with_check ? "--check" : NULL),
                         2);
        const char *const problems[] = {":1:10: ", ":4:12: ", ":6:26: "};
        for (size_t i = 0; i < 3; i++) {
            snprintf(text, sizeof(text), "%s%s", ioreqd.config, problems[i]);
            assert_true(daemon_file_has(ioreqd.err, text));
        }
        assert_true(daemon_file_has(ioreqd.err, "socket"));
    }
}

static void row48_cpu_9999_is_refused_at_its_place(void **state)
{
    (void)state;
    daemon_write(ioreqd.config, "pollers:\n"
                                "  - {name: rt, cpu: 9999}\n"
                                "vms:\n"
                                "  - {name: guest, vcpus: 1, source: memfd, poller: rt}\n"
                                "clients: []\n");
    assert_int_equal(run("ioreqd", "--config", ioreqd.config, NULL), 2);
    assert_true(daemon_file_has(ioreqd.err, ":2:21: CPU 9999 does not exist"));
}

static void check_of_a_good_file_exits_0(void **state)
{
    (void)state;
    daemon_write_config(&ioreqd, "none", "");
    assert_int_equal(run("ioreqd", "--config", ioreqd.config, "--check"), 0);
    assert_true(daemon_file_has(ioreqd.out, "ok: pollers 1, VMs 2, clients 3"));
    assert_int_not_equal(access(ioreqd.socket, F_OK), 0);
}

static void check_says_what_will_hurt_and_still_exits_0(void **state)
{
    (void)state;
    char text[512];
    cpu_set_t usable;
    assert_int_equal(sched_getaffinity(0, sizeof(usable), &usable), 0);
    size_t cpu = 0;
    while (!CPU_ISSET(cpu, &usable))
        cpu++;
    snprintf(text, sizeof(text),
             "server: {socket: %s, lock_memory: false}\n"
             "pollers: [{name: a, cpu: %zu, idle: yield}, {name: b, cpu: %zu, idle: yield}]\n"
             "vms: [{name: guest, vcpus: 1, poller: a}]\n",
             ioreqd.socket, cpu, cpu);
    daemon_write(ioreqd.config, text);
    assert_int_equal(run("ioreqd", "--config", ioreqd.config, "--check"), 0);
    assert_true(daemon_file_has(ioreqd.err, "shares its CPU with poller a"));
    assert_true(daemon_file_has(ioreqd.out, "ok: pollers 2, VMs 1, clients 0"));
    /* Of a file with problems those come first. */
    daemon_write(ioreqd.config, "pollers: [{name: a, cpu: 0}, {name: b, cpu: 9999}]\n"
                                "vms: [{name: guest, vcpus: 1, poller: a}]\n");
    assert_int_equal(run("ioreqd", "--config", ioreqd.config, "--check"), 2);
    assert_false(daemon_file_has(ioreqd.err, "warning: "));
}

static void device_that_cannot_be_built_is_named(void **state)
{
    (void)state;
    daemon_write_config(&ioreqd, "file:/nowhere/at/all", "");
    assert_int_equal(run("ioreqd", "--config", ioreqd.config, NULL), 2);
    assert_true(daemon_file_has(ioreqd.err,
                                ":8:5: client 'console': cannot open file:/nowhere/at/all: "
                                "/nowhere/at: No such file or directory"));
}

/* ---- attaching --------------------------------------------------------------------------- */

static void serves_what_it_was_configured_to(void **state)
{
    (void)state;
    ioreqd_start("");
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    assert_int_equal(requester_vcpu_count(requester), 2);
    daemon_exercise(requester, 1000);
    assert_int_equal(daemon_read(requester, 0xdead0000, 4), 0xffffffff); /* default client */
    requester_detach(requester);
    assert_int_equal(daemon_stop(&ioreqd), 0);
    assert_int_not_equal(access(ioreqd.socket, F_OK), 0); /* cleaned up */
}

static void one_requester_at_a_time_and_the_next_finds_power_on_state(void **state)
{
    (void)state;
    ioreqd_start("");
    struct requester *first = daemon_attach(&ioreqd, "guest");
    daemon_write_word(first, DAEMON_SCRATCH, 77);
    struct requester *second = NULL;
    char error[256] = "";
    assert_int_equal(requester_attach(ioreqd.socket, "guest", &second, error, sizeof(error)),
                     -EEXIST);
    assert_non_null(strstr(error, "plays the hypervisor of VM guest already"));
    assert_int_equal(requester_attach(ioreqd.socket, "nobody", &second, error, sizeof(error)),
                     -ENOENT);
    requester_detach(first);
    second = daemon_attach(&ioreqd, "guest");
    assert_int_equal(daemon_read(second, DAEMON_SCRATCH, 8), 0);
    requester_detach(second);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

static void two_vms_are_served_at_once(void **state)
{
    (void)state;
    ioreqd_start("");
    struct requester *guest = daemon_attach(&ioreqd, "guest");
    struct requester *other = daemon_attach(&ioreqd, "other");
    for (int i = 0; i < 100; i++) {
        daemon_exercise(guest, 2);
        /* No client at all: answered all the same. */
        assert_int_equal(daemon_read(other, DAEMON_SCRATCH, 8), UINT64_MAX);
    }
    requester_detach(other);
    daemon_exercise(guest, 100);
    requester_detach(guest);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

/* A raw connection that sends text; the reply goes into reply [reply_bytes]. */
static void converse(const char *text, size_t length, char *reply, size_t reply_bytes)
{
    int peer = daemon_connect(&ioreqd);
    assert_true(send(peer, text, length, MSG_NOSIGNAL) > 0);
    shutdown(peer, SHUT_WR);
    size_t received = 0;
    ssize_t count;
    while ((count = recv(peer, reply + received, reply_bytes - 1 - received, 0)) > 0)
        received += (size_t)count;
    reply[received] = '\0';
    close(peer);
}

static void nonsense_on_the_socket_is_refused_and_harms_nobody(void **state)
{
    (void)state;
    ioreqd_start("");
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    char reply[4096];
    converse("frobnicate\n", 11, reply, sizeof(reply));
    assert_non_null(strstr(reply, "error 22 unknown command"));
    converse("status xml\n", 11, reply, sizeof(reply));
    assert_non_null(strstr(reply, "error 22 expected: status [--json]"));
    char endless[2000];
    memset(endless, 'a', sizeof(endless));
    converse(endless, sizeof(endless), reply, sizeof(reply));
    converse("\0\0\0\n", 4, reply, sizeof(reply));
    converse("attach \n", 8, reply, sizeof(reply));
    assert_non_null(strstr(reply, "error 22 expected: attach VM"));
    converse("half a li", 9, reply, sizeof(reply));
    assert_string_equal(reply, "");
    daemon_exercise(requester, 100);
    requester_detach(requester);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

static void become_nobody(struct daemon *daemon)
{
    (void)daemon;
    if (setresgid(65534, 65534, 65534) < 0 || setresuid(65534, 65534, 65534) < 0)
        _exit(126);
}

static void row40_other_users_are_refused(void **state)
{
    (void)state;
    skip_if(geteuid() != 0, SKIP_NOT_ROOT);
    ioreqd_start(", allowed_uids: [12345]");
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    struct daemon client = daemon_beside(&ioreqd);
    client.prepare = become_nobody;
    const char *const arguments[] = {BINARY_DIR "/ioreqctl", "--socket", ioreqd.socket, "status",
                                     NULL};
    assert_int_equal(daemon_run(&client, arguments), 1);
    assert_true(daemon_file_has(client.err, "this user is not allowed"));
    daemon_exercise(requester, 100);
    requester_detach(requester);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

static void second_server_on_the_same_socket_is_refused(void **state)
{
    (void)state;
    ioreqd_start("");
    struct daemon second = daemon_beside(&ioreqd);
    const char *const arguments[] = {BINARY_DIR "/ioreqd", "--config", ioreqd.config, NULL};
    assert_int_equal(daemon_run(&second, arguments), 1);
    assert_true(daemon_file_has(second.err, "another ioreqd answers on"));
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    daemon_exercise(requester, 10);
    requester_detach(requester);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

static void socket_of_a_killed_server_is_replaced(void **state)
{
    (void)state;
    ioreqd_start("");
    kill(ioreqd.pid, SIGKILL);
    assert_int_equal(daemon_wait(&ioreqd), 128 + SIGKILL);
    assert_int_equal(access(ioreqd.socket, F_OK), 0);
    daemon_start(&ioreqd);
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    daemon_exercise(requester, 10);
    requester_detach(requester);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

/* ---- status ------------------------------------------------------------------------------ */

static void status_tells_what_happened(void **state)
{
    (void)state;
    ioreqd_start("");
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    daemon_exercise(requester, 50);
    daemon_read(requester, DAEMON_SCRATCH, 3); /* an invalid size */
    const char *status = daemon_status(&ioreqd);
    assert_non_null(strstr(status, "\"attached\": true"));
    assert_non_null(strstr(status, "\"requests\": 101"));
    assert_non_null(strstr(status, "\"invalid_size\": 1"));
    assert_non_null(strstr(status, "\"accesses\": 100"));
    assert_non_null(strstr(status, "\"p99.9\": "));
    assert_non_null(strstr(status, "\"slots\": [\"free\", \"free\"]"));
    static char reply[65536];
    converse("status\n", 7, reply, sizeof(reply));
    assert_non_null(strstr(reply, "POLLER"));
    assert_non_null(strstr(reply, "invalid_size: 1"));
    requester_detach(requester);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

/* ---- host faults ------------------------------------------------------------------------- */

static void forbid_locking(struct daemon *daemon)
{
    struct rlimit none = {65536, 65536};
    setrlimit(RLIMIT_MEMLOCK, &none);
    chown(daemon->folder, 65534, 65534);
    become_nobody(daemon);
}

static void row49_refused_mlock_refuses_to_start_with_the_remedy(void **state)
{
    (void)state;
    skip_if(geteuid() != 0, SKIP_NOT_ROOT);
    skip_if(IOREQD_SANITIZE[0], "sanitizers turn mlockall into nothing");
    daemon_write_config(&ioreqd, "none", "");
    ioreqd.prepare = forbid_locking;
    assert_int_equal(run("ioreqd", "--config", ioreqd.config, NULL), 1);
    assert_true(daemon_file_has(ioreqd.err, "cannot lock memory"));
    assert_true(daemon_file_has(ioreqd.err, "ulimit -l unlimited"));
    assert_true(daemon_file_has(ioreqd.err, "lock_memory: false"));
    /* The remedy works. */
    ioreqd_start(", lock_memory: false");
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    daemon_exercise(requester, 10);
    requester_detach(requester);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

static void row51_without_descriptors_requests_go_on(void **state)
{
    (void)state;
    ioreqd_start("");
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    struct rlimit before, few = {3, 3};
    assert_int_equal(prlimit(ioreqd.pid, RLIMIT_NOFILE, NULL, &before), 0);
    few.rlim_max = before.rlim_max;
    assert_int_equal(prlimit(ioreqd.pid, RLIMIT_NOFILE, &few, NULL), 0);
    int waiting = daemon_connect(&ioreqd);
    daemon_exercise(requester, 2000);
    /* With descriptors again, whoever waited is served. */
    assert_int_equal(prlimit(ioreqd.pid, RLIMIT_NOFILE, &before, NULL), 0);
    assert_true(send(waiting, "status\n", 7, MSG_NOSIGNAL) == 7);
    char reply[3] = "";
    assert_int_equal(recv(waiting, reply, 2, MSG_WAITALL), 2);
    assert_string_equal(reply, "ok");
    close(waiting);
    requester_detach(requester);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

static void write_logs_to_full_disk(struct daemon *daemon)
{
    (void)daemon;
    int full = open("/dev/full", O_WRONLY);
    dup2(full, STDERR_FILENO);
}

static void close_outputs(struct daemon *daemon)
{
    (void)daemon;
    close(STDOUT_FILENO);
    close(STDERR_FILENO);
}

static void row51_full_disk_for_logs_loses_lines_and_counts_them(void **state)
{
    (void)state;
    daemon_write_config(&ioreqd, "file:/dev/full", "");
    ioreqd.prepare = write_logs_to_full_disk;
    daemon_start(&ioreqd);
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    daemon_write_console(requester, "nobody will ever read this\n");
    daemon_exercise(requester, 1000);
    assert_true(strtoul(daemon_figure(&ioreqd, "", "log_lines_lost"), NULL, 10) > 0);
    requester_detach(requester);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

static void row51_closed_outputs_stop_nobody(void **state)
{
    (void)state;
    daemon_write_config(&ioreqd, "stdio", "");
    ioreqd.prepare = close_outputs;
    daemon_start(&ioreqd);
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    daemon_write_console(requester, "nobody will ever read this\n");
    daemon_exercise(requester, 1000);
    requester_detach(requester);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

static int broken_pipe_reader;

static void write_to_broken_pipe(struct daemon *daemon)
{
    (void)daemon;
    int ends[2];
    if (pipe(ends) < 0)
        _exit(126);
    close(ends[0]);
    dup2(ends[1], STDOUT_FILENO);
    dup2(ends[1], STDERR_FILENO);
    broken_pipe_reader = ends[1];
}

static void row51_broken_pipes_stop_nobody(void **state)
{
    (void)state;
    daemon_write_config(&ioreqd, "stdio", "");
    ioreqd.prepare = write_to_broken_pipe;
    daemon_start(&ioreqd);
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    daemon_write_console(requester, "nobody will ever read this\n");
    daemon_exercise(requester, 1000);
    requester_detach(requester);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

struct traffic {
    struct requester *requester;
    _Atomic uint64_t answered;
    _Atomic uint64_t wrong;
};

/* Reads until the server is gone; every answer must be right. */
static void *traffic_main(void *argument)
{
    struct traffic *traffic = argument;
    for (;;) {
        struct requester_access access = {.address = DAEMON_SCRATCH,
                                          .value = 0x5555,
                                          .size_bytes = 8,
                                          .type = REQUEST_MMIO,
                                          .direction = REQUEST_READ};
        if (requester_access(traffic->requester, 1, &access) < 0)
            return NULL;
        if (access.value != 0)
            atomic_fetch_add(&traffic->wrong, 1);
        atomic_fetch_add(&traffic->answered, 1);
    }
}

static void row52_signal_storm_then_sighup_with_sigterm_ends_in_order(void **state)
{
    (void)state;
    ioreqd_start("");
    struct traffic traffic = {.requester = daemon_attach(&ioreqd, "guest")};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, traffic_main, &traffic), 0);
    const int signals[] = {SIGHUP, SIGWINCH, SIGCONT, SIGPIPE, SIGURG, SIGCHLD};
    for (int i = 0; i < 20000; i++)
        kill(ioreqd.pid, signals[i % 6]);
    uint64_t answered = atomic_load(&traffic.answered);
    while (atomic_load(&traffic.answered) < answered + 1000)
        daemon_pause(); /* it still serves */
    kill(ioreqd.pid, SIGHUP);
    kill(ioreqd.pid, SIGTERM);
    kill(ioreqd.pid, SIGTERM);
    assert_int_equal(daemon_wait(&ioreqd), 0);
    pthread_join(thread, NULL);
    assert_int_equal(traffic.wrong, 0);
    requester_detach(traffic.requester);
}

static void row52_two_pollers_on_one_cpu_are_orderly(void **state)
{
    (void)state;
    char text[2048];
    snprintf(text, sizeof(text),
             "server: {socket: %s}\n"
             "pollers:\n"
             "  - {name: sweeper, cpu: 0, idle: yield, sandbox: %s}\n"
             "  - {name: home, cpu: 0, idle: yield, sandbox: %s}\n"
             "vms: [{name: guest, vcpus: 2, source: memfd, poller: sweeper}]\n"
             "clients:\n" DAEMON_SCRATCH_CLIENT "    poller: home\n",
             ioreqd.socket, DAEMON_SANDBOX, DAEMON_SANDBOX);
    daemon_write(ioreqd.config, text);
    daemon_start(&ioreqd);
    assert_true(
        daemon_file_has(ioreqd.err, "poller home: CPU 0: shares its CPU with poller sweeper"));
    struct traffic traffic = {.requester = daemon_attach(&ioreqd, "guest")};
    daemon_exercise(traffic.requester, 500);
    struct requester *requester = traffic.requester;
    daemon_write_word(requester, DAEMON_SCRATCH, 0);
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, traffic_main, &traffic), 0);
    while (atomic_load(&traffic.answered) < 1000)
        daemon_pause();
    /* SIGTERM with requests on their way from one poller to the other. */
    assert_int_equal(daemon_stop(&ioreqd), 0);
    pthread_join(thread, NULL);
    assert_int_equal(traffic.wrong, 0);
    requester_detach(requester);
}

static void file_console_gets_every_byte(void **state)
{
    (void)state;
    char console[128], path[112];
    snprintf(path, sizeof(path), "%s/console", ioreqd.folder);
    snprintf(console, sizeof(console), "file:%s", path);
    daemon_write_config(&ioreqd, console, "");
    daemon_start(&ioreqd);
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    char line[40];
    for (int i = 0; i < 300; i++) {
        snprintf(line, sizeof(line), "line %d of the guest\n", i);
        daemon_write_console(requester, line);
    }
    requester_detach(requester);
    assert_int_equal(daemon_stop(&ioreqd), 0);
    assert_true(daemon_file_has(path, "line 0 of the guest\nline 1 of the guest\n"));
    assert_true(daemon_file_has(path, "line 299 of the guest\n"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IOREQD_TEST(wrong_usage_exits_2),
        IOREQD_TEST(socket_path_that_cannot_be_is_refused),
        IOREQD_TEST(help_and_version_exit_0),
        IOREQD_TEST(check_reports_every_problem_and_starts_nothing),
        IOREQD_TEST(row48_cpu_9999_is_refused_at_its_place),
        IOREQD_TEST(check_of_a_good_file_exits_0),
        IOREQD_TEST(check_says_what_will_hurt_and_still_exits_0),
        IOREQD_TEST(device_that_cannot_be_built_is_named),
        IOREQD_TEST(serves_what_it_was_configured_to),
        IOREQD_TEST(one_requester_at_a_time_and_the_next_finds_power_on_state),
        IOREQD_TEST(two_vms_are_served_at_once),
        IOREQD_TEST(nonsense_on_the_socket_is_refused_and_harms_nobody),
        IOREQD_TEST(row40_other_users_are_refused),
        IOREQD_TEST(second_server_on_the_same_socket_is_refused),
        IOREQD_TEST(socket_of_a_killed_server_is_replaced),
        IOREQD_TEST(status_tells_what_happened),
        IOREQD_TEST(row49_refused_mlock_refuses_to_start_with_the_remedy),
        IOREQD_TEST(row51_without_descriptors_requests_go_on),
        IOREQD_TEST(row51_full_disk_for_logs_loses_lines_and_counts_them),
        IOREQD_TEST(row51_closed_outputs_stop_nobody),
        IOREQD_TEST(row51_broken_pipes_stop_nobody),
        IOREQD_TEST(row52_signal_storm_then_sighup_with_sigterm_ends_in_order),
        IOREQD_TEST(row52_two_pollers_on_one_cpu_are_orderly),
        IOREQD_TEST(file_console_gets_every_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
