/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A server of QEMU's ivshmem device: deals out a file as shared memory, ids, and an eventfd for each
 * vector of each client.
 *     ivshmem_server SOCKET FILE VECTORS
 * The first client gets id 0, one that leaves frees its id. Ends with SIGTERM.
 *
 * Source: QEMU docs/specs/ivshmem-spec.rst, "Client-Server protocol" (facts).
 */
#include "server/descriptor_passing.h"

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

#define CLIENTS_MAX 8
#define VECTORS_MAX 16

struct ivshmem_client {
    int socket; /* -1: none of that id */
    int vectors[VECTORS_MAX];
};

static struct ivshmem_client clients[CLIENTS_MAX];
static unsigned vector_count;

static void fail(const char *what)
{
    fprintf(stderr, "ivshmem_server: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void send_number(const struct ivshmem_client *client, int64_t number, int descriptor)
{
    uint64_t bytes = htole64((uint64_t)number);
    if (client->socket >= 0)
        (void)!descriptor_send(client->socket, &bytes, sizeof(bytes), descriptor);
}

static void send_vectors(const struct ivshmem_client *to, int id)
{
    for (unsigned i = 0; i < vector_count; i++)
        send_number(to, id, clients[id].vectors[i]);
}

static void welcome(int socket, int memory)
{
    int id = 0;
    while (id < CLIENTS_MAX && clients[id].socket >= 0)
        id++;
    if (id == CLIENTS_MAX) {
        close(socket);
        return;
    }
    struct ivshmem_client *client = &clients[id];
    for (unsigned i = 0; i < vector_count; i++)
        if ((client->vectors[i] = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) < 0)
            fail("eventfd");
    for (int i = 0; i < CLIENTS_MAX; i++)
        send_vectors(&clients[i], id);
    client->socket = socket;
    send_number(client, 0, -1);
    send_number(client, id, -1);
    send_number(client, -1, memory);
    for (int i = 0; i < CLIENTS_MAX; i++)
        if (i != id && clients[i].socket >= 0)
            send_vectors(client, i);
    send_vectors(client, id);
}

static void part(int id)
{
    close(clients[id].socket);
    clients[id].socket = -1;
    for (unsigned i = 0; i < vector_count; i++)
        close(clients[id].vectors[i]);
    for (int i = 0; i < CLIENTS_MAX; i++)
        send_number(&clients[i], id, -1);
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
    for (int i = 0; i < CLIENTS_MAX; i++)
        clients[i].socket = -1;
    struct pollfd entries[CLIENTS_MAX + 1] = {{.fd = listen_on(argv[1]), .events = POLLIN}};
    for (;;) {
        for (int i = 0; i < CLIENTS_MAX; i++)
            entries[i + 1] = (struct pollfd){.fd = clients[i].socket, .events = POLLIN};
        if (poll(entries, CLIENTS_MAX + 1, -1) < 0)
            continue;
        for (int i = 0; i < CLIENTS_MAX; i++)
            if (entries[i + 1].revents) /* clients say nothing: it is the end */
                part(i);
        if (entries[0].revents) {
            int socket_fd = accept4(entries[0].fd, NULL, NULL, SOCK_CLOEXEC);
            if (socket_fd >= 0)
                welcome(socket_fd, memory);
        }
    }
}
