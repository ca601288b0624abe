/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers/ring.h"

#include <errno.h>
#include <liburing.h>
#include <stdlib.h>

#define NANOSECONDS_IN_A_SECOND 1000000000ull

struct ring {
    struct io_uring uring;
    struct io_uring_sqe *last; /* pushed and not submitted */
};

int ring_create(const struct ring_options *options, struct ring **ring)
{
    struct ring *created = calloc(1, sizeof(*created));
    if (!created)
        return -ENOMEM;
    struct io_uring_params params = {0};
    if (options->has_sqpoll) {
        params.flags = IORING_SETUP_SQPOLL;
        params.sq_thread_idle = options->sqpoll_idle_ms;
        if (options->sqpoll_cpu != RING_ANY_CPU) {
            params.flags |= IORING_SETUP_SQ_AFF;
            params.sq_thread_cpu = options->sqpoll_cpu;
        }
        if (options->shares) {
            params.flags |= IORING_SETUP_ATTACH_WQ;
            params.wq_fd = (uint32_t)options->shares->uring.ring_fd;
        }
    }
    int result = io_uring_queue_init_params(options->entries, &created->uring, &params);
    if (result < 0) {
        free(created);
        return result;
    }
    *ring = created;
    return 0;
}

void ring_destroy(struct ring *ring)
{
    if (!ring)
        return;
    io_uring_queue_exit(&ring->uring);
    free(ring);
}

const char *ring_explain(int error)
{
    switch (error) {
    case -EPERM:
        return "io_uring is switched off for this user; allow it with sysctl "
               "kernel.io_uring_disabled=0";
    case -ENOSYS:
        return "io_uring is not in this kernel, or a seccomp filter (a container's?) hides it; "
               "allow io_uring_setup, io_uring_enter and io_uring_register there";
    case -ENOMEM:
        return "no memory for an io_uring; raise the limit on locked memory (ulimit -l)";
    case -EINVAL:
        return "this kernel does not know what is asked of io_uring, or there is no such CPU for "
               "its thread";
    default:
        return "io_uring is not to be had";
    }
}

static struct io_uring_sqe *next_entry(struct ring *ring)
{
    return ring->last = io_uring_get_sqe(&ring->uring);
}

void ring_chain(struct ring *ring)
{
    ring->last->flags |= IOSQE_IO_LINK;
}

bool ring_push_read(struct ring *ring, int descriptor, void *bytes, uint32_t size, bool is_slow,
                    void *tag)
{
    struct io_uring_sqe *sqe = next_entry(ring);
    if (!sqe)
        return false;
    io_uring_prep_read(sqe, descriptor, bytes, size, 0);
    io_uring_sqe_set_data(sqe, tag);
    if (is_slow)
        sqe->flags |= IOSQE_ASYNC;
    return true;
}

bool ring_push_poll(struct ring *ring, int descriptor, uint32_t events, void *tag)
{
    struct io_uring_sqe *sqe = next_entry(ring);
    if (!sqe)
        return false;
    io_uring_prep_poll_add(sqe, descriptor, events);
    io_uring_sqe_set_data(sqe, tag);
    return true;
}

bool ring_push_poll_remove(struct ring *ring, const void *tag)
{
    struct io_uring_sqe *sqe = next_entry(ring);
    if (!sqe)
        return false;
    io_uring_prep_poll_remove(sqe, (uint64_t)(uintptr_t)tag);
    io_uring_sqe_set_data(sqe, NULL);
    return true;
}

bool ring_push_cancel(struct ring *ring, const void *tag)
{
    struct io_uring_sqe *sqe = next_entry(ring);
    if (!sqe)
        return false;
    io_uring_prep_cancel64(sqe, (uint64_t)(uintptr_t)tag, 0);
    io_uring_sqe_set_data(sqe, NULL);
    return true;
}

bool ring_push_write_now(struct ring *ring, int descriptor, const uint64_t *value, void *tag)
{
    struct io_uring_sqe *sqe = next_entry(ring);
    if (!sqe)
        return false;
    io_uring_prep_write(sqe, descriptor, value, sizeof(*value), 0);
    io_uring_sqe_set_data(sqe, tag);
    sqe->rw_flags = RWF_NOWAIT;
    return true;
}

bool ring_push_write(struct ring *ring, int descriptor, const void *bytes, uint32_t size,
                     uint64_t offset, void *tag)
{
    struct io_uring_sqe *sqe = next_entry(ring);
    if (!sqe)
        return false;
    io_uring_prep_write(sqe, descriptor, bytes, size, offset);
    io_uring_sqe_set_data(sqe, tag);
    return true;
}

int ring_submit(struct ring *ring)
{
    return io_uring_submit(&ring->uring);
}

int ring_wait(struct ring *ring, uint64_t timeout_ns)
{
    if (timeout_ns == RING_FOREVER)
        return io_uring_submit_and_wait(&ring->uring, 1);
    struct __kernel_timespec timeout = {
        .tv_sec = (int64_t)(timeout_ns / NANOSECONDS_IN_A_SECOND),
        .tv_nsec = (long long)(timeout_ns % NANOSECONDS_IN_A_SECOND),
    };
    struct io_uring_cqe *cqe;
    int result = io_uring_submit_and_wait_timeout(&ring->uring, &cqe, 1, &timeout, NULL);
    return result == -ETIME ? 0 : result;
}

bool ring_pop(struct ring *ring, struct ring_answer *answer)
{
    struct io_uring_cqe *cqe;
    if (io_uring_peek_cqe(&ring->uring, &cqe) != 0)
        return false;
    answer->tag = io_uring_cqe_get_data(cqe);
    answer->result = cqe->res;
    io_uring_cqe_seen(&ring->uring, cqe);
    return true;
}

bool ring_can_skip_answers(const struct ring *ring)
{
    return ring->uring.features & IORING_FEAT_CQE_SKIP;
}

int ring_register_files(struct ring *ring, uint32_t count)
{
    return io_uring_register_files_sparse(&ring->uring, count);
}

int ring_set_file(struct ring *ring, uint32_t index, int descriptor)
{
    int result = io_uring_register_files_update(&ring->uring, index, &descriptor, 1);
    return result < 0 ? result : 0;
}

void ring_prepare_write_now(struct io_uring_sqe *entry, uint32_t file_index, const uint64_t *value,
                            void *tag)
{
    io_uring_prep_write(entry, (int)file_index, value, sizeof(*value), 0);
    io_uring_sqe_set_data(entry, tag);
    entry->flags = IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS;
    /* O_NONBLOCK alone does not do: io_uring then waits itself, and its requests pile up. */
    entry->rw_flags = RWF_NOWAIT;
}

void ring_prepare_write(struct io_uring_sqe *entry, uint32_t file_index, const void *bytes,
                        uint32_t size, void *tag)
{
    io_uring_prep_write(entry, (int)file_index, bytes, size, 0);
    io_uring_sqe_set_data(entry, tag);
    entry->flags = IOSQE_FIXED_FILE | IOSQE_CQE_SKIP_SUCCESS;
}

void ring_queue(struct ring *ring, struct ring_queue *queue)
{
    struct io_uring_sq *sq = &ring->uring.sq;
    *queue = (struct ring_queue){
        .entries = sq->sqes,
        .order = sq->array,
        .tail = (_Atomic uint32_t *)sq->ktail,
        .head = (const _Atomic uint32_t *)sq->khead,
        .flags = (const _Atomic uint32_t *)sq->kflags,
        .entry_count = sq->ring_entries,
    };
}

int ring_enter(struct ring *ring, uint32_t count)
{
    return io_uring_enter((unsigned)ring->uring.ring_fd, count, 0, 0, NULL);
}

int ring_wake(struct ring *ring)
{
    return io_uring_enter((unsigned)ring->uring.ring_fd, 0, 0, IORING_ENTER_SQ_WAKEUP, NULL);
}
