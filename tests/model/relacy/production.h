/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * production.h - the code under test, as run.sh copied it, and what the suites share.
 *
 * Flow:    included by each suite; a suite is a rl::test_suite with one thread a member `thread`.
 * Threads: see relacy_c.h.
 */
#ifndef RELACY_PRODUCTION_H
#define RELACY_PRODUCTION_H

#include "tests/model/relacy/shim/relacy_c.h"
#include "tests/model/relacy/suites.h"

#define SLOT_PORTABLE /* its slots are not the processor's memory */

#pragma GCC diagnostic ignored "-Wunused-function"
#pragma GCC diagnostic ignored "-Wunused-variable"

/* Each suite has its own copy, as of a header. */
namespace
{

#include "clients/external.h"
#include "clients/inbox.h"
#include "pollers/answer_at_once.h"
#include "pollers/device_call.h"
#include "pollers/inbox_drain.h"
#include "pollers/inbox_serve.h"
#include "pollers/notify_ring.h"
#include "pollers/page_look.h"
#include "pollers/page_settle.h"
#include "pollers/pci_ports.h"
#include "pollers/poller_internal.h"
#include "pollers/poller_look.h"
#include "pollers/poller_wait.h"
#include "pollers/process_serve.h"
#include "pollers/ticks.h"

static bool poller_is_gone_here(const struct poller *)
{
    return false;
}
#define poller_is_gone poller_is_gone_here

static void pause_briefly(void)
{
    rl::yield(1, $);
}

/* What a notification is to a requester here; see machine::notified. */
static void page_notify_here(struct page *page);

void page_notify(struct page *page, uint32_t)
{
    page_notify_here(page);
}

#include "copied/page_notify.c.inc"

/* Whole files without their includes, and of poller.c poller_call. */
#include "copied/inbox_serve.c.inc"
#include "copied/page.c.inc"
#include "copied/poller.c.inc"
#include "copied/poller_loop.c.inc"

#define STALE 0xdeadu

/* What a device answers to the request of that address. */
static inline uint64_t expected_answer(uint64_t address)
{
    return address + 100;
}

static inline int answer_by_address(struct device *, struct request *request)
{
    request->value = expected_answer(request->address);
    return 0;
}

static const struct device_ops answering_ops = {answer_by_address, NULL, false};
static const struct device_ops prompt_ops = {answer_by_address, NULL, true};

/* One VM with one vCPU, everything routed to one client. */
struct machine {
    struct acrn_io_request slots[SLOT_COUNT];
    struct page page;
    shim::atomic<uint32_t> told; /* as an eventfd's count */
    struct router router;
    struct poller sweeper, home;
    struct device device;
    struct client client;
    struct inbox inbox;

    void build(bool lives_elsewhere)
    {
        device.ops = &answering_ops;
        client.device = &device;
        client.inbox = lives_elsewhere ? &inbox : NULL;
        client.external = NULL;
        client.process = NULL;
        client.deadline_ticks = 0;
        client.latency = NULL;
        client.is_default = false;
        client.errors = client.broken_after = 0;
        client.is_broken = false;
        if (lives_elsewhere)
            build_inbox(&inbox);
        router.is_alive = true;
        router.route.first = 0;
        router.route.client = &client;
        page_init(&page, 1, &router, NULL);
        atomic_init(&told, 0);
        page.records[0].was_full = false;
        page_open(&page, slots);
        build_poller(&sweeper);
        build_poller(&home);
        home.inbox_count = 1;
        home.inboxes[0] = &client;
    }

    static void build_inbox(struct inbox *inbox)
    {
        inbox->awaited = 0;
        inbox->pushed = inbox->popped = 0;
        for (uint32_t i = 0; i < INBOX_CAPACITY; i++)
            atomic_init(&inbox->cells[i].state, INBOX_ANSWERED);
    }

    static void build_poller(struct poller *poller)
    {
        poller->page_count = poller->inbox_count = 0;
        poller->is_stopping = false;
        poller->was_late = false;
        poller->mailbox.function = NULL;
        poller->mailbox.context = NULL;
        atomic_init(&poller->mailbox.is_done, false);
        atomic_init(&poller->command, NULL);
    }

    /* The requester's side: what it writes before PENDING, and how it waits. */
    void ask(uint64_t address, bool is_polling = true)
    {
        slots[0].type = REQUEST_MMIO;
        slots[0].completion_polling = is_polling;
        slots[0].kernel_handled = 2; /* neither: the claim stores it */
        slots[0].reqs.mmio_request.direction = REQUEST_READ;
        slots[0].reqs.mmio_request.address = address;
        slots[0].reqs.mmio_request.size = 4;
        slots[0].reqs.mmio_request.value = STALE;
        shim::store(&slots[0].processed, SLOT_PENDING, rl::mo_release);
    }

    /* Asleep: a notification is all that it sees. */
    uint64_t wait_for_notification()
    {
        while (shim::load(&told, rl::mo_acquire) == 0)
            rl::yield(1, $);
        shim::store(&told, 0, rl::mo_relaxed);
        RL_ASSERT(shim::load(&slots[0].processed, rl::mo_acquire) == SLOT_COMPLETE);
        uint64_t value = slots[0].reqs.mmio_request.value;
        shim::store(&slots[0].processed, SLOT_FREE, rl::mo_release);
        return value;
    }

    uint64_t wait_for_answer()
    {
        while (shim::load(&slots[0].processed, rl::mo_acquire) != SLOT_COMPLETE)
            rl::yield(1, $);
        uint64_t value = slots[0].reqs.mmio_request.value;
        shim::store(&slots[0].processed, SLOT_FREE, rl::mo_release);
        return value;
    }

    /* Until so many requests were taken on. */
    void sweep(unsigned count)
    {
        for (unsigned taken = 0; taken < count;) {
            unsigned answers = page_take_answers(&page);
            uint32_t pending = page.is_open ? page_find_pending(&page) : 0;
            unsigned work = pending ? take_calls(&sweeper, &page, pending) : 0;
            taken += work;
            if (work + answers == 0)
                rl::yield(1, $);
        }
    }

    /* Until what is in an inbox is answered, or abandoned. */
    void take()
    {
        while (page.asked != 0u)
            if (page_take_answers(&page) == 0)
                rl::yield(1, $);
    }

    void drain(unsigned count)
    {
        for (unsigned popped = 0; popped < count;) {
            unsigned work = inbox_drain(&home, &client);
            popped += work;
            if (work == 0)
                rl::yield(1, $);
        }
    }
};

static void page_notify_here(struct page *page)
{
    struct machine *machine = (struct machine *)((char *)page - offsetof(struct machine, page));
    RL_ASSERT(shim::load(&machine->told, rl::mo_relaxed) == 0); /* once each */
    shim::store(&machine->told, 1, rl::mo_release);
}

} // namespace

/* Every execution with at most so many preemptions. Prints how many those were; or why it failed,
 * and unless it is_quiet the history of the failure. */
template <typename suite> bool run_suite(const char *name, unsigned preemptions, bool is_quiet)
{
    typedef rl::context_bound_scheduler<suite::params::thread_count> scheduler;
    rl::ostringstream output, state; /* they outlive the context, whose memory does not */
    rl::test_params params;
    params.search_type = rl::sched_bound;
    params.context_bound = preemptions;
    params.execution_depth_limit = 4000;
    params.iteration_count = (rl::iteration_t)1 << 40;
    params.output_stream = &output;
    params.progress_stream = &output;
    params.progress_output_period = 1000000;
    rl::test_result_e result = rl::run_test<suite, scheduler>(params, state, false);
    if (result == rl::test_result_success) {
        if (!is_quiet)
            std::printf("%-17s %9llu executions", name, (unsigned long long)params.stop_iteration);
        return true;
    }
    if (!is_quiet) {
        params.initial_state = state.str();
        params.collect_history = true;
        rl::run_test<suite, scheduler>(params, state, true);
        std::printf("%s\n", output.str().c_str());
    }
    std::printf("%s: %s, %u preemptions", name, rl::test_result_str(result), preemptions);
    return false;
}

#endif
