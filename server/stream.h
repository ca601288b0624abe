/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stream.h - moves bytes between a device's rings and a terminal, pty or file.
 *
 * Flow:    stream_open -> stream_pump every few milliseconds -> stream_close.
 *
 *          device --output--> pump --> stdout, pty, file      stdin, pty --> pump --input--> device
 *
 * Threads: control. Never waits: what the other end does not take stays in the ring, and the device
 *          sees a full ring; what nobody can ever take (no reader at the pty, disk full, stdout
 *          closed) is dropped and counted.
 * Memory:  the rings are the device's.
 * Errors:  negative errno, with one line in error.
 */
#ifndef SERVER_STREAM_H
#define SERVER_STREAM_H

#include "clients/device.h"

struct stream;

/*
 * Opens what device->stream names: none, stdio, pty, pty:LINK (a symbolic link to the pty) or
 * file:PATH (emptied first). *stream is NULL for none. announce [announce_bytes] tells what the
 * operator should know (the pty's path), or "".
 */
int stream_open(struct device *device, struct stream **stream, char *announce,
                size_t announce_bytes);

/* Moves what can be moved now; returns how many bytes. */
size_t stream_pump(struct stream *stream);

/* Pumps what is left once more and restores the terminal. */
void stream_close(struct stream *stream);

/* Output bytes that nobody took. */
uint64_t stream_lost(const struct stream *stream);

#endif
