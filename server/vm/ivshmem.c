/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/vm/ivshmem.h"

#include "pollers/slot.h"
#include "server/socket/descriptor_passing.h"
#include "server/socket/wire.h"

#include <endian.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define PROTOCOL_VERSION 0
#define MEMORY_ID        (-1)
#define NO_ID            INT64_MIN

/* One message: a number, and perhaps a descriptor, *passed. Waits at most timeout_ms. */
static int receive(int socket, int timeout_ms, int64_t *number, int *passed)
{
    unsigned char bytes[sizeof(int64_t)];
    size_t have = 0;
    *passed = -1;
    while (have < sizeof(bytes)) {
        struct pollfd entry = {.fd = socket, .events = POLLIN};
        bool too_many = false;
        int ready = poll(&entry, 1, timeout_ms);
        if (ready <= 0)
            return ready < 0 ? -errno : -ETIMEDOUT;
        ssize_t count =
            descriptor_receive(socket, bytes + have, sizeof(bytes) - have, passed, &too_many);
        if (count == 0)
            return -ECONNRESET;
        if (count < 0 && errno != EAGAIN && errno != EINTR)
            return -errno;
        have += count > 0 ? (size_t)count : 0;
    }
    memcpy(number, bytes, sizeof(*number));
    *number = (int64_t)le64toh((uint64_t)*number);
    return 0;
}

static void drop(int descriptor)
{
    if (descriptor >= 0)
        close(descriptor);
}

/* Version, our id, the memory. */
static int receive_welcome(struct ivshmem *joined, int timeout_ms)
{
    int64_t version, memory;
    int none = -1;
    int result = receive(joined->socket, timeout_ms, &version, &none);
    drop(none);
    if (result == 0 && version != PROTOCOL_VERSION)
        return -EPROTO;
    if (result == 0)
        result = receive(joined->socket, timeout_ms, &joined->id, &none);
    drop(none);
    if (result == 0)
        result = receive(joined->socket, timeout_ms, &memory, &joined->memory);
    return result < 0 ? result : memory != MEMORY_ID || joined->memory < 0 ? -EPROTO : 0;
}

/* Everybody who was there before us comes first, vector by vector, then our own. */
static int receive_vectors(struct ivshmem *joined, uint32_t wanted, int timeout_ms)
{
    int64_t peer = NO_ID;
    while (joined->vector_count < wanted) {
        int64_t id;
        int descriptor;
        int result = receive(joined->socket, timeout_ms, &id, &descriptor);
        if (result < 0)
            return result;
        if (peer == NO_ID && id != joined->id)
            peer = id;
        if (descriptor >= 0 && id == joined->id)
            joined->vectors[joined->vector_count++] = descriptor;
        else if (descriptor >= 0 && id == peer && joined->peer_vector_count < IVSHMEM_VECTORS_MAX)
            joined->peer_vectors[joined->peer_vector_count++] = descriptor;
        else
            drop(descriptor);
    }
    return joined->peer_vector_count > 0 ? 0 : -ENOTCONN;
}

int ivshmem_join(const char *socket_path, uint32_t vector_count, int timeout_ms,
                 struct ivshmem *joined, char *error, size_t error_bytes)
{
    *joined = (struct ivshmem){.memory = -1};
    joined->socket = wire_connect(socket_path);
    int result = joined->socket;
    if (result < 0) {
        snprintf(error, error_bytes, "no ivshmem server on %s: %s", socket_path, strerror(-result));
        return result;
    }
    result = vector_count > IVSHMEM_VECTORS_MAX ? -EINVAL : receive_welcome(joined, timeout_ms);
    if (result == 0)
        result = receive_vectors(joined, vector_count, timeout_ms);
    if (result < 0) {
        snprintf(error, error_bytes,
                 result == -ENOTCONN
                     ? "no QEMU is connected to the ivshmem server on %s; start it first"
                 : result == -ETIMEDOUT
                     ? "the ivshmem server on %s has too few vectors; expected one for each vCPU"
                     : "the ivshmem server on %s does not speak protocol version 0",
                 socket_path);
        ivshmem_leave(joined);
    }
    return result;
}

int ivshmem_map(const struct ivshmem *joined, uint64_t offset_bytes, void **page, char *error,
                size_t error_bytes)
{
    struct stat status;
    if (fstat(joined->memory, &status) < 0 || offset_bytes % PAGE_BYTES != 0 ||
        (uint64_t)status.st_size < PAGE_BYTES ||
        offset_bytes > (uint64_t)status.st_size - PAGE_BYTES) {
        snprintf(
            error, error_bytes,
            "the shared memory has no page at offset 0x%llx; expected a multiple of 4096 in it",
            (unsigned long long)offset_bytes);
        return -ERANGE;
    }
    *page = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, joined->memory,
                 (off_t)offset_bytes);
    if (*page != MAP_FAILED)
        return 0;
    snprintf(error, error_bytes, "cannot map the shared memory: %s", strerror(errno));
    return -errno;
}

void ivshmem_leave(struct ivshmem *joined)
{
    drop(joined->socket);
    drop(joined->memory);
    for (uint32_t i = 0; i < joined->vector_count; i++)
        drop(joined->vectors[i]);
    for (uint32_t i = 0; i < joined->peer_vector_count; i++)
        drop(joined->peer_vectors[i]);
    *joined = (struct ivshmem){.socket = -1, .memory = -1};
}
