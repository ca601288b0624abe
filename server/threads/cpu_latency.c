/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/threads/cpu_latency.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <unistd.h>

int cpu_latency_hold(struct cpu_latency *latency, const char *path)
{
    const int32_t limit_us = 0; /* four bytes are taken as a binary number */
    int descriptor = open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (descriptor < 0)
        return -errno;
    ssize_t written = write(descriptor, &limit_us, sizeof(limit_us));
    int error = written < 0 ? errno : EIO;
    if (written != sizeof(limit_us)) {
        close(descriptor);
        return -error;
    }
    *latency = (struct cpu_latency){.is_held = true, .descriptor = descriptor};
    return 0;
}

void cpu_latency_release(struct cpu_latency *latency)
{
    if (latency->is_held)
        close(latency->descriptor);
    *latency = (struct cpu_latency){0};
}
