/* SPDX-License-Identifier: BSD-3-Clause */
/* Small firmware images of our own in a real guest: what they do must arrive as they did it. */
#include "server/vm/kvm.h"
#include "server/vm/machine.h"
#include "server/vm/replay.h"
#include "tests/server/vm/guest_code.h"
#include "tests/support/captured_stderr.h"
#include "tests/support/child.h"
#include "tests/support/skip.h"
#include "tests/support/vm_fake_server.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mount.h>
#include <sys/wait.h>

#include <cmocka.h>

#define IMAGE_BYTES (64u << 10)

struct log_entry {
    uint32_t type, direction;
    uint64_t address, size_bytes, value;
};

#define LOG_MAX 64

struct access_log {
    struct log_entry entries[MACHINE_VCPUS_MAX][LOG_MAX];
    size_t counts[MACHINE_VCPUS_MAX];
    _Atomic bool has_begun; /* for threads that are not the server's */
};

static char directory[64];
static char image_path[128];
static char trace_path[128];
static struct access_log access_log;

/* Reads count up from 0x41424344 on each vCPU, so that each answer is another one. */
static void log_access(void *context, uint32_t vcpu, struct requester_access *access)
{
    struct access_log *log = context;
    size_t count = log->counts[vcpu]++;
    atomic_store(&log->has_begun, true);
    if (access->direction == REQUEST_READ)
        access->value = (0x41424344 + count) & request_ones((uint32_t)access->size_bytes);
    if (count < LOG_MAX)
        log->entries[vcpu][count] = (struct log_entry){
            access->type, access->direction, access->address, access->size_bytes, access->value};
}

static int directory_setup(void **state)
{
    (void)state;
    strcpy(directory, "/tmp/ioreqd-test-XXXXXX");
    assert_non_null(mkdtemp(directory));
    snprintf(image_path, sizeof(image_path), "%s/image.bin", directory);
    snprintf(trace_path, sizeof(trace_path), "%s/run.trace", directory);
    memset(&access_log, 0, sizeof(access_log));
    return 0;
}

static int directory_teardown(void **state)
{
    (void)state;
    unlink(image_path);
    unlink(trace_path);
    return rmdir(directory);
}

static void write_image(const uint8_t *code, size_t code_bytes)
{
    static uint8_t image[IMAGE_BYTES];
    static const uint8_t reset_jump[] = {0xe9, 0x0d, 0x00}; /* from 0xfff0 to 0x10000 = 0 */
    memset(image, 0, sizeof(image));
    memcpy(image, code, code_bytes);
    memcpy(image + MESSAGE_OFFSET, "hello", 5);
    memcpy(image + 0xfff0, reset_jump, sizeof(reset_jump));
    FILE *file = fopen(image_path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(image, 1, sizeof(image), file), sizeof(image));
    assert_int_equal(fclose(file), 0);
}

struct outcome {
    int code;
    uint32_t attach_count;
    char report[4096];
    char said[8192]; /* on stderr */
};

static uint64_t memory_bytes = 1 << 20;

static struct outcome run_guest(const uint8_t *code, size_t code_bytes, struct kvm_options *options)
{
    struct fake_server server = {.vcpu_count = 4, .answer = log_access, .context = &access_log};
    struct outcome outcome = {0};
    static struct captured_stderr captured;
    write_image(code, code_bytes);
    fake_server_start(&server);
    options->attach.socket_path = server.socket_path;
    options->firmware_path = image_path;
    options->memory_bytes = memory_bytes;
    options->timeout_ns = options->timeout_ns ? options->timeout_ns : 60000000000u;
    FILE *report = fmemopen(outcome.report, sizeof(outcome.report), "w");
    assert_non_null(report);
    capture_begin(&captured);
    outcome.code = kvm_run(options, report);
    snprintf(outcome.said, sizeof(outcome.said), "%s", capture_end(&captured));
    fclose(report);
    fake_server_stop(&server);
    outcome.attach_count = server.attach_count;
    return outcome;
}

#define RUN(code, options) run_guest(code, sizeof(code), options)

static void check_log(uint32_t vcpu, const struct log_entry *expected, size_t count)
{
    for (size_t i = 0; i < count && i < access_log.counts[vcpu]; i++) {
        const struct log_entry *got = &access_log.entries[vcpu][i];
        if (memcmp(got, &expected[i], sizeof(*got)) != 0)
            fail_msg("access %zu: type %u direction %u address 0x%lx size %lu value 0x%lx", i,
                     got->type, got->direction, (unsigned long)got->address,
                     (unsigned long)got->size_bytes, (unsigned long)got->value);
    }
    assert_int_equal(access_log.counts[vcpu], count);
}

#define OUT(address, size, value)                           \
    {                                                       \
        REQUEST_PORTIO, REQUEST_WRITE, address, size, value \
    }
#define IN(address, size, value)                           \
    {                                                      \
        REQUEST_PORTIO, REQUEST_READ, address, size, value \
    }
#define STORE(address, size, value)                       \
    {                                                     \
        REQUEST_MMIO, REQUEST_WRITE, address, size, value \
    }
#define LOAD(address, size, value)                       \
    {                                                    \
        REQUEST_MMIO, REQUEST_READ, address, size, value \
    }

/* The value of a read is 0x41424344 plus its number, cut to its size. */
static const struct log_entry accesses_log[] = {
    OUT(0x80, 1, 0x11),         OUT(0x80, 2, 0x2222),
    OUT(0x80, 4, 0x33333333),   IN(0x84, 1, 0x47),
    OUT(0x90, 4, 0x47),         IN(0x84, 2, 0x4349),
    OUT(0x90, 4, 0x4349),       IN(0x84, 4, 0x4142434b),
    OUT(0x90, 4, 0x4142434b),   OUT(0x402, 1, 'h'),
    OUT(0x402, 1, 'e'),         OUT(0x402, 1, 'l'),
    OUT(0x402, 1, 'l'),         OUT(0x402, 1, 'o'),
    IN(0x1f0, 2, 0x4352),       IN(0x1f0, 2, 0x4353),
    IN(0x1f0, 2, 0x4354),       OUT(0x90, 4, 0x43534352),
    OUT(0x90, 2, 0x4354),       LOAD(0x100000, 4, 0x41424357),
    OUT(0x90, 4, 0x41424357),   STORE(0x100010, 1, 0x5a),
    STORE(0x100013, 2, 0x4357), STORE(0x100020, 4, 0x41424357),
};
#define ACCESSES_COUNT (sizeof(accesses_log) / sizeof(accesses_log[0]))

static void every_access_arrives_as_the_guest_made_it(void **state)
{
    (void)state;
    struct kvm_options options;
    kvm_options_init(&options);
    options.has_kernel_irqchip = false;
    struct outcome outcome = RUN(accesses_code, &options);
    check_log(0, accesses_log, ACCESSES_COUNT);
    assert_int_equal(outcome.code, EXIT_OK);
    assert_non_null(strstr(outcome.report, "halted"));
}

static void access_of_three_bytes_falls_into_two(void **state)
{
    (void)state;
    static const struct log_entry log[] = {STORE(0x100000, 2, 0x2233), STORE(0x100002, 1, 0x11)};
    struct kvm_options options;
    kvm_options_init(&options);
    options.has_kernel_irqchip = false;
    struct outcome outcome = RUN(straddle_code, &options);
    check_log(0, log, 2);
    assert_int_equal(outcome.code, EXIT_OK);
}

static void without_irqchip_every_vcpu_starts(void **state)
{
    (void)state;
    struct kvm_options options;
    kvm_options_init(&options);
    options.has_kernel_irqchip = false;
    options.vcpu_count = 3;
    struct outcome outcome = RUN(accesses_code, &options);
    for (uint32_t vcpu = 0; vcpu < 3; vcpu++)
        check_log(vcpu, accesses_log, ACCESSES_COUNT);
    assert_int_equal(outcome.code, EXIT_OK);
}

static void awaited_text_ends_the_run(void **state)
{
    (void)state;
    struct kvm_options options;
    kvm_options_init(&options);
    options.until = "ell";
    options.wants_json = true;
    struct outcome outcome = RUN(accesses_code, &options);
    assert_int_equal(outcome.code, EXIT_OK);
    assert_non_null(strstr(outcome.report, "\"ending\": \"until\""));
    assert_non_null(strstr(outcome.report, "\"passed\": true"));
}

static void end_before_the_awaited_text_fails(void **state)
{
    (void)state;
    struct kvm_options options;
    kvm_options_init(&options);
    options.until = "hellO";
    options.has_kernel_irqchip = false;
    struct outcome outcome = RUN(accesses_code, &options);
    assert_int_equal(outcome.code, EXIT_FAILED);
    assert_non_null(strstr(outcome.report, "halted"));
}

static void idle_guest_ends(void **state)
{
    (void)state;
    struct kvm_options options;
    kvm_options_init(&options);
    options.idle_exit_ns = 50000000;
    struct outcome outcome = RUN(accesses_code, &options); /* halts, and KVM waits for interrupts */
    assert_int_equal(outcome.code, EXIT_OK);
    assert_non_null(strstr(outcome.report, "idle"));
}

static void guest_that_never_exits_is_stopped(void **state)
{
    (void)state;
    struct kvm_options options;
    kvm_options_init(&options);
    options.timeout_ns = 50000000;
    struct outcome outcome = RUN(spin_code, &options);
    assert_int_equal(outcome.code, EXIT_OK);
    assert_non_null(strstr(outcome.report, "timeout"));
    assert_int_equal(access_log.counts[0], 0);
}

static void guest_that_never_rests_is_stopped(void **state)
{
    (void)state;
    struct kvm_options options;
    kvm_options_init(&options);
    options.timeout_ns = 50000000;
    struct outcome outcome = RUN(poll_code, &options);
    assert_int_equal(outcome.code, EXIT_OK);
    assert_true(access_log.counts[0] > 0);
}

static void triple_fault_fails_with_the_registers(void **state)
{
    (void)state;
    struct kvm_options options;
    kvm_options_init(&options);
    struct outcome outcome = RUN(crash_code, &options);
    assert_int_equal(outcome.code, EXIT_FAILED);
    assert_non_null(strstr(outcome.report, "triple fault"));
    assert_null(strstr(outcome.said, "--shadow")); /* all of the image is there */
}

static void triple_fault_of_an_image_beyond_its_shadow_tells_the_remedy(void **state)
{
    (void)state;
    struct kvm_options options;
    kvm_options_init(&options);
    options.shadow_bytes = 32 << 10; /* crash_code, its descriptor table, lies in the first half */
    struct outcome outcome = RUN(crash_code, &options);
    assert_int_equal(outcome.code, EXIT_FAILED);
    assert_non_null(strstr(outcome.said, "only the last 32 KiB of the image's 64 KiB"));
    assert_non_null(strstr(outcome.said, "--shadow 64KiB\n"));
}

static void rtc_that_tells_another_memory_is_reported(void **state)
{
    (void)state;
    for (int as_json = 0; as_json <= 1; as_json++) {
        struct kvm_options options;
        kvm_options_init(&options);
        options.has_kernel_irqchip = false;
        options.wants_json = as_json;
        memset(&access_log, 0, sizeof(access_log));
        struct outcome outcome = RUN(memory_code, &options); /* 0x45 and 0x47 are the answers */
        assert_int_equal(outcome.code, EXIT_OK);
        assert_non_null(strstr(outcome.report, as_json ? "\"warning\": \"the rtc says 1124 MiB, the"
                                                       : "warning       the rtc says 1124 MiB, the "
                                                         "guest has 1 MiB"));
    }
    memory_bytes = (16u << 20) + 0x4547 * UINT64_C(65536);
    struct kvm_options options;
    kvm_options_init(&options);
    options.has_kernel_irqchip = false;
    memset(&access_log, 0, sizeof(access_log));
    struct outcome outcome = RUN(memory_code, &options);
    memory_bytes = 1 << 20;
    assert_int_equal(outcome.code, EXIT_OK);
    assert_null(strstr(outcome.report, "warning"));
}

static void record_that_cannot_be_written_stops_before_the_attach(void **state)
{
    (void)state;
    const char *const targets[] = {directory, "/nonexistent/run.trace", "/dev/null"};
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        struct kvm_options options;
        kvm_options_init(&options);
        options.record_path = targets[i];
        options.has_kernel_irqchip = false;
        struct outcome outcome = RUN(accesses_code, &options);
        assert_int_equal(outcome.code, EXIT_FAILED);
        assert_int_equal(outcome.attach_count, 0);
        assert_int_equal(access_log.counts[0], 0);
    }
    struct kvm_options options;
    kvm_options_init(&options);
    options.record_path = trace_path;
    options.vcpu_count = 5; /* refused after the attach: the temporary file must go, too */
    assert_int_equal(RUN(spin_code, &options).code, EXIT_FAILED);
}

static void access_across_the_last_port_replays(void **state)
{
    (void)state;
    static const struct log_entry log[] = {IN(0xffff, 2, 0x4344), OUT(0xffff, 2, 0x4344),
                                           IN(0xffff, 4, 0x41424346)};
    struct kvm_options options;
    kvm_options_init(&options);
    options.record_path = trace_path;
    options.has_kernel_irqchip = false;
    assert_int_equal(RUN(last_port_code, &options).code, EXIT_OK);
    check_log(0, log, 3);

    struct fake_server server = {.vcpu_count = 1, .answer = log_access, .context = &access_log};
    struct replay_options replay;
    memset(&access_log, 0, sizeof(access_log));
    fake_server_start(&server);
    replay_options_init(&replay);
    replay.attach.socket_path = server.socket_path;
    replay.path = trace_path;
    int code = replay_run(&replay, stdout);
    fake_server_stop(&server);
    assert_int_equal(code, EXIT_OK);
    check_log(0, log, 3);
}

/* In a child with a mount namespace of its own. */
static void something_else_at_dev_kvm_is_said_so(void **state)
{
    (void)state;
    pid_t child = child_fork();
    if (child == 0) {
        char error[512] = "";
        if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
            mount("/dev/null", "/dev/kvm", NULL, MS_BIND, NULL) != 0)
            _exit(77);
        int result = machine_probe(error, sizeof(error));
        _exit(result < 0 && strcmp(error, "/dev/kvm is not a KVM device") == 0 ? 0 : 1);
    }
    int status = child_wait(child);
    skip_if(WIFEXITED(status) && WEXITSTATUS(status) == 77, "no mount namespace of our own here");
    assert_int_equal(status, 0);
}

static void sipi_starts_a_vcpu_that_knows_its_number(void **state)
{
    (void)state;
    struct kvm_options options;
    kvm_options_init(&options);
    options.vcpu_count = 2;
    options.until = "B";
    struct outcome outcome = RUN(smp_code, &options);
    static const struct log_entry log[] = {OUT(0x402, 1, 'B')};
    assert_int_equal(outcome.code, EXIT_OK);
    check_log(0, NULL, 0);
    check_log(1, log, 1);
}

static void *send_signal(void *argument)
{
    while (!atomic_load(&access_log.has_begun))
        sched_yield();
    kill(getpid(), *(int *)argument); /* blocked in every thread but for the signalfd */
    return NULL;
}

static void signals_end_the_run(void **state)
{
    (void)state;
    int signals[] = {SIGINT, SIGTERM};
    sigset_t blocked;
    sigset_t old;
    sigemptyset(&blocked);
    sigaddset(&blocked, SIGINT);
    sigaddset(&blocked, SIGTERM);
    pthread_sigmask(SIG_BLOCK, &blocked, &old);
    for (size_t i = 0; i < 2; i++) {
        pthread_t sender;
        struct kvm_options options;
        kvm_options_init(&options);
        memset(&access_log, 0, sizeof(access_log));
        assert_int_equal(pthread_create(&sender, NULL, send_signal, &signals[i]), 0);
        struct outcome outcome = RUN(poll_code, &options);
        pthread_join(sender, NULL);
        assert_int_equal(outcome.code, EXIT_OK);
        assert_non_null(strstr(outcome.report, i == 0 ? "SIGINT" : "SIGTERM"));
    }
    pthread_sigmask(SIG_SETMASK, &old, NULL);
}

static void more_vcpus_than_the_vm_has_are_refused(void **state)
{
    (void)state;
    struct kvm_options options;
    kvm_options_init(&options);
    options.vcpu_count = 5;
    assert_int_equal(RUN(spin_code, &options).code, EXIT_FAILED);
}

static void guest_on_a_cpu_that_is_not_there_fails(void **state)
{
    (void)state;
    struct kvm_options options;
    kvm_options_init(&options);
    options.cpus = (struct cpu_list){.count = 1, .cpus = {1023}};
    assert_int_equal(RUN(spin_code, &options).code, EXIT_FAILED);
}

static void failed_run_leaves_no_trace(void **state)
{
    (void)state;
    struct kvm_options options;
    kvm_options_init(&options);
    options.record_path = trace_path;
    options.until = "never";
    options.has_kernel_irqchip = false;
    assert_int_equal(RUN(accesses_code, &options).code, EXIT_FAILED);
    assert_int_equal(access(trace_path, F_OK), -1); /* and no temporary: the folder goes, too */
}

static void recorded_guest_replays(void **state)
{
    (void)state;
    struct kvm_options options;
    kvm_options_init(&options);
    options.record_path = trace_path;
    options.has_kernel_irqchip = false;
    assert_int_equal(RUN(accesses_code, &options).code, EXIT_OK);

    for (int is_shifted = 0; is_shifted <= 1; is_shifted++) {
        struct fake_server server = {.vcpu_count = 1, .answer = log_access, .context = &access_log};
        struct replay_options replay;
        memset(&access_log, 0, sizeof(access_log));
        access_log.counts[0] = is_shifted ? 1 : 0; /* then every answer is another one */
        fake_server_start(&server);
        replay_options_init(&replay);
        replay.attach.socket_path = server.socket_path;
        replay.path = trace_path;
        assert_int_equal(replay_run(&replay, stdout), is_shifted ? EXIT_FAILED : EXIT_OK);
        fake_server_stop(&server);
        if (!is_shifted)
            check_log(0, accesses_log, ACCESSES_COUNT);
    }
}

#define IN_DIRECTORY(test) \
    cmocka_unit_test_setup_teardown(test, directory_setup, directory_teardown)

int main(void)
{
    char error[512];
    if (machine_probe(error, sizeof(error)) != 0) {
        printf("skip: %s\n", error);
        return 77;
    }
    const struct CMUnitTest tests[] = {
        IN_DIRECTORY(every_access_arrives_as_the_guest_made_it),
        IN_DIRECTORY(access_of_three_bytes_falls_into_two),
        IN_DIRECTORY(without_irqchip_every_vcpu_starts),
        IN_DIRECTORY(awaited_text_ends_the_run),
        IN_DIRECTORY(end_before_the_awaited_text_fails),
        IN_DIRECTORY(idle_guest_ends),
        IN_DIRECTORY(guest_that_never_exits_is_stopped),
        IN_DIRECTORY(guest_that_never_rests_is_stopped),
        IN_DIRECTORY(triple_fault_fails_with_the_registers),
        IN_DIRECTORY(triple_fault_of_an_image_beyond_its_shadow_tells_the_remedy),
        IN_DIRECTORY(rtc_that_tells_another_memory_is_reported),
        IN_DIRECTORY(record_that_cannot_be_written_stops_before_the_attach),
        IN_DIRECTORY(access_across_the_last_port_replays),
        IN_DIRECTORY(something_else_at_dev_kvm_is_said_so),
        IN_DIRECTORY(sipi_starts_a_vcpu_that_knows_its_number),
        IN_DIRECTORY(signals_end_the_run),
        IN_DIRECTORY(more_vcpus_than_the_vm_has_are_refused),
        IN_DIRECTORY(guest_on_a_cpu_that_is_not_there_fails),
        IN_DIRECTORY(failed_run_leaves_no_trace),
        IN_DIRECTORY(recorded_guest_replays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
