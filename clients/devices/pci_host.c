/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A PCI host bridge: the one function of an otherwise empty bus. Its range is the configuration
 * space of that function, so an access's offset is the register:
 *
 *   0x000..0x0ff   the type 0 header; no BAR, no capability, no pin
 *   0x100..0xfff   no extended capability: reads 0, writes are dropped
 *
 * Functions that no client claims read all-ones, which is how a guest learns that they are not
 * there; as a VM's default client this device says so itself. The ports 0xcf8..0xcff are the VM's
 * own (pollers/pci_ports.h) and reach it as requests of type PCICFG.
 *
 * Source: PCI Local Bus Specification 3.0, 6.1 and 6.2 (header); PCI Express Base Specification
 * 3.0, 7.9.1 (an extended capability header of 0 ends the list).
 */
#include "clients/devices/devices.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define HEADER_BYTES   256u  /* registers beyond it read 0 */
#define FUNCTION_BYTES 4096u /* of configuration space */

/* Offsets in a type 0 header, and the bits of it a guest may change. */
#define PCI_VENDOR_ID          0x00u
#define PCI_DEVICE_ID          0x02u
#define PCI_COMMAND            0x04u
#define PCI_CLASS_BASE         0x0bu
#define PCI_CACHE_LINE_SIZE    0x0cu
#define PCI_LATENCY_TIMER      0x0du
#define PCI_SUBSYSTEM_VENDOR   0x2cu
#define PCI_SUBSYSTEM_ID       0x2eu
#define PCI_INTERRUPT_LINE     0x3cu
#define COMMAND_MEMORY         0x02u
#define COMMAND_BUS_MASTER     0x04u
#define COMMAND_PARITY_REPORT  0x40u
#define COMMAND_SERR_HIGH_BYTE 0x01u
#define CLASS_BRIDGE           0x06u /* sub-class 0: host bridge */

enum { OPTION_VENDOR, OPTION_DEVICE, OPTION_COUNT };

static const struct device_option pci_host_options[OPTION_COUNT] = {
    [OPTION_VENDOR] = {.name = "vendor",
                       .kind = DEVICE_OPTION_NUMBER,
                       .default_text = "0x1275",
                       .minimum = 1,
                       .maximum = 0xfffe, /* 0xffff says that nothing is there */
                       .help = "vendor id of the host bridge"},
    [OPTION_DEVICE] = {.name = "device",
                       .kind = DEVICE_OPTION_NUMBER,
                       .default_text = "0x1275",
                       .maximum = 0xffff,
                       .help = "device id of the host bridge; firmware picks its chipset by it"},
};

struct pci_host {
    struct device device;
    uint8_t config[HEADER_BYTES];
    uint8_t config_at_reset[HEADER_BYTES];
    uint8_t write_mask[HEADER_BYTES];
};

static void store_16(uint8_t *bytes, uint64_t value)
{
    bytes[0] = (uint8_t)value;
    bytes[1] = (uint8_t)(value >> 8);
}

static void host_bridge_fill(struct pci_host *host, uint64_t vendor, uint64_t device)
{
    uint8_t *config = host->config_at_reset;
    store_16(config + PCI_VENDOR_ID, vendor);
    store_16(config + PCI_DEVICE_ID, device);
    config[PCI_COMMAND] = COMMAND_MEMORY | COMMAND_BUS_MASTER;
    config[PCI_CLASS_BASE] = CLASS_BRIDGE;
    store_16(config + PCI_SUBSYSTEM_VENDOR, vendor);
    store_16(config + PCI_SUBSYSTEM_ID, device);

    host->write_mask[PCI_COMMAND] = COMMAND_MEMORY | COMMAND_BUS_MASTER | COMMAND_PARITY_REPORT;
    host->write_mask[PCI_COMMAND + 1] = COMMAND_SERR_HIGH_BYTE;
    host->write_mask[PCI_CACHE_LINE_SIZE] = 0xff;
    host->write_mask[PCI_LATENCY_TIMER] = 0xff;
    host->write_mask[PCI_INTERRUPT_LINE] = 0xff; /* no pin, but firmware keeps notes there */
}

static bool is_one_function(const struct device_range *range)
{
    return range->type == REQUEST_PCICFG && range->first % FUNCTION_BYTES == 0 &&
           range->last - range->first < FUNCTION_BYTES;
}

static int pci_host_create(const struct device_setup *setup, struct device **device)
{
    if (setup->range_count != 1 || !is_one_function(setup->ranges))
        return device_refuse(setup, EINVAL,
                             "ranges: a host bridge needs exactly one, of one PCI function from "
                             "its register 0, such as {type: pcicfg, bdf: \"00:00.0\"}");
    struct pci_host *host = calloc(1, sizeof(*host));
    if (!host)
        return device_refuse(setup, ENOMEM, "no memory for the device");
    host->device.ops = &device_pci_host;
    host_bridge_fill(host, setup->values[OPTION_VENDOR].number,
                     setup->values[OPTION_DEVICE].number);
    *device = &host->device;
    return 0;
}

static void pci_host_reset(struct device *device)
{
    struct pci_host *host = (struct pci_host *)device;
    memcpy(host->config, host->config_at_reset, HEADER_BYTES);
}

static void config_space_read(const struct pci_host *host, struct request *request)
{
    request->value = 0;
    for (uint32_t i = 0; i < request->size_bytes; i++) {
        uint64_t at = request->offset + i;
        uint64_t byte = at < HEADER_BYTES ? host->config[at] : 0;
        request->value |= byte << (8 * i);
    }
}

static void config_space_write(struct pci_host *host, const struct request *request)
{
    for (uint32_t i = 0; i < request->size_bytes; i++) {
        uint64_t at = request->offset + i;
        if (at >= HEADER_BYTES)
            return;
        uint8_t mask = host->write_mask[at];
        uint8_t byte = (uint8_t)(request->value >> (8 * i));
        host->config[at] = (uint8_t)((host->config[at] & ~mask) | (byte & mask));
    }
}

static int pci_host_handle(struct device *device, struct request *request)
{
    struct pci_host *host = (struct pci_host *)device;
    bool is_ours = request->type == REQUEST_PCICFG && request->range_index != REQUEST_NO_RANGE;
    if (is_ours && request_is_read(request))
        config_space_read(host, request);
    else if (is_ours)
        config_space_write(host, request);
    else if (request_is_read(request))
        request->value = request_ones(request->size_bytes);
    return 0;
}

static void pci_host_destroy(struct device *device)
{
    free(device);
}

const struct device_ops device_pci_host = {
    .name = "pci_host",
    .summary = "host bridge of an otherwise empty PCI bus",
    .options = pci_host_options,
    .option_count = OPTION_COUNT,
    .create = pci_host_create,
    .reset = pci_host_reset,
    .handle = pci_host_handle,
    .is_prompt = true,
    .destroy = pci_host_destroy,
};
