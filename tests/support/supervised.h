/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * supervised.h - `ioreqd --supervise` that is killed under load, and a guest that notices: a device in a
 * process of its own counts its reads, so that a request that is lost or made twice shows in what the
 * guest reads.
 *
 * Flow:    supervised_start -> counter_start -> counting_start -> supervised_kill ... -> counting_end.
 * Threads: the test's, and one for each vCPU.
 * Errors:  fail the test.
 */
#ifndef TESTS_SUPPORT_SUPERVISED_H
#define TESTS_SUPPORT_SUPERVISED_H

#include "tests/support/outside.h"

#include <dirent.h>
#include <pthread.h>

#define COUNTERS_VCPUS 2u
#define COUNTERS_PAST  0x800u /* offset of a word that reads 0 */

/* ---- the supervisor and its child --------------------------------------------------------- */

static inline void supervised_start(struct daemon *daemon)
{
    const char *const arguments[] = {BINARY_DIR "/ioreqd", "--supervise", "--config",
                                     daemon->config, NULL};
    daemon_spawn(daemon, arguments);
    daemon_wait_until_ready(daemon);
}

/* 0: there is none just now. */
static inline pid_t supervised_server(const struct daemon *daemon)
{
    char path[96];
    int pid = 0;
    snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)daemon->pid, (int)daemon->pid);
    FILE *file = fopen(path, "re");
    if (file && fscanf(file, "%d", &pid) != 1)
        pid = 0;
    if (file)
        fclose(file);
    return pid;
}

static inline void supervised_wait_for_another(const struct daemon *daemon, pid_t old)
{
    pid_t pid;
    while ((pid = supervised_server(daemon)) == old || pid == 0 || !daemon_answers(daemon))
        daemon_pause();
}

/* 0: it ended in order, if it still ran. Kills *helper, a child beside it, if there is one. What was said is
 * shown if it did not, or if IOREQ_SHOW is set. */
static inline int supervised_end(struct daemon *daemon, pid_t *helper)
{
    int result = daemon->pid > 0 ? daemon_stop(daemon) : 0;
    if (helper && *helper > 0) {
        kill(*helper, SIGKILL);
        waitpid(*helper, NULL, 0);
        *helper = 0;
    }
    if (result != 0 || getenv("IOREQ_SHOW"))
        daemon_show_errors(daemon);
    daemon_fini(daemon);
    return result;
}

static inline void supervised_kill(const struct daemon *daemon)
{
    pid_t old = supervised_server(daemon);
    assert_true(old > 0);
    kill(old, SIGKILL);
    supervised_wait_for_another(daemon, old);
}

static inline uint32_t supervised_count_descriptors(const struct daemon *daemon)
{
    char path[64];
    uint32_t count = 0;
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)daemon->pid);
    DIR *folder = opendir(path);
    assert_non_null(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

/* Descriptors that the supervisor has open: the least of some looks, as a process that comes back has two
 * channels kept for a moment. */
static inline uint32_t supervised_descriptors(const struct daemon *daemon)
{
    uint32_t least = UINT32_MAX;
    for (uint32_t i = 0; i < 25; i++) {
        uint32_t count = supervised_count_descriptors(daemon);
        least = count < least ? count : least;
        daemon_pause();
    }
    return least;
}

/* A file of that name in the supervisor's hands, or -1. */
static inline int supervised_open_kept(const struct daemon *daemon, const char *name)
{
    char path[96], target[64];
    for (int i = 0; i < 64; i++) {
        snprintf(path, sizeof(path), "/proc/%d/fd/%d", (int)daemon->pid, i);
        ssize_t length = readlink(path, target, sizeof(target) - 1);
        if (length <= 0)
            continue;
        target[length] = '\0';
        if (strstr(target, name))
            return open(path, O_RDWR | O_CLOEXEC);
    }
    return -1;
}

/* ---- the device that counts --------------------------------------------------------------- */

/* Serves client of vm: each read of a word gives one more than the last. A child, until killed. */
static inline pid_t counter_start(const struct daemon *daemon, const char *vm, const char *client)
{
    static uint64_t counts[COUNTERS_VCPUS];
    struct ioreq_client *ours;
    struct ioreq_request request;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int result = ioreq_register(daemon->socket, vm, client, &ours);
    while (result == 0) {
        result = ioreq_receive(ours, &request, IOREQ_FOREVER, 20000);
        if (result == 0)
            result = ioreq_answer(ours, request.token,
                                  request.offset == COUNTERS_PAST
                                      ? 0
                                      : ++counts[request.offset / 8 % COUNTERS_VCPUS]);
    }
    fprintf(stderr, "counters: %s\n", ioreq_error(ours));
    _exit(1);
}

/* ---- the guest ---------------------------------------------------------------------------- */

struct counting {
    struct requester *requester;
    uint64_t counters, nobody; /* addresses: the device's, and one without a client */
    uint32_t index;
    pthread_t thread;
    _Atomic bool must_end;
    _Atomic uint64_t longest_us; /* access since the last kill */
    uint64_t reads;              /* of its counter */
    uint64_t wrong;              /* lost, or made twice */
    uint64_t not_ones;           /* of what nobody owns */
    int result;
};

static inline uint64_t monotonic_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static inline void pause_us(uint64_t microseconds)
{
    struct timespec pause = {.tv_nsec = (long)(microseconds * 1000)};
    nanosleep(&pause, NULL);
}

static inline uint64_t counting_read(struct counting *vcpu, uint64_t address)
{
    struct requester_access access = {
        .address = address, .size_bytes = 8, .type = REQUEST_MMIO, .direction = REQUEST_READ};
    uint64_t begin_us = monotonic_us();
    int result = requester_access(vcpu->requester, vcpu->index, &access);
    uint64_t pause = monotonic_us() - begin_us;
    if (pause > atomic_load(&vcpu->longest_us))
        atomic_store(&vcpu->longest_us, pause);
    vcpu->result = result < 0 ? result : vcpu->result;
    return access.value;
}

static inline void *counting_run(void *argument)
{
    struct counting *vcpu = argument;
    while (!atomic_load(&vcpu->must_end) && vcpu->result == 0) {
        uint64_t value = counting_read(vcpu, vcpu->counters + 8 * vcpu->index);
        if (vcpu->result == 0)
            vcpu->wrong += value != ++vcpu->reads;
        value = counting_read(vcpu, vcpu->nobody);
        if (vcpu->result == 0)
            vcpu->not_ones += value != UINT64_MAX;
    }
    return NULL;
}

static inline void counting_start(struct counting vcpus[COUNTERS_VCPUS],
                                  struct requester *requester, uint64_t counters, uint64_t nobody)
{
    while (daemon_read(requester, counters + COUNTERS_PAST, 8) != 0)
        daemon_pause(); /* it has yet to register */
    for (uint32_t i = 0; i < COUNTERS_VCPUS; i++) {
        vcpus[i] = (struct counting){
            .requester = requester, .counters = counters, .nobody = nobody, .index = i};
        assert_int_equal(pthread_create(&vcpus[i].thread, NULL, counting_run, &vcpus[i]), 0);
    }
}

static inline void counting_end(struct counting vcpus[COUNTERS_VCPUS])
{
    for (uint32_t i = 0; i < COUNTERS_VCPUS; i++) {
        atomic_store(&vcpus[i].must_end, true);
        pthread_join(vcpus[i].thread, NULL);
        assert_int_equal(vcpus[i].result, 0);
        assert_int_equal(vcpus[i].wrong, 0);
        assert_int_equal(vcpus[i].not_ones, 0);
        assert_true(vcpus[i].reads > 0);
    }
}

static inline void *counting_read_once(void *argument)
{
    struct counting *vcpu = argument;
    vcpu->reads = counting_read(vcpu, vcpu->reads);
    return NULL;
}

/* Asks for address on a thread of its own; the answer is counting_end_read's. */
static inline void counting_begin_read(struct counting *vcpu, struct requester *requester,
                                       uint64_t address)
{
    *vcpu = (struct counting){.requester = requester, .reads = address};
    assert_int_equal(pthread_create(&vcpu->thread, NULL, counting_read_once, vcpu), 0);
}

static inline uint64_t counting_end_read(struct counting *vcpu)
{
    pthread_join(vcpu->thread, NULL);
    assert_int_equal(vcpu->result, 0);
    return vcpu->reads;
}

#endif
