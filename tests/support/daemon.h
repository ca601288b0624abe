/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * daemon.h - runs the built ioreqd on a configuration of the test's, as its own process, in a
 * folder of its own that goes at the end.
 *
 * Under sanitizers the sandbox is off: their run time makes system calls of its own.
 */
#ifndef TESTS_SUPPORT_DAEMON_H
#define TESTS_SUPPORT_DAEMON_H

#include "server/socket/wire.h"
#include "server/vm/requester.h"

#include "clients/request.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
/* after those, as it asks */
#include <cmocka.h>

#define DAEMON_SANDBOX (IOREQD_SANITIZE[0] ? "false" : "true")

#define DAEMON_SCRATCH 0xfe000000ull

struct daemon {
    char folder[64];
    char socket[96];
    char config[96];
    char out[96]; /* its stdout and stderr, as files */
    char err[96];
    pid_t pid;
    void (*prepare)(struct daemon *daemon); /* in the child, before exec; may be NULL */
};

static inline void daemon_init(struct daemon *daemon)
{
    memset(daemon, 0, sizeof(*daemon));
    snprintf(daemon->folder, sizeof(daemon->folder), "/tmp/ioreqd-test-XXXXXX");
    assert_non_null(mkdtemp(daemon->folder));
    chmod(daemon->folder, 0755);
    snprintf(daemon->socket, sizeof(daemon->socket), "%s/socket", daemon->folder);
    snprintf(daemon->config, sizeof(daemon->config), "%s/config.yaml", daemon->folder);
    snprintf(daemon->out, sizeof(daemon->out), "%s/out", daemon->folder);
    snprintf(daemon->err, sizeof(daemon->err), "%s/err", daemon->folder);
}

static inline void daemon_write(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

/* A VM "guest" with two vCPUs, a scratch bank, a console to `console`, and a second VM "other" on
 * the same poller. `extra` stands in the server section. */
static inline void daemon_write_config(const struct daemon *daemon, const char *console,
                                       const char *extra)
{
    char text[4096];
    snprintf(text, sizeof(text),
             "server: {socket: %s%s}\n"
             "pollers:\n"
             "  - {name: rt, cpu: any, idle: yield, sandbox: %s}\n"
             "vms:\n"
             "  - {name: guest, vcpus: 2, source: memfd, poller: rt, default_client: rest}\n"
             "  - {name: other, vcpus: 1, source: memfd, poller: rt}\n"
             "clients:\n"
             "  - name: console\n"
             "    vm: guest\n"
             "    device: debug_console\n"
             "    ranges: [{type: portio, first: 0x402}]\n"
             "    options: {output: \"%s\"}\n"
             "  - name: scratch\n"
             "    vm: guest\n"
             "    device: register_bank\n"
             "    ranges: [{type: mmio, first: 0xfe000000, last: 0xfe000fff}]\n"
             "    options: {registers: [{name: word, offset: 0, size: 8, count: 512}]}\n"
             "  - {name: rest, vm: guest, device: fallback}\n",
             daemon->socket, extra, DAEMON_SANDBOX, console);
    daemon_write(daemon->config, text);
}

static inline void daemon_pause(void)
{
    struct timespec pause = {.tv_nsec = 2000000};
    nanosleep(&pause, NULL);
}

/* True if the file holds text now. */
static inline bool daemon_file_has(const char *path, const char *text)
{
    static char content[65536];
    FILE *file = fopen(path, "re");
    if (!file)
        return false;
    size_t length = fread(content, 1, sizeof(content) - 1, file);
    fclose(file);
    content[length] = '\0';
    return strstr(content, text) != NULL;
}

/* Starts `program` with arguments; output goes to the files. */
static inline void daemon_spawn(struct daemon *daemon, const char *const *arguments)
{
    daemon->pid = fork();
    assert_true(daemon->pid >= 0);
    if (daemon->pid > 0)
        return;
    int out = open(daemon->out, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    int err = open(daemon->err, O_WRONLY | O_CREAT | O_TRUNC, 0644);
    int in = open("/dev/null", O_RDONLY);
    dup2(in, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(err, STDERR_FILENO);
    close(in), close(out), close(err);
    if (daemon->prepare)
        daemon->prepare(daemon);
    execv(arguments[0], (char *const *)(uintptr_t)arguments);
    _exit(127);
}

/* Waits for its end; the exit code, or 128 + the signal. */
static inline int daemon_wait(struct daemon *daemon)
{
    int status = 0;
    while (waitpid(daemon->pid, &status, 0) < 0)
        ;
    daemon->pid = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* True once the server replies on its socket. */
static inline bool daemon_answers(const struct daemon *daemon)
{
    char line[WIRE_LINE_MAX] = "";
    int server = wire_connect(daemon->socket);
    if (server < 0)
        return false;
    bool answers = wire_send_line(server, "status") == 0 &&
                   wire_receive_line(server, line, sizeof(line), NULL) == 0;
    close(server);
    return answers;
}

static inline void daemon_wait_until_ready(struct daemon *daemon)
{
    while (!daemon_answers(daemon)) {
        if (waitpid(daemon->pid, NULL, WNOHANG) != 0) {
            daemon->pid = 0;
            char command[128];
            snprintf(command, sizeof(command), "cat %s >&2", daemon->err);
            if (system(command) != 0)
                print_message("no stderr\n");
            fail_msg("ioreqd did not start");
        }
        daemon_pause();
    }
}

static inline void daemon_start(struct daemon *daemon)
{
    const char *const arguments[] = {BINARY_DIR "/ioreqd", "--config", daemon->config, NULL};
    daemon_spawn(daemon, arguments);
    daemon_wait_until_ready(daemon);
}

static inline int daemon_stop(struct daemon *daemon)
{
    kill(daemon->pid, SIGTERM);
    return daemon_wait(daemon);
}

static inline void daemon_fini(struct daemon *daemon)
{
    if (daemon->pid > 0) {
        kill(daemon->pid, SIGKILL);
        daemon_wait(daemon);
    }
    char command[128];
    snprintf(command, sizeof(command), "rm -rf %s", daemon->folder);
    assert_int_equal(system(command), 0);
}

static inline struct requester *daemon_attach(const struct daemon *daemon, const char *vm)
{
    struct requester *requester = NULL;
    char error[256] = "";
    int result = -EEXIST;
    /* An earlier requester's end may reach the server after us. */
    for (int i = 0; i < 500 && result == -EEXIST; i++) {
        result = requester_attach(daemon->socket, vm, &requester, error, sizeof(error));
        if (result == -EEXIST)
            daemon_pause();
    }
    if (result != 0)
        fail_msg("attach: %s", error);
    return requester;
}

/* One access that must be answered; returns the value. */
static inline uint64_t daemon_access(struct requester *requester, uint32_t vcpu,
                                     struct requester_access access)
{
    assert_int_equal(requester_access(requester, vcpu, &access), 0);
    return access.value;
}

static inline uint64_t daemon_read(struct requester *requester, uint64_t address, uint64_t size)
{
    return daemon_access(requester, 0,
                         (struct requester_access){.address = address,
                                                   .size_bytes = size,
                                                   .type = REQUEST_MMIO,
                                                   .direction = REQUEST_READ});
}

static inline void daemon_write_word(struct requester *requester, uint64_t address, uint64_t value)
{
    daemon_access(requester, 0,
                  (struct requester_access){.address = address,
                                            .value = value,
                                            .size_bytes = 8,
                                            .type = REQUEST_MMIO,
                                            .direction = REQUEST_WRITE});
}

/* Writes and reads back `count` scratch words. */
static inline void daemon_exercise(struct requester *requester, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint64_t address = DAEMON_SCRATCH + i % 512 * 8;
        daemon_write_word(requester, address, i * 0x9e3779b97f4a7c15u);
        assert_int_equal(daemon_read(requester, address, 8), i * 0x9e3779b97f4a7c15u);
    }
}

#endif
