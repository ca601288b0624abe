/* SPDX-License-Identifier: BSD-3-Clause */
/* storm's command line; storm.h says what it is. */
#include "tests/stress/storm.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>

enum exit_code { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

#define MINUTES_MAX 10000u
#define KILLS_MAX   100000000u

static const char help_text[] =
    "Usage: storm [OPTION...]\n"
    "\n"
    "Starts ioreqd, five device processes and two loads (ioreq-vm load, which verifies every "
    "answer),\n"
    "and for as long as asked kills, stops and re-registers the devices, moves ranges between "
    "them\n"
    "and resets a VM, at random. Then counts: wrong, lost and double answers, and descriptors.\n"
    "\n"
    "  --minutes N      how long; may be a fraction (1)\n"
    "  --kills N        ends after so many kill -9, and not by time unless --minutes is given, "
    "too\n"
    "  --seed N         the same acts again, as far as the machine's timing allows (from the "
    "clock)\n"
    "  --build FOLDER   where ioreqd and ioreq-vm are (that of this build)\n"
    "  --server-kills   kills ioreqd as well, under ioreqd --supervise\n"
    "  --keep           keeps the logs\n"
    "  --help           show this\n"
    "\n"
    "Exit codes: 0 nothing was lost, 1 something was, 2 usage.\n";

static bool read_number(const char *text, double maximum, double *number)
{
    char *end;
    *number = strtod(text, &end);
    return end != text && *end == '\0' && *number > 0 && *number <= maximum;
}

static int refuse(const char *option, const char *text, const char *expected)
{
    fprintf(stderr, "storm: --%s %s: expected %s\n", option, text, expected);
    return EXIT_USAGE;
}

/* -1: go on; otherwise the exit code. */
static int parse(int count, char **arguments, struct storm_options *options)
{
    static const struct option names[] = {
        {"minutes", required_argument, NULL, 'm'}, {"build", required_argument, NULL, 'b'},
        {"kills", required_argument, NULL, 'k'},   {"seed", required_argument, NULL, 's'},
        {"server-kills", no_argument, NULL, 'S'},  {"keep", no_argument, NULL, 'K'},
        {"help", no_argument, NULL, 'h'},          {0},
    };
    double number;
    int option;
    while ((option = getopt_long(count, arguments, "", names, NULL)) != -1) {
        switch (option) {
        case 'm':
            if (!read_number(optarg, MINUTES_MAX, &number))
                return refuse("minutes", optarg, "a number of minutes, such as 1 or 0.5");
            options->milliseconds = (uint64_t)(number * 60000);
            break;
        case 'k':
            if (!read_number(optarg, KILLS_MAX, &number))
                return refuse("kills", optarg, "1 to 100000000");
            options->kills = (uint64_t)number;
            break;
        case 's':
            options->seed = strtoull(optarg, NULL, 0);
            break;
        case 'b':
            options->build = optarg;
            break;
        case 'S':
            options->kills_server = true;
            break;
        case 'K':
            options->keeps_folder = true;
            break;
        case 'h':
            fputs(help_text, stdout);
            return EXIT_OK;
        default:
            fputs("Try: storm --help\n", stderr);
            return EXIT_USAGE;
        }
    }
    if (optind < count)
        return fprintf(stderr, "storm: %s: no such argument; see storm --help\n",
                       arguments[optind]),
               EXIT_USAGE;
    if (!options->milliseconds && !options->kills)
        options->milliseconds = 60000;
    return -1;
}

int main(int count, char **arguments)
{
    struct storm_options options = {.seed = storm_now_ms() % 1000000000, .build = BINARY_DIR};
    int code = parse(count, arguments, &options);
    if (code >= 0)
        return code;
    return storm_run(&options) ? EXIT_OK : EXIT_FAILED;
}
