/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/vm/firmware.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

size_t firmware_shadow_bytes(size_t size_bytes, size_t wanted_bytes)
{
    return size_bytes < wanted_bytes ? size_bytes : wanted_bytes;
}

static int firmware_check(const char *path, const struct stat *status, char *error,
                          size_t error_bytes)
{
    if (!S_ISREG(status->st_mode)) {
        snprintf(error, error_bytes, "%s: not a regular file", path);
        return -EINVAL;
    }
    if (status->st_size < FIRMWARE_MIN_BYTES || status->st_size > FIRMWARE_MAX_BYTES) {
        snprintf(error, error_bytes, "%s: %lld bytes; a firmware image has 64 KiB to 16 MiB", path,
                 (long long)status->st_size);
        return -EINVAL;
    }
    if (status->st_size % 4096 != 0) {
        snprintf(error, error_bytes,
                 "%s: %lld bytes, not a multiple of 4 KiB; give the whole flash image (often .rom, "
                 ".fd or .bin), not a part of it",
                 path, (long long)status->st_size);
        return -EINVAL;
    }
    return 0;
}

static int firmware_map(struct firmware *firmware, size_t size_bytes)
{
    void *bytes =
        mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (bytes == MAP_FAILED)
        return -errno;
    firmware->bytes = bytes;
    firmware->size_bytes = size_bytes;
    return 0;
}

static int firmware_read(struct firmware *firmware, int fd)
{
    size_t done = 0;
    while (done < firmware->size_bytes) {
        ssize_t count = read(fd, firmware->bytes + done, firmware->size_bytes - done);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return count < 0 ? -errno : -EIO; /* it shrank while we read */
        done += (size_t)count;
    }
    return 0;
}

int firmware_load(const char *path, struct firmware *firmware, char *error, size_t error_bytes)
{
    memset(firmware, 0, sizeof(*firmware));
    /* O_NONBLOCK: opening a FIFO must not wait for a writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    struct stat status;
    if (fd < 0 || fstat(fd, &status) != 0) {
        int result = -errno;
        snprintf(error, error_bytes, "cannot open %s: %s (SeaBIOS: apt-get install seabios)", path,
                 strerror(-result));
        if (fd >= 0)
            close(fd);
        return result;
    }
    int result = firmware_check(path, &status, error, error_bytes);
    if (result == 0) {
        result = firmware_map(firmware, (size_t)status.st_size);
        if (result == 0)
            result = firmware_read(firmware, fd);
        if (result != 0)
            snprintf(error, error_bytes, "cannot read %s: %s", path, strerror(-result));
    }
    close(fd);
    if (result != 0) {
        firmware_unload(firmware);
        return result;
    }
    const char *slash = strrchr(path, '/');
    snprintf(firmware->name, sizeof(firmware->name), "%.255s", slash ? slash + 1 : path);
    return 0;
}

int firmware_fill(struct firmware *firmware, size_t size_bytes, uint8_t byte)
{
    memset(firmware, 0, sizeof(*firmware));
    int result = firmware_map(firmware, size_bytes);
    if (result == 0)
        memset(firmware->bytes, byte, size_bytes);
    return result;
}

void firmware_unload(struct firmware *firmware)
{
    if (firmware->bytes)
        munmap(firmware->bytes, firmware->size_bytes);
    firmware->bytes = NULL;
}
