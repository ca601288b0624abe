/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * daemon.h - runs the built ioreqd on a configuration of the test's, as its own process, in a
 * folder of its own that goes at the end.
 *
 * Flow:    daemon_init -> daemon_write_config, daemon_write_guest or a file of one's own ->
 *          daemon_start -> daemon_ask, daemon_status, accesses (daemon_access.h)... -> daemon_stop ->
 *          daemon_fini.
 * Memory:  the caller's struct daemon.
 * Errors:  asserted: a test cannot go on.
 *
 * Under sanitizers the sandbox is off: their run time makes system calls of its own.
 */
#ifndef TESTS_SUPPORT_DAEMON_H
#define TESTS_SUPPORT_DAEMON_H

#include "server/socket/wire.h"
#include "tests/support/scratch_folder.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
/* after those, as it asks */
#include <cmocka.h>

#define DAEMON_SANDBOX (IOREQD_SANITIZE[0] ? "false" : "true")

/* A client of VM "guest" as the configuration has it: 512 words of 8 bytes. */
#define DAEMON_SCRATCH_CLIENT                                           \
    "  - name: scratch\n"                                               \
    "    vm: guest\n"                                                   \
    "    device: register_bank\n"                                       \
    "    ranges: [{type: mmio, first: 0xfe000000, last: 0xfe000fff}]\n" \
    "    options: {registers: [{name: word, offset: 0, size: 8, count: 512}]}\n"

struct daemon {
    char folder[SCRATCH_FOLDER_BYTES];
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
    scratch_folder_create(daemon->folder);
    chmod(daemon->folder, 0755);
    snprintf(daemon->socket, sizeof(daemon->socket), "%s/socket", daemon->folder);
    snprintf(daemon->config, sizeof(daemon->config), "%s/config.yaml", daemon->folder);
    snprintf(daemon->out, sizeof(daemon->out), "%s/out", daemon->folder);
    snprintf(daemon->err, sizeof(daemon->err), "%s/err", daemon->folder);
}

/* ---- its configuration ------------------------------------------------------------------- */

static inline void daemon_write(const char *path, const char *text)
{
    scratch_file_write(path, text);
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
             "%s"
             "  - {name: rest, vm: guest, device: fallback}\n",
             daemon->socket, extra, DAEMON_SANDBOX, console, DAEMON_SCRATCH_CLIENT);
    daemon_write(daemon->config, text);
}

/* A VM "guest" with so many vCPUs on a poller "rt", and its scratch bank; more clients follow. */
static inline void daemon_write_guest(const struct daemon *daemon, uint32_t vcpus)
{
    char text[1024];
    snprintf(text, sizeof(text),
             "server: {socket: %s}\n"
             "pollers:\n"
             "  - {name: rt, cpu: any, idle: yield, sandbox: %s}\n"
             "vms:\n"
             "  - {name: guest, vcpus: %u, source: memfd, poller: rt}\n"
             "clients:\n" DAEMON_SCRATCH_CLIENT,
             daemon->socket, DAEMON_SANDBOX, vcpus);
    daemon_write(daemon->config, text);
}

/* Lines at the end of the configuration, as printf. */
__attribute__((format(printf, 2, 3))) static inline void daemon_add(const struct daemon *daemon,
                                                                    const char *format, ...)
{
    va_list arguments;
    FILE *file = fopen(daemon->config, "ae");
    assert_non_null(file);
    va_start(arguments, format);
    vfprintf(file, format, arguments);
    va_end(arguments);
    assert_int_equal(fclose(file), 0);
}

/* Adds a client that a process serves, on 4 KiB of MMIO from first on. */
static inline void daemon_add_process(const struct daemon *daemon, const char *name, uint64_t first,
                                      const char *options)
{
    daemon_add(daemon,
               "  - name: %s\n"
               "    vm: guest\n"
               "    device: process\n"
               "    ranges: [{type: mmio, first: %" PRIu64 ", last: %" PRIu64 "}]\n"
               "    options: {%s}\n",
               name, first, first + 0xfff, options);
}

/* ---- its life ---------------------------------------------------------------------------- */

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

/* Until it does. */
static inline void daemon_await_file(const char *path, const char *text)
{
    while (!daemon_file_has(path, text))
        daemon_pause();
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

/* A program's whole run; its exit code, or 128 + the signal. */
static inline int daemon_run(struct daemon *daemon, const char *const *arguments)
{
    daemon_spawn(daemon, arguments);
    return daemon_wait(daemon);
}

/* For daemon_run: another program, in the daemon's folder, with outputs of its own. A forked child of
 * the test has others. */
static inline struct daemon daemon_beside(const struct daemon *daemon)
{
    struct daemon beside = *daemon;
    beside.prepare = NULL;
    snprintf(beside.out, sizeof(beside.out), "%s/out-%d", daemon->folder, (int)getpid());
    snprintf(beside.err, sizeof(beside.err), "%s/err-%d", daemon->folder, (int)getpid());
    return beside;
}

static inline void daemon_show_errors(const struct daemon *daemon)
{
    char command[128];
    snprintf(command, sizeof(command), "cat %s >&2", daemon->err);
    if (system(command) != 0)
        print_message("no stderr\n");
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
            daemon_show_errors(daemon);
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
    scratch_folder_destroy(daemon->folder);
}

/* ---- what it is asked, and says ---------------------------------------------------------- */

static inline int daemon_connect(const struct daemon *daemon)
{
    int peer = wire_connect(daemon->socket);
    assert_true(peer >= 0);
    return peer;
}

/* One line, and the first one of its reply, which must be ok. */
static inline void daemon_ask(const struct daemon *daemon, const char *line)
{
    char reply[WIRE_LINE_MAX];
    int peer = daemon_connect(daemon);
    assert_int_equal(wire_send_line(peer, "%s", line), 0);
    assert_int_equal(wire_receive_line(peer, reply, sizeof(reply), NULL), 0);
    assert_string_equal(reply, "ok");
    close(peer);
}

/* `status json`; static. */
static inline const char *daemon_status(const struct daemon *daemon)
{
    static char text[1 << 17];
    size_t length = 0;
    ssize_t count;
    int peer = daemon_connect(daemon);
    assert_int_equal(wire_send_line(peer, "status json"), 0);
    while ((count = recv(peer, text + length, sizeof(text) - 1 - length, 0)) > 0)
        length += (size_t)count;
    text[length] = '\0';
    close(peer);
    const char *json = strchr(text, '\n');
    assert_non_null(json);
    return json + 1;
}

/* The text of the status behind the first "key": that comes after mark. */
static inline const char *daemon_figure(const struct daemon *daemon, const char *mark,
                                        const char *key)
{
    char quoted[64];
    const char *status = daemon_status(daemon), *found = strstr(status, mark);
    snprintf(quoted, sizeof(quoted), "\"%s\": ", key);
    found = found ? strstr(found, quoted) : NULL;
    if (!found)
        fail_msg("no %s behind '%s' in %s", quoted, mark, status);
    return found + strlen(quoted);
}

static inline const char *daemon_client_figure(const struct daemon *daemon, const char *client,
                                               const char *key)
{
    char mark[64];
    snprintf(mark, sizeof(mark), "\"name\": \"%s\"", client);
    return daemon_figure(daemon, mark, key);
}

#endif
