/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * table_swap.cpp - control publishes a router while a poller routes, and frees the old one after
 * the poller's quiescent point; and a call to a slow poller is run once, or not at all.
 */
#include "tests/model/relacy/production.h"

static void stop(void *context)
{
    ((struct poller *)context)->is_stopping = true;
}

struct table_swap : rl::test_suite<table_swap, 2> {
    struct machine vm;
    struct router second;

    void before()
    {
        vm.build(false);
    }

    void publish(struct router *next)
    {
        next->route = this->vm.router.route;
        next->is_alive = true;
        struct {
            struct page *page;
        } owner = {&this->vm.page}, *vm = &owner;
#include "copied/publish.inc"
    }

    void thread(unsigned index)
    {
        if (index == 0) {
            publish(&second);
            RL_ASSERT(poller_quiesce(&vm.sweeper, 1) == 0);
            vm.router.is_alive = false;
            RL_ASSERT(poller_call(&vm.sweeper, stop, &vm.sweeper, 1) == 0);
            second.is_alive = false;
            return;
        }
        while (!vm.sweeper.is_stopping) {
            struct request request = {};
            request.type = REQUEST_MMIO;
            request.size_bytes = 4;
            RL_ASSERT(page_route(&vm.page, &request) == &vm.client);
            if (!poller_round(&vm.sweeper))
                rl::yield(1, $);
        }
    }
};

/* A timeout at any time, once: what control took back does not run, everything else runs once, and
 * the mailbox is never written while the poller reads it. */
struct mailbox_timeout : rl::test_suite<mailbox_timeout, 2> {
    struct machine vm;
    shim::plain<unsigned> runs;

    static void run_once(void *context)
    {
        struct mailbox_timeout *suite = (struct mailbox_timeout *)context;
        suite->runs = suite->runs + 1;
    }

    void before()
    {
        vm.build(false);
        runs = 0;
        shim::timeouts_left = 1;
    }

    void thread(unsigned index)
    {
        if (index == 0) {
            unsigned expected = poller_call(&vm.sweeper, run_once, this, 1) == 0 ? 1 : 0;
            while (poller_call(&vm.sweeper, stop, &vm.sweeper, 1) != 0)
                rl::yield(1, $);
            RL_ASSERT(runs == expected);
            return;
        }
        while (!vm.sweeper.is_stopping)
            if (!poller_round(&vm.sweeper))
                rl::yield(1, $);
    }
};

/* Both waits may time out: what the poller has begun with is over when the brief call is, and its
 * context is control's again. */
struct mailbox_brief : rl::test_suite<mailbox_brief, 2> {
    struct machine vm;
    shim::plain<unsigned> runs;

    static void run_once(void *context)
    {
        struct mailbox_brief *suite = (struct mailbox_brief *)context;
        suite->runs = suite->runs + 1;
    }

    void before()
    {
        vm.build(false);
        runs = 0;
        shim::timeouts_left = 2;
    }

    void thread(unsigned index)
    {
        if (index == 0) {
            unsigned expected = poller_call_brief(&vm.sweeper, run_once, this, 1) == 0 ? 1 : 0;
            RL_ASSERT(runs == expected);
            shim::timeouts_left = 0;
            while (poller_call(&vm.sweeper, stop, &vm.sweeper, 1) != 0)
                rl::yield(1, $);
            return;
        }
        while (!vm.sweeper.is_stopping)
            if (!poller_round(&vm.sweeper))
                rl::yield(1, $);
    }
};

bool run_table_swap(const std::string &name, unsigned preemptions, bool is_quiet)
{
    if (name == "table_swap")
        return run_suite<table_swap>(name.c_str(), preemptions, is_quiet);
    if (name == "mailbox_brief")
        return run_suite<mailbox_brief>(name.c_str(), preemptions, is_quiet);
    return run_suite<mailbox_timeout>(name.c_str(), preemptions, is_quiet);
}
