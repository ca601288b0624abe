/* SPDX-License-Identifier: BSD-3-Clause */
#include "clients/channel.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define SIZE_SEALS (F_SEAL_SHRINK | F_SEAL_GROW)

/* A memfd of a fixed size, mapped with `protection`. *mapping MAP_FAILED: -errno. */
static int memory_open(const char *name, size_t size_bytes, int protection, void **mapping,
                       int *descriptor)
{
    *mapping = MAP_FAILED;
    *descriptor = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*descriptor < 0)
        return -errno;
    if (ftruncate(*descriptor, (off_t)size_bytes) == 0 &&
        fcntl(*descriptor, F_ADD_SEALS, SIZE_SEALS) == 0)
        *mapping = mmap(NULL, size_bytes, protection, MAP_SHARED | MAP_POPULATE, *descriptor, 0);
    return *mapping == MAP_FAILED ? -errno : 0;
}

static void memory_close(const void *mapping, size_t size_bytes, int descriptor)
{
    if (mapping && mapping != MAP_FAILED)
        munmap((void *)(uintptr_t)mapping, size_bytes);
    if (descriptor >= 0)
        close(descriptor);
}

/* Before the process sees it: what it would otherwise have to believe to be zero. */
static void write_beginning(struct channel *channel, struct channel_answers *answers)
{
    channel->requests->version = CHANNEL_VERSION;
    channel->requests->epoch = channel->epoch;
    atomic_init(&channel->requests->life, CHANNEL_ALIVE);
    atomic_init(&channel->requests->resets, channel->resets);
    atomic_init(&channel->requests->answers_read, CHANNEL_FIRST);
    atomic_init(&answers->requests_taken, CHANNEL_FIRST);
    for (uint64_t number = CHANNEL_FIRST; number < CHANNEL_FIRST + CHANNEL_CAPACITY; number++) {
        atomic_init(&channel->requests->cells[number & CHANNEL_MASK].turn,
                    number - CHANNEL_CAPACITY);
        atomic_init(&answers->cells[number & CHANNEL_MASK].turn, number - CHANNEL_CAPACITY);
    }
}

static int open_memories(struct channel *channel)
{
    void *requests, *answers;
    int result = memory_open("ioreqd-requests", CHANNEL_REQUESTS_BYTES, PROT_READ | PROT_WRITE,
                             &requests, &channel->requests_descriptor);
    channel->requests = requests;
    if (result < 0)
        return result;
    result = memory_open("ioreqd-answers", CHANNEL_ANSWERS_BYTES, PROT_READ | PROT_WRITE, &answers,
                         &channel->answers_descriptor);
    channel->answers = answers;
    if (result < 0)
        return result;
    write_beginning(channel, answers);
    /* Nobody writes the requests but through our mapping, not even by write(2) or a punched hole;
     * and we do not write the answers. */
    if (fcntl(channel->requests_descriptor, F_ADD_SEALS, F_SEAL_FUTURE_WRITE | F_SEAL_SEAL) < 0 ||
        fcntl(channel->answers_descriptor, F_ADD_SEALS, F_SEAL_SEAL) < 0 ||
        mprotect(answers, CHANNEL_ANSWERS_BYTES, PROT_READ) < 0)
        return -errno;
    return 0;
}

int channel_open(uint32_t epoch, struct channel **channel)
{
    struct channel *created = calloc(1, sizeof(*created));
    if (!created)
        return -ENOMEM;
    assert(epoch != 0);
    created->epoch = epoch;
    created->resets = 1;
    created->requests_descriptor = created->answers_descriptor = -1;
    created->pushed = created->taken_seen = created->answers_read = CHANNEL_FIRST;
    int result = open_memories(created);
    if (result < 0) {
        channel_close(created);
        return result;
    }
    *channel = created;
    return 0;
}

uint32_t channel_read_taken(int answers_descriptor)
{
    uint64_t taken;
    ssize_t count = pread(answers_descriptor, &taken, sizeof(taken),
                          offsetof(struct channel_answers, requests_taken));
    return count == (ssize_t)sizeof(taken) && taken >= CHANNEL_FIRST ? (uint32_t)taken : 0;
}

void channel_close(struct channel *channel)
{
    if (!channel)
        return;
    memory_close(channel->requests, CHANNEL_REQUESTS_BYTES, channel->requests_descriptor);
    memory_close(channel->answers, CHANNEL_ANSWERS_BYTES, channel->answers_descriptor);
    free(channel);
}
