/* SPDX-License-Identifier: BSD-3-Clause */
#include "clients/doorbell.h"

#include <string.h>

/* One writer: the poller; whoever shows the figure orders nothing by it. */
static void count(_Atomic uint64_t *figure)
{
    uint64_t value = atomic_load_explicit(figure, memory_order_relaxed);
    atomic_store_explicit(figure, value + 1, memory_order_relaxed);
}

static const struct doorbell_bell *find_bell(const struct doorbell *doorbell,
                                             const struct request *request)
{
    const struct doorbell_table *table = doorbell->table;
    if (request->address != doorbell->options.address)
        return NULL;
    for (uint32_t i = 0; i < table->count; i++) {
        const struct doorbell_bell *bell = &table->bells[i];
        if (request->size_bytes <= bell->length_bytes &&
            (bell->is_wildcard || bell->data == request->value))
            return bell;
    }
    return NULL;
}

static int doorbell_handle(struct device *device, struct request *request)
{
    struct doorbell *doorbell = (struct doorbell *)device;
    doorbell->struck = NULL;
    if (request_is_read(request)) {
        request->value = doorbell->options.read_value;
        return 0;
    }
    doorbell->struck = find_bell(doorbell, request);
    if (!doorbell->struck)
        count(&doorbell->options.figures->misses);
    return 0;
}

static void doorbell_completed(struct device *device, const struct request *request)
{
    (void)request;
    struct doorbell *doorbell = (struct doorbell *)device;
    if (!doorbell->struck)
        return;
    doorbell->options.ring(doorbell->options.ring_context, doorbell->struck->signal);
    count(&doorbell->options.figures->rings);
}

static const struct device_ops doorbell_ops = {
    .name = "doorbell",
    .summary = "rings eventfds",
    .handle = doorbell_handle,
    .is_prompt = true,
    .completed = doorbell_completed,
};

static const struct doorbell_table no_bells = {.count = 0};

void doorbell_init(struct doorbell *doorbell, const struct doorbell_options *options)
{
    memset(doorbell, 0, sizeof(*doorbell));
    doorbell->device.ops = &doorbell_ops;
    doorbell->options = *options;
    doorbell->table = &no_bells;
    doorbell->client.device = &doorbell->device;
    doorbell->client.latency = options->latency;
    strcpy(doorbell->client.name, "doorbell");
}
