/* SPDX-License-Identifier: BSD-3-Clause */
/* Firmware served end to end: ioreqd on the sample configuration, ioreq-vm on the other side. */
#include "tests/support/ioreqd.h"

#include <errno.h>

#define TRACE SOURCE_DIR "/tests/server/vm/seabios.trace"
#define BIOS  "/usr/share/seabios/bios.bin"

/* The sample, sandbox and all, on a socket of the test's. Under sanitizers: without the sandbox. */
static int start(void **state)
{
    ioreqd_init(state);
    char command[512];
    snprintf(command, sizeof(command),
             "sed -e 's/sandbox: true/sandbox: %s/' %s/config/ioreqd.yaml > %s", DAEMON_SANDBOX,
             SOURCE_DIR, ioreqd.config);
    assert_int_equal(system(command), 0);
    const char *const arguments[] = {BINARY_DIR "/ioreqd", "--config",    ioreqd.config,
                                     "--socket",           ioreqd.socket, NULL};
    daemon_spawn(&ioreqd, arguments);
    daemon_wait_until_ready(&ioreqd);
    return 0;
}

/* Runs ioreq-vm with arguments, its output beside the daemon's. */
static int run_vm(struct daemon *vm, const char *const *arguments)
{
    *vm = daemon_beside(&ioreqd);
    return daemon_run(vm, arguments);
}

static void recorded_boot_replays_and_prints_the_console(void **state)
{
    (void)state;
    struct daemon vm;
    const char *const arguments[] = {BINARY_DIR "/ioreq-vm", "replay", TRACE, "--socket",
                                     ioreqd.socket,          NULL};
    /* Every attachment finds power-on state, so the second is like the first. */
    for (int i = 0; i < 2; i++) {
        assert_int_equal(run_vm(&vm, arguments), 0);
        assert_true(daemon_file_has(vm.out, "0 differ"));
    }
    assert_int_equal(daemon_stop(&ioreqd), 0);
    assert_true(daemon_file_has(ioreqd.out, "SeaBIOS (version"));
    assert_true(daemon_file_has(ioreqd.out, "No bootable device."));
}

static void tampered_trace_fails(void **state)
{
    (void)state;
    char path[128], command[512];
    snprintf(path, sizeof(path), "%s/tampered", ioreqd.folder);
    snprintf(command, sizeof(command), "sed '0,/r 0x402 1 0xe9/s//r 0x402 1 0xe8/' %s > %s", TRACE,
             path);
    assert_int_equal(system(command), 0);
    struct daemon vm;
    const char *const arguments[] = {BINARY_DIR "/ioreq-vm", "replay", path, "--socket",
                                     ioreqd.socket,          NULL};
    assert_int_equal(run_vm(&vm, arguments), 1);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

static void load_finds_every_answer_right(void **state)
{
    (void)state;
    struct daemon vm;
    const char *const arguments[] = {
        BINARY_DIR "/ioreq-vm", "load", "--socket", ioreqd.socket, "--count", "5000", NULL};
    assert_int_equal(run_vm(&vm, arguments), 0);
    assert_true(daemon_file_has(vm.out, "0 wrong"));
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

static bool kvm_is_missing(void)
{
    struct daemon vm;
    const char *const probe[] = {BINARY_DIR "/ioreq-vm", "kvm", "--probe", NULL};
    if (run_vm(&vm, probe) == 0 && access(BIOS, R_OK) == 0)
        return false;
    print_message("skip: no KVM guest can run here, or package seabios is missing\n");
    return true;
}

static void seabios_boots_in_a_guest_to_no_bootable_device(void **state)
{
    (void)state;
    if (kvm_is_missing())
        skip();
    struct daemon vm;
    const char *const arguments[] = {BINARY_DIR "/ioreq-vm",
                                     "kvm",
                                     "--firmware",
                                     BIOS,
                                     "--socket",
                                     ioreqd.socket,
                                     "--until",
                                     "No bootable device.",
                                     "--timeout",
                                     "120",
                                     NULL};
    assert_int_equal(run_vm(&vm, arguments), 0);
    assert_int_equal(daemon_stop(&ioreqd), 0);
    assert_true(daemon_file_has(ioreqd.out, "SeaBIOS (version"));
    assert_true(daemon_file_has(ioreqd.out, "Found 1 serial ports"));
    assert_true(daemon_file_has(ioreqd.out, "RamSize: 0x04000000"));
    assert_true(daemon_file_has(ioreqd.out, "No bootable device."));
}

#define BOOT_TEST(function) cmocka_unit_test_setup_teardown(function, start, ioreqd_fini)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOOT_TEST(recorded_boot_replays_and_prints_the_console),
        BOOT_TEST(tampered_trace_fails),
        BOOT_TEST(load_finds_every_answer_right),
        BOOT_TEST(seabios_boots_in_a_guest_to_no_bootable_device),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
