/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/sources/sysfs.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct sysfs_path sysfs_path(const char *root, const char *format, ...)
{
    struct sysfs_path path = {{0}};
    int length = snprintf(path.text, sizeof(path.text), "%s", root);
    va_list arguments;
    va_start(arguments, format);
    if (length >= 0 && (size_t)length < sizeof(path.text))
        vsnprintf(path.text + length, sizeof(path.text) - (size_t)length, format, arguments);
    va_end(arguments);
    return path;
}

int sysfs_read_text(const char *path, char *text, size_t text_bytes)
{
    int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0)
        return -errno;
    ssize_t count = read(descriptor, text, text_bytes - 1);
    int result = count < 0 ? -errno : 0;
    close(descriptor);
    text[count < 0 ? 0 : count] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return result;
}

int sysfs_read_number(const char *path, uint64_t *number)
{
    char text[32];
    char *end;
    int result = sysfs_read_text(path, text, sizeof(text));
    if (result < 0)
        return result;
    errno = 0;
    *number = strtoull(text, &end, 0);
    return errno != 0 || end == text || *end ? -EINVAL : 0;
}

int sysfs_read_link(const char *path, char *name, size_t name_bytes)
{
    char target[PATH_MAX];
    ssize_t length = readlink(path, target, sizeof(target) - 1);
    if (length < 0)
        return -errno;
    target[length] = '\0';
    const char *slash = strrchr(target, '/');
    int written = snprintf(name, name_bytes, "%s", slash ? slash + 1 : target);
    return written < 0 || (size_t)written >= name_bytes ? -ENAMETOOLONG : 0;
}

bool sysfs_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

bool sysfs_is_pci_address(const char *text)
{
    static const char shape[] = "xxxx:xx:xx.x";
    if (strlen(text) != sizeof(shape) - 1)
        return false;
    for (size_t i = 0; shape[i]; i++)
        if (shape[i] == 'x' ? !isxdigit((unsigned char)text[i]) || isupper((unsigned char)text[i])
                            : text[i] != shape[i])
            return false;
    return true;
}

int sysfs_pci_node(const char *root, const char *address)
{
    char text[16];
    struct sysfs_path path = sysfs_path(root, "/sys/bus/pci/devices/%s/numa_node", address);
    int node = sysfs_read_text(path.text, text, sizeof(text)) == 0 ? atoi(text) : SOURCE_ANY_NODE;
    return node < 0 ? SOURCE_ANY_NODE : node;
}

int sysfs_read_pci_command(int config, uint64_t offset, uint16_t *command)
{
    ssize_t count = pread(config, command, sizeof(*command), (off_t)(offset + PCI_COMMAND_OFFSET));
    return count == sizeof(*command) ? 0 : count < 0 ? -errno : -EIO;
}
