/* SPDX-License-Identifier: BSD-3-Clause */
/* Processes that ioreqd started die with it. What they had taken goes by the policy, what they had not is the
 * next one's, and nothing is asked of two. This program is the device, too: `--device KIND FILE`. */
#include "tests/support/supervised.h"

#include <sys/mman.h>

#define BASE 0xfe100000ull

static struct daemon ioreqd;
static char self[256]; /* this program */

/* Between the incarnations of the device, and us. */
static struct shared {
    _Atomic uint64_t starts;
    _Atomic uint64_t counts[COUNTERS_VCPUS]; /* reads that were carried out */
    _Atomic uint64_t sees;                   /* requests that were received */
    _Atomic bool hangs;                      /* takes one, and never answers */
} * shared;

static void map_shared(const char *path)
{
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    assert_true(file >= 0 && ftruncate(file, sizeof(*shared)) == 0);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    assert_true(shared != MAP_FAILED);
    close(file);
}

/* ---- the device --------------------------------------------------------------------------- */

static int be_device(const char *path)
{
    struct ioreq_client *client;
    struct ioreq_request request;
    map_shared(path);
    bool hangs = atomic_load(&shared->hangs); /* this incarnation */
    int result = ioreq_register(NULL, NULL, NULL, &client);
    atomic_fetch_add(&shared->starts, 1);
    while (result == 0) {
        result = ioreq_receive(client, &request, IOREQ_FOREVER, 20000);
        if (result < 0)
            break;
        atomic_fetch_add(&shared->sees, 1);
        while (hangs)
            pause();
        uint64_t value = 0;
        if (request.offset != COUNTERS_PAST)
            value = atomic_fetch_add(&shared->counts[request.offset / 8 % COUNTERS_VCPUS], 1) + 1;
        result = ioreq_answer(client, request.token, value);
    }
    return 0;
}

/* ---- the server --------------------------------------------------------------------------- */

static void start(const char *policy)
{
    char text[4096], path[96];
    snprintf(path, sizeof(path), "%s/shared", ioreqd.folder);
    map_shared(path);
    snprintf(text, sizeof(text),
             "server: {socket: %s}\n"
             "pollers:\n"
             "  - {name: rt, cpu: any, idle: yield, sandbox: %s}\n"
             "vms:\n"
             "  - {name: guest, vcpus: %u, source: memfd, poller: rt}\n"
             "clients:\n"
             "  - name: device\n"
             "    vm: guest\n"
             "    device: process\n"
             "    ranges: [{type: mmio, first: 0xfe100000, last: 0xfe100fff}]\n"
             "    options: {deadline_us: 0, on_death: %s}\n"
             "    start: {command: [%s, --device, %s], restart_limit: 32}\n",
             ioreqd.socket, DAEMON_SANDBOX, COUNTERS_VCPUS, policy, self, path);
    daemon_write(ioreqd.config, text);
    supervised_start(&ioreqd);
}

static int setup(void **state)
{
    (void)state;
    daemon_init(&ioreqd);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    munmap(shared, sizeof(*shared));
    return supervised_end(&ioreqd, NULL);
}

static void wait_for_start(uint64_t count)
{
    while (atomic_load(&shared->starts) < count)
        daemon_pause();
}

/* The process that the server started. */
static pid_t device_pid(void)
{
    char path[64];
    int pid = 0;
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)supervised_server(&ioreqd),
             (int)supervised_server(&ioreqd));
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%d", &pid), 1);
    fclose(file);
    return pid;
}

/* ---- one request -------------------------------------------------------------------------- */

static void what_it_had_taken_goes_by_the_policy(const char *policy, bool is_asked_again)
{
    struct counting vcpu;
    start(policy);
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    wait_for_start(1);
    assert_int_equal(daemon_read(requester, BASE + COUNTERS_PAST, 8), 0);
    atomic_store(&shared->hangs, true);
    kill(device_pid(), SIGKILL); /* the next one hangs */
    wait_for_start(2);
    uint64_t before = atomic_load(&shared->sees);
    counting_begin_read(&vcpu, requester, BASE);
    while (atomic_load(&shared->sees) == before)
        daemon_pause();
    atomic_store(&shared->hangs, false);
    supervised_kill(&ioreqd);
    assert_true(counting_end_read(&vcpu) == (is_asked_again ? 1 : UINT64_MAX));
    assert_true(daemon_read(requester, BASE, 8) == (is_asked_again ? 2 : 1));
    requester_detach(requester);
}

static void taken_is_failed(void **state)
{
    (void)state;
    what_it_had_taken_goes_by_the_policy("fail", false);
}

static void taken_is_asked_again_if_it_may_be(void **state)
{
    (void)state;
    what_it_had_taken_goes_by_the_policy("reissue", true);
}

/* It lies in the channel of a process that did not look. */
static void what_it_had_not_taken_is_the_next_ones(void **state)
{
    (void)state;
    struct counting vcpu;
    start("fail");
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    wait_for_start(1);
    assert_int_equal(daemon_read(requester, BASE + COUNTERS_PAST, 8), 0);
    kill(device_pid(), SIGSTOP);
    counting_begin_read(&vcpu, requester, BASE);
    pause_us(20000);
    supervised_kill(&ioreqd);
    assert_true(counting_end_read(&vcpu) == 1);
    assert_int_equal(atomic_load(&shared->counts[0]), 1);
    requester_detach(requester);
}

/* ---- under load --------------------------------------------------------------------------- */

struct load {
    struct counting vcpu;
    uint64_t failed, wrong;
    bool may_fail, may_repeat;
};

/* Each value is one more than the last. Failed: all-ones, and it was carried out or not. Asked again: it
 * may have been carried out twice. */
static void *run_load(void *argument)
{
    struct load *load = argument;
    uint64_t last = 0, failed = 0;
    while (!atomic_load(&load->vcpu.must_end) && load->vcpu.result == 0) {
        uint64_t value = counting_read(&load->vcpu, BASE + 8 * load->vcpu.index);
        load->vcpu.reads++;
        if (load->vcpu.result == 0 && value == UINT64_MAX) {
            load->wrong += !load->may_fail;
            load->failed++;
            failed++;
            continue;
        }
        load->wrong += load->vcpu.result == 0 &&
                       (value <= last || value > last + 1 + failed + load->may_repeat);
        last = value;
        failed = 0;
    }
    return NULL;
}

static void kills_settle_each_request_once(const char *policy, bool may_fail)
{
    struct load loads[COUNTERS_VCPUS];
    start(policy);
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    wait_for_start(1);
    assert_int_equal(daemon_read(requester, BASE + COUNTERS_PAST, 8), 0);
    for (uint32_t i = 0; i < COUNTERS_VCPUS; i++) {
        loads[i] = (struct load){.vcpu = {.requester = requester, .index = i},
                                 .may_fail = may_fail,
                                 .may_repeat = !may_fail};
        assert_int_equal(pthread_create(&loads[i].vcpu.thread, NULL, run_load, &loads[i]), 0);
    }
    for (uint32_t i = 0; i < 5; i++) {
        pause_us(20000 + 3000 * i);
        uint64_t starts = atomic_load(&shared->starts);
        supervised_kill(&ioreqd);
        wait_for_start(starts + 1);
    }
    pause_us(20000);
    for (uint32_t i = 0; i < COUNTERS_VCPUS; i++) {
        atomic_store(&loads[i].vcpu.must_end, true);
        pthread_join(loads[i].vcpu.thread, NULL);
        assert_int_equal(loads[i].vcpu.result, 0);
        assert_int_equal(loads[i].wrong, 0);
        assert_true(loads[i].failed <= 5);
        assert_true(loads[i].vcpu.reads > 5);
    }
    requester_detach(requester);
}

static void kills_under_load_fail_what_was_taken_and_lose_nothing(void **state)
{
    (void)state;
    kills_settle_each_request_once("fail", true);
}

static void kills_under_load_fail_nothing_where_it_may_be_repeated(void **state)
{
    (void)state;
    kills_settle_each_request_once("reissue", false);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--device") == 0)
        return be_device(argv[2]);
    if (strcmp(IOREQD_SANITIZE, "thread") == 0) {
        printf("skip: the thread sanitizer keeps books in the memory that a new process shares\n");
        return 77;
    }
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    self[length > 0 ? length : 0] = '\0';
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(taken_is_failed, setup, teardown),
        cmocka_unit_test_setup_teardown(taken_is_asked_again_if_it_may_be, setup, teardown),
        cmocka_unit_test_setup_teardown(what_it_had_not_taken_is_the_next_ones, setup, teardown),
        cmocka_unit_test_setup_teardown(kills_under_load_fail_what_was_taken_and_lose_nothing,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(kills_under_load_fail_nothing_where_it_may_be_repeated,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
