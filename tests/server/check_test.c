/* SPDX-License-Identifier: BSD-3-Clause */
/* Everything a machine can hold against a configuration is told before anything starts. */
#include "config/config.h"
#include "server/devices/device_options.h"
#include "server/topology.h"
#include "tests/support/scratch_folder.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
/* after those, as it asks */
#include <cmocka.h>

static char folder[SCRATCH_FOLDER_BYTES];
static char report[32768];
static size_t problem_count;

static int init(void **state)
{
    (void)state;
    scratch_folder_create(folder);
    return 0;
}

static int fini(void **state)
{
    (void)state;
    scratch_folder_destroy(folder);
    return 0;
}

/* Checks the VM guest, and two more, with these clients, the first on line 6; each %s of clients is the folder. */
static void check(const char *clients)
{
    char with_folder[8192], text[16384];
    size_t length = 0;
    for (const char *at = clients; *at; at++) {
        bool is_folder = at[0] == '%' && at[1] == 's';
        length += (size_t)snprintf(with_folder + length, sizeof(with_folder) - length, "%.*s",
                                   is_folder ? (int)strlen(folder) : 1, is_folder ? folder : at);
        at += is_folder;
    }
    snprintf(text, sizeof(text),
             "pollers: [{name: rt, cpu: any, sandbox: false},\n"
             "          {name: other, cpu: any, sandbox: false}]\n"
             "vms: [{name: guest, vcpus: 1, source: memfd, poller: rt},\n"
             "  {name: board, vcpus: 1, source: uio, device: x, poller: rt},"
             " {name: acrn, vcpus: 1, source: hsm, poller: rt}]\n"
             "clients:\n"
             "%s",
             with_folder);
    memset(report, 0, sizeof(report));
    FILE *out = fmemopen(report, sizeof(report), "w");
    assert_non_null(out);
    size_t kind_count;
    struct config_device_kind *kinds = device_config_kinds(&kind_count);
    struct config *config = NULL;
    struct placement *placement = NULL;
    assert_int_equal(placement_open(&placement), 0);
    config_load_bytes("t.yaml", text, strlen(text), kinds, kind_count, out, &config);
    assert_non_null(config);
    const struct machine_facts facts = {.tsc_is_invariant = true};
    topology_check(config, placement, &facts);
    problem_count = config->problem_count;
    config_destroy(config);
    placement_close(placement);
    device_config_kinds_destroy(kinds);
    fclose(out);
}

static void assert_told(const char *text)
{
    if (!strstr(report, text))
        fail_msg("not told: %s\nbut: %s", text, report);
}

static char *in_folder(const char *name)
{
    static char path[64];
    snprintf(path, sizeof(path), "%s/%s", folder, name);
    return path;
}

static void make_file(const char *name, size_t size_bytes)
{
    FILE *file = fopen(in_folder(name), "we");
    assert_non_null(file);
    for (size_t i = 0; i < size_bytes; i++)
        fputc(0, file);
    assert_int_equal(fclose(file), 0);
}

static size_t count_files(void)
{
    char command[64], line[16] = "";
    snprintf(command, sizeof(command), "ls -A %s | wc -l", folder);
    FILE *pipe = popen(command, "re");
    assert_non_null(pipe);
    assert_non_null(fgets(line, sizeof(line), pipe));
    pclose(pipe);
    return strtoul(line, NULL, 10);
}

#define UART(name, port, stream)                                                         \
    "  - {name: " name ", vm: guest, device: uart, ranges: [{type: portio, first: " port \
    "0, last: " port "7}], options: {stream: \"" stream "\"}}\n"
#define CMOS(name, port, nvram)                                                          \
    "  - {name: " name ", vm: guest, device: cmos, ranges: [{type: portio, first: " port \
    "0, last: " port "1}], options: {nvram: \"" nvram "\"}}\n"

static void devices_that_cannot_be_built_are_told_all_at_once(void **state)
{
    (void)state;
    make_file("short", 127);
    check(
        "  - {name: narrow, vm: guest, device: uart, ranges: [{type: portio, first: 0x3f8, last: "
        "0x3fb}]}\n"
        "  - {name: lone, vm: guest, device: cmos, ranges: [{type: portio, first: 0x70}]}\n"
        "  - {name: bank, vm: guest, device: register_bank, ranges: [{type: mmio, first: "
        "0xfe000000, last: 0xfe000007}], options: {registers: [{name: far, offset: 8, size: 4}]}}\n"
        "  - {name: pci, vm: guest, device: pci_host, ranges: [{type: portio, first: "
        "0xcf0}]}\n" CMOS("odd", "0x8", "%s/short") CMOS("lost", "0x9", "%s/none/nvram"));
    assert_told("t.yaml:6:5: client 'narrow': uart: ranges: ");
    assert_told("t.yaml:7:5: client 'lone': cmos: ranges: ");
    assert_told("t.yaml:8:5: client 'bank': register_bank: registers: 'far' ");
    assert_told("t.yaml:9:5: client 'pci': pci_host: ranges: ");
    assert_told("t.yaml:10:5: client 'odd': cmos: nvram: ");
    assert_told("has 127 bytes, not 128");
    assert_told("t.yaml:11:5: client 'lost': cmos: nvram: ");
    assert_int_equal(problem_count, 6);
}

static void streams_that_cannot_be_opened_are_told_all_at_once(void **state)
{
    (void)state;
    make_file("precious", 1);
    assert_int_equal(symlink("/etc/passwd", in_folder("link")), 0);
    check(UART("a", "0x10", "file:%s/none/out") UART("b", "0x11", "file:%s")
              UART("c", "0x12", "pty:%s/none/tty") UART("d", "0x13", "pty:%s/precious")
                  UART("e", "0x14", "pty:%s/link"));
    assert_told("t.yaml:6:5: client 'a': cannot open file:");
    assert_told("No such file or directory; expected a folder that can be written");
    assert_told("t.yaml:7:5: client 'b': cannot open file:");
    assert_told("it is a folder; expected a file");
    assert_told("t.yaml:8:5: client 'c': cannot open pty:");
    assert_told("t.yaml:9:5: client 'd': cannot open pty:");
    assert_told("it exists and is no symbolic link");
    assert_told("t.yaml:10:5: client 'e': cannot open pty:");
    assert_told("it points to /etc/passwd, which is no pty");
    assert_int_equal(problem_count, 5);
}

static void problems_of_the_file_do_not_hide_those_of_the_machine(void **state)
{
    (void)state;
    check("  - {name: wrong, vm: guest, device: cmos, ranges: [{type: portio, first: 0x70}], "
          "options: {memry: 1}}\n" UART("good", "0x10", "none")
              UART("lost", "0x11", "file:/nowhere/at/all"));
    assert_told("t.yaml:6:"); /* the key */
    assert_told("unknown key 'memry'");
    assert_told("t.yaml:8:5: client 'lost': ");
    assert_null(strstr(report, "client 'wrong': cmos")); /* one problem, not its consequences */
    assert_int_equal(problem_count, 2);
}

#define LINE(name, vm, port, interrupt)                                                   \
    "  - {name: " name ", vm: " vm ", device: uart, ranges: [{type: portio, first: " port \
    "0, last: " port "7}], options: {stream: none}, interrupt: " interrupt "}\n"

static void interrupts_that_nobody_could_take_are_told(void **state)
{
    (void)state;
    check("  - {name: bank, vm: guest, device: fallback, interrupt: 5,\n"
          "     ranges: [{type: mmio, first: 0xfe000000}]}\n" LINE("a", "guest", "0x10", "4")
              LINE("b", "guest", "0x11", "{line: 4, trigger: level}")
                  LINE("c", "board", "0x10", "4") LINE("d", "acrn", "0x10", "4")
                      LINE("e", "board", "0x11", "{address: 0xfee00000, data: 0x41}"));
    assert_told(
        "t.yaml:6:58: client 'bank': interrupt: a fallback raises none; expected a uart or a "
        "cmos");
    assert_told("t.yaml:9:");
    assert_told("interrupt: line 4 is that of client 'a' already; expected a line for each");
    assert_told("t.yaml:10:");
    assert_told("t.yaml:12:");
    assert_told(
        "interrupt: nobody injects it into a VM of source uio, pci or vfio; expected it with "
        "source: memfd or hsm");
    assert_int_equal(problem_count, 4);
}

static void two_clients_of_one_file_are_refused(void **state)
{
    (void)state;
    make_file("there", 128);
    check(UART("a", "0x10", "file:%s/out") UART("b", "0x11", "file:%s/./out")
              UART("c", "0x12", "pty:%s/tty") UART("d", "0x13", "pty:%s//tty")
                  CMOS("e", "0x8", "%s/there") CMOS("f", "0x9", "%s/there")
                      UART("g", "0x14", "file:%s/there"));
    assert_told("t.yaml:7:5: clients 'a' of VM 'guest' at 6:5 and 'b' of VM 'guest' both use ");
    assert_told("/out; expected a path for each");
    assert_told("t.yaml:9:5: clients 'c' of VM 'guest' at 8:5 and 'd'");
    assert_told("t.yaml:11:5: clients 'e' of VM 'guest' at 10:5 and 'f'");
    assert_told("t.yaml:12:5: clients 'e' of VM 'guest' at 10:5 and 'g'");
}

static void two_clients_of_standard_input_are_refused(void **state)
{
    (void)state;
    check(UART("a", "0x10", "stdio") UART("b", "0x11", "stdio"));
    assert_told("t.yaml:7:5: clients 'a' of VM 'guest' at 6:5 and 'b' of VM 'guest' both read "
                "standard input; expected stdio for one of them");
    assert_int_equal(problem_count, 1);
}

static void clients_are_told_in_file_order(void **state)
{
    (void)state;
    check(UART("a", "0x10", "stdio") UART("b", "0x11", "stdio")
              UART("c", "0x12", "file:/nowhere/at/all"));
    const char *clash = strstr(report, "t.yaml:7:5: "), *file = strstr(report, "t.yaml:8:5: ");
    assert_true(clash && file && clash < file);
}

static void what_can_be_shared_is_accepted_and_nothing_is_made(void **state)
{
    (void)state;
    assert_int_equal(symlink("/dev/pts/9999", in_folder("old")), 0);
    check(UART("a", "0x10", "stdio") UART("b", "0x11", "file:/dev/null")
              UART("c", "0x12", "file:/dev/null") UART("d", "0x13", "pty:%s/old")
                  UART("e", "0x14", "pty:%s/new") UART("f", "0x15", "file:%s/out")
                      CMOS("g", "0x8", "%s/nvram") UART("h", "0x16", "pty")
                          UART("i", "0x17", "pty") "  - {name: talks, vm: guest, device: "
                                                   "debug_console, ranges: [{type: portio, "
                                                   "first: 0x402}], options: {output: stdio}}\n");
    assert_string_equal(report, "");
    assert_int_equal(problem_count, 0);
    assert_int_equal(count_files(), 1);
}

static void deadline_is_in_its_bounds_and_a_process_has_its_own(void **state)
{
    (void)state;
#define FAR(name, port, rest)                                                                   \
    "  - {name: " name ", vm: guest, device: fallback, poller: other, ranges: [{type: portio, " \
    "first: " port "}]" rest "}\n"
    check(FAR("a", "1", ", deadline: 50us, late: last") FAR("b", "2", ", deadline: 49us")
              FAR("c", "3", ", deadline: 51ms") FAR("d", "4", ", deadline: 0us")
                  FAR("e", "5", ", late: never") "  - {name: p, vm: guest, device: process, "
                                                 "deadline: 1ms, ranges: [{type: "
                                                 "portio, first: 6}]}\n");
    assert_told("deadline: expected 50us to 50ms, or 0us for none");
    assert_told("51ms");
    assert_told("late: 'never'");
    assert_told("a process has its deadline by its device's options");
    assert_int_equal(problem_count, 4);
}

#define IN_FOLDER(function) cmocka_unit_test_setup_teardown(function, init, fini)

static void process_lives_where_its_vm_is_swept(void **state)
{
    (void)state;
#define PROCESS(name, port, rest)                                                           \
    "  - {name: " name ", vm: guest, device: process, ranges: [{type: portio, first: " port \
    "}]" rest "}\n"
    check(PROCESS("a", "1", ", poller: rt") PROCESS("b", "2", ", options: {deadline_us: 49}")
              PROCESS("c", "3", ", poller: other")
                  PROCESS("d", "4", ", options: {deadline_us: 50001}"));
    assert_told("deadline_us: 49; expected 0, or 50 to 50000");
    assert_told("client 'c': a device: process lives where its VM does");
    assert_told("50001");
    if (strstr(report, "client 'a'"))
        fail_msg("told of: %s", report);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_FOLDER(interrupts_that_nobody_could_take_are_told),
        IN_FOLDER(deadline_is_in_its_bounds_and_a_process_has_its_own),
        cmocka_unit_test(process_lives_where_its_vm_is_swept),
        IN_FOLDER(devices_that_cannot_be_built_are_told_all_at_once),
        IN_FOLDER(streams_that_cannot_be_opened_are_told_all_at_once),
        IN_FOLDER(problems_of_the_file_do_not_hide_those_of_the_machine),
        IN_FOLDER(two_clients_of_one_file_are_refused),
        IN_FOLDER(two_clients_of_standard_input_are_refused),
        IN_FOLDER(clients_are_told_in_file_order),
        IN_FOLDER(what_can_be_shared_is_accepted_and_nothing_is_made),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
