/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/vm/kvm.h"
#include "server/vm/load.h"
#include "server/vm/options.h"
#include "server/vm/replay.h"
#include "tests/support/captured_stderr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void numbers_out_of_shape_or_range_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {"",   " 1", "1 ", "+1", "-1",
                                      "0x", "1x", "ff", "11", "18446744073709551616"};
    uint64_t value = 77;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(option_number(bad[i], 0, 10, &value));
    assert_int_equal(value, 77);
    assert_true(option_number("10", 0, 10, &value));
    assert_int_equal(value, 10);
    assert_true(option_number("0x402", 0, 0xffff, &value));
    assert_int_equal(value, 0x402);
}

static void sizes_take_units_and_do_not_overflow(void **state)
{
    (void)state;
    uint64_t value = 77;
    assert_false(option_size("64MB", 0, UINT64_MAX, &value));
    assert_false(option_size("64 MiB", 0, UINT64_MAX, &value));
    assert_false(option_size("MiB", 0, UINT64_MAX, &value));
    assert_false(option_size("17179869184GiB", 0, UINT64_MAX, &value)); /* 2^64 */
    assert_false(option_size("1MiB", 0, 1023, &value));
    assert_int_equal(value, 77);
    assert_true(option_size("4096", 0, UINT64_MAX, &value));
    assert_int_equal(value, 4096);
    assert_true(option_size("3GiB", 0, UINT64_MAX, &value));
    assert_int_equal(value, 3ull << 30);
}

static void seconds_are_positive_and_finite(void **state)
{
    (void)state;
    static const char *const bad[] = {"",    ".",   "0",     "0.0", "-1",     "inf",
                                      "nan", "1e3", "1.2.3", "1s",  "1000001"};
    uint64_t value = 77;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(option_seconds(bad[i], &value));
    assert_int_equal(value, 77);
    assert_true(option_seconds("2.5", &value));
    assert_int_equal(value, 2500000000u);
}

static void cpu_lists_keep_their_order(void **state)
{
    (void)state;
    static const char *const bad[] = {"",  ",",   "1,",    "1-",   "2-1",
                                      "a", "1 2", "0-1-2", "0-16", "5000"};
    struct cpu_list list = {.count = 9};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(option_cpus(bad[i], &list));
    assert_int_equal(list.count, 9);
    assert_true(option_cpus("7,1-3", &list));
    assert_int_equal(list.count, 4);
    assert_int_equal(list.cpus[0], 7);
    assert_int_equal(list.cpus[1], 1);
    assert_int_equal(list.cpus[3], 3);
    assert_true(option_cpus("0,0,0-1", &list)); /* vCPUs that share what the poller leaves */
    assert_int_equal(list.count, 4);
    assert_int_equal(list.cpus[1], 0);
    assert_int_equal(list.cpus[3], 1);
    assert_false(option_cpus("0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0", &list)); /* 17 */
}

typedef int command_function(int argc, char **argv);

/* argv as the shell would give it; a copy, since getopt may permute it. */
static int run(command_function *command, char *const *arguments)
{
    char *argv[16];
    int argc = 0;
    while (arguments[argc]) {
        argv[argc] = arguments[argc];
        argc++;
    }
    argv[argc] = NULL;
    return command(argc, argv);
}

#define RUN(command, ...) run(command, (char *[]){__VA_ARGS__, NULL})

static void wrong_usage_is_exit_2(void **state)
{
    (void)state;
    assert_int_equal(RUN(kvm_command, "kvm"), EXIT_USAGE);
    assert_int_equal(RUN(kvm_command, "kvm", "--bogus"), EXIT_USAGE);
    assert_int_equal(RUN(kvm_command, "kvm", "--firmware"), EXIT_USAGE);
    assert_int_equal(RUN(kvm_command, "kvm", "--firmware", "x", "stray"), EXIT_USAGE);
    assert_int_equal(RUN(kvm_command, "kvm", "--firmware", "x", "--memory", "1"), EXIT_USAGE);
    assert_int_equal(RUN(kvm_command, "kvm", "--firmware", "x", "--memory", "1048577"), EXIT_USAGE);
    assert_int_equal(RUN(kvm_command, "kvm", "--firmware", "x", "--vcpus", "17"), EXIT_USAGE);
    assert_int_equal(RUN(kvm_command, "kvm", "--firmware", "x", "--irqchip", "some"), EXIT_USAGE);
    assert_int_equal(RUN(kvm_command, "kvm", "--firmware", "x", "--until", ""), EXIT_USAGE);
    assert_int_equal(RUN(kvm_command, "kvm", "--firmware", "x", "--volatile", "portio:1"),
                     EXIT_USAGE);
    assert_int_equal(RUN(kvm_command, "kvm", "--firmware", "x", "--vcpus", "2", "--cpus", "1"),
                     EXIT_USAGE);
    assert_int_equal(RUN(replay_command, "replay"), EXIT_USAGE);
    assert_int_equal(RUN(replay_command, "replay", "a", "b"), EXIT_USAGE);
    assert_int_equal(RUN(load_command, "load", "--count", "0"), EXIT_USAGE);
    assert_int_equal(RUN(load_command, "load", "--read-percent", "101"), EXIT_USAGE);
    assert_int_equal(RUN(load_command, "load", "--mix", "everything"), EXIT_USAGE);
    assert_int_equal(RUN(load_command, "load", "now"), EXIT_USAGE);
}

static void refusals_name_the_command_and_repeat_nothing(void **state)
{
    (void)state;
    static struct {
        command_function *command;
        char *arguments[4];
        const char *said;
    } calls[] = {
        {kvm_command, {"kvm", "--bogus"}, "ioreq-vm kvm: unrecognized option '--bogus'\n"},
        {load_command, {"load", "--bogus"}, "ioreq-vm load: unrecognized option '--bogus'\n"},
        {replay_command, {"replay", "--bogus"}, "ioreq-vm replay: unrecognized option '--bogus'\n"},
        {load_command, {"load", "--mix", "all"}, "ioreq-vm load: --mix: 'all': expected scratch:"},
    };
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        static struct captured_stderr captured;
        capture_begin(&captured);
        int code = run(calls[i].command, calls[i].arguments);
        const char *said = capture_end(&captured);
        assert_int_equal(code, EXIT_USAGE);
        if (strncmp(said, calls[i].said, strlen(calls[i].said)) != 0)
            fail_msg("'%s', wanted '%s'", said, calls[i].said);
    }
}

static void missing_files_and_servers_are_exit_1(void **state)
{
    (void)state;
    assert_int_equal(RUN(kvm_command, "kvm", "--firmware", "/nonexistent"), EXIT_FAILED);
    assert_int_equal(RUN(replay_command, "replay", "/nonexistent"), EXIT_FAILED);
    assert_int_equal(RUN(load_command, "load", "--socket", "/nonexistent"), EXIT_FAILED);
}

static void help_is_exit_0(void **state)
{
    (void)state;
    assert_int_equal(RUN(kvm_command, "kvm", "--help"), EXIT_OK);
    assert_int_equal(RUN(replay_command, "replay", "--help"), EXIT_OK);
    assert_int_equal(RUN(load_command, "load", "--help"), EXIT_OK);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_out_of_shape_or_range_are_refused),
        cmocka_unit_test(sizes_take_units_and_do_not_overflow),
        cmocka_unit_test(seconds_are_positive_and_finite),
        cmocka_unit_test(cpu_lists_keep_their_order),
        cmocka_unit_test(wrong_usage_is_exit_2),
        cmocka_unit_test(refusals_name_the_command_and_repeat_nothing),
        cmocka_unit_test(missing_files_and_servers_are_exit_1),
        cmocka_unit_test(help_is_exit_0),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
