/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/sources/lost_page.h"

#include "pollers/slot.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

struct lost_page {
    _Atomic uintptr_t address; /* 0: free */
    _Atomic bool is_lost;
};

static struct lost_page pages[LOST_PAGES_MAX];
static int stand_in = -1; /* a memory file of one page, all slots FREE */

/* Nothing in here but system calls and atomics: it may have interrupted anything. */
static void bus_error(int number, siginfo_t *what, void *context)
{
    (void)context;
    int error = errno;
    uintptr_t page = (uintptr_t)what->si_addr & ~(uintptr_t)(PAGE_BYTES - 1);
    for (uint32_t i = 0; i < LOST_PAGES_MAX; i++) {
        /* Acquire: pairs with lost_page_watch's release; is_lost was cleared before. */
        if (page == 0 || atomic_load_explicit(&pages[i].address, memory_order_acquire) != page)
            continue;
        if (syscall(SYS_mmap, page, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
                    stand_in, 0) == -1)
            break;
        /* Release: pairs with lost_page_is_lost's acquire; control then finds the page replaced. */
        atomic_store_explicit(&pages[i].is_lost, true, memory_order_release);
        errno = error;
        return;
    }
    /* Not ours: the access is made again, and ends the process. */
    const struct sigaction fatal = {.sa_handler = SIG_DFL};
    sigaction(number, &fatal, NULL);
    errno = error;
}

static int make_stand_in(void)
{
    int descriptor = memfd_create("ioreqd-lost", MFD_CLOEXEC);
    if (descriptor < 0)
        return -errno;
    void *slots = MAP_FAILED;
    if (ftruncate(descriptor, PAGE_BYTES) == 0)
        slots = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    if (slots == MAP_FAILED) {
        int error = errno;
        close(descriptor);
        return -error;
    }
    slots_free_all(slots);
    munmap(slots, PAGE_BYTES);
    return descriptor;
}

int lost_pages_start(void)
{
    if (stand_in < 0) {
        int descriptor = make_stand_in();
        if (descriptor < 0)
            return descriptor;
        stand_in = descriptor;
    }
    struct sigaction action = {.sa_sigaction = bus_error, .sa_flags = SA_SIGINFO};
    sigemptyset(&action.sa_mask);
    return sigaction(SIGBUS, &action, NULL) < 0 ? -errno : 0;
}

int lost_page_descriptor(void)
{
    return stand_in;
}

struct lost_page *lost_page_watch(void *page)
{
    if (lost_pages_start() < 0)
        return NULL;
    for (uint32_t i = 0; i < LOST_PAGES_MAX; i++) {
        /* Relaxed: only control writes it. */
        if (atomic_load_explicit(&pages[i].address, memory_order_relaxed))
            continue;
        atomic_store_explicit(&pages[i].is_lost, false, memory_order_relaxed);
        /* Release: pairs with the handler's acquire. */
        atomic_store_explicit(&pages[i].address, (uintptr_t)page, memory_order_release);
        return &pages[i];
    }
    return NULL;
}

void lost_page_unwatch(struct lost_page *lost)
{
    /* Relaxed: nobody touches the page any more. */
    if (lost)
        atomic_store_explicit(&lost->address, 0, memory_order_relaxed);
}

bool lost_page_is_lost(const struct lost_page *lost)
{
    /* Acquire: pairs with the handler's release. */
    return lost && atomic_load_explicit(&lost->is_lost, memory_order_acquire);
}
