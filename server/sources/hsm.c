/* SPDX-License-Identifier: BSD-3-Clause */
/* The page of a VM in Linux's ACRN driver: hsm_device.h behind the contract of sources. */
#include "server/sources/source.h"

#include "server/sources/hsm_device.h"
#include "server/sources/hsm_watch.h"

#include <errno.h>
#include <string.h>

static int hsm_open(struct page_source *source, char *reason)
{
    const struct config_place *place = source->place;
    const struct hsm_options options = {
        .path = place->device,
        .vcpus = place->vcpus,
        .cpu_affinity = place->cpu_affinity,
        .is_direct = place->direct,
    };
    struct hsm *hsm = NULL;
    int result = 0;
    bool is_kept = source->handed && source->handed[0] >= 0 && source->handed[1] >= 0;
    if (place->hsm_vm == CONFIG_HSM_VM_CREATED && is_kept)
        result = hsm_adopt(&options, source->handed[0], source->handed[1], &hsm, reason,
                           SOURCE_REASON_BYTES);
    else if (place->hsm_vm == CONFIG_HSM_VM_CREATED)
        result = hsm_create(&options, &hsm, reason, SOURCE_REASON_BYTES);
    else if (source->handed)
        result = hsm_take_over(&options, source->handed[0], source->handed[1], &hsm, reason,
                               SOURCE_REASON_BYTES);
    else
        result = source_fail(-ENOTCONN, reason, "no device model has handed its VM over");
    source->state = hsm;
    return result;
}

static int hsm_map(struct page_source *source, char *reason)
{
    (void)reason;
    source->slots = hsm_slots(source->state);
    return 0;
}

static int hsm_upcall(struct page_source *source, struct upcall *upcall, char *reason)
{
    const struct hsm_watch *watch;
    int result = hsm_wait(source->state, &watch);
    if (result < 0)
        return source_fail(result, reason, "no thread to wait in the driver: %s",
                           strerror(-result));
    *upcall = (struct upcall){
        .descriptor = hsm_watch_arrival(watch),
        .read_bytes = UPCALL_EVENTFD_BYTES,
        .rearm_descriptor = hsm_watch_rearm(watch),
        .rearm_bytes = 1,
        .rearm_value = 1,
    };
    return 0;
}

/* Polling vCPUs too: COMPLETE is the driver's. */
static int hsm_notify(struct page_source *source, uint32_t vcpu, struct notify_target *target,
                      char *reason)
{
    (void)vcpu;
    (void)reason;
    *target = (struct notify_target){
        .kind = NOTIFY_CALL, .descriptor = -1, .call = hsm_tell, .context = source->state};
    return 0;
}

static int hsm_source_check(struct page_source *source, char *reason)
{
    int result = hsm_check(source->state);
    return result == 0
               ? 0
               : source_fail(result, reason,
                             "its VM in the ACRN driver, or our place as its default client, was "
                             "destroyed by somebody else");
}

static void hsm_close(struct page_source *source)
{
    hsm_destroy(source->state);
}

const struct page_source_kind source_hsm = {
    .name = "hsm",
    .has_driver = true,
    .open = hsm_open,
    .map = hsm_map,
    .upcall = hsm_upcall,
    .notify = hsm_notify,
    .check = hsm_source_check,
    .close = hsm_close,
};
