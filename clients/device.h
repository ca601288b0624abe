/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device.h - the contract between the server and a device model. Copy devices/example.c to begin.
 *
 * Flow:    create (control) -> [reset, handle...] (poller) -> destroy (control). A client of the
 *          configuration owns one device; `options` below are the keys of its `options:` mapping.
 * Threads: handle() and reset() run on the poller the client lives on, never at the same time.
 *          create() and destroy() run on the control thread while no poller can reach the device.
 * Memory:  create() allocates; handle() and reset() must not. A device never sees the shared page.
 * Rules:   on a poller no system call, allocation, lock, log, division by a variable or unbounded
 *          loop. Bytes for a terminal or a file go into `output`, typed bytes come from `input`,
 *          bytes to be kept go into `image`; the control thread moves them.
 * Errors:  handle() returns 0, or a negative errno: the poller then answers all-ones (a write is
 *          dropped), counts an error of this client, and never asks again for that request.
 *
 * Misaligned accesses reach a device as the guest made them, with their exact address and size:
 * the policy is the same for every client, as on a bus that splits nothing. An answer wider than
 * the access is cut to its size by the poller.
 */
#ifndef CLIENTS_DEVICE_H
#define CLIENTS_DEVICE_H

#include "clients/byte_ring.h"
#include "clients/request.h"

#include <stdatomic.h>
#include <stddef.h>

/* ---- options: what a device takes from the configuration --------------------------------- */

enum device_option_kind {
    DEVICE_OPTION_NUMBER,  /* unsigned, decimal or 0x...; `minimum`..`maximum` */
    DEVICE_OPTION_SIZE,    /* bytes, with an optional KiB, MiB or GiB; `minimum`..`maximum` */
    DEVICE_OPTION_BOOL,    /* true or false */
    DEVICE_OPTION_STRING,  /* any text */
    DEVICE_OPTION_CHOICE,  /* one of `choices` */
    DEVICE_OPTION_STREAM,  /* none, stdio, pty, pty:LINK, file:PATH - see `stream` below */
    DEVICE_OPTION_RECORDS, /* a list of mappings whose keys are `fields` */
};

struct device_option {
    const char *name;
    enum device_option_kind kind;
    bool required;
    const char *default_text; /* as it would stand in the file; NULL: 0, false, "" or no records */
    uint64_t minimum;         /* NUMBER, SIZE */
    uint64_t maximum;
    const char *const *choices;         /* CHOICE: NULL-terminated */
    const struct device_option *fields; /* RECORDS: field_count of them, none of kind RECORDS */
    size_t field_count;
    const char *help; /* one line: meaning, unit, reason */
};

/* The value of one option; which member is set follows from the option's kind. */
struct device_value {
    uint64_t number;    /* NUMBER, SIZE (bytes), BOOL (0 or 1), CHOICE (index into choices) */
    const char *string; /* STRING, STREAM; valid only during create() */
    /* RECORDS: record_count arrays of field_count values, in the order of `fields`. */
    const struct device_value *const *records;
    size_t record_count;
};

/* ---- what a device is given -------------------------------------------------------------- */

struct device_range {
    uint64_t first; /* inclusive */
    uint64_t last;  /* inclusive */
    uint32_t type;  /* REQUEST_PORTIO, REQUEST_MMIO or REQUEST_PCICFG */
};

struct device_setup {
    const struct device_value *values; /* [option_count], defaults filled in */
    const struct device_range *ranges; /* [range_count], as configured; request.range_index */
    size_t range_count;
    uint64_t ticks_per_second; /* rate of request.arrival_ticks */
    uint64_t start_ticks;      /* time-stamp counter at the instant of wall_clock_s */
    int64_t wall_clock_s;      /* host time, seconds since 1970 UTC; read once, never again */
    char *error;               /* create(): one line why it failed, for the operator */
    size_t error_bytes;
};

/* ---- what a device is -------------------------------------------------------------------- */

struct device;

struct device_ops {
    const char *name;                    /* the `device:` key of a client */
    const char *summary;                 /* one line */
    const struct device_option *options; /* [option_count] */
    size_t option_count;

    /* Allocates and sets *device, whose `ops` it fills in. 0, or a negative errno with
     * setup->error written and nothing left behind. */
    int (*create)(const struct device_setup *setup, struct device **device);
    /* Power-on state; keeps what a battery would keep. Called before the first request. */
    void (*reset)(struct device *device);
    /* Serves one request. On a read sets request->value. */
    int (*handle)(struct device *device, struct request *request);
    /* handle() is back within a microsecond or so, whatever it is asked. On the poller that sweeps its VM its
     * requests are answered as they stand, without a claim (slot.h). What the requester took back meanwhile
     * it has been asked for, and is not told `completed` of. */
    bool is_prompt;
    /* NULL, or called after the answer is out: for what must not come before it, as a doorbell's
     * ring. On the poller, like handle(), which must be the one that sweeps the VM. */
    void (*completed)(struct device *device, const struct request *request);
    /* NULL: it has no interrupt line. Now and then, on its poller: sets the line to what came without
     * an access, by `ticks` or through input. */
    void (*tend)(struct device *device, uint64_t ticks);
    void (*destroy)(struct device *device);
};

/* Bytes that outlive the process: the device stores bytes and then adds 1 to generation
 * (release); the control thread sees the generation change (acquire) and writes the file. */
struct device_image {
    const char *path; /* owned by the device */
    size_t size_bytes;
    _Atomic uint64_t generation;
    _Atomic uint8_t bytes[];
};

/* An interrupt line of a device, on its poller. */
struct device_line {
    void (*change)(void *context, bool is_high); /* whenever it does; NULL: nobody hears */
    void *context;
    bool is_high;
    _Atomic bool is_clocked; /* it may rise by the time alone: tend is called every few ms */
};

/* First member of every device. All pointers are owned by the device and fixed after create(). */
struct device {
    const struct device_ops *ops;
    const char *stream;         /* where output goes and input comes from; NULL: neither */
    struct byte_ring *output;   /* device pushes, control pops; NULL: none */
    struct byte_ring *input;    /* control pushes, device pops; NULL: none */
    struct device_image *image; /* NULL: nothing to keep */
    struct device_line line;    /* of those that have ops->tend */
};

static inline void device_set_line(struct device *device, bool is_high)
{
    if (is_high == device->line.is_high)
        return;
    device->line.is_high = is_high;
    if (device->line.change)
        device->line.change(device->line.context, is_high);
}

/* All device kinds, NULL-terminated; devices/devices.c. */
extern const struct device_ops *const device_kinds[];

/* The kind of that name, or NULL. */
const struct device_ops *device_kind_find(const char *name);

/* For create(): writes one line into setup->error and returns -error. The line names the option
 * and the remedy; who reads it knows the client already. */
int device_refuse(const struct device_setup *setup, int error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
