/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * PCI configuration mechanism 1 (ports 0xcf8..0xcff) and a bus 0 on which only the host bridge
 * 0:0.0 exists: every other function reads all-ones, which is how a guest learns that it is not
 * there.
 *
 *   0xcf8, 4 bytes   CONFIG_ADDRESS: stored as written, all 32 bits read back
 *   0xcf8..0xcfb     in any other size or position: not the address register; all-ones, dropped
 *   0xcfc..0xcff     CONFIG_DATA: bit 31 of the address clear: all-ones, dropped; set: the register
 *                    (address & 0xfc) + ((address >> 16) & 0xf00) + (port - 0xcfc)
 *   across 0xcfb/0xcfc                       neither: all-ones, dropped
 *
 * Requests of type PCICFG (a hypervisor or driver that decoded 0xcf8 itself) reach the same
 * configuration space when this is the VM's default client. CONFIG_ADDRESS is one per VM: vCPUs
 * must take turns, as on hardware.
 *
 * Source: PCI Local Bus Specification 3.0, 3.2.2.3.2 (mechanism 1) and 6.1, 6.2 (header).
 */
#include "clients/devices/devices.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define PORT_COUNT          8u
#define DATA_OFFSET         4u
#define ADDRESS_ENABLE      0x80000000u
#define CONFIG_SPACE_BYTES  256u /* conventional: extended registers read all-ones */
#define HOST_BRIDGE_ADDRESS 0u   /* bus 0, device 0, function 0 */

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
    uint32_t config_address;
    uint8_t config[CONFIG_SPACE_BYTES];
    uint8_t config_at_reset[CONFIG_SPACE_BYTES];
    uint8_t write_mask[CONFIG_SPACE_BYTES];
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

static int pci_host_create(const struct device_setup *setup, struct device **device)
{
    const struct device_range *range = setup->ranges;
    if (setup->range_count != 1 || range->type != REQUEST_PORTIO ||
        range->last - range->first != PORT_COUNT - 1) {
        return device_refuse(setup, EINVAL,
                             "ranges: the PCI host needs exactly one, ports 0xcf8..0xcff");
    }
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
    host->config_address = 0;
    memcpy(host->config, host->config_at_reset, CONFIG_SPACE_BYTES);
}

/* One access to a function's configuration space; function: bus << 8 | device << 3 | function. */
static void config_space_access(struct pci_host *host, uint64_t function, uint32_t first,
                                struct request *request)
{
    uint64_t answer = 0;
    for (uint32_t i = 0; i < request->size_bytes; i++) {
        uint32_t at = first + i;
        bool exists = function == HOST_BRIDGE_ADDRESS && at < CONFIG_SPACE_BYTES;
        if (request_is_read(request)) {
            answer |= (uint64_t)(exists ? host->config[at] : 0xff) << (8 * i);
        } else if (exists) {
            uint8_t mask = host->write_mask[at];
            uint8_t byte = (uint8_t)(request->value >> (8 * i));
            host->config[at] = (uint8_t)((host->config[at] & ~mask) | (byte & mask));
        }
    }
    if (request_is_read(request))
        request->value = answer;
}

static int nothing_there(struct request *request)
{
    if (request_is_read(request))
        request->value = request_ones(request->size_bytes);
    return 0;
}

static int config_port_access(struct pci_host *host, struct request *request)
{
    uint64_t offset = request->offset;
    if (offset == 0 && request->size_bytes == 4) {
        if (request_is_read(request)) {
            request->value = host->config_address;
        } else {
            host->config_address = (uint32_t)request->value;
        }
        return 0;
    }
    uint32_t address = host->config_address;
    bool is_data = offset >= DATA_OFFSET && offset + request->size_bytes <= PORT_COUNT;
    if (!is_data || !(address & ADDRESS_ENABLE))
        return nothing_there(request);
    uint32_t first = (address & 0xfc) + ((address >> 16) & 0xf00) + (uint32_t)offset - DATA_OFFSET;
    config_space_access(host, (address >> 8) & 0xffff, first, request);
    return 0;
}

static int pci_host_handle(struct device *device, struct request *request)
{
    struct pci_host *host = (struct pci_host *)device;
    if (request->type == REQUEST_PCICFG) {
        config_space_access(host, request->address >> 12, (uint32_t)request->address & 0xfff,
                            request);
        return 0;
    }
    if (request->range_index == REQUEST_NO_RANGE || request->offset >= PORT_COUNT)
        return -ENXIO;
    return config_port_access(host, request);
}

static void pci_host_destroy(struct device *device)
{
    free(device);
}

const struct device_ops device_pci_host = {
    .name = "pci_host",
    .summary = "PCI configuration ports and a host bridge on an otherwise empty bus",
    .options = pci_host_options,
    .option_count = OPTION_COUNT,
    .create = pci_host_create,
    .reset = pci_host_reset,
    .handle = pci_host_handle,
    .destroy = pci_host_destroy,
};
