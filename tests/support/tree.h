/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tree.h - an invented /sys, /proc and /dev below a scratch folder: devices whose memory are plain
 * files.
 *
 * Flow:    tree_create -> tree_text, tree_link, tree_page -> tree.root as a source's root ->
 *          tree_destroy.
 * Threads: the test's.
 * Memory:  the caller's struct; the folder goes at the end.
 */
#ifndef TESTS_SUPPORT_TREE_H
#define TESTS_SUPPORT_TREE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* after the four above, as it asks */
#include <cmocka.h>

#include "pollers/slot.h"
#include "tests/support/scratch_folder.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define TREE_BDF "0000:00:05.0"
#define TREE_PCI "/sys/bus/pci/devices/" TREE_BDF

struct tree {
    char root[SCRATCH_FOLDER_BYTES];
};

static inline void tree_create(struct tree *tree)
{
    scratch_folder_create(tree->root);
}

static inline void tree_destroy(const struct tree *tree)
{
    scratch_folder_destroy(tree->root);
}

/* The path below the root, with the folders it needs; static. */
static inline const char *tree_path(const struct tree *tree, const char *path)
{
    static char whole[256];
    snprintf(whole, sizeof(whole), "%s%s", tree->root, path);
    for (char *slash = strchr(whole + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(whole, 0755);
        *slash = '/';
    }
    return whole;
}

static inline void tree_bytes(const struct tree *tree, const char *path, const void *bytes,
                              size_t count)
{
    int descriptor = open(tree_path(tree, path), O_RDWR | O_CREAT | O_TRUNC, 0644);
    assert_true(descriptor >= 0);
    assert_int_equal(write(descriptor, bytes, count), (ssize_t)count);
    close(descriptor);
}

static inline void tree_text(const struct tree *tree, const char *path, const char *text)
{
    tree_bytes(tree, path, text, strlen(text));
}

static inline void tree_link(const struct tree *tree, const char *path, const char *target)
{
    assert_int_equal(symlink(target, tree_path(tree, path)), 0);
}

static inline void tree_remove(const struct tree *tree, const char *path)
{
    char command[320];
    snprintf(command, sizeof(command), "rm -rf '%s'", tree_path(tree, path));
    assert_int_equal(system(command), 0);
}

/* A file of size bytes, of which those from offset on are a page that a hypervisor registered. Mapped
 * for the test, which plays it. */
static inline struct acrn_io_request *tree_page(const struct tree *tree, const char *path,
                                                size_t size, size_t offset)
{
    int descriptor = open(tree_path(tree, path), O_RDWR | O_CREAT | O_TRUNC, 0644);
    assert_true(descriptor >= 0);
    assert_int_equal(ftruncate(descriptor, (off_t)size), 0);
    if (size < offset + PAGE_BYTES) {
        close(descriptor);
        return NULL;
    }
    struct acrn_io_request *slots =
        mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, (off_t)offset);
    assert_true(slots != MAP_FAILED);
    close(descriptor);
    slots_free_all(slots);
    return slots;
}

/* A PCI device with its memory switched on. */
static inline void tree_pci_device(const struct tree *tree)
{
    static const uint8_t config[64] = {0xf4, 0x1a, 0x10, 0x11, 0x03, 0x04};
    tree_bytes(tree, TREE_PCI "/config", config, sizeof(config));
    tree_text(tree, TREE_PCI "/numa_node", "-1\n");
}

/* A UIO device of that name at uioN, with one map of size bytes. */
static inline void tree_uio_device(const struct tree *tree, uint32_t number, const char *name,
                                   const char *size, const char *offset)
{
    char path[128];
    snprintf(path, sizeof(path), "/sys/class/uio/uio%u/name", number);
    tree_text(tree, path, name);
    snprintf(path, sizeof(path), "/sys/class/uio/uio%u/maps/map0/size", number);
    tree_text(tree, path, size);
    snprintf(path, sizeof(path), "/sys/class/uio/uio%u/maps/map0/offset", number);
    tree_text(tree, path, offset);
}

#endif
