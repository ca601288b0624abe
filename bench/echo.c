/* SPDX-License-Identifier: BSD-3-Clause */
#include "bench/echo.h"

#include "pollers/poller_internal.h"

static int echo_handle(struct device *device, struct request *request)
{
    (void)device;
    request->value = request->address;
    return 0;
}

const struct device_ops echo_ops = {.name = "echo", .handle = echo_handle, .is_prompt = true};

void echo_stop_poller(void *poller)
{
    ((struct poller *)poller)->is_stopping = true;
}
