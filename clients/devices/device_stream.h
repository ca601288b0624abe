/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device_stream.h - a device's end of a terminal or file: an option of kind STREAM becomes rings.
 *
 * Flow:    device_stream_init in create() -> the device pushes and pops bytes ->
 *          device_stream_fini in destroy().
 * Threads: control; device_stream_drain: the poller the client lives on.
 * Memory:  fills in stream, output and input of the device; device_stream_fini releases them.
 * Errors:  a text that is no stream, or no memory: refused with the reason, nothing kept.
 */
#ifndef CLIENTS_DEVICES_DEVICE_STREAM_H
#define CLIENTS_DEVICES_DEVICE_STREAM_H

#include "clients/device.h"

enum device_stream_direction {
    DEVICE_STREAM_OUTPUT,           /* the device only talks */
    DEVICE_STREAM_OUTPUT_AND_INPUT, /* it also listens: stdio and pty; a file is never read */
};

/*
 * text: none, stdio, pty, pty:LINK or file:PATH as given for `option`. With none, and for input
 * where there is none, the ring is NULL. 0, -EINVAL or -ENOMEM; then setup->error is written.
 */
int device_stream_init(struct device *device, const struct device_setup *setup, const char *option,
                       const char *text, enum device_stream_direction direction);

/* Forgets what waits in the input ring; on the poller. */
void device_stream_drain(struct device *device);

/* After a failed device_stream_init, or without any: does nothing. */
void device_stream_fini(struct device *device);

#endif
