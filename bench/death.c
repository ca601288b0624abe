/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * death: from kill -9 of the process that is a client's device to the requester's answer.
 *
 * ioreqd itself runs beside us, its poller on a CPU of its own, its control thread on the other one with
 * us. Each sample has a process of its own: it registers, takes one request, and sleeps over it; then it
 * is killed, and the slot that waits is answered by the policy. The way: the kernel ends the process,
 * control hears of it, its poller settles. A vCPU would spin on a CPU of its own; we have none but control's,
 * and sleep some 70 us between two looks: whoever yields instead keeps control waiting for a slice of the
 * scheduler's, 3 ms, once in some hundred deaths.
 *
 * The limit is the first part of that way alone: a process that has nothing is killed, until whoever waits
 * for its pidfd runs again.
 */
#include "bench/bench.h"
#include "bench/partner.h"

#include "clients/channel_peer.h"
#include "clients/library/session.h"
#include "pollers/slot.h"
#include "pollers/ticks.h"
#include "server/socket/wire.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define RANGE_FIRST  0xd0000000ull
#define SAMPLES      10u
#define DEADLINE_US  10000u
#define WANTED_US    1000.0
#define READY_MS     10000
#define FOLDER_BYTES 64

enum way { WAY_OURS, WAY_PIDFD, WAY_COUNT };

struct question {
    char folder[FOLDER_BYTES];
    char socket[FOLDER_BYTES + 16];
    pid_t server;
    int connection; /* that plays the hypervisor; -1: none */
    struct acrn_io_request *slots;
};

static void pause_briefly(void)
{
    struct timespec pause = {.tv_nsec = 50000};
    nanosleep(&pause, NULL);
}

/* ---- the one that is killed -------------------------------------------------------------- */

/* Registers, takes a request, says so, and does nothing more. */
static void be_device(const char *socket, int told)
{
    struct channel_peer peer;
    struct channel_request request;
    char error[SESSION_ERROR_BYTES];
    int descriptors[SESSION_DESCRIPTORS], server;
    /* The end of the one before may reach the server after us. */
    while ((server = session_open(socket, "client-register guest device", descriptors, error)) ==
           -EBUSY)
        pause_briefly();
    if (server < 0 || channel_peer_map(descriptors[0], descriptors[1], &peer) < 0 ||
        write(told, "r", 1) != 1)
        _exit(1);
    while (!channel_peer_take(&peer, &request))
        pause_briefly();
    if (write(told, "t", 1) != 1)
        _exit(1);
    for (;;)
        pause();
}

/* Its pid; *tells is read from. way: a device, or one that only says that it is there. */
static pid_t start_victim(const struct question *question, enum way way, int *tells)
{
    int ends[2];
    if (pipe2(ends, O_CLOEXEC) < 0)
        return -1;
    pid_t pid = fork();
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (way == WAY_OURS)
            be_device(question->socket, ends[1]);
        if (write(ends[1], "t", 1) == 1)
            for (;;)
                pause();
        _exit(1);
    }
    close(ends[1]);
    *tells = ends[0];
    return pid;
}

/* False: it ended instead. */
static bool hear(int tells)
{
    char byte;
    return read(tells, &byte, 1) == 1;
}

static void bury(pid_t pid, int tells)
{
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(tells);
}

/* ---- samples ----------------------------------------------------------------------------- */

static void ask(struct acrn_io_request *slot)
{
    slot->type = REQUEST_MMIO;
    slot->completion_polling = 1;
    slot->reqs.mmio_request.direction = REQUEST_READ;
    slot->reqs.mmio_request.address = RANGE_FIRST;
    slot->reqs.mmio_request.size = 8;
    __atomic_store_n(&slot->processed, SLOT_PENDING, __ATOMIC_RELEASE);
}

/* Until COMPLETE; then the slot is FREE again. */
static void await(struct acrn_io_request *slot)
{
    const struct timespec pause = {.tv_nsec = 10000};
    while (slot_state(slot) != SLOT_COMPLETE)
        nanosleep(&pause, NULL);
    __atomic_store_n(&slot->processed, SLOT_FREE, __ATOMIC_RELEASE);
}

static int sample_ours(struct question *question, uint64_t *ticks)
{
    int tells;
    pid_t pid = start_victim(question, WAY_OURS, &tells);
    if (pid < 0)
        return -errno;
    int result = hear(tells) ? 0 : -ESRCH;
    if (result == 0) {
        ask(question->slots);
        result = hear(tells) ? 0 : -ESRCH;
        uint64_t begin = ticks_now();
        kill(pid, SIGKILL);
        await(question->slots);
        *ticks = ticks_now() - begin;
    }
    bury(pid, tells);
    return result;
}

static int sample_pidfd(struct question *question, uint64_t *ticks)
{
    int tells, result = 0;
    pid_t pid = start_victim(question, WAY_PIDFD, &tells);
    int descriptor = pid > 0 && hear(tells) ? (int)syscall(SYS_pidfd_open, pid, 0) : -1;
    if (descriptor < 0)
        result = -ESRCH;
    struct pollfd entry = {.fd = descriptor, .events = POLLIN};
    uint64_t begin = ticks_now();
    if (pid > 0)
        kill(pid, SIGKILL);
    if (result == 0 && poll(&entry, 1, READY_MS) != 1)
        result = -ETIMEDOUT;
    *ticks = ticks_now() - begin;
    if (descriptor >= 0)
        close(descriptor);
    if (pid > 0)
        bury(pid, tells);
    return result;
}

static int run_block(void *context, uint32_t way, uint64_t *samples, uint32_t count)
{
    int result = 0;
    for (uint32_t i = 0; i < count && result == 0; i++)
        result = way == WAY_OURS ? sample_ours(context, &samples[i])
                                 : sample_pidfd(context, &samples[i]);
    if (result < 0)
        fprintf(stderr, "ioreq-bench: death: %s\n", strerror(-result));
    return result;
}

/* ---- the server -------------------------------------------------------------------------- */

static int write_config(const struct question *question, const struct bench_options *options)
{
    char path[FOLDER_BYTES + 16];
    snprintf(path, sizeof(path), "%s/config", question->folder);
    FILE *out = fopen(path, "we");
    if (!out)
        return -errno;
    fprintf(out,
            "server: {socket: %s, lock_memory: false, cpu: %u}\n"
            "pollers: [{name: rt, cpu: %u, sandbox: false}]\n"
            "vms: [{name: guest, vcpus: 1, source: memfd, poller: rt}]\n"
            "clients:\n"
            "  - name: device\n"
            "    vm: guest\n"
            "    device: process\n"
            "    ranges: [{type: mmio, first: 0x%llx, last: 0x%llx}]\n"
            "    options: {deadline_us: %u}\n",
            question->socket, options->requester_cpu, options->poller_cpu, RANGE_FIRST,
            RANGE_FIRST + 0xfff, DEADLINE_US);
    return fclose(out) == 0 ? 0 : -EIO;
}

/* The ioreqd that lies beside this program. */
static int start_server(struct question *question)
{
    char path[512], config[FOLDER_BYTES + 16], log[FOLDER_BYTES + 16];
    ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 16);
    if (length < 0)
        return -errno;
    path[length] = '\0';
    strcpy(strrchr(path, '/'), "/ioreqd");
    if (access(path, X_OK) < 0)
        return -errno;
    snprintf(config, sizeof(config), "%s/config", question->folder);
    snprintf(log, sizeof(log), "%s/log", question->folder);
    question->server = fork();
    if (question->server < 0)
        return -errno;
    if (question->server > 0)
        return 0;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int out = open(log, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    dup2(out, STDERR_FILENO);
    execl(path, path, "--config", config, (char *)NULL);
    _exit(127);
}

/* As a hypervisor's side does it. */
static int attach(struct question *question)
{
    char line[WIRE_LINE_MAX];
    const char *text;
    int page = -1;
    for (int ms = 0; ms < READY_MS; ms++) {
        question->connection = wire_connect(question->socket);
        if (question->connection >= 0)
            break;
        if (waitpid(question->server, NULL, WNOHANG) != 0) {
            question->server = 0;
            return -ECHILD;
        }
        const struct timespec pause = {.tv_nsec = 1000000};
        nanosleep(&pause, NULL);
    }
    int result = question->connection < 0 ? question->connection : 0;
    if (result == 0)
        result = wire_send_line(question->connection, "attach guest");
    if (result == 0)
        result = wire_receive_line(question->connection, line, sizeof(line), &page);
    if (result == 0)
        result = wire_parse_reply(line, &text);
    if (result < 0 || page < 0)
        return result < 0 ? result : -EPROTO;
    void *slots = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, page, 0);
    close(page);
    question->slots = slots == MAP_FAILED ? NULL : slots;
    return question->slots ? 0 : -ENOMEM;
}

static int set_up(struct question *question, const struct bench_options *options)
{
    question->connection = -1;
    strcpy(question->folder, "/tmp/ioreq-bench-XXXXXX");
    if (!mkdtemp(question->folder)) {
        question->folder[0] = '\0';
        return -errno;
    }
    snprintf(question->socket, sizeof(question->socket), "%s/socket", question->folder);
    int result = write_config(question, options);
    if (result == 0)
        result = start_server(question);
    if (result == 0)
        result = attach(question);
    return result < 0 ? result : bench_bind_self(options->requester_cpu);
}

static void tear_down(struct question *question)
{
    static const char *const files[] = {"config", "log", "socket", "socket.lock"};
    if (question->slots)
        munmap(question->slots, PAGE_BYTES);
    if (question->connection >= 0)
        close(question->connection);
    if (question->server > 0) {
        kill(question->server, SIGTERM);
        waitpid(question->server, NULL, 0);
    }
    for (size_t i = 0; question->folder[0] && i < sizeof(files) / sizeof(files[0]); i++) {
        char path[FOLDER_BYTES + 16];
        snprintf(path, sizeof(path), "%s/%s", question->folder, files[i]);
        unlink(path);
    }
    if (question->folder[0])
        rmdir(question->folder);
}

int bench_death(struct bench_result *result)
{
    static struct question question;
    const struct bench_contender contenders[WAY_COUNT] = {
        {.name = "kill -9 to the answer",
         .role = BENCH_OURS,
         .samples_max = SAMPLES,
         .run_block = run_block,
         .context = &question,
         .variant = WAY_OURS},
        {.name = "kill -9 to its pidfd",
         .role = BENCH_LIMIT,
         .samples_max = SAMPLES,
         .run_block = run_block,
         .context = &question,
         .variant = WAY_PIDFD},
    };
    struct bench_point *point;
    signal(SIGPIPE, SIG_IGN);
    int failed = set_up(&question, result->options);
    if (failed < 0)
        fprintf(stderr, "ioreq-bench: death: cannot run ioreqd beside this program: %s\n",
                strerror(-failed));
    if (failed == 0)
        failed = bench_compare(result, "1 vCPU", 1, contenders, WAY_COUNT, &point);
    if (failed == 0) {
        const struct bench_series *ours = &point->series[0];
        bench_reach_at_most(result, "p99.9, us", bench_series_ns(ours, 0.999) / 1000, WANTED_US);
        bench_reach_at_most(result, "max, us: its deadline", bench_series_ns(ours, 1) / 1000,
                            DEADLINE_US);
    }
    tear_down(&question);
    return failed;
}
