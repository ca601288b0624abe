/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/notify/interrupt_line.h"

#include "pollers/counter.h"
#include "pollers/notifier.h"
#include "server/sources/hsm_device.h"

#include <errno.h>
#include <sys/uio.h>
#include <unistd.h>

/* ---- on the client's poller -------------------------------------------------------------- */

static void count_change(struct interrupt *interrupt)
{
    uint64_t changes = atomic_load_explicit(&interrupt->changes, memory_order_relaxed); /* ours */
    /* Release: pairs with interrupt_line_changes. It comes before the answer to the access that did it. */
    atomic_store_explicit(&interrupt->changes, changes + 1, memory_order_release);
}

void interrupt_line_push(void *context)
{
    struct interrupt *interrupt = context;
    notifier_push(interrupt->port, interrupt->signal);
}

void interrupt_line_rise(void *context, bool is_high)
{
    count_change(context);
    if (is_high)
        interrupt_line_push(context);
}

void interrupt_line_change(void *context, bool is_high)
{
    (void)is_high;
    count_change(context);
    interrupt_line_push(context);
}

/* ---- to the driver ----------------------------------------------------------------------- */

static void note_failure(struct interrupt *interrupt, int result)
{
    if (result >= 0)
        return;
    /* Relaxed: for people. */
    atomic_store_explicit(&interrupt->error, -result, memory_order_relaxed);
    counter_add(&interrupt->failures, 1); /* under the lock: one writer */
}

static void set_line(struct interrupt *interrupt, bool is_high)
{
    note_failure(interrupt, hsm_set_line(interrupt->hsm, interrupt->route.line, is_high));
}

/* Takes the guest from `told` to `changes`. Under the lock. */
static void pass_changes(struct interrupt *interrupt, uint64_t changes)
{
    bool was_high = interrupt->told & 1, is_high = changes & 1;
    bool has_risen = interrupt_line_rises(changes) != interrupt_line_rises(interrupt->told);
    if (interrupt->route.kind == CONFIG_CLIENT_INTERRUPT_EDGE && has_risen) {
        if (was_high)
            set_line(interrupt, false);
        set_line(interrupt, true);
        was_high = true;
    }
    if (was_high != is_high)
        set_line(interrupt, is_high);
    interrupt->told = changes;
}

static void pass_line(void *context, uint32_t unused)
{
    struct interrupt *interrupt = context;
    (void)unused;
    pthread_mutex_lock(&interrupt->lock);
    if (interrupt->hsm)
        pass_changes(interrupt, interrupt_line_changes(interrupt));
    pthread_mutex_unlock(&interrupt->lock);
}

static void pass_message(void *context, uint32_t unused)
{
    struct interrupt *interrupt = context;
    (void)unused;
    pthread_mutex_lock(&interrupt->lock);
    if (interrupt->hsm)
        note_failure(interrupt, hsm_inject_msi(interrupt->hsm, interrupt->route.address,
                                               interrupt->route.data));
    pthread_mutex_unlock(&interrupt->lock);
}

void interrupt_line_give(struct interrupt *interrupt, struct hsm *hsm)
{
    pthread_mutex_lock(&interrupt->lock);
    interrupt->hsm = hsm;
    interrupt->told = interrupt_line_changes(interrupt);
    if (hsm && interrupt->route.kind != CONFIG_CLIENT_INTERRUPT_MESSAGE)
        set_line(interrupt, interrupt->told & 1);
    pthread_mutex_unlock(&interrupt->lock);
}

void interrupt_line_lower(struct interrupt *interrupt)
{
    pthread_mutex_lock(&interrupt->lock);
    if (interrupt->told & 1 && interrupt->hsm)
        set_line(interrupt, false);
    pthread_mutex_unlock(&interrupt->lock);
}

/* ---- a level of a requester's ------------------------------------------------------------ */

/* The notifier's thread. It may come late: then an EOI has already raised the line for this rise, and the
 * device may ask no more. A requester that makes the write block is interrupted by the notifier's timer. */
static void pass_level(void *context, uint32_t unused)
{
    struct interrupt *interrupt = context;
    const uint64_t one = 1;
    (void)unused;
    pthread_mutex_lock(&interrupt->lock);
    uint64_t changes = interrupt_line_changes(interrupt), rise = interrupt_line_rises(changes);
    if (changes & 1 && interrupt->asserted != rise && !interrupt->is_jammed) {
        interrupt->is_jammed =
            write(interrupt->descriptor, &one, sizeof(one)) < 0 && errno == EINTR;
        note_failure(interrupt, interrupt->is_jammed ? -EINTR : 0);
        interrupt->asserted = rise;
        interrupt->was_written = true;
    }
    pthread_mutex_unlock(&interrupt->lock);
}

bool interrupt_line_resample(struct interrupt *interrupt)
{
    uint64_t count;
    struct iovec piece = {&count, sizeof(count)};
    /* Whatever the requester made of the descriptor's flags. */
    if (preadv2(interrupt->resample, &piece, 1, -1, RWF_NOWAIT) < 0)
        return false;
    pthread_mutex_lock(&interrupt->lock);
    interrupt->asserted = 0; /* this rise may be written again */
    bool is_high = interrupt_line_changes(interrupt) & 1;
    pthread_mutex_unlock(&interrupt->lock);
    return is_high;
}

enum interrupt_line_tended interrupt_line_tend(struct interrupt *interrupt)
{
    enum interrupt_line_tended tended = INTERRUPT_LINE_AS_IT_SHOULD;
    pthread_mutex_lock(&interrupt->lock);
    uint64_t changes = interrupt_line_changes(interrupt);
    bool is_high = changes & 1;
    interrupt->quiet_looks = changes == interrupt->changes_tended ? interrupt->quiet_looks + 1 : 0;
    if (is_high && interrupt->quiet_looks > 0 &&
        interrupt->asserted != interrupt_line_rises(changes))
        tended = INTERRUPT_LINE_IS_LOW;
    if (!is_high && interrupt->quiet_looks >= INTERRUPT_LINE_QUIET_LOOKS &&
        interrupt->was_written) {
        tended = INTERRUPT_LINE_IS_HIGH;
        interrupt->was_written = false;
    }
    interrupt->changes_tended = changes;
    pthread_mutex_unlock(&interrupt->lock);
    return tended;
}

void (*interrupt_line_pass(const struct interrupt *interrupt))(void *interrupt, uint32_t unused)
{
    if (interrupt->resample >= 0)
        return pass_level;
    if (interrupt->descriptor >= 0)
        return NULL;
    return interrupt->route.kind == CONFIG_CLIENT_INTERRUPT_MESSAGE ? pass_message : pass_line;
}
