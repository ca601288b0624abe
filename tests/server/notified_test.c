/* SPDX-License-Identifier: BSD-3-Clause */
/* The built ioreqd and ioreq-vm: VMs that poll and VMs that are notified beside each other, in every way
 * of notifying; pollers that wait instead of spinning; and all of it where io_uring is refused. */
#include "tests/support/daemon_access.h"

#include <dirent.h>
#include <seccomp.h>

#define LOAD_COUNT "4000"
#define IDLE_NS    1000000000u
#define IDLE_MAX   20000000u /* ns of CPU in that time: none, but the machine is shared */

/* "guest" polls or is notified as it likes; so does "info", which may be waited for. */
static void write_config(const struct daemon *daemon, const char *notify, const char *wait_after)
{
    char text[2048];
    snprintf(text, sizeof(text),
             "server: {socket: %s, lock_memory: false, cpu_dma_latency: leave, notify: %s}\n"
             "pollers:\n"
             "  - {name: rt, idle: yield, sandbox: %s}\n"
             "  - {name: slow, idle: yield, sandbox: %s}\n"
             "vms:\n"
             "  - {name: guest, vcpus: 2, poller: rt}\n"
             "  - {name: info, vcpus: 2, poller: %s, wait_after: %s}\n"
             "clients:\n"
             "  - {name: a, vm: guest, device: register_bank, ranges: [{type: mmio, first: "
             "0xfe000000, last: 0xfe000fff}],\n"
             "     options: {registers: [{name: word, offset: 0, size: 8, count: 512}]}}\n"
             "  - {name: b, vm: info, device: register_bank, ranges: [{type: mmio, first: "
             "0xfe000000, last: 0xfe000fff}],\n"
             "     options: {registers: [{name: word, offset: 0, size: 8, count: 512}]}}\n",
             daemon->socket, notify, DAEMON_SANDBOX, DAEMON_SANDBOX,
             strcmp(wait_after, "0us") == 0 ? "rt" : "slow", wait_after);
    daemon_write(daemon->config, text);
}

/* A load on each VM at the same time; every answer right. */
static void load_both(const struct daemon *daemon, const char *guest, const char *info)
{
    char command[2048];
    const char *load = BINARY_DIR "/ioreq-vm load --count " LOAD_COUNT
                                  " --mix scratch:mmio:0xfe000000-0xfe000fff=1 --socket";
    snprintf(command, sizeof(command),
             "exec >%s/loads 2>&1; timeout 300 %s %s --vm guest --completion %s & first=$!; "
             "timeout 300 %s %s --vm info --completion %s; second=$?; wait $first && exit $second",
             daemon->folder, load, daemon->socket, guest, load, daemon->socket, info);
    int status = system(command);
    if (status != 0) {
        snprintf(command, sizeof(command), "cat %s/loads %s >&2", daemon->folder, daemon->err);
        if (system(command) != 0)
            print_message("nothing was said\n");
    }
    assert_int_equal(status, 0);
}

static void serve(struct daemon *daemon, const char *notify, const char *wait_after)
{
    write_config(daemon, notify, wait_after);
    daemon_start(daemon);
    load_both(daemon, "poll", "notify");
    load_both(daemon, "notify,poll", "poll,notify");
    assert_int_equal(daemon_stop(daemon), 0);
}

static void polling_and_notified_vms_are_served_beside_each_other(void **state)
{
    (void)state;
    struct daemon daemon;
    daemon_init(&daemon);
    serve(&daemon, "sqpoll", "0us");
    serve(&daemon, "submit", "0us");
    serve(&daemon, "thread", "0us");
    daemon_fini(&daemon);
}

static void vms_of_a_poller_that_waits_are_served(void **state)
{
    (void)state;
    struct daemon daemon;
    daemon_init(&daemon);
    serve(&daemon, "sqpoll", "1us");
    serve(&daemon, "submit", "50us");
    serve(&daemon, "thread", "1ns");
    daemon_fini(&daemon);
}

static void refuse_rings(struct daemon *daemon)
{
    (void)daemon;
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ALLOW);
    if (!filter ||
        seccomp_rule_add(filter, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(io_uring_setup), 0) < 0 ||
        seccomp_load(filter) < 0)
        _exit(126);
}

static void server_does_without_io_uring_and_says_so(void **state)
{
    (void)state;
    struct daemon daemon;
    daemon_init(&daemon);
    daemon.prepare = refuse_rings;
    serve(&daemon, "sqpoll", "50us");
    assert_true(daemon_file_has(daemon.err, "no io_uring: "));
    assert_true(daemon_file_has(daemon.err, "poller slow: it spins, wait_after or not"));
    daemon_fini(&daemon);
}

/* ---- waiting ----------------------------------------------------------------------------- */

/* What that thread of the server's has run for, by the scheduler's word. */
static uint64_t thread_cpu_ns(const struct daemon *daemon, const char *name)
{
    char path[300], comm[32];
    unsigned long long ns = 0;
    snprintf(path, sizeof(path), "/proc/%d/task", (int)daemon->pid);
    DIR *tasks = opendir(path);
    assert_non_null(tasks);
    for (struct dirent *task; (task = readdir(tasks));) {
        snprintf(path, sizeof(path), "/proc/%d/task/%.20s/comm", (int)daemon->pid, task->d_name);
        FILE *file = fopen(path, "re");
        bool is_it = file && fscanf(file, "%31s", comm) == 1 && strcmp(comm, name) == 0;
        if (file)
            fclose(file);
        snprintf(path, sizeof(path), "/proc/%d/task/%.20s/schedstat", (int)daemon->pid,
                 task->d_name);
        file = is_it ? fopen(path, "re") : NULL;
        if (file && fscanf(file, "%llu", &ns) != 1)
            fail_msg("%s cannot be read", path);
        if (file)
            fclose(file);
    }
    closedir(tasks);
    return ns;
}

static void prepare(struct requester *requester, uint32_t notified)
{
    char error[256] = "";
    if (requester_prepare(requester, notified, error, sizeof(error)) != 0)
        fail_msg("%s", error);
}

static void sleep_ns(uint64_t ns)
{
    const struct timespec pause = {.tv_sec = (time_t)(ns / 1000000000u),
                                   .tv_nsec = (long)(ns % 1000000000u)};
    nanosleep(&pause, NULL);
}

static void poller_that_waits_uses_no_cpu(void **state)
{
    (void)state;
    struct daemon daemon;
    daemon_init(&daemon);
    write_config(&daemon, "sqpoll", "50us");
    daemon_start(&daemon);
    struct requester *guest = daemon_attach(&daemon, "guest");
    struct requester *info = daemon_attach(&daemon, "info");
    prepare(guest, 0);
    prepare(info, 1);
    for (int i = 0; i < 3; i++) {
        daemon_exercise(info, 100);
        daemon_exercise(guest, 100);
        sleep_ns(10000000); /* let it begin to wait */
        uint64_t waiting = thread_cpu_ns(&daemon, "slow"), spinning = thread_cpu_ns(&daemon, "rt");
        sleep_ns(IDLE_NS);
        waiting = thread_cpu_ns(&daemon, "slow") - waiting;
        spinning = thread_cpu_ns(&daemon, "rt") - spinning;
        print_message("one second of nothing: %llu us of CPU waiting, %llu us spinning\n",
                      (unsigned long long)waiting / 1000, (unsigned long long)spinning / 1000);
        assert_true(waiting < IDLE_MAX);
        assert_true(spinning > IDLE_MAX);
    }
    requester_detach(guest);
    requester_detach(info);
    assert_int_equal(daemon_stop(&daemon), 0);
    daemon_fini(&daemon);
}

/* It is not told of arrival, so it must be looked for. */
static void requester_without_an_upcall_is_spun_for(void **state)
{
    (void)state;
    struct daemon daemon;
    daemon_init(&daemon);
    write_config(&daemon, "sqpoll", "1us");
    daemon_start(&daemon);
    struct requester *info = daemon_attach(&daemon, "info");
    for (int i = 0; i < 10; i++) {
        daemon_exercise(info, 10);
        sleep_ns(1000000);
    }
    requester_detach(info);
    assert_int_equal(daemon_stop(&daemon), 0);
    daemon_fini(&daemon);
}

/* Pauses around what the poller spins for: it is caught in every step of falling asleep. */
static void no_request_of_one_who_sleeps_is_lost(void **state)
{
    (void)state;
    struct daemon daemon;
    daemon_init(&daemon);
    write_config(&daemon, "submit", "20us");
    daemon_start(&daemon);
    struct requester *info = daemon_attach(&daemon, "info");
    prepare(info, 1);
    for (uint32_t i = 0; i < 3000; i++) {
        daemon_write_word(info, DAEMON_SCRATCH + i % 512 * 8, i);
        for (volatile uint32_t k = 0; k < i * 97 % 40000; k++)
            ;
    }
    requester_detach(info);
    assert_int_equal(daemon_stop(&daemon), 0);
    daemon_fini(&daemon);
}

static void combination_that_makes_no_sense_is_refused(void **state)
{
    (void)state;
    struct daemon daemon;
    char text[1024];
    daemon_init(&daemon);
    snprintf(text, sizeof(text),
             "server: {socket: %s}\n"
             "pollers: [{name: rt, idle: yield}, {name: other, idle: yield}]\n"
             "vms:\n"
             "  - {name: guest, vcpus: 1, poller: rt}\n"
             "  - {name: info, vcpus: 1, poller: rt, wait_after: 1ms}\n"
             "  - {name: third, vcpus: 1, poller: other, wait_after: 1ms}\n"
             "clients:\n"
             "  - {name: far, vm: guest, device: fallback, poller: other, ranges: [{type: portio, "
             "first: 1}]}\n",
             daemon.socket);
    daemon_write(daemon.config, text);
    const char *const arguments[] = {BINARY_DIR "/ioreqd", "--check", "--config", daemon.config,
                                     NULL};
    daemon_spawn(&daemon, arguments);
    assert_int_equal(daemon_wait(&daemon), 2);
    assert_true(daemon_file_has(daemon.err,
                                "5:52: wait_after: poller 'rt' never waits, for it sweeps VM "
                                "'guest' too; expected wait_after there as well, or another"));
    assert_true(daemon_file_has(daemon.err, "6:56: wait_after: poller 'other' never waits, for "
                                            "client 'far' of VM 'guest' lives there"));
    daemon_fini(&daemon);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(combination_that_makes_no_sense_is_refused),
        cmocka_unit_test(polling_and_notified_vms_are_served_beside_each_other),
        cmocka_unit_test(vms_of_a_poller_that_waits_are_served),
        cmocka_unit_test(server_does_without_io_uring_and_says_so),
        cmocka_unit_test(poller_that_waits_uses_no_cpu),
        cmocka_unit_test(requester_without_an_upcall_is_spun_for),
        cmocka_unit_test(no_request_of_one_who_sleeps_is_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
