/* SPDX-License-Identifier: BSD-3-Clause */
/* ioreqd: reads the configuration, builds the topology, becomes the control thread. */
#include "config/config.h"
#include "config/print.h"
#include "pollers/memory.h"
#include "pollers/ticks.h"
#include "server/control.h"
#include "server/devices/device_options.h"
#include "server/log.h"
#include "server/restart/adoption.h"
#include "server/restart/supervisor.h"
#include "server/standard_descriptors.h"
#include "server/topology.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

enum exit_code { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

static const char usage[] =
    "Usage: ioreqd --config FILE [--check] [--socket PATH] [--supervise]\n"
    "Serves the I/O requests of guests from user space, by polling their shared request pages.\n"
    "\n"
    "  -c, --config FILE   configuration (see config/ioreqd.yaml, which holds every key)\n"
    "      --check         only check FILE; every problem is shown as file:line:column, and what\n"
    "                      this machine will make slow\n"
    "  -s, --socket PATH   listen there instead of where the configuration says\n"
    "      --supervise     run as a process that is started again when it dies; no request is "
    "lost\n"
    "      --help-config   describe every key of the configuration\n"
    "  -h, --help          show this\n"
    "  -V, --version       show the version\n"
    "\n"
    "SIGTERM and SIGINT settle what is in flight and end the server; SIGHUP reloads FILE. With\n"
    "--supervise, SIGUSR2 restarts it: requests in flight go on under the next one.\n"
    "Exit codes: 0 ok, 1 failed, 2 usage or configuration.\n";

struct arguments {
    const char *config_path;
    const char *socket_path; /* NULL: the configuration's */
    bool check_only;
    bool supervise;
    bool help_config;
};

#define SOCKET_PATH_MAX (sizeof(((struct sockaddr_un *)0)->sun_path) - 1)

static bool is_socket_path(const char *path)
{
    size_t length = strlen(path);
    return length > 0 && length <= SOCKET_PATH_MAX;
}

/* -1: go on; otherwise the exit code. */
static int parse_arguments(int argc, char **argv, struct arguments *arguments)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"check", no_argument, NULL, 'k'},
        {"help-config", no_argument, NULL, 'H'},  {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},      {"socket", required_argument, NULL, 's'},
        {"supervise", no_argument, NULL, 'S'},    {NULL, 0, NULL, 0},
    };
    static char name[] = "ioreqd"; /* what getopt begins its messages with */
    if (argc > 0)
        argv[0] = name;
    int option;
    while ((option = getopt_long(argc, argv, "c:s:hV", options, NULL)) != -1) {
        switch (option) {
        case 'c':
            arguments->config_path = optarg;
            break;
        case 's':
            arguments->socket_path = optarg;
            break;
        case 'k':
            arguments->check_only = true;
            break;
        case 'S':
            arguments->supervise = true;
            break;
        case 'H':
            arguments->help_config = true;
            break;
        case 'h':
            fputs(usage, stdout);
            return EXIT_OK;
        case 'V':
            puts("ioreqd " IOREQD_VERSION);
            return EXIT_OK;
        default:
            fputs("Try: ioreqd --help\n", stderr);
            return EXIT_USAGE;
        }
    }
    if (optind < argc)
        fprintf(stderr, "ioreqd: unexpected argument '%s'", argv[optind]);
    else if (!arguments->config_path && !arguments->help_config)
        fputs("ioreqd: --config FILE is required", stderr);
    else if (arguments->socket_path && !is_socket_path(arguments->socket_path))
        fprintf(stderr, "ioreqd: --socket: %zu bytes; expected a path of 1 to %zu bytes",
                strlen(arguments->socket_path), SOCKET_PATH_MAX);
    else
        return -1;
    fputs("\nTry: ioreqd --help\n", stderr);
    return EXIT_USAGE;
}

/* Locked memory is counted in addresses (RLIMIT_MEMLOCK), and what is freed stays locked. One heap
 * for all threads: each of its own would be 64 MiB of addresses. Large blocks apart from it, always:
 * they go when they are freed. Nobody allocates often. */
static void keep_heap_small(void)
{
    mallopt(M_ARENA_MAX, 1);
    mallopt(M_MMAP_THRESHOLD, 64 * 1024);
}

static int lock_memory(const struct config *config)
{
    if (!config->server.lock_memory)
        return 0;
    uint64_t limit_bytes;
    int result = memory_lock_all(&limit_bytes);
    if (result < 0)
        log_error("cannot lock memory (%s; limit %llu KiB): raise it with ulimit -l unlimited, "
                  "LimitMEMLOCK=infinity or CAP_IPC_LOCK, or accept page faults with server: "
                  "lock_memory: false",
                  strerror(-result), (unsigned long long)(limit_bytes / 1024));
    return result;
}

/* placement goes with the topology, unless a poller is left that may use it. */
static int serve(const struct config *config, struct placement *placement,
                 const struct config_device_kind *kinds, size_t kind_count)
{
    struct topology *topology = NULL;
    int result = lock_memory(config);
    if (result == 0) {
        result = topology_create(config, placement, &topology);
        if (result < 0)
            log_error("cannot build the pollers: %s", strerror(-result));
    }
    if (result == 0)
        result = control_run(topology, config, kinds, kind_count);
    if (topology_destroy(topology))
        placement_close(placement);
    return result;
}

/* What would hurt if this were started, where its pollers would be. Changes no exit code. */
static void advise(const struct config *config, struct placement *placement,
                   const struct machine_facts *facts)
{
    struct topology *topology = NULL;
    if (topology_create(config, placement, &topology) == 0) {
        thread_plan_log(topology->plan);
        topology_advise(topology, facts);
    }
    topology_destroy(topology);
}

static int check_and_serve(const struct arguments *arguments, struct config *config,
                           const struct config_device_kind *kinds, size_t kind_count)
{
    struct placement *placement = NULL;
    int result = placement_open(&placement);
    if (result < 0) {
        log_error("cannot read the machine's topology: %s", strerror(-result));
        return EXIT_FAILED;
    }
    if (arguments->socket_path)
        config->server.socket = arguments->socket_path;
    struct machine_facts facts = machine_facts_read();
    topology_check(config, placement, &facts);
    if (config->problem_count == 0 && !arguments->check_only)
        return serve(config, placement, kinds, kind_count) < 0 ? EXIT_FAILED : EXIT_OK;
    if (config->problem_count == 0)
        advise(config, placement, &facts);
    placement_close(placement);
    if (config->problem_count > 0)
        return EXIT_USAGE;
    printf("%s: ok: pollers %zu, VMs %zu, clients %zu\n", config->path, config->poller_count,
           config->vm_count, config->client_count);
    return EXIT_OK;
}

/* The program is found by its path each time, so that a newer one is started after an upgrade. */
static int supervise(const struct arguments *arguments)
{
    static char program[PATH_MAX];
    char *child[6] = {(char *)(uintptr_t) "ioreqd", (char *)(uintptr_t) "--config",
                      (char *)(uintptr_t)arguments->config_path};
    if (arguments->socket_path) {
        child[3] = (char *)(uintptr_t) "--socket";
        child[4] = (char *)(uintptr_t)arguments->socket_path;
    }
    ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
    if (length < 0) {
        log_error("cannot find myself: /proc/self/exe: %s", strerror(errno));
        return EXIT_FAILED;
    }
    program[length] = '\0';
    return supervisor_run(program, child);
}

int main(int argc, char **argv)
{
    ticks_begin();
    if (standard_descriptors_open() < 0)
        return EXIT_FAILED;
    keep_heap_small();
    struct arguments arguments = {0};
    int exit_code = parse_arguments(argc, argv, &arguments);
    if (exit_code >= 0)
        return exit_code;
    if (arguments.supervise && !arguments.check_only && !arguments.help_config)
        return supervise(&arguments);
    control_block_signals();
    adoption_recall();
    size_t kind_count;
    struct config_device_kind *kinds = device_config_kinds(&kind_count);
    if (!kinds) {
        log_error("no memory");
        return EXIT_FAILED;
    }
    struct config *config = NULL;
    if (arguments.help_config) {
        int result = config_print_reference(kinds, kind_count, stdout);
        exit_code = result == 0 && fflush(stdout) == 0 ? EXIT_OK : EXIT_FAILED;
        if (exit_code == EXIT_FAILED)
            log_error("cannot write the reference: %s", strerror(errno));
    } else if (config_load(arguments.config_path, kinds, kind_count, stderr, &config) < 0 &&
               !config) {
        exit_code = EXIT_USAGE;
    } else {
        exit_code = check_and_serve(&arguments, config, kinds, kind_count);
    }
    config_destroy(config);
    device_config_kinds_destroy(kinds);
    return exit_code;
}
