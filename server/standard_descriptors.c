/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/standard_descriptors.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int standard_descriptors_open(void)
{
    for (int descriptor = STDIN_FILENO; descriptor <= STDERR_FILENO; descriptor++) {
        if (fcntl(descriptor, F_GETFD) >= 0 || errno != EBADF)
            continue;
        /* The lowest free number, which is this one: those below are open by now. */
        if (open("/dev/null", descriptor == STDIN_FILENO ? O_WRONLY : O_RDONLY) != descriptor)
            return errno ? -errno : -EBADF;
    }
    return 0;
}
