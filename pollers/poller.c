/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers/poller.h"

#include "pollers/memory.h"
#include "pollers/placement.h"
#include "pollers/poller_internal.h"
#include "pollers/poller_wait.h"
#include "pollers/ticks.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define START_TIMEOUT_NS 30000000000ull /* a CPU that others fill too */
#define LATE_TIMEOUT_NS  10000000ull
#define PAGE_STEP_BYTES  4096u
#define FREEZE_SIGNAL    (SIGRTMAX - 1)

int poller_create(const struct poller_options *options, struct poller **poller)
{
    struct poller *created = memory_allocate(sizeof(*created), memory_node_of_cpu(options->cpu));
    if (!created)
        return -ENOMEM;
    created->options = *options;
    snprintf(created->name, sizeof(created->name), "%s", options->name);
    created->options.name = created->name;
    if (options->idle_spins == 0)
        created->options.idle_spins = options->idle == POLLER_IDLE_YIELD
                                          ? POLLER_SPINS_BEFORE_YIELD
                                          : POLLER_SPINS_BEFORE_SLEEP;
    atomic_init(&created->state, POLLER_NEW);
    *poller = created;
    return 0;
}

static void pause_briefly(void)
{
    struct timespec pause = {.tv_nsec = 20000};
    nanosleep(&pause, NULL);
}

/* Waits until the poller's state is no longer `state`. */
static int wait_while_state(struct poller *poller, uint32_t state, uint64_t timeout_ns)
{
    uint64_t deadline = ticks_now() + ticks_from_ns(timeout_ns);
    while (atomic_load_explicit(&poller->state, memory_order_acquire) == state) {
        if (ticks_now() > deadline)
            return -ETIMEDOUT;
        pause_briefly();
    }
    return 0;
}

/* Touches all of the stack now, so that no request pays for its first use. */
static int prefault_stack(struct poller *poller)
{
    pthread_attr_t attributes;
    void *stack;
    size_t size_bytes, guard_bytes;
    int error = pthread_getattr_np(pthread_self(), &attributes);
    if (error != 0)
        return -error;
    pthread_attr_getstack(&attributes, &stack, &size_bytes);
    pthread_attr_getguardsize(&attributes, &guard_bytes);
    pthread_attr_destroy(&attributes);
    char *begin = (char *)stack + guard_bytes;
    poller->started.stack = (struct memory_block){begin, size_bytes - guard_bytes};
    /* What lies a page below this frame is nobody's yet. */
    volatile char *end = (char *)__builtin_frame_address(0) - PAGE_STEP_BYTES;
    for (volatile char *page = begin; page < end; page += PAGE_STEP_BYTES)
        *page = 0;
    return 0;
}

static int thread_prepare(struct poller *poller)
{
    int result = placement_bind_self(poller->options.placement, poller->options.cpu);
    if (result < 0)
        return result;
    result = prefault_stack(poller);
    if (result < 0)
        return result;
    struct rusage usage;
    getrusage(RUSAGE_THREAD, &usage);
    poller->started.id = gettid();
    poller->started.faults_before = (uint64_t)usage.ru_minflt + (uint64_t)usage.ru_majflt;
    return poller->options.arm ? poller->options.arm(poller->options.arm_context) : 0;
}

/* Whose thread this is, for the signal handler. */
static _Thread_local struct poller *own_poller;

/* Never returns on a poller at work: what the thread was doing is not gone on with. That takes no
 * system call, so the sandbox does not mind. */
static void stand_still(int signal)
{
    (void)signal;
    /* Sent by somebody else to a thread of control's, or come too late: the thread is on its way out,
     * and poller_freeze waits for that. Relaxed: this thread wrote it. */
    if (!own_poller ||
        atomic_load_explicit(&own_poller->state, memory_order_relaxed) == POLLER_STOPPED)
        return;
    /* Release: pairs with poller_freeze's acquire; what the thread stored before is then visible. */
    atomic_store_explicit(&own_poller->state, POLLER_FROZEN, memory_order_release);
    for (;;)
        ticks_pause();
}

/* Release on every state: pairs with wait_while_state. */
static void *thread_main(void *argument)
{
    struct poller *poller = argument;
    own_poller = poller;
    poller->start_error = thread_prepare(poller);
    if (poller->start_error < 0) {
        atomic_store_explicit(&poller->state, POLLER_FAILED, memory_order_release);
        return NULL;
    }
    atomic_store_explicit(&poller->state, POLLER_RUNNING, memory_order_release);
    poller_loop(poller);
    if (!poller->options.arm) {
        atomic_store_explicit(&poller->state, POLLER_STOPPED, memory_order_release);
        return NULL;
    }
    atomic_store_explicit(&poller->state, POLLER_PARKED, memory_order_release);
    for (;;)
        ticks_pause(); /* even exiting is a system call; the process's end takes us along */
}

int poller_start(struct poller *poller)
{
    ticks_per_second(); /* calibrates before anything is timed */
    atomic_store_explicit(&poller->state, POLLER_STARTING, memory_order_relaxed);
    /* A signal handler ends in a system call; signals are control's, but for the one whose handler
     * does not end. */
    struct sigaction freeze = {.sa_handler = stand_still};
    sigaction(FREEZE_SIGNAL, &freeze, NULL);
    sigset_t all, before;
    sigfillset(&all);
    sigdelset(&all, FREEZE_SIGNAL);
    sigdelset(&all, SIGBUS); /* a page whose memory went: a handler puts another there */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, MEMORY_STACK_BYTES);
    struct memory_policy policy; /* locked memory gets its pages at once: the stack's too */
    memory_policy_push(memory_node_of_cpu(poller->options.cpu), &policy);
    int error = pthread_create(&poller->thread, &attributes, thread_main, poller);
    memory_policy_pop(&policy);
    pthread_attr_destroy(&attributes);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error != 0) {
        atomic_store_explicit(&poller->state, POLLER_NEW, memory_order_relaxed);
        return -error;
    }
    pthread_setname_np(poller->thread, poller->name);
    int result = wait_while_state(poller, POLLER_STARTING, START_TIMEOUT_NS);
    if (result < 0)
        return result;
    if (atomic_load_explicit(&poller->state, memory_order_acquire) == POLLER_FAILED) {
        pthread_join(poller->thread, NULL);
        atomic_store_explicit(&poller->state, POLLER_NEW, memory_order_relaxed);
        return poller->start_error;
    }
    return 0;
}

bool poller_is_gone(const struct poller *poller)
{
    uint32_t state = atomic_load_explicit(&poller->state, memory_order_acquire);
    return state == POLLER_NEW || state == POLLER_STOPPED;
}

static int wait_while_pending(struct poller_command *command, uint64_t timeout_ns)
{
    uint64_t deadline = ticks_now() + ticks_from_ns(timeout_ns);
    while (!atomic_load_explicit(&command->is_done, memory_order_acquire)) {
        if (ticks_now() > deadline)
            return -ETIMEDOUT;
        pause_briefly();
    }
    return 0;
}

int poller_call(struct poller *poller, void (*function)(void *context), void *context,
                uint64_t timeout_ns)
{
    if (poller_is_gone(poller)) {
        function(context); /* no thread but ours */
        return 0;
    }
    struct poller_command *command = &poller->mailbox;
    /* One stuck poller holds up control once, not with every call. */
    if (poller->was_late && timeout_ns > LATE_TIMEOUT_NS)
        timeout_ns = LATE_TIMEOUT_NS;
    if (command->function && wait_while_pending(command, timeout_ns) < 0)
        return -ETIMEDOUT; /* an earlier call never came back */
    command->function = function;
    command->context = context;
    atomic_store_explicit(&command->is_done, false, memory_order_relaxed);
    atomic_store_explicit(&poller->command, command, memory_order_release);
    if (poller->options.wait)
        poller_wait_wake(poller->options.wait);
    int result = wait_while_pending(command, timeout_ns);
    if (result == -ETIMEDOUT &&
        atomic_exchange_explicit(&poller->command, NULL, memory_order_relaxed))
        command->function = NULL; /* taken back */
    else if (result == -ETIMEDOUT && wait_while_pending(command, timeout_ns) < 0)
        result = -EINPROGRESS;
    else
        result = 0;
    poller->was_late = result < 0;
    return result;
}

int poller_call_brief(struct poller *poller, void (*function)(void *context), void *context,
                      uint64_t timeout_ns)
{
    int result = poller_call(poller, function, context, timeout_ns);
    if (result != -EINPROGRESS)
        return result;
    while (!atomic_load_explicit(&poller->mailbox.is_done, memory_order_acquire))
        pause_briefly();
    poller->was_late = false;
    return 0;
}

static void nothing(void *context)
{
    (void)context;
}

int poller_quiesce(struct poller *poller, uint64_t timeout_ns)
{
    return poller_call(poller, nothing, NULL, timeout_ns);
}

/* ---- the end ----------------------------------------------------------------------------- */

static void set_stopping(void *context)
{
    ((struct poller *)context)->is_stopping = true;
}

int poller_stop(struct poller *poller, uint64_t timeout_ns)
{
    if (atomic_load_explicit(&poller->state, memory_order_acquire) != POLLER_RUNNING)
        return 0;
    int result = poller_call(poller, set_stopping, poller, timeout_ns);
    if (result == 0)
        result = wait_while_state(poller, POLLER_RUNNING, timeout_ns);
    if (result < 0)
        return result;
    if (atomic_load_explicit(&poller->state, memory_order_acquire) == POLLER_STOPPED)
        pthread_join(poller->thread, NULL);
    return 0;
}

int poller_freeze(struct poller *poller, uint64_t timeout_ns)
{
    if (atomic_load_explicit(&poller->state, memory_order_acquire) != POLLER_RUNNING)
        return 0;
    int error = pthread_kill(poller->thread, FREEZE_SIGNAL);
    int result = error ? -error : wait_while_state(poller, POLLER_RUNNING, timeout_ns);
    /* It ended meanwhile: its handler may still look at the poller. */
    if (atomic_load_explicit(&poller->state, memory_order_acquire) == POLLER_STOPPED)
        pthread_join(poller->thread, NULL);
    return result;
}

bool poller_is_frozen(const struct poller *poller)
{
    return atomic_load_explicit(&poller->state, memory_order_acquire) == POLLER_FROZEN;
}

void poller_destroy(struct poller *poller)
{
    if (poller && poller_is_gone(poller))
        memory_free(poller, sizeof(*poller));
}

struct memory_block poller_memory(const struct poller *poller)
{
    return (struct memory_block){poller, sizeof(*poller)};
}

struct poller_thread poller_thread(const struct poller *poller)
{
    return poller->started;
}

struct poller_figures poller_figures(const struct poller *poller)
{
    return (struct poller_figures){
        .is_waiting = atomic_load_explicit(&poller->is_waiting, memory_order_relaxed),
        .sweeps = counter_read(&poller->sweeps),
        .busy_ticks = counter_read(&poller->busy_ticks),
        .requests = counter_read(&poller->requests),
        .waits = counter_read(&poller->waits),
        .asked = atomic_load_explicit(&poller->asked, memory_order_relaxed),
    };
}

uint64_t poller_cpu_ns(const struct poller *poller)
{
    clockid_t clock;
    struct timespec used;
    if (poller_is_gone(poller) || pthread_getcpuclockid(poller->thread, &clock) != 0 ||
        clock_gettime(clock, &used) < 0)
        return 0;
    return (uint64_t)used.tv_sec * 1000000000u + (uint64_t)used.tv_nsec;
}
