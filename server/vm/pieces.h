/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * pieces.h - one KVM exit as the accesses that go into a slot, one after the other.
 *
 * Flow:    pieces_of_port or pieces_of_mmio with what KVM_RUN left -> pieces_next until false; for
 *          a read pieces_answer after each.
 * Threads: the vCPU's own.
 * Memory:  `bytes` stays KVM's: the data of the exit, read for writes, filled for reads.
 * Errors:  -EINVAL: KVM reported something that it never does; nothing was started.
 *
 * String I/O (rep ins, rep outs) is one exit with many elements: one access each, in memory order,
 * all at the same port. An MMIO access whose length is no power of two (3, 5, 6, 7: an instruction
 * across the end of a page of RAM) goes from its lowest address up in the largest pieces that fit:
 * 3 = 2+1, 5 = 4+1, 6 = 4+2, 7 = 4+2+1. Alignment splits nothing.
 */
#ifndef SERVER_VM_PIECES_H
#define SERVER_VM_PIECES_H

#include "server/vm/requester.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct pieces {
    uint8_t *bytes;     /* of the next piece */
    size_t bytes_left;  /* with the current piece */
    size_t piece_bytes; /* port: element size; MMIO: 0, chosen piece by piece */
    uint64_t address;   /* of the next piece */
    uint32_t type;
    uint32_t direction;
};

/* count elements of size_bytes (1, 2, 4) at port; bytes [size_bytes * count]. */
int pieces_of_port(struct pieces *pieces, uint32_t direction, uint64_t port, size_t size_bytes,
                   size_t count, uint8_t *bytes);
/* length_bytes 1..8; bytes [length_bytes]. */
int pieces_of_mmio(struct pieces *pieces, uint32_t direction, uint64_t address, size_t length_bytes,
                   uint8_t *bytes);

/* Fills the next access; false when none is left. */
bool pieces_next(struct pieces *pieces, struct requester_access *access);
/* Ends the access that pieces_next gave: for a read puts its answer, cut to the size, into bytes.
 */
void pieces_answer(struct pieces *pieces, const struct requester_access *access);

#endif
