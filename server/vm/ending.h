/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ending.h - how a run of ioreq-vm comes to its end: the first cause wins and is remembered.
 *
 * Flow:    ending_init before the first thread -> threads ending_raise; the main thread
 *          ending_wait -> read cause and text once the threads are joined -> ending_fini.
 * Threads: raise and is_raised: any. init, wait, fini: the main one.
 * Memory:  the caller's.
 * Errors:  SIGINT and SIGTERM are blocked by init (threads inherit that) and become a cause, so no
 *          system call of ours is ever interrupted by them.
 */
#ifndef SERVER_VM_ENDING_H
#define SERVER_VM_ENDING_H

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum ending_cause {
    ENDING_NONE,
    ENDING_DONE,        /* everything asked for was done */
    ENDING_UNTIL,       /* the awaited text was printed */
    ENDING_HALTED,      /* every vCPU halted for good */
    ENDING_IDLE,        /* no request for --idle-exit */
    ENDING_TIMEOUT,     /* --timeout or --duration */
    ENDING_SIGNAL,      /* SIGINT or SIGTERM */
    ENDING_SHUTDOWN,    /* the guest ended by a triple fault */
    ENDING_SERVER_GONE, /* the server closed the connection */
    ENDING_PROTOCOL,    /* a slot was not FREE: #GP for the guest on ACRN */
    ENDING_FAILED,      /* an error of ours, of KVM, or of the machine */
    ENDING_CAUSE_COUNT,
};

#define ENDING_TEXT_BYTES 1024

struct ending {
    pthread_mutex_t lock;
    _Atomic int cause; /* enum ending_cause; text is written before it */
    int event_fd;
    int signal_fd;
    sigset_t old_mask;
    char text[ENDING_TEXT_BYTES];
};

/* 0, or a negative errno with nothing left behind. */
int ending_init(struct ending *ending);
/* Gives the signal mask back; a signal that came in after the end is consumed. */
void ending_fini(struct ending *ending);

/* True for the first caller, whose cause and text stay; false for every later one. */
bool ending_raise(struct ending *ending, enum ending_cause cause, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool ending_is_raised(const struct ending *ending);

/* Waits for a cause, at most timeout_ns (0: for ever). True: one was raised. */
bool ending_wait(struct ending *ending, uint64_t timeout_ns);

/* One word for reports: "until", "idle", ... */
const char *ending_name(enum ending_cause cause);
enum ending_cause ending_get(const struct ending *ending);

/* Waits until *count is 0, at most timeout_ns. True: it is. For threads that count themselves out,
 * before they are joined: a join with a limit would count by the wall clock. */
bool ending_wait_for_none(const _Atomic uint32_t *count, uint64_t timeout_ns);

/* CLOCK_MONOTONIC, nanoseconds. */
uint64_t monotonic_ns(void);

#endif
