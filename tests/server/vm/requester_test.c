/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers/ticks.h"
#include "server/vm/requester.h"
#include "tests/support/vm_fake_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/syscall.h>

#include <cmocka.h>

static struct fake_machine machine;

static int attach(const struct fake_server *server, struct requester **requester)
{
    char error[512] = "";
    int result = requester_attach(server->socket_path, "guest", requester, error, sizeof(error));
    if (result != 0) {
        assert_true(strlen(error) > 10);
        assert_null(strchr(error, '\n'));
    }
    return result;
}

static void start(struct fake_server *server, uint32_t vcpu_count)
{
    memset(&machine, 0, sizeof(machine));
    server->vcpu_count = vcpu_count;
    server->answer = fake_machine_answer;
    server->context = &machine;
    fake_server_start(server);
}

static void attach_without_a_server_fails(void **state)
{
    (void)state;
    struct requester *requester;
    char error[256];
    assert_int_equal(
        requester_attach("/tmp/ioreqd-test-nobody", "guest", &requester, error, sizeof(error)),
        -ENOENT);
    assert_non_null(strstr(error, "start ioreqd"));
}

static void attach_passes_the_servers_refusal_on(void **state)
{
    (void)state;
    struct requester *requester;
    struct fake_server server = {.refusal = "error 16 pid 7 plays it\n", .passes_nothing = true};
    start(&server, 1);
    assert_int_equal(attach(&server, &requester), -EBUSY);
    fake_server_stop(&server);
}

static void attach_refuses_replies_without_a_usable_page(void **state)
{
    (void)state;
    struct requester *requester;
    const struct fake_server odd[] = {
        {.passes_nothing = true},
        {.passes_twice = true},
        {.is_unsealed = true},
        {.refusal = "ok vcpus=0\n"},
        {.refusal = "ok vcpus=17\n"},
        {.refusal = "ok vcpus=1x\n"},
        {.refusal = "ok vcpus=\n"},
        {.refusal = "ok poller_cpu=1 vcpus=1\n"},
        {.refusal = "ok vcpus=1 poller_cpu=\n"},
        {.refusal = "ok vcpus=1 poller_cpu=-1\n"},
        {.refusal = "ok vcpus=1 poller_cpu=1x\n"},
        {.refusal = "ok vcpus=1 poller_cpu=1024\n"},
        {.refusal = "ok vcpus=99999999999999999999999\n"},
        {.refusal = "ok\n"},
        {.refusal = "what?\n"},
        {.refusal = "\n"},
        {.refusal = "error 2 with a page that nobody wants\n"},
    };
    for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++) {
        struct fake_server server = odd[i];
        start(&server, 1);
        assert_true(attach(&server, &requester) < 0);
        fake_server_stop(&server);
    }
}

static void attach_tells_the_vcpu_count(void **state)
{
    (void)state;
    struct requester *requester;
    struct fake_server server = {0};
    start(&server, 16);
    assert_int_equal(attach(&server, &requester), 0);
    assert_int_equal(requester_vcpu_count(requester), 16);
    assert_false(requester_is_over(requester));
    requester_detach(requester);
    fake_server_stop(&server);
}

static void attach_tells_the_pollers_cpu(void **state)
{
    (void)state;
    static const struct {
        const char *more;
        uint32_t cpu;
    } replies[] = {
        {NULL, REQUESTER_CPU_UNKNOWN},
        {" poller_cpu=7", 7},
        {" colour=green poller_cpu=1023 size=2", 1023},
        {" my_poller_cpu=7", REQUESTER_CPU_UNKNOWN},
    };
    for (size_t i = 0; i < sizeof(replies) / sizeof(replies[0]); i++) {
        struct requester *requester;
        struct fake_server server = {.more = replies[i].more};
        start(&server, 3);
        assert_int_equal(attach(&server, &requester), 0);
        assert_int_equal(requester_vcpu_count(requester), 3);
        assert_int_equal(requester_poller_cpu(requester), replies[i].cpu);
        requester_detach(requester);
        fake_server_stop(&server);
    }
}

static void reads_and_writes_reach_the_server(void **state)
{
    (void)state;
    struct requester *requester;
    struct fake_server server = {0};
    start(&server, 2);
    assert_int_equal(attach(&server, &requester), 0);
    struct requester_access write = {
        .address = 0xfe000010,
        .value = 0x1122334455667788,
        .size_bytes = 8,
        .type = REQUEST_MMIO,
        .direction = REQUEST_WRITE,
    };
    struct requester_access read = write;
    read.direction = REQUEST_READ;
    read.value = 0xdead;
    assert_int_equal(requester_access(requester, 0, &write), 0);
    assert_int_equal(requester_access(requester, 1, &read), 0);
    assert_int_equal(write.value, 0x1122334455667788);
    assert_int_equal(read.value, 0x1122334455667788);

    struct requester_access port = {.address = 0x402, .size_bytes = 1, .type = REQUEST_PORTIO};
    assert_int_equal(requester_access(requester, 0, &port), 0);
    assert_int_equal(port.value, 0xe9);
    requester_detach(requester);
    fake_server_stop(&server);
}

struct seen {
    struct fake_server server;
    struct acrn_io_request slot; /* as it stood when the server saw it */
};

static void answer_with_a_copy(void *context, uint32_t vcpu, struct requester_access *access)
{
    struct seen *seen = context;
    (void)vcpu;
    seen->slot = seen->server.slots[0];
    access->value = 0xffffffff12345678;
}

static void slot_is_filled_as_the_hypervisor_does(void **state)
{
    (void)state;
    struct requester *requester;
    struct seen seen = {
        .server = {.vcpu_count = 1, .answer = answer_with_a_copy, .context = &seen},
    };
    fake_server_start(&seen.server);
    assert_int_equal(attach(&seen.server, &requester), 0);

    struct requester_access port = {.address = 0x1f0, .size_bytes = 2, .type = REQUEST_PORTIO};
    fake_server_sync(&seen.server);
    assert_int_equal(requester_access(requester, 0, &port), 0);
    fake_server_sync(&seen.server);
    assert_int_equal(seen.slot.type, ACRN_IOREQ_TYPE_PORTIO);
    assert_int_equal(seen.slot.completion_polling, 1);
    assert_int_equal(seen.slot.reqs.pio_request.direction, ACRN_IOREQ_DIR_READ);
    assert_int_equal(seen.slot.reqs.pio_request.address, 0x1f0);
    assert_int_equal(seen.slot.reqs.pio_request.size, 2);
    assert_int_equal(port.value, 0x12345678); /* 32 bits are the whole value of port I/O */

    struct requester_access pci = {
        .address = 0x12ull << 20 | 0x1full << 15 | 5ull << 12 | 0xabc,
        .size_bytes = 4,
        .type = REQUEST_PCICFG,
    };
    fake_server_sync(&seen.server);
    assert_int_equal(requester_access(requester, 0, &pci), 0);
    fake_server_sync(&seen.server);
    assert_int_equal(seen.slot.type, ACRN_IOREQ_TYPE_PCICFG);
    assert_int_equal(seen.slot.reqs.pci_request.bus, 0x12);
    assert_int_equal(seen.slot.reqs.pci_request.dev, 0x1f);
    assert_int_equal(seen.slot.reqs.pci_request.func, 5);
    assert_int_equal(seen.slot.reqs.pci_request.reg, 0xabc);

    struct requester_access odd = {
        .address = UINT64_MAX, .size_bytes = 1ull << 63, .type = 7, .direction = 9};
    fake_server_sync(&seen.server);
    assert_int_equal(requester_access(requester, 0, &odd), 0);
    fake_server_sync(&seen.server);
    assert_int_equal(seen.slot.type, 7);
    assert_int_equal(seen.slot.reqs.mmio_request.direction, 9);
    assert_int_equal(seen.slot.reqs.mmio_request.address, UINT64_MAX);
    assert_int_equal(seen.slot.reqs.mmio_request.size, 1ull << 63);
    assert_int_equal(slot_state(&seen.server.slots[0]), SLOT_FREE);
    requester_detach(requester);
    fake_server_stop(&seen.server);
}

static void slot_that_is_not_free_is_refused(void **state)
{
    (void)state;
    struct requester *requester;
    struct fake_server server = {0};
    start(&server, 2);
    assert_int_equal(attach(&server, &requester), 0);
    atomic_store(&server.holds, true);
    struct requester_access read = {.address = 0x402, .size_bytes = 1};
    const uint32_t states[] = {SLOT_COMPLETE, SLOT_PROCESSING, SLOT_PENDING, 4, UINT32_MAX};
    for (size_t i = 0; i < sizeof(states) / sizeof(states[0]); i++) {
        __atomic_store_n(&server.slots[1].processed, states[i], __ATOMIC_RELEASE);
        assert_int_equal(requester_access(requester, 1, &read), -EPROTO);
        assert_int_equal(slot_state(&server.slots[1]), states[i]);
    }
    __atomic_store_n(&server.slots[1].processed, SLOT_FREE, __ATOMIC_RELEASE);
    requester_detach(requester);
    fake_server_stop(&server);
}

static void vcpu_beyond_the_page_is_refused(void **state)
{
    (void)state;
    struct requester *requester;
    struct fake_server server = {0};
    start(&server, 2);
    assert_int_equal(attach(&server, &requester), 0);
    struct requester_access read = {.address = 0x402, .size_bytes = 1};
    assert_int_equal(requester_access(requester, 2, &read), -EINVAL);
    assert_int_equal(requester_access(requester, UINT32_MAX, &read), -EINVAL);
    requester_detach(requester);
    fake_server_stop(&server);
}

struct waiter {
    struct requester *requester;
    uint32_t vcpu;
    int result;
    pthread_t thread;
};

static void *wait_for_answer(void *argument)
{
    struct waiter *waiter = argument;
    struct requester_access read = {.address = 0x402, .size_bytes = 1};
    waiter->result = requester_access(waiter->requester, waiter->vcpu, &read);
    return NULL;
}

/* Lets two vCPUs wait for answers that never come, ends it by `end`, and wants -ESHUTDOWN. */
static void check_waiting_ends(void (*end)(struct fake_server *, struct requester *))
{
    struct requester *requester;
    struct fake_server server = {0};
    start(&server, 2);
    assert_int_equal(attach(&server, &requester), 0);
    atomic_store(&server.holds, true);
    struct waiter waiters[2];
    for (uint32_t i = 0; i < 2; i++) {
        waiters[i] = (struct waiter){.requester = requester, .vcpu = i};
        assert_int_equal(pthread_create(&waiters[i].thread, NULL, wait_for_answer, &waiters[i]), 0);
        while (__atomic_load_n(&server.slots[i].processed, __ATOMIC_ACQUIRE) != SLOT_PENDING)
            sched_yield();
    }
    end(&server, requester);
    for (uint32_t i = 0; i < 2; i++) {
        pthread_join(waiters[i].thread, NULL);
        assert_int_equal(waiters[i].result, -ESHUTDOWN);
    }
    assert_true(requester_is_over(requester));
    struct requester_access later = {.address = 0x402, .size_bytes = 1};
    assert_int_equal(requester_access(requester, 0, &later), -ESHUTDOWN);
    requester_detach(requester);
    fake_server_stop(&server);
}

static void end_by_cut(struct fake_server *server, struct requester *requester)
{
    (void)requester;
    atomic_store(&server->cuts, true);
}

static void end_by_stop(struct fake_server *server, struct requester *requester)
{
    (void)server;
    requester_stop(requester);
}

static void server_that_vanishes_ends_every_wait(void **state)
{
    (void)state;
    check_waiting_ends(end_by_cut);
}

static void stop_ends_every_wait(void **state)
{
    (void)state;
    check_waiting_ends(end_by_stop);
}

static void hear_nothing(void *context, const char *line, int descriptor)
{
    (void)context;
    (void)line;
    if (descriptor >= 0)
        close(descriptor);
}

static void count_again(void *context)
{
    atomic_fetch_add((_Atomic uint32_t *)context, 1);
}

/* Whatever the last server said holds no more: told once for each that comes. */
static void next_server_is_told_of(void **state)
{
    (void)state;
    _Atomic uint32_t again = 0;
    const struct requester_listener listener = {
        .line = hear_nothing, .again = count_again, .context = &again};
    struct fake_server server = {.vcpu_count = 1,
                                 .more = " kept=1",
                                 .passes_once = true,
                                 .answer = fake_machine_answer,
                                 .context = &machine};
    struct requester *requester;
    char error[256];
    fake_server_start(&server);
    assert_int_equal(requester_attach_listening(server.socket_path, "guest", &listener, &requester,
                                                error, sizeof(error)),
                     0);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(atomic_load(&again), i);
        atomic_store(&server.cuts, true);
        while (atomic_load(&again) == i)
            sched_yield();
    }
    assert_false(requester_is_over(requester));
    requester_detach(requester);
    fake_server_stop(&server);
}

/* Takes the C library's place: when the watched thread yielded first, and how often. */
static _Thread_local bool is_watched;
static uint64_t first_yield_ticks;
static _Atomic uint64_t yield_count;
static _Atomic bool is_answered;

int sched_yield(void)
{
    if (is_watched && atomic_fetch_add(&yield_count, 1) == 0)
        first_yield_ticks = ticks_now();
    return (int)syscall(SYS_sched_yield);
}

static void *release_after_two_yields(void *argument)
{
    struct fake_server *server = argument;
    while (atomic_load(&yield_count) < 2 && !atomic_load(&is_answered))
        sched_yield();
    atomic_store(&server->holds, false);
    return NULL;
}

static void wait_spins_for_50_us_and_yields_from_then_on(void **state)
{
    (void)state;
    struct requester *requester;
    struct fake_server server = {0};
    start(&server, 1);
    assert_int_equal(attach(&server, &requester), 0);
    is_watched = true;
    /* Repeated: any number of turns takes 50 us when this thread is held up. */
    for (int i = 0; i < 20; i++) {
        struct requester_access read = {.address = 0x402, .size_bytes = 1};
        pthread_t releaser;
        atomic_store(&server.holds, true);
        atomic_store(&yield_count, 0);
        atomic_store(&is_answered, false);
        assert_int_equal(pthread_create(&releaser, NULL, release_after_two_yields, &server), 0);
        uint64_t begin_ticks = ticks_now();
        assert_int_equal(requester_access(requester, 0, &read), 0);
        atomic_store(&is_answered, true);
        pthread_join(releaser, NULL);
        /* A server that looked just before it was to hold has answered without a yield. */
        assert_true(atomic_load(&yield_count) == 0 ||
                    ticks_to_ns(first_yield_ticks - begin_ticks) >= 49000);
    }
    is_watched = false;
    requester_detach(requester);
    fake_server_stop(&server);
}

static void all_vcpus_at_once_get_their_own_answers(void **state)
{
    (void)state;
    enum { ROUNDS = 200, VCPUS = 16 };
    struct requester *requester;
    struct fake_server server = {0};
    start(&server, VCPUS);
    assert_int_equal(attach(&server, &requester), 0);
    /* One thread plays them in turn; the threads of waiting vCPUs are tested above. */
    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (uint32_t vcpu = 0; vcpu < VCPUS; vcpu++) {
            struct requester_access access = {
                .address = 0xfe000000 + 8 * vcpu,
                .value = round * 1000 + vcpu,
                .size_bytes = 8,
                .type = REQUEST_MMIO,
                .direction = REQUEST_WRITE,
            };
            assert_int_equal(requester_access(requester, vcpu, &access), 0);
            access.direction = REQUEST_READ;
            access.value = 0;
            assert_int_equal(requester_access(requester, vcpu, &access), 0);
            assert_int_equal(access.value, round * 1000 + vcpu);
        }
    }
    requester_detach(requester);
    fake_server_stop(&server);
}

static void attach_and_detach_leak_nothing(void **state)
{
    (void)state;
    struct fake_server server = {0};
    start(&server, 1);
    int before = dup(0);
    close(before);
    for (int i = 0; i < 50; i++) {
        struct requester *requester;
        assert_int_equal(attach(&server, &requester), 0);
        requester_detach(requester);
    }
    struct fake_server refusing = {.refusal = "what?\n"};
    start(&refusing, 1);
    for (int i = 0; i < 50; i++) {
        struct requester *requester;
        assert_true(attach(&refusing, &requester) < 0);
    }
    fake_server_stop(&refusing);
    fake_server_stop(&server);
    int after = dup(0);
    close(after);
    assert_true(after <= before); /* the lowest free descriptor is where it was */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(attach_without_a_server_fails),
        cmocka_unit_test(attach_passes_the_servers_refusal_on),
        cmocka_unit_test(attach_refuses_replies_without_a_usable_page),
        cmocka_unit_test(attach_tells_the_vcpu_count),
        cmocka_unit_test(attach_tells_the_pollers_cpu),
        cmocka_unit_test(reads_and_writes_reach_the_server),
        cmocka_unit_test(slot_is_filled_as_the_hypervisor_does),
        cmocka_unit_test(slot_that_is_not_free_is_refused),
        cmocka_unit_test(vcpu_beyond_the_page_is_refused),
        cmocka_unit_test(server_that_vanishes_ends_every_wait),
        cmocka_unit_test(stop_ends_every_wait),
        cmocka_unit_test(next_server_is_told_of),
        cmocka_unit_test(wait_spins_for_50_us_and_yields_from_then_on),
        cmocka_unit_test(all_vcpus_at_once_get_their_own_answers),
        cmocka_unit_test(attach_and_detach_leak_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
