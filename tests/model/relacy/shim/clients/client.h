/* SPDX-License-Identifier: BSD-3-Clause */
/* clients/client.h, with what the loop needs of a device. */
#ifndef RELACY_SHIM_CLIENTS_CLIENT_H
#define RELACY_SHIM_CLIENTS_CLIENT_H

#include "clients/request.h"

struct budget;
struct device;
struct late;

struct device_ops {
    int (*handle)(struct device *device, struct request *request);
    void (*completed)(struct device *device, const struct request *request);
    bool is_prompt;
};

struct device {
    const struct device_ops *ops;
};

struct client {
    struct device *device;
    struct inbox *inbox;
    struct external *external;
    struct process_port *process;
    struct budget *budget, *inbox_budget;
    uint64_t deadline_ticks;
    struct late *late_answers;
    struct histogram *latency;
    bool is_default;
    uint64_t errors;
    uint64_t broken_after;
    shim::plain<bool> is_broken;
};

#endif
