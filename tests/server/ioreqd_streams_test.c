/* SPDX-License-Identifier: BSD-3-Clause */
/* Where the bytes of a running ioreqd's devices go, and where they come from. Rows are those of
 * tests/faults.md (server and host). */
#include "tests/support/ioreqd.h"

#include <errno.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <termios.h>

#define COM1 0x3f8u
#define RBR  0u
#define THR  0u
#define LSR  5u

/* Runs a second program beside ioreqd; its exit code. */
static int run_beside(void (*prepare)(struct daemon *), const char *const *arguments)
{
    struct daemon beside = daemon_beside(&ioreqd);
    beside.prepare = prepare;
    return daemon_run(&beside, arguments);
}

/* One guest with a serial port to `stream` and a CMOS that keeps its NVRAM in `nvram`. */
static void write_serial_config(const char *stream, const char *nvram)
{
    char config[2048];
    snprintf(config, sizeof(config),
             "server: {socket: %s}\n"
             "pollers: [{name: rt, cpu: any, idle: yield, sandbox: %s}]\n"
             "vms: [{name: guest, vcpus: 1, source: memfd, poller: rt}]\n"
             "clients:\n"
             "  - name: com1\n"
             "    vm: guest\n"
             "    device: uart\n"
             "    ranges: [{type: portio, first: 0x3f8, last: 0x3ff}]\n"
             "    options: {stream: \"%s\"}\n"
             "  - name: rtc\n"
             "    vm: guest\n"
             "    device: cmos\n"
             "    ranges: [{type: portio, first: 0x70, last: 0x71}]\n"
             "    options: {nvram: \"%s\"}\n",
             ioreqd.socket, DAEMON_SANDBOX, stream, nvram);
    daemon_write(ioreqd.config, config);
}

static uint8_t serial_read(struct requester *requester)
{
    while (!(daemon_read_port(requester, COM1 + LSR) & 0x01))
        daemon_pause();
    return daemon_read_port(requester, COM1 + RBR);
}

static void serial_write(struct requester *requester, const char *text)
{
    for (; *text; text++) {
        while (!(daemon_read_port(requester, COM1 + LSR) & 0x20))
            daemon_pause();
        daemon_write_port(requester, COM1 + THR, (uint8_t)*text);
    }
}

/* A guest that echoes what it hears, until it heard `text`. */
static void serial_expect(struct requester *requester, const char *text)
{
    for (; *text; text++)
        assert_int_equal(serial_read(requester), (uint8_t)*text);
}

/* Reads as many bytes as text has, which they must be. */
static void person_expect(int person, const char *text)
{
    char seen[128] = "";
    for (size_t length = 0; length < strlen(text);) {
        ssize_t count = read(person, seen + length, strlen(text) - length);
        assert_true(count > 0 || errno == EAGAIN || errno == EIO);
        length += count > 0 ? (size_t)count : 0;
        if (count <= 0)
            daemon_pause();
    }
    assert_string_equal(seen, text);
}

static void person_type(int person, const char *text)
{
    assert_int_equal(write(person, text, strlen(text)), strlen(text));
}

/* What the status says of the client's lost bytes. */
static unsigned long lost_bytes(const char *client)
{
    return strtoul(daemon_client_figure(&ioreqd, client, "lost_bytes"), NULL, 10);
}

static size_t count_in_file(const char *path, const char *text)
{
    static char content[65536];
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    content[fread(content, 1, sizeof(content) - 1, file)] = '\0';
    fclose(file);
    size_t count = 0;
    for (const char *at = content; (at = strstr(at, text)) != NULL; at++)
        count++;
    return count;
}

static void file_read(const char *path, char *content, size_t content_bytes)
{
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    content[fread(content, 1, content_bytes - 1, file)] = '\0';
    fclose(file);
}

/* ---- standard descriptors ---------------------------------------------------------------- */

static void close_all(struct daemon *daemon)
{
    (void)daemon;
    for (int descriptor = 0; descriptor <= 2; descriptor++)
        close(descriptor);
}

static void close_stdout(struct daemon *daemon)
{
    (void)daemon;
    close(STDOUT_FILENO);
}

static void row51_closed_descriptors_are_not_taken_for_a_console_file(void **state)
{
    (void)state;
    char console[128], path[112], content[4096];
    snprintf(path, sizeof(path), "%s/console", ioreqd.folder);
    snprintf(console, sizeof(console), "file:%s", path);
    daemon_write_config(&ioreqd, console, "");
    ioreqd.prepare = close_all;
    daemon_start(&ioreqd);
    for (int descriptor = 0; descriptor <= 2; descriptor++) {
        char link[64], target[64] = "";
        snprintf(link, sizeof(link), "/proc/%d/fd/%d", (int)ioreqd.pid, descriptor);
        assert_true(readlink(link, target, sizeof(target) - 1) > 0);
        assert_string_equal(target, "/dev/null");
    }
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    daemon_write_console(requester, "what the guest said\n");
    requester_detach(requester);
    assert_int_equal(daemon_stop(&ioreqd), 0);
    file_read(path, content, sizeof(content));
    assert_string_equal(content, "what the guest said\n");
}

static void output_into_a_closed_stdout_fails(void **state)
{
    (void)state;
    daemon_write_config(&ioreqd, "none", "");
    daemon_start(&ioreqd);
    const char *const status[] = {BINARY_DIR "/ioreqctl", "--socket", ioreqd.socket, "status",
                                  NULL};
    assert_int_equal(run_beside(NULL, status), 0);
    assert_int_equal(run_beside(close_stdout, status), 1);
    const char *const load[] = {
        BINARY_DIR "/ioreq-vm", "load", "--socket", ioreqd.socket, "--count", "10", NULL};
    assert_int_equal(run_beside(NULL, load), 0);
    assert_int_equal(run_beside(close_stdout, load), 1);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

/* ---- what is lost ------------------------------------------------------------------------ */

static void lose(const char *console, const char *reason)
{
    char words[301];
    memset(words, 'x', sizeof(words) - 1);
    words[300] = '\0';
    daemon_write_config(&ioreqd, console, "");
    daemon_start(&ioreqd);
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    daemon_write_console(requester, words);
    while (lost_bytes("console") < 300)
        daemon_pause();
    while (reason && !daemon_file_has(ioreqd.err, reason))
        daemon_pause();
    daemon_write_console(requester, words);
    while (lost_bytes("console") < 600)
        daemon_pause();
    assert_int_equal(lost_bytes("console"), 600);
    requester_detach(requester);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

static void row51_full_disk_for_a_console_is_counted_and_told_once(void **state)
{
    (void)state;
    const char *warning =
        "warning: client console: output to file:/dev/full is lost: No space left on device\n";
    lose("file:/dev/full", warning);
    assert_int_equal(count_in_file(ioreqd.err, warning), 1);
}

static void row51_closed_stdout_is_counted_and_told_once(void **state)
{
    (void)state;
    const char *warning = "warning: client console: output to stdio is lost: Bad file descriptor\n";
    ioreqd.prepare = close_stdout;
    lose("stdio", warning);
    assert_int_equal(count_in_file(ioreqd.err, warning), 1);
}

/* ---- a serial port ----------------------------------------------------------------------- */

static char *serial_link(void)
{
    static char link[112];
    snprintf(link, sizeof(link), "%s/tty", ioreqd.folder);
    return link;
}

static void start_with_pty(void)
{
    char stream[128];
    snprintf(stream, sizeof(stream), "pty:%s", serial_link());
    write_serial_config(stream, "");
    daemon_start(&ioreqd);
}

static void person_and_guest_talk_over_a_pty(void **state)
{
    (void)state;
    start_with_pty();
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    int person = open(serial_link(), O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(person >= 0);
    person_type(person, "login: root\r");
    serial_expect(requester, "login: root\r");
    serial_write(requester, "welcome\r\n# ");
    person_expect(person, "welcome\r\n# ");
    close(person);
    requester_detach(requester);
    assert_int_equal(daemon_stop(&ioreqd), 0);
    assert_int_equal(access(serial_link(), F_OK), -1);
}

static void nobody_at_the_pty_does_not_stall_the_guest(void **state)
{
    (void)state;
    start_with_pty();
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    for (int i = 0; i < 2000; i++) /* more than all rings and buffers hold */
        serial_write(requester, "0123456789 0123456789 0123456789 0123456789 0123456789\n");
    while (lost_bytes("com1") < 2000 * 55)
        daemon_pause();
    int person = open(serial_link(), O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(person >= 0);
    serial_write(requester, "now you hear me");
    person_expect(person, "now you hear me");
    close(person);
    requester_detach(requester);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

static void what_was_typed_for_one_requester_does_not_reach_the_next(void **state)
{
    (void)state;
    start_with_pty();
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    int person = open(serial_link(), O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(person >= 0);
    for (int i = 0; i < 100; i++)
        person_type(person, "secret of the first ");
    serial_expect(requester, "s"); /* the ring has begun to fill */
    requester_detach(requester);
    for (int i = 0; i < 100; i++) {
        person_type(person, "typed at nobody ");
        daemon_pause();
    }
    for (int i = 0; i < 50; i++)
        daemon_pause(); /* until control has taken it: what follows must not be dropped */
    requester = daemon_attach(&ioreqd, "guest");
    for (int i = 0; i < 10; i++) {
        assert_int_equal(daemon_read_port(requester, COM1 + LSR) & 0x01, 0);
        daemon_pause();
    }
    person_type(person, "for the second");
    serial_expect(requester, "for the second");
    close(person);
    requester_detach(requester);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

/* ---- a serial port on the terminal ioreqd was started from ------------------------------- */

static char terminal_path[64];

static void own_a_terminal(struct daemon *daemon)
{
    (void)daemon;
    setsid();
    int terminal = open(terminal_path, O_RDWR); /* the controlling one of the new session */
    dup2(terminal, STDIN_FILENO);
    dup2(terminal, STDOUT_FILENO);
    close(terminal);
}

static int start_on_a_terminal(void)
{
    int person = posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(person >= 0 && grantpt(person) == 0 && unlockpt(person) == 0);
    snprintf(terminal_path, sizeof(terminal_path), "%s", ptsname(person));
    fcntl(person, F_SETFL, O_NONBLOCK);
    ioreqd.prepare = own_a_terminal;
    write_serial_config("stdio", "");
    daemon_start(&ioreqd);
    return person;
}

static void every_key_of_the_terminal_is_the_guests(void **state)
{
    (void)state;
    int person = start_on_a_terminal();
    assert_true(daemon_file_has(ioreqd.err, "client com1: every key typed here is the guest's; "
                                            "Ctrl-A x ends the server"));
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    while (!(daemon_read_port(requester, COM1 + LSR) & 0x20))
        ;
    for (int i = 0; i < 20; i++)
        daemon_pause(); /* the first look of control at a requester */
    person_type(person, "\x03\x1a\x1c\x13\r\x01\x01z");
    serial_expect(requester, "\x03\x1a\x1c\x13\r\x01z");
    serial_write(requester, "a\r\nb\nc\r");
    person_expect(person, "a\r\nb\nc\r");
    requester_detach(requester);
    assert_int_equal(daemon_stop(&ioreqd), 0);
    close(person);
}

static void assert_terminal_is_as_before(int person)
{
    struct termios terminal;
    assert_int_equal(tcgetattr(person, &terminal), 0);
    assert_int_equal(terminal.c_lflag & (ISIG | ICANON | ECHO), ISIG | ICANON | ECHO);
    assert_int_equal(terminal.c_oflag & OPOST, OPOST);
}

static void terminal_is_given_back_at_every_end(void **state)
{
    (void)state;
    int keep = -1;
    for (int end = 0; end < 3; end++) {
        struct termios terminal;
        int person = start_on_a_terminal();
        keep = open(terminal_path, O_RDWR | O_NOCTTY | O_CLOEXEC);
        while (tcgetattr(person, &terminal) < 0 || (terminal.c_lflag & ISIG))
            daemon_pause();
        if (end == 0)
            person_type(person, "\x01x"); /* with no requester, too */
        else
            kill(ioreqd.pid, end == 1 ? SIGTERM : SIGQUIT);
        int code = daemon_wait(&ioreqd);
        assert_int_equal(code, end == 2 ? 128 + SIGQUIT : 0);
        assert_terminal_is_as_before(person);
        close(keep), close(person);
    }
}

/* ---- NVRAM ------------------------------------------------------------------------------- */

static void nvram_write(struct requester *requester, uint8_t index, uint8_t value)
{
    daemon_write_port(requester, 0x70, index);
    daemon_write_port(requester, 0x71, value);
}

static uint8_t nvram_read(struct requester *requester, uint8_t index)
{
    daemon_write_port(requester, 0x70, index);
    return daemon_read_port(requester, 0x71);
}

static bool nvram_file_is(const char *path, uint8_t index, uint8_t value)
{
    uint8_t bytes[129];
    FILE *file = fopen(path, "re");
    size_t count = file ? fread(bytes, 1, sizeof(bytes), file) : 0;
    if (file)
        fclose(file);
    assert_true(count == 0 || count == 128); /* whole, at any time */
    return count == 128 && bytes[index] == value;
}

static void nvram_outlives_the_server(void **state)
{
    (void)state;
    char path[112];
    snprintf(path, sizeof(path), "%s/nvram", ioreqd.folder);
    write_serial_config("none", path);
    const int ends[] = {SIGTERM, SIGKILL};
    for (uint8_t round = 0; round < 2; round++) {
        daemon_start(&ioreqd);
        struct requester *requester = daemon_attach(&ioreqd, "guest");
        if (round > 0)
            assert_int_equal(nvram_read(requester, 0x40), 0x5a);
        nvram_write(requester, 0x40, (uint8_t)(0x5a + round));
        if (ends[round] == SIGKILL) /* saved at a tick before */
            while (!nvram_file_is(path, 0x40, (uint8_t)(0x5a + round)))
                daemon_pause();
        kill(ioreqd.pid, ends[round]);
        daemon_wait(&ioreqd);
        requester_detach(requester);
        assert_true(nvram_file_is(path, 0x40, (uint8_t)(0x5a + round)));
    }
}

static void nvram_that_cannot_be_written_is_told_once_and_tried_again(void **state)
{
    (void)state;
    char kept[112], away[112], path[128];
    snprintf(kept, sizeof(kept), "%s/kept", ioreqd.folder);
    snprintf(away, sizeof(away), "%s/away", ioreqd.folder);
    snprintf(path, sizeof(path), "%s/nvram", kept);
    assert_int_equal(mkdir(kept, 0700), 0);
    write_serial_config("none", path);
    daemon_start(&ioreqd);
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    assert_int_equal(rename(kept, away), 0);
    nvram_write(requester, 0x41, 1);
    daemon_await_file(ioreqd.err, "warning: client rtc: cannot write");
    for (int i = 0; i < 600; i++) /* more than one more attempt */
        daemon_pause();
    assert_int_equal(count_in_file(ioreqd.err, "cannot write"), 1);
    assert_int_equal(rename(away, kept), 0);
    while (!nvram_file_is(path, 0x41, 1))
        daemon_pause();
    requester_detach(requester);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        IOREQD_TEST(row51_closed_descriptors_are_not_taken_for_a_console_file),
        IOREQD_TEST(output_into_a_closed_stdout_fails),
        IOREQD_TEST(row51_full_disk_for_a_console_is_counted_and_told_once),
        IOREQD_TEST(row51_closed_stdout_is_counted_and_told_once),
        IOREQD_TEST(person_and_guest_talk_over_a_pty),
        IOREQD_TEST(nobody_at_the_pty_does_not_stall_the_guest),
        IOREQD_TEST(what_was_typed_for_one_requester_does_not_reach_the_next),
        IOREQD_TEST(every_key_of_the_terminal_is_the_guests),
        IOREQD_TEST(terminal_is_given_back_at_every_end),
        IOREQD_TEST(nvram_outlives_the_server),
        IOREQD_TEST(nvram_that_cannot_be_written_is_told_once_and_tried_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
