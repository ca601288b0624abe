/* SPDX-License-Identifier: BSD-3-Clause */
/* ioreq-vm: plays the hypervisor's side of a VM's page. */
#include "server/standard_descriptors.h"
#include "server/vm/kvm.h"
#include "server/vm/load.h"
#include "server/vm/replay.h"

#include <signal.h>
#include <string.h>

static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
} commands[] = {
    {"kvm", kvm_command},
    {"replay", replay_command},
    {"load", load_command},
};

static const char help_text[] =
    "Usage: ioreq-vm COMMAND [OPTION...]\n"
    "\n"
    "Plays the hypervisor's side of a VM's I/O request page that ioreqd serves.\n"
    "\n"
    "  kvm      runs firmware in a KVM guest: every access that meets no memory is a request\n"
    "  replay   plays a recorded run, and compares the answers\n"
    "  load     makes accesses as fast as they are answered or at a rate, and verifies the "
    "answers\n"
    "\n"
    "  ioreq-vm COMMAND --help tells a command's options; --version the version.\n"
    "\n"
    "Exit codes: 0 ok, 1 failed, 2 usage.\n";

int main(int argc, char **argv)
{
    if (standard_descriptors_open() < 0)
        return EXIT_FAILED;
    signal(SIGPIPE, SIG_IGN); /* a report into a closed pipe is an error, not a death */
    if (argc < 2)
        return option_refuse("", "which command? kvm, replay or load; see ioreq-vm --help");
    int code = -1;
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        code = fputs(help_text, stdout) < 0 ? EXIT_FAILED : EXIT_OK;
    else if (strcmp(argv[1], "--version") == 0)
        code = puts("ioreq-vm " IOREQD_VERSION) < 0 ? EXIT_FAILED : EXIT_OK;
    for (size_t i = 0; code < 0 && i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(argv[1], commands[i].name) == 0)
            code = commands[i].run(argc - 1, argv + 1);
    if (code < 0)
        return option_refuse("", "'%s' is no command: kvm, replay or load; see ioreq-vm --help",
                             argv[1]);
    /* A report that did not get out is a failure. */
    if (fflush(stdout) != 0 && code == EXIT_OK)
        code = command_fail("", "cannot write to the standard output");
    return code;
}
