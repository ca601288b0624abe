/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/vm/attach.h"

static int attach_registering(const struct attach_options *options, uint32_t vcpu_count,
                              struct requester **requester, const char *command)
{
    const struct completion_modes *modes = &options->completion;
    char error[512];
    if (vcpu_count == 0)
        vcpu_count = modes->vcpu_count ? modes->vcpu_count : 1;
    if (modes->vcpu_count > vcpu_count)
        return option_refuse(command, "--completion names %u vCPUs, but there are %u",
                             modes->vcpu_count, vcpu_count);
    if (requester_register(options->ivshmem_path, options->page_offset_bytes, vcpu_count,
                           modes->notified, requester, error, sizeof(error)) != 0)
        return command_fail(command, "%s", error);
    return EXIT_OK;
}

int attach_requester(const struct attach_options *options, uint32_t vcpu_count,
                     struct requester **requester, const char *command)
{
    char error[512];
    if (options->ivshmem_path)
        return attach_registering(options, vcpu_count, requester, command);
    if (requester_attach(options->socket_path, options->vm_name, requester, error, sizeof(error)) !=
        0)
        return command_fail(command, "%s", error);
    int code = attach_options_apply(options, *requester, command);
    if (code != EXIT_OK)
        requester_detach(*requester);
    return code;
}

int attach_options_apply(const struct attach_options *options, struct requester *requester,
                         const char *command)
{
    const struct completion_modes *modes = &options->completion;
    uint32_t vcpu_count = requester_vcpu_count(requester);
    char error[512];
    if (modes->vcpu_count > vcpu_count)
        return option_refuse(command, "--completion names %u vCPUs, but VM '%s' has %u",
                             modes->vcpu_count, options->vm_name, vcpu_count);
    if (requester_prepare(requester, modes->notified, error, sizeof(error)) != 0)
        return command_fail(command, "%s", error);
    return EXIT_OK;
}
