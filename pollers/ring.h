/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ring.h - an io_uring, as far as this project needs one: control's polls, pollers' notifications.
 * liburing, and the only file that does.
 *
 * Flow:    ring_create -> ring_push_poll, ring_push_poll_remove -> ring_submit or ring_wait ->
 *          ring_pop until there is nothing -> ring_destroy. Or, for notify_ring.h, whose entries
 *          never change: ring_queue once, then ring_enter and ring_pop.
 * Threads: one at a time, but for what struct ring_queue says.
 * Memory:  one allocation and the kernel's mappings.
 * Errors:  negative errno; ring_explain says in words why there is none here.
 * Source:  io_uring(7), io_uring_setup(2), io_uring_enter(2).
 */
#ifndef POLLERS_RING_H
#define POLLERS_RING_H

#include <stdbool.h>
#include <stdint.h>

struct ring;
struct io_uring_sqe; /* the kernel's, <linux/io_uring.h> */

#define RING_ANY_CPU UINT32_MAX
#define RING_FOREVER UINT64_MAX

struct ring_options {
    uint32_t entries; /* a power of two */
    /* A kernel thread that takes what is queued, without a system call, and sleeps once there was
     * nothing for sqpoll_idle_ms. */
    bool has_sqpoll;
    uint32_t sqpoll_cpu; /* or RING_ANY_CPU */
    uint32_t sqpoll_idle_ms;
    const struct ring *shares; /* another ring's kernel thread serves this one too; NULL: its own */
};

/* -EPERM, -ENOSYS: io_uring is switched off or forbidden here. -EINVAL: no such CPU, or the kernel
 * lacks something. -ENOMEM. */
int ring_create(const struct ring_options *options, struct ring **ring);
void ring_destroy(struct ring *ring);

/* Cause and remedy of ring_create's error, for the end of a line. */
const char *ring_explain(int error);

/* ---- requests, from the thread that submits them -------------------------------------------- */

/* False: the queue is full until something is submitted. tag comes back with the answer. */
bool ring_push_poll(struct ring *ring, int descriptor, uint32_t events, void *tag);
/* Takes back the poll of that tag, which is answered -ECANCELED; its own answer has tag NULL. */
bool ring_push_poll_remove(struct ring *ring, const void *tag);

/* Writes value [1], which stays until the answer, to an eventfd; it never waits: -EAGAIN. */
bool ring_push_write_now(struct ring *ring, int descriptor, const uint64_t *value, void *tag);

/* Writes bytes [size], which stay until the answer, at offset of a file. */
bool ring_push_write(struct ring *ring, int descriptor, const void *bytes, uint32_t size,
                     uint64_t offset, void *tag);

/* Reads up to size bytes; is_slow: by a kernel thread, for a file that cannot be read without waiting. */
bool ring_push_read(struct ring *ring, int descriptor, void *bytes, uint32_t size, bool is_slow,
                    void *tag);
/* Takes back one request of that tag, whatever it is; as ring_push_poll_remove. */
bool ring_push_cancel(struct ring *ring, const void *tag);
/* What was pushed last is done before what is pushed next, which is cancelled if it fails. */
void ring_chain(struct ring *ring);

/* How many were submitted. -EBUSY, -EAGAIN: the kernel takes nothing now. */
int ring_submit(struct ring *ring);
/* The same, and waits for an answer; after timeout_ns it returns 0 without one. */
int ring_wait(struct ring *ring, uint64_t timeout_ns);

struct ring_answer {
    void *tag;
    int result;
};
/* False: there is none. */
bool ring_pop(struct ring *ring, struct ring_answer *answer);

/* ---- for entries that stay as they are ------------------------------------------------------ */

/* Whether a request can go without an answer unless it fails (Linux 5.17). */
bool ring_can_skip_answers(const struct ring *ring);

/* Files by number instead of descriptor, none at first. -EMFILE, -ENFILE, ... */
int ring_register_files(struct ring *ring, uint32_t count);
/* descriptor -1: none. The descriptor may be closed right after. Any thread. */
int ring_set_file(struct ring *ring, uint32_t index, int descriptor);

/* An entry that adds value [1] to the eventfd of that number, without waiting, and is answered only if
 * it fails, with tag. */
void ring_prepare_write_now(struct io_uring_sqe *entry, uint32_t file_index, const uint64_t *value,
                            void *tag);

/* The same for any file: bytes [size] are written, which stay as long as the entry; it may wait. */
void ring_prepare_write(struct io_uring_sqe *entry, uint32_t file_index, const void *bytes,
                        uint32_t size, void *tag);

/* The submission queue itself, shared with the kernel; lives as long as the ring. A ring whose
 * queue was taken is never given a request by the functions above. */
struct ring_queue {
    struct io_uring_sqe *entries;  /* [entry_count] */
    uint32_t *order;               /* [entry_count], which entry is n-th; the producer's */
    _Atomic uint32_t *tail;        /* the producer's: release, with the order and the entries */
    const _Atomic uint32_t *head;  /* the kernel's: acquire, it has read those entries */
    const _Atomic uint32_t *flags; /* the kernel's: IORING_SQ_NEED_WAKEUP and others */
    uint32_t entry_count;          /* a power of two */
};
void ring_queue(struct ring *ring, struct ring_queue *queue);

/* The kernel takes `count` queued entries now. How many it took. Any one thread. */
int ring_enter(struct ring *ring, uint32_t count);
/* Its kernel thread gets up. Any thread. */
int ring_wake(struct ring *ring);

#endif
