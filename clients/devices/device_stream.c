/* SPDX-License-Identifier: BSD-3-Clause */
#include "clients/devices/device_stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A screenful of firmware output must fit while the control thread is busy elsewhere. */
#define OUTPUT_RING_BYTES ((size_t)64 * 1024)
/* A pasted page of text. */
#define INPUT_RING_BYTES ((size_t)4 * 1024)

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static bool stream_is_file(const char *text)
{
    return starts_with(text, "file:");
}

static bool stream_is_valid(const char *text)
{
    if (strcmp(text, "none") == 0 || strcmp(text, "stdio") == 0 || strcmp(text, "pty") == 0)
        return true;
    return (stream_is_file(text) || starts_with(text, "pty:")) && strchr(text, ':')[1] != '\0';
}

int device_stream_init(struct device *device, const struct device_setup *setup, const char *option,
                       const char *text, enum device_stream_direction direction)
{
    if (!text || !stream_is_valid(text)) {
        return device_refuse(setup, EINVAL,
                             "%s: '%s' is no stream: give none, stdio, pty, pty:LINK or file:PATH",
                             option, text ? text : "");
    }
    if (strcmp(text, "none") == 0)
        return 0;
    bool listens = direction == DEVICE_STREAM_OUTPUT_AND_INPUT && !stream_is_file(text);
    device->stream = strdup(text);
    device->output = byte_ring_create(OUTPUT_RING_BYTES);
    if (listens)
        device->input = byte_ring_create(INPUT_RING_BYTES);
    if (!device->stream || !device->output || (listens && !device->input)) {
        device_stream_fini(device);
        return device_refuse(setup, ENOMEM, "%s: no memory for its rings", option);
    }
    return 0;
}

void device_stream_drain(struct device *device)
{
    uint8_t bytes[64];
    /* Bounded by what the ring holds: control may go on pushing. */
    for (size_t drained = 0; device->input && drained < INPUT_RING_BYTES; drained += sizeof(bytes))
        if (byte_ring_pop(device->input, bytes, sizeof(bytes)) == 0)
            break;
}

void device_stream_fini(struct device *device)
{
    byte_ring_destroy(device->input);
    byte_ring_destroy(device->output);
    free((char *)device->stream);
    device->input = NULL;
    device->output = NULL;
    device->stream = NULL;
}
