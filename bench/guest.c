/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * guest: a port read, timed by the guest that makes it.
 *
 * The same small image (guest_image.h) runs in three guests, in turn, all on the requester's CPU:
 * - ioreqd: an exit becomes a request in a slot, as ioreq-vm makes it; the poller on its own CPU
 *   answers (serving.h); the vCPU's thread spins until it has;
 * - the vCPU's own thread answers at once: the way into the guest and out, and nothing else;
 * - QEMU with KVM and a debug console at that port.
 * Whatever a guest writes is its samples, which are not timed. Beyond the exit, which is the same for
 * all, ours is the way to another CPU and back (rtt), QEMU's the way through its own layers.
 */
#include "bench/guest_image.h"
#include "bench/qemu.h"
#include "bench/serving.h"

#include "server/vm/machine.h"
#include "server/vm/pieces.h"

#include <errno.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>

#define RATIO_WANTED 1.0
#define SAMPLE_SHARE 8u /* of --samples: each also takes four exits to be written out */

enum way { WAY_IOREQD, WAY_THREAD, WAY_QEMU, WAY_COUNT };

struct guest {
    struct serving *serving;
    struct firmware image;
    struct machine machines[WAY_QEMU]; /* one each, so that neither warms the other's */
    uint32_t machine_count;
    struct qemu qemu;
    uint32_t warm_up, sample_count;
    uint8_t *output; /* of a block, samples of GUEST_IMAGE_SAMPLE_BYTES */
    size_t output_bytes;
};

/* ---- guests in this process ---------------------------------------------------------------- */

/* One access as the hypervisor makes it. */
static void ask_poller(struct guest *guest, struct requester_access *access)
{
    struct acrn_io_request *slot = &serving_slots(guest->serving)[0];
    slot->type = access->type;
    slot->completion_polling = 1;
    slot->reqs.pio_request.direction = access->direction;
    slot->reqs.pio_request.address = access->address;
    slot->reqs.pio_request.size = access->size_bytes;
    slot->reqs.pio_request.value = 0;
    __atomic_store_n(&slot->processed, SLOT_PENDING, __ATOMIC_RELEASE);
    bare_await(slot);
    access->value = slot->reqs.pio_request.value;
    __atomic_store_n(&slot->processed, SLOT_FREE, __ATOMIC_RELEASE);
}

/* How many bytes of the block are there now. */
static size_t take_exit(struct guest *guest, enum way way, struct kvm_run *run, size_t used)
{
    struct pieces pieces;
    struct requester_access access;
    uint32_t direction = run->io.direction == KVM_EXIT_IO_OUT ? REQUEST_WRITE : REQUEST_READ;
    pieces_of_port(&pieces, direction, run->io.port, run->io.size, run->io.count,
                   (uint8_t *)run + run->io.data_offset);
    while (pieces_next(&pieces, &access)) {
        if (direction == REQUEST_WRITE && used < guest->output_bytes)
            guest->output[used++] = (uint8_t)access.value;
        else if (way == WAY_IOREQD)
            ask_poller(guest, &access);
        else
            access.value = GUEST_IMAGE_PORT;
        pieces_answer(&pieces, &access);
    }
    return used;
}

static int run_machine(struct guest *guest, enum way way)
{
    struct machine_vcpu *vcpu = &guest->machines[way].vcpus[0];
    size_t used = 0;
    while (used < guest->output_bytes) {
        if (ioctl(vcpu->fd, KVM_RUN, 0) != 0) {
            if (errno == EINTR || errno == EAGAIN)
                continue;
            return -errno;
        }
        if (vcpu->run->exit_reason != KVM_EXIT_IO) {
            char text[512];
            machine_describe(&guest->machines[way], 0, text, sizeof(text));
            fprintf(stderr, "ioreq-bench: guest: %s\n", text);
            return -EIO;
        }
        used = take_exit(guest, way, vcpu->run, used);
    }
    return 0;
}

/* ---- blocks -------------------------------------------------------------------------------- */

/* What comes first was measured while QEMU was stopped in between. */
static int run_qemu(struct guest *guest)
{
    int result = qemu_read(&guest->qemu, guest->output, guest->output_bytes);
    return result < 0 ? result : qemu_read(&guest->qemu, guest->output, guest->output_bytes);
}

static int run_block(void *context, uint32_t way, uint64_t *samples, uint32_t count)
{
    struct guest *guest = context;
    int result;
    if (way == WAY_IOREQD)
        serving_begin(guest->serving, SERVING_OURS, 1);
    result = way == WAY_QEMU ? run_qemu(guest) : run_machine(guest, (enum way)way);
    if (way == WAY_IOREQD)
        serving_end(guest->serving);
    for (uint32_t i = 0; i < count && result == 0; i++) {
        uint32_t ticks;
        memcpy(&ticks, guest->output + (guest->warm_up + i) * sizeof(ticks), sizeof(ticks));
        samples[i] = ticks;
    }
    return result;
}

/* ---- set-up -------------------------------------------------------------------------------- */

static int set_up_machines(struct guest *guest)
{
    const struct machine_setup setup = {.firmware = &guest->image,
                                        .ram_bytes = MACHINE_RAM_MIN_BYTES,
                                        .shadow_bytes = FIRMWARE_SHADOW_BYTES,
                                        .vcpu_count = 1,
                                        .has_kernel_irqchip = true};
    char error[512];
    int result = 0;
    for (uint32_t i = 0; i < WAY_QEMU && result == 0; i++) {
        result = machine_create(&setup, &guest->machines[i], error, sizeof(error));
        if (result < 0)
            fprintf(stderr, "ioreq-bench: guest: %s\n", error);
        else
            guest->machine_count++;
    }
    return result;
}

static int set_up(struct guest *guest, const struct bench_options *options)
{
    guest->output = malloc(guest->output_bytes);
    int result = firmware_fill(&guest->image, GUEST_IMAGE_BYTES, 0);
    if (result == 0 && !guest->output)
        result = -ENOMEM;
    if (result < 0)
        return result;
    guest_image_write(guest->image.bytes, guest->warm_up + guest->sample_count);
    result = serving_create(options, &guest->serving);
    return result < 0 ? result : set_up_machines(guest);
}

static void tear_down(struct guest *guest)
{
    qemu_stop(&guest->qemu);
    for (uint32_t i = 0; i < guest->machine_count; i++)
        machine_destroy(&guest->machines[i]);
    serving_destroy(guest->serving);
    firmware_unload(&guest->image);
    free(guest->output);
}

/* True: it takes part. */
static bool start_qemu(struct bench_result *result, struct guest *guest)
{
    int failed = qemu_start(&guest->qemu, guest->image.bytes, GUEST_IMAGE_BYTES, GUEST_IMAGE_PORT,
                            result->options->requester_cpu);
    if (failed == 0)
        failed = qemu_read(&guest->qemu, guest->output, guest->output_bytes);
    if (failed == 0)
        return true;
    qemu_stop(&guest->qemu);
    const char *remedy = failed == -ENOENT
                             ? "; to have it: apt-get install --no-install-recommends " QEMU_PACKAGE
                             : "";
    fprintf(stderr, "ioreq-bench: guest: without QEMU: %s: %s%s\n", QEMU_PROGRAM, strerror(-failed),
            remedy);
    bench_fact_text(result, "left out", "%s: %s", QEMU_PROGRAM, strerror(-failed));
    return false;
}

/* ---- result -------------------------------------------------------------------------------- */

static int compare_reals(const void *left, const void *right)
{
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

/* What series takes beyond the bare exit: the median of the blocks' differences. */
static double beyond_exit_ns(const struct bench_series *series, const struct bench_series *exit,
                             uint32_t blocks)
{
    double *differences = calloc(blocks, sizeof(*differences));
    if (!differences)
        return 0;
    for (uint32_t i = 0; i < blocks; i++)
        differences[i] = series->block_p50[i] - exit->block_p50[i];
    qsort(differences, blocks, sizeof(*differences), compare_reals);
    double median = differences[blocks / 2];
    free(differences);
    return median * 1e9 / (double)ticks_per_second();
}

static int measure(struct bench_result *result, struct guest *guest)
{
    static const struct bench_contender all[WAY_COUNT] = {
        [WAY_IOREQD] = {.name = "ioreqd's poller", .role = BENCH_OURS},
        [WAY_THREAD] = {.name = "the vCPU's own thread", .role = BENCH_LIMIT},
        [WAY_QEMU] = {.name = "QEMU, debug console", .role = BENCH_BASELINE},
    };
    struct bench_contender contenders[WAY_COUNT];
    struct bench_point *point;
    uint32_t count = start_qemu(result, guest) ? WAY_COUNT : WAY_QEMU;
    for (uint32_t i = 0; i < count; i++) {
        contenders[i] = all[i];
        contenders[i].run_block = run_block;
        contenders[i].context = guest;
        contenders[i].variant = i;
    }
    int failed = bench_compare(result, "a port read in a guest", 0, contenders, count, &point);
    if (failed < 0)
        return failed;
    const struct bench_series *exit = &point->series[WAY_THREAD], *qemu = &point->series[WAY_QEMU];
    bench_fact(result, "ioreqd beyond the exit, ns",
               beyond_exit_ns(&point->series[WAY_IOREQD], exit, result->options->blocks));
    if (count < WAY_COUNT)
        return 0;
    bench_fact(result, "QEMU beyond the exit, ns",
               beyond_exit_ns(qemu, exit, result->options->blocks));
    bench_reach_at_most(result, "p50 to QEMU's", qemu->ours.median, RATIO_WANTED);
    return 0;
}

int bench_guest(struct bench_result *result)
{
    static struct bench_options own;
    static struct guest guest;
    char error[512];
    own = *result->options;
    own.block_samples = own.block_samples / SAMPLE_SHARE + 1;
    if (own.block_samples > GUEST_IMAGE_SAMPLES_MAX / 2)
        own.block_samples = GUEST_IMAGE_SAMPLES_MAX / 2;
    result->options = &own;
    guest = (struct guest){.warm_up = own.block_samples / 10 + 1,
                           .sample_count = own.block_samples,
                           .qemu = {.output = -1, .image = -1}};
    guest.output_bytes = (guest.warm_up + guest.sample_count) * (size_t)GUEST_IMAGE_SAMPLE_BYTES;
    if (machine_probe(error, sizeof(error)) < 0) {
        bench_skip(result, error);
        return 0;
    }
    bench_parameter(result, "blocks", own.blocks);
    bench_parameter(result, "samples a block", own.block_samples);
    int failed = set_up(&guest, &own);
    if (failed == 0)
        failed = measure(result, &guest);
    tear_down(&guest);
    return failed;
}
