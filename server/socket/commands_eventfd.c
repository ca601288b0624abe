/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands that come with an eventfd: ioeventfds and irqfds of a VM. */
#include "server/socket/commands_internal.h"

#include "server/notify/ioeventfd.h"
#include "server/vm_hsm.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

/* VM TYPE ADDRESS LENGTH [DATA|any [zero|ones]]. False with *reply filled. */
static bool read_ioeventfd(const struct call *call, struct ioeventfd_options *options,
                           struct command_reply *reply)
{
    uint64_t length;
    *options = (struct ioeventfd_options){.descriptor = call->descriptor};
    bool is_valid = command_read_type(call->arguments[1], &options->type) &&
                    command_read_number(call->arguments[2], &options->address) &&
                    command_read_number(call->arguments[3], &length) && length <= 8;
    if (is_valid && call->argument_count > 4 && strcmp(call->arguments[4], "any") != 0) {
        options->has_datamatch = true;
        is_valid = command_read_number(call->arguments[4], &options->data);
    }
    if (is_valid && call->argument_count > 5) {
        static const char *const words[] = {[IOEVENTFD_READS_ZERO] = "zero",
                                            [IOEVENTFD_READS_ONES] = "ones",
                                            [IOEVENTFD_READS_KERNEL] = "kernel"};
        uint32_t reads = 0;
        while (reads < 3 && strcmp(call->arguments[5], words[reads]) != 0)
            reads++;
        options->reads = (enum ioeventfd_reads)reads;
        is_valid = reads < 3;
    }
    if (is_valid)
        options->length_bytes = (uint32_t)length;
    else
        *reply = command_error(EINVAL, "expected VM portio|mmio ADDRESS LENGTH [DATA|any "
                                       "[zero|ones|kernel]], and an eventfd");
    return is_valid;
}

/* In the same words, however they came; a deassign does not say what it reads. */
static void note_ioeventfd(const struct call *call, const struct ioeventfd_options *options,
                           bool is_assigned)
{
    const char *vm = call->arguments[0];
    char data[24] = "any", text[128];
    if (options->has_datamatch)
        snprintf(data, sizeof(data), "0x%" PRIx64, options->data);
    int length = snprintf(text, sizeof(text), "ioeventfd-assign %.15s %s 0x%" PRIx64 " %u %s ", vm,
                          options->type == REQUEST_PORTIO ? "portio" : "mmio", options->address,
                          options->length_bytes, data);
    if (!is_assigned) {
        command_unnote_eventfd(call, vm, text);
        return;
    }
    snprintf(text + length, sizeof(text) - (size_t)length, "%s",
             options->reads == IOEVENTFD_READS_ONES ? "ones" : "zero");
    command_note_eventfd(call, vm, text);
}

static struct command_reply
with_ioeventfd(const struct call *call,
               int (*operation)(struct vm *vm, const struct ioeventfd_options *options))
{
    struct command_reply reply;
    struct ioeventfd_options options;
    struct vm *vm = command_find_vm(call, &reply);
    if (!vm || !read_ioeventfd(call, &options, &reply))
        return reply;
    if (options.reads == IOEVENTFD_READS_KERNEL) {
        int result = vm_hsm_ioeventfd(vm, &options, operation == vm_ioeventfd_assign);
        if (result == -EOPNOTSUPP)
            return command_error(EOPNOTSUPP, "VM %s: expected source: hsm with kernel", vm->name);
        return command_reply_result(result, vm->name);
    }
    int result = operation(vm, &options);
    if (result == 0)
        note_ioeventfd(call, &options, operation == vm_ioeventfd_assign);
    return command_reply_result(result, vm->name);
}

struct command_reply command_ioeventfd_assign(const struct call *call)
{
    return with_ioeventfd(call, vm_ioeventfd_assign);
}

struct command_reply command_ioeventfd_deassign(const struct call *call)
{
    return with_ioeventfd(call, vm_ioeventfd_deassign);
}

/* VM line GSI, or VM msi ADDRESS DATA. */
static bool read_route(const struct call *call, struct irqfd_route *route)
{
    uint64_t gsi, data;
    *route = (struct irqfd_route){.kind = IRQFD_GSI};
    if (strcmp(call->arguments[1], "line") == 0 && call->argument_count == 3 &&
        command_read_number(call->arguments[2], &gsi) && gsi <= UINT32_MAX) {
        route->gsi = (uint32_t)gsi;
        return true;
    }
    route->kind = IRQFD_MSI;
    if (strcmp(call->arguments[1], "msi") != 0 || call->argument_count != 4 ||
        !command_read_number(call->arguments[2], &route->address) ||
        !command_read_number(call->arguments[3], &data) || data > UINT32_MAX)
        return false;
    route->data = (uint32_t)data;
    return true;
}

struct command_reply command_irqfd_assign(const struct call *call)
{
    struct command_reply reply;
    struct irqfd_route route;
    struct vm *vm = command_find_vm(call, &reply);
    if (!vm)
        return reply;
    if (!read_route(call, &route))
        return command_error(EINVAL,
                             "expected VM line GSI, or VM msi ADDRESS DATA, and an eventfd");
    int result = vm_irqfd_assign(vm, call->descriptor, &route);
    if (result == -EOPNOTSUPP)
        return command_error(EOPNOTSUPP, "VM %s: the ACRN driver has MSIs only; expected msi",
                             vm->name);
    if (result == 0) {
        char text[128];
        snprintf(text, sizeof(text), "irqfd-assign %.100s", call->rest);
        command_note_eventfd(call, vm->name, text);
    }
    return command_reply_result(result, vm->name);
}

struct command_reply command_irqfd_deassign(const struct call *call)
{
    struct command_reply reply;
    struct vm *vm = command_find_vm(call, &reply);
    if (!vm)
        return reply;
    int result = vm_irqfd_deassign(vm, call->descriptor);
    if (result == 0)
        command_unnote_eventfd(call, vm->name, "irqfd-assign ");
    return command_reply_result(result, vm->name);
}
