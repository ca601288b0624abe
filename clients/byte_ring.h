/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * byte_ring.h - bytes between a device on a poller and the control thread.
 *
 * Flow:    output: device pushes, control pops. Input: control pushes, device pops.
 * Threads: one producer, one consumer, both wait-free.
 * Memory:  one allocation, capacity a power of two; producer and consumer on own cache lines.
 * Errors:  a full ring refuses the byte and counts it; nobody waits.
 * Source:  Lamport's single-producer single-consumer ring with cached peer indices.
 */
#ifndef CLIENTS_BYTE_RING_H
#define CLIENTS_BYTE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct byte_ring;

/* capacity_bytes: a power of two, 16..2^24. NULL: no memory. */
struct byte_ring *byte_ring_create(size_t capacity_bytes);
void byte_ring_destroy(struct byte_ring *ring);

/* Producer. False when full: the byte is dropped and counted. */
bool byte_ring_try_push(struct byte_ring *ring, uint8_t byte);
/* Producer. How many bytes may be pushed now without loss (a lower bound). */
size_t byte_ring_space(struct byte_ring *ring);

/* Consumer. False when empty. */
bool byte_ring_try_pop(struct byte_ring *ring, uint8_t *byte);
/* Consumer. Pops up to capacity bytes, returns how many. */
size_t byte_ring_pop(struct byte_ring *ring, uint8_t *bytes, size_t capacity);
/* Consumer. True when nothing can be popped now. */
bool byte_ring_is_empty(struct byte_ring *ring);

/* Any thread. Bytes refused so far. */
uint64_t byte_ring_dropped(const struct byte_ring *ring);

#endif
