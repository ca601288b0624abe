/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The device to copy: two 32-bit registers and one option.
 *
 *   offset 0  SCRATCH  read/write; `initial` after reset
 *   offset 4  READS    read-only: reads of SCRATCH since reset
 *
 * To make your own: copy this file, rename, add one line each to devices.h and devices.c, and
 * configure a client with `device: <name>`. Read ../device.h for the rules of a poller.
 */
#include "clients/devices/devices.h"

#include <errno.h>
#include <stdlib.h>

#define REGISTER_SCRATCH 0u
#define REGISTER_READS   4u
#define WINDOW_BYTES     8u

/* `struct device` first: the server sees that, handle() and the others see the rest. */
struct example {
    struct device device;
    uint32_t initial;
    uint32_t scratch;
    uint32_t reads;
};

/* The index of a value in setup->values is the index of its option here. */
enum { OPTION_INITIAL, OPTION_COUNT };

static const struct device_option example_options[OPTION_COUNT] = {
    [OPTION_INITIAL] = {.name = "initial",
                        .kind = DEVICE_OPTION_NUMBER,
                        .default_text = "0",
                        .maximum = UINT32_MAX,
                        .help = "what the scratch register holds after reset"},
};

/* Control thread: may allocate, open files, take its time. Kinds, limits and defaults of options
 * have been checked; check here what only this device can know, and say how to put it right. */
static int example_create(const struct device_setup *setup, struct device **device)
{
    if (setup->range_count != 1 ||
        setup->ranges[0].last - setup->ranges[0].first != WINDOW_BYTES - 1) {
        return device_refuse(setup, EINVAL, "ranges: give exactly one, of %u addresses",
                             WINDOW_BYTES);
    }
    struct example *example = calloc(1, sizeof(*example));
    if (!example)
        return device_refuse(setup, ENOMEM, "no memory for the device");
    example->device.ops = &device_example;
    example->initial = (uint32_t)setup->values[OPTION_INITIAL].number;
    *device = &example->device;
    return 0;
}

/* Poller: power-on state. Also called once before the first request. */
static void example_reset(struct device *device)
{
    struct example *example = (struct example *)device;
    example->scratch = example->initial;
    example->reads = 0;
}

/* Poller, per request: a few instructions, no call that may block. */
static int example_handle(struct device *device, struct request *request)
{
    struct example *example = (struct example *)device;
    /* This device decodes whole, aligned registers only. An error makes the poller answer
     * all-ones and count it; a device that is happy to answer anything returns 0 instead. */
    if (request->range_index != 0 || request->size_bytes != 4)
        return -EINVAL;
    switch (request->offset) {
    case REGISTER_SCRATCH:
        if (request_is_read(request)) {
            request->value = example->scratch;
            example->reads++;
        } else {
            example->scratch = (uint32_t)request->value;
        }
        return 0;
    case REGISTER_READS:
        if (request_is_read(request))
            request->value = example->reads;
        return 0; /* a write to a read-only register is dropped, as on hardware */
    default:
        return -EINVAL; /* misaligned */
    }
}

/* Control thread, when no poller can reach the device any more: releases what create() took. */
static void example_destroy(struct device *device)
{
    free(device);
}

const struct device_ops device_example = {
    .name = "example",
    .summary = "a scratch register and a counter: the device to copy",
    .options = example_options,
    .option_count = OPTION_COUNT,
    .create = example_create,
    .reset = example_reset,
    .handle = example_handle,
    .is_prompt = true, /* a promise: device.h; leave it out if it is none */
    .destroy = example_destroy,
};
