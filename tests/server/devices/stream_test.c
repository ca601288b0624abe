/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/devices/stream.h"
#include "server/devices/terminal.h"
#include "server/log.h"
#include "tests/support/scratch_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>
/* after those, as it asks */
#include <cmocka.h>

#define RING_BYTES 65536

static char folder[SCRATCH_FOLDER_BYTES];
static struct device device;
static struct stream *stream;
static char name[128];
static char text[256];
static int saved[3];

static int init(void **state)
{
    (void)state;
    scratch_folder_create(folder);
    device =
        (struct device){.output = byte_ring_create(RING_BYTES), .input = byte_ring_create(4096)};
    for (int i = 0; i < 3; i++)
        saved[i] = fcntl(i, F_DUPFD_CLOEXEC, 10);
    return 0;
}

static void standard_restore(void)
{
    for (int i = 0; i < 3; i++)
        dup2(saved[i], i);
}

static int fini(void **state)
{
    (void)state;
    stream_close(stream);
    stream = NULL;
    standard_restore();
    for (int i = 0; i < 3; i++)
        close(saved[i]);
    byte_ring_destroy(device.output);
    byte_ring_destroy(device.input);
    scratch_folder_destroy(folder);
    return 0;
}

/* kind, and behind it the folder and the file, if any. */
static int open_as(const char *kind, const char *file)
{
    snprintf(name, sizeof(name), "%s%s%s%s", kind, file ? folder : "", file ? "/" : "",
             file ? file : "");
    device.stream = name;
    return stream_open(&device, &stream, text, sizeof(text));
}

static char *in_folder(const char *file)
{
    static char path[64];
    snprintf(path, sizeof(path), "%s/%s", folder, file);
    return path;
}

static void say(const char *words)
{
    for (; *words; words++)
        assert_true(byte_ring_try_push(device.output, (uint8_t)*words));
}

static void say_many(size_t count)
{
    for (size_t i = 0; i < count; i++)
        assert_true(byte_ring_try_push(device.output, (uint8_t)(i % 251)));
}

/* What the device hears by now. */
static const char *heard(void)
{
    static char bytes[512];
    size_t count = byte_ring_pop(device.input, (uint8_t *)bytes, sizeof(bytes) - 1);
    bytes[count] = '\0';
    return bytes;
}

static const char *content_of(const char *path)
{
    static char content[512];
    int file = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(file >= 0);
    ssize_t count = read(file, content, sizeof(content) - 1);
    assert_true(count >= 0);
    content[count] = '\0';
    close(file);
    return content;
}

/* ---- files ------------------------------------------------------------------------------- */

static void file_is_appended_to(void **state)
{
    (void)state;
    for (int run = 0; run < 2; run++) {
        assert_int_equal(open_as("file:", "out"), 0);
        say(run ? "two\n" : "one\n");
        stream_close(stream);
        stream = NULL;
    }
    assert_string_equal(content_of(in_folder("out")), "one\ntwo\n");
}

static void full_disk_loses_exactly_what_was_said_and_says_so_once(void **state)
{
    (void)state;
    device.stream = "file:/dev/full";
    assert_int_equal(stream_open(&device, &stream, text, sizeof(text)), 0);
    assert_false(stream_began_to_lose(stream, text, sizeof(text)));
    say_many(10000);
    stream_pump(stream, true);
    assert_int_equal(stream_lost(stream), 10000);
    assert_true(stream_began_to_lose(stream, text, sizeof(text)));
    assert_string_equal(text, strerror(ENOSPC));
    say_many(5);
    stream_pump(stream, true);
    assert_int_equal(stream_lost(stream), 10005);
    for (int second = 0; second < 61; second++)
        assert_false(stream_began_to_lose(stream, text, sizeof(text)));
    say_many(1);
    stream_pump(stream, true);
    assert_true(stream_began_to_lose(stream, text, sizeof(text)));
}

static void full_ring_is_told(void **state)
{
    (void)state;
    assert_int_equal(open_as("file:", "out"), 0);
    say_many(RING_BYTES);
    assert_false(byte_ring_try_push(device.output, 1));
    assert_true(stream_began_to_lose(stream, text, sizeof(text)));
    assert_string_equal(text, "it is taken more slowly than it comes");
}

/* ---- pty and its link -------------------------------------------------------------------- */

static void link_is_made_and_removed(void **state)
{
    (void)state;
    char target[64] = "";
    assert_int_equal(open_as("pty:", "tty"), 0);
    assert_true(readlink(in_folder("tty"), target, sizeof(target) - 1) > 0);
    assert_memory_equal(target, "/dev/pts/", 9);
    assert_non_null(strstr(text, in_folder("tty")));
    stream_close(stream);
    stream = NULL;
    assert_int_not_equal(readlink(in_folder("tty"), target, sizeof(target)), 9);
    assert_int_equal(access(in_folder("tty"), F_OK), -1);
}

static void only_a_link_to_a_pty_is_replaced(void **state)
{
    (void)state;
    struct stat status;
    assert_int_equal(symlink("/etc/passwd", in_folder("link")), 0);
    assert_int_equal(open_as("pty:", "link"), -EEXIST);
    assert_non_null(strstr(text, "it points to /etc/passwd, which is no pty"));
    assert_int_equal(close(open(in_folder("file"), O_CREAT | O_WRONLY | O_CLOEXEC, 0600)), 0);
    assert_int_equal(open_as("pty:", "file"), -EEXIST);
    assert_non_null(strstr(text, "it exists and is no symbolic link"));
    assert_int_equal(lstat(in_folder("link"), &status), 0);
    assert_int_equal(lstat(in_folder("file"), &status), 0);
    assert_int_equal(symlink("/dev/pts/9999", in_folder("old")), 0);
    assert_int_equal(open_as("pty:", "old"), 0);
}

static void link_that_became_another_ones_is_left(void **state)
{
    (void)state;
    assert_int_equal(open_as("pty:", "tty"), 0);
    assert_int_equal(unlink(in_folder("tty")), 0);
    assert_int_equal(symlink("/dev/pts/9999", in_folder("tty")), 0);
    stream_close(stream);
    stream = NULL;
    char target[64] = "";
    assert_true(readlink(in_folder("tty"), target, sizeof(target) - 1) > 0);
    assert_string_equal(target, "/dev/pts/9999");
}

static int open_pty(void)
{
    assert_int_equal(open_as("pty:", "tty"), 0);
    int person = open(in_folder("tty"), O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(person >= 0);
    return person;
}

static void pty_carries_bytes_both_ways_as_they_are(void **state)
{
    (void)state;
    int person = open_pty();
    char seen[16] = "";
    say("a\r\n\x03\x11");
    stream_pump(stream, true);
    assert_int_equal(read(person, seen, sizeof(seen)), 5);
    assert_string_equal(seen, "a\r\n\x03\x11");
    assert_int_equal(write(person, "ls\r\x03\x01", 5), 5);
    while (stream_pump(stream, true) == 0)
        ;
    assert_string_equal(heard(), "ls\r\x03\x01");
    close(person);
}

static void nobody_at_the_pty_drops_output_and_says_so(void **state)
{
    (void)state;
    assert_int_equal(open_as("pty", NULL), 0);
    say_many(RING_BYTES);
    stream_pump(stream, true);
    assert_int_equal(stream_lost(stream), RING_BYTES);
    assert_int_equal(byte_ring_space(device.output), RING_BYTES);
    assert_true(stream_began_to_lose(stream, text, sizeof(text)));
    assert_string_equal(text, "nobody has opened it");
}

static void what_is_typed_without_a_requester_is_dropped(void **state)
{
    (void)state;
    int person = open_pty();
    assert_int_equal(write(person, "nobody", 6), 6);
    while (stream_pump(stream, false) == 0)
        ;
    assert_int_equal(write(person, "guest", 5), 5);
    while (stream_pump(stream, true) == 0)
        ;
    assert_string_equal(heard(), "guest");
    close(person);
}

/* ---- stdio ------------------------------------------------------------------------------- */

static void stdin_of_a_pipe_waits_for_a_requester_and_ends(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    dup2(ends[0], STDIN_FILENO);
    assert_int_equal(open_as("stdio", NULL), 0);
    assert_int_equal(write(ends[1], "x\x01x", 3), 3); /* no terminal: no escape */
    assert_int_equal(stream_pump(stream, false), 0);
    assert_int_equal(stream_pump(stream, true), 3);
    assert_string_equal(heard(), "x\x01x");
    close(ends[1]);
    assert_int_equal(stream_pump(stream, true), 0);
    assert_int_equal(stream_pump(stream, true), 0);
    close(ends[0]);
}

static void closed_stdout_loses_exactly_what_was_said(void **state)
{
    (void)state;
    fflush(stdout);
    close(STDOUT_FILENO);
    assert_int_equal(open_as("stdio", NULL), 0);
    say_many(777);
    stream_pump(stream, true);
    standard_restore();
    assert_int_equal(stream_lost(stream), 777);
    assert_true(stream_began_to_lose(stream, text, sizeof(text)));
    assert_string_equal(text, strerror(EBADF));
}

/* A pipe that takes less than what is written at once: control goes on, and every byte arrives. */
static void slow_reader_of_stdout_stalls_nobody_and_loses_nothing(void **state)
{
    (void)state;
    int ends[2];
    fflush(stdout);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    fcntl(ends[1], F_SETPIPE_SZ, 4096);
    dup2(ends[1], STDOUT_FILENO);
    assert_int_equal(open_as("stdio", NULL), 0);
    say_many(60000);
    size_t arrived = 0;
    while (arrived < 60000) {
        stream_pump(stream, true); /* returns, whether or not there is room */
        uint8_t bytes[1000];
        ssize_t count = read(ends[0], bytes, sizeof(bytes));
        for (ssize_t i = 0; i < count; i++, arrived++)
            assert_int_equal(bytes[i], arrived % 251);
    }
    assert_int_equal(fcntl(STDOUT_FILENO, F_GETFL) & O_NONBLOCK, 0); /* its other users see none */
    standard_restore();
    assert_int_equal(stream_lost(stream), 0);
    close(ends[0]), close(ends[1]);
}

/* A terminal of which this process has the other end. */
static int terminal_make(int descriptor)
{
    int person = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(person >= 0 && grantpt(person) == 0 && unlockpt(person) == 0);
    int terminal = open(ptsname(person), O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(terminal >= 0);
    dup2(terminal, descriptor);
    close(terminal);
    return person;
}

static void paused_terminal_stalls_nobody(void **state)
{
    (void)state;
    fflush(stdout);
    int person = terminal_make(STDOUT_FILENO);
    assert_int_equal(tcflow(STDOUT_FILENO, TCOOFF), 0); /* Ctrl-S */
    assert_int_equal(open_as("stdio", NULL), 0);
    say("first words\n");
    stream_pump(stream, true);
    assert_int_equal(tcflow(STDOUT_FILENO, TCOON), 0);
    say_many(60000); /* more than a terminal takes that nobody reads */
    for (int i = 0; i < 100; i++)
        stream_pump(stream, true);
    assert_int_equal(stream_lost(stream), 0);
    standard_restore();
    close(person);
}

static void terminal_filter_takes_the_escape_out(void **state)
{
    (void)state;
    sigset_t terminate, pending;
    sigemptyset(&terminate);
    sigaddset(&terminate, SIGTERM);
    assert_int_equal(sigprocmask(SIG_BLOCK, &terminate, NULL), 0);
    uint8_t typed[] = "a\x01\x01"
                      "b\x01y\x03\x01";
    assert_int_equal(terminal_filter(typed, sizeof(typed) - 1), 4);
    assert_memory_equal(typed,
                        "a\x01"
                        "b\x03",
                        4);
    sigpending(&pending);
    assert_false(sigismember(&pending, SIGTERM));
    uint8_t end[] = "xz"; /* the escape was the last byte of the read before */
    assert_int_equal(terminal_filter(end, 2), 1);
    assert_int_equal(end[0], 'z');
    sigpending(&pending);
    assert_true(sigismember(&pending, SIGTERM));
    int signal_number;
    assert_int_equal(sigwait(&terminate, &signal_number), 0);
    assert_int_equal(sigprocmask(SIG_UNBLOCK, &terminate, NULL), 0);
}

/* ---- the log ----------------------------------------------------------------------------- */

/* The log opens stderr at its first line: the only test that may write one. */
static void log_lines_stay_whole_on_a_slow_terminal(void **state)
{
    (void)state;
    static char words[801];
    memset(words, 'w', sizeof(words) - 1);
    int person = terminal_make(STDERR_FILENO);
    struct termios raw;
    assert_int_equal(tcgetattr(STDERR_FILENO, &raw), 0);
    cfmakeraw(&raw);
    assert_int_equal(tcsetattr(STDERR_FILENO, TCSANOW, &raw), 0);
    fcntl(person, F_SETFL, O_NONBLOCK);
    for (int line = 0; line < 200; line++)
        log_info("%d %s", line, words);
    assert_true(log_lines_lost() > 0); /* and we are still here */
    static char seen[400000];
    size_t length = 0;
    for (int quiet = 0; quiet < 100;) {
        ssize_t count = read(person, seen + length, sizeof(seen) - 1 - length);
        length += count > 0 ? (size_t)count : 0;
        quiet = count > 0 ? 0 : quiet + 1;
        usleep(200);
    }
    uint64_t lost = log_lines_lost();
    log_info("the end");
    for (int i = 0; i < 200 && !strstr(seen, "the end\n"); i++, usleep(1000)) {
        ssize_t count = read(person, seen + length, sizeof(seen) - 1 - length);
        length += count > 0 ? (size_t)count : 0;
    }
    standard_restore();
    assert_non_null(strstr(seen, "log lines were lost\nioreqd: the end\n"));
    uint64_t whole = 0;
    for (char *line = strtok(seen, "\n"); line; line = strtok(NULL, "\n")) {
        assert_memory_equal(line, "ioreqd: ", 8);
        whole += strstr(line, words) != NULL;
        assert_true(strstr(line, words) || strstr(line, "lost") || strstr(line, "the end"));
    }
    assert_int_equal(whole + lost, 200);
    close(person);
}

#define STREAM_TEST(function) cmocka_unit_test_setup_teardown(function, init, fini)

int main(void)
{
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        STREAM_TEST(file_is_appended_to),
        STREAM_TEST(full_disk_loses_exactly_what_was_said_and_says_so_once),
        STREAM_TEST(full_ring_is_told),
        STREAM_TEST(link_is_made_and_removed),
        STREAM_TEST(only_a_link_to_a_pty_is_replaced),
        STREAM_TEST(link_that_became_another_ones_is_left),
        STREAM_TEST(pty_carries_bytes_both_ways_as_they_are),
        STREAM_TEST(nobody_at_the_pty_drops_output_and_says_so),
        STREAM_TEST(what_is_typed_without_a_requester_is_dropped),
        STREAM_TEST(stdin_of_a_pipe_waits_for_a_requester_and_ends),
        STREAM_TEST(closed_stdout_loses_exactly_what_was_said),
        STREAM_TEST(slow_reader_of_stdout_stalls_nobody_and_loses_nothing),
        STREAM_TEST(paused_terminal_stalls_nobody),
        STREAM_TEST(terminal_filter_takes_the_escape_out),
        STREAM_TEST(log_lines_stay_whole_on_a_slow_terminal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
