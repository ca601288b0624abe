/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/devices/image.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
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

/* A new file and nothing else: what a crash left there goes, what is no regular file is refused. */
static int create_beside(const char *beside)
{
    struct stat status;
    if (lstat(beside, &status) == 0) {
        if (!S_ISREG(status.st_mode))
            return -EEXIST;
        if (unlink(beside) < 0)
            return -errno;
    }
    int descriptor = open(
        beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC, 0640);
    return descriptor < 0 ? -errno : descriptor;
}

/* Only then the new name is on the disk. */
static int sync_folder(const char *path)
{
    char folder[PATH_MAX] = ".";
    const char *slash = strrchr(path, '/');
    if (slash)
        snprintf(folder, sizeof(folder), "%.*s", slash == path ? 1 : (int)(slash - path), path);
    int descriptor = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (descriptor < 0)
        return -errno;
    int result = fsync(descriptor) == 0 || errno == EINVAL ? 0 : -errno; /* EINVAL: cannot be */
    close(descriptor);
    return result;
}

static int replace_file(const char *path, const uint8_t *bytes, size_t count)
{
    char beside[PATH_MAX];
    if (snprintf(beside, sizeof(beside), "%s.new", path) >= (int)sizeof(beside))
        return -ENAMETOOLONG;
    int descriptor = create_beside(beside);
    if (descriptor < 0)
        return descriptor;
    int result = write_whole(descriptor, bytes, count);
    close(descriptor);
    if (result == 0 && rename(beside, path) < 0)
        result = -errno;
    if (result < 0) {
        unlink(beside);
        return result;
    }
    return sync_folder(path);
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
