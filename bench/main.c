/* SPDX-License-Identifier: BSD-3-Clause */
/* ioreq-bench: one question a file, every claim one command away. */
#include "bench/bench.h"

#include "server/standard_descriptors.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum exit_code { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

static const struct {
    const char *name;
    const char *summary;
    int (*run)(struct bench_result *result);
    bool needs_two_cpus; /* two threads that spin for each other: on one CPU it would take hours */
} questions[] = {
    {"rtt", "PENDING to COMPLETE as the vCPU sees it, beside the bare slot protocol", bench_rtt,
     true},
    {"hop", "a request to a device on another poller and back, beside one cache line both ways",
     bench_hop, true},
    {"channel", "a request to a device in another process and back, beside two words both ways",
     bench_channel, true},
    {"death", "kill -9 of such a process until its request is answered, beside its pidfd alone",
     bench_death, true},
    {"sweep", "looking at the slots of 1 to 64 VMs, and the round trip when one is PENDING",
     bench_sweep, true},
    {"rate", "time a request takes while 16 slots are always pending, reads and writes", bench_rate,
     true},
    {"route", "one lookup of an address's range, beside a list, a tree and a binary search",
     bench_route, false},
    {"notify", "cost on the poller of one notification, by the ways there are", bench_notify,
     false},
    {"mixed", "a VM that polls beside one that is notified, on one poller", bench_mixed, true},
    {"wake", "the shape of today's driver, beside rtt", bench_wake, false},
    {"jitter", "the longest gaps of an idle poller, and what interrupted it", bench_jitter, false},
    {"guest", "a port read timed by a KVM guest, beside its own thread and QEMU", bench_guest,
     false},
    {"ranges", "latency while 65,535 ranges are changed, and the time of a VM reset", bench_ranges,
     false},
};
#define QUESTION_COUNT (sizeof(questions) / sizeof(questions[0]))

static void print_usage(FILE *out)
{
    fputs("Usage: ioreq-bench QUESTION [options]\n"
          "Measures against a limit in the same run; the figure to quote is the ratio.\n\n",
          out);
    for (size_t i = 0; i < QUESTION_COUNT; i++)
        fprintf(out, "  %-18s  %s\n", questions[i].name, questions[i].summary);
    fputs("\n"
          "  --json              one JSON object instead of a table\n"
          "  --smoke             a second, to see that it works; not a measurement\n"
          "  --vcpus N           slots in use, 1..16 (default: as the question says)\n"
          "  --ranges N          ranges in the router, 1..65536 (default 256, of the question "
          "ranges 65535)\n"
          "  --blocks N          blocks of each contender, 1..10000 (default 100)\n"
          "  --samples N         samples a block, 100..1000000 (default 2000)\n"
          "  --requester-cpu N   (default: the first CPU that may be used)\n"
          "  --poller-cpu N      (default: the last CPU that may be used)\n"
          "  --completion MODE   of rtt: poll, or notify: the vCPU sleeps until it is told (poll)\n"
          "  --export DIRECTORY  every distribution as files there (.hgrm, .hlog, .json)\n"
          "  --list              the questions' names, one a line\n"
          "  -h, --help          show this\n"
          "  -V, --version       show the version\n"
          "\n"
          "Exit codes: 0 ok, 1 failed, 2 usage.\n",
          out);
}

static int usage_error(void)
{
    fputs("Try: ioreq-bench --help\n", stderr);
    return EXIT_USAGE;
}

/* Names what there is, behind a line that has begun. */
static int expected_question(void)
{
    fputs("expected one of:", stderr);
    for (size_t i = 0; i < QUESTION_COUNT; i++)
        fprintf(stderr, " %s", questions[i].name);
    fputc('\n', stderr);
    return usage_error();
}

static bool parse_number(const char *option, const char *text, uint32_t minimum, uint32_t maximum,
                         uint32_t *number)
{
    char *end;
    errno = 0;
    unsigned long value = strtoul(text, &end, 10);
    if (errno || end == text || *end || text[0] == '-' || value < minimum || value > maximum) {
        fprintf(stderr, "ioreq-bench: --%s: '%s'; expected a number from %u to %u\n", option, text,
                minimum, maximum);
        return false;
    }
    *number = (uint32_t)value;
    return true;
}

static void default_cpus(struct bench_options *options)
{
    cpu_set_t set;
    bool has_first = false;
    if (sched_getaffinity(0, sizeof(set), &set) < 0)
        return;
    for (uint32_t cpu = 0; cpu < CPU_SETSIZE; cpu++) {
        if (!CPU_ISSET(cpu, &set))
            continue;
        if (!has_first)
            options->requester_cpu = cpu;
        has_first = true;
        options->poller_cpu = cpu;
    }
}

enum bench_option {
    VCPUS = 256,
    RANGES,
    BLOCKS,
    SAMPLES,
    REQUESTER_CPU,
    POLLER_CPU,
    EXPORT,
    COMPLETION,
    LIST
};

static const struct option known_options[] = {
    {"json", no_argument, NULL, 'j'},
    {"smoke", no_argument, NULL, 's'},
    {"vcpus", required_argument, NULL, VCPUS},
    {"ranges", required_argument, NULL, RANGES},
    {"blocks", required_argument, NULL, BLOCKS},
    {"samples", required_argument, NULL, SAMPLES},
    {"export", required_argument, NULL, EXPORT},
    {"completion", required_argument, NULL, COMPLETION},
    {"requester-cpu", required_argument, NULL, REQUESTER_CPU},
    {"poller-cpu", required_argument, NULL, POLLER_CPU},
    {"list", no_argument, NULL, LIST},
    {"help", no_argument, NULL, 'h'},
    {"version", no_argument, NULL, 'V'},
    {NULL, 0, NULL, 0},
};

static bool parse_completion(const char *text, struct bench_options *options)
{
    options->is_notified = strcmp(text, "notify") == 0;
    if (options->is_notified || strcmp(text, "poll") == 0)
        return true;
    fprintf(stderr, "ioreq-bench: --completion: '%s'; expected poll or notify\n", text);
    return false;
}

/* One that has a value or sets a flag. False after a line on stderr: a wrong value. */
static bool take_option(int option, const char *name, const char *text,
                        struct bench_options *options)
{
    switch (option) {
    case 'j':
        options->as_json = true;
        return true;
    case 's':
        options->is_smoke = true;
        return true;
    case EXPORT:
        options->export_directory = text;
        return true;
    case COMPLETION:
        return parse_completion(text, options);
    case VCPUS:
        options->has_vcpus = true;
        return parse_number(name, text, 1, 16, &options->vcpus);
    case RANGES:
        options->has_ranges = true;
        return parse_number(name, text, 1, 65536, &options->ranges);
    case BLOCKS:
        return parse_number(name, text, 1, 10000, &options->blocks);
    case SAMPLES:
        return parse_number(name, text, 100, 1000000, &options->block_samples);
    case REQUESTER_CPU:
        return parse_number(name, text, 0, CPU_SETSIZE - 1, &options->requester_cpu);
    case POLLER_CPU:
        return parse_number(name, text, 0, CPU_SETSIZE - 1, &options->poller_cpu);
    default:
        return false;
    }
}

/* -1: go on; otherwise the exit code. */
static int parse_options(int argc, char **argv, struct bench_options *options)
{
    static char name[] = "ioreq-bench"; /* what getopt begins its messages with */
    if (argc > 0)
        argv[0] = name;
    int option, index = 0;
    while ((option = getopt_long(argc, argv, "hV", known_options, &index)) != -1) {
        switch (option) {
        case LIST:
            for (size_t i = 0; i < QUESTION_COUNT; i++)
                puts(questions[i].name);
            return EXIT_OK;
        case 'h':
            print_usage(stdout);
            return EXIT_OK;
        case 'V':
            puts("ioreq-bench " IOREQD_VERSION);
            return EXIT_OK;
        default:
            if (!take_option(option, known_options[index].name, optarg, options))
                return usage_error();
        }
    }
    return -1;
}

/* Whether the question can be asked on those CPUs; says why not. */
static bool has_cpus(size_t question, const struct bench_options *options)
{
    if (options->requester_cpu != options->poller_cpu || !questions[question].needs_two_cpus)
        return true;
    fprintf(stderr,
            "ioreq-bench: %s: requester and poller would share CPU %u; expected two CPUs, by "
            "--requester-cpu and --poller-cpu\n",
            questions[question].name, options->poller_cpu);
    return false;
}

static int ask(size_t question, const struct bench_options *options)
{
    const char *name = questions[question].name;
    if (options->export_directory && bench_export_begin(options) < 0)
        return EXIT_FAILED;
    struct bench_result *result = bench_result_create(name, questions[question].summary, options);
    int failed = result ? questions[question].run(result) : -ENOMEM;
    if (failed == 0 && options->as_json)
        failed = bench_result_print_json(result);
    else if (failed == 0)
        bench_result_print_table(result);
    /* Half an answer must not pass for one, as on a full disk. */
    if (failed == 0 && (fflush(stdout) != 0 || ferror(stdout)))
        failed = -EIO;
    if (failed < 0)
        fprintf(stderr, "ioreq-bench: %s: %s\n", name, strerror(-failed));
    else if (options->export_directory)
        failed = bench_export(result);
    bench_result_destroy(result);
    return failed < 0 ? EXIT_FAILED : EXIT_OK;
}

int main(int argc, char **argv)
{
    if (standard_descriptors_open() < 0)
        return EXIT_FAILED;
    struct bench_options options = {.ranges = 256, .blocks = 100, .block_samples = 2000};
    default_cpus(&options);
    int exit_code = parse_options(argc, argv, &options);
    if (exit_code >= 0)
        return exit_code;
    if (optind + 1 != argc) {
        fprintf(stderr, "ioreq-bench: %s; ",
                optind == argc ? "no question" : "more than one question");
        return expected_question();
    }
    size_t question = 0;
    while (question < QUESTION_COUNT && strcmp(argv[optind], questions[question].name) != 0)
        question++;
    if (question == QUESTION_COUNT) {
        fprintf(stderr, "ioreq-bench: '%s' is no question; ", argv[optind]);
        return expected_question();
    }
    if (!has_cpus(question, &options))
        return usage_error();
    if (!options.is_smoke && (strcmp(IOREQD_BUILD_TYPE, "Release") != 0 || IOREQD_SANITIZE[0])) {
        fputs("ioreq-bench: this is not a Release build, its figures would mean nothing; build the "
              "release preset, or use --smoke\n",
              stderr);
        return EXIT_FAILED;
    }
    if (options.is_smoke) {
        options.blocks = 4;
        options.block_samples = 200;
    }
    return ask(question, &options);
}
