/* SPDX-License-Identifier: BSD-3-Clause */
/* <linux/acrn.h> with one slot, whose words relacy watches. Offsets do not matter here. */
#ifndef RELACY_SHIM_LINUX_ACRN_H
#define RELACY_SHIM_LINUX_ACRN_H

#define ACRN_IO_REQUEST_MAX         1u
#define ACRN_IOREQ_STATE_PENDING    0
#define ACRN_IOREQ_STATE_COMPLETE   1
#define ACRN_IOREQ_STATE_PROCESSING 2
#define ACRN_IOREQ_STATE_FREE       3

struct acrn_mmio_request {
    shim::plain<uint32_t> direction;
    shim::plain<uint64_t> address;
    shim::plain<uint64_t> size;
    shim::plain<uint64_t> value;
};

/* Of the union the suites use the MMIO member only. */
struct acrn_pio_request {
    shim::plain<uint32_t> value;
};

struct acrn_pci_request {
    shim::plain<uint32_t> dev, func, reg;
};

struct acrn_io_request {
    shim::plain<uint32_t> type;
    shim::plain<uint32_t> completion_polling;
    struct {
        struct acrn_pio_request pio_request;
        struct acrn_mmio_request mmio_request;
        struct acrn_pci_request pci_request;
    } reqs;
    shim::plain<uint32_t> kernel_handled;
    shim::atomic<uint32_t> processed;
};

#endif
