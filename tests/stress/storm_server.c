/* SPDX-License-Identifier: BSD-3-Clause */
/* The storm's server and loads: started, asked, ended, and held to account. */
#include "tests/stress/storm.h"

#include "server/socket/wire.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#define READY_MS 60000u /* the kernel takes long over a dead server where the machine is full */
#define SANDBOX  (IOREQD_SANITIZE[0] ? "false" : "true")
#define RESET_RATE \
    "5000" /* answers in a device's place are fast: they would take all of the poller */
#define PATH_BYTES 160

/* Output goes to the file, or to nowhere. */
static pid_t spawn(const char *const *arguments, const char *out, const char *err)
{
    pid_t pid = fork();
    if (pid < 0)
        storm_fail("no process: %s", strerror(errno));
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int files[3] = {open("/dev/null", O_RDONLY), open(out, O_WRONLY | O_CREAT | O_TRUNC, 0644),
                    open(err, O_WRONLY | O_CREAT | O_APPEND, 0644)};
    for (int i = 0; i < 3; i++)
        dup2(files[i], i);
    for (int i = 3; i < 256; i++)
        close(i);
    execv(arguments[0], (char *const *)(uintptr_t)arguments);
    _exit(127);
}

static void write_config(const struct storm *storm)
{
    static const char *const options[] = {
        [STORM_STRICT] = "{deadline_us: 0, on_death: reissue}",
        [STORM_HASTY] = "{deadline_us: 5000, quarantine_after: 8}",
        [STORM_RESET] = "{deadline_us: 5000, quarantine_after: 8, on_death: reissue}",
    };
    FILE *file = fopen(storm->config, "we");
    if (!file)
        storm_fail("%s: %s", storm->config, strerror(errno));
    fprintf(file,
            "server: {socket: %s}\n"
            "pollers:\n"
            "  - {name: rt, cpu: any, idle: yield, sandbox: %s}\n"
            "vms:\n"
            "  - {name: guest, vcpus: 3, source: memfd, poller: rt}\n"
            "  - {name: again, vcpus: 2, source: memfd, poller: rt, clear_timeout: 20ms}\n"
            "clients:\n"
            "  - name: scratch\n"
            "    vm: guest\n"
            "    device: register_bank\n"
            "    ranges: [{type: mmio, first: 0xfe000000, last: 0xfe000fff}]\n"
            "    options: {registers: [{name: word, offset: 0, size: 8, count: 512}]}\n",
            storm->socket, SANDBOX);
    for (uint32_t i = 0; i < STORM_DEVICES; i++) {
        const struct storm_device *device = &storm->devices[i];
        fprintf(file,
                "  - name: %s\n"
                "    vm: %s\n"
                "    device: process\n"
                "    ranges: [{type: mmio, first: 0x%llx, last: 0x%llx}]\n"
                "    options: %s\n",
                device->name, device->vm, (unsigned long long)device->first,
                (unsigned long long)device->last, options[device->kind]);
    }
    if (fclose(file) != 0)
        storm_fail("%s: %s", storm->config, strerror(errno));
}

static const struct storm *started; /* NULL: no server runs */

void storm_server_abandon(void)
{
    pid_t pid = started ? storm_server_pid(started) : 0;
    if (pid <= 0)
        return;
    kill(started->server, SIGKILL); /* first, or it starts another */
    kill(pid, SIGKILL);
}

/* Another one than `old` serves. */
static void wait_until_ready(const struct storm *storm, pid_t old)
{
    uint64_t begin = storm_now_ms();
    while (storm_server_pid(storm) == old || storm_server_pid(storm) == 0 ||
           storm_command(storm, NULL, "status") != 0) {
        if (waitpid(storm->server, NULL, WNOHANG) != 0 || storm_now_ms() - begin > READY_MS)
            storm_fail("ioreqd did not start; its log: %s", storm->log);
        storm_sleep_us(2000);
    }
}

void storm_server_start(struct storm *storm)
{
    char out[PATH_BYTES], program[PATH_BYTES];
    const char *const arguments[] = {program, "--config", storm->config,
                                     storm->is_supervised ? "--supervise" : NULL, NULL};
    snprintf(program, sizeof(program), "%s/ioreqd", storm->build);
    snprintf(out, sizeof(out), "%s/out", storm->folder);
    write_config(storm);
    storm->server = spawn(arguments, out, storm->log);
    started = storm;
    wait_until_ready(storm, 0);
}

pid_t storm_server_pid(const struct storm *storm)
{
    char path[96];
    int pid = 0;
    if (!storm->is_supervised)
        return storm->server;
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)storm->server,
             (int)storm->server);
    FILE *file = fopen(path, "re");
    if (file && fscanf(file, "%d", &pid) != 1)
        pid = 0;
    if (file)
        fclose(file);
    return pid;
}

void storm_server_kill(struct storm *storm)
{
    pid_t old = storm_server_pid(storm);
    if (old <= 0 || kill(old, SIGKILL) < 0)
        storm_fail("no server to kill: %s", strerror(errno));
    wait_until_ready(storm, old);
}

bool storm_server_stop(struct storm *storm)
{
    int status;
    kill(storm->server, SIGTERM);
    while (waitpid(storm->server, &status, 0) < 0)
        ;
    storm->server = 0;
    started = NULL;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* ---- commands ---------------------------------------------------------------------------- */

int storm_command(const struct storm *storm, uint64_t *number, const char *format, ...)
{
    char command[256], line[WIRE_LINE_MAX];
    const char *text;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(command, sizeof(command), format, arguments);
    va_end(arguments);
    int socket = wire_connect(storm->socket);
    if (socket < 0)
        return socket;
    int result = wire_send_line(socket, "%s", command);
    if (result == 0)
        result = wire_receive_line(socket, line, sizeof(line), NULL);
    close(socket);
    if (result == 0)
        result = wire_parse_reply(line, &text);
    if (result == 0 && number && sscanf(text, "completed=%lu", number) != 1)
        *number = 0;
    return result;
}

static json_t *read_status(const struct storm *storm)
{
    char line[64];
    size_t length = 0, space = 1 << 18;
    char *text = malloc(space);
    int socket = wire_connect(storm->socket);
    if (!text || socket < 0 || wire_send_line(socket, "status json") != 0 ||
        wire_receive_line(socket, line, sizeof(line), NULL) != 0)
        storm_fail("ioreqd does not tell its status; its log: %s", storm->log);
    ssize_t count;
    while (length < space && (count = recv(socket, text + length, space - length, 0)) > 0)
        length += (size_t)count;
    close(socket);
    json_error_t error;
    json_t *root = json_loadb(text, length, 0, &error);
    if (!root)
        storm_fail("status: %s", error.text);
    free(text);
    return root;
}

static uint64_t number_of(const json_t *object, const char *key)
{
    const json_t *number = json_object_get(object, key);
    if (!number)
        storm_fail("the report has no %s", key);
    return (uint64_t)json_integer_value(number);
}

static uint64_t count_entries(pid_t pid, const char *folder)
{
    char path[64];
    uint64_t count = 0;
    snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, folder);
    DIR *entries = opendir(path);
    while (entries && readdir(entries))
        count++;
    if (entries)
        closedir(entries);
    return count;
}

static uint64_t read_resident_kib(pid_t pid)
{
    char path[64], line[256];
    unsigned long kib = 0;
    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file))
        if (sscanf(line, "VmRSS: %lu", &kib) == 1)
            break;
    if (file)
        fclose(file);
    return kib;
}

static uint64_t count_mappings(pid_t pid)
{
    char path[64];
    uint64_t count = 0;
    int byte;
    snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
    FILE *file = fopen(path, "re");
    while (file && (byte = getc(file)) != EOF)
        count += byte == '\n';
    if (file)
        fclose(file);
    return count;
}

static void add_client(const struct storm *storm, const json_t *client,
                       struct storm_figures *figures)
{
    const char *name = json_string_value(json_object_get(client, "name"));
    for (uint32_t i = 0; i < STORM_DEVICES; i++) {
        const struct storm_device *device = &storm->devices[i];
        if (strcmp(device->name, name) != 0)
            continue;
        const json_t *process = json_object_get(client, "process");
        uint64_t late = number_of(client, "late");
        uint64_t in_place = late + number_of(process, "unserved") + number_of(process, "failed");
        *(device->kind == STORM_STRICT  ? &figures->strict_in_place
          : device->kind == STORM_HASTY ? &figures->hasty_in_place
                                        : &figures->reset_in_place) += in_place;
        figures->serving +=
            strcmp(json_string_value(json_object_get(process, "state")), "serving") == 0;
        figures->late += late;
        figures->refused += number_of(process, "refused");
        figures->quarantines += number_of(process, "quarantines");
        figures->handed_on += number_of(process, "handed_on");
        figures->asked_again += number_of(process, "asked_again");
    }
}

void storm_figures(const struct storm *storm, struct storm_figures *figures)
{
    json_t *root = read_status(storm), *each;
    size_t index;
    *figures = (struct storm_figures){
        .descriptors = count_entries(storm_server_pid(storm), "fd"),
        .mappings = count_mappings(storm_server_pid(storm)),
        .resident_kib = read_resident_kib(storm_server_pid(storm)),
    };
    json_array_foreach(json_object_get(root, "vms"), index, each)
    {
        const json_t *counters = json_object_get(each, "counters");
        figures->attached += json_is_true(json_object_get(each, "attached"));
        figures->dropped += number_of(counters, "dropped") + number_of(counters, "revoked");
        if (strcmp(json_string_value(json_object_get(each, "name")), "again") == 0)
            figures->reset_in_place += number_of(counters, "cleared");
    }
    json_array_foreach(json_object_get(root, "clients"), index, each)
        add_client(storm, each, figures);
    json_decref(root);
}

/* ---- loads ------------------------------------------------------------------------------- */

static void load_start(const struct storm *storm, struct storm_load *load, const char *vm,
                       const char *mix, const char *rate)
{
    char seed[32], err[PATH_BYTES], program[PATH_BYTES];
    snprintf(seed, sizeof(seed), "%lu", storm->seed);
    snprintf(load->report, sizeof(load->report), "%s/%s.json", storm->folder, vm);
    snprintf(err, sizeof(err), "%s/%s.err", storm->folder, vm);
    snprintf(program, sizeof(program), "%s/ioreq-vm", storm->build);
    const char *const arguments[] = {
        program, "load",   "--socket",   storm->socket, "--vm",   vm,   "--mix",
        mix,     "--json", "--duration", "1000000",     "--seed", seed, rate ? "--rate" : NULL,
        rate,    NULL};
    load->pid = spawn(arguments, load->report, err);
}

void storm_loads_start(struct storm *storm)
{
    load_start(storm, &storm->guest, "guest",
               storm->is_supervised
                   ? "scratch:mmio:0xfe100000-0xfe101fff=4,formula:mmio:0xfe110000-0xfe111fff=3"
                   : "scratch:mmio:0xfe000000-0xfe000fff=1,scratch:mmio:0xfe100000-0xfe101fff=4,"
                     "formula:mmio:0xfe110000-0xfe111fff=3",
               NULL);
    load_start(storm, &storm->reset, "again", "formula:mmio:0xfe110000-0xfe111fff=1", RESET_RATE);
}

static void show_file(const char *path)
{
    char line[512];
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file))
        fprintf(stderr, "  %s", line);
    if (file)
        fclose(file);
}

static void show_errors(const struct storm *storm, const char *vm)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof(path), "%s/%s.err", storm->folder, vm);
    show_file(path);
}

void storm_loads_check(const struct storm *storm)
{
    int status;
    if (waitpid(storm->guest.pid, &status, WNOHANG) == 0 &&
        waitpid(storm->reset.pid, &status, WNOHANG) == 0)
        return;
    show_errors(storm, "guest");
    show_errors(storm, "again");
    storm_fail("a load has ended by itself: the server broke the protocol, or is gone; its log: %s",
               storm->log);
}

static void load_stop(const struct storm *storm, struct storm_load *load, const char *vm,
                      struct storm_account *account, uint64_t *answers, uint64_t *given_up)
{
    int status;
    json_error_t error;
    kill(load->pid, SIGINT);
    while (waitpid(load->pid, &status, 0) < 0)
        ;
    load->pid = 0;
    json_t *report = json_load_file(load->report, 0, &error);
    if (!report) {
        show_errors(storm, vm);
        storm_fail("the load on %s left no report: %s", vm, error.text);
    }
    *answers = number_of(json_object_get(report, "round_trip_ns"), "count");
    account->wrong += number_of(report, "wrong");
    account->unanswered += number_of(report, "unanswered");
    *given_up = number_of(report, "given_up");
    json_decref(report);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return;
    account->loads_passed = false;
    show_errors(storm, vm);
}

void storm_loads_stop(struct storm *storm, struct storm_account *account)
{
    *account = (struct storm_account){.loads_passed = true};
    load_stop(storm, &storm->guest, "guest", account, &account->answers_guest,
              &account->given_up_guest);
    load_stop(storm, &storm->reset, "again", account, &account->answers_reset,
              &account->given_up_reset);
}
