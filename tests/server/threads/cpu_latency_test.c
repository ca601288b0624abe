/* SPDX-License-Identifier: BSD-3-Clause */
/* The kernel is asked for no deep sleep exactly as long as pollers run that spin. A file stands in
 * for the device, and ioreqd itself is asked what it holds. */
#include "server/threads/cpu_latency.h"
#include "tests/support/ioreqd.h"

#include <dirent.h>
#include <limits.h>

/* How many descriptors of a process lead to path. */
static uint32_t count_open(pid_t pid, const char *path)
{
    char folder[64], link[PATH_MAX], target[PATH_MAX];
    snprintf(folder, sizeof(folder), "/proc/%d/fd", (int)pid);
    DIR *descriptors = opendir(folder);
    assert_non_null(descriptors);
    uint32_t count = 0;
    for (struct dirent *entry; (entry = readdir(descriptors));) {
        snprintf(link, sizeof(link), "%s/%s", folder, entry->d_name);
        ssize_t length = readlink(link, target, sizeof(target) - 1);
        if (length < 0)
            continue;
        target[length] = '\0';
        count += strcmp(target, path) == 0;
    }
    closedir(descriptors);
    return count;
}

static void what_cannot_be_held_is_not_held(void **state)
{
    (void)state;
    const struct {
        const char *path;
        int error;
    } cases[] = {{"/nowhere/at/all", -ENOENT}, {"/", -EISDIR}, {"/dev/full", -ENOSPC}};
    for (size_t i = 0; i < 3; i++) {
        struct cpu_latency latency = {0};
        assert_int_equal(cpu_latency_hold(&latency, cases[i].path), cases[i].error);
        assert_false(latency.is_held);
        cpu_latency_release(&latency);
    }
    assert_int_equal(count_open(getpid(), "/dev/full"), 0);
    assert_int_equal(count_open(getpid(), "/dev/stdin"), 0);
}

static void zero_microseconds_are_held_until_released(void **state)
{
    (void)state;
    struct cpu_latency latency = {0};
    unsigned char bytes[8] = {0xff};
    daemon_write(ioreqd.config, "");
    assert_int_equal(cpu_latency_hold(&latency, ioreqd.config), 0);
    assert_true(latency.is_held);
    assert_int_equal(count_open(getpid(), ioreqd.config), 1);
    FILE *file = fopen(ioreqd.config, "re");
    assert_int_equal(fread(bytes, 1, sizeof(bytes), file), 4); /* a binary int32, as it must be */
    fclose(file);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(bytes[i], 0);
    cpu_latency_release(&latency);
    assert_false(latency.is_held);
    assert_int_equal(count_open(getpid(), ioreqd.config), 0);
    cpu_latency_release(&latency); /* again: nothing, and not descriptor 0 */
    assert_true(fcntl(STDIN_FILENO, F_GETFD) >= 0 || errno == EBADF);
}

/* What ioreqd holds with two pollers idling so, and server: cpu_dma_latency: setting. */
static uint32_t held_with(const char *first, const char *second, const char *setting)
{
    char text[1024];
    snprintf(text, sizeof(text),
             "server: {socket: %s, lock_memory: false, cpu_dma_latency: %s}\n"
             "pollers:\n"
             "  - {name: a, idle: %s, sandbox: false}\n"
             "  - {name: b, idle: %s, sandbox: false}\n"
             "vms: [{name: guest, vcpus: 1, poller: a}]\n",
             ioreqd.socket, setting, first, second);
    daemon_write(ioreqd.config, text);
    daemon_start(&ioreqd);
    uint32_t held = count_open(ioreqd.pid, CPU_LATENCY_PATH);
    assert_int_equal(daemon_stop(&ioreqd), 0);
    return held;
}

static void ioreqd_holds_it_while_a_poller_spins_or_pauses(void **state)
{
    (void)state;
    if (access(CPU_LATENCY_PATH, W_OK) < 0) {
        print_message("skip: %s cannot be opened here\n", CPU_LATENCY_PATH);
        skip();
    }
    assert_int_equal(held_with("yield", "spin", "hold"), 1);
    assert_int_equal(held_with("pause", "sleep", "hold"), 1);
    assert_int_equal(held_with("yield", "sleep", "hold"), 0);
    assert_int_equal(held_with("yield", "spin", "leave"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_cannot_be_held_is_not_held),
        IOREQD_TEST(zero_microseconds_are_held_until_released),
        IOREQD_TEST(ioreqd_holds_it_while_a_poller_spins_or_pauses),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
