/* SPDX-License-Identifier: BSD-3-Clause */
/* The rings of a channel: what a hostile process may do to them first, then what they are for. Rows
 * 31, 32, 33, 34 and 35 of tests/faults.md, as far as they concern the memory. */
#include "clients/channel_peer.h"
#include "tests/support/child.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>
#include <pthread.h>
#include <sched.h>

#define EPOCH             7u
#define THREADED_REQUESTS 200000u

struct fixture {
    struct channel *channel;
    struct channel_peer peer;
};

static int setup(void **state)
{
    struct fixture *fixture = NULL;
    if (posix_memalign((void **)&fixture, 64, sizeof(*fixture)) != 0)
        return -1;
    *state = fixture;
    if (channel_open(EPOCH, &fixture->channel) != 0)
        return -1;
    return channel_peer_map(fixture->channel->requests_descriptor,
                            fixture->channel->answers_descriptor, &fixture->peer);
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    channel_peer_unmap(&fixture->peer);
    channel_close(fixture->channel);
    free(fixture);
    return 0;
}

static struct request request_make(uint64_t number)
{
    return (struct request){.address = number * 3,
                            .offset = number * 5,
                            .value = ~number,
                            .arrival_ticks = number * 11,
                            .range_index = (uint32_t)number,
                            .vcpu = (uint16_t)(number & 15),
                            .type = REQUEST_MMIO,
                            .direction = REQUEST_WRITE,
                            .size_bytes = 8};
}

static void push(struct channel *channel, uint64_t number)
{
    struct request request = request_make(number);
    assert_int_equal(channel_room(channel), CHANNEL_HAS_ROOM);
    channel_push(channel, &request, number);
}

static void answer(struct channel_peer *peer, uint64_t token)
{
    const struct channel_answer made = {token, token * 3, EPOCH, CHANNEL_ANSWERED};
    assert_true(channel_peer_answer(peer, &made));
}

/* ---- 31: the producer's index jumps ------------------------------------------------------ */

static void row31_turn_that_jumps_is_broken(void **state)
{
    struct fixture *fixture = *state;
    struct channel *channel = fixture->channel;
    struct channel_answer taken;
    for (int i = 0; i < 3; i++) {
        answer(&fixture->peer, 1);
        assert_int_equal(channel_look(channel), CHANNEL_HAS_ANSWER);
        channel_read_answer(channel, &taken);
    }
    channel_release(channel);
    assert_int_equal(channel_look(channel), CHANNEL_NO_ANSWER);
    const uint64_t now = channel->answers_read;
    const uint64_t jumps[] = {0,
                              now - 1, /* backwards */
                              now + 1,
                              now - CHANNEL_CAPACITY - 1,
                              now - 2 * CHANNEL_CAPACITY,
                              now + CHANNEL_CAPACITY, /* beyond capacity */
                              now + (1ull << 31),
                              now + (1ull << 32),
                              now + (1ull << 63),
                              UINT64_MAX};
    _Atomic uint64_t *turn = &fixture->peer.answers->cells[now & CHANNEL_MASK].turn;
    for (size_t i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++) {
        atomic_store(turn, jumps[i]);
        assert_int_equal(channel_look(channel), CHANNEL_JUMPED);
    }
    atomic_store(turn, now);
    assert_int_equal(channel_look(channel), CHANNEL_HAS_ANSWER);
}

static void row31_taken_count_that_jumps_is_broken(void **state)
{
    struct fixture *fixture = *state;
    struct channel *channel = fixture->channel;
    struct channel_request request;
    for (uint64_t i = 1; i <= 4; i++)
        push(channel, i);
    assert_true(channel_peer_take(&fixture->peer, &request));
    assert_true(channel_peer_take(&fixture->peer, &request));
    assert_int_equal(channel_taken(channel), CHANNEL_FIRST + 2);
    const uint64_t jumps[] = {0, 1, CHANNEL_FIRST + 1, CHANNEL_FIRST + 5, 1ull << 31, UINT64_MAX};
    for (size_t i = 0; i < sizeof(jumps) / sizeof(jumps[0]); i++) {
        atomic_store(&fixture->peer.answers->requests_taken, jumps[i]);
        assert_int_equal(channel_taken(channel), 0);
    }
    for (uint64_t i = 5; i <= CHANNEL_CAPACITY + 2; i++)
        push(channel, i);
    assert_int_equal(channel_room(channel), CHANNEL_BROKEN);
    atomic_store(&fixture->peer.answers->requests_taken, CHANNEL_FIRST + 3);
    assert_int_equal(channel_room(channel), CHANNEL_HAS_ROOM);
}

/* ---- 32, 33: full rings ------------------------------------------------------------------ */

static void row32_full_answer_ring_refuses_and_loses_nothing(void **state)
{
    struct fixture *fixture = *state;
    struct channel_answer one = {.token = 1, .epoch = EPOCH, .status = CHANNEL_ANSWERED};
    for (uint64_t i = 0; i < CHANNEL_CAPACITY; i++, one.token++)
        assert_true(channel_peer_answer(&fixture->peer, &one));
    assert_false(channel_peer_answer(&fixture->peer, &one));
    assert_int_equal(channel_look(fixture->channel), CHANNEL_HAS_ANSWER);
    struct channel_answer read;
    channel_read_answer(fixture->channel, &read);
    assert_int_equal(read.token, 1);
    assert_false(channel_peer_answer(&fixture->peer, &one)); /* not yet given back */
    channel_release(fixture->channel);
    assert_true(channel_peer_answer(&fixture->peer, &one));
    for (uint64_t i = 2; i <= CHANNEL_CAPACITY + 1; i++) {
        channel_read_answer(fixture->channel, &read);
        assert_int_equal(read.token, i);
    }
    assert_int_equal(channel_look(fixture->channel), CHANNEL_NO_ANSWER);
}

static void row33_full_request_ring_says_so_until_one_is_taken(void **state)
{
    struct fixture *fixture = *state;
    for (uint64_t i = 1; i <= CHANNEL_CAPACITY; i++)
        push(fixture->channel, i);
    assert_int_equal(channel_room(fixture->channel), CHANNEL_FULL);
    struct channel_request request;
    assert_true(channel_peer_take(&fixture->peer, &request));
    assert_int_equal(request.token, 1);
    push(fixture->channel, CHANNEL_CAPACITY + 1);
    assert_int_equal(channel_room(fixture->channel), CHANNEL_FULL);
    for (uint64_t i = 2; i <= CHANNEL_CAPACITY + 1; i++) {
        assert_true(channel_peer_take(&fixture->peer, &request));
        assert_int_equal(request.token, i);
    }
    assert_false(channel_peer_take(&fixture->peer, &request));
}

/* ---- 34, 35: what the memory refuses ----------------------------------------------------- */

static void row34_requests_cannot_be_mapped_writable(void **state)
{
    struct fixture *fixture = *state;
    int descriptor = fixture->channel->requests_descriptor;
    assert_ptr_equal(
        mmap(NULL, CHANNEL_REQUESTS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0),
        MAP_FAILED);
    void *mapping = (void *)(uintptr_t)fixture->peer.requests;
    assert_int_equal(mprotect(mapping, CHANNEL_REQUESTS_BYTES, PROT_READ | PROT_WRITE), -1);
    assert_int_equal(pwrite(descriptor, "x", 1, 0), -1);
    assert_int_equal(errno, EPERM);
}

static void row34_writing_the_requests_kills_who_does(void **state)
{
    struct fixture *fixture = *state;
    pid_t pid = child_fork();
    if (pid == 0) {
        signal(SIGSEGV, SIG_DFL);
        *(volatile uint32_t *)(uintptr_t)&fixture->peer.requests->epoch = 0;
        _exit(0);
    }
    int status = child_wait(pid);
    /* A sanitizer's run time may make an exit of the signal. */
    assert_true(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
    assert_int_equal(fixture->channel->requests->epoch, EPOCH);
}

static void row35_neither_memory_changes_its_size_or_seals(void **state)
{
    struct fixture *fixture = *state;
    const int descriptors[] = {fixture->channel->requests_descriptor,
                               fixture->channel->answers_descriptor};
    for (int i = 0; i < 2; i++) {
        assert_int_equal(ftruncate(descriptors[i], 0), -1);
        assert_int_equal(errno, EPERM);
        assert_int_equal(ftruncate(descriptors[i], 1 << 20), -1);
        assert_int_equal(errno, EPERM);
        assert_int_equal(fcntl(descriptors[i], F_ADD_SEALS, F_SEAL_WRITE), -1);
        assert_int_equal(errno, EPERM);
    }
    assert_int_equal(fallocate(descriptors[0], FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 4096),
                     -1);
}

static void row35_hole_in_the_answers_is_a_broken_channel(void **state)
{
    struct fixture *fixture = *state;
    answer(&fixture->peer, 1);
    assert_int_equal(fallocate(fixture->channel->answers_descriptor,
                               FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
                               CHANNEL_ANSWERS_BYTES),
                     0);
    assert_int_equal(channel_look(fixture->channel), CHANNEL_JUMPED);
    assert_int_equal(channel_taken(fixture->channel), 0);
}

static void memory_of_another_kind_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct channel_peer peer;
    const struct channel *channel = fixture->channel;
    assert_int_equal(
        channel_peer_map(channel->answers_descriptor, channel->requests_descriptor, &peer),
        -EINVAL);
    assert_int_equal(channel_peer_map(-1, channel->answers_descriptor, &peer), -EBADF);
    int zero = memfd_create("zero", MFD_CLOEXEC);
    assert_int_equal(ftruncate(zero, CHANNEL_REQUESTS_BYTES), 0);
    assert_int_equal(channel_peer_map(zero, channel->answers_descriptor, &peer), -EPROTO);
    close(zero);
}

/* ---- what it is for ---------------------------------------------------------------------- */

static void request_comes_out_as_it_went_in(void **state)
{
    struct fixture *fixture = *state;
    struct channel_request got;
    assert_false(channel_peer_take(&fixture->peer, &got));
    for (uint64_t i = 1; i <= 3 * CHANNEL_CAPACITY; i++) {
        struct request made = request_make(i);
        push(fixture->channel, i);
        assert_true(channel_peer_take(&fixture->peer, &got));
        assert_int_equal(got.token, i);
        assert_int_equal(got.epoch, EPOCH);
        assert_int_equal(got.address, made.address);
        assert_int_equal(got.offset, made.offset);
        assert_int_equal(got.value, made.value);
        assert_int_equal(got.arrival_ticks, made.arrival_ticks);
        assert_int_equal(got.range_index, made.range_index);
        assert_int_equal(got.vcpu, made.vcpu);
        assert_int_equal(got.type, made.type);
        assert_int_equal(got.direction, made.direction);
        assert_int_equal(got.size_bytes, made.size_bytes);
        assert_int_equal(channel_taken(fixture->channel), CHANNEL_FIRST + i);
    }
}

static void process_sees_the_end(void **state)
{
    struct fixture *fixture = *state;
    assert_true(channel_peer_is_alive(&fixture->peer));
    channel_end(fixture->channel);
    assert_false(channel_peer_is_alive(&fixture->peer));
}

static void *echo(void *argument)
{
    struct channel_peer *peer = argument;
    struct channel_request request;
    for (uint32_t i = 0; i < THREADED_REQUESTS; i++) {
        while (!channel_peer_take(peer, &request))
            sched_yield();
        answer(peer, request.token);
    }
    return NULL;
}

static void requests_and_answers_cross_two_threads_in_order(void **state)
{
    struct fixture *fixture = *state;
    struct channel *channel = fixture->channel;
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, echo, &fixture->peer), 0);
    uint64_t pushed = 0, answered = 0;
    while (answered < THREADED_REQUESTS) {
        /* No more in flight than a VM has: the answers always find room. */
        while (pushed < THREADED_REQUESTS && pushed - answered < 16)
            push(channel, ++pushed);
        uint64_t before = answered;
        enum channel_answer_state found;
        while ((found = channel_look(channel)) == CHANNEL_HAS_ANSWER) {
            struct channel_answer got;
            channel_read_answer(channel, &got);
            assert_int_equal(got.token, ++answered);
            assert_int_equal(got.value, answered * 3);
        }
        assert_int_equal(found, CHANNEL_NO_ANSWER);
        channel_release(channel);
        if (answered == before)
            sched_yield();
    }
    pthread_join(thread, NULL);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(row31_turn_that_jumps_is_broken),
        TEST(row31_taken_count_that_jumps_is_broken),
        TEST(row32_full_answer_ring_refuses_and_loses_nothing),
        TEST(row33_full_request_ring_says_so_until_one_is_taken),
        TEST(row34_requests_cannot_be_mapped_writable),
        TEST(row34_writing_the_requests_kills_who_does),
        TEST(row35_neither_memory_changes_its_size_or_seals),
        TEST(row35_hole_in_the_answers_is_a_broken_channel),
        TEST(memory_of_another_kind_is_refused),
        TEST(request_comes_out_as_it_went_in),
        TEST(process_sees_the_end),
        TEST(requests_and_answers_cross_two_threads_in_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
