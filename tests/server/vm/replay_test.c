/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/vm/observer.h"
#include "server/vm/replay.h"
#include "tests/server/vm/trace_file.h"
#include "tests/support/skip.h"
#include "tests/support/vm_fake_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#include <cmocka.h>

static void write_trace(const char *text)
{
    FILE *file = fopen(trace_path, "w");
    assert_non_null(file);
    assert_true(fputs("ioreq-trace 1 vcpus=2 firmware_bytes=65536 firmware=a.bin\n", file) >= 0);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

struct outcome {
    int code;
    uint64_t requests;
    uint32_t attach_count;
    char report[4096];
};

/* Replays the trace on a fresh fake machine. */
static struct outcome run_replay(uint32_t vcpu_count, uint64_t tampered_address)
{
    static struct fake_machine machine;
    struct outcome outcome = {0};
    struct fake_server server = {
        .vcpu_count = vcpu_count,
        .more = " poller_cpu=0",
        .answer = fake_machine_answer,
        .context = &machine,
    };
    struct replay_options options;
    memset(&machine, 0, sizeof(machine));
    machine.tampered_address = tampered_address;
    machine.rtc_time = 17; /* another time than any recorded one */
    fake_server_start(&server);
    replay_options_init(&options);
    options.attach.socket_path = server.socket_path;
    options.path = trace_path;
    options.wants_json = true;
    FILE *report = fmemopen(outcome.report, sizeof(outcome.report), "w");
    assert_non_null(report);
    outcome.code = replay_run(&options, report);
    fclose(report);
    fake_server_stop(&server);
    outcome.requests = machine.requests;
    outcome.attach_count = server.attach_count;
    return outcome;
}

/* What a guest does, recorded as kvm records it: answers of a fake machine, seen by an observer. */
static void record(void)
{
    static const struct requester_access accesses[] = {
        {0x402, 0, 1, REQUEST_PORTIO, REQUEST_READ},
        {0x402, 'x', 1, REQUEST_PORTIO, REQUEST_WRITE},
        {0x70, 0x8a, 1, REQUEST_PORTIO, REQUEST_WRITE},
        {0x71, 0, 1, REQUEST_PORTIO, REQUEST_READ}, /* update in progress: volatile */
        {0x70, 0x35, 1, REQUEST_PORTIO, REQUEST_WRITE},
        {0x71, 0, 1, REQUEST_PORTIO, REQUEST_READ},
        {0xfe000010, 0x1122334455667788, 8, REQUEST_MMIO, REQUEST_WRITE},
        {0xfe000012, 0, 2, REQUEST_MMIO, REQUEST_READ},
        {0xcfc, 0, 4, REQUEST_PORTIO, REQUEST_READ},
    };
    static struct fake_machine machine;
    struct observer observer;
    char error[TRACE_ERROR_BYTES];
    const struct observer_setup setup = {
        .record_path = trace_path,
        .until = "x",
        .console_port = 0x402,
        .header = {.vcpu_count = 2, .firmware_bytes = 65536, .firmware_name = "a.bin"},
    };
    assert_int_equal(observer_init(&observer, &setup, error), 0);
    for (size_t i = 0; i < sizeof(accesses) / sizeof(accesses[0]); i++) {
        struct requester_access access = accesses[i];
        fake_machine_answer(&machine, 0, &access);
        if (access.direction == REQUEST_READ)
            access.value |= 0xab00000000000000; /* the guest would not see that */
        bool is_complete = observer_see(&observer, (uint32_t)i % 2, &access);
        assert_int_equal(is_complete, accesses[i].value == 'x');
    }
    assert_int_equal(observer_commit(&observer, error), 0);
}

static void recorded_run_replays_without_a_difference(void **state)
{
    (void)state;
    record();
    struct outcome outcome = run_replay(2, 0);
    assert_int_equal(outcome.code, EXIT_OK);
    assert_int_equal(outcome.requests, 9);
    assert_non_null(strstr(outcome.report, "\"compared\": 4, \"differing\": 0, "
                                           "\"not_compared\": 1,"));
    assert_non_null(strstr(outcome.report, "\"ending\": \"done\""));
}

static void tampered_answer_fails_the_replay(void **state)
{
    (void)state;
    record();
    struct outcome outcome = run_replay(2, 0xfe000012);
    assert_int_equal(outcome.code, EXIT_FAILED);
    assert_int_equal(outcome.requests, 9); /* it is played to its end all the same */
    assert_non_null(strstr(outcome.report, "\"differing\": 1,"));
}

static void tampered_volatile_answer_does_not(void **state)
{
    (void)state;
    write_trace("0 portio w 0x70 1 0x8a\n0 portio r 0x71 1 0x55 ~\nend 2\n");
    assert_int_equal(run_replay(2, 0x71).code, EXIT_OK);
}

static void every_difference_is_counted(void **state)
{
    (void)state;
    char text[4096] = "";
    for (int i = 0; i < 25; i++)
        strcat(text, "1 portio r 0x402 1 0xe8\n");
    strcat(text, "end 25\n");
    write_trace(text);
    struct outcome outcome = run_replay(2, 0);
    assert_int_equal(outcome.code, EXIT_FAILED);
    assert_non_null(strstr(outcome.report, "\"compared\": 25, \"differing\": 25,"));
}

static void bad_trace_acts_on_nothing(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "0 portio r 0x402 1 0xe9\n0 portio r 0x402 9 0xe9\nend 2\n",
        "0 portio r 0x402 1 0xe9\n", /* truncated */
        "0 portio r 0x402 1 0xe9\nend 2\n",
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        write_trace(bad[i]);
        struct outcome outcome = run_replay(2, 0);
        assert_int_equal(outcome.code, EXIT_FAILED);
        assert_int_equal(outcome.requests, 0);
        assert_int_equal(outcome.attach_count, 0);
    }
}

static void trace_of_more_vcpus_than_the_vm_has_is_refused(void **state)
{
    (void)state;
    write_trace("0 portio r 0x402 1 0xe9\nend 1\n");
    struct outcome outcome = run_replay(1, 0);
    assert_int_equal(outcome.code, EXIT_FAILED);
    assert_int_equal(outcome.requests, 0);
}

static void empty_trace_passes(void **state)
{
    (void)state;
    write_trace("end 0\n");
    assert_int_equal(run_replay(2, 0).code, EXIT_OK);
}

/* Takes the C library's place. */
static cpu_set_t last_set;
static _Atomic int set_count;

int sched_setaffinity(pid_t pid, size_t set_bytes, const cpu_set_t *set)
{
    last_set = *set;
    atomic_fetch_add(&set_count, 1);
    return (int)syscall(SYS_sched_setaffinity, pid, set_bytes, set);
}

static void player_keeps_off_the_pollers_cpu(void **state)
{
    (void)state;
    cpu_set_t allowed;
    assert_int_equal(sched_getaffinity(0, sizeof(allowed), &allowed), 0);
    skip_if(CPU_COUNT(&allowed) < 2, "one CPU only");
    write_trace("end 0\n");
    atomic_store(&set_count, 0);
    struct outcome outcome = run_replay(2, 0);
    assert_int_equal(outcome.code, EXIT_OK);
    assert_int_equal(atomic_load(&set_count), 1);
    CPU_CLR(0, &allowed);
    assert_true(CPU_EQUAL(&allowed, &last_set));
    assert_non_null(strstr(outcome.report, "\"poller_cpu\": 0,"));
    assert_null(strstr(outcome.report, "\"cpus\": \"0"));
}

#define IN_DIRECTORY(test) \
    cmocka_unit_test_setup_teardown(test, trace_file_setup, trace_file_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIRECTORY(recorded_run_replays_without_a_difference),
        IN_DIRECTORY(tampered_answer_fails_the_replay),
        IN_DIRECTORY(tampered_volatile_answer_does_not),
        IN_DIRECTORY(every_difference_is_counted),
        IN_DIRECTORY(bad_trace_acts_on_nothing),
        IN_DIRECTORY(trace_of_more_vcpus_than_the_vm_has_is_refused),
        IN_DIRECTORY(empty_trace_passes),
        IN_DIRECTORY(player_keeps_off_the_pollers_cpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
