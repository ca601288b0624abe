/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The debug port of PC emulators (0x402; Bochs used 0xe9): a byte written is a byte of output, a
 * read gives 0xe9, by which firmware finds the port.
 *
 * Every address of its ranges is that port: a wider write emits its bytes low first, a wider read
 * gives 0xe9 in each byte. A byte that finds the ring full is dropped and counted there: the port
 * has no way to say "wait".
 */
#include "clients/devices/device_stream.h"
#include "clients/devices/devices.h"

#include <errno.h>
#include <stdlib.h>

#define PRESENT_IN_EACH_BYTE UINT64_C(0xe9e9e9e9e9e9e9e9)

enum { OPTION_OUTPUT, OPTION_COUNT };

static const struct device_option debug_console_options[OPTION_COUNT] = {
    [OPTION_OUTPUT] = {.name = "output",
                       .kind = DEVICE_OPTION_STREAM,
                       .default_text = "stdio",
                       .help = "where the bytes go: none, stdio, pty, pty:LINK or file:PATH "
                               "(appended)"},
};

static int debug_console_create(const struct device_setup *setup, struct device **device)
{
    if (setup->range_count == 0) {
        return device_refuse(setup, EINVAL,
                             "ranges: the debug console needs one, for instance port 0x402");
    }
    struct device *console = calloc(1, sizeof(*console));
    if (!console)
        return device_refuse(setup, ENOMEM, "no memory for the device");
    console->ops = &device_debug_console;
    int rc = device_stream_init(console, setup, "output", setup->values[OPTION_OUTPUT].string,
                                DEVICE_STREAM_OUTPUT);
    if (rc < 0) {
        free(console);
        return rc;
    }
    *device = console;
    return 0;
}

static void debug_console_reset(struct device *device)
{
    (void)device; /* what was said stays said */
}

static int debug_console_handle(struct device *device, struct request *request)
{
    if (request->range_index == REQUEST_NO_RANGE)
        return -ENXIO;
    if (request_is_read(request)) {
        request->value = PRESENT_IN_EACH_BYTE & request_ones(request->size_bytes);
        return 0;
    }
    if (device->output) {
        for (uint32_t i = 0; i < request->size_bytes; i++)
            (void)byte_ring_try_push(device->output, (uint8_t)(request->value >> (8 * i)));
    }
    return 0;
}

static void debug_console_destroy(struct device *device)
{
    device_stream_fini(device);
    free(device);
}

const struct device_ops device_debug_console = {
    .name = "debug_console",
    .summary = "firmware's debug port: bytes written become output",
    .options = debug_console_options,
    .option_count = OPTION_COUNT,
    .create = debug_console_create,
    .reset = debug_console_reset,
    .handle = debug_console_handle,
    .is_prompt = true,
    .destroy = debug_console_destroy,
};
