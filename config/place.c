/* SPDX-License-Identifier: BSD-3-Clause */
/* Where the page of a VM is, if the server does not make it: keys that only some sources have. */
#include "config/load.h"
#include "config/tables.h"

#include <ctype.h>
#include <string.h>

#define BIT(number) (1u << (number))

static const uint32_t every_device =
    BIT(CONFIG_SOURCE_UIO) | BIT(CONFIG_SOURCE_PCI) | BIT(CONFIG_SOURCE_VFIO);

static bool is_given(const struct schema_value *value)
{
    return value->is_valid && value->node;
}

/* domain:bus:device.function as the kernel writes it: 0000:00:05.0. */
static bool is_pci_address(const char *text)
{
    static const char shape[] = "xxxx:xx:xx.x";
    for (size_t i = 0; i < sizeof(shape); i++)
        if (shape[i] == 'x' ? !isxdigit((unsigned char)text[i]) || isupper((unsigned char)text[i])
                            : text[i] != shape[i])
            return false;
    return true;
}

static void check_device(struct load *load, const struct schema_value *values,
                         struct config_mark vm_mark, const struct config_place *place,
                         enum config_source source)
{
    const struct schema_value *device = &values[VM_DEVICE];
    struct config_mark mark = device->node ? device->mark : vm_mark;
    if (source == CONFIG_SOURCE_HSM)
        return; /* hsm.c */
    bool is_named = place->device && strcmp(place->device, NO_DEVICE_WORD) != 0;
    if (!device->is_valid)
        return;
    if (source == CONFIG_SOURCE_MEMFD) {
        if (is_named)
            problems_add(&load->problems, mark,
                         "device: source memfd has none; expected source: uio, pci or vfio");
    } else if (!is_named)
        problems_add(&load->problems, mark, "no device; expected %s",
                     source == CONFIG_SOURCE_UIO
                         ? "device: the name of a UIO device, or its PCI address"
                         : "device: a PCI address such as 0000:00:05.0");
    else if (source != CONFIG_SOURCE_UIO && !is_pci_address(place->device))
        problems_add(
            &load->problems, mark,
            "device: '%s' is no PCI address; expected domain:bus:device.function as lspci -D "
            "shows it, such as 0000:00:05.0",
            place->device);
}

/* A choice other than its first one, none, goes with some sources only. */
static void check_choice(struct load *load, const struct schema_value *value, const char *key,
                         enum config_source source, const uint32_t *sources, const char *expected)
{
    if (!value->is_valid || value->number == 0 || sources[value->number] & BIT(source))
        return;
    problems_add(&load->problems, value->mark, "%s: not with this source; expected %s", key,
                 source == CONFIG_SOURCE_MEMFD ? "none, memfd has no device"
                 : source == CONFIG_SOURCE_HSM ? "none, hsm has the driver's"
                                               : expected);
}

static void check_multiple(struct load *load, const struct schema_value *value, const char *key,
                           uint32_t unit)
{
    if (value->is_valid && value->number % unit != 0)
        problems_add(&load->problems, value->mark, "%s: %llu is no multiple of %u; expected one",
                     key, (unsigned long long)value->number, unit);
}

/* A key that says nothing, because another one does not ask for it. */
static void check_idle(struct load *load, const struct schema_value *value, const char *key,
                       bool is_used, const char *needs)
{
    if (!is_used && is_given(value) && value->number != 0)
        problems_add(&load->problems, value->mark, "%s: of no use here; expected it with %s", key,
                     needs);
}

/* A poller that waits is woken by an interrupt, and only such a one needs it. */
static void check_waiting(struct load *load, const struct schema_value *values,
                          enum config_source source, const struct config_place *place)
{
    const struct schema_value *wait = &values[VM_WAIT_AFTER], *interrupt = &values[VM_INTERRUPT];
    if (!wait->is_valid || !interrupt->is_valid)
        return;
    if (wait->number > 0 && place->interrupt == CONFIG_INTERRUPT_NONE)
        problems_add(&load->problems, wait->mark,
                     "wait_after: no interrupt would end the wait; expected %s",
                     source == CONFIG_SOURCE_PCI ? "source: uio or vfio" : "interrupt, too");
    if (wait->number == 0 && place->interrupt != CONFIG_INTERRUPT_NONE)
        problems_add(&load->problems, interrupt->mark,
                     "interrupt: of no use to a poller that spins; expected wait_after, too");
}

void place_read(struct load *load, const struct schema_value *values, struct config_mark vm_mark,
                struct config_place *place)
{
    static const uint32_t interrupt_sources[] = {
        [CONFIG_INTERRUPT_PLAIN] = BIT(CONFIG_SOURCE_UIO),
        [CONFIG_INTERRUPT_WRITE] = BIT(CONFIG_SOURCE_UIO),
        [CONFIG_INTERRUPT_PCI] = BIT(CONFIG_SOURCE_UIO),
        [CONFIG_INTERRUPT_INTX] = BIT(CONFIG_SOURCE_VFIO),
        [CONFIG_INTERRUPT_MSIX] = BIT(CONFIG_SOURCE_VFIO),
    };
    static const uint32_t notify_sources[] = {
        [CONFIG_NOTIFY_BY_CONTROL] = BIT(CONFIG_SOURCE_UIO),
        [CONFIG_NOTIFY_BY_DOORBELL] = every_device,
    };
    enum config_source source = (enum config_source)values[VM_SOURCE].number;
    *place = (struct config_place){
        .device = load_keep_text(load, values[VM_DEVICE].string),
        .map = (uint32_t)values[VM_MAP].number,
        .offset_bytes = values[VM_OFFSET].number,
        .interrupt = (enum config_interrupt)values[VM_INTERRUPT].number,
        .vector = (uint32_t)values[VM_VECTOR].number,
        .notify_by = (enum config_notify_by)values[VM_NOTIFY_BY].number,
        .notify_map = (uint32_t)values[VM_NOTIFY_MAP].number,
        .notify_offset_bytes = values[VM_NOTIFY_OFFSET].number,
        .notify_value = (uint32_t)values[VM_NOTIFY_VALUE].number,
        .notify_step = (uint32_t)values[VM_NOTIFY_STEP].number,
    };
    if (!values[VM_SOURCE].is_valid)
        return;
    bool has_device = every_device & BIT(source);
    bool has_doorbell = place->notify_by == CONFIG_NOTIFY_BY_DOORBELL;
    check_device(load, values, vm_mark, place, source);
    check_choice(load, &values[VM_INTERRUPT], "interrupt", source, interrupt_sources,
                 source == CONFIG_SOURCE_UIO    ? "none, plain, write or pci with uio"
                 : source == CONFIG_SOURCE_VFIO ? "none, intx or msix with vfio"
                                                : "none, pci has no interrupts: use uio or vfio");
    check_choice(load, &values[VM_NOTIFY_BY], "notify_by", source, notify_sources,
                 "none or doorbell; control is uio's");
    check_multiple(load, &values[VM_OFFSET], "offset", CONFIG_PAGE_BYTES);
    check_multiple(load, &values[VM_NOTIFY_OFFSET], "notify_offset", 4);
    check_idle(load, &values[VM_MAP], "map", has_device, "source: uio, pci or vfio");
    check_idle(load, &values[VM_OFFSET], "offset", has_device, "source: uio, pci or vfio");
    if (has_device)
        check_waiting(load, values, source, place);
    check_idle(load, &values[VM_VECTOR], "vector", place->interrupt == CONFIG_INTERRUPT_MSIX,
               "interrupt: msix");
    check_idle(load, &values[VM_NOTIFY_MAP], "notify_map", has_doorbell, "notify_by: doorbell");
    check_idle(load, &values[VM_NOTIFY_OFFSET], "notify_offset", has_doorbell,
               "notify_by: doorbell");
}
