/* SPDX-License-Identifier: BSD-3-Clause */
/* ioreqd is killed and started again under load: rows 43, 44 and 45 of the list of faults, end to end.
 * A device in a process of its own counts its reads, so that a request that is lost or made twice shows
 * in what the guest reads. IOREQ_KILLS=N: so many kills (20). */
#include "tests/support/outside.h"

#include <dirent.h>
#include <pthread.h>

#define COUNTERS 0xfe100000ull /* each read of a word gives one more than the last */
#define PATIENT  0xfe200000ull /* no deadline; what a dead process took fails */
#define AGAIN    0xfe300000ull /* no deadline; what a dead process took is asked again */
#define NOBODY   0xfd000000ull
#define VCPUS    2u
#define IS_THERE 0x800u /* offset of a word that reads 0 */

static struct daemon ioreqd;
static pid_t counter_pid;

/* ---- the supervisor and its child --------------------------------------------------------- */

static pid_t server_pid(void)
{
    char path[96];
    int pid = 0;
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)ioreqd.pid, (int)ioreqd.pid);
    FILE *file = fopen(path, "re");
    if (file && fscanf(file, "%d", &pid) != 1)
        pid = 0;
    if (file)
        fclose(file);
    return pid;
}

static void wait_for_another(pid_t old)
{
    pid_t pid;
    while ((pid = server_pid()) == old || pid == 0 || !daemon_answers(&ioreqd))
        daemon_pause();
}

static void kill_server(void)
{
    pid_t old = server_pid();
    assert_true(old > 0);
    kill(old, SIGKILL);
    wait_for_another(old);
}

static uint32_t descriptors_of(pid_t pid)
{
    char path[64];
    uint32_t count = 0;
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    DIR *folder = opendir(path);
    assert_non_null(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

static void start_supervised(void)
{
    const char *const arguments[] = {BINARY_DIR "/ioreqd", "--supervise", "--config", ioreqd.config,
                                     NULL};
    daemon_spawn(&ioreqd, arguments);
    daemon_wait_until_ready(&ioreqd);
}

/* ---- the device that counts --------------------------------------------------------------- */

static void count_reads(void)
{
    static uint64_t counts[VCPUS];
    struct ioreq_client *client;
    struct ioreq_request request;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int result = ioreq_register(ioreqd.socket, "guest", "counters", &client);
    while (result == 0) {
        result = ioreq_receive(client, &request, IOREQ_FOREVER, 20000);
        if (result == 0)
            result =
                ioreq_answer(client, request.token,
                             request.offset == IS_THERE ? 0 : ++counts[request.offset / 8 % VCPUS]);
    }
    fprintf(stderr, "counters: %s\n", ioreq_error(client));
    _exit(1);
}

static void start_counters(void)
{
    counter_pid = fork();
    assert_true(counter_pid >= 0);
    if (counter_pid == 0)
        count_reads();
}

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
             ioreqd.socket, DAEMON_SANDBOX, VCPUS);
    daemon_write(ioreqd.config, text);
    start_supervised();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    int result = ioreqd.pid > 0 ? daemon_stop(&ioreqd) : 0;
    if (counter_pid > 0) {
        kill(counter_pid, SIGKILL);
        waitpid(counter_pid, NULL, 0);
        counter_pid = 0;
    }
    if (result != 0 || getenv("IOREQ_SHOW")) {
        char command[128];
        snprintf(command, sizeof(command), "cat %s >&2", ioreqd.err);
        if (system(command) != 0)
            print_message("no stderr\n");
    }
    daemon_fini(&ioreqd);
    return result;
}

/* ---- the guest ---------------------------------------------------------------------------- */

struct vcpu {
    struct requester *requester;
    uint32_t index;
    pthread_t thread;
    _Atomic bool must_end;
    _Atomic uint64_t longest_us; /* access since the last kill */
    uint64_t reads;              /* of its counter */
    uint64_t wrong;              /* lost, or made twice */
    uint64_t not_ones;           /* of what nobody owns */
    int result;
};

static uint64_t monotonic_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static uint64_t read_at(struct vcpu *vcpu, uint64_t address)
{
    struct requester_access access = {
        .address = address, .size_bytes = 8, .type = REQUEST_MMIO, .direction = REQUEST_READ};
    uint64_t begin_us = monotonic_us();
    int result = requester_access(vcpu->requester, vcpu->index, &access);
    uint64_t pause = monotonic_us() - begin_us;
    if (pause > atomic_load(&vcpu->longest_us))
        atomic_store(&vcpu->longest_us, pause);
    vcpu->result = result < 0 ? result : vcpu->result;
    return access.value;
}

static void *run_vcpu(void *argument)
{
    struct vcpu *vcpu = argument;
    while (!atomic_load(&vcpu->must_end) && vcpu->result == 0) {
        uint64_t value = read_at(vcpu, COUNTERS + 8 * vcpu->index);
        if (vcpu->result == 0)
            vcpu->wrong += value != ++vcpu->reads;
        value = read_at(vcpu, NOBODY);
        if (vcpu->result == 0)
            vcpu->not_ones += value != UINT64_MAX;
    }
    return NULL;
}

static void start_guest(struct vcpu *vcpus, struct requester *requester)
{
    while (daemon_read(requester, COUNTERS + IS_THERE, 8) != 0)
        daemon_pause(); /* it has yet to register */
    for (uint32_t i = 0; i < VCPUS; i++) {
        vcpus[i] = (struct vcpu){.requester = requester, .index = i};
        assert_int_equal(pthread_create(&vcpus[i].thread, NULL, run_vcpu, &vcpus[i]), 0);
    }
}

static void end_guest(struct vcpu *vcpus)
{
    for (uint32_t i = 0; i < VCPUS; i++) {
        atomic_store(&vcpus[i].must_end, true);
        pthread_join(vcpus[i].thread, NULL);
        assert_int_equal(vcpus[i].result, 0);
        assert_int_equal(vcpus[i].wrong, 0);
        assert_int_equal(vcpus[i].not_ones, 0);
        assert_true(vcpus[i].reads > 0);
    }
}

static void pause_us(uint64_t microseconds)
{
    struct timespec pause = {.tv_nsec = (long)(microseconds * 1000)};
    nanosleep(&pause, NULL);
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
    struct vcpu vcpus[VCPUS];
    start_counters();
    struct requester *requester = attach_mixed();
    start_guest(vcpus, requester);
    kill_server();
    uint32_t descriptors = descriptors_of(ioreqd.pid);
    srand(1);
    uint64_t *pauses = calloc(kills, sizeof(*pauses));
    for (uint32_t i = 0; i < kills; i++) {
        pause_us((uint64_t)(rand() % 30000));
        atomic_store(&vcpus[0].longest_us, 0);
        kill_server();
        while (atomic_load(&vcpus[0].longest_us) == 0)
            daemon_pause();
        pauses[i] = atomic_load(&vcpus[0].longest_us);
    }
    pause_us(50000);
    end_guest(vcpus);
    qsort(pauses, kills, sizeof(*pauses), compare);
    print_message("pause of the guest, %u kills: p50 %.1f ms, max %.1f ms\n", kills,
                  (double)pauses[kills / 2] / 1000, (double)pauses[kills - 1] / 1000);
    free(pauses);
    assert_int_equal(descriptors_of(ioreqd.pid), descriptors);
    requester_detach(requester);
}

/* `ioreqd --supervise` told to restart it: the same, and exit code 0 in the log. */
static void row_44_a_restart_in_order_loses_nothing(void **state)
{
    (void)state;
    struct vcpu vcpus[VCPUS];
    start_counters();
    struct requester *requester = attach_mixed();
    start_guest(vcpus, requester);
    for (uint32_t i = 0; i < 5; i++) {
        pid_t old = server_pid();
        kill(ioreqd.pid, SIGUSR2);
        wait_for_another(old);
        pause_us(10000);
    }
    end_guest(vcpus);
    requester_detach(requester);
    assert_false(daemon_file_has(ioreqd.err, "was killed"));
}

static void *read_once(void *argument)
{
    struct vcpu *vcpu = argument;
    vcpu->reads = read_at(vcpu, vcpu->reads);
    return NULL;
}

/* Asks for address on a thread of its own; the answer is in reads, once joined. */
static void begin_read(struct vcpu *vcpu, struct requester *requester, uint64_t address)
{
    *vcpu = (struct vcpu){.requester = requester, .reads = address};
    assert_int_equal(pthread_create(&vcpu->thread, NULL, read_once, vcpu), 0);
}

static uint64_t end_read(struct vcpu *vcpu)
{
    pthread_join(vcpu->thread, NULL);
    assert_int_equal(vcpu->result, 0);
    return vcpu->reads;
}

/* Its token is of a server that is no more, and valid. */
static void row_44_a_process_answers_what_it_took_of_the_dead_server(void **state)
{
    (void)state;
    struct vcpu vcpu;
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    struct outside outside = outside_start(&ioreqd, "patient");
    assert_int_equal(outside_do(&outside, OUTSIDE_REGISTER), 0);
    begin_read(&vcpu, requester, PATIENT);
    assert_int_equal(outside_do(&outside, OUTSIDE_TAKE), 0);
    kill_server();
    assert_int_equal(outside_do(&outside, OUTSIDE_ANSWER), 0);
    outside_begin(&outside, OUTSIDE_SERVE);
    assert_true(end_read(&vcpu) == outside_value(PATIENT));
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
        struct vcpu vcpu;
        struct outside outside = outside_start(&ioreqd, cases[i].client);
        assert_int_equal(outside_do(&outside, OUTSIDE_REGISTER), 0);
        begin_read(&vcpu, requester, cases[i].address);
        assert_int_equal(outside_do(&outside, OUTSIDE_TAKE), 0);
        outside_kill(&outside);
        kill_server();
        outside = outside_start(&ioreqd, cases[i].client);
        assert_int_equal(outside_do(&outside, OUTSIDE_REGISTER), 0);
        outside_begin(&outside, OUTSIDE_SERVE);
        uint64_t expected = cases[i].is_asked_again ? outside_value(cases[i].address) : UINT64_MAX;
        assert_true(end_read(&vcpu) == expected);
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

/* The journal, in the supervisor's hands. */
static int open_journal(void)
{
    char path[96], target[64];
    for (int i = 0; i < 64; i++) {
        snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)ioreqd.pid, i);
        ssize_t length = readlink(path, target, sizeof(target) - 1);
        if (length <= 0)
            continue;
        target[length] = '\0';
        if (strstr(target, "ioreqd-journal"))
            return open(path, O_RDWR | O_CLOEXEC);
    }
    return -1;
}

static void row_45_a_refused_journal_costs_ones_and_no_more(void **state)
{
    (void)state;
    struct vcpu vcpu;
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    struct outside outside = outside_start(&ioreqd, "patient");
    assert_int_equal(outside_do(&outside, OUTSIDE_REGISTER), 0);
    begin_read(&vcpu, requester, PATIENT);
    assert_int_equal(outside_do(&outside, OUTSIDE_TAKE), 0);
    int journal = open_journal();
    assert_true(journal >= 0);
    pid_t old = server_pid();
    kill(old, SIGSTOP);
    uint64_t zero = 0;
    assert_int_equal(pwrite(journal, &zero, sizeof(zero), 0), sizeof(zero));
    close(journal);
    kill(old, SIGKILL);
    wait_for_another(old);
    assert_true(end_read(&vcpu) == UINT64_MAX);
    assert_true(
        daemon_file_has(ioreqd.err, "journal of an earlier ioreqd is refused: it is empty"));
    /* The next death is as any other. */
    kill_server();
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
    struct vcpu vcpus[VCPUS];
    assert_int_equal(daemon_stop(&ioreqd), 0);
    snprintf(path, sizeof(path), "%s/once", ioreqd.folder);
    daemon_write(path, "");
    ioreqd.prepare = preload_shim;
    start_supervised();
    start_counters();
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    start_guest(vcpus, requester);
    while (!daemon_file_has(ioreqd.err, "a poller made a system call; it is started again"))
        daemon_pause();
    wait_for_another(0);
    pause_us(20000);
    end_guest(vcpus);
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
    pid_t old = server_pid();
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
