/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * wake: the shape of today's driver, beside ours.
 *
 *     vCPU --PENDING, upcall--> dispatcher thread --eventfd--> handler thread
 *       ^                       PROCESSING                     value, finish (a system call)
 *       +------------------------- COMPLETE -----------------------+
 *
 * Upcalls are an eventfd (on ACRN an interrupt to the service VM); the dispatcher scans all slots and
 * wakes the client's thread; that one handles the request and tells the hypervisor by a system
 * call (on ACRN an ioctl and a hypercall; here a write to an eventfd), which completes the slot. Both
 * threads are on the poller's CPU and sleep while there is nothing to do. The vCPU spins for COMPLETE,
 * as in rtt: where it sleeps, another wake-up comes on top.
 * Samples are PENDING -> COMPLETE, in turn with ours (serving.h). The chain took 23 us as a rule, and
 * 3.5 us in one busy run of the same machine, whose CPU perhaps never slept. The spread of the ratio
 * tells when both happened in one run.
 */
#include "bench/serving.h"

#include "pollers/placement.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define VCPUS 1u

enum variant { VARIANT_OURS, VARIANT_CHAIN };

struct wake {
    const struct bench_options *options;
    struct placement *placement;
    struct serving *serving;
    struct acrn_io_request *slots; /* the serving's, while its thread rests */
    int upcall, client, finish;    /* eventfds */
    _Atomic bool is_stopping;
    pthread_t dispatcher, handler;
    uint32_t thread_count;
};

/* ---- the chain ----------------------------------------------------------------------------- */

static void ring(int descriptor)
{
    const uint64_t one = 1;
    if (write(descriptor, &one, sizeof(one)) != sizeof(one))
        fprintf(stderr, "ioreq-bench: wake: cannot write an eventfd\n");
}

/* False: it is over. */
static bool await(const struct wake *wake, int descriptor)
{
    uint64_t count;
    bool is_awake = read(descriptor, &count, sizeof(count)) == sizeof(count);
    return is_awake && !atomic_load_explicit(&wake->is_stopping, memory_order_acquire);
}

static void *dispatch(void *argument)
{
    struct wake *wake = argument;
    placement_bind_self(wake->placement, wake->options->poller_cpu);
    while (await(wake, wake->upcall)) {
        bool has_work = false;
        for (uint32_t i = 0; i < SLOT_COUNT; i++)
            if (slot_state(&wake->slots[i]) == SLOT_PENDING && slot_claim(&wake->slots[i], false))
                has_work = true;
        if (has_work)
            ring(wake->client);
    }
    return NULL;
}

static void *handle(void *argument)
{
    struct wake *wake = argument;
    placement_bind_self(wake->placement, wake->options->poller_cpu);
    while (await(wake, wake->client))
        for (uint32_t i = 0; i < SLOT_COUNT; i++) {
            struct slot_copy copy;
            if (slot_state(&wake->slots[i]) != SLOT_PROCESSING)
                continue;
            slot_copy_out(&wake->slots[i], &copy);
            ring(wake->finish); /* stands for the way into the hypervisor */
            slot_complete(&wake->slots[i], SLOT_PROCESSING, true, copy.type, copy.address);
        }
    return NULL;
}

static int chain_start(struct wake *wake)
{
    int *const descriptors[] = {&wake->upcall, &wake->client, &wake->finish};
    for (size_t i = 0; i < sizeof(descriptors) / sizeof(descriptors[0]); i++) {
        *descriptors[i] = eventfd(0, EFD_CLOEXEC);
        if (*descriptors[i] < 0)
            return -errno;
    }
    int result = -pthread_create(&wake->dispatcher, NULL, dispatch, wake);
    if (result < 0)
        return result;
    wake->thread_count++;
    result = -pthread_create(&wake->handler, NULL, handle, wake);
    wake->thread_count += result == 0;
    return result;
}

static void chain_stop(struct wake *wake)
{
    atomic_store_explicit(&wake->is_stopping, true, memory_order_release);
    if (wake->thread_count > 0) {
        ring(wake->upcall);
        pthread_join(wake->dispatcher, NULL);
    }
    if (wake->thread_count > 1) {
        ring(wake->client);
        pthread_join(wake->handler, NULL);
    }
    const int descriptors[] = {wake->upcall, wake->client, wake->finish};
    for (size_t i = 0; i < sizeof(descriptors) / sizeof(descriptors[0]); i++)
        if (descriptors[i] >= 0)
            close(descriptors[i]);
}

/* ---- blocks -------------------------------------------------------------------------------- */

static uint64_t access_slot(struct wake *wake, uint32_t variant, uint64_t address)
{
    struct acrn_io_request *slot = &wake->slots[0];
    bare_fill(slot, address);
    uint64_t begin = ticks_now();
    __atomic_store_n(&slot->processed, SLOT_PENDING, __ATOMIC_RELEASE);
    if (variant == VARIANT_CHAIN)
        ring(wake->upcall);
    bare_await(slot);
    uint64_t end = ticks_now();
    __atomic_store_n(&slot->processed, SLOT_FREE, __ATOMIC_RELEASE);
    return end - begin;
}

static int run_block(void *context, uint32_t variant, uint64_t *samples, uint32_t count)
{
    struct wake *wake = context;
    uint32_t warm_up = count / 10;
    if (variant == VARIANT_OURS)
        serving_begin(wake->serving, SERVING_OURS, VCPUS);
    for (uint32_t i = 0; i < warm_up + count; i++) {
        uint64_t ticks = access_slot(wake, variant, serving_next_address(wake->serving));
        if (i >= warm_up)
            samples[i - warm_up] = ticks;
    }
    if (variant == VARIANT_OURS)
        serving_end(wake->serving);
    return 0;
}

static int measure(struct bench_result *result, struct wake *wake)
{
    const struct bench_contender contenders[] = {
        {.name = "ioreqd",
         .role = BENCH_OURS,
         .run_block = run_block,
         .context = wake,
         .variant = VARIANT_OURS},
        {.name = "upcall, dispatch, wake, finish",
         .role = BENCH_BASELINE,
         .run_block = run_block,
         .context = wake,
         .variant = VARIANT_CHAIN},
    };
    struct bench_point *point;
    int failed = bench_compare(result, "PENDING to COMPLETE", 0, contenders, 2, &point);
    if (failed < 0)
        return failed;
    bench_fact(result, "factor gained at p50", 1 / point->series[1].ours.median);
    return 0;
}

int bench_wake(struct bench_result *result)
{
    struct wake wake = {.options = result->options, .upcall = -1, .client = -1, .finish = -1};
    bench_parameter(result, "ranges", result->options->ranges);
    bench_parameter(result, "vCPUs", VCPUS);
    int failed = placement_open(&wake.placement);
    if (failed == 0)
        failed = serving_create(result->options, &wake.serving);
    if (failed == 0) {
        wake.slots = serving_slots(wake.serving);
        failed = chain_start(&wake);
    }
    if (failed == 0)
        failed = measure(result, &wake);
    chain_stop(&wake);
    serving_destroy(wake.serving);
    placement_close(wake.placement);
    return failed;
}
