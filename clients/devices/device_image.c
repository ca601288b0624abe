/* SPDX-License-Identifier: BSD-3-Clause */
#include "clients/devices/device_image.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Reads size_bytes; -EIO when the file ends earlier. */
static int read_fully(int fd, uint8_t *bytes, size_t size_bytes)
{
    size_t done = 0;
    while (done < size_bytes) {
        ssize_t count = read(fd, bytes + done, size_bytes - done);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return count < 0 ? -errno : -EIO;
        done += (size_t)count;
    }
    return 0;
}

/* The control thread replaces the file by a new one beside it. */
static bool folder_is_writable(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash)
        return access(".", W_OK | X_OK) == 0;
    char *folder = strndup(path, slash == path ? 1 : (size_t)(slash - path));
    bool writable = folder && access(folder, W_OK | X_OK) == 0;
    free(folder);
    return writable;
}

static int file_read(const struct device_setup *setup, const char *option, const char *path, int fd,
                     uint8_t *bytes, size_t size_bytes)
{
    struct stat status;
    if (fstat(fd, &status) < 0)
        return device_refuse(setup, errno, "%s: %s: %s", option, path, strerror(errno));
    if (!S_ISREG(status.st_mode)) {
        return device_refuse(setup, EINVAL, "%s: %s is no regular file: give another path", option,
                             path);
    }
    if (status.st_size != (off_t)size_bytes) {
        return device_refuse(setup, EINVAL,
                             "%s: %s has %lld bytes, not %zu: give the right file, or remove it "
                             "to begin afresh",
                             option, path, (long long)status.st_size, size_bytes);
    }
    int rc = read_fully(fd, bytes, size_bytes);
    if (rc < 0)
        return device_refuse(setup, -rc, "%s: %s: %s", option, path, strerror(-rc));
    return 0;
}

/* Fills bytes [size_bytes] from the file, or leaves them and sets *is_fresh. */
static int file_load(const struct device_setup *setup, const char *option, const char *path,
                     uint8_t *bytes, size_t size_bytes, bool *is_fresh)
{
    *is_fresh = false;
    if (!folder_is_writable(path)) {
        return device_refuse(
            setup, EACCES, "%s: %s could not be written: make its folder, writable", option, path);
    }
    /* O_NONBLOCK: a FIFO must not hold up the start. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    int error = errno;
    if (fd >= 0) {
        int rc = file_read(setup, option, path, fd, bytes, size_bytes);
        (void)close(fd);
        return rc;
    }
    if (error != ENOENT) {
        return device_refuse(setup, error, "%s: %s: %s: it must be a file that can be read", option,
                             path, strerror(error));
    }
    *is_fresh = true;
    return 0;
}

int device_image_create(const struct device_setup *setup, const char *option, const char *path,
                        size_t size_bytes, struct device_image **image, bool *is_fresh)
{
    assert(size_bytes >= 1 && size_bytes <= DEVICE_IMAGE_BYTES_MAX);
    uint8_t *bytes = calloc(1, size_bytes);
    struct device_image *created =
        calloc(1, sizeof(*created) + size_bytes * sizeof(*created->bytes));
    char *own_path = strdup(path);
    int rc = -ENOMEM;
    if (bytes && created && own_path)
        rc = file_load(setup, option, path, bytes, size_bytes, is_fresh);
    else
        (void)device_refuse(setup, ENOMEM, "%s: no memory for its image", option);
    if (rc < 0) {
        free(own_path);
        free(created);
        free(bytes);
        return rc;
    }
    created->path = own_path;
    created->size_bytes = size_bytes;
    atomic_init(&created->generation, 0);
    for (size_t i = 0; i < size_bytes; i++)
        atomic_init(&created->bytes[i], bytes[i]);
    free(bytes);
    *image = created;
    return 0;
}

void device_image_destroy(struct device_image *image)
{
    if (!image)
        return;
    free((char *)image->path);
    free(image);
}

uint8_t device_image_load(const struct device_image *image, size_t index)
{
    assert(index < image->size_bytes);
    /* relaxed: only the device writes bytes, and the device asks */
    return atomic_load_explicit(&image->bytes[index], memory_order_relaxed);
}

void device_image_store(struct device_image *image, size_t index, uint8_t byte)
{
    if (device_image_load(image, index) == byte)
        return;
    /* relaxed: published by the generation below */
    atomic_store_explicit(&image->bytes[index], byte, memory_order_relaxed);
    /* release: the control thread acquires the generation before it reads the bytes */
    atomic_fetch_add_explicit(&image->generation, 1, memory_order_release);
}
