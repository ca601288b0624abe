/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/vm/ending.h"

#include <errno.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

static const char *const cause_names[ENDING_CAUSE_COUNT] = {
    [ENDING_NONE] = "running",
    [ENDING_DONE] = "done",
    [ENDING_UNTIL] = "until",
    [ENDING_HALTED] = "halted",
    [ENDING_IDLE] = "idle",
    [ENDING_TIMEOUT] = "timeout",
    [ENDING_SIGNAL] = "signal",
    [ENDING_SHUTDOWN] = "shutdown",
    [ENDING_SERVER_GONE] = "server_gone",
    [ENDING_PROTOCOL] = "protocol",
    [ENDING_FAILED] = "failed",
};

uint64_t monotonic_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

int ending_init(struct ending *ending)
{
    memset(ending, 0, sizeof(*ending));
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    int result = -pthread_sigmask(SIG_BLOCK, &signals, &ending->old_mask);
    if (result != 0)
        return result;
    ending->event_fd = eventfd(0, EFD_CLOEXEC);
    ending->signal_fd = signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK);
    if (ending->event_fd < 0 || ending->signal_fd < 0) {
        result = -errno;
        if (ending->event_fd >= 0)
            close(ending->event_fd);
        if (ending->signal_fd >= 0)
            close(ending->signal_fd);
        pthread_sigmask(SIG_SETMASK, &ending->old_mask, NULL);
        return result;
    }
    pthread_mutex_init(&ending->lock, NULL);
    return 0;
}

void ending_fini(struct ending *ending)
{
    struct signalfd_siginfo signal;
    while (read(ending->signal_fd, &signal, sizeof(signal)) > 0)
        ;
    close(ending->event_fd);
    close(ending->signal_fd);
    pthread_mutex_destroy(&ending->lock);
    pthread_sigmask(SIG_SETMASK, &ending->old_mask, NULL);
}

bool ending_raise(struct ending *ending, enum ending_cause cause, const char *format, ...)
{
    pthread_mutex_lock(&ending->lock);
    bool is_first = !ending_is_raised(ending);
    if (is_first) {
        va_list arguments;
        va_start(arguments, format);
        vsnprintf(ending->text, sizeof(ending->text), format, arguments);
        va_end(arguments);
        /* Release: pairs with ending_get's acquire, publishes the text. */
        atomic_store_explicit(&ending->cause, (int)cause, memory_order_release);
        uint64_t one = 1;
        /* Cannot fail: written once. ending_wait would still see the cause at its next look. */
        ssize_t written = write(ending->event_fd, &one, sizeof(one));
        (void)written;
    }
    pthread_mutex_unlock(&ending->lock);
    return is_first;
}

enum ending_cause ending_get(const struct ending *ending)
{
    /* Acquire: pairs with ending_raise's release; the text may be read after it. */
    return (enum ending_cause)atomic_load_explicit(&ending->cause, memory_order_acquire);
}

bool ending_is_raised(const struct ending *ending)
{
    return ending_get(ending) != ENDING_NONE;
}

bool ending_wait(struct ending *ending, uint64_t timeout_ns)
{
    uint64_t deadline_ns = monotonic_ns() + timeout_ns;
    while (!ending_is_raised(ending)) {
        struct timespec left = {.tv_sec = 3600};
        if (timeout_ns != 0) {
            uint64_t now_ns = monotonic_ns();
            if (now_ns >= deadline_ns)
                return false;
            left.tv_sec = (time_t)((deadline_ns - now_ns) / 1000000000u);
            left.tv_nsec = (long)((deadline_ns - now_ns) % 1000000000u);
        }
        struct pollfd entries[2] = {
            {.fd = ending->event_fd, .events = POLLIN},
            {.fd = ending->signal_fd, .events = POLLIN},
        };
        if (ppoll(entries, 2, &left, NULL) <= 0)
            continue;
        struct signalfd_siginfo signal;
        if (read(ending->signal_fd, &signal, sizeof(signal)) == (ssize_t)sizeof(signal))
            ending_raise(ending, ENDING_SIGNAL, "%s",
                         signal.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM");
    }
    return true;
}

bool ending_wait_for_none(const _Atomic uint32_t *count, uint64_t timeout_ns)
{
    const struct timespec nap = {.tv_nsec = 200000};
    uint64_t deadline_ns = monotonic_ns() + timeout_ns;
    /* Relaxed: the join that follows orders what the threads did. */
    while (atomic_load_explicit(count, memory_order_relaxed) != 0) {
        if (monotonic_ns() >= deadline_ns)
            return false;
        nanosleep(&nap, NULL);
    }
    return true;
}

const char *ending_name(enum ending_cause cause)
{
    return cause_names[cause];
}
