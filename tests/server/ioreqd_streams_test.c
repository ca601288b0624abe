/* SPDX-License-Identifier: BSD-3-Clause */
/* Where the bytes of a running ioreqd's devices go, and where they come from. Rows are those of the
 * list of faults (server and host). */
#include "tests/support/daemon.h"

#include <errno.h>

static struct daemon ioreqd;

static int init(void **state)
{
    (void)state;
    daemon_init(&ioreqd);
    return 0;
}

static int fini(void **state)
{
    (void)state;
    daemon_fini(&ioreqd);
    return 0;
}

/* Runs a second program beside ioreqd; its exit code. */
static int run_beside(void (*prepare)(struct daemon *), const char *const *arguments)
{
    struct daemon beside = ioreqd;
    snprintf(beside.out, sizeof(beside.out), "%s/out2", ioreqd.folder);
    snprintf(beside.err, sizeof(beside.err), "%s/err2", ioreqd.folder);
    beside.prepare = prepare;
    daemon_spawn(&beside, arguments);
    return daemon_wait(&beside);
}

static void console_write(struct requester *requester, const char *text)
{
    for (; *text; text++)
        daemon_access(requester, 0,
                      (struct requester_access){.address = 0x402,
                                                .value = (uint8_t)*text,
                                                .size_bytes = 1,
                                                .type = REQUEST_PORTIO,
                                                .direction = REQUEST_WRITE});
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
    console_write(requester, "what the guest said\n");
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
    const char *const load[] = {
        BINARY_DIR "/ioreq-vm", "load", "--socket", ioreqd.socket, "--count", "10", NULL};
    assert_int_equal(run_beside(NULL, load), 0);
    assert_int_equal(run_beside(close_stdout, load), 1);
    assert_int_equal(daemon_stop(&ioreqd), 0);
}

#define DAEMON_TEST(function) cmocka_unit_test_setup_teardown(function, init, fini)

int main(void)
{
    const struct CMUnitTest tests[] = {
        DAEMON_TEST(row51_closed_descriptors_are_not_taken_for_a_console_file),
        DAEMON_TEST(output_into_a_closed_stdout_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
