/* SPDX-License-Identifier: BSD-3-Clause */
/* The keys of a VM of Linux's ACRN driver: what goes with it and what does not. */
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
    "  - {name: guest, vcpus: 3, poller: rt, " keys "}\n"

static void its_keys_are_refused_elsewhere(void **state)
{
    (void)state;
    REFUSED(VM("hsm_vm: handed_over"),
            "test.yaml:3:49: hsm_vm: of no use here; expected it with source: hsm\n");
    REFUSED(VM("source: pci, device: \"0000:00:05.0\", direct: true"),
            "direct: of no use here; expected it with source: hsm\n");
    REFUSED(VM("source: hsm, hsm_vm: taken"), "hsm_vm: 'taken'");
}

static void keys_of_other_sources_are_refused(void **state)
{
    (void)state;
    REFUSED(VM("source: hsm, interrupt: intx"),
            "interrupt: not with this source; expected none, hsm has the driver's\n");
    REFUSED(VM("source: hsm, notify_by: doorbell"),
            "notify_by: not with this source; expected none, hsm has the driver's\n");
    REFUSED(VM("source: hsm, map: 2"),
            "map: of no use here; expected it with source: uio, pci or vfio\n");
    REFUSED(VM("source: hsm, device: acrn"), "test.yaml:3:62: device: 'acrn' is no path; expected");
}

static void direct_never_waits(void **state)
{
    (void)state;
    REFUSED(VM("source: hsm, direct: true, wait_after: 10us"),
            "test.yaml:3:62: direct: with wait_after the driver would never let the poller wait");
}

static void every_key_is_taken(void **state)
{
    (void)state;
    struct loaded loaded = loaded_text(VM("source: hsm"));
    assert_string_equal(loaded.report, "");
    const struct config_vm *vm = &loaded.config->vms[0];
    assert_int_equal(vm->source, CONFIG_SOURCE_HSM);
    assert_int_equal(vm->place.hsm_vm, CONFIG_HSM_VM_CREATED);
    assert_string_equal(vm->place.device, "/dev/acrn_hsm");
    assert_false(vm->place.direct);
    assert_int_equal(vm->place.cpu_affinity, 0);
    loaded_free(&loaded);

    loaded = loaded_text(VM("source: hsm, hsm_vm: handed_over, direct: true, device: /dev/other, "
                            "vcpu_cpus: \"2-4,70\""));
    assert_string_equal(loaded.report, "");
    vm = &loaded.config->vms[0];
    assert_int_equal(vm->place.hsm_vm, CONFIG_HSM_VM_HANDED_OVER);
    assert_string_equal(vm->place.device, "/dev/other");
    assert_true(vm->place.direct);
    assert_int_equal(vm->place.vcpus, 3);
    assert_int_equal(vm->place.cpu_affinity, 0x1c);
    loaded_free(&loaded);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(its_keys_are_refused_elsewhere),
        cmocka_unit_test(keys_of_other_sources_are_refused),
        cmocka_unit_test(direct_never_waits),
        cmocka_unit_test(every_key_is_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
