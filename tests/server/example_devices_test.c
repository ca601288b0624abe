/* SPDX-License-Identifier: BSD-3-Clause */
/* The example devices of libioreq, as a guest sees them and from their other ends. */
#include "tests/support/ioreqd.h"

#include <poll.h>
#include <termios.h>

#define BASE         0xfe200000ull
#define SECTOR_BYTES 512u

static struct requester *requester;
static pid_t example;

static int setup(void **state)
{
    ioreqd_init(state);
    daemon_write_guest(&ioreqd, 2);
    daemon_add_process(&ioreqd, "outside", BASE, "deadline_us: 0");
    daemon_start(&ioreqd);
    requester = daemon_attach(&ioreqd, "guest");
    return 0;
}

static int teardown(void **state)
{
    if (example > 0) {
        kill(example, SIGKILL);
        waitpid(example, NULL, 0);
        example = 0;
    }
    requester_detach(requester);
    return ioreqd_end(state);
}

/* Starts an example; its first line of output into line [line_bytes]. */
static void start(const char *program, const char *file, char *line, size_t line_bytes)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    example = fork();
    assert_true(example >= 0);
    if (example == 0) {
        dup2(ends[1], STDOUT_FILENO);
        execl(program, program, ioreqd.socket, "guest", "outside", file, (char *)NULL);
        _exit(127);
    }
    close(ends[1]);
    FILE *output = fdopen(ends[0], "r");
    assert_non_null(output);
    assert_non_null(fgets(line, (int)line_bytes, output));
    fclose(output);
    line[strcspn(line, "\n")] = '\0';
}

static uint64_t read_register(uint64_t offset, uint64_t size)
{
    return daemon_read(requester, BASE + offset, size);
}

static void write_register(uint64_t offset, uint64_t size, uint64_t value)
{
    daemon_access(requester, 0,
                  (struct requester_access){.address = BASE + offset,
                                            .value = value,
                                            .size_bytes = size,
                                            .type = REQUEST_MMIO,
                                            .direction = REQUEST_WRITE});
}

static void example_uart_is_a_console_on_a_pty(void **state)
{
    (void)state;
    char line[128];
    start(BINARY_DIR "/ioreq-example-uart", NULL, line, sizeof(line));
    assert_int_equal(strncmp(line, "line /dev/pts/", 14), 0);
    int terminal = open(line + 5, O_RDWR | O_NOCTTY | O_CLOEXEC);
    assert_true(terminal >= 0);
    struct termios mode;
    assert_int_equal(tcgetattr(terminal, &mode), 0);
    cfmakeraw(&mode);
    assert_int_equal(tcsetattr(terminal, TCSANOW, &mode), 0);
    while (read_register(7, 1) != 0) /* until it has registered: all-ones */
        daemon_pause();
    write_register(7, 1, 0x5a);
    assert_int_equal(read_register(7, 1), 0x5a);
    assert_int_equal(read_register(5, 1), 0x60);
    const char *const sent = "hello, outside";
    for (size_t i = 0; sent[i]; i++)
        write_register(0, 1, (uint64_t)sent[i]);
    char received[64] = "";
    for (size_t length = 0; length < strlen(sent);) {
        ssize_t count = read(terminal, received + length, sizeof(received) - 1 - length);
        assert_true(count > 0);
        length += (size_t)count;
    }
    assert_string_equal(received, sent);
    assert_int_equal(write(terminal, "ok", 2), 2);
    for (size_t i = 0; i < 2; i++) {
        while (!(read_register(5, 1) & 1))
            daemon_pause();
        assert_int_equal(read_register(0, 1), "ok"[i]);
    }
    assert_int_equal(read_register(5, 1), 0x60);
    close(terminal);
}

static void example_block_keeps_sectors_in_a_file(void **state)
{
    (void)state;
    char line[128], path[128];
    snprintf(path, sizeof(path), "%s/disk", ioreqd.folder);
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(file >= 0);
    assert_int_equal(ftruncate(file, 8 * SECTOR_BYTES), 0);
    start(BINARY_DIR "/ioreq-example-block", path, line, sizeof(line));
    assert_string_equal(line, "sectors 8");
    assert_int_equal(read_register(0, 4), 0x6b6c6269);
    assert_int_equal(read_register(24, 8), 8);
    write_register(8, 8, 3);
    for (uint64_t i = 0; i < SECTOR_BYTES; i += 8)
        write_register(0x200 + i, 8, i * 0x0101010101010101ull + 1);
    write_register(16, 4, 2); /* answered when it is written */
    assert_int_equal(read_register(20, 4), 0);
    assert_int_equal(read_register(4, 4), 0);
    uint64_t word;
    assert_int_equal(pread(file, &word, 8, 3 * SECTOR_BYTES + 16), 8);
    assert_int_equal(word, 16 * 0x0101010101010101ull + 1);
    write_register(16, 4, 3);
    assert_int_equal(read_register(20, 4), 0);
    word = 0x1122334455667788;
    assert_int_equal(pwrite(file, &word, 8, 5 * SECTOR_BYTES + 8), 8);
    write_register(8, 8, 5);
    write_register(16, 4, 1);
    assert_int_equal(read_register(0x208, 8), word);
    assert_int_equal(read_register(0x200, 8), 0);
    write_register(8, 8, 8); /* one too many */
    write_register(16, 4, 1);
    assert_int_equal(read_register(20, 4), ERANGE);
    write_register(16, 4, 9);
    assert_int_equal(read_register(20, 4), EINVAL);
    assert_int_equal(read_register(0x400, 8), UINT64_MAX);
    close(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(example_uart_is_a_console_on_a_pty, setup, teardown),
        cmocka_unit_test_setup_teardown(example_block_keeps_sectors_in_a_file, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
