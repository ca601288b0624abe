/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * descriptor_passing.h - descriptors over a Unix socket, beside the bytes.
 *
 * Threads: any.
 * Memory:  a descriptor that is sent stays the sender's; one that is received is the receiver's.
 * Errors:  as sendmsg and recvmsg: -1 and errno.
 * Source:  unix(7), cmsg(3).
 */
#ifndef SERVER_SOCKET_DESCRIPTOR_PASSING_H
#define SERVER_SOCKET_DESCRIPTOR_PASSING_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* As send, without waiting and without SIGPIPE; descriptor goes along unless it is -1. */
ssize_t descriptor_send(int socket, const void *bytes, size_t length, int descriptor);

#define DESCRIPTORS_SENT_MAX 4u

/* The same with descriptors [count], DESCRIPTORS_SENT_MAX at most. */
ssize_t descriptors_send(int socket, const void *bytes, size_t length, const int *descriptors,
                         size_t count);

/*
 * As recv, without waiting. The first descriptor that comes goes to *passed if that is -1; every other
 * one is closed, and *too_many set. passed NULL: none is expected.
 */
ssize_t descriptor_receive(int socket, void *bytes, size_t space, int *passed, bool *too_many);

#endif
