/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * inbox.cpp - entries through an inbox that is shorter than their number: each arrives once, in
 * order, whole, and its answer comes back; what is abandoned is not asked, or not listened to; and
 * whoever found it empty may reuse its memory.
 */
#include "tests/model/relacy/production.h"

#define ENTRIES (INBOX_CAPACITY + 2)

struct inbox_transfer : rl::test_suite<inbox_transfer, 2> {
    struct inbox inbox;

    void before()
    {
        machine::build_inbox(&inbox);
    }

    void thread(unsigned index)
    {
        index == 0 ? produce() : consume();
    }

    void produce()
    {
        struct inbox_cell *cells[INBOX_CAPACITY];
        for (unsigned pushed = 0, taken = 0; taken < ENTRIES;) {
            struct inbox_entry entry = {};
            entry.ticket = pushed + 1;
            struct inbox_cell *cell = pushed < ENTRIES ? inbox_try_push(&inbox, &entry) : NULL;
            if (cell) {
                cells[pushed++ % INBOX_CAPACITY] = cell;
                continue;
            }
            cell = cells[taken % INBOX_CAPACITY];
            if (!inbox_is_answered(cell)) {
                rl::yield(1, $);
                continue;
            }
            RL_ASSERT(cell->entry.seen()->request.value == expected_answer(++taken));
            inbox_take(&inbox, cell);
        }
    }

    void consume()
    {
        for (unsigned n = 1; n <= ENTRIES;) {
            struct inbox_cell *cell = inbox_try_pop(&inbox);
            if (!cell) {
                rl::yield(1, $);
                continue;
            }
            struct inbox_entry *entry = &cell->entry.written();
            RL_ASSERT(entry->ticket == n);
            entry->request.value = expected_answer(n++);
            inbox_answer(cell);
        }
    }
};

/* The first entry is settled without its answer: nobody listens to one, and its cell is used again once
 * the consumer has let go of it. */
struct inbox_revoked : rl::test_suite<inbox_revoked, 2> {
    struct inbox inbox;

    void before()
    {
        machine::build_inbox(&inbox);
    }

    void thread(unsigned index)
    {
        index == 0 ? produce() : consume();
    }

    void produce()
    {
        struct inbox_cell *cells[3];
        for (unsigned n = 0; n < 3; n++) {
            struct inbox_entry entry = {};
            entry.ticket = n;
            while (!(cells[n] = inbox_try_push(&inbox, &entry)))
                rl::yield(1, $);
            if (n == 0)
                inbox_abandon(&inbox, cells[n]);
        }
        for (unsigned n = 1; n < 3; n++) {
            while (!inbox_is_answered(cells[n]))
                rl::yield(1, $);
            RL_ASSERT(cells[n]->entry.seen()->request.value == expected_answer(n));
            inbox_take(&inbox, cells[n]);
        }
    }

    void consume()
    {
        for (unsigned last = 0; last < 2;) {
            struct inbox_cell *cell = inbox_try_pop(&inbox);
            if (!cell) {
                rl::yield(1, $);
                continue;
            }
            struct inbox_entry *entry = &cell->entry.written();
            RL_ASSERT(entry->ticket == 0 || entry->ticket == last + 1);
            last = (unsigned)entry->ticket;
            entry->request.value = expected_answer(last);
            inbox_answer(cell);
        }
    }
};

/* Producer and consumer stop; control waits until all was answered. */
struct inbox_drained : rl::test_suite<inbox_drained, 2> {
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
        struct inbox_cell *cell;
        if (index == 0) {
            while (!(cell = inbox_try_pop(&inbox)))
                rl::yield(1, $);
            cell->entry = entry;
            inbox_answer(cell);
        } else {
            while (inbox_count(&inbox) > 0)
                rl::yield(1, $);
            inbox.cells[0].entry = entry;
        }
    }
};

bool run_inbox(const std::string &name, unsigned preemptions, bool is_quiet)
{
    if (name == "inbox_transfer")
        return run_suite<inbox_transfer>(name.c_str(), preemptions, is_quiet);
    if (name == "inbox_revoked")
        return run_suite<inbox_revoked>(name.c_str(), preemptions, is_quiet);
    return run_suite<inbox_drained>(name.c_str(), preemptions, is_quiet);
}
