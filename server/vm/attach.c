/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/vm/attach.h"

int attach_options_apply(const struct attach_options *options, struct requester *requester,
                         const char *command)
{
    const struct completion_modes *modes = &options->completion;
    uint32_t vcpu_count = requester_vcpu_count(requester);
    char error[512];
    if (modes->vcpu_count > vcpu_count)
        return option_refuse(command, "--completion names %u vCPUs, but VM '%s' has %u",
                             modes->vcpu_count, options->vm_name, vcpu_count);
    if (requester_prepare(requester, options->socket_path, options->vm_name, modes->notified, error,
                          sizeof(error)) != 0)
        return command_fail(command, "%s", error);
    return EXIT_OK;
}
