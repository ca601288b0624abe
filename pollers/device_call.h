/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device_call.h - a poller asks a device, and what is noted of it, inline for the loop.
 *
 * Flow:    ask_device -> the answer goes out -> note_answered, note_busy.
 * Threads: the poller that the client lives on.
 * Errors:  a device that fails is answered for with all-ones, and after too many failures asked no more.
 */
#ifndef POLLERS_DEVICE_CALL_H
#define POLLERS_DEVICE_CALL_H

#include "clients/client.h"
#include "pollers/histogram.h"
#include "pollers/poller_internal.h"
#include "pollers/ticks.h"

#define likely(condition)   __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

/* One more request done; poller->last_ticks says when, if its device was called here. */
static inline void note_busy(struct poller *poller, uint64_t begin)
{
    uint64_t end = poller->last_ticks != begin ? poller->last_ticks : ticks_now();
    counter_add(&poller->busy_ticks, end - begin);
    counter_add(&poller->requests, 1);
}

/* A device that failed too often is asked no more. */
static inline void note_error(struct client *client)
{
    counter_add(&client->errors, 1);
    if (client->broken_after && counter_read(&client->errors) >= client->broken_after)
        atomic_store_explicit(&client->is_broken, true, memory_order_relaxed);
}

/* For whoever wonders where this poller is. Relaxed: nobody orders anything by it. */
static inline void note_asked(struct poller *poller, const struct client *client)
{
    atomic_store_explicit(&poller->asked, client, memory_order_relaxed);
}

/* What the device answers; all-ones if it fails. */
static inline uint64_t ask_device(struct client *client, struct request *request)
{
    struct device *device = client->device;
    if (unlikely(atomic_load_explicit(&client->is_broken, memory_order_relaxed)))
        return UINT64_MAX;
    if (likely(device->ops->handle(device, request) == 0))
        return request->value;
    note_error(client);
    return UINT64_MAX;
}

/* The answer is out and the requester goes ahead; what is done here costs it nothing. */
static inline void note_answered(struct poller *poller, struct client *client,
                                 const struct request *request)
{
    uint64_t now = ticks_now();
    /* Between two CPUs the counters may differ by a few ticks. */
    histogram_record(client->latency,
                     now > request->arrival_ticks ? now - request->arrival_ticks : 0);
    poller->last_ticks = now;
    if (client->device->ops->completed)
        client->device->ops->completed(client->device, request);
}

#endif
