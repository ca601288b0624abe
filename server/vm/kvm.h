/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * kvm.h - `ioreq-vm kvm`: firmware in a KVM guest, all of whose devices ioreqd serves.
 *
 * Flow:    kvm_command: command line -> kvm_run: machine, page, vCPU threads -> wait for the first
 *          cause to end -> report.
 * Threads: the main one, one a vCPU, and the requester's watcher.
 * Memory:  all gone when kvm_run returns.
 * Errors:  exit codes of options.h; one line on stderr with cause and remedy.
 */
#ifndef SERVER_VM_KVM_H
#define SERVER_VM_KVM_H

#include "server/vm/options.h"
#include "server/vm/volatile_answers.h"

#include <stdio.h>

struct kvm_options {
    struct attach_options attach;
    const char *firmware_path;
    uint64_t memory_bytes;
    uint64_t shadow_bytes; /* of the image's end, copied below 1 MiB */
    uint32_t vcpu_count;
    bool has_kernel_irqchip;
    struct cpu_list cpus; /* empty: not pinned */
    const char *until;    /* NULL: not awaited */
    uint16_t console_port;
    uint64_t idle_exit_ns; /* 0: never */
    uint64_t timeout_ns;   /* 0: none */
    const char *record_path;
    struct address_range volatile_ranges[VOLATILE_RANGE_MAX];
    size_t volatile_count;
    bool wants_json;
};

void kvm_options_init(struct kvm_options *options);
/* The report goes to `report`, errors to stderr. EXIT_OK or EXIT_FAILED. */
int kvm_run(const struct kvm_options *options, FILE *report);
/* `ioreq-vm kvm ...`; argv[0] is "kvm". An exit code. */
int kvm_command(int argc, char **argv);

#endif
