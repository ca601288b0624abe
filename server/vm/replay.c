/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/vm/replay.h"

#include "clients/request.h"
#include "server/vm/affinity.h"
#include "server/vm/attach.h"
#include "server/vm/ending.h"
#include "server/vm/trace.h"
#include "server/vm/traffic.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COMMAND        "replay"
#define PRINTED_MAX    10
#define PROGRESS_EVERY 8192u

struct replay {
    const struct replay_options *options;
    struct requester *requester;
    struct trace_reader *trace;
    struct ending ending;
    struct affinity affinity;
    struct traffic traffic;
    uint64_t compared_count;
    uint64_t volatile_count;
    uint64_t differing_count;
    bool shows_progress;
};

static const char help_text[] =
    "Usage: ioreq-vm replay FILE [OPTION...]\n"
    "\n"
    "Plays a trace that 'ioreq-vm kvm --record' wrote through the VM's page, and compares every\n"
    "answer that is not marked as different in each run (~). Needs no KVM.\n"
    "\n"
    "  --vm NAME      the VM in the server's configuration (guest)\n"
    "  --socket PATH  the server's socket (/run/ioreqd/ioreqd.sock)\n" OPTION_COMPLETION_HELP
    "  --json         the report as JSON\n"
    "\n"
    "Exit codes: 0 every answer was the recorded one; 1 answers differ (the first 10 are printed), "
    "or "
    "the\n"
    "trace or the server failed; 2 usage.\n";

void replay_options_init(struct replay_options *options)
{
    *options = (struct replay_options){
        .attach = {.socket_path = OPTION_DEFAULT_SOCKET, .vm_name = OPTION_DEFAULT_VM},
    };
}

static void replay_compare(struct replay *replay, const struct trace_entry *entry, uint64_t answer)
{
    const struct requester_access *access = &entry->access;
    if (access->direction == REQUEST_WRITE)
        return;
    if (entry->is_volatile) {
        replay->volatile_count++;
        return;
    }
    replay->compared_count++;
    /* The guest saw no more than the size. */
    answer &= request_ones((uint32_t)access->size_bytes);
    if (answer == access->value || replay->differing_count++ >= PRINTED_MAX)
        return;
    fprintf(stderr,
            "%s:%" PRIu64 ": vCPU %" PRIu32 " read of %s 0x%" PRIx64 " size %" PRIu64 ": 0x%" PRIx64
            ", recorded 0x%" PRIx64 "\n",
            replay->options->path, trace_reader_line(replay->trace), entry->vcpu,
            access->type == REQUEST_PORTIO ? "portio" : "mmio", access->address, access->size_bytes,
            answer, access->value);
}

static void replay_show_progress(const struct replay *replay, const char *end)
{
    uint64_t done_bytes;
    uint64_t all_bytes;
    trace_reader_position(replay->trace, &done_bytes, &all_bytes);
    fprintf(stderr, "\r%" PRIu64 " accesses, %3.0f %%%s", traffic_count(&replay->traffic),
            all_bytes ? 100.0 * (double)done_bytes / (double)all_bytes : 100.0, end);
}

/* Plays one entry. False: the run is over, its ending raised. */
static bool replay_play(struct replay *replay, const struct trace_entry *entry)
{
    struct requester_access access = entry->access;
    if (access.direction == REQUEST_READ)
        access.value = 0;
    uint64_t begin_ns = monotonic_ns();
    int result = requester_access(replay->requester, entry->vcpu, &access);
    if (result != 0) {
        ending_raise(&replay->ending, result == -ESHUTDOWN ? ENDING_SERVER_GONE : ENDING_PROTOCOL,
                     "%s:%" PRIu64 ": %s", replay->options->path, trace_reader_line(replay->trace),
                     result == -ESHUTDOWN ? "the server closed the connection (look into its log "
                                            "and start it again)"
                                          : "the slot was not FREE: the server broke the protocol");
        return false;
    }
    traffic_add(&replay->traffic, &access, monotonic_ns() - begin_ns);
    replay_compare(replay, entry, access.value);
    return true;
}

static void *replay_thread(void *argument)
{
    struct replay *replay = argument;
    struct trace_entry entry;
    char error[TRACE_ERROR_BYTES];
    if (affinity_apply(&replay->affinity, 0, error, sizeof(error)) != 0)
        ending_raise(&replay->ending, ENDING_FAILED, "%s", error);
    for (uint32_t turn = 1; !ending_is_raised(&replay->ending); turn++) {
        int result = trace_read(replay->trace, &entry, error);
        if (result < 0)
            ending_raise(&replay->ending, ENDING_FAILED, "%s", error);
        else if (result == 0)
            ending_raise(&replay->ending, ENDING_DONE, "the whole trace was played");
        if (result <= 0 || !replay_play(replay, &entry))
            break;
        if (replay->shows_progress && turn % PROGRESS_EVERY == 0)
            replay_show_progress(replay, "");
    }
    if (replay->shows_progress)
        replay_show_progress(replay, "\n");
    return NULL;
}

static void replay_print(const struct replay *replay, bool has_passed, double seconds, FILE *report)
{
    const struct trace_header *header = trace_reader_header(replay->trace);
    const char *ending = ending_name(ending_get(&replay->ending));
    if (replay->options->wants_json) {
        fputs("{\"command\": \"replay\", \"vm\": ", report);
        json_print_string(replay->options->attach.vm_name, report);
        fputs(", \"trace\": ", report);
        json_print_string(replay->options->path, report);
        fprintf(report, ", \"ending\": \"%s\", \"reason\": ", ending);
        json_print_string(replay->ending.text, report);
        fputs(", ", report);
        affinity_print_json(&replay->affinity, report);
        fprintf(report,
                "\"passed\": %s, \"seconds\": %.3f, \"compared\": %" PRIu64
                ", \"differing\": %" PRIu64 ", \"not_compared\": %" PRIu64 ", ",
                has_passed ? "true" : "false", seconds, replay->compared_count,
                replay->differing_count, replay->volatile_count);
        traffic_print_json(&replay->traffic, report);
        fputs("}\n", report);
        return;
    }
    fprintf(report, "trace         %s: %s (%" PRIu64 " KiB), %" PRIu32 " vCPU%s\n",
            replay->options->path, header->firmware_name, header->firmware_bytes >> 10,
            header->vcpu_count, header->vcpu_count == 1 ? "" : "s");
    affinity_print(&replay->affinity, report);
    fprintf(report, "ended         %s after %.3f s: %s\n", ending, seconds, replay->ending.text);
    fprintf(report,
            "answers       %" PRIu64 " compared, %" PRIu64 " differ, %" PRIu64
            " not compared (they differ in each run)\n",
            replay->compared_count, replay->differing_count, replay->volatile_count);
    traffic_print(&replay->traffic, report);
    affinity_print_hint(&replay->affinity, &replay->traffic, report);
}

static int replay_attached(struct replay *replay, FILE *report)
{
    const struct trace_header *header = trace_reader_header(replay->trace);
    uint32_t vcpu_count = requester_vcpu_count(replay->requester);
    if (header->vcpu_count > vcpu_count)
        return command_fail(COMMAND,
                            "%s: recorded with %" PRIu32 " vCPUs, but VM '%s' has %" PRIu32
                            " (key vcpus of the server's configuration)",
                            replay->options->path, header->vcpu_count,
                            replay->options->attach.vm_name, vcpu_count);
    const struct cpu_list none = {0};
    affinity_init(&replay->affinity, &none, header->vcpu_count,
                  requester_poller_cpu(replay->requester));
    pthread_t player;
    uint64_t begin_ns = monotonic_ns();
    int result = -pthread_create(&player, NULL, replay_thread, replay);
    if (result != 0)
        return command_fail(COMMAND, "cannot start a thread: %s", strerror(-result));
    ending_wait(&replay->ending, 0);
    requester_stop(replay->requester); /* after a signal the player may wait for an answer */
    pthread_join(player, NULL);

    bool has_passed = ending_get(&replay->ending) == ENDING_DONE && replay->differing_count == 0;
    replay_print(replay, has_passed, (double)(monotonic_ns() - begin_ns) / 1e9, report);
    if (ending_get(&replay->ending) != ENDING_DONE)
        return command_fail(COMMAND, "%s", replay->ending.text);
    if (!has_passed)
        return command_fail(COMMAND, "%" PRIu64 " answers differ from %s", replay->differing_count,
                            replay->options->path);
    return EXIT_OK;
}

static int replay_opened(struct replay *replay, FILE *report)
{
    char error[512];
    const struct attach_options *attach = &replay->options->attach;
    int result = ending_init(&replay->ending);
    if (result != 0)
        return command_fail(COMMAND, "cannot wait for signals: %s", strerror(-result));
    int code;
    if (requester_attach(attach->socket_path, attach->vm_name, &replay->requester, error,
                         sizeof(error)) != 0) {
        code = command_fail(COMMAND, "%s", error);
    } else {
        code = attach_options_apply(attach, replay->requester, COMMAND);
        if (code == EXIT_OK)
            code = replay_attached(replay, report);
        requester_detach(replay->requester);
    }
    ending_fini(&replay->ending);
    return code;
}

int replay_run(const struct replay_options *options, FILE *report)
{
    char error[TRACE_ERROR_BYTES];
    struct replay *replay = calloc(1, sizeof(*replay));
    if (!replay)
        return command_fail(COMMAND, "out of memory");
    replay->options = options;
    replay->shows_progress = isatty(STDERR_FILENO) == 1;
    int code;
    if (trace_reader_open(options->path, &replay->trace, error) != 0) {
        code = command_fail(COMMAND, "%s", error);
    } else {
        if (trace_reader_check(replay->trace, error) != 0)
            code = command_fail(COMMAND, "%s; nothing of it was played", error);
        else
            code = replay_opened(replay, report);
        trace_reader_close(replay->trace);
    }
    free(replay);
    return code;
}

int replay_command(int argc, char **argv)
{
    enum { OPT_VM = 256, OPT_SOCKET, OPT_COMPLETION, OPT_JSON, OPT_HELP };
    static const struct option long_options[] = {
        {"vm", required_argument, NULL, OPT_VM},
        {"socket", required_argument, NULL, OPT_SOCKET},
        {"completion", required_argument, NULL, OPT_COMPLETION},
        {"json", no_argument, NULL, OPT_JSON},
        {"help", no_argument, NULL, OPT_HELP},
        {0},
    };
    struct replay_options options;
    replay_options_init(&options);
    options_begin(argv, COMMAND);
    int option;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        switch (option) {
        case OPT_VM:
            options.attach.vm_name = optarg;
            break;
        case OPT_SOCKET:
            options.attach.socket_path = optarg;
            break;
        case OPT_COMPLETION:
            if (!option_completion(optarg, &options.attach.completion))
                return option_refuse(
                    COMMAND, "--completion %s: expected " OPTION_COMPLETION_EXPECTED, optarg);
            break;
        case OPT_JSON:
            options.wants_json = true;
            break;
        case OPT_HELP:
            return fputs(help_text, stdout) < 0 ? EXIT_FAILED : EXIT_OK;
        default:
            return option_refuse(COMMAND, "see ioreq-vm replay --help");
        }
    }
    if (optind + 1 != argc)
        return option_refuse(COMMAND, "give one trace FILE; see ioreq-vm replay --help");
    options.path = argv[optind];
    return replay_run(&options, stdout);
}
