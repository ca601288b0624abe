/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * page_tracer.h - sees every access this thread makes to a page, one instruction at a time.
 *
 * The page is mapped without any right, so that each access faults; the handler notes it, opens the
 * page, lets the processor execute that one instruction (trap flag), closes the page again, and
 * then calls `after`, which may change the page through its other mapping, `shadow`: a hostile
 * other side that acts between any two of our accesses.
 */
#ifndef TESTS_SUPPORT_PAGE_TRACER_H
#define TESTS_SUPPORT_PAGE_TRACER_H

#include "pollers/slot.h"

#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

struct page_tracer {
    uint8_t *traced; /* what the code under test uses */
    uint8_t *shadow; /* what the test uses */
    void (*after)(struct page_tracer *tracer, size_t offset, bool is_write);
    size_t offset; /* of the access under way */
    bool is_write;
    uint32_t reads[PAGE_BYTES / 4]; /* by 32-bit word */
    uint32_t writes[PAGE_BYTES / 4];
};

static struct page_tracer *page_tracer_active;

#define PAGE_TRACER_TRAP_FLAG   0x100
#define PAGE_TRACER_ERROR_WRITE 0x2

static void page_tracer_fault(int signal_number, siginfo_t *info, void *context)
{
    struct page_tracer *tracer = page_tracer_active;
    ucontext_t *machine = context;
    uint8_t *address = info->si_addr;
    if (!tracer || address < tracer->traced || address >= tracer->traced + PAGE_BYTES) {
        signal(signal_number, SIG_DFL); /* not ours: die of it */
        return;
    }
    tracer->offset = (size_t)(address - tracer->traced);
    tracer->is_write = machine->uc_mcontext.gregs[REG_ERR] & PAGE_TRACER_ERROR_WRITE;
    if (tracer->is_write)
        tracer->writes[tracer->offset / 4]++;
    else
        tracer->reads[tracer->offset / 4]++;
    mprotect(tracer->traced, PAGE_BYTES, PROT_READ | PROT_WRITE);
    machine->uc_mcontext.gregs[REG_EFL] |= PAGE_TRACER_TRAP_FLAG;
}

static void page_tracer_step(int signal_number, siginfo_t *info, void *context)
{
    (void)signal_number;
    (void)info;
    struct page_tracer *tracer = page_tracer_active;
    ucontext_t *machine = context;
    machine->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)PAGE_TRACER_TRAP_FLAG;
    mprotect(tracer->traced, PAGE_BYTES, PROT_NONE);
    if (tracer->after)
        tracer->after(tracer, tracer->offset, tracer->is_write);
}

/* descriptor: the page's memory file; shadow: its mapping that the test keeps. */
static inline void page_tracer_start(struct page_tracer *tracer, int descriptor, void *shadow)
{
    memset(tracer, 0, sizeof(*tracer));
    tracer->shadow = shadow;
    tracer->traced = mmap(NULL, PAGE_BYTES, PROT_NONE, MAP_SHARED, descriptor, 0);
    page_tracer_active = tracer;
    struct sigaction fault = {.sa_sigaction = page_tracer_fault, .sa_flags = SA_SIGINFO};
    struct sigaction step = {.sa_sigaction = page_tracer_step, .sa_flags = SA_SIGINFO};
    sigaction(SIGSEGV, &fault, NULL);
    sigaction(SIGTRAP, &step, NULL);
}

static inline void page_tracer_stop(struct page_tracer *tracer)
{
    page_tracer_active = NULL;
    munmap(tracer->traced, PAGE_BYTES);
    signal(SIGSEGV, SIG_DFL);
    signal(SIGTRAP, SIG_DFL);
}

#endif
