/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of `ioreq-vm load`. */
#include "server/vm/load.h"

#include "pollers/slot.h"

#include <getopt.h>
#include <string.h>

#define COMMAND "load"

static const char help_text[] =
    "Usage: ioreq-vm load [OPTION...]\n"
    "\n"
    "Makes accesses on the VM's page from one thread a vCPU, and verifies every answer.\n"
    "\n"
    "  --count N           accesses in all (1000000, or no limit with --duration)\n"
    "  --duration SECONDS  ends after so long\n"
    "  --rate N            accesses a second in all; latencies then count from the time at which\n"
    "                      an access was due (without: each vCPU as fast as it is answered)\n"
    "  --vcpus N           threads (as many as the VM has vCPUs)\n"
    "  --cpus LIST         pins vCPU 0 to the first CPU of the list, vCPU 1 to the second...; one\n"
    "                      may be named again (all that are allowed but the poller's)\n"
    "  --mix LIST          KIND:SPACE:FIRST-LAST=WEIGHT,... with KIND scratch (registers that "
    "keep\n"
    "                      what is written, in units of 8 bytes), ones (nothing is there), any\n"
    "                      (whatever answers is right) or formula\n"
    "                      (reads only, for devices of tests that answer address * "
    "0x9e3779b97f4a7c15\n"
    "                      with bit 0 clear; all-ones is counted as given up), SPACE portio or "
    "mmio\n"
    "                      (" LOAD_DEFAULT_MIX ")\n"
    "  --read-percent P    share of reads, 0 to 100 (50)\n"
    "  --seed N            the same accesses again (from the clock; the report tells it)\n"
    "  --vm NAME           the VM in the server's configuration (guest)\n"
    "  --socket PATH       the server's socket (/run/ioreqd/ioreqd.sock)\n" OPTION_COMPLETION_HELP
    "  --ivshmem PATH      instead of --vm and --socket, for a server in a QEMU guest: registers "
    "a\n"
    "                      page in the memory that the ivshmem server at PATH shares with it\n"
    "  --page-offset N     where in that memory, a multiple of 4096 (0)\n"
    "  --json              the report as JSON\n"
    "\n"
    "Exit codes: 0 every answer was right; 1 wrong answers (the first 10 are printed), or the "
    "server\n"
    "failed; 2 usage.\n";

enum {
    OPT_COUNT = 256,
    OPT_DURATION,
    OPT_RATE,
    OPT_VCPUS,
    OPT_CPUS,
    OPT_MIX,
    OPT_READ_PERCENT,
    OPT_SEED,
    OPT_VM,
    OPT_SOCKET,
    OPT_COMPLETION,
    OPT_IVSHMEM,
    OPT_PAGE_OFFSET,
    OPT_JSON,
    OPT_HELP,
};

static const struct option long_options[] = {
    {"count", required_argument, NULL, OPT_COUNT},
    {"duration", required_argument, NULL, OPT_DURATION},
    {"rate", required_argument, NULL, OPT_RATE},
    {"vcpus", required_argument, NULL, OPT_VCPUS},
    {"cpus", required_argument, NULL, OPT_CPUS},
    {"mix", required_argument, NULL, OPT_MIX},
    {"read-percent", required_argument, NULL, OPT_READ_PERCENT},
    {"seed", required_argument, NULL, OPT_SEED},
    {"vm", required_argument, NULL, OPT_VM},
    {"socket", required_argument, NULL, OPT_SOCKET},
    {"completion", required_argument, NULL, OPT_COMPLETION},
    {"ivshmem", required_argument, NULL, OPT_IVSHMEM},
    {"page-offset", required_argument, NULL, OPT_PAGE_OFFSET},
    {"json", no_argument, NULL, OPT_JSON},
    {"help", no_argument, NULL, OPT_HELP},
    {0},
};

/* Takes one option. NULL, or what was expected (perhaps in error). */
static const char *parse_option(int option, const char *text, struct load_options *options,
                                char *error, size_t error_bytes)
{
    uint64_t number = 0;
    switch (option) {
    case OPT_COUNT:
        return option_number(text, 1, UINT64_MAX / 2, &options->count) ? NULL : "1 or more";
    case OPT_DURATION:
        return option_seconds(text, &options->duration_ns) ? NULL : "seconds, such as 10";
    case OPT_RATE:
        return option_number(text, 1, 1000000000u, &options->rate) ? NULL : "1 to 1000000000";
    case OPT_VCPUS:
        if (!option_number(text, 1, SLOT_COUNT, &number))
            return "1 to 16";
        options->vcpu_count = (uint32_t)number;
        return NULL;
    case OPT_CPUS:
        return option_cpus(text, &options->cpus) ? NULL : "CPUs such as 1, 0,2-3 or 0,0,0,0";
    case OPT_MIX:
        return load_mix_parse(text, &options->mix, error, error_bytes) ? NULL : error;
    case OPT_READ_PERCENT:
        if (!option_number(text, 0, 100, &number))
            return "0 to 100";
        options->read_percent = (uint32_t)number;
        return NULL;
    case OPT_SEED:
        return option_number(text, 0, UINT64_MAX, &options->seed) ? NULL : "a number";
    case OPT_VM:
        options->attach.vm_name = text;
        return NULL;
    case OPT_SOCKET:
        options->attach.socket_path = text;
        return NULL;
    case OPT_COMPLETION:
        return option_completion(text, &options->attach.completion) ? NULL
                                                                    : OPTION_COMPLETION_EXPECTED;
    case OPT_IVSHMEM:
        options->attach.ivshmem_path = text;
        return NULL;
    case OPT_PAGE_OFFSET:
        return option_size(text, 0, UINT64_MAX / 2, &options->attach.page_offset_bytes)
                   ? NULL
                   : "bytes, such as 4096 or 4KiB";
    default:
        options->wants_json = true;
        return NULL;
    }
}

int load_command(int argc, char **argv)
{
    struct load_options options;
    char error[512];
    load_options_init(&options);
    options_begin(argv, COMMAND);
    int option;
    int index = 0;
    while ((option = getopt_long(argc, argv, "", long_options, &index)) != -1) {
        if (option == '?')
            return option_refuse(COMMAND, "see ioreq-vm load --help");
        if (option == OPT_HELP)
            return fputs(help_text, stdout) < 0 ? EXIT_FAILED : EXIT_OK;
        const char *expected = parse_option(option, optarg, &options, error, sizeof(error));
        if (expected)
            return option == OPT_MIX ? option_refuse(COMMAND, "--mix: %s", expected)
                                     : option_refuse(COMMAND, "--%s %s: expected %s",
                                                     long_options[index].name, optarg, expected);
    }
    if (optind < argc)
        return option_refuse(COMMAND, "'%s': no such argument; see ioreq-vm load --help",
                             argv[optind]);
    return load_run(&options, stdout);
}
