/* SPDX-License-Identifier: BSD-3-Clause */
/* A device in a process of its own, written with libioreq: here are its options only. Its requests go
 * through a channel (process_port.h); handle() is what a client without one would answer. */
#include "clients/devices/devices.h"
#include "clients/process_port.h"

#include <errno.h>
#include <stdlib.h>

#define DEADLINE_US_MIN 50u
#define DEADLINE_US_MAX 50000u

enum { OPTION_DEADLINE, OPTION_LATE, OPTION_LATE_VALUE, OPTION_QUARANTINE, OPTION_DEATH };

static const char *const late_choices[] = {
    [LATE_ONES] = "ones",
    [LATE_LAST] = "last",
    [LATE_VALUE] = "value",
    NULL,
};
static const char *const death_choices[] = {"fail", "reissue", NULL};

static const struct device_option options[] = {
    [OPTION_DEADLINE] = {.name = "deadline_us",
                         .kind = DEVICE_OPTION_NUMBER,
                         .default_text = "10000",
                         .maximum = DEADLINE_US_MAX,
                         .help = "microseconds the process has for a request, 50 or more; 0: any "
                                 "time"},
    [OPTION_LATE] = {.name = "late",
                     .kind = DEVICE_OPTION_CHOICE,
                     .default_text = "ones",
                     .choices = late_choices,
                     .help = "what a read gets that is not answered in time: all-ones, the last "
                             "answer to that address, or late_value"},
    [OPTION_LATE_VALUE] = {.name = "late_value",
                           .kind = DEVICE_OPTION_NUMBER,
                           .default_text = "0",
                           .maximum = UINT64_MAX,
                           .help = "with late: value - cut to the size of the access"},
    [OPTION_QUARANTINE] = {.name = "quarantine_after",
                           .kind = DEVICE_OPTION_NUMBER,
                           .default_text = "8",
                           .maximum = 1000000,
                           .help = "missed deadlines, then it is answered for at once until it "
                                   "registers anew; 0: never"},
    [OPTION_DEATH] = {.name = "on_death",
                      .kind = DEVICE_OPTION_CHOICE,
                      .default_text = "fail",
                      .choices = death_choices,
                      .help = "requests that a process took before it died: fail answers them as "
                              "late ones; reissue asks its successor again"},
};

static int process_create(const struct device_setup *setup, struct device **device)
{
    uint64_t deadline_us = setup->values[OPTION_DEADLINE].number;
    if (deadline_us > 0 && deadline_us < DEADLINE_US_MIN)
        return device_refuse(setup, EINVAL, "deadline_us: %u; expected 0, or %u to %u",
                             (unsigned)deadline_us, DEADLINE_US_MIN, DEADLINE_US_MAX);
    struct process_device *created = calloc(1, sizeof(*created));
    if (!created)
        return device_refuse(setup, ENOMEM, "no memory for the device");
    created->device.ops = &device_process;
    created->policy = (struct process_policy){
        .deadline_ticks = deadline_us * setup->ticks_per_second / 1000000,
        .late = (enum late_kind)setup->values[OPTION_LATE].number,
        .late_value = setup->values[OPTION_LATE_VALUE].number,
        .quarantine_after = setup->values[OPTION_QUARANTINE].number,
        .reissues = setup->values[OPTION_DEATH].number == 1,
    };
    *device = &created->device;
    return 0;
}

static void process_reset(struct device *device)
{
    (void)device; /* what there is to reset is in the process */
}

static int process_handle(struct device *device, struct request *request)
{
    (void)device;
    if (request_is_read(request))
        request->value = request_ones(request->size_bytes);
    return 0;
}

static void process_destroy(struct device *device)
{
    free(device);
}

const struct device_ops device_process = {
    .name = "process",
    .summary = "a device in a process of its own, by libioreq",
    .options = options,
    .option_count = sizeof(options) / sizeof(options[0]),
    .create = process_create,
    .reset = process_reset,
    .handle = process_handle,
    .destroy = process_destroy,
};
