/* SPDX-License-Identifier: BSD-3-Clause */
/* ioreqctl: asks a running ioreqd over its socket. A command's words are sent as one line; the server
 * knows them (server/socket/commands.c), this program only how to ask. */
#include "server/ctl/eventfds.h"
#include "server/ctl/placement_command.h"
#include "server/socket/wire.h"
#include "server/standard_descriptors.h"

#include <errno.h>
#include <getopt.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum exit_code { EXIT_OK = 0, EXIT_FAILED = 1, EXIT_USAGE = 2 };

#define COMMAND_BYTES 16000

static const char usage[] =
    "Usage: ioreqctl [--socket PATH] COMMAND\n"
    "Talks to a running ioreqd. Everything works while requests flow.\n"
    "\n"
    "  status [--json]     VMs and the states of their slots; pollers and their busy share since "
    "the\n"
    "                      last status; clients with accesses, latency from the look at a slot "
    "to\n"
    "                      completion, errors\n"
    "  reload              reads the configuration file anew, as SIGHUP does\n"
    "\n"
    "VMs:\n"
    "  vm-create DESCRIPTION            as an element of the file's vms: '{name: x, vcpus: 2, "
    "source:\n"
    "                                   memfd, poller: rt}'; it is stopped until vm-start\n"
    "  vm-start | vm-pause | vm-resume | vm-destroy VM\n"
    "  vm-clear VM                      completes what is in flight, as a VM reset does to "
    "requests\n"
    "  vm-reset VM                      vm-clear, then every device at power-on\n"
    "\n"
    "Clients and ranges:\n"
    "  client-create DESCRIPTION        as an element of the file's clients: '{name: x, vm: "
    "guest,\n"
    "                                   device: register_bank, ranges: [...], options: {...}}'\n"
    "  client-create-external VM NAME   a default client that waits and finishes by these two:\n"
    "  client-attach VM CLIENT          waits until requests are there, and shows them\n"
    "  notify-finish VM CLIENT VCPU [VALUE]   completes one; VALUE answers a read\n"
    "  client-destroy VM CLIENT\n"
    "  client-start | client-stop VM CLIENT   the process that the file's start: describes; the "
    "first\n"
    "                                   ends limp-home\n"
    "  range-add VM CLIENT TYPE FIRST LAST [PRIORITY]   TYPE: portio, mmio or pcicfg\n"
    "  range-delete VM CLIENT TYPE FIRST LAST\n"
    "\n"
    "Eventfds:\n"
    "  ioeventfd-watch VM TYPE ADDRESS LENGTH [DATA]    assigns one and shows each ring, until "
    "Ctrl-C\n"
    "  irqfd-raise VM line GSI | VM msi ADDRESS DATA    assigns one and raises the interrupt once\n"
    "\n"
    "Without a running ioreqd:\n"
    "  placement FILE [...]             which thread of that configuration would run where, and "
    "why;\n"
    "                                   see ioreqctl placement --help\n"
    "\n"
    "  -s, --socket PATH   where ioreqd listens (default /run/ioreqd/ioreqd.sock)\n"
    "  -h, --help          show this\n"
    "  -V, --version       show the version\n"
    "\n"
    "Exit codes: 0 ok, 1 failed, 2 usage.\n";

struct arguments {
    const char *socket_path;
    bool as_json;
    char command[COMMAND_BYTES];
};

/* The words of the command as one line. False: too long. */
static bool join_words(int count, char **words, char *line, size_t line_bytes)
{
    size_t length = 0;
    for (int i = 0; i < count; i++) {
        int written = snprintf(line + length, line_bytes - length, "%s%s", i ? " " : "", words[i]);
        if (written < 0 || (size_t)written >= line_bytes - length)
            return false;
        length += (size_t)written;
    }
    /* A description may be written on several lines; to YAML's flow style a blank is the same. */
    for (char *each = line; *each; each++)
        if (*each == '\n')
            *each = ' ';
    return true;
}

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
    static char name[] = "ioreqctl"; /* what getopt begins its messages with */
    if (argc > 0)
        argv[0] = name;
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
    if (optind == argc) {
        fputs("ioreqctl: expected a command, such as status\nTry: ioreqctl --help\n", stderr);
        return EXIT_USAGE;
    }
    if (!join_words(argc - optind, argv + optind, arguments->command, COMMAND_BYTES - 8)) {
        fputs("ioreqctl: the command is too long\n", stderr);
        return EXIT_USAGE;
    }
    if (arguments->as_json)
        strcat(arguments->command, " json");
    return -1;
}

/* The payload behind the first line, up to its end. */
static int copy_payload(int server, FILE *out)
{
    char bytes[4096];
    for (;;) {
        ssize_t count = read(server, bytes, sizeof(bytes));
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return count == 0 ? 0 : -errno;
        if (fwrite(bytes, 1, (size_t)count, out) != (size_t)count)
            return -EIO;
    }
}

/* Some commands wait as long as it takes. */
static void wait_for_reply(int server)
{
    struct pollfd reply = {.fd = server, .events = POLLIN};
    while (poll(&reply, 1, -1) < 0 && errno == EINTR)
        ;
}

static int explain_no_server(const char *path, int error)
{
    const char *remedy = error == EACCES || error == EPERM
                             ? "run this as root, or as a user in its server: allowed_uids"
                             : "start it, or name its --socket";
    fprintf(stderr, "ioreqctl: no ioreqd answers on %s: %s; %s\n", path, strerror(error), remedy);
    return EXIT_FAILED;
}

static int ask(const struct arguments *arguments)
{
    int server = wire_connect(arguments->socket_path);
    if (server < 0)
        return explain_no_server(arguments->socket_path, -server);
    char line[WIRE_LINE_MAX];
    const char *text = "";
    int result = wire_send_line(server, "%s", arguments->command);
    /* A server that refuses us may have said so before it took the line. */
    if (result == 0 || result == -EPIPE) {
        wait_for_reply(server);
        result = wire_receive_line(server, line, sizeof(line), NULL);
    }
    if (result == 0)
        result = wire_parse_reply(line, &text);
    if (result < 0) {
        fprintf(stderr, "ioreqctl: %s\n", text[0] ? text : strerror(-result));
        copy_payload(server, stderr);
    } else {
        if (text[0])
            puts(text);
        result = copy_payload(server, stdout);
        if (result == 0 && fflush(stdout) != 0)
            result = -errno;
        if (result < 0)
            fprintf(stderr, "ioreqctl: %s\n", strerror(-result));
    }
    close(server);
    return result == 0 ? EXIT_OK : result == -EINVAL ? EXIT_USAGE : EXIT_FAILED;
}

/* What stands behind the command's name, or NULL if it is another command. */
static const char *words_of(const char *command, const char *name)
{
    size_t length = strlen(name);
    bool is_it = strncmp(command, name, length) == 0 && command[length] == ' ';
    return is_it ? command + length + 1 : NULL;
}

int main(int argc, char **argv)
{
    if (standard_descriptors_open() < 0)
        return EXIT_FAILED;
    if (argc > 1 && strcmp(argv[1], "placement") == 0)
        return placement_command(argc - 1, argv + 1);
    static struct arguments arguments = {.socket_path = "/run/ioreqd/ioreqd.sock"};
    int exit_code = parse_arguments(argc, argv, &arguments);
    if (exit_code >= 0)
        return exit_code;
    const char *watch = words_of(arguments.command, "ioeventfd-watch");
    const char *raise = words_of(arguments.command, "irqfd-raise");
    if (watch)
        return eventfds_watch(arguments.socket_path, watch) < 0 ? EXIT_FAILED : EXIT_OK;
    if (raise)
        return eventfds_raise(arguments.socket_path, raise, 1) < 0 ? EXIT_FAILED : EXIT_OK;
    return ask(&arguments);
}
