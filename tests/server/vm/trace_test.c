/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/vm/trace.h"

#include "clients/request.h"
#include "tests/server/vm/trace_file.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define HEADER "ioreq-trace 1 vcpus=2 firmware_bytes=65536 firmware=a.bin\n"

static void write_bytes(const char *bytes, size_t length)
{
    FILE *file = fopen(trace_path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, length, file), length);
    assert_int_equal(fclose(file), 0);
}

/* Reads the whole of text; the error, or "" when it was whole. *count: the entries before. */
static const char *read_text_bytes(const char *text, size_t length, size_t *count)
{
    static char error[TRACE_ERROR_BYTES];
    struct trace_reader *reader;
    struct trace_entry entry;
    write_bytes(text, length);
    error[0] = '\0';
    *count = 0;
    int result = trace_reader_open(trace_path, &reader, error);
    if (result != 0) {
        assert_true(result < 0);
        return error;
    }
    while ((result = trace_read(reader, &entry, error)) > 0)
        ++*count;
    assert_true(result == 0 || error[0] != '\0');
    trace_reader_close(reader);
    return error;
}

/* Wants text refused at that line with that explanation. */
static void check_refused(const char *text, unsigned line, const char *explanation)
{
    size_t count;
    char place[160];
    const char *error = read_text_bytes(text, strlen(text), &count);
    snprintf(place, sizeof(place), "%s:%u: ", trace_path, line);
    if (strncmp(error, place, strlen(place)) != 0 || !strstr(error, explanation))
        fail_msg("got '%s', wanted '%s...%s'", error, place, explanation);
}

static void bad_headers_are_refused(void **state)
{
    (void)state;
    check_refused("", 1, "empty");
    check_refused("# only a comment\n", 2, "empty");
    check_refused("\n", 1, "empty line");
    check_refused("hello\n", 1, "not a trace");
    check_refused("ioreq-trace\n", 1, "not a trace");
    check_refused("ioreq-trace x\n", 1, "not a trace");
    check_refused("ioreq-trace 2 anything=else\n", 1, "this program reads version 1");
    check_refused("ioreq-trace 1\n", 1, "vcpus=N");
    check_refused("ioreq-trace 1 vcpus=0 firmware_bytes=1 firmware=a\n", 1, "1..16");
    check_refused("ioreq-trace 1 vcpus=17 firmware_bytes=1 firmware=a\n", 1, "1..16");
    check_refused("ioreq-trace 1 vcpus=-1 firmware_bytes=1 firmware=a\n", 1, "vcpus=N");
    check_refused("ioreq-trace 1 vcpus=1 firmware_bytes=1 firmware=a b\n", 1, "vcpus=N");
    check_refused("ioreq-trace 1 firmware_bytes=1 vcpus=1 firmware=a\n", 1, "vcpus=N");
    check_refused("ioreq-trace 1 vcpus=1 firmware_bytes=1 "
                  "firmware=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n",
                  1, "longer than 64");
}

static void bad_entries_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *line;
        const char *explanation;
    } bad[] = {
        {"0 portio r 0x70 1\n", "5 fields"},
        {"0 portio r 0x70 1 0x0 ~ ~\n", "8 fields"},
        {"0 portio r 0x70 1 0x0 !\n", "expected ~"},
        {"0 portio r 0x70 1  0x0\n", "one blank"},
        {" 0 portio r 0x70 1 0x0\n", "one blank"},
        {"0 portio r 0x70 1 0x0 \n", "one blank"},
        {"\n", "empty line"},
        {"0 portio w 0x70 1 0x0 ~\n", "marks answers of reads"},
        {"2 portio r 0x70 1 0x0\n", "vcpus=2"},
        {"16 portio r 0x70 1 0x0\n", "0..15"},
        {"-1 portio r 0x70 1 0x0\n", "0..15"},
        {"99999999999999999999 portio r 0x70 1 0x0\n", "0..15"},
        {"0 pci r 0x70 1 0x0\n", "portio or mmio"},
        {"0 portio rw 0x70 1 0x0\n", "r or w"},
        {"0 portio r 70 1 0x0\n", "address '70'"},
        {"0 portio r 0x 1 0x0\n", "address '0x'"},
        {"0 portio r 0xfg 1 0x0\n", "address '0xfg'"},
        {"0 mmio r 0x12345678123456789 1 0x0\n", "up to 16 digits"},
        {"0 portio r 0x70 0 0x0\n", "size 0"},
        {"0 portio r 0x70 3 0x0\n", "size 3"},
        {"0 portio r 0x70 8 0x0\n", "size 8"},
        {"0 mmio r 0x70 16 0x0\n", "size 16"},
        {"0 mmio r 0x70 18446744073709551616 0x0\n", "size '18446744073709551616'"},
        {"0 portio r 0x10000 1 0x0\n", "port 0x10000"},
        {"0 portio r 0xffffffffffffffff 4 0x0\n", "port 0xffffffffffffffff"},
        {"0 mmio r 0xffffffffffffffff 2 0x0\n", "ends behind"},
        {"0 portio r 0x70 1 0x100\n", "does not fit"},
        {"0 portio r 0x70 1 256\n", "value '256'"},
        {"0 portio r 0x70 1 0x0\r\n", "not plain text"},
        {"0 portio r 0x70 1 0x0", "ends inside a line"},
        {"0 portio r 0x70 1 0x0\nend 2\n", "1 accesses stand above"},
        {"end\n", "end COUNT"},
        {"end x\n", "end COUNT"},
        {"end 0\n0 portio r 0x70 1 0x0\n", "more text behind"},
        {"# comment\n", "truncated"},
        {"0 portio r 0x70 1 0x0\n", "truncated"},
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        char text[512];
        size_t count;
        snprintf(text, sizeof(text), HEADER "%s", bad[i].line);
        const char *error = read_text_bytes(text, strlen(text), &count);
        if (!strstr(error, bad[i].explanation))
            fail_msg("%zu: '%s' gave '%s', wanted '%s'", i, bad[i].line, error, bad[i].explanation);
    }
    check_refused(HEADER "# one\n0 portio r 0x70 1 0x0\n0 portio r 0x70 9 0x0\n", 4, "size 9");
}

static void zero_bytes_and_overlong_lines_are_refused(void **state)
{
    (void)state;
    size_t count;
    static const char with_zero[] = HEADER "0 portio r\0 0x70 1 0x0\n";
    assert_non_null(strstr(read_text_bytes(with_zero, sizeof(with_zero) - 1, &count),
                           "byte 0x00 in column 11"));
    static char overlong[1 << 20];
    memset(overlong, 'x', sizeof(overlong));
    assert_non_null(strstr(read_text_bytes(overlong, sizeof(overlong), &count), "longer than 200"));
    memcpy(overlong, HEADER, strlen(HEADER));
    overlong[strlen(HEADER)] = '#';
    assert_non_null(
        strstr(read_text_bytes(overlong, sizeof(overlong), &count), ":2: longer than 200"));
}

static void every_truncation_is_noticed(void **state)
{
    (void)state;
    static const char whole[] =
        HEADER "0 portio w 0x70 1 0x8a\n1 portio r 0x71 1 0x26 ~\n0 mmio r 0x10 8 0x5\nend 3\n";
    size_t count;
    assert_string_equal(read_text_bytes(whole, sizeof(whole) - 1, &count), "");
    assert_int_equal(count, 3);
    for (size_t length = 0; length < sizeof(whole) - 1; length++)
        if (read_text_bytes(whole, length, &count)[0] == '\0')
            fail_msg("%zu bytes were taken for a whole trace", length);
}

static void what_is_no_file_is_refused(void **state)
{
    (void)state;
    char error[TRACE_ERROR_BYTES];
    struct trace_reader *reader;
    assert_int_equal(trace_reader_open("/nonexistent", &reader, error), -ENOENT);
    assert_int_equal(trace_reader_open(trace_folder, &reader, error), -EINVAL);
    assert_non_null(strstr(error, "not a regular file"));
    assert_int_equal(mkfifo(trace_path, 0600), 0);
    assert_int_equal(trace_reader_open(trace_path, &reader, error),
                     -EINVAL); /* and does not wait */
}

static void what_was_written_is_read_again(void **state)
{
    (void)state;
    char error[TRACE_ERROR_BYTES];
    struct trace_writer *writer;
    struct trace_reader *reader;
    const struct trace_header header = {
        .vcpu_count = 16, .firmware_bytes = 131072, .firmware_name = "my bios\n.bin"};
    const struct trace_entry entries[] = {
        {.access = {0xffff, 0xff, 1, REQUEST_PORTIO, REQUEST_READ}, .is_volatile = true},
        {.access = {0xfffc, UINT32_MAX, 4, REQUEST_PORTIO, REQUEST_WRITE}, .vcpu = 15},
        {.access = {0xffff, 0xabcd, 2, REQUEST_PORTIO, REQUEST_READ}},
        {.access = {0xfffd, UINT32_MAX, 4, REQUEST_PORTIO, REQUEST_WRITE}},
        {.access = {UINT64_MAX - 7, UINT64_MAX, 8, REQUEST_MMIO, REQUEST_READ}, .vcpu = 1},
        {.access = {0, 0, 2, REQUEST_MMIO, REQUEST_WRITE}},
    };
    enum { COUNT = sizeof(entries) / sizeof(entries[0]) };
    assert_int_equal(trace_writer_open(trace_path, &header, &writer, error), 0);
    for (size_t i = 0; i < COUNT; i++)
        trace_write(writer, &entries[i]);
    assert_int_equal(access(trace_path, F_OK), -1); /* nothing under its name before it is whole */
    assert_int_equal(trace_writer_commit(writer, error), 0);

    assert_int_equal(trace_reader_open(trace_path, &reader, error), 0);
    assert_int_equal(trace_reader_header(reader)->vcpu_count, 16);
    assert_int_equal(trace_reader_header(reader)->firmware_bytes, 131072);
    assert_string_equal(trace_reader_header(reader)->firmware_name, "my_bios_.bin");
    assert_int_equal(trace_reader_check(reader, error), 0);
    for (size_t i = 0; i < COUNT; i++) {
        struct trace_entry entry;
        assert_int_equal(trace_read(reader, &entry, error), 1);
        assert_int_equal(entry.vcpu, entries[i].vcpu);
        assert_int_equal(entry.is_volatile, entries[i].is_volatile);
        assert_memory_equal(&entry.access, &entries[i].access, sizeof(entry.access));
        assert_int_equal(trace_reader_line(reader), i + 3); /* comment, header */
    }
    struct trace_entry none;
    assert_int_equal(trace_read(reader, &none, error), 0);
    assert_int_equal(trace_read(reader, &none, error), 0);
    trace_reader_close(reader);
}

static void abandoned_trace_leaves_nothing(void **state)
{
    (void)state;
    char error[TRACE_ERROR_BYTES];
    struct trace_writer *writer;
    const struct trace_header header = {.vcpu_count = 1};
    assert_int_equal(trace_writer_open(trace_path, &header, &writer, error), 0);
    trace_writer_abandon(writer);
    assert_int_equal(access(trace_path, F_OK), -1);
}

static void writer_tells_where_it_cannot_write(void **state)
{
    (void)state;
    char error[TRACE_ERROR_BYTES];
    struct trace_writer *writer;
    const struct trace_header header = {.vcpu_count = 1};
    assert_int_equal(trace_writer_open("/nonexistent/t.trace", &header, &writer, error), -ENOENT);
    assert_non_null(strstr(error, "/nonexistent/t.trace"));
    assert_int_equal(trace_writer_open(trace_folder, &header, &writer, error), -EISDIR);
    assert_non_null(strstr(error, "is a directory"));
    assert_int_equal(trace_writer_open("/dev/null", &header, &writer, error), -EINVAL);
    assert_non_null(strstr(error, "not a regular file"));
    assert_true(trace_writer_open("", &header, &writer, error) < 0);
    /* A rename onto a directory fails at the end. */
    assert_int_equal(trace_writer_open(trace_path, &header, &writer, error), 0);
    assert_int_equal(mkdir(trace_path, 0700), 0);
    assert_true(trace_writer_commit(writer, error) < 0);
    assert_int_equal(rmdir(trace_path), 0);
}

#define IN_DIRECTORY(test) \
    cmocka_unit_test_setup_teardown(test, trace_file_setup, trace_file_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IN_DIRECTORY(bad_headers_are_refused),
        IN_DIRECTORY(bad_entries_are_refused),
        IN_DIRECTORY(zero_bytes_and_overlong_lines_are_refused),
        IN_DIRECTORY(every_truncation_is_noticed),
        IN_DIRECTORY(what_is_no_file_is_refused),
        IN_DIRECTORY(what_was_written_is_read_again),
        IN_DIRECTORY(abandoned_trace_leaves_nothing),
        IN_DIRECTORY(writer_tells_where_it_cannot_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
