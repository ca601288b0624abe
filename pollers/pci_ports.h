/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pci_ports.h - PCI configuration mechanism 1: ports 0xcf8 (address) and 0xcfc..0xcff (data).
 *
 * Flow:    the sweeping poller, before routing: an access to the address port is answered here, a
 *          data access becomes a PCICFG request, which is then routed by bus, device and function.
 * Threads: the sweeping poller; the address is one for each VM.
 * Errors:  a data access that leaves 0xcfc..0xcff, and one while bit 31 of the address is clear, is
 *          answered with all-ones.
 * Source:  PCI Local Bus Specification 3.0, 3.2.2.3.2. Linux's ACRN driver takes any size at 0xcf8
 *          for 32 bits, and a 4-byte access at 0xcff for register + 3; here only an aligned 4-byte
 *          access reaches the address, and crossings are refused.
 */
#ifndef POLLERS_PCI_PORTS_H
#define POLLERS_PCI_PORTS_H

#include "clients/request.h"

#define PCI_PORT_ADDRESS   0xcf8u
#define PCI_PORT_DATA      0xcfcu
#define PCI_PORT_DATA_LAST 0xcffu
#define PCI_ADDRESS_ENABLE 0x80000000u

enum pci_ports_result {
    PCI_PORTS_NOT_OURS, /* route the request as it is */
    PCI_PORTS_CONFIG,   /* request is now a PCICFG request: route that */
    PCI_PORTS_ANSWERED, /* request->value is the answer of a read; a write goes to *address */
    PCI_PORTS_DISABLED, /* all-ones: no configuration address is enabled */
    PCI_PORTS_CROSSING, /* all-ones: the access leaves the data port */
};

/* request: a checked PORTIO request. address: the last one written to the address port. */
static inline enum pci_ports_result pci_ports_translate(struct request *request, uint32_t address)
{
    uint32_t port = (uint32_t)request->address;
    if (port == PCI_PORT_ADDRESS && request->size_bytes == 4) {
        if (request_is_read(request))
            request->value = address;
        return PCI_PORTS_ANSWERED;
    }
    if (port < PCI_PORT_DATA || port > PCI_PORT_DATA_LAST)
        return PCI_PORTS_NOT_OURS;
    if (port + request->size_bytes - 1 > PCI_PORT_DATA_LAST)
        return PCI_PORTS_CROSSING;
    if (!(address & PCI_ADDRESS_ENABLE))
        return PCI_PORTS_DISABLED;
    uint32_t bus_dev_func = address >> 8 & 0xffff;
    uint32_t reg = (address & 0xfc) + (address >> 16 & 0xf00) + (port - PCI_PORT_DATA);
    request->type = REQUEST_PCICFG;
    request->address = (uint64_t)bus_dev_func << 12 | reg;
    return PCI_PORTS_CONFIG;
}

#endif
