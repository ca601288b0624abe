/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ivshmem.h - a page in memory that is shared with QEMU (its device ivshmem), and interrupts both ways:
 * the requester's side of a server that runs in a QEMU guest.
 *
 * Flow:    ivshmem_join: connect to the ivshmem server's socket, take the memory, our eventfds, one a
 *          vector, and those of the first peer, which is QEMU's guest -> ivshmem_map -> ivshmem_leave.
 * Threads: one.
 * Memory:  descriptors are the struct's until ivshmem_leave.
 * Errors:  negative errno, with one line in error.
 * Source:  QEMU docs/specs/ivshmem-spec.rst, "Client-Server protocol" (facts).
 */
#ifndef SERVER_VM_IVSHMEM_H
#define SERVER_VM_IVSHMEM_H

#include <stddef.h>
#include <stdint.h>

#define IVSHMEM_VECTORS_MAX 16u

struct ivshmem {
    int socket;
    int memory;
    int64_t id; /* ours, which the guest's doorbell names */
    uint32_t vector_count;
    int vectors[IVSHMEM_VECTORS_MAX]; /* [vector_count] eventfds: the guest rang our doorbell */
    uint32_t peer_vector_count;
    int peer_vectors[IVSHMEM_VECTORS_MAX]; /* [peer_vector_count] eventfds: interrupt the guest */
};

/* Takes vectors [vector_count] of ours; waits for them and for the peer's up to timeout_ms. -ENOTCONN: no
 * peer is connected. */
int ivshmem_join(const char *socket_path, uint32_t vector_count, int timeout_ms,
                 struct ivshmem *joined, char *error, size_t error_bytes);

/* Maps the page at offset_bytes, a multiple of 4096; *page is the caller's, 4096 bytes. -ERANGE: it lies
 * not in the memory. */
int ivshmem_map(const struct ivshmem *joined, uint64_t offset_bytes, void **page, char *error,
                size_t error_bytes);

void ivshmem_leave(struct ivshmem *joined);

#endif
