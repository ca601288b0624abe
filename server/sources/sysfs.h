/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * sysfs.h - small files below /sys and /dev, under a root that a test can invent.
 *
 * Threads: control.
 * Memory:  the caller's.
 * Errors:  negative errno.
 */
#ifndef SERVER_SOURCES_SYSFS_H
#define SERVER_SOURCES_SYSFS_H

#include "server/sources/source.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A path; its text is cut where it is too long, and then names nothing. */
struct sysfs_path {
    char text[SOURCE_PATH_BYTES];
};
__attribute__((format(printf, 2, 3))) struct sysfs_path sysfs_path(const char *root,
                                                                   const char *format, ...);

/* The first line, without its end. */
int sysfs_read_text(const char *path, char *text, size_t text_bytes);

/* Decimal or 0x hexadecimal. */
int sysfs_read_number(const char *path, uint64_t *number);

/* Where a link leads, its last component: the driver of a device, its IOMMU group. */
int sysfs_read_link(const char *path, char *name, size_t name_bytes);

bool sysfs_exists(const char *path);

/* domain:bus:device.function, as the kernel names a PCI device. */
bool sysfs_is_pci_address(const char *text);

/* NUMA node of that PCI device, or SOURCE_ANY_NODE. */
int sysfs_pci_node(const char *root, const char *address);

/* The PCI command register in configuration space, open as descriptor. */
#define PCI_COMMAND_OFFSET       4
#define PCI_COMMAND_MEMORY       0x2u
#define PCI_COMMAND_MASTER       0x4u
#define PCI_COMMAND_INTX_DISABLE 0x400u
int sysfs_read_pci_command(int config, uint64_t offset, uint16_t *command);

#endif
