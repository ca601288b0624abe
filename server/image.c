/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/image.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static int write_whole(int descriptor, const uint8_t *bytes, size_t count)
{
    while (count > 0) {
        ssize_t written = write(descriptor, bytes, count);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return written < 0 ? -errno : -EIO;
        bytes += written;
        count -= (size_t)written;
    }
    return fsync(descriptor) == 0 ? 0 : -errno;
}

static int replace_file(const char *path, const uint8_t *bytes, size_t count)
{
    char beside[PATH_MAX];
    if (snprintf(beside, sizeof(beside), "%s.new", path) >= (int)sizeof(beside))
        return -ENAMETOOLONG;
    int descriptor = open(beside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0640);
    if (descriptor < 0)
        return -errno;
    int result = write_whole(descriptor, bytes, count);
    close(descriptor);
    if (result == 0 && rename(beside, path) < 0)
        result = -errno;
    if (result < 0)
        unlink(beside);
    return result;
}

int image_save_if_changed(const struct device_image *image, uint64_t *saved)
{
    /* Acquire: pairs with the device's release; the bytes of that generation are in place. A later
     * one may be mixed in, and is saved again next time. */
    uint64_t generation = atomic_load_explicit(&image->generation, memory_order_acquire);
    if (generation == *saved || !image->path)
        return 0;
    uint8_t *bytes = malloc(image->size_bytes);
    if (!bytes)
        return -ENOMEM;
    for (size_t i = 0; i < image->size_bytes; i++)
        bytes[i] = atomic_load_explicit(&image->bytes[i], memory_order_relaxed);
    int result = replace_file(image->path, bytes, image->size_bytes);
    free(bytes);
    if (result == 0)
        *saved = generation;
    return result;
}
