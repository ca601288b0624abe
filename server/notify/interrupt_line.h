/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * interrupt_line.h - what becomes of a line's changes: from its poller to the guest. For interrupt.c.
 *
 * Flow:    device_set_line -> interrupt_line_rise or _change (poller) -> the notifier's ring -> an eventfd's
 *          write, or interrupt_line_pass (notifier's thread) -> the requester, or the ACRN driver.
 *
 *          A level of a requester's: high by a write of its eventfd -> the guest's EOI lowers it, and the
 *          requester says so -> interrupt_line_resample (control): if the device still asks, its poller
 *          pushes again. Control never writes the eventfd itself: the requester could make that block.
 * Threads: as said. `changes` is the poller's; what lies behind `lock` is the notifier's thread's and
 *          control's.
 * Memory:  interrupt.c's.
 * Errors:  counted.
 */
#ifndef SERVER_NOTIFY_INTERRUPT_LINE_H
#define SERVER_NOTIFY_INTERRUPT_LINE_H

#include "config/config.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct event_watch;
struct hsm;
struct notifier_port;

struct interrupt {
    struct config_client_interrupt route;
    struct notifier_port *port; /* of the poller that the client lives on */
    uint32_t signal;
    int descriptor;            /* an eventfd; -1: the driver's */
    int resample;              /* an eventfd; -1: no level of a requester's */
    struct event_watch *watch; /* of it; NULL: interrupts_tend looks */
    uint32_t resamples;        /* since the last interrupts_tend */
    uint64_t changes_tended;   /* as of the last interrupts_tend */
    uint32_t quiet_looks;      /* of interrupts_tend, that found no change */
    size_t input_space;        /* of the device's input, when nothing was typed */
    _Atomic uint64_t changes;  /* of the line; odd: it is high */
    _Atomic uint64_t failures; /* see interrupt_figures */
    _Atomic int error;         /* of the last failure, positive */
    bool is_told;              /* that there are failures */
    pthread_mutex_t lock;      /* around what follows */
    struct hsm *hsm;           /* NULL: none */
    uint64_t told;             /* changes that the driver knows of */
    uint64_t asserted; /* a level's rise that was written since the last EOI, or the last before */
    bool was_written;          /* it may be high at the requester: no EOI proves that it came after */
    bool is_jammed;    /* its eventfd blocked: it is written no more */
};

static inline uint64_t interrupt_line_changes(const struct interrupt *interrupt)
{
    /* Acquire: pairs with the poller's release, in interrupt_line.c. */
    return atomic_load_explicit(&interrupt->changes, memory_order_acquire);
}

static inline uint64_t interrupt_line_rises(uint64_t changes)
{
    return (changes + 1) / 2;
}

/* device_line.change, on the poller: a rise, or each change, is passed on. */
void interrupt_line_rise(void *interrupt, bool is_high);
void interrupt_line_change(void *interrupt, bool is_high);

/* For a level, on the poller, as a command of control's. */
void interrupt_line_push(void *interrupt);

/* notify_target.call, which passes this interrupt on; NULL: a write of its eventfd does. */
void (*interrupt_line_pass(const struct interrupt *interrupt))(void *interrupt, uint32_t unused);

/* Control. A level's line was low at the requester: true if the device asks for it, and the poller is to push
 * again. False, too, if it was not. Makes no call that the requester could block. */
bool interrupt_line_resample(struct interrupt *interrupt);

/* Control, every few milliseconds: what is to be done for a level that has not changed since the last time.
 * KVM raises later than its eventfd is written, so the word of an EOI may be older than what was written
 * before it came: a line that was used, and then is not for INTERRUPT_LINE_QUIET_LOOKS, is lowered for
 * certain. That costs the requester a new binding, and so is not done for each fall. */
#define INTERRUPT_LINE_QUIET_LOOKS 5u
enum interrupt_line_tended {
    INTERRUPT_LINE_AS_IT_SHOULD,
    INTERRUPT_LINE_IS_LOW,  /* the poller is to push again */
    INTERRUPT_LINE_IS_HIGH, /* or may be: it is to be lowered */
};
enum interrupt_line_tended interrupt_line_tend(struct interrupt *interrupt);

/* The driver's VM from now on, or NULL. It is told the line as it is: what an earlier server left raised there
 * is lowered. */
void interrupt_line_give(struct interrupt *interrupt, struct hsm *hsm);
/* It is not raised any more: low at the driver. */
void interrupt_line_lower(struct interrupt *interrupt);

#endif
