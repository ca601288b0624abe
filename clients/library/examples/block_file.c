/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A block device in a process of its own: sectors of a file, by io_uring, while requests go on.
 *
 *   offset  bytes
 *   0x000   4   identity "iblk" (read)
 *   0x004   4   state: 0 idle, 1 busy (read)
 *   0x008   8   sector
 *   0x010   4   command (write): 1 read the sector into the buffer, 2 write it, 3 flush
 *   0x014   4   result of the last command: 0, or an errno (read)
 *   0x018   8   sectors there are (read)
 *   0x200   512 the buffer
 *
 * The write of a command is answered when the file is done with it, so that the guest's next
 * instruction finds the data; meanwhile the other virtual CPUs are served. That takes a deadline of the
 * client's that a disk can keep (deadline_us).
 *
 * Built with libioreq, liburing and libc; copy it to begin a device of your own.
 * Flow:  register -> poll: requests (ioreq_descriptor) and completions (the ring's own descriptor).
 */
#include <ioreq.h>
#include <liburing.h>

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SECTOR_BYTES 512u
#define IDENTITY     0x6b6c6269u /* "iblk" */
#define RING_ENTRIES 4u

enum { REG_IDENTITY = 0, REG_STATE = 4, REG_SECTOR = 8, REG_COMMAND = 16, REG_RESULT = 20 };
enum { REG_CAPACITY = 24, REG_BUFFER = 0x200 };
enum { COMMAND_READ = 1, COMMAND_WRITE, COMMAND_FLUSH };

struct disk {
    struct io_uring ring;
    int file;
    uint64_t sector_count;
    uint64_t sector;
    uint32_t result;
    uint64_t token; /* of the command under way; 0: idle */
    uint32_t epoch; /* of our registration, which the token is of */
    uint32_t begun; /* the epoch in which it was begun */
    bool is_busy;
    uint8_t buffer[SECTOR_BYTES];
};

static int disk_open(struct disk *disk, const char *path)
{
    struct stat file;
    disk->file = open(path, O_RDWR | O_CLOEXEC);
    if (disk->file < 0 || fstat(disk->file, &file) < 0)
        return -errno;
    disk->sector_count = (uint64_t)file.st_size / SECTOR_BYTES;
    return io_uring_queue_init(RING_ENTRIES, &disk->ring, 0);
}

/* 0, or why the command cannot be. */
static uint32_t disk_check(const struct disk *disk, uint32_t command)
{
    bool is_data = command == COMMAND_READ || command == COMMAND_WRITE;
    if (command < COMMAND_READ || command > COMMAND_FLUSH)
        return EINVAL;
    return is_data && disk->sector >= disk->sector_count ? ERANGE : 0;
}

/* True: it is under way, and answered later. */
static bool disk_begin(struct disk *disk, uint32_t command, uint64_t token)
{
    if (disk->is_busy)
        return false; /* another virtual CPU's; it hears the result of that */
    disk->result = disk_check(disk, command);
    struct io_uring_sqe *entry = disk->result ? NULL : io_uring_get_sqe(&disk->ring);
    if (!entry)
        return false;
    uint64_t place = disk->sector * SECTOR_BYTES;
    if (command == COMMAND_READ)
        io_uring_prep_read(entry, disk->file, disk->buffer, SECTOR_BYTES, place);
    else if (command == COMMAND_WRITE)
        io_uring_prep_write(entry, disk->file, disk->buffer, SECTOR_BYTES, place);
    else
        io_uring_prep_fsync(entry, disk->file, 0);
    io_uring_sqe_set_data64(entry, token);
    disk->is_busy = true;
    disk->token = token;
    disk->begun = disk->epoch;
    int result = io_uring_submit(&disk->ring);
    if (result >= 0)
        return true;
    disk->result = (uint32_t)-result;
    disk->is_busy = false;
    return false;
}

static void answer(struct ioreq_client *client, uint64_t token, uint64_t value)
{
    while (ioreq_answer(client, token, value) == -EAGAIN)
        ;
}

static void disk_complete(struct disk *disk, struct ioreq_client *client)
{
    struct io_uring_cqe *done;
    while (io_uring_peek_cqe(&disk->ring, &done) == 0) {
        bool is_ours = disk->is_busy && done->user_data == disk->token;
        if (is_ours) {
            disk->is_busy = false;
            disk->result = done->res < 0 ? (uint32_t)-done->res : 0;
            if (disk->begun == disk->epoch) /* else the server has answered it long ago */
                answer(client, disk->token, 0);
        }
        io_uring_cqe_seen(&disk->ring, done);
    }
}

/* The bytes of the register file at offset, for accesses of any size. */
static void disk_registers(const struct disk *disk, uint8_t *bytes)
{
    const uint32_t words[] = {IDENTITY, disk->is_busy};
    memset(bytes, 0, REG_BUFFER);
    memcpy(bytes + REG_IDENTITY, words, sizeof(words));
    memcpy(bytes + REG_SECTOR, &disk->sector, sizeof(disk->sector));
    memcpy(bytes + REG_RESULT, &disk->result, sizeof(disk->result));
    memcpy(bytes + REG_CAPACITY, &disk->sector_count, sizeof(disk->sector_count));
}

static uint64_t disk_read(const struct disk *disk, const struct ioreq_request *request)
{
    uint8_t bytes[REG_BUFFER + SECTOR_BYTES];
    uint64_t value = 0;
    disk_registers(disk, bytes);
    memcpy(bytes + REG_BUFFER, disk->buffer, SECTOR_BYTES);
    if (request->offset + request->size_bytes > sizeof(bytes))
        return UINT64_MAX;
    memcpy(&value, bytes + request->offset, request->size_bytes);
    return value;
}

static void disk_write(struct disk *disk, const struct ioreq_request *request)
{
    uint64_t offset = request->offset;
    if (disk->is_busy)
        return; /* the file has the buffer and the sector */
    if (offset == REG_SECTOR && request->size_bytes == sizeof(disk->sector))
        disk->sector = request->value;
    else if (offset >= REG_BUFFER && offset + request->size_bytes <= REG_BUFFER + SECTOR_BYTES)
        memcpy(disk->buffer + offset - REG_BUFFER, &request->value, request->size_bytes);
}

static void disk_access(struct disk *disk, struct ioreq_client *client,
                        const struct ioreq_request *request)
{
    if (request->direction == IOREQ_READ) {
        answer(client, request->token, disk_read(disk, request));
        return;
    }
    if (request->offset == REG_COMMAND && request->size_bytes == 4) {
        if (disk_begin(disk, (uint32_t)request->value, request->token))
            return; /* disk_complete answers it */
    } else {
        disk_write(disk, request);
    }
    answer(client, request->token, 0);
}

/* Until the server hangs up. */
static void serve(struct disk *disk, struct ioreq_client *client)
{
    for (;;) {
        struct ioreq_request request;
        int result;
        while ((result = ioreq_try_receive(client, &request)) == 0)
            disk_access(disk, client, &request);
        if (result == -EAGAIN)
            result = ioreq_arm(client);
        if (result == 0) {
            struct pollfd entries[] = {
                {.fd = ioreq_descriptor(client), .events = POLLIN},
                {.fd = disk->ring.ring_fd, .events = POLLIN},
            };
            poll(entries, 2, -1);
        } else if (result != -EAGAIN) {
            return;
        }
        disk_complete(disk, client);
    }
}

int main(int count, char **arguments)
{
    static struct disk disk;
    if (count != 5 || strcmp(arguments[1], "--help") == 0) {
        fprintf(count == 2 ? stdout : stderr,
                "usage: %s SOCKET VM CLIENT FILE\n"
                "Serves CLIENT of VM (device: process) as a block device on FILE.\n",
                arguments[0]);
        return count == 2 ? 0 : 2;
    }
    int result = disk_open(&disk, arguments[4]);
    if (result < 0) {
        fprintf(stderr, "%s: %s\n", arguments[4], strerror(-result));
        return 1;
    }
    for (;;) {
        struct ioreq_client *client;
        result = ioreq_register(arguments[1], arguments[2], arguments[3], &client);
        if (result < 0 && disk.epoch == 0) {
            fprintf(stderr, "cannot register: %s\n", ioreq_error(NULL));
            return 1;
        }
        if (result == 0) {
            if (disk.epoch++ == 0) {
                printf("sectors %llu\n", (unsigned long long)disk.sector_count);
                fflush(stdout);
            }
            serve(&disk, client);
        }
        ioreq_close(client);
        nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    }
}
