/* SPDX-License-Identifier: BSD-3-Clause */
#include "clients/channel_peer.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>

static int map(int descriptor, off_t size_bytes, int protection, void **mapping)
{
    struct stat file;
    if (fstat(descriptor, &file) < 0)
        return -errno;
    if (file.st_size != size_bytes)
        return -EINVAL;
    void *mapped =
        mmap(NULL, (size_t)size_bytes, protection, MAP_SHARED | MAP_POPULATE, descriptor, 0);
    if (mapped == MAP_FAILED)
        return -errno;
    *mapping = mapped;
    return 0;
}

int channel_peer_map(int requests_descriptor, int answers_descriptor, struct channel_peer *peer)
{
    void *requests = NULL, *answers = NULL;
    *peer = (struct channel_peer){0};
    int result = map(requests_descriptor, CHANNEL_REQUESTS_BYTES, PROT_READ, &requests);
    if (result == 0)
        result = map(answers_descriptor, CHANNEL_ANSWERS_BYTES, PROT_READ | PROT_WRITE, &answers);
    peer->requests = requests;
    peer->answers = answers;
    if (result == 0 && peer->requests->version != CHANNEL_VERSION)
        result = -EPROTO;
    if (result < 0) {
        channel_peer_unmap(peer);
        return result;
    }
    peer->taken = peer->pushed = peer->read_seen = CHANNEL_FIRST;
    peer->epoch = peer->requests->epoch;
    return 0;
}

void channel_peer_unmap(struct channel_peer *peer)
{
    if (peer->requests)
        munmap((void *)(uintptr_t)peer->requests, CHANNEL_REQUESTS_BYTES);
    if (peer->answers)
        munmap(peer->answers, CHANNEL_ANSWERS_BYTES);
    *peer = (struct channel_peer){0};
}
