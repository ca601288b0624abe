/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * options.h - what ioreq-vm's sub-commands share on the command line.
 *
 * Flow:    getopt_long in each command -> option_... for a value -> option_refuse when it is wrong.
 * Threads: before any other thread starts.
 * Errors:  a parser returns false and leaves *value alone; option_refuse prints the line and
 *          returns EXIT_USAGE, so that `return option_refuse(...)` ends a command.
 */
#ifndef SERVER_VM_OPTIONS_H
#define SERVER_VM_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum exit_code {
    EXIT_OK = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
};

#define OPTION_DEFAULT_SOCKET "/run/ioreqd/ioreqd.sock"
#define OPTION_DEFAULT_VM     "guest"

#define OPTION_VCPUS_MAX 16

/* Which vCPUs wait for their answers asleep, until they are notified; the others poll. */
struct completion_modes {
    uint32_t notified;   /* bit per vCPU */
    uint32_t vcpu_count; /* that were named; 0: the mode of all */
};
#define OPTION_COMPLETION_EXPECTED "poll, notify, or one for each vCPU, such as poll,notify"
#define OPTION_COMPLETION_HELP                                                                   \
    "  --completion MODE  poll, or notify: a vCPU sleeps until its answer is there; or one for " \
    "each\n"                                                                                     \
    "                 vCPU: poll,notify,... (poll)\n"

/* Where a command finds its page; embedded in each command's options. */
struct attach_options {
    const char *socket_path;
    const char *vm_name;
    struct completion_modes completion;
    const char *ivshmem_path; /* socket of an ivshmem server, instead of the two above; or NULL */
    uint64_t page_offset_bytes;
};

/* A list of CPUs in the order they were written: vCPU i goes to cpus[i]. */
#define OPTION_CPUS_MAX 16
struct cpu_list {
    size_t count;
    uint32_t cpus[OPTION_CPUS_MAX];
};

/* Before the first getopt_long: messages of its own begin with "ioreq-vm COMMAND". */
void options_begin(char **argv, const char *command);

/* Decimal or 0x..., minimum..maximum. */
bool option_number(const char *text, uint64_t minimum, uint64_t maximum, uint64_t *value);
/* Bytes: a number with an optional suffix KiB, MiB or GiB. */
bool option_size(const char *text, uint64_t minimum, uint64_t maximum, uint64_t *value);
/* Seconds with an optional fraction, above 0 and up to 10^6, as nanoseconds. */
bool option_seconds(const char *text, uint64_t *value_ns);
/* "3", "0,2", "1-3,7", "0,0,0": at most OPTION_CPUS_MAX. */
bool option_cpus(const char *text, struct cpu_list *list);

/* "poll", "notify", or one of them for each vCPU, "poll,notify". */
bool option_completion(const char *text, struct completion_modes *modes);

/* One line "ioreq-vm COMMAND: ..." on stderr; EXIT_USAGE. */
int option_refuse(const char *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The same for a failure that is not the operator's typing; EXIT_FAILED. */
int command_fail(const char *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The same for what does not stop the run. */
void command_warn(const char *command, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Pins the calling thread to one CPU and reads it back. 0, or -EINVAL (no such CPU), ... */
int thread_pin(uint32_t cpu);

#endif
