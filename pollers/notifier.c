/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers/notifier.h"

#include "pollers/counter.h"
#include "pollers/memory.h"
#include "pollers/placement.h"
#include "pollers/ticks.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define JAM_SIGNAL              SIGRTMIN
#define ROUNDS_BEFORE_SLEEP     64u
#define SLEEP_MIN_NS            10000l
#define SLEEP_MAX_NS            200000l
#define START_POLL_NS           20000l
#define REMOVE_TIMEOUT_NS       1000000000ull
#define GENERATION_COUNT        (UINT32_MAX / NOTIFIER_SIGNALS_MAX + 1u)
#define OVERFLOW_WORDS          (NOTIFIER_SIGNALS_MAX / 64)
#define NANOSECONDS_IN_A_SECOND 1000000000l

_Static_assert(OVERFLOW_WORDS <= 64, "one word tells which words have bits");
_Static_assert((NOTIFIER_SIGNALS_MAX & (NOTIFIER_SIGNALS_MAX - 1)) == 0, "a power of two");
_Static_assert((NOTIFIER_RING_ENTRIES & (NOTIFIER_RING_ENTRIES - 1)) == 0, "a power of two");

/* A place for a signal. The signal is generation * NOTIFIER_SIGNALS_MAX + index. */
struct place {
    _Atomic uint32_t signal;     /* 0: free */
    uint32_t generation;         /* control: of the last signal here */
    struct notify_target target; /* its descriptor is a duplicate; kind 0: free */
    uint32_t vcpu;
    bool may_block; /* at a write; was so when it was added */
    /* The thread's: */
    bool is_jammed;
    uint64_t count; /* pushed and not written, within a round */
};

struct notifier {
    struct place places[NOTIFIER_SIGNALS_MAX];
    struct notifier_port *ports[NOTIFIER_PORTS_MAX];
    uint32_t port_count;
    uint32_t touched[NOTIFIER_SIGNALS_MAX]; /* the thread's: places with a count */
    uint32_t touched_count;

    uint64_t (*tend)(void *context); /* the thread's; NULL: nothing */
    void *tend_context;

    sem_t wake;                        /* ends a sleep */
    const struct placement *placement; /* NULL: its thread runs anywhere */
    uint32_t cpu;
    pthread_t thread;
    bool has_thread;
    timer_t jam_timer;            /* with the thread; armed while signals are added */
    _Atomic int32_t start_result; /* 1: not known yet */
    _Atomic bool is_stopping;
    _Atomic uint32_t live;
    /* Control posts a signal with release; the thread exchanges it for 0 once it will not touch it
     * any more, or control, to take it back. */
    _Atomic uint32_t removal;
    _Atomic uint64_t writes, signals, overflows, jams;
};

/* ---- the thread's work ------------------------------------------------------------------- */

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

static void *thread_main(void *argument)
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

static void place_clear(struct place *place)
{
    if (place->target.kind == NOTIFY_EVENTFD || place->target.kind == NOTIFY_CONTROL)
        close(place->target.descriptor);
    place->target = (struct notify_target){.descriptor = -1};
}

/* ---- life -------------------------------------------------------------------------------- */

int notifier_create(struct notifier **notifier)
{
    struct notifier *created = calloc(1, sizeof(*created));
    if (!created)
        return -ENOMEM;
    if (sem_init(&created->wake, 0, 0) < 0) {
        int result = -errno;
        free(created);
        return result;
    }
    *notifier = created;
    return 0;
}

int notifier_add_port(struct notifier *notifier, int node, struct notifier_port **port)
{
    if (notifier->port_count == NOTIFIER_PORTS_MAX)
        return -ENOSPC;
    *port = memory_allocate(sizeof(**port), node);
    if (!*port)
        return -ENOMEM;
    notifier->ports[notifier->port_count++] = *port;
    return 0;
}

/* The periodic signal that ends a write which blocks. */
static void set_jam_timer(struct notifier *notifier, bool is_on)
{
    struct itimerspec period = {0};
    if (is_on)
        period.it_interval.tv_nsec = period.it_value.tv_nsec = NOTIFIER_JAM_NS;
    if (notifier->has_thread)
        timer_settime(notifier->jam_timer, 0, &period, NULL);
}

void notifier_place(struct notifier *notifier, const struct placement *placement, uint32_t cpu)
{
    notifier->placement = placement;
    notifier->cpu = cpu;
}

int notifier_start(struct notifier *notifier)
{
    ticks_per_second(); /* calibrates before anything is timed */
    atomic_store_explicit(&notifier->start_result, 1, memory_order_relaxed);
    atomic_store_explicit(&notifier->is_stopping, false, memory_order_relaxed);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, MEMORY_STACK_BYTES);
    int result = -pthread_create(&notifier->thread, &attributes, thread_main, notifier);
    pthread_attr_destroy(&attributes);
    if (result < 0)
        return result;
    struct timespec pause = {.tv_nsec = START_POLL_NS};
    while ((result = atomic_load_explicit(&notifier->start_result, memory_order_acquire)) > 0)
        nanosleep(&pause, NULL);
    if (result < 0) {
        pthread_join(notifier->thread, NULL);
        return result;
    }
    notifier->has_thread = true;
    pthread_setname_np(notifier->thread, "notifier");
    set_jam_timer(notifier, atomic_load_explicit(&notifier->live, memory_order_relaxed) > 0);
    return 0;
}

void notifier_stop(struct notifier *notifier)
{
    if (!notifier->has_thread)
        return;
    atomic_store_explicit(&notifier->is_stopping, true, memory_order_release);
    sem_post(&notifier->wake);
    pthread_join(notifier->thread, NULL);
    timer_delete(notifier->jam_timer);
    notifier->has_thread = false;
}

void notifier_destroy(struct notifier *notifier)
{
    if (!notifier)
        return;
    notifier_stop(notifier);
    for (uint32_t i = 0; i < NOTIFIER_SIGNALS_MAX; i++)
        place_clear(&notifier->places[i]);
    for (uint32_t i = 0; i < notifier->port_count; i++)
        memory_free(notifier->ports[i], sizeof(*notifier->ports[i]));
    sem_destroy(&notifier->wake);
    free(notifier);
}

/* ---- signals ----------------------------------------------------------------------------- */

int notifier_add_target(struct notifier *notifier, const struct notify_target *target,
                        uint32_t vcpu, uint32_t *signal)
{
    uint32_t index = 0;
    while (index < NOTIFIER_SIGNALS_MAX && notifier->places[index].target.kind)
        index++;
    if (index == NOTIFIER_SIGNALS_MAX)
        return -ENOSPC;
    struct place *place = &notifier->places[index];
    bool has_descriptor = target->kind == NOTIFY_EVENTFD || target->kind == NOTIFY_CONTROL;
    if (!has_descriptor && target->kind != NOTIFY_CALL)
        return -EINVAL;
    int duplicate = has_descriptor ? fcntl(target->descriptor, F_DUPFD_CLOEXEC, 0) : -1;
    if (has_descriptor && duplicate < 0)
        return -errno;
    place->target = *target;
    place->target.descriptor = duplicate;
    place->vcpu = vcpu;
    place->may_block =
        target->kind == NOTIFY_EVENTFD && (fcntl(duplicate, F_GETFL) & O_NONBLOCK) == 0;
    place->is_jammed = false;
    place->generation = place->generation % (GENERATION_COUNT - 1) + 1; /* 1.. */
    *signal = place->generation * NOTIFIER_SIGNALS_MAX + index;
    /* Release: pairs with the drains' acquire. */
    atomic_store_explicit(&place->signal, *signal, memory_order_release);
    if (atomic_fetch_add_explicit(&notifier->live, 1, memory_order_relaxed) == 0) {
        set_jam_timer(notifier, true);
        sem_post(&notifier->wake);
    }
    return 0;
}

int notifier_add(struct notifier *notifier, int descriptor, uint32_t *signal)
{
    const struct notify_target target = {.kind = NOTIFY_EVENTFD, .descriptor = descriptor};
    return notifier_add_target(notifier, &target, 0, signal);
}

void notifier_tend_with(struct notifier *notifier, uint64_t (*tend)(void *context), void *context)
{
    notifier->tend = tend;
    notifier->tend_context = context;
}

void notifier_wake(struct notifier *notifier)
{
    sem_post(&notifier->wake);
}

/* Waits until the thread has taken the posted removal on. */
static int wait_for_removal(struct notifier *notifier)
{
    struct timespec pause = {.tv_nsec = START_POLL_NS};
    uint64_t deadline = ticks_now() + ticks_from_ns(REMOVE_TIMEOUT_NS);
    /* Acquire: pairs with notifier_round's release. */
    while (atomic_load_explicit(&notifier->removal, memory_order_acquire)) {
        if (ticks_now() > deadline)
            return atomic_exchange_explicit(&notifier->removal, 0, memory_order_acquire)
                       ? -ETIMEDOUT
                       : 0;
        nanosleep(&pause, NULL);
    }
    return 0;
}

int notifier_remove(struct notifier *notifier, uint32_t signal)
{
    struct place *place = &notifier->places[signal % NOTIFIER_SIGNALS_MAX];
    if (signal == 0 || atomic_load_explicit(&place->signal, memory_order_relaxed) != signal)
        return -ENOENT;
    int result = 0;
    /* Release: whatever happened before, pushes among it, is seen by the round that follows. */
    atomic_store_explicit(&notifier->removal, signal, memory_order_release);
    if (notifier->has_thread) {
        sem_post(&notifier->wake);
        result = wait_for_removal(notifier);
    } else {
        notifier_round(notifier);
    }
    if (result < 0)
        return result;
    /* Relaxed: no entry in any ring leads here any more. */
    atomic_store_explicit(&place->signal, 0, memory_order_relaxed);
    place_clear(place);
    if (atomic_fetch_sub_explicit(&notifier->live, 1, memory_order_relaxed) == 1)
        set_jam_timer(notifier, false);
    return 0;
}

struct notifier_figures notifier_figures(const struct notifier *notifier)
{
    return (struct notifier_figures){
        .writes = counter_read(&notifier->writes),
        .signals = counter_read(&notifier->signals),
        .overflows = counter_read(&notifier->overflows),
        .jams = counter_read(&notifier->jams),
        .live = atomic_load_explicit(&notifier->live, memory_order_relaxed),
    };
}
