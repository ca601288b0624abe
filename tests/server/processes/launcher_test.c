/* SPDX-License-Identifier: BSD-3-Clause */
/* Processes that ioreqd starts and starts again: row 41 of tests/faults.md, and what it takes for a
 * process to be one of ours. This program is the device, too: `--device KIND`. */
#include "tests/support/ioreqd.h"
#include "tests/support/outside.h"

#include <dirent.h>
#include <sched.h>

#define BASE 0xfe100000ull

static char self[256]; /* this program */

/* ---- the device -------------------------------------------------------------------------- */

static void write_facts(const char *path)
{
    static const char *const lines[] = {"SigIgn", "SigBlk", "Uid",
                                        "Gid",    "Groups", "Cpus_allowed_list"};
    char line[256];
    FILE *out = fopen(path, "we"), *status = fopen("/proc/self/status", "re");
    while (fgets(line, sizeof(line), status))
        for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
            if (strncmp(line, lines[i], strlen(lines[i])) == 0 && line[strlen(lines[i])] == ':')
                fputs(line, out);
    fclose(status);
    int death_signal = 0;
    prctl(PR_GET_PDEATHSIG, &death_signal);
    fprintf(out, "death: %d\nsession: %d\n", death_signal, getsid(0) == getpid());
    for (char **each = environ; *each; each++)
        fprintf(out, "environment: %s\n", *each);
    DIR *folder = opendir("/proc/self/fd");
    const struct dirent *entry;
    while ((entry = readdir(folder)))
        if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(folder) &&
            atoi(entry->d_name) != fileno(out))
            fprintf(out, "descriptor: %s\n", entry->d_name);
    closedir(folder);
    fclose(out);
}

static void catch (int number)
{
    (void)number;
}

static int serve_until_told(void)
{
    static struct outside_self device;
    const struct sigaction told = {.sa_handler = catch};
    sigaction(SIGTERM, &told, NULL);
    int result;
    while ((result = ioreq_register(NULL, NULL, NULL, &device.client)) == -EBUSY)
        daemon_pause();
    if (result < 0) {
        fprintf(stderr, "device: %s\n", ioreq_error(NULL));
        return 3;
    }
    result = outside_serve(&device);
    ioreq_close(device.client);
    return result == -EINTR ? 0 : 4;
}

static int be_device(const char *kind, const char *path)
{
    if (strcmp(kind, "crash") == 0)
        raise(SIGKILL);
    if (strcmp(kind, "fail") == 0)
        return 7;
    if (strcmp(kind, "leave") == 0) {
        struct ioreq_client *client;
        if (ioreq_register(NULL, NULL, NULL, &client) == 0)
            ioreq_close(client);
        return 0;
    }
    if (strcmp(kind, "stubborn") == 0) {
        signal(SIGTERM, SIG_IGN);
        write_facts(path);
        for (;;)
            pause();
    }
    if (strcmp(kind, "intruder") == 0) {
        char error[SESSION_ERROR_BYTES];
        FILE *out = fopen(path, "we");
        fprintf(out, "%d ", session_command(getenv("IOREQD_SOCKET"), "vm-destroy guest", error));
        fprintf(out, "%d %s.\n",
                session_command(getenv("IOREQD_SOCKET"), "client-destroy guest device", error),
                error);
        fclose(out);
    }
    if (strcmp(kind, "facts") == 0)
        write_facts(path);
    return serve_until_told();
}

/* ---- the server -------------------------------------------------------------------------- */

/* start: what stands in the client's mapping of that name. */
static void write_config(const char *start)
{
    daemon_write_guest(&ioreqd, 2);
    daemon_add_process(&ioreqd, "device", BASE, "deadline_us: 0");
    daemon_add(&ioreqd, "    start: {%s}\n", start);
}

/* A device of that kind, which writes to the file `facts` of our folder; more: further keys. */
static void write_kind(const char *kind, const char *more)
{
    char start[1024];
    snprintf(start, sizeof(start), "command: [%s, --device, %s, %s/facts]%s", self, kind,
             ioreqd.folder, more);
    write_config(start);
}

static void start_kind(const char *kind, const char *more)
{
    write_kind(kind, more);
    daemon_start(&ioreqd);
}

/* Behind "key": of the process we start, or, inside = false, of the client's port. */
static const char *figure(const char *key, bool inside)
{
    return daemon_figure(&ioreqd, inside ? "\"start\": {" : "\"process\": {", key);
}

static uint64_t number(const char *key)
{
    return strtoull(figure(key, true), NULL, 10);
}

/* Turns of a wait; each also takes a look, which is more than daemon_pause. A machine that needs longer than
 * this, a minute, for what takes milliseconds has lost the process: it was killed for not registering. */
#define TURNS_MAX 30000u

static void give_up(const char *wanted)
{
    daemon_show_errors(&ioreqd);
    fail_msg("a minute went by without %s; above is what ioreqd said, and its status is: %s",
             wanted, daemon_status(&ioreqd));
}

static void wait_for_state(const char *name, bool inside)
{
    char quoted[32];
    snprintf(quoted, sizeof(quoted), "\"%s\"", name);
    for (uint32_t i = 0; strncmp(figure("state", inside), quoted, strlen(quoted)) != 0; i++) {
        if (i == TURNS_MAX)
            give_up(quoted);
        daemon_pause();
    }
}

static void wait_for_file(const char *path, const char *text)
{
    for (uint32_t i = 0; !daemon_file_has(path, text); i++) {
        if (i == TURNS_MAX)
            give_up(text);
        daemon_pause();
    }
}

static void wait_for_log(const char *text)
{
    wait_for_file(ioreqd.err, text);
}

/* Page faults of the poller since it began to poll. */
static uint64_t poller_faults(void)
{
    return strtoull(daemon_figure(&ioreqd, "", "faults"), NULL, 10);
}

static int ask(const char *line)
{
    char error[SESSION_ERROR_BYTES];
    return session_command(ioreqd.socket, line, error);
}

static const char *facts_path(void)
{
    static char path[96];
    snprintf(path, sizeof(path), "%s/facts", ioreqd.folder);
    return path;
}

/* ---- what cannot be started -------------------------------------------------------------- */

static void assert_refused(const char *start, const char *words)
{
    write_config(start);
    const char *const arguments[] = {BINARY_DIR "/ioreqd", "--check", "--config", ioreqd.config,
                                     NULL};
    assert_int_equal(daemon_run(&ioreqd, arguments), 2);
    if (!daemon_file_has(ioreqd.err, words))
        fail_msg("not told: %s", words);
}

static void what_cannot_be_started_is_told_with_its_place(void **state)
{
    (void)state;
    assert_refused("command: [/nowhere/device]", "command: /nowhere/device: No such file");
    assert_refused("command: [/etc/passwd]", "command: /etc/passwd: Permission denied");
    assert_refused("command: [device]", "expected an absolute path");
    assert_refused("command: [/bin/true], user: nobody-there", "there is no user 'nobody-there'");
    assert_refused("command: [/bin/true], cpu: 9999", "CPU 9999 does not exist");
    assert_refused("command: [/bin/true], environment: [A]", "expected NAME=VALUE");
    assert_refused("command: [/bin/true], restart_limit: 33", "a number from 0 to 32");
    assert_refused("commands: [/bin/true]", "did you mean");
}

/* ---- a process of ours ------------------------------------------------------------------- */

static void process_is_started_serves_and_ends_with_the_server(void **state)
{
    (void)state;
    start_kind("serve", "");
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    wait_for_state("serving", false);
    pid_t pid = (pid_t)number("pid");
    for (uint64_t i = 0; i < 100; i++)
        assert_int_equal(daemon_read(requester, BASE + i * 8, 8), outside_value(BASE + i * 8));
    assert_int_equal(number("starts"), 1);
    assert_int_equal(daemon_stop(&ioreqd), 0);
    wait_for_log("settling");
    assert_int_equal(kill(pid, 0), -1); /* reaped before the server ended */
    requester_detach(requester);
}

/* One that whoever started the server forgot to close. */
static void leave_open(struct daemon *daemon)
{
    (void)daemon;
    dup2(STDIN_FILENO, 9);
}

static void process_gets_nothing_that_is_the_servers(void **state)
{
    (void)state;
    ioreqd.prepare = leave_open;
    setenv("IOREQD_TEST_SECRET", "1", 1);
    start_kind("facts", ", cpu: 0, environment: [A=b, \"C=d e\"]");
    unsetenv("IOREQD_TEST_SECRET");
    wait_for_state("serving", false);
    char expected[256];
    static const char *const lines[] = {"death: 9\n",
                                        "session: 1\n",
                                        "SigIgn:\t0000000000000000\n",
                                        "SigBlk:\t0000000000000000\n",
                                        "Cpus_allowed_list:\t0\n",
                                        "environment: A=b\nenvironment: C=d e\n",
                                        "environment: IOREQD_VM=guest\n",
                                        "environment: IOREQD_CLIENT=device\n",
                                        "descriptor: 0\ndescriptor: 1\ndescriptor: 2\n"};
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++)
        if (!daemon_file_has(facts_path(), lines[i]))
            fail_msg("not so: %s", lines[i]);
    snprintf(expected, sizeof(expected), "environment: IOREQD_SOCKET=%s\n", ioreqd.socket);
    assert_true(daemon_file_has(facts_path(), expected));
    assert_false(daemon_file_has(facts_path(), "SECRET"));
    assert_false(daemon_file_has(facts_path(), "descriptor: 9"));
}

static void process_of_another_user_may_serve_its_client_and_nothing_else(void **state)
{
    (void)state;
    if (geteuid() != 0) {
        print_message("only root may start processes of another user\n");
        skip();
    }
    assert_int_equal(chmod(ioreqd.folder, 0777), 0); /* for its file */
    start_kind("intruder", ", user: nobody");
    wait_for_state("serving", false);
    assert_true(daemon_file_has(facts_path(), "-1 -1 "));
    assert_true(daemon_file_has(facts_path(), "may only serve its own client"));
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    assert_int_equal(daemon_read(requester, BASE + 8, 8), outside_value(BASE + 8));
    char path[64];
    struct stat status_of;
    snprintf(path, sizeof(path), "/proc/%d", (int)number("pid"));
    assert_int_equal(stat(path, &status_of), 0);
    assert_int_equal(status_of.st_uid, 65534);
    requester_detach(requester);
}

static void processes_die_with_a_server_that_is_killed(void **state)
{
    (void)state;
    start_kind("stubborn", "");
    wait_for_file(facts_path(), "descriptor: 2");
    pid_t pid = (pid_t)number("pid");
    kill(ioreqd.pid, SIGKILL);
    daemon_wait(&ioreqd);
    while (kill(pid, 0) == 0) {
        char path[64];
        snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
        if (daemon_file_has(path, "State:\tZ")) /* whose parent takes its time */
            break;
        daemon_pause();
    }
}

static void stubborn_process_is_killed_at_the_end(void **state)
{
    (void)state;
    start_kind("stubborn", "");
    wait_for_file(facts_path(), "descriptor: 2");
    pid_t pid = (pid_t)number("pid");
    assert_int_equal(daemon_stop(&ioreqd), 0);
    assert_int_equal(kill(pid, 0), -1);
}

/* ---- 41, and what leads there ------------------------------------------------------------ */

static void process_that_is_killed_under_load_is_started_again(void **state)
{
    (void)state;
    start_kind("serve", ", restart_limit: 32, restart_within: 100ms");
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    uint64_t faults = poller_faults();
    for (uint32_t round = 0; round < 10; round++) {
        wait_for_state("serving", false);
        pid_t pid = (pid_t)number("pid");
        for (uint64_t i = 0; i < 20; i++)
            assert_int_equal(daemon_read(requester, BASE + i * 8, 8), outside_value(BASE + i * 8));
        assert_int_equal(kill(pid, SIGKILL), 0);
        /* Waits for the next one, without a deadline. What the dead one had taken may fail. */
        uint64_t value = daemon_read(requester, BASE + 24, 8);
        assert_true(value == outside_value(BASE + 24) || value == UINT64_MAX);
        daemon_exercise(requester, 20);
        while ((pid_t)number("pid") == pid)
            daemon_pause();
    }
    assert_int_equal(number("starts"), 11);
    /* No copy of our memory was made, which it would have had to pay for. */
    if (!IOREQD_SANITIZE[0])
        assert_int_equal(poller_faults(), faults);
    requester_detach(requester);
}

static void row41_crash_loop_ends_in_limp_home_and_an_alarm(void **state)
{
    (void)state;
    start_kind("crash", ", restart_limit: 3, restart_within: 60s");
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    wait_for_state("limp-home", true);
    assert_int_equal(number("starts"), 4);
    assert_int_equal(number("restarts"), 3);
    wait_for_log("error: vm guest: client device: limp-home");
    wait_for_log("was ended by signal 9");
    assert_int_equal(daemon_read(requester, BASE, 8), UINT64_MAX); /* no deadline: it is at once */
    daemon_exercise(requester, 50);
    assert_int_equal(ask("client-start guest device"), 0);
    while (number("starts") < 8)
        daemon_pause();
    wait_for_state("limp-home", true);
    requester_detach(requester);
}

static void row41_what_waits_for_a_successor_is_answered_at_the_limit(void **state)
{
    (void)state;
    start_kind("serve", ", restart_limit: 0");
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    wait_for_state("serving", false);
    assert_int_equal(kill((pid_t)number("pid"), SIGKILL), 0);
    /* Before its death is seen, or after: there is no deadline, and nobody comes. */
    uint64_t value = daemon_read(requester, BASE, 8);
    assert_true(value == UINT64_MAX);
    wait_for_state("limp-home", true);
    wait_for_state("absent", false);
    struct ioreq_client *client; /* whoever registers ends it */
    assert_int_equal(ioreq_register(ioreqd.socket, "guest", "device", &client), 0);
    wait_for_log("limp-home is over");
    wait_for_state("stopped", true);
    ioreq_close(client);
    requester_detach(requester);
}

static void program_that_fails_is_told_with_its_exit_code(void **state)
{
    (void)state;
    start_kind("fail", ", restart_limit: 1");
    wait_for_log("ended with exit code 7");
    wait_for_state("limp-home", true);
}

static void program_that_vanished_is_told_and_limps(void **state)
{
    (void)state;
    char start[256], path[96];
    snprintf(path, sizeof(path), "%s/program", ioreqd.folder);
    daemon_write(path, "#!/bin/false\n");
    assert_int_equal(chmod(path, 0755), 0);
    snprintf(start, sizeof(start), "command: [%s], restart_limit: 1", path);
    write_config(start);
    daemon_start(&ioreqd);
    wait_for_state("limp-home", true);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(ask("client-start guest device"), 0);
    wait_for_log("cannot execute it: No such file or directory");
    wait_for_state("limp-home", true);
    daemon_answers(&ioreqd);
}

static void program_that_leaves_by_itself_is_not_started_again(void **state)
{
    (void)state;
    start_kind("leave", "");
    wait_for_log("has ended by itself");
    wait_for_state("stopped", true);
    wait_for_state("absent", false);
    assert_int_equal(number("starts"), 1);
    assert_int_equal(ask("client-start guest device"), 0);
    while (number("starts") < 2)
        daemon_pause();
    wait_for_state("stopped", true);
}

/* ---- by the operator --------------------------------------------------------------------- */

static void process_stops_and_starts_when_it_is_told_to(void **state)
{
    (void)state;
    start_kind("serve", "");
    wait_for_state("serving", false);
    assert_int_equal(ask("client-start guest device"), -EALREADY);
    assert_int_equal(ask("client-start guest scratch"), -EINVAL);
    assert_int_equal(ask("client-stop guest device"), 0);
    wait_for_state("stopped", true);
    wait_for_state("absent", false);
    assert_int_equal(ask("client-stop guest device"), -EALREADY);
    assert_int_equal(ask("client-start guest device"), 0);
    wait_for_state("serving", false);
}

static void nobody_can_start_a_program_by_the_socket(void **state)
{
    (void)state;
    start_kind("serve", "");
    assert_int_equal(ask("client-create {name: more, vm: guest, device: process, start: {command: "
                         "[/bin/true]}}"),
                     -EPERM);
    assert_null(strstr(daemon_status(&ioreqd), "\"more\""));
}

static void reload_starts_anew_what_has_changed_and_nothing_else(void **state)
{
    (void)state;
    start_kind("serve", "");
    wait_for_state("serving", false);
    pid_t first = (pid_t)number("pid");
    assert_int_equal(ask("reload"), 0);
    assert_int_equal((pid_t)number("pid"), first);
    write_kind("facts", "");
    assert_int_equal(ask("reload"), 0);
    wait_for_file(facts_path(), "descriptor: 2");
    wait_for_state("serving", false);
    assert_true((pid_t)number("pid") != first);
    assert_int_equal(kill(first, 0), -1);
    write_config("command: []");
    assert_int_equal(ask("reload"), 0);
    assert_null(strstr(daemon_status(&ioreqd), "\"start\": {"));
    wait_for_state("absent", false);
}

int main(int argc, char **argv)
{
    if (argc > 2 && strcmp(argv[1], "--device") == 0)
        return be_device(argv[2], argc > 3 ? argv[3] : "");
    if (strcmp(IOREQD_SANITIZE, "thread") == 0) {
        printf("skip: the thread sanitizer keeps books in the memory that a new process shares\n");
        return 77;
    }
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (length <= 0)
        return 1;
#define TEST(name) cmocka_unit_test_setup_teardown(name, ioreqd_init, ioreqd_end)
    const struct CMUnitTest tests[] = {
        TEST(what_cannot_be_started_is_told_with_its_place),
        TEST(process_is_started_serves_and_ends_with_the_server),
        TEST(process_gets_nothing_that_is_the_servers),
        TEST(process_of_another_user_may_serve_its_client_and_nothing_else),
        TEST(processes_die_with_a_server_that_is_killed),
        TEST(stubborn_process_is_killed_at_the_end),
        TEST(process_that_is_killed_under_load_is_started_again),
        TEST(row41_crash_loop_ends_in_limp_home_and_an_alarm),
        TEST(row41_what_waits_for_a_successor_is_answered_at_the_limit),
        TEST(program_that_fails_is_told_with_its_exit_code),
        TEST(program_that_vanished_is_told_and_limps),
        TEST(program_that_leaves_by_itself_is_not_started_again),
        TEST(process_stops_and_starts_when_it_is_told_to),
        TEST(nobody_can_start_a_program_by_the_socket),
        TEST(reload_starts_anew_what_has_changed_and_nothing_else),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
