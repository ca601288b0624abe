/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * stream.h - moves bytes between a device's rings and a terminal, pty or file.
 *
 * Flow:    stream_check -> stream_open -> stream_pump every few milliseconds -> stream_close.
 *
 *          device --output--> pump --> stdout, pty, file      stdin, pty --> pump --input--> device
 *
 * Threads: control. Never waits: what the other end does not take stays in the ring, and the device
 *          sees a full ring; what nobody can ever take (nobody at the pty, disk full, stdout closed)
 *          is dropped and counted.
 *
 *          Bytes typed at a terminal while no requester is attached are for nobody and are dropped;
 *          those of a pipe or file at standard input wait.
 * Memory:  the rings are the device's.
 * Errors:  negative errno, with one line in text.
 */
#ifndef SERVER_DEVICES_STREAM_H
#define SERVER_DEVICES_STREAM_H

#include "clients/device.h"

struct stream;

/*
 * Would stream_open succeed with that name? Opens and makes nothing. NULL is none. 0, or a negative
 * errno with the reason and the remedy in text [text_bytes].
 */
int stream_check(const char *name, char *text, size_t text_bytes);

/*
 * Opens what device->stream names: none, stdio, pty, pty:LINK (a symbolic link to the pty; an old
 * link to a pty is replaced, nothing else is) or file:PATH (appended to). *stream is NULL for none.
 * text [text_bytes]: what the operator should know (the pty's path), or "".
 */
int stream_open(struct device *device, struct stream **stream, char *text, size_t text_bytes);

/* Moves what can be moved now; returns how many bytes. is_listened: there is a requester. */
size_t stream_pump(struct stream *stream, bool is_listened);

/* Pumps output once more, and leaves the terminal and the link's folder as they were. */
void stream_close(struct stream *stream);

/* Output bytes that nobody took. */
uint64_t stream_lost(const struct stream *stream);

/*
 * Once a second. True when output, which went well for a minute, began to be lost, there or at a
 * full ring; text [text_bytes] says why.
 */
bool stream_began_to_lose(struct stream *stream, char *text, size_t text_bytes);

#endif
