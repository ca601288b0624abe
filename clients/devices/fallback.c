/* SPDX-License-Identifier: BSD-3-Clause */
/* Answers for addresses where nothing is: reads give all-ones, writes are dropped, of any type and
 * size. The client's access counter tells how often. Meant as a VM's default client. */
#include "clients/devices/devices.h"

#include <errno.h>
#include <stdlib.h>

static int fallback_create(const struct device_setup *setup, struct device **device)
{
    struct device *fallback = calloc(1, sizeof(*fallback));
    if (!fallback)
        return device_refuse(setup, ENOMEM, "no memory for the device");
    fallback->ops = &device_fallback;
    *device = fallback;
    return 0;
}

static void fallback_reset(struct device *device)
{
    (void)device; /* nothing to remember */
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
    .is_prompt = true,
    .destroy = fallback_destroy,
};
