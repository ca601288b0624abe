/* SPDX-License-Identifier: BSD-3-Clause */
/* Where a VM's page is: which keys go with which source, each problem at its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above. */
#include <cmocka.h>

#include "tests/config/fixture.h"

#define VM(keys)              \
    "pollers: [{name: rt}]\n" \
    "vms:\n"                  \
    "  - {name: guest, vcpus: 1, poller: rt, " keys "}\n"

static void sources_other_than_memfd_need_a_device(void **state)
{
    (void)state;
    REFUSED(VM("source: uio"),
            "test.yaml:3:5: no device; expected device: the name of a UIO device, or "
            "its PCI address\n");
    REFUSED(VM("source: vfio"),
            "test.yaml:3:5: no device; expected device: a PCI address such as 0000:00:05.0\n");
    REFUSED(VM("device: ivshmem"),
            "test.yaml:3:49: device: source memfd has none; expected source: uio, "
            "pci or vfio\n");
}

static void pci_addresses_are_as_the_kernel_writes_them(void **state)
{
    (void)state;
    static const char *const wrong[] = {"00:05.0",       "0000:00:05.00", "0000-00:05.0",
                                        "0000:00:0X.0",  "0000:00:0F.0",  "0000:00:05.",
                                        "../../../etc1", "ivshmem"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char text[256], expected[160];
        snprintf(text, sizeof(text), VM("source: pci, device: \"%s\""), wrong[i]);
        snprintf(expected, sizeof(expected), "test.yaml:3:62: device: '%s' is no PCI address",
                 wrong[i]);
        const char *const lines[] = {expected, NULL};
        refused(text, lines);
    }
}

static void interrupts_are_those_of_the_source(void **state)
{
    (void)state;
    REFUSED(
        VM("interrupt: msix"),
        "test.yaml:3:52: interrupt: not with this source; expected none, memfd has no device\n");
    REFUSED(
        VM("source: pci, device: \"0000:00:05.0\", interrupt: intx"),
        "interrupt: not with this source; expected none, pci has no interrupts: use uio or vfio\n");
    REFUSED(VM("source: uio, device: x, interrupt: msix"),
            "interrupt: not with this source; expected none, plain, write or pci with uio\n");
    REFUSED(VM("source: vfio, device: \"0000:00:05.0\", interrupt: write"),
            "interrupt: not with this source; expected none, intx or msix with vfio\n");
    REFUSED(VM("source: vfio, device: \"0000:00:05.0\", interrupt: intx, vector: 3"),
            "vector: of no use here; expected it with interrupt: msix\n");
}

static void interrupts_and_waiting_belong_together(void **state)
{
    (void)state;
    REFUSED(VM("source: uio, device: x, interrupt: write"),
            "interrupt: of no use to a poller that spins; expected wait_after, too\n");
    REFUSED(VM("source: uio, device: x, wait_after: 10us"),
            "wait_after: no interrupt would end the wait; expected interrupt, too\n");
    REFUSED(VM("source: pci, device: \"0000:00:05.0\", wait_after: 10us"),
            "wait_after: no interrupt would end the wait; expected source: uio or vfio\n");
}

static void notification_is_that_of_the_source(void **state)
{
    (void)state;
    REFUSED(
        VM("notify_by: doorbell"),
        "test.yaml:3:52: notify_by: not with this source; expected none, memfd has no device\n");
    REFUSED(VM("source: pci, device: \"0000:00:05.0\", notify_by: control"),
            "notify_by: not with this source; expected none or doorbell; control is uio's\n");
    REFUSED(VM("source: pci, device: \"0000:00:05.0\", notify_by: doorbell, notify_offset: 6"),
            "notify_offset: 6 is no multiple of 4; expected one\n");
    REFUSED(VM("source: uio, device: x, notify_by: control, notify_map: 2"),
            "notify_map: of no use here; expected it with notify_by: doorbell\n");
}

static void a_page_begins_on_a_page(void **state)
{
    (void)state;
    REFUSED(VM("source: uio, device: x, offset: 100"),
            "test.yaml:3:73: offset: 100 is no multiple of 4096; expected one\n");
    REFUSED(VM("source: uio, device: x, map: 6"),
            "test.yaml:3:70: map: '6' is out of range; expected a number from 0 to 5\n");
    REFUSED(VM("offset: 4KiB"),
            "offset: of no use here; expected it with source: uio, pci or vfio\n");
}

static void every_key_is_taken(void **state)
{
    (void)state;
    struct loaded loaded = loaded_text(
        VM("source: vfio, device: \"0000:00:05.0\", map: 2, offset: 8KiB, interrupt: msix, "
           "vector: 1, wait_after: 10us, notify_by: doorbell, notify_map: 1, notify_offset: 12, "
           "notify_value: "
           "0x10000, notify_step: 2"));
    assert_string_equal(loaded.report, "");
    const struct config_vm *vm = &loaded.config->vms[0];
    assert_int_equal(vm->source, CONFIG_SOURCE_VFIO);
    assert_string_equal(vm->place.device, "0000:00:05.0");
    assert_int_equal(vm->place.map, 2);
    assert_int_equal(vm->place.offset_bytes, 8192);
    assert_int_equal(vm->place.interrupt, CONFIG_INTERRUPT_MSIX);
    assert_int_equal(vm->place.vector, 1);
    assert_int_equal(vm->place.notify_by, CONFIG_NOTIFY_BY_DOORBELL);
    assert_int_equal(vm->place.notify_map, 1);
    assert_int_equal(vm->place.notify_offset_bytes, 12);
    assert_int_equal(vm->place.notify_value, 0x10000);
    assert_int_equal(vm->place.notify_step, 2);
    loaded_free(&loaded);
}

static void a_uio_device_has_a_name_or_an_address(void **state)
{
    (void)state;
    static const char *const good[] = {
        VM("source: uio, device: acrn-ioreq, wait_after: 10us, interrupt: write, notify_by: "
           "control"),
        VM("source: uio, device: \"0000:00:05.0\", wait_after: 10us, interrupt: pci"),
        VM("source: uio, device: uio_pci_generic, wait_after: 10us, interrupt: plain, map: 1"),
        VM("source: memfd, device: none, map: 0, offset: 0, interrupt: none"),
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        struct loaded loaded = loaded_text(good[i]);
        assert_string_equal(loaded.report, "");
        loaded_free(&loaded);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sources_other_than_memfd_need_a_device),
        cmocka_unit_test(pci_addresses_are_as_the_kernel_writes_them),
        cmocka_unit_test(interrupts_are_those_of_the_source),
        cmocka_unit_test(interrupts_and_waiting_belong_together),
        cmocka_unit_test(notification_is_that_of_the_source),
        cmocka_unit_test(a_page_begins_on_a_page),
        cmocka_unit_test(every_key_is_taken),
        cmocka_unit_test(a_uio_device_has_a_name_or_an_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
