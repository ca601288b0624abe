/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/notify/eventfd.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>

int eventfd_identify(int descriptor, uint64_t *id)
{
    char text[64];
    if (fcntl(descriptor, F_GETFD) < 0)
        return -EBADF;
    snprintf(text, sizeof(text), "/proc/self/fdinfo/%d", descriptor);
    FILE *file = fopen(text, "re");
    if (!file)
        return -errno;
    int result = -EINVAL;
    while (result < 0 && fgets(text, sizeof(text), file))
        if (sscanf(text, "eventfd-id: %" SCNu64, id) == 1)
            result = 0;
    fclose(file);
    return result;
}
