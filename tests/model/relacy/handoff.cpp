/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * handoff.cpp - a slot from the requester through a poller to whoever settles it, and back, twice:
 * nothing that is handed over with it is touched by two at once.
 */
#include "tests/model/relacy/production.h"

#define REQUESTS 2u

/* The client lives on the sweeping poller; where its device is prompt, there is no claim. */
template <bool is_prompt> struct handoff_here : rl::test_suite<handoff_here<is_prompt>, 2> {
    struct machine vm;

    void before()
    {
        vm.build(false);
        vm.device.ops = is_prompt ? &prompt_ops : &answering_ops;
    }

    void thread(unsigned index)
    {
        if (index == 0)
            for (unsigned n = 1; n <= REQUESTS; n++) {
                vm.ask(n);
                RL_ASSERT(vm.wait_for_answer() == expected_answer(n));
            }
        else
            vm.sweep(REQUESTS);
    }
};

/* The client lives elsewhere. */
struct handoff_inbox : rl::test_suite<handoff_inbox, 3> {
    struct machine vm;

    void before()
    {
        vm.build(true);
    }

    void thread(unsigned index)
    {
        if (index == 0) {
            vm.ask(1);
            RL_ASSERT(vm.wait_for_answer() == expected_answer(1));
        } else if (index == 1) {
            vm.sweep(1);
            vm.take();
        } else
            vm.drain(1);
    }
};

/* One request is in flight; its answer and a clear come to settle it at once, and the next one is
 * taken on as soon as one of them lets it. The clear may meet that one, too. */
struct handoff_next : rl::test_suite<handoff_next, 4> {
    struct machine vm;

    void before()
    {
        vm.build(true);
        vm.ask(1);
        vm.sweep(1);
    }

    void thread(unsigned index)
    {
        if (index == 0) {
            uint64_t value = vm.wait_for_answer();
            RL_ASSERT(value == expected_answer(1) || value == UINT32_MAX);
            vm.ask(2);
        } else if (index == 1)
            vm.sweep(1);
        else if (index == 2)
            vm.drain(1);
        else
            page_settle_all(&vm.page);
    }
};

/* An external default client: sees PROCESSING, reads the slot itself, and finishes with a ticket
 * that came to it without any order (here it knows the sequence). */
struct handoff_external : rl::test_suite<handoff_external, 3> {
    struct machine vm;
    struct external waiter;

    void before()
    {
        vm.build(false);
        vm.client.external = &waiter;
        vm.client.is_default = true;
    }

    void thread(unsigned index)
    {
        if (index == 0) {
            vm.ask(1);
            RL_ASSERT(vm.wait_for_answer() == expected_answer(1));
        } else if (index == 1)
            vm.sweep(1);
        else
            finish(1);
    }

    void finish(uint64_t sequence)
    {
        struct acrn_io_request *slot = &vm.slots[0];
        while (slot_state(slot) != SLOT_PROCESSING)
            rl::yield(1, $);
        RL_ASSERT(slot->kernel_handled == 0u);
        uint64_t address = slot->reqs.mmio_request.address;
        uint64_t ticket = sequence << SLOT_PHASE_BITS | SLOT_PHASE_IN_FLIGHT;
        while (!page_settle(&vm.page, 0, ticket, expected_answer(address)))
            rl::yield(1, $); /* claimed, and not opened yet */
    }
};

/* A settler that has the ticket and looks at nothing else: the win alone orders what it reads. */
struct handoff_ticket : rl::test_suite<handoff_ticket, 3> {
    struct machine vm;

    void before()
    {
        vm.build(true);
    }

    void thread(unsigned index)
    {
        uint64_t ticket = 1u << SLOT_PHASE_BITS | SLOT_PHASE_IN_FLIGHT;
        if (index == 0) {
            vm.ask(1);
            RL_ASSERT(vm.wait_for_answer() == expected_answer(1));
        } else if (index == 1) {
            vm.sweep(1);
        } else {
            while (!page_settle(&vm.page, 0, ticket, expected_answer(1)))
                rl::yield(1, $);
        }
    }
};

/* Detach: the sweeping poller abandons what is in flight while somebody outside may be settling it, and
 * its client may be at it; control unmaps the page once nothing is in flight. */
struct handoff_detach : rl::test_suite<handoff_detach, 3> {
    struct machine vm;
    shim::atomic<uint32_t> is_closed;

    void before()
    {
        vm.build(true);
        atomic_init(&is_closed, 0);
        vm.ask(1);
    }

    void thread(unsigned index)
    {
        uint64_t ticket = 1u << SLOT_PHASE_BITS | SLOT_PHASE_IN_FLIGHT;
        if (index == 0) {
            vm.sweep(1);
            page_close(&vm.page);
            shim::store(&is_closed, 1, rl::mo_release);
        } else if (index == 1) {
            while (shim::load(&is_closed, rl::mo_relaxed) == 0) {
                if (inbox_drain(&vm.home, &vm.client) == 0)
                    rl::yield(1, $);
                page_settle(&vm.page, 0, ticket, expected_answer(1));
            }
        } else {
            while (shim::load(&is_closed, rl::mo_acquire) == 0)
                rl::yield(1, $);
            while (page_in_flight(&vm.page) > 0)
                rl::yield(1, $);
            vm.slots[0].reqs.mmio_request.value = STALE; /* unmapped, and somebody else's now */
        }
    }
};

/* Somebody else than the sweeping poller settles, and the requester sleeps. As long as it was not told,
 * the sweeping poller sees that it must not wait. */
struct handoff_notified : rl::test_suite<handoff_notified, 3> {
    struct machine vm;

    void before()
    {
        vm.build(true);
        vm.ask(1, false);
        vm.sweep(1);
    }

    void thread(unsigned index)
    {
        if (index == 0) {
            RL_ASSERT(vm.wait_for_notification() == expected_answer(1));
        } else if (index == 1) {
            while (page_notify_due(&vm.page) == 0) {
                RL_ASSERT(page_in_flight(&vm.page) || page_notify_is_due(&vm.page.notify));
                rl::yield(1, $);
            }
        } else {
            uint64_t ticket = 1u << SLOT_PHASE_BITS | SLOT_PHASE_IN_FLIGHT;
            RL_ASSERT(page_settle(&vm.page, 0, ticket, expected_answer(1)));
        }
    }
};

bool run_handoff(const std::string &name, unsigned preemptions, bool is_quiet)
{
    if (name == "handoff_local")
        return run_suite<handoff_here<false>>(name.c_str(), preemptions, is_quiet);
    if (name == "handoff_prompt")
        return run_suite<handoff_here<true>>(name.c_str(), preemptions, is_quiet);
    if (name == "handoff_inbox")
        return run_suite<handoff_inbox>(name.c_str(), preemptions, is_quiet);
    if (name == "handoff_next")
        return run_suite<handoff_next>(name.c_str(), preemptions, is_quiet);
    if (name == "handoff_ticket")
        return run_suite<handoff_ticket>(name.c_str(), preemptions, is_quiet);
    if (name == "handoff_notified")
        return run_suite<handoff_notified>(name.c_str(), preemptions, is_quiet);
    if (name == "handoff_external")
        return run_suite<handoff_external>(name.c_str(), preemptions, is_quiet);
    return run_suite<handoff_detach>(name.c_str(), preemptions, is_quiet);
}
