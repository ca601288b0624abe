/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/vm/vcpu.h"

#include "clients/request.h"
#include "server/vm/options.h"
#include "server/vm/pieces.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <sys/ioctl.h>

static void vcpu_on_kick(int signal_number)
{
    (void)signal_number; /* its arrival is all that counts */
}

int vcpu_prepare_kicks(void)
{
    struct sigaction action = {.sa_handler = vcpu_on_kick}; /* no SA_RESTART: KVM_RUN must return */
    sigset_t kick;
    sigemptyset(&kick);
    sigaddset(&kick, VCPU_KICK_SIGNAL);
    if (sigaction(VCPU_KICK_SIGNAL, &action, NULL) != 0)
        return -errno;
    return -pthread_sigmask(SIG_UNBLOCK, &kick, NULL); /* whatever our parent had blocked */
}

static void vcpu_raise_access_error(const struct vcpu *vcpu, int result,
                                    const struct requester_access *access)
{
    if (result == -ESHUTDOWN)
        ending_raise(vcpu->ending, ENDING_SERVER_GONE,
                     "the server closed the connection (look into its log and start it again)");
    else
        ending_raise(vcpu->ending, ENDING_PROTOCOL,
                     "slot %" PRIu32 " was not FREE before the access to 0x%" PRIx64
                     ": the server broke the protocol, on ACRN the guest would get #GP",
                     vcpu->index, access->address);
}

/* Makes every access of one exit. False: the run is over. */
static bool vcpu_serve(struct vcpu *vcpu, struct pieces *pieces)
{
    struct requester_access access;
    while (pieces_next(pieces, &access)) {
        uint64_t begin_ns = monotonic_ns();
        int result = requester_access(vcpu->requester, vcpu->index, &access);
        if (result != 0) {
            vcpu_raise_access_error(vcpu, result, &access);
            return false;
        }
        uint64_t end_ns = monotonic_ns();
        pieces_answer(pieces, &access);
        traffic_add(&vcpu->traffic, &access, end_ns - begin_ns);
        cmos_memory_see(&vcpu->cmos_memory, &access);
        /* Relaxed: the main thread only compares it with the clock. */
        atomic_store_explicit(&vcpu->last_access_ns, end_ns, memory_order_relaxed);
        if (observer_see(vcpu->observer, vcpu->index, &access))
            ending_raise(vcpu->ending, ENDING_UNTIL, "the console printed the awaited text");
    }
    return true;
}

static void vcpu_fail(struct vcpu *vcpu, enum ending_cause cause)
{
    char text[ENDING_TEXT_BYTES - 64];
    machine_describe(vcpu->machine, vcpu->index, text, sizeof(text));
    ending_raise(vcpu->ending, cause, "vCPU %" PRIu32 ": %s", vcpu->index, text);
}

static bool vcpu_handle_port(struct vcpu *vcpu, struct kvm_run *run)
{
    struct pieces pieces;
    size_t data_bytes = (size_t)run->io.size * run->io.count;
    uint64_t data_offset = run->io.data_offset;
    uint32_t direction = run->io.direction == KVM_EXIT_IO_OUT ? REQUEST_WRITE : REQUEST_READ;
    if (data_offset > vcpu->machine->run_bytes ||
        data_bytes > vcpu->machine->run_bytes - data_offset ||
        pieces_of_port(&pieces, direction, run->io.port, run->io.size, run->io.count,
                       (uint8_t *)run + data_offset) != 0) {
        vcpu_fail(vcpu, ENDING_FAILED);
        return false;
    }
    return vcpu_serve(vcpu, &pieces);
}

static bool vcpu_handle_mmio(struct vcpu *vcpu, struct kvm_run *run)
{
    struct pieces pieces;
    uint32_t direction = run->mmio.is_write ? REQUEST_WRITE : REQUEST_READ;
    if (pieces_of_mmio(&pieces, direction, run->mmio.phys_addr, run->mmio.len, run->mmio.data) !=
        0) {
        vcpu_fail(vcpu, ENDING_FAILED);
        return false;
    }
    return vcpu_serve(vcpu, &pieces);
}

/* Only without an interrupt controller does a HLT come out here, and then for good. */
static bool vcpu_handle_halt(struct vcpu *vcpu)
{
    if (atomic_fetch_sub_explicit(vcpu->running_count, 1, memory_order_relaxed) == 1)
        ending_raise(vcpu->ending, ENDING_HALTED, "every vCPU has halted");
    return false;
}

/* False: this vCPU runs no more. */
static bool vcpu_handle_exit(struct vcpu *vcpu, struct kvm_run *run)
{
    switch (run->exit_reason) {
    case KVM_EXIT_IO:
        return vcpu_handle_port(vcpu, run);
    case KVM_EXIT_MMIO:
        return vcpu_handle_mmio(vcpu, run);
    case KVM_EXIT_HLT:
        return vcpu_handle_halt(vcpu);
    case KVM_EXIT_INTR:
    case KVM_EXIT_IRQ_WINDOW_OPEN:
        return true;
    case KVM_EXIT_SHUTDOWN:
        vcpu_fail(vcpu, ENDING_SHUTDOWN);
        return false;
    default:
        vcpu_fail(vcpu, ENDING_FAILED);
        return false;
    }
}

static void vcpu_loop(struct vcpu *vcpu)
{
    const struct machine_vcpu *kvm = &vcpu->machine->vcpus[vcpu->index];
    char error[512];
    if (affinity_apply(vcpu->affinity, vcpu->index, error, sizeof(error)) != 0) {
        ending_raise(vcpu->ending, ENDING_FAILED, "%s", error);
        return;
    }
    while (!ending_is_raised(vcpu->ending)) {
        if (ioctl(kvm->fd, KVM_RUN, 0) != 0) {
            /* EINTR: kicked. EAGAIN: a vCPU that waited has got its INIT or SIPI. */
            if (errno == EINTR || errno == EAGAIN)
                continue;
            ending_raise(vcpu->ending, ENDING_FAILED, "vCPU %" PRIu32 ": KVM_RUN: %s", vcpu->index,
                         strerror(errno));
            break;
        }
        if (!vcpu_handle_exit(vcpu, kvm->run))
            break;
    }
}

static void *vcpu_run(void *argument)
{
    struct vcpu *vcpu = argument;
    vcpu_loop(vcpu);
    atomic_fetch_sub_explicit(vcpu->thread_count, 1, memory_order_relaxed); /* the join orders */
    return NULL;
}

int vcpu_start(struct vcpu *vcpu)
{
    atomic_fetch_add_explicit(vcpu->thread_count, 1, memory_order_relaxed);
    int result = -pthread_create(&vcpu->thread, NULL, vcpu_run, vcpu);
    if (result != 0)
        atomic_fetch_sub_explicit(vcpu->thread_count, 1, memory_order_relaxed);
    return result;
}

void vcpu_stop_all(struct vcpu *vcpus, uint32_t count, uint64_t grace_ns)
{
    if (count == 0)
        return;
    for (uint32_t i = 0; i < count; i++) {
        machine_kick(vcpus[i].machine, i);
        pthread_kill(vcpus[i].thread, VCPU_KICK_SIGNAL);
    }
    if (!ending_wait_for_none(vcpus[0].thread_count, grace_ns))
        requester_stop(vcpus[0].requester); /* the server owes an answer and does not give it */
    for (uint32_t i = 0; i < count; i++)
        pthread_join(vcpus[i].thread, NULL);
}
