/* SPDX-License-Identifier: BSD-3-Clause */
/* Answers for addresses where nothing is: reads give all-ones, writes are dropped. The client's
 * access counter tells how often. Meant as a VM's default client. */
#include "clients/device.h"

#include <errno.h>
#include <stdlib.h>

extern const struct device_ops device_fallback;

static int fallback_create(const struct device_setup *setup, struct device **device)
{
    (void)setup;
    struct device *fallback = calloc(1, sizeof(*fallback));
    if (!fallback)
        return -ENOMEM;
    fallback->ops = &device_fallback;
    *device = fallback;
    return 0;
}

static void fallback_reset(struct device *device)
{
    (void)device;
}

static int fallback_handle(struct device *device, struct request *request)
{
    (void)device;
    if (request_is_read(request))
        request->value = request_ones(request->size_bytes);
    return 0;
}

static void fallback_destroy(struct device *device)
{
    free(device);
}

const struct device_ops device_fallback = {
    .name = "fallback",
    .summary = "reads all-ones, drops writes",
    .create = fallback_create,
    .reset = fallback_reset,
    .handle = fallback_handle,
    .destroy = fallback_destroy,
};
