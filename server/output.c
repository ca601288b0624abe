/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/output.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

int output_reopen(int descriptor, int flags)
{
    struct stat status;
    if (fstat(descriptor, &status) < 0 || !(S_ISFIFO(status.st_mode) || isatty(descriptor)))
        return -1;
    char path[32];
    snprintf(path, sizeof(path), "/proc/self/fd/%d", descriptor);
    return open(path, flags | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
}

struct output output_open(int descriptor)
{
    struct stat status;
    int own = output_reopen(descriptor, O_WRONLY);
    return (struct output){
        .descriptor = own >= 0 ? own : descriptor,
        .is_own = own >= 0,
        .is_socket = fstat(descriptor, &status) == 0 && S_ISSOCK(status.st_mode),
    };
}

void output_close(struct output *output)
{
    if (output->is_own)
        close(output->descriptor);
    *output = (struct output){.descriptor = -1};
}

ssize_t output_write(const struct output *output, const void *bytes, size_t count)
{
    struct pollfd ready = {.fd = output->descriptor, .events = POLLOUT};
    if (poll(&ready, 1, 0) != 1)
        return output->descriptor < 0 ? -EBADF : -EAGAIN;
    if (count > OUTPUT_BYTES_MAX)
        count = OUTPUT_BYTES_MAX;
    /* Also where it is in error or hung up: the write tells why. */
    ssize_t written = output->is_socket
                          ? send(output->descriptor, bytes, count, MSG_DONTWAIT | MSG_NOSIGNAL)
                          : write(output->descriptor, bytes, count);
    if (written > 0)
        return written;
    return written == 0 || errno == EINTR ? -EAGAIN : -errno;
}
