/* SPDX-License-Identifier: BSD-3-Clause */
/* Budgets of clients and VMs: what a greedy one does, the others do not wait for. No clock decides here:
 * a period lasts until the test ends it. */
#include "tests/support/world.h"

#include "server/budgets.h"

#define GREEDY  (WORLD_MMIO)
#define MODEST  (WORLD_MMIO + 0x1000)
#define FOREVER 10000000000ull
#define VCPUS   4u
#define LAST    (VCPUS - 1) /* the modest vCPU */

struct fixture {
    struct world world;
    struct vm *vm;
    struct vm_client *greedy, *modest;
    struct world_device greedy_device, modest_device;
};

static void fixture_init(struct fixture *fixture, uint32_t greedy_poller)
{
    world_create(&fixture->world, WORLD_POLLERS);
    fixture->vm = world_vm(&fixture->world, "vm", VCPUS);
    fixture->greedy = world_client(fixture->vm, "greedy", greedy_poller, &fixture->greedy_device);
    fixture->modest = world_client(fixture->vm, "modest", 0, &fixture->modest_device);
    world_range(fixture->greedy, REQUEST_MMIO, GREEDY, GREEDY + 0xfff);
    world_range(fixture->modest, REQUEST_MMIO, MODEST, MODEST + 0xfff);
}

static struct config_budget requests_of(uint64_t requests, enum config_budget_action action)
{
    return (struct config_budget){.requests = requests, .period_ns = FOREVER, .action = action};
}

static void give(struct fixture *fixture, struct config_budget budget)
{
    assert_int_equal(vm_client_set_budget(fixture->greedy, &budget), 0);
}

/* A vCPU that asks again as soon as it is answered. Returns how often it was. */
static uint32_t press(struct fixture *fixture, uint32_t vcpu, uint64_t address)
{
    uint32_t state = world_state(fixture->vm, vcpu);
    if (state == SLOT_PENDING || state == SLOT_PROCESSING)
        return 0;
    world_ask(fixture->vm, vcpu, world_read(REQUEST_MMIO, address, 8));
    return state == SLOT_COMPLETE;
}

/* All but the last vCPU ask the greedy client in each round, the last one the modest one. */
static void rounds_of_greed(struct fixture *fixture, uint32_t rounds)
{
    for (uint32_t round = 0; round < rounds; round++) {
        for (uint32_t vcpu = 0; vcpu < LAST; vcpu++)
            press(fixture, vcpu, GREEDY);
        press(fixture, LAST, MODEST);
        world_round(&fixture->world);
        assert_int_equal(world_state(fixture->vm, LAST), SLOT_COMPLETE); /* in the same round */
    }
}

static void end_period(struct budget *budget, struct vm *vm)
{
    budget->end_ticks = ticks_now();
    vm->page->held_until_ticks = ticks_now();
}

/* ---- the arithmetic ---------------------------------------------------------------------- */

static void budget_of_requests_is_over_until_its_period_is(void **state)
{
    (void)state;
    /* Across the end of the counter. */
    uint64_t now = UINT64_MAX - 5;
    struct budget budget = {.limits = {.ticks = UINT64_MAX, .requests = 2, .period_ticks = 10},
                            .end_ticks = now};
    assert_false(budget_is_over(&budget, now));
    budget_charge(&budget, 1, 1);
    assert_false(budget_is_over(&budget, now + 1));
    budget_charge(&budget, 1, 1);
    assert_true(budget_is_over(&budget, now + 2));
    assert_true(budget_is_over(&budget, now + 9));
    assert_false(budget_is_over(&budget, now + 10));
    assert_int_equal(budget.overruns, 1);
    assert_int_equal(budget.most_requests, 2);
    assert_int_equal(budget.excess_ticks, 0);
}

static void budget_of_time_is_exceeded_by_its_last_request_only(void **state)
{
    (void)state;
    struct budget budget = {.limits = {.ticks = 100, .requests = UINT64_MAX, .period_ticks = 1000}};
    assert_false(budget_is_over(&budget, 5000));
    budget_charge(&budget, 99, 1);
    assert_false(budget_is_over(&budget, 5099));
    budget_charge(&budget, 70, 1);
    assert_true(budget_is_over(&budget, 5169));
    assert_int_equal(budget.excess_ticks, 69);
    assert_int_equal(budget.most_ticks, 169);
    assert_false(budget_is_over(&budget, 6000));
    assert_int_equal(budget.used_ticks, 0); /* nothing is carried over */
}

/* ---- clients ----------------------------------------------------------------------------- */

static void counted_client_is_served_on(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 0);
    give(&fixture, requests_of(5, CONFIG_BUDGET_COUNT));
    rounds_of_greed(&fixture, 10);
    assert_int_equal(fixture.greedy_device.calls, 30);
    assert_int_equal(fixture.greedy->budget.overruns, 1);
    assert_int_equal(fixture.greedy->budget.most_requests, 30);
    assert_int_equal(fixture.greedy->budget.held_back, 0);
    world_destroy(&fixture.world);
}

static void deprioritised_client_waits_and_nobody_waits_for_it(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 0);
    give(&fixture, requests_of(5, CONFIG_BUDGET_DEPRIORITISE));
    const uint64_t periods = 20;
    for (uint64_t period = 1; period <= periods; period++) {
        rounds_of_greed(&fixture, 10);
        assert_int_equal(fixture.greedy_device.calls, 5 * period);
        end_period(&fixture.greedy->budget, fixture.vm);
    }
    const struct budget *budget = vm_client_budget(fixture.greedy);
    assert_int_equal(fixture.modest_device.calls, 10 * periods);
    assert_int_equal(budget->most_requests, 5);
    assert_int_equal(budget->overruns, periods);
    /* Three wait at most, and each is looked at once a period, not once a sweep. */
    assert_true(budget->held_back > 0 && budget->held_back <= 3 * periods);
    world_destroy(&fixture.world);
}

static void quarantined_client_is_answered_for_at_once(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 0);
    give(&fixture, requests_of(3, CONFIG_BUDGET_QUARANTINE));
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(world_do(&fixture.world, fixture.vm, world_read(REQUEST_MMIO, GREEDY, 4)),
                         WORLD_ANSWER & UINT32_MAX);
    assert_int_equal(world_do(&fixture.world, fixture.vm, world_read(REQUEST_MMIO, GREEDY, 4)),
                     UINT32_MAX);
    assert_int_equal(fixture.greedy_device.calls, 3);
    assert_int_equal(fixture.greedy->budget.answered_for, 1);
    end_period(&fixture.greedy->budget, fixture.vm);
    assert_int_equal(world_do(&fixture.world, fixture.vm, world_read(REQUEST_MMIO, GREEDY, 8)),
                     WORLD_ANSWER);
    world_destroy(&fixture.world);
}

/* Takes its time: 2^16 ticks. */
static int dawdle(void *context, struct request *request)
{
    uint64_t begin = ticks_now();
    while (ticks_now() - begin < 1u << 16)
        ticks_pause();
    return world_handle(context, request);
}

static void slow_client_takes_its_share_and_one_request(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 0);
    struct vm_client *slow;
    struct world_device device = {.answer = WORLD_ANSWER};
    const struct vm_client_options options = {.name = "slow", .handle = dawdle, .context = &device};
    assert_int_equal(vm_client_create(fixture.vm, &options, &slow), 0);
    world_range(slow, REQUEST_MMIO, WORLD_MMIO + 0x2000, WORLD_MMIO + 0x2fff);
    const struct config_budget budget = {.time_ns = ticks_to_ns(1u << 15),
                                         .period_ns = FOREVER,
                                         .action = CONFIG_BUDGET_DEPRIORITISE};
    assert_int_equal(vm_client_set_budget(slow, &budget), 0);
    for (uint32_t round = 0; round < 5; round++) {
        for (uint32_t vcpu = 0; vcpu < LAST; vcpu++)
            press(&fixture, vcpu, WORLD_MMIO + 0x2000);
        press(&fixture, LAST, MODEST);
        world_round(&fixture.world);
        assert_int_equal(world_state(fixture.vm, LAST), SLOT_COMPLETE);
    }
    assert_int_equal(device.calls, 1);
    assert_int_equal(slow->budget.most_requests, 1);
    assert_true(slow->budget.excess_ticks > 0);
    assert_int_equal(slow->budget.excess_ticks,
                     slow->budget.most_ticks - slow->budget.limits.ticks);
    world_destroy(&fixture.world);
}

static void clients_on_another_poller_have_budgets_there(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 1);
    give(&fixture, requests_of(2, CONFIG_BUDGET_DEPRIORITISE));
    for (uint64_t period = 1; period <= 5; period++) {
        rounds_of_greed(&fixture, 10);
        assert_int_equal(fixture.greedy_device.calls, 2 * period);
        end_period(&fixture.greedy->budget, fixture.vm);
    }
    assert_int_equal(vm_client_budget(fixture.greedy)->most_requests, 2);
    assert_true(vm_client_budget(fixture.greedy)->held_back > 0);
    give(&fixture, requests_of(2, CONFIG_BUDGET_QUARANTINE));
    rounds_of_greed(&fixture, 20); /* a request takes two: there and back */
    assert_int_equal(fixture.greedy_device.calls, 12);
    assert_true(vm_client_budget(fixture.greedy)->answered_for >= 25);
    world_destroy(&fixture.world);
}

/* ---- VMs --------------------------------------------------------------------------------- */

/* Malformed and unrouted requests take their time, too. */
static void vm_pays_for_what_nobody_answers(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 0);
    const struct config_budget budget = requests_of(3, CONFIG_BUDGET_DEPRIORITISE);
    assert_int_equal(vm_set_budget(fixture.vm, &budget), 0);
    for (uint32_t i = 0; i < 3; i++)
        world_do(&fixture.world, fixture.vm, world_read(REQUEST_MMIO, i, i));
    world_ask(fixture.vm, 0, world_read(REQUEST_MMIO, 0, 3));
    for (uint32_t i = 0; i < 5; i++)
        world_round(&fixture.world);
    assert_int_equal(world_state(fixture.vm, 0), SLOT_PENDING);
    end_period(&fixture.vm->page->own_budget, fixture.vm);
    assert_int_equal(world_await(&fixture.world, fixture.vm, 0), 0xffffff);
    world_destroy(&fixture.world);
}

static void periods_of_a_counted_client_end_as_well(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 0);
    give(&fixture, requests_of(2, CONFIG_BUDGET_COUNT));
    for (uint32_t period = 1; period <= 3; period++) {
        rounds_of_greed(&fixture, 1);
        assert_int_equal(fixture.greedy->budget.overruns, period);
        end_period(&fixture.greedy->budget, fixture.vm);
    }
    assert_int_equal(fixture.greedy->budget.most_requests, 3);
    world_destroy(&fixture.world);
}

static void greedy_vm_waits_and_another_does_not(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 0);
    struct vm *other = world_vm(&fixture.world, "other", 1);
    struct world_device device;
    world_range(world_client(other, "client", 0, &device), REQUEST_MMIO, WORLD_MMIO,
                WORLD_MMIO + 0xfff);
    const struct config_budget budget = requests_of(4, CONFIG_BUDGET_DEPRIORITISE);
    assert_int_equal(vm_set_budget(fixture.vm, &budget), 0);
    for (uint64_t round = 0; round < 50; round++) {
        for (uint32_t vcpu = 0; vcpu < VCPUS; vcpu++)
            press(&fixture, vcpu, vcpu == LAST ? MODEST : GREEDY);
        world_ask(other, 0, world_read(REQUEST_MMIO, WORLD_MMIO, 8));
        world_round(&fixture.world);
        assert_int_equal(world_state(other, 0), SLOT_COMPLETE);
    }
    assert_int_equal(device.calls, 50);
    assert_int_equal(fixture.greedy_device.calls + fixture.modest_device.calls, 4);
    assert_int_equal(vm_budget(fixture.vm)->most_requests, 4);
    assert_int_equal(vm_budget(fixture.vm)->held_back, VCPUS); /* then nobody looks */
    end_period(&fixture.vm->page->own_budget, fixture.vm);
    world_round(&fixture.world);
    assert_int_equal(fixture.greedy_device.calls + fixture.modest_device.calls, 8);
    world_destroy(&fixture.world);
}

static void reset_answers_what_is_held(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 0);
    give(&fixture, requests_of(1, CONFIG_BUDGET_DEPRIORITISE));
    assert_int_equal(world_do(&fixture.world, fixture.vm, world_read(REQUEST_MMIO, GREEDY, 8)),
                     WORLD_ANSWER);
    world_ask(fixture.vm, 0, world_read(REQUEST_MMIO, GREEDY, 8));
    world_round(&fixture.world);
    assert_int_equal(world_state(fixture.vm, 0), SLOT_PENDING);
    assert_int_equal(vm_reset_begin(fixture.vm), 0);
    assert_int_equal(world_await(&fixture.world, fixture.vm, 0), UINT64_MAX);
    assert_true(vm_clear_poll(fixture.vm) >= 0);
    world_destroy(&fixture.world);
}

static void budget_that_is_taken_away_frees_what_is_held(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_init(&fixture, 0);
    assert_false(fixture.vm->page->has_budgets);
    give(&fixture, requests_of(1, CONFIG_BUDGET_DEPRIORITISE));
    assert_true(fixture.vm->page->has_budgets);
    rounds_of_greed(&fixture, 3);
    assert_int_equal(fixture.greedy_device.calls, 1);
    give(&fixture, requests_of(0, CONFIG_BUDGET_DEPRIORITISE));
    assert_false(fixture.vm->page->has_budgets);
    assert_null(vm_client_budget(fixture.greedy));
    world_round(&fixture.world);
    assert_int_equal(fixture.greedy_device.calls, 4);
    world_destroy(&fixture.world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(budget_of_requests_is_over_until_its_period_is),
        cmocka_unit_test(budget_of_time_is_exceeded_by_its_last_request_only),
        cmocka_unit_test(counted_client_is_served_on),
        cmocka_unit_test(deprioritised_client_waits_and_nobody_waits_for_it),
        cmocka_unit_test(quarantined_client_is_answered_for_at_once),
        cmocka_unit_test(slow_client_takes_its_share_and_one_request),
        cmocka_unit_test(clients_on_another_poller_have_budgets_there),
        cmocka_unit_test(periods_of_a_counted_client_end_as_well),
        cmocka_unit_test(vm_pays_for_what_nobody_answers),
        cmocka_unit_test(greedy_vm_waits_and_another_does_not),
        cmocka_unit_test(reset_answers_what_is_held),
        cmocka_unit_test(budget_that_is_taken_away_frees_what_is_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
