/* SPDX-License-Identifier: BSD-3-Clause */
/* ioreqctl: asks a running ioreqd over its socket. */
#include "server/wire.h"

#include <errno.h>
#include <getopt.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum exit_code { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

static const char usage[] =
    "Usage: ioreqctl [--socket PATH] COMMAND\n"
    "Talks to a running ioreqd.\n"
    "\n"
    "  status [--json]     VMs and the states of their slots; pollers and their busy share since "
    "the\n"
    "                      last status; clients with accesses, latency from claim to completion, "
    "errors\n"
    "\n"
    "  -s, --socket PATH   where ioreqd listens (default /run/ioreqd/ioreqd.sock)\n"
    "  -h, --help          show this\n"
    "  -V, --version       show the version\n"
    "\n"
    "Exit codes: 0 ok, 1 failed, 2 usage.\n";

struct arguments {
    const char *socket_path;
    bool as_json;
};

/* -1: go on; otherwise the exit code. */
static int parse_arguments(int argc, char **argv, struct arguments *arguments)
{
    static const struct option options[] = {
        {"socket", required_argument, NULL, 's'},
        {"json", no_argument, NULL, 'j'},
        {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'V'},
        {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "s:hV", options, NULL)) != -1) {
        switch (option) {
        case 's':
            arguments->socket_path = optarg;
            break;
        case 'j':
            arguments->as_json = true;
            break;
        case 'h':
            fputs(usage, stdout);
            return EXIT_OK;
        case 'V':
            puts("ioreqctl " IOREQD_VERSION);
            return EXIT_OK;
        default:
            fputs("Try: ioreqctl --help\n", stderr);
            return EXIT_USAGE;
        }
    }
    if (optind + 1 != argc || strcmp(argv[optind], "status") != 0) {
        fputs("ioreqctl: expected one command: status\nTry: ioreqctl --help\n", stderr);
        return EXIT_USAGE;
    }
    return -1;
}

/* The payload behind the first line, up to its end. */
static int copy_payload(int server)
{
    char bytes[4096];
    for (;;) {
        ssize_t count = read(server, bytes, sizeof(bytes));
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return count == 0 ? 0 : -errno;
        if (fwrite(bytes, 1, (size_t)count, stdout) != (size_t)count)
            return -EIO;
    }
}

static int ask(const struct arguments *arguments)
{
    int server = wire_connect(arguments->socket_path);
    if (server < 0) {
        fprintf(stderr, "ioreqctl: no ioreqd answers on %s: %s; start it, or name its --socket\n",
                arguments->socket_path, strerror(-server));
        return EXIT_FAILED;
    }
    char line[WIRE_LINE_MAX];
    const char *text = "";
    int result = wire_send_line(server, "status%s", arguments->as_json ? " json" : "");
    /* A server that refuses us may have said so before it took the line. */
    if (result == 0 || result == -EPIPE)
        result = wire_receive_line(server, line, sizeof(line), NULL);
    if (result == 0)
        result = wire_parse_reply(line, &text);
    if (result == 0)
        result = copy_payload(server);
    if (result == 0 && fflush(stdout) != 0)
        result = -errno;
    if (result < 0)
        fprintf(stderr, "ioreqctl: %s\n", text[0] ? text : strerror(-result));
    close(server);
    return result < 0 ? EXIT_FAILED : EXIT_OK;
}

int main(int argc, char **argv)
{
    struct arguments arguments = {.socket_path = "/run/ioreqd/ioreqd.sock"};
    int exit_code = parse_arguments(argc, argv, &arguments);
    return exit_code >= 0 ? exit_code : ask(&arguments);
}
