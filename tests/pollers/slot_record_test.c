/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers/slot_record.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* after those, as it asks */
#include <cmocka.h>

static void zero_is_no_phase(void **state)
{
    (void)state;
    static struct slot_record zeroed;
    assert_false(slot_record_is_idle(&zeroed));
}

static void stale_ticket_loses(void **state)
{
    (void)state;
    struct slot_record record;
    slot_record_init_at(&record, 0);
    uint64_t first = slot_record_open(&record);
    assert_false(slot_record_is_idle(&record));
    assert_true(slot_record_win(&record, first));
    assert_false(slot_record_win(&record, first));
    assert_false(slot_record_is_idle(&record)); /* not before the slot is written */
    slot_record_close(&record, first);
    assert_true(slot_record_is_idle(&record));
    uint64_t second = slot_record_open(&record);
    assert_int_not_equal(first, second);
    assert_false(slot_record_win(&record, first));
    assert_true(slot_record_win(&record, second));
}

#define ROUNDS 20000u

struct race {
    struct slot_record record;
    _Atomic uint64_t ticket;
    _Atomic uint32_t wins;
    uint64_t written; /* by winners only, guarded by the record */
};

static void *race_main(void *argument)
{
    struct race *race = argument;
    uint64_t last = 0;
    for (;;) {
        uint64_t ticket = atomic_load_explicit(&race->ticket, memory_order_acquire);
        if (ticket == UINT64_MAX)
            return NULL;
        if (ticket == last) {
            sched_yield();
            continue;
        }
        last = ticket;
        if (!slot_record_win(&race->record, ticket))
            continue;
        race->written++;
        atomic_fetch_add(&race->wins, 1);
        slot_record_close(&race->record, ticket);
    }
}

static void of_two_settlers_one_wins(void **state)
{
    (void)state;
    struct race race = {.ticket = 0};
    slot_record_init_at(&race.record, 0);
    pthread_t threads[2];
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, race_main, &race), 0);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        uint64_t ticket = slot_record_open(&race.record);
        atomic_store_explicit(&race.ticket, ticket, memory_order_release);
        while (!slot_record_is_idle(&race.record))
            sched_yield();
        assert_int_equal(race.written, round + 1);
    }
    atomic_store_explicit(&race.ticket, UINT64_MAX, memory_order_release);
    for (int i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(race.wins, ROUNDS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zero_is_no_phase),
        cmocka_unit_test(stale_ticket_loses),
        cmocka_unit_test(of_two_settlers_one_wins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
