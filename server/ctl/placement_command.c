/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/ctl/placement_command.h"

#include "config/cpu_list.h"
#include "pollers/placement.h"
#include "server/ctl/placement_report.h"
#include "server/ctl/sketch.h"
#include "server/devices/device_options.h"
#include "server/threads/thread_plan.h"

#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum exit_code { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

#define COMPACT_ABOVE_CPUS 32u
#define TEXT_WIDTH         100u
#define SVG_WIDTH          160u /* cells */

static const char usage[] =
    "Usage: ioreqctl placement FILE [OPTION...]\n"
    "Shows which CPU each thread of the configuration FILE would get, and why. Needs no ioreqd "
    "and\n"
    "changes nothing.\n"
    "\n"
    "      --topology MACHINE  on another machine: a file that lstopo wrote as XML, or hwloc's\n"
    "                          description of an invented one, such as 'pack:2 l3:8 core:8 pu:2'\n"
    "      --isolated LIST     as if those CPUs were isolated (isolcpus): such as 2-5,8, or none\n"
    "      --allowed LIST      as if a cgroup allowed only those\n"
    "      --svg FILE          draws the machine and its threads there, too\n"
    "      --json              prints one JSON object instead of table and drawing\n"
    "  -h, --help              show this\n"
    "\n"
    "Exit codes: 0 ok, 1 failed, 2 usage or configuration.\n";

struct arguments {
    const char *config_path;
    const char *topology; /* NULL: this machine */
    const char *svg_path; /* NULL: none */
    bool as_json;
    uint32_t *isolated, *allowed; /* [CPU_LIST_CPUS_MAX]; NULL: not given */
    size_t isolated_count, allowed_count;
};

/* ---- arguments --------------------------------------------------------------------------- */

/* -1: go on; otherwise the exit code. */
static int parse_list(const char *option, const char *text, uint32_t **cpus, size_t *count)
{
    if (!*cpus)
        *cpus = calloc(CPU_LIST_CPUS_MAX, sizeof(**cpus));
    if (!*cpus) {
        fputs("ioreqctl: no memory\n", stderr);
        return EXIT_FAILED;
    }
    const char *wrong = cpu_list_read(text, *cpus, count);
    if (!wrong)
        return -1;
    fprintf(stderr, "ioreqctl: --%s: '%.64s' %s; expected a list of CPUs such as 2-5,8, or none\n",
            option, text, wrong);
    return EXIT_USAGE;
}

static int parse_option(int option, struct arguments *arguments)
{
    switch (option) {
    case 't':
        arguments->topology = optarg;
        return -1;
    case 'g':
        arguments->svg_path = optarg;
        return -1;
    case 'j':
        arguments->as_json = true;
        return -1;
    case 'i':
        return parse_list("isolated", optarg, &arguments->isolated, &arguments->isolated_count);
    case 'a':
        return parse_list("allowed", optarg, &arguments->allowed, &arguments->allowed_count);
    case 'h':
        fputs(usage, stdout);
        return EXIT_OK;
    default:
        fputs("Try: ioreqctl placement --help\n", stderr);
        return EXIT_USAGE;
    }
}

static int parse_arguments(int argc, char **argv, struct arguments *arguments)
{
    static const struct option options[] = {
        {"topology", required_argument, NULL, 't'},
        {"isolated", required_argument, NULL, 'i'},
        {"allowed", required_argument, NULL, 'a'},
        {"svg", required_argument, NULL, 'g'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    static char name[] = "ioreqctl: placement"; /* what getopt begins its messages with */
    argv[0] = name;
    int option, exit_code = -1;
    while (exit_code < 0 && (option = getopt_long(argc, argv, "h", options, NULL)) != -1)
        exit_code = parse_option(option, arguments);
    if (exit_code >= 0)
        return exit_code;
    if (optind != argc - 1) {
        fprintf(stderr,
                "ioreqctl: placement: %s; expected one configuration file\n"
                "Try: ioreqctl placement --help\n",
                optind == argc ? "no file" : "more than one file");
        return EXIT_USAGE;
    }
    arguments->config_path = argv[optind];
    return -1;
}

/* ---- the machine ------------------------------------------------------------------------- */

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), end_length = strlen(end);
    return length >= end_length && strcmp(text + length - end_length, end) == 0;
}

/* False: said so. */
static bool check_list(const struct placement_machine *machine, const char *option,
                       const uint32_t *cpus, size_t count)
{
    for (size_t i = 0; cpus && i < count; i++) {
        if (placement_find(machine, cpus[i]))
            continue;
        fprintf(stderr, "ioreqctl: --%s: CPU %u does not exist; expected CPUs up to %u\n", option,
                cpus[i], machine->number_count - 1);
        return false;
    }
    return true;
}

static int open_machine(const struct arguments *arguments, struct placement **placement)
{
    struct stat status;
    const char *topology = arguments->topology;
    bool is_file = topology && (ends_with(topology, ".xml") || stat(topology, &status) == 0);
    const struct placement_source source = {
        .xml = is_file ? topology : NULL,
        .synthetic = is_file ? NULL : topology,
        .isolated = arguments->isolated,
        .isolated_count = arguments->isolated_count,
        .allowed = arguments->allowed,
        .allowed_count = arguments->allowed_count,
    };
    char reason[PLACEMENT_REASON_BYTES];
    int result = placement_open_source(&source, placement, reason);
    if (result < 0) {
        fprintf(stderr, "ioreqctl: placement: %s\n", reason);
        return result == -ENOMEM || result == -ENODEV ? EXIT_FAILED : EXIT_USAGE;
    }
    const struct placement_machine *machine = placement_machine(*placement);
    if (check_list(machine, "isolated", arguments->isolated, arguments->isolated_count) &&
        check_list(machine, "allowed", arguments->allowed, arguments->allowed_count))
        return -1;
    placement_close(*placement);
    return EXIT_USAGE;
}

/* ---- drawing ----------------------------------------------------------------------------- */

/* Threads, and the vCPUs of all VMs; NULL: no memory. */
static struct sketch_entry *gather_entries(const struct config *config,
                                           const struct thread_plan *plan, size_t *count)
{
    size_t room = plan->count;
    for (size_t i = 0; i < config->vm_count; i++)
        room += config->vms[i].vcpu_cpu_count;
    struct sketch_entry *entries = calloc(room, sizeof(*entries));
    *count = 0;
    for (size_t i = 0; entries && i < plan->count; i++)
        entries[(*count)++] = (struct sketch_entry){
            .cpu = plan->seats[i].cpu,
            .occupant =
                plan->wishes[i].role == PLACEMENT_POLLER ? SKETCH_POLLER : SKETCH_HOUSEKEEPING,
            .name = plan->wishes[i].name,
        };
    for (size_t i = 0; entries && i < config->vm_count; i++)
        for (size_t k = 0; k < config->vms[i].vcpu_cpu_count; k++)
            entries[(*count)++] = (struct sketch_entry){config->vms[i].vcpu_cpus[k], SKETCH_VCPU,
                                                        config->vms[i].name};
    return entries;
}

static int draw_text(const struct placement_machine *machine, const struct sketch_entry *entries,
                     size_t count)
{
    struct sketch *sketch = NULL;
    int result = sketch_create(machine, entries, count, machine->cpu_count > COMPACT_ABOVE_CPUS,
                               TEXT_WIDTH, &sketch);
    if (result == 0)
        result = sketch_print(sketch, stdout);
    sketch_destroy(sketch);
    return result;
}

static int draw_svg(const struct arguments *arguments, const struct placement_machine *machine,
                    const struct sketch_entry *entries, size_t count)
{
    struct sketch *sketch = NULL;
    char title[256];
    snprintf(title, sizeof(title), "Placement of %.80s on %.80s", arguments->config_path,
             arguments->topology ? arguments->topology : "this machine");
    int result = sketch_create(machine, entries, count, false, SVG_WIDTH, &sketch);
    FILE *file = result == 0 ? fopen(arguments->svg_path, "we") : NULL;
    if (result == 0)
        result = file ? sketch_print_svg(sketch, title, file) : -errno;
    if (file && fclose(file) != 0 && result == 0)
        result = -errno;
    if (result < 0)
        fprintf(stderr, "ioreqctl: placement: cannot write %s: %s\n", arguments->svg_path,
                strerror(-result));
    sketch_destroy(sketch);
    return result;
}

/* ---- all of it --------------------------------------------------------------------------- */

static int show(const struct arguments *arguments, const struct config *config,
                const struct placement_machine *machine, const struct thread_plan *plan)
{
    size_t count;
    struct sketch_entry *entries = gather_entries(config, plan, &count);
    int result = entries ? 0 : -ENOMEM;
    if (result == 0 && arguments->as_json) {
        result = placement_report_json(config, machine, plan, stdout);
    } else if (result == 0) {
        placement_report_table(machine, plan, TEXT_WIDTH, stdout);
        result = draw_text(machine, entries, count);
    }
    if (result == 0 && fflush(stdout) != 0)
        result = -errno;
    if (result < 0)
        fprintf(stderr, "ioreqctl: placement: %s\n", strerror(-result));
    else if (arguments->svg_path)
        result = draw_svg(arguments, machine, entries, count);
    free(entries);
    return result < 0 ? EXIT_FAILED : EXIT_OK;
}

static int plan_and_show(const struct arguments *arguments, struct config *config,
                         const struct placement_machine *machine)
{
    struct thread_plan *plan = NULL;
    thread_plan_check(config, machine);
    if (config->problem_count > 0)
        return EXIT_USAGE;
    int result = thread_plan_create(config, machine, &plan);
    if (result < 0) {
        fprintf(stderr, "ioreqctl: placement: %s\n", strerror(-result));
        return EXIT_FAILED;
    }
    int exit_code = show(arguments, config, machine, plan);
    thread_plan_destroy(plan);
    return exit_code;
}

static int run(const struct arguments *arguments)
{
    struct placement *placement = NULL;
    struct config *config = NULL;
    size_t kind_count;
    int exit_code = open_machine(arguments, &placement);
    if (exit_code >= 0)
        return exit_code;
    struct config_device_kind *kinds = device_config_kinds(&kind_count);
    int result =
        kinds ? config_load(arguments->config_path, kinds, kind_count, stderr, &config) : -ENOMEM;
    if (config)
        exit_code = plan_and_show(arguments, config, placement_machine(placement));
    else
        exit_code = result == -ENOMEM ? EXIT_FAILED : EXIT_USAGE;
    config_destroy(config);
    device_config_kinds_destroy(kinds);
    placement_close(placement);
    return exit_code;
}

int placement_command(int argc, char **argv)
{
    struct arguments arguments = {0};
    int exit_code = parse_arguments(argc, argv, &arguments);
    if (exit_code < 0)
        exit_code = run(&arguments);
    free(arguments.isolated);
    free(arguments.allowed);
    return exit_code;
}
