/* SPDX-License-Identifier: BSD-3-Clause */
/* Row 44 of the list of faults under systemd itself: `systemctl restart ioreqd` and a kill -9 under load, by
 * the unit file that is installed. systemd is process 1 of namespaces of its own (boot.sh), the guest and the
 * device that counts are outside. */
#include "tests/support/supervised.h"

#include <ftw.h>

#define COUNTERS 0xfe100000ull
#define NOBODY   0xfd000000ull
#define TURNS    3u

static struct daemon ioreqd; /* its pid: boot.sh's, then unshare's */
static pid_t counter_pid, systemd_pid;

static pid_t child_of(pid_t parent)
{
    char path[96];
    int pid = 0;
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)parent, (int)parent);
    FILE *file = fopen(path, "re");
    if (file && fscanf(file, "%d", &pid) != 1)
        pid = 0;
    if (file)
        fclose(file);
    return pid;
}

/* In systemd's namespaces. The exit code. */
static int systemctl(const char *words)
{
    char command[256];
    snprintf(command, sizeof(command), "nsenter -t %d -m -p systemctl %s >>%s 2>&1",
             (int)systemd_pid, words, ioreqd.out);
    return system(command);
}

static void write_config(void)
{
    char text[2048];
    snprintf(text, sizeof(text),
             "server: {socket: %s}\n"
             "pollers:\n"
             "  - {name: rt, cpu: any, idle: yield, sandbox: %s}\n"
             "vms:\n"
             "  - {name: guest, vcpus: %u, source: memfd, poller: rt}\n"
             "clients:\n"
             "  - name: counters\n"
             "    vm: guest\n"
             "    device: process\n"
             "    ranges: [{type: mmio, first: 0xfe100000, last: 0xfe100fff}]\n"
             "    options: {deadline_us: 0}\n",
             ioreqd.socket, DAEMON_SANDBOX, COUNTERS_VCPUS);
    daemon_write(ioreqd.config, text);
}

static int remove_folder(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)place;
    if (kind == FTW_DP)
        rmdir(path); /* its files are the kernel's, and go with it */
    return 0;
}

/* The cgroups that boot.sh made, of which nothing runs any more. */
static void remove_cgroups(pid_t boot)
{
    static const char *const roots[] = {"/sys/fs/cgroup/systemd", "/sys/fs/cgroup"};
    char path[96];
    for (size_t i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/ioreqd-test-%d", roots[i], (int)boot);
        for (int tries = 0; access(path, F_OK) == 0 && tries < 500; tries++) {
            nftw(path, remove_folder, 16, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
            daemon_pause();
        }
    }
}

/* 0, or 77: systemd cannot run here, which boot.sh has said. */
static int boot(void)
{
    const char *const arguments[] = {SOURCE_DIR "/tests/integration/systemd/boot.sh", ioreqd.folder,
                                     BINARY_DIR "/ioreqd.service", BINARY_DIR "/ioreqd", NULL};
    int status;
    write_config();
    daemon_spawn(&ioreqd, arguments);
    for (uint32_t tries = 0; tries < 5000; tries++) {
        if (waitpid(ioreqd.pid, &status, WNOHANG) == ioreqd.pid) {
            remove_cgroups(ioreqd.pid);
            ioreqd.pid = 0;
            return 77;
        }
        if (daemon_answers(&ioreqd)) {
            systemd_pid = child_of(ioreqd.pid);
            return systemd_pid ? 0 : 77;
        }
        daemon_pause();
    }
    return 77;
}

static void end(void)
{
    if (counter_pid > 0) {
        kill(counter_pid, SIGKILL);
        waitpid(counter_pid, NULL, 0);
    }
    pid_t boot = ioreqd.pid;
    if (boot > 0) {
        kill(boot,
             SIGKILL); /* unshare, whose child goes along, and all of its namespace with that */
        waitpid(boot, NULL, 0);
        while (systemd_pid && kill(systemd_pid, 0) == 0)
            daemon_pause();
        remove_cgroups(boot);
        ioreqd.pid = 0;
    }
    daemon_fini(&ioreqd);
}

static void restarts_and_kills_under_load_lose_nothing_and_repeat_nothing(void **state)
{
    (void)state;
    struct counting vcpus[COUNTERS_VCPUS];
    counter_pid = counter_start(&ioreqd, "guest", "counters");
    struct requester *requester = daemon_attach(&ioreqd, "guest");
    counting_start(vcpus, requester, COUNTERS, NOBODY);
    for (uint32_t i = 0; i < TURNS; i++) {
        assert_int_equal(systemctl("restart ioreqd"), 0);
        pause_us(100000);
        assert_int_equal(systemctl("kill -s KILL ioreqd"), 0);
        pause_us(200000);
        while (!daemon_answers(&ioreqd) || systemctl("is-active ioreqd") != 0)
            daemon_pause();
    }
    counting_end(vcpus);
    requester_detach(requester);
    assert_false(daemon_file_has(ioreqd.err, "refused"));
    assert_false(daemon_file_has(ioreqd.err, "died"));
    assert_int_equal(systemctl("stop ioreqd"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(restarts_and_kills_under_load_lose_nothing_and_repeat_nothing),
    };
    daemon_init(&ioreqd);
    int result = boot();
    if (result == 77)
        fprintf(stderr, "skip: systemd does not run ioreqd here; what it said:\n");
    if (result == 0)
        result = cmocka_run_group_tests(tests, NULL, NULL);
    if (result != 0 || getenv("IOREQ_SHOW")) {
        char command[256];
        snprintf(command, sizeof(command), "cat %s %s >&2", ioreqd.err, ioreqd.out);
        if (system(command) != 0)
            print_message("no stderr\n");
    }
    end();
    return result;
}
