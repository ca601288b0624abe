/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A page in a PCI device's memory, by VFIO: the device is ours alone behind its IOMMU, and its interrupts
 * are eventfds.
 *
 * A region may be mapped in parts only (sparse areas); the page must lie in one of them. The kernel asks
 * for the device back through an interrupt of its own, and waits until we let go.
 *
 * Source: Linux Documentation/driver-api/vfio.rst, <linux/vfio.h> (facts).
 */
#include "server/sources/doorbell.h"
#include "server/sources/source.h"
#include "server/sources/sysfs.h"
#include "server/sources/vfio_group.h"

#include "pollers/slot.h"

#include <errno.h>
#include <linux/vfio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define REGION_BYTES_MAX 65536u /* of one region's information; sparse areas are a handful */

struct vfio_state {
    struct vfio_group *group;
    int device;
    int interrupt; /* eventfd; -1: none */
    int unmask;    /* eventfd: a line is let in again; -1: no line */
    int release;   /* eventfd: the kernel wants the device back; -1: it cannot say so */
    struct source_doorbell doorbell;
};

/* ---- regions ----------------------------------------------------------------------------- */

/* What the kernel says of a region, with all its capabilities; to be freed. */
static int region_read(int device, uint32_t index, struct vfio_region_info **region)
{
    uint32_t bytes = sizeof(**region);
    for (;;) {
        struct vfio_region_info *read = calloc(1, bytes);
        if (!read)
            return -ENOMEM;
        read->argsz = bytes;
        read->index = index;
        int result = ioctl(device, VFIO_DEVICE_GET_REGION_INFO, read) < 0 ? -errno : 0;
        if (result == 0 && read->argsz <= bytes) {
            *region = read;
            return 0;
        }
        bytes = read->argsz;
        free(read);
        if (result < 0)
            return result;
        if (bytes > REGION_BYTES_MAX)
            return -E2BIG;
    }
}

/* True: those bytes may be mapped. */
static bool region_is_mappable(const struct vfio_region_info *region, uint64_t first,
                               uint64_t bytes)
{
    if (!(region->flags & VFIO_REGION_INFO_FLAG_MMAP))
        return false;
    uint32_t at = region->flags & VFIO_REGION_INFO_FLAG_CAPS ? region->cap_offset : 0;
    for (uint32_t left = 64; at > 0 && left > 0; left--) {
        const struct vfio_info_cap_header *header = (const void *)((const char *)region + at);
        if (at + sizeof(struct vfio_region_info_cap_sparse_mmap) > region->argsz)
            return false;
        if (header->id == VFIO_REGION_INFO_CAP_SPARSE_MMAP) {
            const struct vfio_region_info_cap_sparse_mmap *sparse = (const void *)header;
            for (uint32_t i = 0; i < sparse->nr_areas; i++)
                if (first >= sparse->areas[i].offset &&
                    first + bytes <= sparse->areas[i].offset + sparse->areas[i].size)
                    return true;
            return false;
        }
        at = header->next;
    }
    return true;
}

/* A device that VFIO has just opened answers to nothing, and sends nothing: neither memory accesses nor
 * messages. */
static int switch_on(const struct page_source *source, uint16_t bits, char *reason)
{
    const struct vfio_state *state = source->state;
    struct vfio_region_info *config;
    int result = region_read(state->device, VFIO_PCI_CONFIG_REGION_INDEX, &config);
    if (result == 0) {
        uint16_t command;
        result = sysfs_read_pci_command(state->device, config->offset, &command);
        command |= bits;
        if (result == 0 && pwrite(state->device, &command, sizeof(command),
                                  (off_t)config->offset + PCI_COMMAND_OFFSET) != sizeof(command))
            result = -errno;
        free(config);
    }
    return result == 0 ? 0
                       : source_fail(result, reason, "%s cannot be switched on: %s",
                                     source->place->device, strerror(-result));
}

/* ---- interrupts -------------------------------------------------------------------------- */

/* Ties an eventfd to a vector of interrupt index: action TRIGGER, it is raised; UNMASK, it is heard. */
static int set_interrupt(int device, uint32_t index, uint32_t action, uint32_t vector,
                         int descriptor)
{
    _Alignas(struct vfio_irq_set) char request[sizeof(struct vfio_irq_set) + sizeof(int32_t)];
    struct vfio_irq_set *set = (void *)request;
    const int32_t data = descriptor;
    *set = (struct vfio_irq_set){.argsz = sizeof(request),
                                 .flags = VFIO_IRQ_SET_DATA_EVENTFD | action,
                                 .index = index,
                                 .start = vector,
                                 .count = 1};
    memcpy(set->data, &data, sizeof(data));
    return ioctl(device, VFIO_DEVICE_SET_IRQS, set) < 0 ? -errno : 0;
}

static uint32_t count_vectors(int device, uint32_t index)
{
    struct vfio_irq_info info = {.argsz = sizeof(info), .index = index};
    return ioctl(device, VFIO_DEVICE_GET_IRQ_INFO, &info) < 0 ? 0 : info.count;
}

/* The kernel's wish to have the device back. */
static void watch_release(struct vfio_state *state)
{
    state->release = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (state->release >= 0 && set_interrupt(state->device, VFIO_PCI_REQ_IRQ_INDEX,
                                             VFIO_IRQ_SET_ACTION_TRIGGER, 0, state->release) < 0) {
        close(state->release);
        state->release = -1;
    }
}

/* ---- the contract ------------------------------------------------------------------------ */

static int vfio_open(struct page_source *source, char *reason)
{
    struct vfio_state *state = calloc(1, sizeof(*state));
    if (!state)
        return source_fail(-ENOMEM, reason, "no memory");
    state->device = state->interrupt = state->unmask = state->release = -1;
    source->state = state;
    const char *address = source->place->device;
    int result = vfio_group_open(source->root, address, &state->group, reason);
    if (result < 0) {
        state->group = NULL;
        return result;
    }
    state->device = vfio_group_device(state->group, address, reason);
    if (state->device < 0)
        return state->device;
    source->node = sysfs_pci_node(source->root, address);
    watch_release(state);
    return switch_on(source, PCI_COMMAND_MEMORY, reason);
}

static int vfio_map(struct page_source *source, char *reason)
{
    const struct vfio_state *state = source->state;
    const struct config_place *place = source->place;
    struct vfio_region_info *region;
    int result = region_read(state->device, place->map, &region);
    if (result < 0)
        return source_fail(result, reason, "%s has no region %u: %s", place->device, place->map,
                           strerror(-result));
    result = source_check_size(source, region->size, reason);
    if (result == 0 && !region_is_mappable(region, place->offset_bytes, PAGE_BYTES))
        result =
            source_fail(-EACCES, reason,
                        "region %u of %s cannot be mapped at offset 0x%llx; its driver lets only "
                        "other parts of it be",
                        place->map, place->device, (unsigned long long)place->offset_bytes);
    if (result == 0)
        result =
            source_map_page(source, state->device, region->offset + place->offset_bytes, 0, reason);
    free(region);
    return result;
}

/* The kernel masks a line that was raised, and lets it in again when this eventfd is written. */
static int unmask_after_each(struct vfio_state *state, struct upcall *upcall,
                             const struct config_place *place, char *reason)
{
    state->unmask = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    int result = state->unmask < 0 ? -errno : 0;
    if (result == 0)
        result = set_interrupt(state->device, VFIO_PCI_INTX_IRQ_INDEX, VFIO_IRQ_SET_ACTION_UNMASK,
                               0, state->unmask);
    if (result < 0)
        return source_fail(result, reason, "the interrupt line of %s cannot be unmasked: %s",
                           place->device, strerror(-result));
    upcall->rearm_descriptor = state->unmask;
    upcall->rearm_bytes = UPCALL_EVENTFD_BYTES;
    upcall->rearm_value = 1;
    return 0;
}

static int vfio_upcall(struct page_source *source, struct upcall *upcall, char *reason)
{
    struct vfio_state *state = source->state;
    const struct config_place *place = source->place;
    if (place->interrupt == CONFIG_INTERRUPT_NONE)
        return -EOPNOTSUPP;
    bool is_line = place->interrupt == CONFIG_INTERRUPT_INTX;
    uint32_t index = is_line ? VFIO_PCI_INTX_IRQ_INDEX : VFIO_PCI_MSIX_IRQ_INDEX;
    uint32_t vector = is_line ? 0 : place->vector;
    uint32_t count = count_vectors(state->device, index);
    if (vector >= count)
        return source_fail(-ENODEV, reason,
                           is_line
                               ? "%s has no interrupt line; expected interrupt: msix or none"
                               : "%s has no MSI-X vector %u, it has %u of them; expected another "
                                 "vector, or interrupt: intx",
                           place->device, vector, count);
    /* A message is a write of the device's own; its IOMMU lets no other through. */
    int result = is_line ? 0 : switch_on(source, PCI_COMMAND_MASTER, reason);
    if (result < 0)
        return result;
    state->interrupt = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    result = state->interrupt < 0 ? -errno : 0;
    if (result == 0)
        result = set_interrupt(state->device, index, VFIO_IRQ_SET_ACTION_TRIGGER, vector,
                               state->interrupt);
    if (result < 0)
        return source_fail(result, reason, "the interrupt of %s cannot be set up: %s",
                           place->device, strerror(-result));
    *upcall = (struct upcall){
        .descriptor = state->interrupt, .read_bytes = UPCALL_EVENTFD_BYTES, .rearm_descriptor = -1};
    return is_line ? unmask_after_each(state, upcall, place, reason) : 0;
}

static int vfio_notify(struct page_source *source, uint32_t vcpu, struct notify_target *target,
                       char *reason)
{
    struct vfio_state *state = source->state;
    const struct config_place *place = source->place;
    if (place->notify_by != CONFIG_NOTIFY_BY_DOORBELL)
        return -EOPNOTSUPP;
    int result = 0;
    if (!state->doorbell.mapping) {
        struct vfio_region_info *region;
        result = region_read(state->device, place->notify_map, &region);
        if (result < 0)
            return source_fail(result, reason, "%s has no region %u for its doorbell: %s",
                               place->device, place->notify_map, strerror(-result));
        if (place->notify_offset_bytes + sizeof(uint32_t) > region->size ||
            !region_is_mappable(region, place->notify_offset_bytes, sizeof(uint32_t)))
            result = source_fail(
                -ERANGE, reason,
                "%s: its doorbell, region %u, cannot be mapped at offset 0x%llx of "
                "its %llu bytes",
                place->device, place->notify_map, (unsigned long long)place->notify_offset_bytes,
                (unsigned long long)region->size);
        else
            result =
                source_doorbell_map(&state->doorbell, state->device, region->offset, place, reason);
        free(region);
    }
    if (result == 0)
        *target = source_doorbell_target(&state->doorbell, place, vcpu);
    return result;
}

static int vfio_check(struct page_source *source, char *reason)
{
    const struct vfio_state *state = source->state;
    uint64_t count;
    if (state->release < 0 || read(state->release, &count, sizeof(count)) != sizeof(count))
        return 0;
    return source_fail(-ENODEV, reason, "the kernel wants %s back: it is being removed or unbound",
                       source->place->device);
}

static void vfio_close(struct page_source *source)
{
    struct vfio_state *state = source->state;
    if (!state)
        return;
    source_doorbell_unmap(&state->doorbell);
    if (state->device >= 0)
        close(state->device);
    if (state->interrupt >= 0)
        close(state->interrupt);
    if (state->unmask >= 0)
        close(state->unmask);
    if (state->release >= 0)
        close(state->release);
    if (state->group)
        vfio_group_close(state->group);
    free(state);
}

const struct page_source_kind source_vfio = {
    .name = "vfio",
    .open = vfio_open,
    .map = vfio_map,
    .upcall = vfio_upcall,
    .notify = vfio_notify,
    .check = vfio_check,
    .close = vfio_close,
};
