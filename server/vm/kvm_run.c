/* SPDX-License-Identifier: BSD-3-Clause */
/* One run of `ioreq-vm kvm`, from its options to its report. */
#include "server/vm/attach.h"
#include "server/vm/interrupts.h"
#include "server/vm/kvm.h"
#include "server/vm/vcpu.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define STOP_GRACE_NS 2000000000u /* for answers that are on their way when the run ends */
#define COMMAND       "kvm"

struct kvm_session {
    const struct kvm_options *options;
    struct firmware firmware;
    struct machine machine;
    struct requester *requester;
    struct interrupts interrupts;
    struct observer observer;
    struct ending ending;
    struct vcpu *vcpus;
    uint32_t started_count;
    _Atomic uint32_t running_count;
    _Atomic uint32_t thread_count;
    uint64_t begin_ns;
    uint64_t end_ns;
    struct affinity affinity;
    struct traffic traffic;         /* of all vCPUs, once joined */
    struct cmos_memory cmos_memory; /* likewise */
};

void kvm_options_init(struct kvm_options *options)
{
    *options = (struct kvm_options){
        .attach = {.socket_path = OPTION_DEFAULT_SOCKET, .vm_name = OPTION_DEFAULT_VM},
        .memory_bytes = 64u << 20,
        .shadow_bytes = FIRMWARE_SHADOW_BYTES,
        .vcpu_count = 1,
        .has_kernel_irqchip = true,
        .console_port = 0x402,
    };
}

static void session_start_vcpus(struct kvm_session *session)
{
    const struct kvm_options *options = session->options;
    session->running_count = options->vcpu_count;
    session->begin_ns = monotonic_ns();
    for (uint32_t i = 0; i < options->vcpu_count; i++) {
        struct vcpu *vcpu = &session->vcpus[i];
        vcpu->machine = &session->machine;
        vcpu->requester = session->requester;
        vcpu->observer = &session->observer;
        vcpu->ending = &session->ending;
        vcpu->running_count = &session->running_count;
        vcpu->thread_count = &session->thread_count;
        vcpu->index = i;
        vcpu->affinity = &session->affinity;
        vcpu->last_access_ns = session->begin_ns;
        int result = vcpu_start(vcpu);
        if (result != 0) {
            ending_raise(&session->ending, ENDING_FAILED, "cannot start a thread: %s",
                         strerror(-result));
            return;
        }
        session->started_count++;
    }
}

/* How long until `since` is limit_ns ago; 0: that is now or past. */
static uint64_t left_until(uint64_t since_ns, uint64_t limit_ns)
{
    uint64_t passed_ns = monotonic_ns() - since_ns;
    return passed_ns < limit_ns ? limit_ns - passed_ns : 0;
}

/* Waits for a cause, and is one: the time limits. */
static void session_wait(struct kvm_session *session)
{
    const struct kvm_options *options = session->options;
    for (;;) {
        uint64_t wait_ns = 3600u * 1000000000ull;
        if (options->timeout_ns) {
            uint64_t left_ns = left_until(session->begin_ns, options->timeout_ns);
            if (left_ns == 0)
                ending_raise(&session->ending, ENDING_TIMEOUT, "--timeout is over");
            wait_ns = left_ns < wait_ns ? left_ns : wait_ns;
        }
        if (options->idle_exit_ns) {
            uint64_t last_ns = session->begin_ns;
            for (uint32_t i = 0; i < session->started_count; i++) {
                uint64_t seen_ns = atomic_load_explicit(&session->vcpus[i].last_access_ns,
                                                        memory_order_relaxed); /* only a time */
                last_ns = seen_ns > last_ns ? seen_ns : last_ns;
            }
            uint64_t left_ns = left_until(last_ns, options->idle_exit_ns);
            if (left_ns == 0)
                ending_raise(&session->ending, ENDING_IDLE, "no request for --idle-exit");
            wait_ns = left_ns < wait_ns ? left_ns : wait_ns;
        }
        /* A wait of 0 means for ever; with a limit reached the cause is there already. */
        if (ending_wait(&session->ending, wait_ns ? wait_ns : 1))
            return;
    }
}

/* Whether the run did what was asked of it. */
static bool session_succeeded(const struct kvm_session *session)
{
    switch (ending_get(&session->ending)) {
    case ENDING_UNTIL:
        return true;
    case ENDING_HALTED:
    case ENDING_IDLE:
    case ENDING_TIMEOUT:
    case ENDING_SIGNAL:
        return session->options->until == NULL;
    default:
        return false;
    }
}

static void session_print_json(const struct kvm_session *session, FILE *report)
{
    const struct kvm_options *options = session->options;
    char text[256];
    fputs("{\"command\": \"kvm\", \"vm\": ", report);
    json_print_string(options->attach.vm_name, report);
    fputs(", \"firmware\": ", report);
    json_print_string(session->firmware.name, report);
    fprintf(report,
            ", \"vcpus\": %" PRIu32 ", \"ending\": \"%s\", \"reason\": ", options->vcpu_count,
            ending_name(ending_get(&session->ending)));
    json_print_string(session->ending.text, report);
    fputs(", ", report);
    affinity_print_json(&session->affinity, report);
    if (cmos_memory_differs(&session->cmos_memory, options->memory_bytes, text, sizeof(text))) {
        fputs("\"warning\": ", report);
        json_print_string(text, report);
        fputs(", ", report);
    }
    fprintf(report, "\"passed\": %s, \"seconds\": %.3f, ",
            session_succeeded(session) ? "true" : "false",
            (double)(session->end_ns - session->begin_ns) / 1e9);
    traffic_print_json(&session->traffic, report);
    fputs("}\n", report);
}

static void session_print(const struct kvm_session *session, FILE *report)
{
    const struct kvm_options *options = session->options;
    char text[256];
    fprintf(report,
            "firmware      %s (%zu KiB) in VM %s, %" PRIu64 " MiB, %" PRIu32
            " vCPU%s, irqchip %s\n",
            session->firmware.name, session->firmware.size_bytes >> 10, options->attach.vm_name,
            options->memory_bytes >> 20, options->vcpu_count, options->vcpu_count == 1 ? "" : "s",
            options->has_kernel_irqchip ? "kernel" : "none");
    affinity_print(&session->affinity, report);
    /* The first line only: registers, if any, went to stderr. */
    fprintf(report, "ended         %s after %.3f s: %.*s\n",
            ending_name(ending_get(&session->ending)),
            (double)(session->end_ns - session->begin_ns) / 1e9,
            (int)strcspn(session->ending.text, "\n"), session->ending.text);
    traffic_print(&session->traffic, report);
    affinity_print_hint(&session->affinity, &session->traffic, report);
    if (cmos_memory_differs(&session->cmos_memory, options->memory_bytes, text, sizeof(text)))
        fprintf(report, "warning       %s\n", text);
}

/* Firmware that looks for itself below 1 MiB and finds nothing dies of it. */
static void session_hint_at_shadow(const struct kvm_session *session)
{
    size_t size_bytes = session->firmware.size_bytes;
    size_t shadow_bytes = firmware_shadow_bytes(size_bytes, session->options->shadow_bytes);
    size_t wanted_bytes = firmware_shadow_bytes(size_bytes, FIRMWARE_SHADOW_MAX);
    if (ending_get(&session->ending) == ENDING_SHUTDOWN && shadow_bytes < wanted_bytes)
        command_warn(COMMAND,
                     "only the last %zu KiB of the image's %zu KiB are below 1 MiB; if it needs "
                     "more there, as SeaBIOS of 256 KiB does: --shadow %zuKiB",
                     shadow_bytes >> 10, size_bytes >> 10, wanted_bytes >> 10);
}

/* Joins what runs, closes the trace, reports. An exit code. */
static int session_finish(struct kvm_session *session, FILE *report)
{
    char error[TRACE_ERROR_BYTES];
    vcpu_stop_all(session->vcpus, session->started_count, STOP_GRACE_NS);
    session->end_ns = monotonic_ns();
    for (uint32_t i = 0; i < session->started_count; i++) {
        traffic_merge(&session->traffic, &session->vcpus[i].traffic);
        cmos_memory_merge(&session->cmos_memory, &session->vcpus[i].cmos_memory);
    }

    int code = EXIT_OK;
    if (!session_succeeded(session)) {
        if (session->options->until)
            code = command_fail(COMMAND, "the console did not print '%s': %s (%s)",
                                session->options->until, ending_name(ending_get(&session->ending)),
                                session->ending.text);
        else
            code = command_fail(COMMAND, "%s", session->ending.text);
        session_hint_at_shadow(session);
        observer_abandon(&session->observer);
        if (session->options->record_path)
            command_fail(COMMAND, "no trace is kept of a run that failed");
    } else if (observer_commit(&session->observer, error) != 0) {
        code = command_fail(COMMAND, "%s", error);
    }
    if (session->options->wants_json)
        session_print_json(session, report);
    else
        session_print(session, report);
    return code;
}

/* With everything at hand; ends the observer. */
static int session_run(struct kvm_session *session, FILE *report)
{
    const struct kvm_options *options = session->options;
    if (options->vcpu_count > requester_vcpu_count(session->requester)) {
        observer_abandon(&session->observer);
        return command_fail(COMMAND,
                            "--vcpus %" PRIu32 ", but VM '%s' has %" PRIu32
                            " (key vcpus of the server's configuration)",
                            options->vcpu_count, options->attach.vm_name,
                            requester_vcpu_count(session->requester));
    }
    affinity_init(&session->affinity, &options->cpus, options->vcpu_count,
                  requester_poller_cpu(session->requester));
    affinity_warn(&session->affinity, COMMAND);
    session_start_vcpus(session);
    session_wait(session);
    return session_finish(session, report);
}

static int session_open_observer(struct kvm_session *session, char *error)
{
    const struct kvm_options *options = session->options;
    struct observer_setup setup = {
        .until = options->until,
        .console_port = options->console_port,
        .record_path = options->record_path,
        .header = {.vcpu_count = options->vcpu_count,
                   .firmware_bytes = session->firmware.size_bytes},
        .volatile_ranges = options->volatile_ranges,
        .volatile_count = options->volatile_count,
    };
    snprintf(setup.header.firmware_name, sizeof(setup.header.firmware_name), "%.*s", TRACE_NAME_MAX,
             session->firmware.name);
    return observer_init(&session->observer, &setup, error);
}

/* With a machine at hand. The page comes last: asking for it resets the devices. */
static int session_attach(struct kvm_session *session, FILE *report)
{
    const struct attach_options *attach = &session->options->attach;
    char error[TRACE_ERROR_BYTES];
    if (session_open_observer(session, error) != 0)
        return command_fail(COMMAND, "%s", error);
    const struct requester_listener listener = {
        .line = interrupts_hear, .again = interrupts_forget, .context = &session->interrupts};
    interrupts_init(&session->interrupts, session->machine.vm_fd,
                    session->options->has_kernel_irqchip);
    int code;
    if (requester_attach_listening(attach->socket_path, attach->vm_name, &listener,
                                   &session->requester, error, sizeof(error)) != 0) {
        observer_abandon(&session->observer);
        code = command_fail(COMMAND, "%s", error);
    } else {
        code = attach_options_apply(attach, session->requester, COMMAND);
        if (code == EXIT_OK)
            code = session_run(session, report);
        else
            observer_abandon(&session->observer);
        requester_detach(session->requester);
    }
    interrupts_fini(&session->interrupts);
    return code;
}

static int session_open(struct kvm_session *session, FILE *report)
{
    const struct kvm_options *options = session->options;
    char error[512];
    const struct machine_setup setup = {
        .firmware = &session->firmware,
        .ram_bytes = options->memory_bytes,
        .shadow_bytes = options->shadow_bytes,
        .vcpu_count = options->vcpu_count,
        .has_kernel_irqchip = options->has_kernel_irqchip,
    };
    int result = vcpu_prepare_kicks();
    if (result != 0)
        return command_fail(COMMAND, "sigaction: %s", strerror(-result));
    if (machine_create(&setup, &session->machine, error, sizeof(error)) != 0)
        return command_fail(COMMAND, "%s", error);
    int code = session_attach(session, report);
    machine_destroy(&session->machine);
    return code;
}

int kvm_run(const struct kvm_options *options, FILE *report)
{
    char error[512];
    struct kvm_session *session = calloc(1, sizeof(*session));
    struct vcpu *vcpus = calloc(options->vcpu_count, sizeof(*vcpus));
    int code;
    if (!session || !vcpus) {
        code = command_fail(COMMAND, "out of memory");
    } else if (firmware_load(options->firmware_path, &session->firmware, error, sizeof(error)) !=
               0) {
        code = command_fail(COMMAND, "%s", error);
    } else {
        int result = ending_init(&session->ending);
        session->options = options;
        session->vcpus = vcpus;
        if (result != 0) {
            code = command_fail(COMMAND, "cannot wait for signals: %s", strerror(-result));
        } else {
            code = session_open(session, report);
            ending_fini(&session->ending);
        }
        firmware_unload(&session->firmware);
    }
    free(vcpus);
    free(session);
    return code;
}
