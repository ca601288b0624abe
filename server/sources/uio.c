/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A page in the memory of a UIO device. The number in /dev/uioN is dealt out anew at every boot, so a
 * device is found by its name, or where several have the same driver by the address of its PCI device.
 *
 * A map is mapped by offset map * page size; where it does not begin on a page boundary, its `offset`
 * tells where in the first page. read() of 4 bytes is an interrupt; a driver with a control function is
 * re-enabled by a write of 1, uio_pci_generic by a bit of the PCI command register.
 *
 * Source: Linux Documentation/driver-api/uio-howto.rst (facts).
 */
#include "server/sources/doorbell.h"
#include "server/sources/source.h"
#include "server/sources/sysfs.h"

#include "pollers/slot.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct uio_state {
    char node[32];  /* uioN */
    int descriptor; /* /dev/uioN */
    int config;     /* configuration space of its PCI device; -1: not needed */
    struct source_doorbell doorbell;
};

/* ---- finding it -------------------------------------------------------------------------- */

static bool is_uio(const struct dirent *entry)
{
    return strncmp(entry->d_name, "uio", 3) == 0 && entry->d_name[3] != '\0' &&
           strlen(entry->d_name) < sizeof(((struct uio_state *)NULL)->node);
}

/* The one uioN in folder that has that name (NULL: any name). */
static int find_node(const struct page_source *source, const char *folder, const char *wanted,
                     char *node, char *reason)
{
    DIR *list = opendir(folder);
    uint32_t found = 0;
    for (struct dirent *entry; list && (entry = readdir(list)) != NULL;) {
        char name[64] = "";
        struct sysfs_path path = sysfs_path(folder, "/%s/name", entry->d_name);
        if (!is_uio(entry) || (wanted && (sysfs_read_text(path.text, name, sizeof(name)) < 0 ||
                                          strcmp(name, wanted) != 0)))
            continue;
        found++;
        memcpy(node, entry->d_name, strlen(entry->d_name) + 1); /* it fits, says is_uio */
    }
    if (list)
        closedir(list);
    if (found == 1)
        return 0;
    if (found > 1)
        return source_fail(-ENOTUNIQ, reason,
                           "%u UIO devices are called %s; expected the address of its PCI device "
                           "instead, such as 0000:00:05.0",
                           found, source->place->device);
    return source_fail(-ENODEV, reason,
                       wanted ? "there is no UIO device %s; load or bind its driver, and see "
                                "/sys/class/uio/*/name"
                              : "the PCI device %s has no UIO driver; bind one, such as "
                                "uio_pci_generic",
                       source->place->device);
}

static struct sysfs_path node_file(const struct page_source *source, const char *name)
{
    const struct uio_state *state = source->state;
    return sysfs_path(source->root, "/sys/class/uio/%s/%s", state->node, name);
}

/* ---- open, map --------------------------------------------------------------------------- */

/* What re-enables the interrupt of a device without a control function. */
static int open_config(struct page_source *source, char *reason)
{
    struct uio_state *state = source->state;
    struct sysfs_path path = node_file(source, "device/config");
    state->config = open(path.text, O_RDWR | O_CLOEXEC);
    return state->config >= 0 ? 0
                              : source_fail(-errno, reason,
                                            "%s: %s; interrupt: pci needs a PCI "
                                            "device",
                                            path.text, strerror(errno));
}

static int uio_open(struct page_source *source, char *reason)
{
    const struct config_place *place = source->place;
    struct uio_state *state = calloc(1, sizeof(*state));
    if (!state)
        return source_fail(-ENOMEM, reason, "no memory");
    state->descriptor = state->config = -1;
    source->state = state;
    bool is_pci = sysfs_is_pci_address(place->device);
    struct sysfs_path folder =
        is_pci ? sysfs_path(source->root, "/sys/bus/pci/devices/%s/uio", place->device)
               : sysfs_path(source->root, "/sys/class/uio");
    int result = find_node(source, folder.text, is_pci ? NULL : place->device, state->node, reason);
    if (result < 0)
        return result;
    struct sysfs_path path = sysfs_path(source->root, "/dev/%s", state->node);
    /* NONBLOCK: else io_uring waits for it to become writable, which UIO devices never say they are. */
    state->descriptor = open(path.text, O_RDWR | O_NONBLOCK | O_CLOEXEC);
    if (state->descriptor < 0)
        return source_fail(-errno, reason, "%s: %s; expected to be root, or in its group",
                           path.text, strerror(errno));
    char name[64];
    path = node_file(source, "device");
    if (sysfs_read_link(path.text, name, sizeof(name)) == 0 && sysfs_is_pci_address(name))
        source->node = sysfs_pci_node(source->root, name);
    return place->interrupt == CONFIG_INTERRUPT_PCI ? open_config(source, reason) : 0;
}

/* Which bytes of the mapping of a map are the map. */
static int read_map(const struct page_source *source, uint32_t map, uint64_t *size_bytes,
                    uint64_t *begin_bytes, char *reason)
{
    const struct uio_state *state = source->state;
    struct sysfs_path size =
        sysfs_path(source->root, "/sys/class/uio/%s/maps/map%u/size", state->node, map);
    struct sysfs_path begin =
        sysfs_path(source->root, "/sys/class/uio/%s/maps/map%u/offset", state->node, map);
    *begin_bytes = 0;
    int result = sysfs_read_number(size.text, size_bytes);
    if (result == 0)
        result = sysfs_read_number(begin.text, begin_bytes);
    if (result == 0)
        return 0;
    return source_fail(result, reason,
                       "%s (%s) has no map %u; see /sys/class/uio/%s/maps for those it has",
                       source->place->device, state->node, map, state->node);
}

static int uio_map(struct page_source *source, char *reason)
{
    const struct uio_state *state = source->state;
    const struct config_place *place = source->place;
    uint64_t size, begin;
    int result = read_map(source, place->map, &size, &begin, reason);
    if (result == 0)
        result = source_check_size(source, size, reason);
    if (result < 0)
        return result;
    uint64_t offset = begin + place->offset_bytes;
    if (offset % PAGE_BYTES != 0)
        return source_fail(
            -EINVAL, reason,
            "map %u of %s begins at byte 0x%llx of its first page, so that a page at "
            "offset 0x%llx is none; expected an offset that makes up for it",
            place->map, place->device, (unsigned long long)begin,
            (unsigned long long)place->offset_bytes);
    return source_map_page(source, state->descriptor,
                           (uint64_t)place->map * (uint64_t)sysconf(_SC_PAGESIZE), offset, reason);
}

/* ---- upcall, notify ---------------------------------------------------------------------- */

static int uio_upcall(struct page_source *source, struct upcall *upcall, char *reason)
{
    const struct uio_state *state = source->state;
    enum config_interrupt interrupt = source->place->interrupt;
    if (interrupt == CONFIG_INTERRUPT_NONE)
        return -EOPNOTSUPP;
    *upcall = (struct upcall){
        .descriptor = state->descriptor, .read_bytes = UPCALL_UIO_BYTES, .rearm_descriptor = -1};
    uint16_t command;
    int result = 0;
    if (interrupt == CONFIG_INTERRUPT_WRITE) {
        upcall->rearm_descriptor = state->descriptor;
        upcall->rearm_bytes = sizeof(uint32_t);
        upcall->rearm_value = 1;
    } else if (interrupt == CONFIG_INTERRUPT_PCI) {
        result = sysfs_read_pci_command(state->config, 0, &command);
        upcall->rearm_descriptor = state->config;
        upcall->rearm_bytes = sizeof(command);
        upcall->rearm_value = command & ~PCI_COMMAND_INTX_DISABLE;
        upcall->rearm_offset = PCI_COMMAND_OFFSET;
    }
    /* Whoever had it before may have left it off. */
    if (result == 0 && upcall->rearm_bytes > 0 &&
        (interrupt == CONFIG_INTERRUPT_WRITE
             ? write(upcall->rearm_descriptor, &upcall->rearm_value, upcall->rearm_bytes)
             : pwrite(upcall->rearm_descriptor, &upcall->rearm_value, upcall->rearm_bytes,
                      (off_t)upcall->rearm_offset)) != (ssize_t)upcall->rearm_bytes)
        result = -errno;
    return result == 0 ? 0
                       : source_fail(result, reason, "the interrupt of %s cannot be enabled: %s%s",
                                     source->place->device, strerror(-result),
                                     result == -ENOSYS || result == -EOPNOTSUPP
                                         ? "; expected interrupt: pci, its driver takes no writes"
                                         : "");
}

static int uio_notify(struct page_source *source, uint32_t vcpu, struct notify_target *target,
                      char *reason)
{
    struct uio_state *state = source->state;
    const struct config_place *place = source->place;
    if (place->notify_by == CONFIG_NOTIFY_BY_CONTROL) {
        *target = (struct notify_target){.kind = NOTIFY_CONTROL,
                                         .descriptor = state->descriptor,
                                         .value = place->notify_value + vcpu * place->notify_step};
        return 0;
    }
    if (place->notify_by != CONFIG_NOTIFY_BY_DOORBELL)
        return -EOPNOTSUPP;
    int result = 0;
    if (!state->doorbell.mapping) {
        uint64_t size, begin;
        result = read_map(source, place->notify_map, &size, &begin, reason);
        struct config_place inside = *place; /* where in the mapping */
        inside.notify_offset_bytes += begin;
        if (result == 0 && place->notify_offset_bytes + sizeof(uint32_t) > size)
            result = source_fail(-ERANGE, reason,
                                 "%s: its doorbell, map %u, has %llu bytes; expected a "
                                 "notify_offset below that",
                                 place->device, place->notify_map, (unsigned long long)size);
        if (result == 0)
            result = source_doorbell_map(
                &state->doorbell, state->descriptor,
                (uint64_t)place->notify_map * (uint64_t)sysconf(_SC_PAGESIZE), &inside, reason);
    }
    if (result == 0)
        *target = source_doorbell_target(&state->doorbell, place, vcpu);
    return result;
}

/* ---- end --------------------------------------------------------------------------------- */

/* A driver that is unbound takes the device out of sysfs; its memory may stay mapped. */
static int uio_check(struct page_source *source, char *reason)
{
    return sysfs_exists(node_file(source, "name").text)
               ? 0
               : source_fail(-ENODEV, reason, "the UIO device %s was removed",
                             source->place->device);
}

static void uio_close(struct page_source *source)
{
    struct uio_state *state = source->state;
    if (!state)
        return;
    source_doorbell_unmap(&state->doorbell);
    if (state->config >= 0)
        close(state->config);
    if (state->descriptor >= 0)
        close(state->descriptor);
    free(state);
}

const struct page_source_kind source_uio = {
    .name = "uio",
    .open = uio_open,
    .map = uio_map,
    .upcall = uio_upcall,
    .notify = uio_notify,
    .check = uio_check,
    .close = uio_close,
};
