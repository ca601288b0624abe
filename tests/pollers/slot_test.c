/* SPDX-License-Identifier: BSD-3-Clause */
/* The order in which slot.h stores, and that it stores nothing in a slot that was taken back: seen
 * instruction by instruction, with the other side acting between any two. */
#include "tests/support/page_tracer.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
/* after those, as it asks */
#include <cmocka.h>
#include <sys/mman.h>
#include <unistd.h>

#define STORES_MAX 8u

struct store {
    size_t offset;
    uint32_t state; /* of the slot, after the store */
    uint32_t kernel_handled;
    uint64_t value;
};

static struct page_tracer tracer;
static int descriptor;
static struct acrn_io_request *shadow; /* slot 0 as the requester sees it */
static struct store stores[STORES_MAX];
static uint32_t store_count;

/* The requester takes the slot back once this word was accessed so; SIZE_MAX: never. */
static size_t take_back_after;
static bool take_back_after_write;

static void after_access(struct page_tracer *active, size_t offset, bool is_write)
{
    (void)active;
    if (is_write && store_count < STORES_MAX)
        stores[store_count++] = (struct store){
            .offset = offset,
            .state = shadow->processed,
            .kernel_handled = shadow->kernel_handled,
            .value = shadow->reqs.mmio_request.value,
        };
    if (offset == take_back_after && is_write == take_back_after_write)
        shadow->processed = SLOT_FREE;
}

static int open_page(void **state)
{
    (void)state;
    descriptor = memfd_create("slot", MFD_CLOEXEC);
    if (descriptor < 0 || ftruncate(descriptor, PAGE_BYTES) < 0)
        return -1;
    shadow = mmap(NULL, PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, descriptor, 0);
    store_count = 0;
    take_back_after = SIZE_MAX;
    shadow->kernel_handled = 0x77;
    shadow->reqs.mmio_request.value = 0x5555555555555555;
    return 0;
}

static int close_page(void **state)
{
    (void)state;
    munmap(shadow, PAGE_BYTES);
    close(descriptor);
    return 0;
}

/* Within the test: cmocka has handlers of its own, which come after the setup. */
static struct acrn_io_request *trace(void)
{
    page_tracer_start(&tracer, descriptor, shadow);
    tracer.after = after_access;
    return (struct acrn_io_request *)(void *)tracer.traced;
}

#define STATE_OFFSET          offsetof(struct acrn_io_request, processed)
#define KERNEL_HANDLED_OFFSET offsetof(struct acrn_io_request, kernel_handled)
#define VALUE_OFFSET          offsetof(struct acrn_io_request, reqs.mmio_request.value)

static void kernel_handled_is_stored_before_processing(void **state)
{
    (void)state;
    struct acrn_io_request *slot = trace();
    for (uint32_t is_default = 0; is_default < 2; is_default++) {
        store_count = 0;
        shadow->processed = SLOT_PENDING;
        assert_true(slot_claim(slot, is_default));
        assert_int_equal(store_count, 2);
        assert_int_equal(stores[0].offset, KERNEL_HANDLED_OFFSET);
        assert_int_equal(stores[0].kernel_handled, !is_default);
        assert_int_equal(stores[0].state, SLOT_PENDING);
        assert_int_equal(stores[1].offset, STATE_OFFSET);
        assert_int_equal(stores[1].state, SLOT_PROCESSING);
        /* It stands there now, and is not stored again. */
        store_count = 0;
        shadow->processed = SLOT_PENDING;
        assert_true(slot_claim(slot, is_default));
        assert_int_equal(store_count, 1);
        assert_int_equal(stores[0].kernel_handled, !is_default);
        assert_int_equal(stores[0].state, SLOT_PROCESSING);
    }
    page_tracer_stop(&tracer);
}

static void value_is_stored_before_complete(void **state)
{
    (void)state;
    struct acrn_io_request *slot = trace();
    const uint32_t types[] = {REQUEST_PORTIO, REQUEST_MMIO, REQUEST_PCICFG, REQUEST_WP};
    const uint64_t expected[] = {0x5555555555667788, 0x1122334455667788, 0x5555555555667788,
                                 0x1122334455667788};
    for (size_t i = 0; i < 4; i++) {
        enum slot_state from = i % 2 ? SLOT_PENDING : SLOT_PROCESSING;
        store_count = 0;
        shadow->processed = from;
        shadow->reqs.mmio_request.value = 0x5555555555555555;
        assert_true(slot_complete(slot, from, true, types[i], 0x1122334455667788));
        assert_int_equal(store_count, 2);
        assert_int_equal(stores[0].offset, VALUE_OFFSET);
        assert_int_equal(stores[0].value, expected[i]);
        assert_int_equal(stores[0].state, from);
        assert_int_equal(stores[1].offset, STATE_OFFSET);
        assert_int_equal(stores[1].state, SLOT_COMPLETE);
    }
    page_tracer_stop(&tracer);
}

static void completed_write_stores_the_state_alone(void **state)
{
    (void)state;
    struct acrn_io_request *slot = trace();
    shadow->processed = SLOT_PROCESSING;
    assert_true(slot_complete(slot, SLOT_PROCESSING, false, REQUEST_MMIO, 0x1122334455667788));
    assert_int_equal(store_count, 1);
    assert_int_equal(stores[0].offset, STATE_OFFSET);
    assert_int_equal(stores[0].state, SLOT_COMPLETE);
    assert_int_equal(shadow->reqs.mmio_request.value, 0x5555555555555555);
    page_tracer_stop(&tracer);
}

static void lost_claim_stores_nothing(void **state)
{
    (void)state;
    struct acrn_io_request *slot = trace();
    const uint32_t states[] = {SLOT_FREE, SLOT_COMPLETE, SLOT_PROCESSING, 4, UINT32_MAX};
    for (size_t i = 0; i < 5; i++) {
        shadow->processed = states[i];
        struct acrn_io_request before = *shadow;
        assert_false(slot_claim(slot, false));
        assert_int_equal(store_count, 0);
        assert_memory_equal(shadow, &before, sizeof(before));
    }
    page_tracer_stop(&tracer);
}

/* Between the look and the swap: the look is all that can be too late. */
static void claim_that_is_lost_on_the_way_leaves_the_state(void **state)
{
    (void)state;
    struct acrn_io_request *slot = trace();
    const bool writes[] = {false, true};
    const size_t offsets[] = {STATE_OFFSET, KERNEL_HANDLED_OFFSET};
    for (size_t i = 0; i < 2; i++) {
        take_back_after = offsets[i];
        take_back_after_write = writes[i];
        shadow->processed = SLOT_PENDING;
        shadow->kernel_handled = 0;
        assert_false(slot_claim(slot, false));
        assert_int_equal(shadow->processed, SLOT_FREE);
        assert_int_equal(shadow->reqs.mmio_request.value, 0x5555555555555555);
    }
    page_tracer_stop(&tracer);
}

static void lost_completion_stores_nothing(void **state)
{
    (void)state;
    struct acrn_io_request *slot = trace();
    const uint32_t states[] = {SLOT_FREE, SLOT_COMPLETE, SLOT_PENDING, SLOT_PROCESSING,
                               4,         UINT32_MAX};
    for (size_t i = 0; i < 6; i++) {
        shadow->processed = states[i];
        struct acrn_io_request before = *shadow;
        if (states[i] != SLOT_PROCESSING)
            assert_false(slot_complete(slot, SLOT_PROCESSING, true, REQUEST_MMIO, 1));
        if (states[i] != SLOT_PENDING)
            assert_false(slot_complete(slot, SLOT_PENDING, true, REQUEST_MMIO, 1));
        assert_int_equal(store_count, 0);
        assert_memory_equal(shadow, &before, sizeof(before));
    }
    page_tracer_stop(&tracer);
}

static void completion_that_is_lost_on_the_way_leaves_the_state(void **state)
{
    (void)state;
    struct acrn_io_request *slot = trace();
    const bool writes[] = {false, true};
    const size_t offsets[] = {STATE_OFFSET, VALUE_OFFSET};
    for (size_t i = 0; i < 4; i++) {
        enum slot_state from = i < 2 ? SLOT_PENDING : SLOT_PROCESSING;
        take_back_after = offsets[i % 2];
        take_back_after_write = writes[i % 2];
        shadow->processed = from;
        assert_false(slot_complete(slot, from, true, REQUEST_MMIO, 1));
        assert_int_equal(shadow->processed, SLOT_FREE);
    }
    page_tracer_stop(&tracer);
}

static void bus_device_and_register_are_read_of_pcicfg_alone(void **state)
{
    (void)state;
    struct acrn_io_request *slot = trace();
    struct slot_copy copy;
    const size_t first = offsetof(struct acrn_io_request, reqs.pci_request.dev) / 4;
    shadow->type = REQUEST_MMIO;
    slot_copy_out(slot, &copy);
    for (size_t word = first; word < first + 3; word++)
        assert_int_equal(tracer.reads[word], 0);
    shadow->type = REQUEST_PCICFG;
    shadow->reqs.pci_request.dev = 1;
    shadow->reqs.pci_request.func = 2;
    shadow->reqs.pci_request.reg = 3;
    slot_copy_out(slot, &copy);
    for (size_t word = first; word < first + 3; word++)
        assert_int_equal(tracer.reads[word], 1);
    assert_int_equal(copy.dev, 1);
    assert_int_equal(copy.func, 2);
    assert_int_equal(copy.reg, 3);
    assert_int_equal(store_count, 0);
    page_tracer_stop(&tracer);
}

static void all_slots_are_freed(void **state)
{
    (void)state;
    struct acrn_io_request *slot = trace();
    memset(shadow, 0, PAGE_BYTES);
    slots_free_all(slot);
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        assert_int_equal(shadow[i].processed, SLOT_FREE);
    page_tracer_stop(&tracer);
}

#define SLOT_TEST(function) cmocka_unit_test_setup_teardown(function, open_page, close_page)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SLOT_TEST(kernel_handled_is_stored_before_processing),
        SLOT_TEST(value_is_stored_before_complete),
        SLOT_TEST(completed_write_stores_the_state_alone),
        SLOT_TEST(lost_claim_stores_nothing),
        SLOT_TEST(claim_that_is_lost_on_the_way_leaves_the_state),
        SLOT_TEST(lost_completion_stores_nothing),
        SLOT_TEST(completion_that_is_lost_on_the_way_leaves_the_state),
        SLOT_TEST(bus_device_and_register_are_read_of_pcicfg_alone),
        SLOT_TEST(all_slots_are_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
