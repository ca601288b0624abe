/* SPDX-License-Identifier: BSD-3-Clause */
/* What a requester can do wrong in a slot, row by row of tests/faults.md (page side). The number
 * in a test's name is the row. */
#include "tests/support/guest.h"

#include <errno.h>

static struct guest *one_vcpu(void)
{
    return guest_create((struct guest_options){.vcpus = 1});
}

static struct guest_access mmio_read(uint64_t address, uint64_t size)
{
    return (struct guest_access){REQUEST_MMIO, REQUEST_READ, address, size, 0};
}

static struct guest_access port_read(uint64_t address, uint64_t size)
{
    return (struct guest_access){REQUEST_PORTIO, REQUEST_READ, address, size, 0};
}

static void row01_unknown_type_reads_all_ones(void **state)
{
    (void)state;
    struct guest *guest = one_vcpu();
    const uint32_t invalid[] = {4, 7, 0xffffffff};
    for (size_t i = 0; i < 3; i++) {
        struct guest_access access = mmio_read(GUEST_MMIO, 4);
        access.type = invalid[i];
        assert_int_equal(guest_access(guest, access), 0xffffffff);
    }
    assert_int_equal(guest_counter(guest, PAGE_REQUESTS), 3);
    assert_int_equal(guest_counter(guest, (enum page_counter)REQUEST_FAULT_TYPE), 3);
    assert_int_equal(guest->device.calls, 0);
    guest_destroy(guest);
}

static void row01_wp_and_pcicfg_without_a_client_read_all_ones(void **state)
{
    (void)state;
    struct guest *guest = one_vcpu();
    struct guest_access access = mmio_read(GUEST_MMIO, 4);
    access.type = REQUEST_WP;
    assert_int_equal(guest_access(guest, access), 0xffffffff);
    access.type = REQUEST_PCICFG; /* bus in the value's upper half: 0; dev, func, reg: 0 */
    assert_int_equal(guest_access(guest, access), 0xffffffff);
    assert_int_equal(guest_counter(guest, PAGE_UNROUTED), 2);
    guest_destroy(guest);
}

static void wp_and_pcicfg_go_to_the_default_client(void **state)
{
    (void)state;
    struct guest *guest =
        guest_create((struct guest_options){.vcpus = 1, .has_default_client = true});
    struct guest_access access = {REQUEST_WP, REQUEST_WRITE, GUEST_MMIO, 8, 5};
    guest_access(guest, access);
    assert_int_equal(guest->default_device.last.type, REQUEST_WP);
    struct acrn_pci_request *pci = &guest->slots[0].reqs.pci_request;
    access = (struct guest_access){REQUEST_PCICFG, REQUEST_READ, 0, 2, 0};
    guest_ask(guest, 0, access);
    guest_set_state(guest, 0, SLOT_FREE);
    pci->bus = 2, pci->dev = 31, pci->func = 7, pci->reg = 0x10;
    guest_set_state(guest, 0, SLOT_PENDING);
    poller_round(guest->poller);
    assert_int_equal(guest->default_device.last.address, 2 << 20 | 31 << 15 | 7 << 12 | 0x10);
    assert_int_equal(pci->value, 0x7788);
    assert_int_equal(pci->bus, 2); /* a 32-bit answer */
    guest_destroy(guest);
}

static void row02_unknown_direction_reads_all_ones(void **state)
{
    (void)state;
    struct guest *guest = one_vcpu();
    const uint32_t invalid[] = {2, 0xffffffff};
    for (size_t i = 0; i < 2; i++) {
        struct guest_access access = mmio_read(GUEST_MMIO, 2);
        access.direction = invalid[i];
        assert_int_equal(guest_access(guest, access), 0xffff);
    }
    assert_int_equal(guest_counter(guest, (enum page_counter)REQUEST_FAULT_DIRECTION), 2);
    assert_int_equal(guest->device.calls, 0);
    guest_destroy(guest);
}

static void row03_no_bytes_read_zero_and_are_not_routed(void **state)
{
    (void)state;
    struct guest *guest =
        guest_create((struct guest_options){.vcpus = 1, .has_default_client = true});
    struct guest_access access = mmio_read(GUEST_MMIO, 0);
    access.value = 0x55;
    assert_int_equal(guest_access(guest, access), 0);
    assert_int_equal(guest_counter(guest, (enum page_counter)REQUEST_FAULT_EMPTY), 1);
    assert_int_equal(guest->device.calls + guest->default_device.calls, 0);
    guest_destroy(guest);
}

static void row04_odd_sizes_read_all_ones(void **state)
{
    (void)state;
    struct guest *guest = one_vcpu();
    const uint64_t sizes[] = {3, 5, 6, 7, 16, 255};
    const uint64_t ones[] = {0xffffff,         0xffffffffff, 0xffffffffffff,
                             0xffffffffffffff, UINT64_MAX,   UINT64_MAX};
    for (size_t i = 0; i < 6; i++)
        assert_int_equal(guest_access(guest, mmio_read(GUEST_MMIO, sizes[i])), ones[i]);
    assert_int_equal(guest_counter(guest, (enum page_counter)REQUEST_FAULT_SIZE), 6);
    assert_int_equal(guest->device.calls, 0);
    guest_destroy(guest);
}

static void row05_eight_bytes_at_a_port_read_all_ones(void **state)
{
    (void)state;
    struct guest *guest = one_vcpu();
    struct guest_access access = port_read(GUEST_PORT, 8);
    assert_int_equal((uint32_t)guest_access(guest, access), 0xffffffff);
    assert_int_equal(guest_counter(guest, (enum page_counter)REQUEST_FAULT_SIZE), 1);
    guest_destroy(guest);
}

static void row06_huge_sizes_read_all_ones(void **state)
{
    (void)state;
    struct guest *guest = one_vcpu();
    const uint64_t sizes[] = {1ull << 63, UINT64_MAX, UINT64_MAX - 255, 1ull << 32};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(guest_access(guest, mmio_read(GUEST_MMIO + 8, sizes[i])), UINT64_MAX);
    assert_int_equal(guest_counter(guest, (enum page_counter)REQUEST_FAULT_SIZE), 4);
    guest_destroy(guest);
}

static void row07_address_that_wraps_reads_all_ones(void **state)
{
    (void)state;
    struct guest *guest = one_vcpu();
    assert_int_equal(guest_access(guest, mmio_read(UINT64_MAX, 2)), 0xffff);
    assert_int_equal(guest_access(guest, mmio_read(UINT64_MAX - 6, 8)), UINT64_MAX);
    assert_int_equal(guest_counter(guest, (enum page_counter)REQUEST_FAULT_ADDRESS), 2);
    /* The last bytes there are do not wrap. */
    assert_int_equal(guest_access(guest, mmio_read(UINT64_MAX - 7, 8)), UINT64_MAX);
    assert_int_equal(guest_counter(guest, PAGE_UNROUTED), 1);
    guest_destroy(guest);
}

static void row08_port_beyond_the_port_space_reads_all_ones(void **state)
{
    (void)state;
    struct guest *guest = one_vcpu();
    const uint64_t ports[] = {0x10000, 0x100000000 + GUEST_PORT, 0xfffffffffffffff0, 0xffff};
    for (size_t i = 0; i < 4; i++)
        assert_int_equal((uint32_t)guest_access(guest, port_read(ports[i], 2)), 0xffff);
    assert_int_equal(guest_counter(guest, (enum page_counter)REQUEST_FAULT_ADDRESS), 4);
    assert_int_equal(guest->device.calls, 0);
    guest_destroy(guest);
}

static void row09_access_that_leaves_its_range_goes_to_the_default_client(void **state)
{
    (void)state;
    for (int has_default = 0; has_default < 2; has_default++) {
        struct guest *guest = guest_create(
            (struct guest_options){.vcpus = 1, .has_default_client = has_default == 1});
        const struct guest_access outside[] = {
            mmio_read(GUEST_MMIO + 0xffd, 4), /* last byte one past the range */
            mmio_read(GUEST_MMIO - 1, 2),     /* first byte one before */
            port_read(GUEST_PORT + 0xf, 2),
            port_read(GUEST_PORT - 1, 4),
        };
        for (size_t i = 0; i < 4; i++) {
            uint64_t expected = has_default ? GUEST_ANSWER : UINT64_MAX;
            uint64_t mask = request_ones((uint32_t)outside[i].size);
            assert_int_equal(guest_access(guest, outside[i]) & mask, expected & mask);
        }
        assert_int_equal(guest->device.calls, 0);
        assert_int_equal(guest->default_device.calls, has_default ? 4 : 0);
        assert_int_equal(guest_counter(guest, PAGE_UNROUTED), has_default ? 0 : 4);
        guest_destroy(guest);
    }
}

static void row10_without_any_client_the_sweep_goes_on(void **state)
{
    (void)state;
    struct guest *guest = guest_create((struct guest_options){.vcpus = 2});
    guest_ask(guest, 0, mmio_read(0x1000, 4));
    guest_ask(guest, 1, mmio_read(GUEST_MMIO, 4));
    poller_round(guest->poller);
    assert_int_equal(guest_state(guest, 0), SLOT_COMPLETE);
    assert_int_equal(guest_value(guest, 0), 0xffffffff);
    assert_int_equal(guest_state(guest, 1), SLOT_COMPLETE);
    assert_int_equal(guest_value(guest, 1), GUEST_ANSWER & 0xffffffff);
    guest_destroy(guest);
}

static void row11_slot_beyond_the_vcpus_is_never_written(void **state)
{
    (void)state;
    struct guest *guest = guest_create((struct guest_options){.vcpus = 3});
    for (uint32_t i = 3; i < SLOT_COUNT; i++)
        guest_ask(guest, i, mmio_read(GUEST_MMIO, 4));
    struct acrn_io_request before[SLOT_COUNT];
    memcpy(before, guest->slots, sizeof(before));
    for (int i = 0; i < 100; i++)
        poller_round(guest->poller);
    assert_memory_equal(before, guest->slots, sizeof(before));
    /* Counted once a slot, however often it is seen. */
    assert_int_equal(guest_counter(guest, PAGE_STRAY_SLOT), 13);
    assert_int_equal(guest_counter(guest, PAGE_REQUESTS), 0);
    guest_destroy(guest);
}

static void row12_vcpu_counts_that_do_not_fit_the_page_are_refused(void **state)
{
    (void)state;
    struct page *page = memory_allocate(sizeof(*page), MEMORY_ANY_NODE);
    assert_int_equal(page_init(page, 0, NULL, NULL), -EINVAL);
    assert_int_equal(page_init(page, 17, NULL, NULL), -EINVAL);
    assert_int_equal(page_init(page, 65535, NULL, NULL), -EINVAL);
    assert_int_equal(page_init(page, 16, NULL, NULL), 0);
    memory_free(page, sizeof(*page));
}

static void row13_unknown_states_are_counted_once_and_not_touched(void **state)
{
    (void)state;
    struct guest *guest = one_vcpu();
    const uint32_t odd[] = {4, 7, 0xffffffff};
    for (size_t i = 0; i < 3; i++) {
        guest_ask(guest, 0, mmio_read(GUEST_MMIO, 4));
        guest_set_state(guest, 0, odd[i]);
        for (int round = 0; round < (int)SLOT_COUNT; round++)
            poller_round(guest->poller);
        assert_int_equal(guest_state(guest, 0), odd[i]);
        assert_int_equal(guest_value(guest, 0), 0);
    }
    assert_int_equal(guest_counter(guest, PAGE_ODD_STATE), 3);
    assert_int_equal(guest->device.calls, 0);
    guest_destroy(guest);
}

/* A request in flight elsewhere: taken from the client's inbox, not yet answered. Its ticket. */
static uint64_t take_in_flight(struct guest *guest)
{
    guest_ask(guest, 0, mmio_read(GUEST_MMIO, 4));
    poller_round(guest->poller);
    assert_int_equal(guest_state(guest, 0), SLOT_PROCESSING);
    struct inbox_cell *cell = inbox_try_pop(guest->client.inbox);
    assert_non_null(cell);
    return cell->entry.ticket;
}

static void row14_pending_again_while_in_flight_is_not_dispatched_twice(void **state)
{
    (void)state;
    struct guest *guest = guest_create((struct guest_options){.vcpus = 1, .with_inbox = true});
    uint64_t ticket = take_in_flight(guest);
    guest_set_state(guest, 0, SLOT_PENDING);
    for (int i = 0; i < 10; i++)
        poller_round(guest->poller);
    assert_null(inbox_try_pop(guest->client.inbox));
    assert_int_equal(guest_counter(guest, PAGE_REQUESTS), 1);
    /* The first answer finds a slot that is not PROCESSING, and leaves it alone. */
    assert_false(page_settle(guest->page, 0, ticket, 1));
    assert_int_equal(guest_state(guest, 0), SLOT_PENDING);
    /* Then the new request has its turn. */
    poller_round(guest->poller);
    struct inbox_cell *cell = inbox_try_pop(guest->client.inbox);
    assert_non_null(cell);
    ticket = cell->entry.ticket;
    assert_true(page_settle(guest->page, 0, ticket, 7));
    assert_int_equal(guest_value(guest, 0), 7);
    guest_destroy(guest);
}

static void row15_slot_taken_back_in_flight_is_not_written(void **state)
{
    (void)state;
    const uint32_t states[] = {SLOT_FREE, SLOT_COMPLETE};
    for (size_t i = 0; i < 2; i++) {
        struct guest *guest = guest_create((struct guest_options){.vcpus = 1, .with_inbox = true});
        uint64_t ticket = take_in_flight(guest);
        guest_set_state(guest, 0, states[i]);
        struct acrn_io_request before = guest->slots[0];
        assert_false(page_settle(guest->page, 0, ticket, 0x1234));
        assert_memory_equal(&before, &guest->slots[0], sizeof(before));
        assert_int_equal(counter_read(&guest->page->settled[PAGE_DROPPED]), 1);
        assert_int_equal(page_in_flight(guest->page), 0);
        guest_destroy(guest);
    }
}

struct revoking_device {
    struct guest_device base;
    struct guest *guest;
    uint32_t state; /* what the other side makes of the slot meanwhile */
};

static int revoking_handle(struct device *device, struct request *request)
{
    struct revoking_device *revoking = (struct revoking_device *)device;
    guest_set_state(revoking->guest, request->vcpu, revoking->state);
    return guest_device_handle(device, request);
}

static uint32_t told;

static void note_told(struct device *device, const struct request *request)
{
    (void)device;
    (void)request;
    told++;
}

static void row15_slot_taken_back_under_a_prompt_device_is_not_written(void **state)
{
    (void)state;
    static const struct device_ops ops = {
        .name = "revoking", .handle = revoking_handle, .is_prompt = true, .completed = note_told};
    told = 0;
    const uint32_t states[] = {SLOT_FREE, SLOT_COMPLETE, SLOT_PROCESSING, 4, UINT32_MAX};
    for (size_t i = 0; i < 5; i++) {
        struct guest *guest = one_vcpu();
        struct revoking_device device = {.guest = guest, .state = states[i]};
        device.base.device.ops = &ops;
        guest->client.device = &device.base.device;
        guest_ask(guest, 0, mmio_read(GUEST_MMIO, 4));
        poller_round(guest->poller);
        assert_int_equal(guest_state(guest, 0), states[i]);
        assert_int_equal(guest_value(guest, 0), 0);
        assert_int_equal(device.base.calls, 1);
        assert_int_equal(guest_counter(guest, PAGE_REVOKED), 1);
        assert_int_equal(guest_counter(guest, PAGE_REQUESTS), 0);
        assert_int_equal(histogram_count(guest->client.latency), 0);
        assert_int_equal(page_in_flight(guest->page), 0);
        guest_destroy(guest);
    }
    assert_int_equal(told, 0); /* no doorbell rings for what was not answered */
}

static void a_ticket_settles_once(void **state)
{
    (void)state;
    struct guest *guest = guest_create((struct guest_options){.vcpus = 1, .with_inbox = true});
    uint64_t ticket = take_in_flight(guest);
    assert_true(page_settle(guest->page, 0, ticket, 0x1234));
    assert_int_equal(guest_value(guest, 0), 0x1234);
    guest_set_state(guest, 0, SLOT_PROCESSING); /* even if the page seems to ask for it */
    assert_false(page_settle(guest->page, 0, ticket, 0x5678));
    assert_int_equal(guest_value(guest, 0), 0x1234);
    guest_destroy(guest);
}

static void full_inbox_leaves_the_slot_pending(void **state)
{
    (void)state;
    struct guest *guest = guest_create((struct guest_options){.vcpus = 1, .with_inbox = true});
    struct inbox *inbox = guest->client.inbox;
    struct inbox_entry entry = {0};
    while (inbox_try_push(inbox, &entry))
        ;
    guest_ask(guest, 0, mmio_read(GUEST_MMIO, 4));
    poller_round(guest->poller);
    assert_int_equal(guest_state(guest, 0), SLOT_PENDING);
    assert_int_equal(guest_counter(guest, PAGE_INBOX_FULL), 1);
    assert_int_equal(guest_counter(guest, PAGE_REQUESTS), 0);
    struct inbox_cell *cell = inbox_try_pop(inbox);
    inbox_answer(cell);
    inbox_take(inbox, cell);
    poller_round(guest->poller);
    assert_int_equal(guest_state(guest, 0), SLOT_PROCESSING);
    guest_destroy(guest);
}

static void row19_zeroed_page_is_sixteen_invalid_reads(void **state)
{
    (void)state;
    struct guest *guest = guest_create((struct guest_options){.vcpus = 16});
    memset(guest->slots, 0, PAGE_BYTES);
    poller_round(guest->poller);
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        assert_int_equal(guest_state(guest, i), SLOT_COMPLETE);
        assert_int_equal(guest_value(guest, i), 0);
    }
    assert_int_equal(guest_counter(guest, (enum page_counter)REQUEST_FAULT_EMPTY), 16);
    guest_destroy(guest);
}

static void row20_reserved_and_preset_fields_have_no_effect(void **state)
{
    (void)state;
    struct guest *guest = one_vcpu();
    struct acrn_io_request *slot = &guest->slots[0];
    memset(slot->reserved0, 0xff, sizeof(slot->reserved0));
    slot->reserved1 = 0xffffffff;
    slot->kernel_handled = 0xffffffff;
    slot->reqs.mmio_request.reserved = 0xffffffff;
    assert_int_equal(guest_access(guest, mmio_read(GUEST_MMIO, 4)), GUEST_ANSWER & 0xffffffff);
    assert_int_equal(slot->kernel_handled, 1);
    assert_int_equal(slot->reserved1, 0xffffffff);
    guest_destroy(guest);
}

static void row20_requester_that_does_not_poll_is_counted(void **state)
{
    (void)state;
    struct guest *guest = one_vcpu();
    guest_ask(guest, 0, mmio_read(GUEST_MMIO, 4));
    guest_set_state(guest, 0, SLOT_FREE);
    guest->slots[0].completion_polling = 0;
    guest_set_state(guest, 0, SLOT_PENDING);
    poller_round(guest->poller);
    assert_int_equal(guest_state(guest, 0), SLOT_COMPLETE);
    assert_int_equal(counter_read(&guest->page->settled[PAGE_UNNOTIFIED]), 1);
    guest_destroy(guest);
}

static void kernel_handled_tells_the_default_client_from_the_others(void **state)
{
    (void)state;
    struct guest *guest =
        guest_create((struct guest_options){.vcpus = 1, .has_default_client = true});
    guest_access(guest, mmio_read(GUEST_MMIO, 4));
    assert_int_equal(guest->slots[0].kernel_handled, 1);
    guest_access(guest, mmio_read(0x1000, 4));
    assert_int_equal(guest->slots[0].kernel_handled, 0);
    guest_destroy(guest);
}

static void row21_answers_are_cut_to_the_size(void **state)
{
    (void)state;
    struct guest *guest = one_vcpu();
    guest->device.answer = UINT64_MAX;
    const uint64_t sizes[] = {1, 2, 4, 8};
    for (size_t i = 0; i < 4; i++) {
        struct guest_access access = mmio_read(GUEST_MMIO, sizes[i]);
        access.value = 0xabababababababab; /* stale */
        assert_int_equal(guest_access(guest, access), request_ones((uint32_t)sizes[i]));
        /* A device sees no stale value either. */
        assert_int_equal(guest->device.last.value, 0);
    }
    guest_destroy(guest);
}

static void row21_port_answers_are_32_bits_wide(void **state)
{
    (void)state;
    struct guest *guest = one_vcpu();
    struct guest_access access = port_read(GUEST_PORT, 4);
    access.value = 0xababababcdcdcdcd;
    assert_int_equal(guest_access(guest, access), 0xabababab00000000 | (GUEST_ANSWER & 0xffffffff));
    guest_destroy(guest);
}

static void writes_are_cut_to_the_size_and_leave_the_value(void **state)
{
    (void)state;
    struct guest *guest = one_vcpu();
    struct guest_access access = {REQUEST_MMIO, REQUEST_WRITE, GUEST_MMIO + 8, 2, 0x123456789};
    assert_int_equal(guest_access(guest, access), 0x123456789);
    assert_int_equal(guest->device.last.value, 0x6789);
    assert_int_equal(guest->device.last.offset, 8);
    guest_destroy(guest);
}

static void failing_device_is_answered_all_ones_and_counted(void **state)
{
    (void)state;
    struct guest *guest = one_vcpu();
    guest->device.result = -EIO;
    assert_int_equal(guest_access(guest, mmio_read(GUEST_MMIO, 4)), 0xffffffff);
    assert_int_equal(counter_read(&guest->client.errors), 1);
    assert_int_equal(guest->device.calls, 1);
    guest_destroy(guest);
}

static void row23_every_vcpu_has_one_turn_a_round(void **state)
{
    (void)state;
    struct guest *guest = guest_create((struct guest_options){.vcpus = 16});
    uint64_t answered[SLOT_COUNT] = {0};
    for (uint32_t round = 0; round < 1000; round++) {
        for (uint32_t i = 0; i < SLOT_COUNT; i++)
            if (guest_state(guest, i) == SLOT_FREE)
                guest_ask(guest, i, mmio_read(GUEST_MMIO + i * 8, 8));
        assert_int_equal(poller_round(guest->poller), 16);
        for (uint32_t i = 0; i < SLOT_COUNT; i++) {
            assert_int_equal(guest_state(guest, i), SLOT_COMPLETE);
            guest_set_state(guest, i, SLOT_FREE);
            answered[i]++;
        }
    }
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        assert_int_equal(answered[i], 1000);
    guest_destroy(guest);
}

static void row24_misaligned_access_reaches_the_device_unchanged(void **state)
{
    (void)state;
    struct guest *guest = one_vcpu();
    for (uint64_t offset = 1; offset < 8; offset++) {
        guest_access(guest, mmio_read(GUEST_MMIO + offset, 8));
        assert_int_equal(guest->device.last.address, GUEST_MMIO + offset);
        assert_int_equal(guest->device.last.offset, offset);
        assert_int_equal(guest->device.last.size_bytes, 8);
    }
    guest_destroy(guest);
}

static void settle_all_answers_what_is_in_flight_with_all_ones(void **state)
{
    (void)state;
    struct guest *guest = guest_create((struct guest_options){.vcpus = 1, .with_inbox = true});
    uint64_t ticket = take_in_flight(guest);
    assert_int_equal(page_settle_all(guest->page), 1);
    assert_int_equal(guest_state(guest, 0), SLOT_COMPLETE);
    assert_int_equal(guest_value(guest, 0), 0xffffffff);
    assert_false(page_settle(guest->page, 0, ticket, 1)); /* late */
    assert_int_equal(guest_value(guest, 0), 0xffffffff);
    guest_destroy(guest);
}

static void closed_page_abandons_what_is_in_flight(void **state)
{
    (void)state;
    struct guest *guest = guest_create((struct guest_options){.vcpus = 1, .with_inbox = true});
    uint64_t ticket = take_in_flight(guest);
    page_close(guest->page);
    assert_int_equal(page_in_flight(guest->page), 0);
    assert_false(page_settle(guest->page, 0, ticket, 1));
    assert_int_equal(guest_state(guest, 0), SLOT_PROCESSING); /* not written */
    guest_set_state(guest, 0, SLOT_PENDING);
    assert_int_equal(poller_round(guest->poller), 0);
    page_open(guest->page, guest->slots);
    assert_int_equal(guest_state(guest, 0), SLOT_FREE);
    guest_destroy(guest);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(row01_unknown_type_reads_all_ones),
        cmocka_unit_test(row01_wp_and_pcicfg_without_a_client_read_all_ones),
        cmocka_unit_test(wp_and_pcicfg_go_to_the_default_client),
        cmocka_unit_test(row02_unknown_direction_reads_all_ones),
        cmocka_unit_test(row03_no_bytes_read_zero_and_are_not_routed),
        cmocka_unit_test(row04_odd_sizes_read_all_ones),
        cmocka_unit_test(row05_eight_bytes_at_a_port_read_all_ones),
        cmocka_unit_test(row06_huge_sizes_read_all_ones),
        cmocka_unit_test(row07_address_that_wraps_reads_all_ones),
        cmocka_unit_test(row08_port_beyond_the_port_space_reads_all_ones),
        cmocka_unit_test(row09_access_that_leaves_its_range_goes_to_the_default_client),
        cmocka_unit_test(row10_without_any_client_the_sweep_goes_on),
        cmocka_unit_test(row11_slot_beyond_the_vcpus_is_never_written),
        cmocka_unit_test(row12_vcpu_counts_that_do_not_fit_the_page_are_refused),
        cmocka_unit_test(row13_unknown_states_are_counted_once_and_not_touched),
        cmocka_unit_test(row14_pending_again_while_in_flight_is_not_dispatched_twice),
        cmocka_unit_test(row15_slot_taken_back_in_flight_is_not_written),
        cmocka_unit_test(row15_slot_taken_back_under_a_prompt_device_is_not_written),
        cmocka_unit_test(a_ticket_settles_once),
        cmocka_unit_test(full_inbox_leaves_the_slot_pending),
        cmocka_unit_test(row19_zeroed_page_is_sixteen_invalid_reads),
        cmocka_unit_test(row20_reserved_and_preset_fields_have_no_effect),
        cmocka_unit_test(row20_requester_that_does_not_poll_is_counted),
        cmocka_unit_test(kernel_handled_tells_the_default_client_from_the_others),
        cmocka_unit_test(row21_answers_are_cut_to_the_size),
        cmocka_unit_test(row21_port_answers_are_32_bits_wide),
        cmocka_unit_test(writes_are_cut_to_the_size_and_leave_the_value),
        cmocka_unit_test(failing_device_is_answered_all_ones_and_counted),
        cmocka_unit_test(row23_every_vcpu_has_one_turn_a_round),
        cmocka_unit_test(row24_misaligned_access_reaches_the_device_unchanged),
        cmocka_unit_test(settle_all_answers_what_is_in_flight_with_all_ones),
        cmocka_unit_test(closed_page_abandons_what_is_in_flight),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
