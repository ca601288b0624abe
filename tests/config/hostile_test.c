/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Row 48 of tests/faults.md: files made to harm. Each is loaded in a process of its own, whose
 * memory and processor time are then looked at: bounded means far below what the file asks for.
 */
#include "tests/config/fixture.h"
#include "tests/support/child.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MEMORY_KIB_MAX (2048l * 1024)
#else
#define MEMORY_KIB_MAX (160l * 1024) /* the 128 MiB of one load, the file, the program */
#endif
#define PROCESSOR_SECONDS_MAX 20u /* no clock: time this process alone was computing */

static char directory[] = "/tmp/ioreqd-config-XXXXXX";
static char path[sizeof(directory) + 16];
static char report_path[sizeof(directory) + 16];

struct outcome {
    int error; /* what config_load gave, positive */
    char report[65536];
};

static int make_directory(void **state)
{
    (void)state;
    if (!mkdtemp(directory))
        return -1;
    snprintf(path, sizeof(path), "%s/file", directory);
    snprintf(report_path, sizeof(report_path), "%s/report", directory);
    return 0;
}

static int remove_directory(void **state)
{
    (void)state;
    unlink(report_path);
    return rmdir(directory);
}

static int remove_file(void **state)
{
    (void)state;
    if (rmdir(path) != 0)
        unlink(path);
    return 0;
}

/* The child: loads, says what it got as its exit status. */
static void load_and_exit(const char *file, uid_t uid)
{
    struct rlimit limit = {PROCESSOR_SECONDS_MAX, PROCESSOR_SECONDS_MAX};
    FILE *report = fopen(report_path, "w");
    if (!report || setrlimit(RLIMIT_CPU, &limit) != 0 || (uid && setresuid(uid, uid, uid) != 0))
        _exit(255);
    alarm(120); /* only ever reached if open or read blocks */
    struct config *config;
    int error = config_load(file, kinds, KIND_COUNT, report, &config);
    bool is_handed_over = config != NULL;
    if (is_handed_over != (error == 0 || error == -EINVAL) ||
        (config && (error == 0) != (config->problem_count == 0)))
        _exit(254);
    fclose(report);
    config_destroy(config);
    _exit(-error);
}

static struct outcome *load_as(const char *file, uid_t uid)
{
    static struct outcome outcome;
    fflush(NULL);
    pid_t child = child_fork();
    if (child == 0)
        load_and_exit(file, uid);
    int status;
    struct rusage usage;
    assert_int_equal(wait4(child, &status, 0, &usage), child);
    assert_true(WIFEXITED(status));
    outcome.error = WEXITSTATUS(status);
    assert_true(outcome.error < 254);
    if (usage.ru_maxrss > MEMORY_KIB_MAX)
        print_error("%ld KiB used\n", usage.ru_maxrss);
    assert_true(usage.ru_maxrss <= MEMORY_KIB_MAX);
    FILE *report = fopen(report_path, "r");
    assert_non_null(report);
    size_t got = fread(outcome.report, 1, sizeof(outcome.report) - 1, report);
    outcome.report[got] = '\0';
    fclose(report);
    return &outcome;
}

/* file is refused with error and a report that begins with its path and then begins. */
static void refused_as(const char *file, uid_t uid, int error, const char *begins)
{
    struct outcome *outcome = load_as(file, uid);
    size_t path_bytes = strlen(file);
    bool is_right = outcome->error == error && strncmp(outcome->report, file, path_bytes) == 0 &&
                    strncmp(outcome->report + path_bytes, begins, strlen(begins)) == 0;
    if (!is_right)
        print_error("error %d\n%.2000s\n", outcome->error, outcome->report);
    assert_true(is_right);
}

static void write_bytes(const void *bytes, size_t size_bytes)
{
    int descriptor = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    assert_true(descriptor >= 0);
    assert_int_equal(write(descriptor, bytes, size_bytes), size_bytes);
    close(descriptor);
}

static void write_text(const char *text)
{
    write_bytes(text, strlen(text));
}

static void write_repeated(const char *head, const char *piece, size_t count)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(head, file);
    for (size_t i = 0; i < count; i++)
        fputs(piece, file);
    assert_int_equal(fclose(file), 0);
}

static void row_48_sparse_gibibyte_is_refused_unread(void **state)
{
    (void)state;
    write_text("");
    assert_int_equal(truncate(path, (off_t)1 << 30), 0);
    refused_as(path, 0, EINVAL, ":1:1: the file is too large; expected at most 8 MiB\n");
    assert_int_equal(truncate(path, (off_t)CONFIG_FILE_BYTES_MAX + 1), 0);
    refused_as(path, 0, EINVAL, ":1:1: the file is too large");
    /* What is just small enough is read, and the first NUL found. */
    assert_int_equal(truncate(path, (off_t)CONFIG_FILE_BYTES_MAX), 0);
    refused_as(path, 0, EINVAL, ":1:1: a NUL byte; expected text\n");
}

static void row_48_nul_bytes_are_refused(void **state)
{
    (void)state;
    static const char file[] = "pollers:\n  - name: r\0t\n";
    write_bytes(file, sizeof(file) - 1);
    refused_as(path, 0, EINVAL, ":2:12: a NUL byte; expected text\n      - name: r\\x00t\n");
}

static void row_48_deep_nesting_is_refused(void **state)
{
    (void)state;
    write_repeated("pollers:\n  ", "[", 10000);
    refused_as(path, 0, EINVAL, ":2:18: nested too deeply; expected at most 16 levels\n");
    write_repeated("", "{a: ", 10000);
    refused_as(path, 0, EINVAL, ":1:65: nested too deeply");
    write_repeated("", "- ", 10000);
    refused_as(path, 0, EINVAL, ":1:33: nested too deeply");
    write_repeated("", "? ", 10000);
    refused_as(path, 0, EINVAL, ":1:33: nested too deeply");
    write_repeated("", "[", CONFIG_FILE_BYTES_MAX);
    refused_as(path, 0, EINVAL, ":1:17: nested too deeply");
}

static void row_48_duplicate_keys_are_refused(void **state)
{
    (void)state;
    write_repeated("", "pollers: []\n", 3);
    refused_as(path, 0, EINVAL, ":1:1: key 'vms' is missing in the file");
    struct outcome *outcome = load_as(path, 0);
    assert_non_null(strstr(outcome->report, ":2:1: duplicate key 'pollers'"));
    assert_non_null(strstr(outcome->report, ":3:1: duplicate key 'pollers'"));
}

static void row_48_many_duplicate_keys_stay_bounded(void **state)
{
    (void)state;
    write_repeated("", "vms: \n", 250000);
    struct outcome *outcome = load_as(path, 0);
    assert_int_equal(outcome->error, EINVAL);
    write_repeated("", "vmms: \n", 250000);
    outcome = load_as(path, 0);
    assert_int_equal(outcome->error, EINVAL);
}

static void row_48_numbers_beyond_64_bits_are_refused(void **state)
{
    (void)state;
    write_text("pollers: [{name: a}]\nvms: [{name: g, poller: a, vcpus: 18446744073709551616}]\n");
    refused_as(path, 0, EINVAL, ":2:35: vcpus: '18446744073709551616' does not fit into 64 bits");
    write_text("pollers: [{name: a}]\nvms: [{name: g, poller: a, vcpus: 18446744073709551617}]\n");
    refused_as(path, 0, EINVAL, ":2:35: vcpus: '18446744073709551617' does not fit into 64 bits");
}

static void row_48_negative_numbers_are_refused(void **state)
{
    (void)state;
    write_text("pollers: [{name: a, cpu: -1}]\nvms: [{name: g, poller: a, vcpus: -18}]\n");
    refused_as(path, 0, EINVAL, ":1:26: cpu: '-1' is negative or no number; expected");
    assert_non_null(strstr(load_as(path, 0)->report, ":2:35: vcpus: '-18' is negative"));
}

static void row_48_cpu_9999_is_left_to_the_server(void **state)
{
    (void)state;
    write_text("pollers: [{name: a, cpu: 9999}]\nvms: [{name: g, poller: a, vcpus: 1}]\n");
    assert_int_equal(load_as(path, 0)->error, 0);
    write_text("pollers: [{name: a, cpu: 4294967295}]\nvms: [{name: g, poller: a, vcpus: 1}]\n");
    refused_as(path, 0, EINVAL, ":1:26: cpu: '4294967295' is out of range");
}

static void row_48_fifo_is_refused_without_waiting(void **state)
{
    (void)state;
    assert_int_equal(mkfifo(path, 0600), 0);
    refused_as(path, 0, ENOTSUP, ": is a FIFO; expected a regular file\n");
}

static void row_48_directory_and_device_are_refused(void **state)
{
    (void)state;
    assert_int_equal(mkdir(path, 0700), 0);
    refused_as(path, 0, EISDIR, ": is a directory; expected a regular file\n");
    refused_as("/dev/zero", 0, ENOTSUP, ": is a device; expected a regular file\n");
    refused_as("/dev/null", 0, ENOTSUP, ": is a device; expected a regular file\n");
}

static void row_48_unreadable_file_is_refused(void **state)
{
    (void)state;
    refused_as(path, 0, ENOENT, ": cannot be opened: No such file or directory\n");
    write_text("pollers: []\n");
    assert_int_equal(chmod(path, 0), 0);
    if (geteuid() == 0) { /* root reads everything: be somebody else */
        assert_int_equal(chmod(directory, 0755), 0);
        refused_as(path, 65534, EACCES, ": cannot be opened: Permission denied\n");
    } else {
        refused_as(path, 0, EACCES, ": cannot be opened: Permission denied\n");
    }
}

static void row_48_alias_bomb_is_refused(void **state)
{
    (void)state;
    write_text("a: &a [x, x, x, x, x, x, x, x, x]\n"
               "b: &b [*a, *a, *a, *a, *a, *a, *a, *a, *a]\n"
               "c: &c [*b, *b, *b, *b, *b, *b, *b, *b, *b]\n");
    refused_as(path, 0, EINVAL, ":1:4: an anchor (&); expected a value without anchor\n");
    write_text("a: [*a]\n");
    refused_as(path, 0, EINVAL, ":1:5: an alias (*); expected the value itself\n");
}

static void row_48_everything_else_of_yaml_is_refused(void **state)
{
    (void)state;
    write_text("pollers: !list []\n");
    refused_as(path, 0, EINVAL, ":1:10: a tag (!); expected a value without tag\n");
    write_text("pollers: []\n---\nvms: []\n");
    refused_as(path, 0, EINVAL, ":2:1: a second document; expected one document in the file\n");
    write_repeated("", "%TAG !a! x\n", 300000);
    refused_as(path, 0, EINVAL, ":1:1: a YAML directive; expected a file without directives\n");
    write_text("pollers:\n  - \"\xff\"\n");
    refused_as(path, 0, EINVAL, ":2:6: byte 0xff is not valid UTF-8; expected UTF-8 text\n");
    write_text("a: \xed\xa0\x80\n"); /* a surrogate */
    refused_as(path, 0, EINVAL, ":1:4: byte 0xed is not valid UTF-8");
    write_text("a: \xc0\x80\n"); /* an over-long NUL */
    refused_as(path, 0, EINVAL, ":1:4: byte 0xc0 is not valid UTF-8");
    write_text("a: \xe2\x82"); /* cut short */
    refused_as(path, 0, EINVAL, ":1:4: byte 0xe2 is not valid UTF-8");
    write_text("\xc3\xa9: \x1b[2J\n");
    refused_as(path, 0, EINVAL, ":1:4: the control character U+001B; expected text\n");
    write_bytes("\xff\xfe"
                "a\0:\0",
                6); /* UTF-16 */
    refused_as(path, 0, EINVAL, ":1:1: byte 0xff is not valid UTF-8");
    write_text("pollers:\n\t- name: rt\n");
    refused_as(path, 0, EINVAL, ":2:1: a tab in the indentation; expected spaces\n");
    write_text("pollers: [\n");
    refused_as(path, 0, EINVAL, ":2:1: ");
    write_text("a: b: c\n");
    refused_as(path, 0, EINVAL, ":1:5: ");
    write_text("a: \"\\q\"\n");
    refused_as(path, 0, EINVAL, ":1:5: found unknown escape character");
}

static void row_48_node_flood_is_refused(void **state)
{
    (void)state;
    write_repeated("pollers: [", "a,", 2000000);
    refused_as(path, 0, EINVAL, ":1:");
    assert_non_null(strstr(load_as(path, 0)->report, "too many keys and values"));
    write_repeated("pollers: ", "[],", 1000000);
    assert_int_equal(load_as(path, 0)->error, EINVAL);
}

static void row_48_a_long_line_of_problems_stays_bounded(void **state)
{
    (void)state;
    write_repeated("server: {", "a: 1, ", 200000);
    assert_int_equal(load_as(path, 0)->error, EINVAL);
    write_repeated("", "a", CONFIG_FILE_BYTES_MAX);
    refused_as(path, 0, EINVAL, ":1:1: no mapping");
    write_repeated("a: \"", "\\n", 2000000);
    assert_int_equal(load_as(path, 0)->error, EINVAL);
    write_repeated("", "\n", CONFIG_FILE_BYTES_MAX);
    refused_as(path, 0, EINVAL, ":1:1: the file has no content");
    write_repeated("", "- \n", 1000000);
    assert_int_equal(load_as(path, 0)->error, EINVAL);
    write_repeated("", "a:\n ", 1000000);
    assert_int_equal(load_as(path, 0)->error, EINVAL);
}

/* Each of these empty registers is one node of the file and four values in memory. */
static void row_48_memory_flood_is_refused(void **state)
{
    (void)state;
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(GOOD_HEAD, file);
    for (int client = 0; client < 128; client++) {
        fprintf(file, "  - {name: c%d, vm: guest, device: every, options: {registers: [", client);
        for (int i = 0; i < 4000; i++)
            fputs("{},", file);
        fputs("]}}\n", file);
    }
    assert_int_equal(fclose(file), 0);
    struct outcome *outcome = load_as(path, 0);
    assert_true(outcome->error == EINVAL || outcome->error == ENOMEM);
}

static void write_ranges(unsigned count)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(GOOD_HEAD "  - name: d\n    vm: guest\n    device: plain\n    ranges:\n", file);
    for (unsigned i = 0; i < count; i++) /* not sorted: an odd factor visits each once */
        fprintf(file, "      - {type: mmio, first: %u}\n", (i * 40503u) & 0x1ffffu);
    assert_int_equal(fclose(file), 0);
}

static void row_37_65536_ranges_load_and_65537_are_refused(void **state)
{
    (void)state;
    write_ranges(CONFIG_VM_RANGES_MAX);
    struct outcome *outcome = load_as(path, 0);
    assert_string_equal(outcome->report, "");
    assert_int_equal(outcome->error, 0);
    write_ranges(CONFIG_VM_RANGES_MAX + 1);
    refused_as(path, 0, EINVAL,
               ":65546:9: ranges: 65537 in the list; expected a list of 0 to 65536 mappings\n");
}

/* As long as a range can be written, every key there, pairs of them overlapping. */
static void row_37_65536_ranges_with_priorities_load(void **state)
{
    (void)state;
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(GOOD_HEAD "  - name: d\n    vm: guest\n    device: plain\n    ranges:\n", file);
    for (unsigned i = 0; i < CONFIG_VM_RANGES_MAX; i++) {
        unsigned at = (i * 40503u) & 0xffffu;
        fprintf(file, "      - {type: mmio, first: 0xf%07x0000, last: 0xf%07xffff, priority: %u}\n",
                at / 2, at / 2, 999 + at % 2);
    }
    assert_int_equal(fclose(file), 0);
    struct outcome *outcome = load_as(path, 0);
    assert_string_equal(outcome->report, "");
    assert_int_equal(outcome->error, 0);
}

static void row_37_ranges_of_a_vm_are_limited_over_all_its_clients(void **state)
{
    (void)state;
    write_ranges(CONFIG_VM_RANGES_MAX);
    FILE *file = fopen(path, "a");
    assert_non_null(file);
    fputs("  - {name: e, vm: guest, device: plain, ranges: [{type: portio, first: 1}]}\n", file);
    assert_int_equal(fclose(file), 0);
    refused_as(path, 0, EINVAL, ":65546:50: VM 'guest' has 65537 ranges; expected at most 65536\n");
}

static void clients_of_a_vm_are_limited(void **state)
{
    (void)state;
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(GOOD_HEAD, file);
    for (unsigned i = 0; i < CONFIG_VM_CLIENTS_MAX + 2; i++)
        fprintf(file,
                "  - {name: c%u, vm: guest, device: plain, ranges: [{type: portio, "
                "first: %u}]}\n",
                i, i);
    assert_int_equal(fclose(file), 0);
    refused_as(path, 0, EINVAL, ":134:5: more clients than a VM may have; expected at most 128\n");
}

static void overlapping_flood_is_refused_in_bounded_time(void **state)
{
    (void)state;
    write_repeated(GOOD_HEAD "  - name: d\n    vm: guest\n    device: plain\n    ranges:\n",
                   "    - {type: mmio, first: 0, last: 9}\n", CONFIG_VM_RANGES_MAX);
    struct outcome *outcome = load_as(path, 0);
    assert_int_equal(outcome->error, EINVAL);
    assert_non_null(strstr(outcome->report, ":11:7: mmio 0x0-0x9 overlaps 0x0-0x9 of client 'd' at "
                                            "10:7"));
}

#define HOSTILE(test) cmocka_unit_test_teardown(test, remove_file)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOSTILE(row_48_sparse_gibibyte_is_refused_unread),
        HOSTILE(row_48_nul_bytes_are_refused),
        HOSTILE(row_48_deep_nesting_is_refused),
        HOSTILE(row_48_duplicate_keys_are_refused),
        HOSTILE(row_48_many_duplicate_keys_stay_bounded),
        HOSTILE(row_48_numbers_beyond_64_bits_are_refused),
        HOSTILE(row_48_negative_numbers_are_refused),
        HOSTILE(row_48_cpu_9999_is_left_to_the_server),
        HOSTILE(row_48_fifo_is_refused_without_waiting),
        HOSTILE(row_48_directory_and_device_are_refused),
        HOSTILE(row_48_unreadable_file_is_refused),
        HOSTILE(row_48_alias_bomb_is_refused),
        HOSTILE(row_48_everything_else_of_yaml_is_refused),
        HOSTILE(row_48_node_flood_is_refused),
        HOSTILE(row_48_a_long_line_of_problems_stays_bounded),
        HOSTILE(row_48_memory_flood_is_refused),
        HOSTILE(row_37_65536_ranges_load_and_65537_are_refused),
        HOSTILE(row_37_65536_ranges_with_priorities_load),
        HOSTILE(row_37_ranges_of_a_vm_are_limited_over_all_its_clients),
        HOSTILE(clients_of_a_vm_are_limited),
        HOSTILE(overlapping_flood_is_refused_in_bounded_time),
    };
    return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
