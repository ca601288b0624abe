/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/socket/descriptor_passing.h"

#include <assert.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* Room for more than is allowed, so that what is too many is closed here rather than cut off by the
 * kernel, which closes it too but says less. */
#define DESCRIPTORS_SEEN 4

ssize_t descriptors_send(int socket, const void *bytes, size_t length, const int *descriptors,
                         size_t count)
{
    struct iovec piece = {(void *)(size_t)bytes, length};
    struct msghdr message = {.msg_iov = &piece, .msg_iovlen = 1};
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(DESCRIPTORS_SENT_MAX * sizeof(int))];
    } control = {0};
    assert(count <= DESCRIPTORS_SENT_MAX);
    if (count > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = CMSG_SPACE(count * sizeof(int));
        struct cmsghdr *rights = CMSG_FIRSTHDR(&message);
        rights->cmsg_level = SOL_SOCKET;
        rights->cmsg_type = SCM_RIGHTS;
        rights->cmsg_len = CMSG_LEN(count * sizeof(int));
        memcpy(CMSG_DATA(rights), descriptors, count * sizeof(int));
    }
    return sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

ssize_t descriptor_send(int socket, const void *bytes, size_t length, int descriptor)
{
    return descriptors_send(socket, bytes, length, &descriptor, descriptor >= 0);
}

static void take(struct msghdr *message, int *passed, bool *too_many)
{
    if (message->msg_flags & MSG_CTRUNC)
        *too_many = true;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(message); header;
         header = CMSG_NXTHDR(message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
            continue;
        size_t count = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t i = 0; i < count; i++) {
            int descriptor;
            memcpy(&descriptor, CMSG_DATA(header) + i * sizeof(descriptor), sizeof(descriptor));
            if (passed && *passed < 0 && !*too_many) {
                *passed = descriptor;
            } else {
                close(descriptor);
                *too_many = true;
            }
        }
    }
}

ssize_t descriptor_receive(int socket, void *bytes, size_t space, int *passed, bool *too_many)
{
    union {
        struct cmsghdr align;
        char bytes[CMSG_SPACE(DESCRIPTORS_SEEN * sizeof(int))];
    } control;
    struct iovec piece = {.iov_base = bytes, .iov_len = space};
    struct msghdr message = {
        .msg_iov = &piece,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes),
    };
    ssize_t count = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (count >= 0)
        take(&message, passed, too_many);
    return count;
}
