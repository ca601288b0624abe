/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A page in a PCI device's memory, by sysfs: resourceN of the device, with no driver at all. No interrupt
 * comes this way; a doorbell in another resource is a store.
 */
#include "server/sources/source.h"

#include "pollers/slot.h"
#include "server/sources/doorbell.h"
#include "server/sources/sysfs.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

struct pci_state {
    int resource;
    struct source_doorbell doorbell;
};

static struct sysfs_path device_file(const struct page_source *source, const char *name)
{
    return sysfs_path(source->root, "/sys/bus/pci/devices/%s/%s", source->place->device, name);
}

/* A device whose memory is switched off reads all-ones; the kernel switches it on for whoever writes
 * `enable`, and then keeps count: once is enough, and its driver's own count stays. */
static int switch_memory_on(const struct page_source *source, char *reason)
{
    struct sysfs_path path = device_file(source, "config");
    int config = open(path.text, O_RDONLY | O_CLOEXEC);
    uint16_t command = 0;
    int result = config < 0 ? -errno : sysfs_read_pci_command(config, 0, &command);
    if (config >= 0)
        close(config);
    if (result < 0)
        return source_fail(result, reason, "%s: %s", path.text, strerror(-result));
    if (command & PCI_COMMAND_MEMORY)
        return 0;
    path = device_file(source, "enable");
    int enable = open(path.text, O_WRONLY | O_CLOEXEC);
    result = enable < 0 || write(enable, "1", 1) != 1 ? -errno : 0;
    if (enable >= 0)
        close(enable);
    return result == 0 ? 0
                       : source_fail(result, reason, "%s cannot be switched on: %s: %s",
                                     source->place->device, path.text, strerror(-result));
}

static int pci_open(struct page_source *source, char *reason)
{
    const struct config_place *place = source->place;
    struct pci_state *state = calloc(1, sizeof(*state));
    if (!state)
        return source_fail(-ENOMEM, reason, "no memory");
    state->resource = -1;
    source->state = state;
    if (!sysfs_exists(device_file(source, "").text))
        return source_fail(-ENODEV, reason,
                           "there is no PCI device %s; lspci -D shows which there are",
                           place->device);
    int result = switch_memory_on(source, reason);
    if (result < 0)
        return result;
    struct sysfs_path path =
        sysfs_path(source->root, "/sys/bus/pci/devices/%s/resource%u", place->device, place->map);
    state->resource = open(path.text, O_RDWR | O_SYNC | O_CLOEXEC);
    if (state->resource < 0 && errno == ENOENT)
        return source_fail(-ENOENT, reason,
                           "%s has no resource %u; expected the number of a BAR "
                           "with memory: see %s",
                           place->device, place->map, device_file(source, "resource").text);
    if (state->resource < 0)
        return source_fail(-errno, reason, "%s: %s; expected to be root", path.text,
                           strerror(errno));
    source->node = sysfs_pci_node(source->root, place->device);
    return 0;
}

static int pci_map(struct page_source *source, char *reason)
{
    const struct pci_state *state = source->state;
    const struct config_place *place = source->place;
    struct stat status;
    if (fstat(state->resource, &status) < 0)
        return source_fail(-errno, reason, "%s: %s", place->device, strerror(errno));
    int result = source_check_size(source, (uint64_t)status.st_size, reason);
    if (result < 0)
        return result;
    return source_map_page(source, state->resource, place->offset_bytes, 0, reason);
}

static int pci_notify(struct page_source *source, uint32_t vcpu, struct notify_target *target,
                      char *reason)
{
    struct pci_state *state = source->state;
    if (source->place->notify_by != CONFIG_NOTIFY_BY_DOORBELL)
        return -EOPNOTSUPP;
    int result = 0;
    if (!state->doorbell.mapping) {
        struct sysfs_path path = sysfs_path(source->root, "/sys/bus/pci/devices/%s/resource%u",
                                            source->place->device, source->place->notify_map);
        result = source_doorbell_map_file(&state->doorbell, path.text, source->place, reason);
    }
    if (result == 0)
        *target = source_doorbell_target(&state->doorbell, source->place, vcpu);
    return result;
}

/* A removed device's mapping may read all-ones, or end in SIGBUS; that it is gone is seen here. */
static int pci_check(struct page_source *source, char *reason)
{
    return sysfs_exists(device_file(source, "").text)
               ? 0
               : source_fail(-ENODEV, reason, "the PCI device %s was removed",
                             source->place->device);
}

static void pci_close(struct page_source *source)
{
    struct pci_state *state = source->state;
    if (!state)
        return;
    source_doorbell_unmap(&state->doorbell);
    if (state->resource >= 0)
        close(state->resource);
    free(state);
}

const struct page_source_kind source_pci = {
    .name = "pci",
    .open = pci_open,
    .map = pci_map,
    .notify = pci_notify,
    .check = pci_check,
    .close = pci_close,
};
