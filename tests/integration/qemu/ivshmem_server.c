/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A server of QEMU's ivshmem device: deals out a file as shared memory, ids, and an eventfd for each
 * vector of each side.
 *     ivshmem_server SOCKET FILE VECTORS
 * The first client is QEMU, id 0. Those after it are id 1, one at a time, with the same eventfds: QEMU 7.2
 * does not survive peers that come and go. Ends with SIGTERM.
 *
 * Source: QEMU docs/specs/ivshmem-spec.rst, "Client-Server protocol" (facts).
 */
#include "server/socket/descriptor_passing.h"

#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define VECTORS_MAX 16

enum { QEMU, PEER, SIDES };

static struct side {
    int socket; /* -1: nobody */
    int vectors[VECTORS_MAX];
} sides[SIDES] = {{.socket = -1}, {.socket = -1}};
static unsigned vector_count;

static void fail(const char *what)
{
    fprintf(stderr, "ivshmem_server: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void make_vectors(struct side *side)
{
    for (unsigned i = 0; i < vector_count; i++)
        if ((side->vectors[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
            fail("eventfd");
}

static void send_number(int socket_fd, int64_t number, int descriptor)
{
    uint64_t bytes = htole64((uint64_t)number);
    (void)!descriptor_send(socket_fd, &bytes, sizeof(bytes), descriptor);
}

static void send_vectors(int socket_fd, int id)
{
    for (unsigned i = 0; i < vector_count; i++)
        send_number(socket_fd, id, sides[id].vectors[i]);
}

static void welcome(int socket_fd, int memory)
{
    int id = sides[QEMU].socket < 0 ? QEMU : PEER;
    if (sides[id].socket >= 0) {
        close(socket_fd);
        return;
    }
    sides[id].socket = socket_fd;
    send_number(socket_fd, 0, -1);
    send_number(socket_fd, id, -1);
    send_number(socket_fd, -1, memory);
    send_vectors(socket_fd, !id);
    send_vectors(socket_fd, id);
}

/* The next one finds its eventfds as new. */
static void part(int id)
{
    close(sides[id].socket);
    sides[id].socket = -1;
    uint64_t count;
    for (unsigned i = 0; i < vector_count; i++)
        (void)!read(sides[id].vectors[i], &count, sizeof(count));
}

static int listen_on(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int socket_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (strlen(path) >= sizeof(address.sun_path) || socket_fd < 0)
        fail(path);
    strcpy(address.sun_path, path);
    unlink(path);
    if (bind(socket_fd, (const struct sockaddr *)&address, sizeof(address)) < 0 ||
        listen(socket_fd, 4) < 0)
        fail(path);
    return socket_fd;
}

int main(int argc, char **argv)
{
    vector_count = argc == 4 ? (unsigned)atoi(argv[3]) : 0;
    if (vector_count < 1 || vector_count > VECTORS_MAX) {
        fprintf(stderr, "Usage: ivshmem_server SOCKET FILE VECTORS\n");
        return 2;
    }
    int memory = open(argv[2], O_RDWR | O_CLOEXEC);
    if (memory < 0)
        fail(argv[2]);
    make_vectors(&sides[QEMU]);
    make_vectors(&sides[PEER]);
    struct pollfd entries[SIDES + 1] = {{.fd = listen_on(argv[1]), .events = POLLIN}};
    for (;;) {
        for (int i = 0; i < SIDES; i++)
            entries[i + 1] = (struct pollfd){.fd = sides[i].socket, .events = POLLIN};
        if (poll(entries, SIDES + 1, -1) < 0)
            continue;
        for (int i = 0; i < SIDES; i++)
            if (entries[i + 1].revents) /* clients say nothing: it is the end */
                part(i);
        if (entries[0].revents) {
            int socket_fd = accept4(entries[0].fd, NULL, NULL, SOCK_CLOEXEC);
            if (socket_fd >= 0)
                welcome(socket_fd, memory);
        }
    }
}
