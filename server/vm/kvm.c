/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of `ioreq-vm kvm`. */
#include "server/vm/kvm.h"

#include "server/vm/machine.h"
#include "server/vm/observer.h"

#include <getopt.h>
#include <string.h>

#define COMMAND "kvm"

static const char help_text[] =
    "Usage: ioreq-vm kvm --firmware FILE [OPTION...]\n"
    "\n"
    "Runs a firmware image in a KVM guest. Every access that meets no memory becomes a request in\n"
    "the VM's page, and ioreqd answers it.\n"
    "\n"
    "  --firmware FILE      flash image, 64 KiB to 16 MiB; ends just under 4 GiB, read-only, its\n"
    "                       end also below 1 MiB\n"
    "  --shadow SIZE        how much of its end; above 128KiB it covers the addresses of option\n"
    "                       ROMs: only for images that need it, such as SeaBIOS of 256 KiB "
    "(128KiB)\n"
    "  --memory SIZE        RAM, with suffix KiB, MiB or GiB; up to 3 GiB lie at 0, the rest at\n"
    "                       4 GiB (64MiB). Firmware asks the server's clock: give its cmos client\n"
    "                       the same memory\n"
    "  --vcpus N            at most as many as the VM has in the server's configuration (1)\n"
    "  --irqchip KIND       kernel: KVM has the APICs, PICs and the PIT, as on ACRN; vCPU 0 "
    "starts,\n"
    "                       the others wait for INIT and SIPI. none: there are none, all their\n"
    "                       addresses are requests, no interrupt ever arrives, every vCPU starts "
    "at\n"
    "                       the reset vector, and HLT ends a vCPU (kernel)\n"
    "  --cpus LIST          pins vCPU 0 to the first CPU of the list, vCPU 1 to the second...; "
    "one\n"
    "                       may be named again (all that are allowed but the "
    "poller's)\n" OPTION_COMPLETION_HELP
    "  --vm NAME            the VM in the server's configuration (guest)\n"
    "  --socket PATH        the server's socket (/run/ioreqd/ioreqd.sock)\n"
    "\n"
    "The run ends when the guest ends (triple fault; with --irqchip none when every vCPU has\n"
    "halted), at SIGINT or SIGTERM, when the server goes away, and:\n"
    "  --until TEXT         once the guest has written TEXT to its console, byte by byte\n"
    "  --console-port PORT  port of that console (0x402)\n"
    "  --idle-exit SECONDS  after so long without a request\n"
    "  --timeout SECONDS    after so long\n"
    "\n"
    "  --record FILE        writes a trace for 'ioreq-vm replay', once the run has ended well\n"
    "  --volatile RANGE     marks reads there as different in each run, for a device of your own:\n"
    "                       portio:FIRST-LAST or mmio:FIRST-LAST; may be repeated\n"
    "  --json               the report as JSON\n"
    "  --probe              only tells whether guests can run here: exit 0, or 1 and the reason\n"
    "\n"
    "Exit codes: 0 ended as asked; 1 failed, or ended before TEXT was seen; 2 usage.\n";

enum {
    OPT_FIRMWARE = 256,
    OPT_MEMORY,
    OPT_SHADOW,
    OPT_VCPUS,
    OPT_IRQCHIP,
    OPT_CPUS,
    OPT_VM,
    OPT_SOCKET,
    OPT_COMPLETION,
    OPT_UNTIL,
    OPT_CONSOLE_PORT,
    OPT_IDLE_EXIT,
    OPT_TIMEOUT,
    OPT_RECORD,
    OPT_VOLATILE,
    OPT_JSON,
    OPT_PROBE,
    OPT_HELP,
};

static const struct option long_options[] = {
    {"firmware", required_argument, NULL, OPT_FIRMWARE},
    {"memory", required_argument, NULL, OPT_MEMORY},
    {"shadow", required_argument, NULL, OPT_SHADOW},
    {"vcpus", required_argument, NULL, OPT_VCPUS},
    {"irqchip", required_argument, NULL, OPT_IRQCHIP},
    {"cpus", required_argument, NULL, OPT_CPUS},
    {"vm", required_argument, NULL, OPT_VM},
    {"socket", required_argument, NULL, OPT_SOCKET},
    {"completion", required_argument, NULL, OPT_COMPLETION},
    {"until", required_argument, NULL, OPT_UNTIL},
    {"console-port", required_argument, NULL, OPT_CONSOLE_PORT},
    {"idle-exit", required_argument, NULL, OPT_IDLE_EXIT},
    {"timeout", required_argument, NULL, OPT_TIMEOUT},
    {"record", required_argument, NULL, OPT_RECORD},
    {"volatile", required_argument, NULL, OPT_VOLATILE},
    {"json", no_argument, NULL, OPT_JSON},
    {"probe", no_argument, NULL, OPT_PROBE},
    {"help", no_argument, NULL, OPT_HELP},
    {0},
};

static bool parse_irqchip(const char *text, struct kvm_options *options)
{
    options->has_kernel_irqchip = strcmp(text, "kernel") == 0;
    return options->has_kernel_irqchip || strcmp(text, "none") == 0;
}

static bool parse_volatile(const char *text, struct kvm_options *options)
{
    const char *end;
    return options->volatile_count < VOLATILE_RANGE_MAX &&
           address_range_parse(text, &options->volatile_ranges[options->volatile_count++], &end) &&
           *end == '\0';
}

/* The options that name the machine. NULL, or what was expected. */
static const char *parse_machine_option(int option, const char *text, struct kvm_options *options)
{
    uint64_t number = 0;
    switch (option) {
    case OPT_FIRMWARE:
        options->firmware_path = text;
        return NULL;
    case OPT_MEMORY:
        if (!option_size(text, MACHINE_RAM_MIN_BYTES, MACHINE_RAM_MAX_BYTES, &number) ||
            number % 4096 != 0)
            return "a size of 1MiB to 1024GiB in whole pages, such as 64MiB";
        options->memory_bytes = number;
        return NULL;
    case OPT_SHADOW:
        if (!option_size(text, 4096, FIRMWARE_SHADOW_MAX, &number) || number % 4096 != 0)
            return "a size of 4KiB to 256KiB in whole pages";
        options->shadow_bytes = number;
        return NULL;
    case OPT_VCPUS:
        if (!option_number(text, 1, MACHINE_VCPUS_MAX, &number))
            return "1 to 16";
        options->vcpu_count = (uint32_t)number;
        return NULL;
    case OPT_IRQCHIP:
        return parse_irqchip(text, options) ? NULL : "kernel or none";
    case OPT_COMPLETION:
        return option_completion(text, &options->attach.completion) ? NULL
                                                                    : OPTION_COMPLETION_EXPECTED;
    case OPT_CPUS:
        return option_cpus(text, &options->cpus) ? NULL : "CPUs such as 1, 0,2-3 or 0,0,0,0";
    case OPT_VM:
        options->attach.vm_name = text;
        return NULL;
    default:
        options->attach.socket_path = text;
        return NULL;
    }
}

/* The others. NULL, or what was expected. */
static const char *parse_run_option(int option, const char *text, struct kvm_options *options)
{
    uint64_t number = 0;
    switch (option) {
    case OPT_UNTIL:
        if (*text == '\0' || strlen(text) > UNTIL_TEXT_MAX)
            return "1 to 255 bytes";
        options->until = text;
        return NULL;
    case OPT_CONSOLE_PORT:
        if (!option_number(text, 0, 0xffff, &number))
            return "a port, 0 to 0xffff";
        options->console_port = (uint16_t)number;
        return NULL;
    case OPT_IDLE_EXIT:
        return option_seconds(text, &options->idle_exit_ns) ? NULL : "seconds, such as 2.5";
    case OPT_TIMEOUT:
        return option_seconds(text, &options->timeout_ns) ? NULL : "seconds, such as 60";
    case OPT_RECORD:
        options->record_path = text;
        return NULL;
    case OPT_VOLATILE:
        return parse_volatile(text, options) ? NULL
                                             : "portio:FIRST-LAST or mmio:FIRST-LAST, 16 "
                                               "at most";
    default:
        options->wants_json = true;
        return NULL;
    }
}

static int probe(void)
{
    char error[512];
    if (machine_probe(error, sizeof(error)) != 0)
        return command_fail(COMMAND, "%s", error);
    return EXIT_OK;
}

static int check(const struct kvm_options *options)
{
    if (!options->firmware_path)
        return option_refuse(COMMAND, "--firmware FILE is missing; see ioreq-vm kvm --help");
    if (options->cpus.count > 0 && options->cpus.count < options->vcpu_count)
        return option_refuse(COMMAND, "--cpus names %zu CPUs for %u vCPUs: name one for each",
                             options->cpus.count, options->vcpu_count);
    return EXIT_OK;
}

int kvm_command(int argc, char **argv)
{
    struct kvm_options options;
    kvm_options_init(&options);
    options_begin(argv, COMMAND);
    int option;
    int index = 0;
    while ((option = getopt_long(argc, argv, "+", long_options, &index)) != -1) {
        if (option == '?')
            return option_refuse(COMMAND, "see ioreq-vm kvm --help");
        if (option == OPT_HELP)
            return fputs(help_text, stdout) < 0 ? EXIT_FAILED : EXIT_OK;
        if (option == OPT_PROBE)
            return probe();
        const char *expected = option <= OPT_SOCKET ? parse_machine_option(option, optarg, &options)
                                                    : parse_run_option(option, optarg, &options);
        if (expected)
            return option_refuse(COMMAND, "--%s %s: expected %s", long_options[index].name, optarg,
                                 expected);
    }
    if (optind < argc)
        return option_refuse(COMMAND, "'%s': no such argument; see ioreq-vm kvm --help",
                             argv[optind]);
    int code = check(&options);
    return code == EXIT_OK ? kvm_run(&options, stdout) : code;
}
