/* SPDX-License-Identifier: BSD-3-Clause */
/* What a VM of source hsm has beside the others: load.h. */
#include "config/load.h"
#include "config/tables.h"

#include <string.h>

/* In a VM of another source it would be taken for something that works. */
static void refuse_elsewhere(struct load *load, const struct schema_value *value, const char *key)
{
    if (value->is_valid && value->number != 0)
        problems_add(&load->problems, value->mark,
                     "%s: of no use here; expected it with source: hsm", key);
}

static uint64_t affinity_of(const struct config_vm *vm)
{
    uint64_t bits = 0;
    for (size_t i = 0; i < vm->vcpu_cpu_count; i++)
        if (vm->vcpu_cpus[i] < 64)
            bits |= UINT64_C(1) << vm->vcpu_cpus[i];
    return bits;
}

void hsm_read(struct load *load, const struct schema_value *values, struct config_vm *vm)
{
    struct config_place *place = &vm->place;
    if (!values[VM_SOURCE].is_valid)
        return;
    if (vm->source != CONFIG_SOURCE_HSM) {
        refuse_elsewhere(load, &values[VM_HSM_VM], "hsm_vm");
        refuse_elsewhere(load, &values[VM_DIRECT], "direct");
        return;
    }
    place->hsm_vm = (enum config_hsm_vm)values[VM_HSM_VM].number;
    place->direct = values[VM_DIRECT].number != 0;
    place->vcpus = vm->vcpus;
    place->cpu_affinity = affinity_of(vm);
    if (!place->device || strcmp(place->device, NO_DEVICE_WORD) == 0)
        place->device = HSM_DEVICE_WORD;
    else if (values[VM_DEVICE].is_valid && place->device[0] != '/')
        problems_add(&load->problems, values[VM_DEVICE].mark,
                     "device: '%s' is no path; expected that of the ACRN driver's device, as a "
                     "rule " HSM_DEVICE_WORD,
                     place->device);
    if (place->direct && vm->wait_after_ns > 0)
        problems_add(
            &load->problems, values[VM_DIRECT].mark,
            "direct: with wait_after the driver would never let the poller wait, for its bits "
            "stay set; expected direct: false, or wait_after: 0us");
}
