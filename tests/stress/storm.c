/* SPDX-License-Identifier: BSD-3-Clause */
/* storm: acts at random against ioreqd under full load, and holds it to account; see storm.h. */
#include "tests/stress/storm.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROGRESS_MS 5000u
#define SETTLE_MS   20000u
#define STOP_MAX_MS 60u   /* long enough for a quarantine, now and then */
#define REST_MAX_US 1500u /* between two acts */

enum act { ACT_KILL, ACT_STOP, ACT_ANEW, ACT_MOVE, ACT_RESET, ACT_SERVER, ACT_COUNT };
static const struct {
    const char *name;
    uint32_t weight;
} acts[ACT_COUNT] = {
    [ACT_KILL] = {"kill -9", 64},         [ACT_STOP] = {"SIGSTOP", 10},
    [ACT_ANEW] = {"re-registration", 10}, [ACT_MOVE] = {"range moves", 12},
    [ACT_RESET] = {"VM resets", 4},       [ACT_SERVER] = {"server kills", 4},
};

struct storm_run {
    struct storm storm;
    struct storm_options options;
    uint64_t random, counts[ACT_COUNT], begin_ms, progress_ms, completed;
    uint64_t longest_restart_ms;
    bool is_moved[2]; /* a piece of strict-a's range, of hasty-a's, lies with the neighbour */
    struct storm_figures before, after;
};

uint64_t storm_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void storm_sleep_us(uint64_t us)
{
    nanosleep(&(struct timespec){.tv_sec = (time_t)(us / 1000000),
                                 .tv_nsec = (long)(us % 1000000 * 1000)},
              NULL);
}

void storm_fail(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("storm: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    storm_server_abandon();
    exit(1);
}

/* SplitMix64, as load_plan.h. */
static uint64_t random_below(struct storm_run *run, uint64_t limit)
{
    uint64_t value = run->random += 0x9e3779b97f4a7c15u;
    value = (value ^ value >> 30) * 0xbf58476d1ce4e5b9u;
    value = (value ^ value >> 27) * 0x94d049bb133111ebu;
    return (value ^ value >> 31) % limit;
}

/* ---- acts -------------------------------------------------------------------------------- */

static void go_on(struct storm_device *device)
{
    kill(device->pid, SIGCONT);
    device->is_stopped = false;
}

/* Seven times of eight it serves already; stopped or not. */
static bool act_kill(struct storm_run *run, struct storm_device *device)
{
    if (!storm_device_is_serving(device) && random_below(run, 8))
        return false;
    storm_device_kill(device);
    storm_device_start(&run->storm, device);
    return true;
}

static bool act_stop(struct storm_run *run, struct storm_device *device)
{
    if (device->is_stopped)
        return false;
    kill(device->pid, SIGSTOP);
    device->is_stopped = true;
    device->stopped_until_ms = storm_now_ms() + random_below(run, STOP_MAX_MS);
    return true;
}

/* What it leaves behind is answered for: not for strict ones. */
static bool act_anew(const struct storm_device *device)
{
    return device->kind != STORM_STRICT && kill(device->pid, SIGUSR1) == 0;
}

/* The first half of strict-a's or hasty-a's range goes to its neighbour by one change of the table, and
 * comes back by another; the next server finds it where it is. */
static bool act_move(struct storm_run *run)
{
    uint64_t pair = random_below(run, 2);
    const struct storm_device *from = &run->storm.devices[2 * pair], *to = from + 1;
    bool is_back = run->is_moved[pair];
    int result =
        storm_command(&run->storm, NULL, "range-%s guest %s mmio 0x%" PRIx64 " 0x%" PRIx64 "%s",
                      is_back ? "delete" : "add", to->name, from->first,
                      from->first + STORM_MOVABLE_BYTES - 1, is_back ? "" : " 1");
    if (result < 0)
        storm_fail("a range of %s does not move: %s", from->name, strerror(-result));
    run->is_moved[pair] = !is_back;
    return true;
}

static bool act_reset(struct storm_run *run)
{
    uint64_t completed = 0;
    int result = storm_command(&run->storm, &completed, "vm-reset again");
    if (result == -ETIMEDOUT)
        return false; /* a full machine keeps the poller from its CPU for a second; nothing changed */
    if (result < 0)
        storm_fail("VM again is not reset: %s", strerror(-result));
    run->completed += completed;
    return true;
}

static bool act_server(struct storm_run *run)
{
    if (!run->options.kills_server)
        return false;
    uint64_t begin = storm_now_ms();
    storm_server_kill(&run->storm);
    uint64_t restart_ms = storm_now_ms() - begin;
    run->longest_restart_ms =
        restart_ms > run->longest_restart_ms ? restart_ms : run->longest_restart_ms;
    return true;
}

static enum act choose(struct storm_run *run)
{
    uint32_t all = 0;
    for (int i = 0; i < ACT_COUNT; i++)
        all += acts[i].weight;
    uint64_t ticket = random_below(run, all);
    int act = 0;
    while (ticket >= acts[act].weight)
        ticket -= acts[act++].weight;
    return (enum act)act;
}

static void act_once(struct storm_run *run)
{
    enum act act = choose(run);
    struct storm_device *device = &run->storm.devices[random_below(run, STORM_DEVICES)];
    bool was_done = act == ACT_KILL     ? act_kill(run, device)
                    : act == ACT_STOP   ? act_stop(run, device)
                    : act == ACT_ANEW   ? act_anew(device)
                    : act == ACT_MOVE   ? act_move(run)
                    : act == ACT_SERVER ? act_server(run)
                                        : act_reset(run);
    run->counts[act] += was_done;
    uint64_t now = storm_now_ms();
    for (uint32_t i = 0; i < STORM_DEVICES; i++)
        if (run->storm.devices[i].is_stopped && run->storm.devices[i].stopped_until_ms <= now)
            go_on(&run->storm.devices[i]);
}

/* ---- the storm --------------------------------------------------------------------------- */

static bool is_over(const struct storm_run *run)
{
    const struct storm_options *options = &run->options;
    return (options->milliseconds && storm_now_ms() - run->begin_ms >= options->milliseconds) ||
           (options->kills && run->counts[ACT_KILL] >= options->kills);
}

static void show_progress(struct storm_run *run)
{
    uint64_t now = storm_now_ms();
    if (now - run->progress_ms < PROGRESS_MS)
        return;
    run->progress_ms = now;
    printf("%6" PRIu64 " s:", (now - run->begin_ms) / 1000);
    if (run->longest_restart_ms)
        printf(" (restart up to %" PRIu64 " ms)", run->longest_restart_ms);
    for (int i = 0; i < ACT_COUNT; i++)
        printf(" %" PRIu64 " %s%s", run->counts[i], acts[i].name, i + 1 < ACT_COUNT ? "," : "\n");
    fflush(stdout);
    storm_loads_check(&run->storm);
}

/* All there, and all serving. */
static void calm_down(struct storm_run *run)
{
    for (uint32_t i = 0; i < STORM_DEVICES; i++)
        if (run->storm.devices[i].is_stopped)
            go_on(&run->storm.devices[i]);
    uint64_t begin = storm_now_ms();
    for (uint32_t i = 0; i < STORM_DEVICES; i++)
        while (!storm_device_is_serving(&run->storm.devices[i])) {
            storm_sleep_us(5000);
            if (storm_now_ms() - begin > SETTLE_MS)
                storm_fail("%s cannot register any more; the server's log: %s",
                           run->storm.devices[i].name, run->storm.log);
        }
}

/* Under a new server, too. */
static void await_registrations(struct storm_run *run)
{
    struct storm_figures figures;
    uint64_t begin = storm_now_ms();
    do {
        storm_figures(&run->storm, &figures);
        storm_sleep_us(5000);
    } while ((figures.serving < STORM_DEVICES || figures.attached < 2) &&
             storm_now_ms() - begin < SETTLE_MS);
}

/* When the connections of before have ended: the least of many looks. */
static struct storm_figures settled_figures(const struct storm *storm, uint64_t wanted_descriptors)
{
    struct storm_figures figures = {0}, least = {.descriptors = UINT64_MAX};
    for (int i = 0; i < 200 && least.descriptors > wanted_descriptors; i++) {
        storm_figures(storm, &figures);
        if (figures.descriptors <= least.descriptors)
            least = figures;
        storm_sleep_us(10000);
    }
    return least;
}

static void rage(struct storm_run *run)
{
    struct storm *storm = &run->storm;
    storm_devices_init(storm);
    storm_server_start(storm);
    for (uint32_t i = 0; i < STORM_DEVICES; i++)
        storm_device_start(storm, &storm->devices[i]);
    calm_down(run);
    storm_loads_start(storm);
    do
        storm_figures(storm, &run->before);
    while (run->before.attached < 2);
    storm_sleep_us(100000);
    if (act_server(run)) /* a server that took on from another holds more than the first */
        await_registrations(run);
    /* What outlives the server has a file of its own, from the first change on. */
    act_move(run);
    act_move(run);
    run->before = settled_figures(storm, 0);
    run->begin_ms = run->progress_ms = storm_now_ms();
    while (!is_over(run)) {
        act_once(run);
        show_progress(run);
        storm_sleep_us(random_below(run, REST_MAX_US));
    }
    calm_down(run);
    await_registrations(run);
}

/* ---- the account ------------------------------------------------------------------------- */

struct verdict {
    bool is_good;
};

static void require(struct verdict *verdict, bool holds, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void require(struct verdict *verdict, bool holds, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("  %-6s ", holds ? "ok" : "FAILED");
    vprintf(format, arguments);
    putchar('\n');
    va_end(arguments);
    verdict->is_good &= holds;
}

static bool settle_accounts(struct storm_run *run, const struct storm_account *account,
                            bool has_stopped)
{
    const struct storm_figures *before = &run->before, *after = &run->after;
    struct verdict verdict = {.is_good = true};
    printf("storm: seed %" PRIu64 ", %.1f s\n", run->options.seed,
           (double)(storm_now_ms() - run->begin_ms) / 1000);
    for (int i = 0; i < ACT_COUNT; i++)
        printf("  %8" PRIu64 " %s\n", run->counts[i], acts[i].name);
    printf("  %8" PRIu64 " requests of the VM that is not reset, %" PRIu64 " of the other\n",
           account->answers_guest, account->answers_reset);
    printf("  %8" PRIu64 " handed on, %" PRIu64 " asked again, %" PRIu64 " late, %" PRIu64
           " late answers refused, %" PRIu64 " quarantines\n",
           after->handed_on, after->asked_again, after->late, after->refused, after->quarantines);
    if (run->options.kills_server)
        printf("  %8" PRIu64 " ms, the longest that no server was there\n",
               run->longest_restart_ms);
    printf("  %8" PRIu64 " KiB resident before, %" PRIu64 " after\n", before->resident_kib,
           after->resident_kib);
    require(&verdict, account->wrong == 0, "wrong answers: %" PRIu64, account->wrong);
    require(&verdict, account->unanswered == 0, "lost requests: %" PRIu64, account->unanswered);
    require(&verdict, account->loads_passed, "the loads' own verdict");
    require(&verdict, after->dropped == 0, "slots answered twice: %" PRIu64, after->dropped);
    if (run->options.kills_server) {
        printf(
            "  -      all-ones by the server are not checked: its counters begin anew with it\n");
    } else {
        require(&verdict, after->strict_in_place == 0,
                "answers in place of devices without deadline: %" PRIu64, after->strict_in_place);
        require(&verdict, account->given_up_guest == after->hasty_in_place,
                "all-ones seen of devices with a deadline: %" PRIu64
                ", given by the server: %" PRIu64,
                account->given_up_guest, after->hasty_in_place);
        require(&verdict, account->given_up_reset <= after->reset_in_place + run->completed,
                "the same in the VM that is reset: %" PRIu64 ", of at most %" PRIu64,
                account->given_up_reset, after->reset_in_place + run->completed);
    }
    require(&verdict, after->descriptors <= before->descriptors,
            "descriptors of ioreqd: %" PRIu64 " before, %" PRIu64 " after", before->descriptors,
            after->descriptors);
    require(&verdict, after->mappings <= before->mappings + 4,
            "mappings of ioreqd: %" PRIu64 " before, %" PRIu64 " after", before->mappings,
            after->mappings);
    require(&verdict, has_stopped, "ioreqd ends in order");
    return verdict.is_good;
}

static bool rage_and_settle(struct storm_run *run)
{
    struct storm_account account;
    rage(run);
    run->after = settled_figures(&run->storm, run->before.descriptors);
    storm_loads_stop(&run->storm, &account);
    /* Figures of the whole of the loads: those that change no more. */
    struct storm_figures last;
    storm_figures(&run->storm, &last);
    last.descriptors = run->after.descriptors;
    last.mappings = run->after.mappings;
    run->after = last;
    for (uint32_t i = 0; i < STORM_DEVICES; i++)
        storm_device_kill(&run->storm.devices[i]);
    bool has_stopped = storm_server_stop(&run->storm);
    bool is_good = settle_accounts(run, &account, has_stopped);
    if (!is_good || run->options.keeps_folder) {
        printf("storm: logs are in %s; again: --seed %" PRIu64 "\n", run->storm.folder,
               run->options.seed);
    } else {
        char command[96];
        snprintf(command, sizeof(command), "rm -rf %s", run->storm.folder);
        if (system(command) != 0)
            printf("storm: %s stays\n", run->storm.folder);
    }
    return is_good;
}

bool storm_run(const struct storm_options *options)
{
    static struct storm_run run;
    struct storm *storm = &run.storm;
    run.options = *options;
    run.random = storm->seed = options->seed;
    storm->build = options->build;
    storm->is_supervised = options->kills_server;
    strcpy(storm->folder, "/tmp/ioreqd-storm-XXXXXX");
    if (!mkdtemp(storm->folder) || chmod(storm->folder, 0755) < 0)
        storm_fail("%s: %s", storm->folder, strerror(errno));
    snprintf(storm->socket, sizeof(storm->socket), "%s/socket", storm->folder);
    snprintf(storm->config, sizeof(storm->config), "%s/config.yaml", storm->folder);
    snprintf(storm->log, sizeof(storm->log), "%s/ioreqd.log", storm->folder);
    printf("storm: seed %" PRIu64 "\n", options->seed);
    fflush(stdout);
    return rage_and_settle(&run);
}
