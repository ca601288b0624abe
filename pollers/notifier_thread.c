/* SPDX-License-Identifier: BSD-3-Clause */
/* notifier.h's thread: drains the pollers' rings, and writes what they ask for. */
#include "pollers/notifier_internal.h"

#include "pollers/counter.h"
#include "pollers/placement.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <unistd.h>

#define JAM_SIGNAL              SIGRTMIN
#define ROUNDS_BEFORE_SLEEP     64u
#define SLEEP_MIN_NS            10000l
#define SLEEP_MAX_NS            200000l
#define NANOSECONDS_IN_A_SECOND 1000000000l
#define OVERFLOW_WORDS          (NOTIFIER_SIGNALS_MAX / 64)

_Static_assert(OVERFLOW_WORDS <= 64, "one word tells which words have bits");

static void touch(struct notifier *notifier, uint32_t index)
{
    if (notifier->places[index].count++ == 0)
        notifier->touched[notifier->touched_count++] = index;
}

/* At most as many as the ring holds: whatever was in it before. */
static void drain_ring(struct notifier *notifier, struct notifier_port *port)
{
    /* relaxed: only this thread writes `popped` */
    uint32_t popped = atomic_load_explicit(&port->popped, memory_order_relaxed);
    /* acquires the release in notifier_push */
    uint32_t pushed = atomic_load_explicit(&port->pushed, memory_order_acquire);
    if (pushed == popped)
        return;
    for (; popped != pushed; popped++) {
        uint32_t signal = port->cells[popped % NOTIFIER_RING_ENTRIES];
        uint32_t index = signal % NOTIFIER_SIGNALS_MAX;
        /* Acquire: pairs with notifier_add's release, the descriptor is there. */
        if (atomic_load_explicit(&notifier->places[index].signal, memory_order_acquire) == signal)
            touch(notifier, index);
    }
    /* release: notifier_push acquires it before a cell is written again */
    atomic_store_explicit(&port->popped, popped, memory_order_release);
}

static void drain_overflow(struct notifier *notifier, struct notifier_port *port)
{
    /* relaxed: a look that costs nothing; the exchanges acquire */
    if (!atomic_load_explicit(&port->overflow_words, memory_order_relaxed))
        return;
    /* Acquire, both: pair with the releases in notifier_push. */
    uint64_t words = atomic_exchange_explicit(&port->overflow_words, 0, memory_order_acquire);
    for (; words; words &= words - 1) {
        uint32_t word = (uint32_t)__builtin_ctzll(words);
        uint64_t bits = atomic_exchange_explicit(&port->overflow[word], 0, memory_order_acquire);
        for (; bits; bits &= bits - 1) {
            uint32_t index = word * 64 + (uint32_t)__builtin_ctzll(bits);
            counter_add(&notifier->overflows, 1);
            if (atomic_load_explicit(&notifier->places[index].signal, memory_order_acquire))
                touch(notifier, index);
        }
    }
}

/* Full: whoever waits for it can read it already. */
static bool is_full(const struct place *place)
{
    struct pollfd entry = {.fd = place->target.descriptor, .events = POLLOUT};
    return poll(&entry, 1, 0) == 0;
}

static ssize_t write_target(const struct notify_target *target, uint64_t count)
{
    if (target->kind == NOTIFY_CONTROL)
        return write(target->descriptor, &target->value, sizeof(target->value));
    return write(target->descriptor, &count, sizeof(count));
}

static void call_place(struct notifier *notifier, const struct place *place, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++)
        place->target.call(place->target.context, place->vcpu);
    counter_add(&notifier->writes, count);
    counter_add(&notifier->signals, count);
}

static void write_place(struct notifier *notifier, struct place *place)
{
    uint64_t count = place->count;
    place->count = 0;
    if (place->target.kind == NOTIFY_CALL) {
        call_place(notifier, place, count);
        return;
    }
    if (place->is_jammed || (place->may_block && is_full(place)))
        return;
    if (write_target(&place->target, count) < 0 && errno == EINTR) {
        place->is_jammed = true;
        counter_add(&notifier->jams, 1);
        return;
    }
    /* EAGAIN: too much was added since anybody read it, so it is readable. */
    counter_add(&notifier->writes, 1);
    counter_add(&notifier->signals, count);
}

static uint32_t drain(struct notifier *notifier)
{
    for (uint32_t i = 0; i < notifier->port_count; i++) {
        drain_ring(notifier, notifier->ports[i]);
        drain_overflow(notifier, notifier->ports[i]);
    }
    uint32_t work = notifier->touched_count;
    for (uint32_t i = 0; i < work; i++)
        write_place(notifier, &notifier->places[notifier->touched[i]]);
    notifier->touched_count = 0;
    return work;
}

uint32_t notifier_round(struct notifier *notifier)
{
    /* Acquire: pairs with notifier_remove; what was pushed before is seen by the drain. */
    uint32_t removal = atomic_load_explicit(&notifier->removal, memory_order_acquire);
    uint32_t work = drain(notifier);
    /* Release: the last write is over when control sees the 0. */
    if (removal && atomic_compare_exchange_strong_explicit(
                       &notifier->removal, &removal, 0, memory_order_release, memory_order_relaxed))
        work++;
    return work;
}

static void sleep_up_to(struct notifier *notifier, long sleep_ns)
{
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += sleep_ns;
    until.tv_sec += until.tv_nsec / NANOSECONDS_IN_A_SECOND;
    until.tv_nsec %= NANOSECONDS_IN_A_SECOND;
    sem_clockwait(&notifier->wake, CLOCK_MONOTONIC, &until);
}

/* tend_ns: when what it tends is due. */
static void idle(struct notifier *notifier, uint32_t empty_rounds, uint64_t tend_ns, long *sleep_ns)
{
    /* Relaxed: whoever changes these posts the semaphore after it. */
    if (atomic_load_explicit(&notifier->live, memory_order_relaxed) == 0) {
        if (tend_ns == UINT64_MAX)
            sem_wait(&notifier->wake);
        else
            sleep_up_to(notifier, (long)tend_ns);
    } else if (empty_rounds <= ROUNDS_BEFORE_SLEEP) {
        *sleep_ns = SLEEP_MIN_NS;
        sched_yield();
    } else {
        sleep_up_to(notifier, *sleep_ns);
        *sleep_ns = *sleep_ns < SLEEP_MAX_NS / 2 ? 2 * *sleep_ns : SLEEP_MAX_NS;
    }
}

static void on_jam(int signal_number)
{
    (void)signal_number; /* that it arrives ends the write */
}

static int prepare_thread(struct notifier *notifier)
{
    struct sigaction action = {.sa_handler = on_jam}; /* no SA_RESTART: the write must end */
    sigset_t jam;
    sigemptyset(&jam);
    sigaddset(&jam, JAM_SIGNAL);
    int bound = notifier->placement ? placement_bind_self(notifier->placement, notifier->cpu) : 0;
    if (bound < 0)
        return bound;
    if (sigaction(JAM_SIGNAL, &action, NULL) < 0)
        return -errno;
    int result = -pthread_sigmask(SIG_UNBLOCK, &jam, NULL);
    struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = JAM_SIGNAL};
    event._sigev_un._tid = gettid();
    if (result == 0 && timer_create(CLOCK_MONOTONIC, &event, &notifier->jam_timer) < 0)
        result = -errno;
    return result;
}

void *notifier_thread(void *argument)
{
    struct notifier *notifier = argument;
    int result = prepare_thread(notifier);
    /* Release: pairs with notifier_start's acquire; the timer is there. */
    atomic_store_explicit(&notifier->start_result, result, memory_order_release);
    uint32_t empty_rounds = 0;
    long sleep_ns = SLEEP_MIN_NS;
    /* Acquire: pairs with notifier_stop; the round after it sees all that was pushed. */
    while (result == 0 && !atomic_load_explicit(&notifier->is_stopping, memory_order_acquire)) {
        uint64_t tend_ns = notifier->tend ? notifier->tend(notifier->tend_context) : UINT64_MAX;
        if (notifier_round(notifier)) {
            empty_rounds = 0;
            continue;
        }
        empty_rounds += empty_rounds < UINT32_MAX;
        idle(notifier, empty_rounds, tend_ns, &sleep_ns);
    }
    drain(notifier);
    return NULL;
}
