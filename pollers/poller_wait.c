/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers/poller_wait.h"

#include "pollers/notify_ring.h"
#include "pollers/page_driver.h"
#include "pollers/page_look.h"
#include "pollers/poller_internal.h"
#include "pollers/ring.h"
#include "pollers/ticks.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define ENTRIES_MAX       (POLLER_PAGES_MAX + 1) /* the first one is the wake's */
#define RING_ENTRIES      256u        /* more than three steps an entry, a power of two */
#define REMOVE_TIMEOUT_NS 10000000ull /* for one answer */
#define REMOVE_ATTEMPTS   20u

_Static_assert(RING_ENTRIES >= 3 * ENTRIES_MAX, "all can be armed at once");

/* An upcall's way: wait until it is readable, read it, write what enables the next one; a chain. The
 * poller's own, from poller_wait_begin on. */
struct entry {
    bool is_live;         /* waited for */
    bool is_lost;         /* it cannot be waited for */
    uint32_t outstanding; /* steps that the kernel owes an answer */
    uint64_t count;       /* where it is read to */
};

struct poller_wait {
    struct ring *ring;
    /* Control's, and read by the poller while live; descriptors are duplicates; read_bytes 0: free. */
    struct upcall upcalls[ENTRIES_MAX];
    struct entry entries[ENTRIES_MAX];
};

/* ---- life ---------------------------------------------------------------------------------- */

int poller_wait_create(struct poller_wait **wait)
{
    struct poller_wait *created = calloc(1, sizeof(*created));
    if (!created)
        return -ENOMEM;
    const struct ring_options options = {.entries = RING_ENTRIES};
    int result = ring_create(&options, &created->ring);
    if (result < 0) {
        free(created);
        return result;
    }
    int wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (wake < 0) {
        result = -errno;
        poller_wait_destroy(created);
        return result;
    }
    created->upcalls[0] = (struct upcall){
        .descriptor = wake, .read_bytes = UPCALL_EVENTFD_BYTES, .rearm_descriptor = -1};
    created->entries[0].is_live = true;
    *wait = created;
    return 0;
}

static void upcall_clear(struct upcall *upcall)
{
    if (upcall->read_bytes)
        close(upcall->descriptor);
    if (upcall->rearm_bytes)
        close(upcall->rearm_descriptor);
    *upcall = (struct upcall){.descriptor = -1};
}

void poller_wait_destroy(struct poller_wait *wait)
{
    if (!wait)
        return;
    ring_destroy(wait->ring);
    for (uint32_t i = 0; i < ENTRIES_MAX; i++)
        upcall_clear(&wait->upcalls[i]);
    free(wait);
}

void poller_wait_wake(struct poller_wait *wait)
{
    const uint64_t one = 1;
    /* EAGAIN: it holds all it can, and ends the wait as well. */
    ssize_t written = write(wait->upcalls[0].descriptor, &one, sizeof(one));
    (void)written;
}

/* ---- upcalls ------------------------------------------------------------------------------- */

static bool is_valid(const struct upcall *upcall)
{
    return (upcall->read_bytes == UPCALL_EVENTFD_BYTES || upcall->read_bytes == UPCALL_UIO_BYTES) &&
           upcall->rearm_bytes <= sizeof(upcall->rearm_value);
}

int poller_wait_add(struct poller_wait *wait, const struct upcall *upcall, uint32_t *index)
{
    uint32_t i = 1; /* 0 is the wake's */
    while (i < ENTRIES_MAX && wait->upcalls[i].read_bytes)
        i++;
    if (!is_valid(upcall))
        return -EINVAL;
    if (i == ENTRIES_MAX)
        return -ENOSPC;
    struct upcall added = *upcall;
    added.descriptor = fcntl(upcall->descriptor, F_DUPFD_CLOEXEC, 0);
    if (added.descriptor < 0)
        return -errno;
    added.rearm_descriptor = -1;
    if (upcall->rearm_bytes) {
        added.rearm_descriptor = fcntl(upcall->rearm_descriptor, F_DUPFD_CLOEXEC, 0);
        if (added.rearm_descriptor < 0) {
            int result = -errno;
            close(added.descriptor);
            return result;
        }
    }
    wait->upcalls[i] = added;
    *index = i;
    return 0;
}

/* The kernel owes nothing of it: a new chain. */
static void entry_arm(struct poller_wait *wait, struct entry *entry)
{
    const struct upcall *upcall = &wait->upcalls[entry - wait->entries];
    struct ring *ring = wait->ring;
    bool is_uio = upcall->read_bytes == UPCALL_UIO_BYTES;
    /* There is room: the ring has a place for every step there can be. */
    ring_push_poll(ring, upcall->descriptor, POLLIN, entry);
    ring_chain(ring);
    ring_push_read(ring, upcall->descriptor, &entry->count, upcall->read_bytes, is_uio, entry);
    entry->outstanding = 2;
    if (!upcall->rearm_bytes)
        return;
    ring_chain(ring);
    ring_push_write(ring, upcall->rearm_descriptor, &upcall->rearm_value, upcall->rearm_bytes,
                    upcall->rearm_offset, entry);
    entry->outstanding = 3;
}

/* What the kernel has answered. True: it was anything. */
static bool hear(struct poller_wait *wait)
{
    struct ring_answer answer;
    bool heard = false;
    while (ring_pop(wait->ring, &answer)) {
        struct entry *entry = answer.tag;
        heard = true;
        if (!entry)
            continue; /* of a poll that was taken back */
        entry->outstanding--;
        /* EAGAIN: somebody else read it; ECANCELED: for a reason that was told before, or by us. */
        if (answer.result < 0 && answer.result != -EAGAIN && answer.result != -ECANCELED)
            entry->is_lost = true;
    }
    return heard;
}

void poller_wait_remove(struct poller_wait *wait, uint32_t index)
{
    upcall_clear(&wait->upcalls[index]);
}

void poller_wait_begin(struct poller_wait *wait, uint32_t index)
{
    wait->entries[index] = (struct entry){.is_live = true};
}

int poller_wait_end(struct poller_wait *wait, uint32_t index)
{
    struct entry *entry = &wait->entries[index];
    entry->is_live = false;
    for (uint32_t i = 0; entry->outstanding && i < REMOVE_ATTEMPTS; i++) {
        ring_push_cancel(wait->ring, entry); /* the step that is on; the others go with it */
        ring_wait(wait->ring, REMOVE_TIMEOUT_NS);
        hear(wait);
    }
    return entry->outstanding ? -ETIMEDOUT : 0;
}

/* ---- waiting ------------------------------------------------------------------------------- */

/* What an open page wants; false: it must be swept on. */
static bool page_may_wait(const struct poller_wait *wait, const struct page *page)
{
    return page->wait_ticks && page->upcall && !wait->entries[page->upcall].is_lost;
}

/* The longest that any of its pages has it spin; 0: it must not wait now. */
static uint64_t wait_bound(const struct poller *poller)
{
    uint64_t bound = 0;
    if (poller->submits && poller->submits->pushed != poller->submits->submitted)
        return 0; /* the kernel has yet to take a notification */
    if (poller->inbox_count)
        return 0; /* whoever pushes cannot wake it: that is a system call */
    for (uint32_t i = 0; i < poller->page_count; i++) {
        const struct page *page = poller->pages[i];
        if (page->is_open && !page_may_wait(poller->options.wait, page))
            return 0;
        /* Whoever answers cannot wake it either, and its deadline would pass unseen. */
        if (page_in_flight(page) || page_notify_is_due(&page->notify))
            return 0;
        if (page->is_open && (page->has_driver ? page_driver_find_offered(poller->pages[i]) != 0
                                               : page_find_pending(page) != 0))
            return 0; /* its budget's next period, or room in a ring: no upcall tells of these */
        bound = page->wait_ticks > bound ? page->wait_ticks : bound;
    }
    return bound;
}

/* Spins longer before the next wait if spinning would have spared this one, and else less. */
static void adapt(struct poller *poller, uint64_t bound, uint64_t waited_ticks)
{
    uint64_t spin = waited_ticks <= bound ? 2 * poller->spin_ticks : poller->spin_ticks / 2;
    uint64_t least = bound / POLLER_WAIT_SPIN_SHARE;
    poller->spin_ticks = spin < least ? least : spin > bound ? bound : spin;
}

static void wait_now(struct poller *poller, uint64_t bound)
{
    struct poller_wait *wait = poller->options.wait;
    if (hear(wait))
        return; /* first another sweep */
    for (uint32_t i = 0; i < ENTRIES_MAX; i++) {
        struct entry *entry = &wait->entries[i];
        if (entry->is_live && !entry->outstanding && !entry->is_lost)
            entry_arm(wait, entry);
    }
    uint64_t begin = ticks_now();
    counter_add(&poller->waits, 1);
    /* Relaxed, twice: nobody orders anything by it. */
    atomic_store_explicit(&poller->is_waiting, true, memory_order_relaxed);
    ring_wait(wait->ring, RING_FOREVER);
    atomic_store_explicit(&poller->is_waiting, false, memory_order_relaxed);
    hear(wait);
    adapt(poller, bound, ticks_now() - begin);
}

void poller_wait_if_idle(struct poller *poller, bool is_first)
{
    uint64_t now = ticks_now();
    if (is_first)
        poller->empty_since_ticks = now;
    if (now - poller->empty_since_ticks < poller->spin_ticks)
        return;
    uint64_t bound = wait_bound(poller);
    if (bound == 0)
        return;
    if (poller->spin_ticks == 0) /* the first time */
        poller->spin_ticks = bound;
    else
        wait_now(poller, bound);
    poller->empty_since_ticks = ticks_now();
}
