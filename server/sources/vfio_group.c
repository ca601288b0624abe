/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/sources/vfio_group.h"

#include "server/sources/sysfs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/vfio.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

struct vfio_group {
    struct vfio_group *next;
    uint32_t user_count;
    char number[16];
    int descriptor;
    int container;
};

static struct vfio_group *groups;

/* ---- what blocks it ---------------------------------------------------------------------- */

/* Drivers that leave a group usable: they do no DMA of their own. */
static bool is_harmless(const char *driver)
{
    static const char *const harmless[] = {"", "vfio-pci", "pci-stub", "pcieport"};
    for (size_t i = 0; i < sizeof(harmless) / sizeof(harmless[0]); i++)
        if (strcmp(driver, harmless[i]) == 0)
            return true;
    return false;
}

uint32_t vfio_group_blockers(const char *root, const char *number, char *text, size_t text_bytes)
{
    struct sysfs_path folder = sysfs_path(root, "/sys/kernel/iommu_groups/%s/devices", number);
    DIR *list = opendir(folder.text);
    uint32_t count = 0;
    size_t length = 0;
    text[0] = '\0';
    for (struct dirent *entry; list && (entry = readdir(list)) != NULL;) {
        char driver[64] = "";
        struct sysfs_path path = sysfs_path(folder.text, "/%s/driver", entry->d_name);
        if (entry->d_name[0] == '.')
            continue;
        if (sysfs_read_link(path.text, driver, sizeof(driver)) < 0 || is_harmless(driver))
            continue;
        if (length < text_bytes)
            length += (size_t)snprintf(text + length, text_bytes - length, "%s%s (%s)",
                                       count ? ", " : "", entry->d_name, driver);
        count++;
    }
    if (list)
        closedir(list);
    return count;
}

/* The device itself must be vfio-pci's; its group, all that share its IOMMU entry, nobody else's. */
static int check_binding(const char *root, const char *address, char *number, size_t number_bytes,
                         char *reason)
{
    struct sysfs_path device = sysfs_path(root, "/sys/bus/pci/devices/%s", address);
    if (!sysfs_exists(device.text))
        return source_fail(-ENODEV, reason,
                           "there is no PCI device %s; lspci -D shows which there are", address);
    struct sysfs_path path = sysfs_path(device.text, "/iommu_group");
    if (sysfs_read_link(path.text, number, number_bytes) < 0)
        return source_fail(
            -ENXIO, reason,
            "%s is in no IOMMU group; switch the IOMMU on (intel_iommu=on or amd_iommu=on "
            "on the kernel's command line), or use source: pci",
            address);
    char driver[64];
    path = sysfs_path(device.text, "/driver");
    if (sysfs_read_link(path.text, driver, sizeof(driver)) < 0)
        snprintf(driver, sizeof(driver), "no driver");
    if (strcmp(driver, "vfio-pci") != 0)
        return source_fail(-EBUSY, reason,
                           "%s is bound to %s; expected vfio-pci, by its driver_override and "
                           "/sys/bus/pci/drivers_probe",
                           address, driver);
    return 0;
}

/* ---- open, close ------------------------------------------------------------------------- */

static int open_container(struct vfio_group *group, const char *root, char *reason)
{
    struct sysfs_path path = sysfs_path(root, "/dev/vfio/vfio");
    group->container = open(path.text, O_RDWR | O_CLOEXEC);
    if (group->container < 0)
        return source_fail(-errno, reason, "%s: %s; load the module vfio, and be root", path.text,
                           strerror(errno));
    if (ioctl(group->container, VFIO_GET_API_VERSION) != VFIO_API_VERSION ||
        ioctl(group->container, VFIO_CHECK_EXTENSION, VFIO_TYPE1v2_IOMMU) <= 0)
        return source_fail(-EOPNOTSUPP, reason,
                           "the kernel's VFIO has no type 1 version 2 IOMMU; load the module "
                           "vfio_iommu_type1");
    return 0;
}

static int open_group(struct vfio_group *group, const char *root, char *reason)
{
    struct sysfs_path path = sysfs_path(root, "/dev/vfio/%s", group->number);
    group->descriptor = open(path.text, O_RDWR | O_CLOEXEC);
    if (group->descriptor < 0)
        return source_fail(-errno, reason, "%s: %s%s", path.text, strerror(errno),
                           errno == EBUSY ? "; another process has the group, end that"
                                          : "; expected to be root");
    struct vfio_group_status status = {.argsz = sizeof(status)};
    if (ioctl(group->descriptor, VFIO_GROUP_GET_STATUS, &status) < 0)
        return source_fail(-errno, reason, "%s: %s", path.text, strerror(errno));
    if (status.flags & VFIO_GROUP_FLAGS_VIABLE)
        return 0;
    char blockers[SOURCE_REASON_BYTES / 2];
    vfio_group_blockers(root, group->number, blockers, sizeof(blockers));
    return source_fail(-EPERM, reason,
                       "IOMMU group %s is not viable, it holds %s; bind those to vfio-pci, or to "
                       "nothing",
                       group->number, blockers);
}

static int join(const struct vfio_group *group, char *reason)
{
    if (ioctl(group->descriptor, VFIO_GROUP_SET_CONTAINER, &group->container) < 0 ||
        ioctl(group->container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU) < 0)
        return source_fail(-errno, reason, "IOMMU group %s cannot be set up: %s", group->number,
                           strerror(errno));
    return 0;
}

int vfio_group_open(const char *root, const char *address, struct vfio_group **group, char *reason)
{
    char number[sizeof(groups->number)];
    int result = check_binding(root, address, number, sizeof(number), reason);
    if (result < 0)
        return result;
    for (*group = groups; *group; *group = (*group)->next)
        if (strcmp((*group)->number, number) == 0) {
            (*group)->user_count++;
            return 0;
        }
    struct vfio_group *opened = calloc(1, sizeof(*opened));
    if (!opened)
        return source_fail(-ENOMEM, reason, "no memory");
    opened->descriptor = opened->container = -1;
    opened->user_count = 1;
    snprintf(opened->number, sizeof(opened->number), "%s", number);
    opened->next = groups;
    groups = opened;
    result = open_container(opened, root, reason);
    if (result == 0)
        result = open_group(opened, root, reason);
    if (result == 0)
        result = join(opened, reason);
    if (result < 0)
        vfio_group_close(opened);
    else
        *group = opened;
    return result;
}

int vfio_group_device(const struct vfio_group *group, const char *address, char *reason)
{
    int descriptor = ioctl(group->descriptor, VFIO_GROUP_GET_DEVICE_FD, address);
    return descriptor >= 0 ? descriptor
                           : source_fail(-errno, reason, "%s cannot be opened by VFIO: %s", address,
                                         strerror(errno));
}

void vfio_group_close(struct vfio_group *group)
{
    if (--group->user_count > 0)
        return;
    struct vfio_group **link = &groups;
    while (*link != group)
        link = &(*link)->next;
    *link = group->next;
    if (group->descriptor >= 0)
        close(group->descriptor);
    if (group->container >= 0)
        close(group->container);
    free(group);
}
