/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inbox.cpp - entries through an inbox that is shorter than their number: each arrives once, in
 * order, whole; and whoever found it empty may reuse its memory.
 */
#include "tests/model/relacy/production.h"

#define ENTRIES (INBOX_CELLS + 2)

struct inbox_transfer : rl::test_suite<inbox_transfer, 2> {
    struct inbox inbox;

    void before()
    {
        machine::build_inbox(&inbox);
    }

    void thread(unsigned index)
    {
        struct inbox_entry entry = {};
        for (unsigned n = 1; n <= ENTRIES;) {
            entry.ticket = n;
            if (index == 0 ? !inbox_try_push(&inbox, &entry) : !inbox_try_pop(&inbox, &entry)) {
                rl::yield(1, $);
                continue;
            }
            RL_ASSERT(entry.ticket == n);
            n++;
        }
    }
};

/* Producer and consumer stop; control waits until all was taken out. */
struct inbox_drained : rl::test_suite<inbox_drained, 3> {
    struct inbox inbox;

    void before()
    {
        machine::build_inbox(&inbox);
        struct inbox_entry entry = {};
        inbox_try_push(&inbox, &entry);
    }

    void thread(unsigned index)
    {
        struct inbox_entry entry = {};
        if (index == 0) {
            while (!inbox_try_pop(&inbox, &entry))
                rl::yield(1, $);
        } else if (index == 1) {
            uint32_t count;
            while ((count = inbox_count(&inbox)) > 0) {
                RL_ASSERT(count <= INBOX_CELLS);
                rl::yield(1, $);
            }
            inbox.cells[0].entry = entry;
        }
    }
};

bool run_inbox(const std::string &name, unsigned preemptions, bool is_quiet)
{
    if (name == "inbox_transfer")
        return run_suite<inbox_transfer>(name.c_str(), preemptions, is_quiet);
    return run_suite<inbox_drained>(name.c_str(), preemptions, is_quiet);
}
