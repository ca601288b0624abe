/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * vfio_group.h - the IOMMU group of a PCI device: the smallest unit the kernel hands to user space, and
 * only to one opener, so that all sources of this process share it.
 *
 * Flow:    vfio_group_open: which group, is all of it bound to vfio-pci, container with a type 1 version 2
 *          IOMMU -> vfio_group_device, a descriptor -> vfio_group_close, by the last one.
 * Threads: control.
 * Memory:  groups are counted; the last close frees.
 * Errors:  negative errno and a reason, as in source.h: which device blocks the group, and its driver.
 * Source:  Linux Documentation/driver-api/vfio.rst (facts).
 */
#ifndef SERVER_SOURCES_VFIO_GROUP_H
#define SERVER_SOURCES_VFIO_GROUP_H

#include "server/sources/source.h"

struct vfio_group;

int vfio_group_open(const char *root, const char *address, struct vfio_group **group, char *reason);
/* A descriptor of the device, the caller's, or a negative errno. */
int vfio_group_device(const struct vfio_group *group, const char *address, char *reason);
void vfio_group_close(struct vfio_group *group);

/* Devices of the group that are neither bound to vfio-pci nor harmless, with their drivers, as text:
 * "0000:00:02.0 (e1000e), ...". Returns how many. */
uint32_t vfio_group_blockers(const char *root, const char *number, char *text, size_t text_bytes);

#endif
