/* SPDX-License-Identifier: BSD-3-Clause */
/* One run of `ioreq-vm load`, from its options to its report. */
#include "server/vm/load.h"

#include "clients/request.h"
#include "pollers/ticks.h"
#include "server/vm/affinity.h"
#include "server/vm/attach.h"
#include "server/vm/ending.h"
#include "server/vm/load_plan.h"
#include "server/vm/traffic.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COMMAND       "load"
#define PRINTED_MAX   10
#define STOP_GRACE_NS 2000000000u /* for answers that are on their way when the run ends */
#define SLEEP_MARGIN_NS \
    200000u /* a wake-up comes late: sleep to this before a due time, then spin */

struct load_session;

struct load_vcpu {
    struct load_session *session;
    struct load_plan *plan;
    uint32_t index;
    uint64_t count; /* its share; UINT64_MAX: no limit */
    uint64_t verified_count;
    uint64_t wrong_count;
    uint64_t given_up_count; /* kind formula: all-ones in its device's place */
    pthread_t thread;
    struct traffic traffic;
};

struct load_session {
    const struct load_options *options;
    struct requester *requester;
    struct ending ending;
    struct affinity affinity;
    uint32_t vcpu_count;
    uint32_t started_count;
    struct load_vcpu *vcpus;
    uint64_t begin_ns;
    uint64_t end_ns;
    uint32_t unanswered_count;      /* vCPUs whose last access had no answer in STOP_GRACE_NS */
    _Atomic uint32_t running_count; /* vCPUs that have accesses left */
    _Atomic uint32_t printed_count; /* wrong answers, of all vCPUs */
    _Atomic uint32_t wrong_parts;   /* bit i: of parts[i] of the mix */
};

void load_options_init(struct load_options *options)
{
    char error[256];
    *options = (struct load_options){
        .attach = {.socket_path = OPTION_DEFAULT_SOCKET, .vm_name = OPTION_DEFAULT_VM},
        .read_percent = 50,
        .seed = monotonic_ns() % 1000000000u, /* short enough to type again */
    };
    bool parsed = load_mix_parse(LOAD_DEFAULT_MIX, &options->mix, error, sizeof(error));
    assert(parsed);
    (void)parsed;
}

/* Bit i: the access lies in part i of the mix. */
static uint32_t load_parts_of(const struct load_mix *mix, const struct requester_access *access)
{
    uint32_t parts = 0;
    for (uint32_t i = 0; i < mix->count; i++) {
        const struct address_range *range = &mix->parts[i].range;
        if (range->type == access->type && access->address >= range->first &&
            access->address <= range->last)
            parts |= 1u << i;
    }
    return parts;
}

static void load_count_answer(struct load_vcpu *vcpu, const struct requester_access *access)
{
    struct load_session *session = vcpu->session;
    uint64_t expected;
    bool is_right = load_plan_check(vcpu->plan, access, &expected);
    if (access->direction == REQUEST_WRITE)
        return;
    vcpu->verified_count++;
    vcpu->given_up_count += load_plan_is_given_up(vcpu->plan, access);
    if (is_right)
        return;
    vcpu->wrong_count++;
    /* Relaxed: read once the threads are joined. */
    atomic_fetch_or_explicit(&session->wrong_parts, load_parts_of(&session->options->mix, access),
                             memory_order_relaxed);
    /* Relaxed: only counts lines. */
    if (atomic_fetch_add_explicit(&session->printed_count, 1, memory_order_relaxed) < PRINTED_MAX)
        fprintf(stderr,
                "vCPU %" PRIu32 " access %" PRIu64 ": read of %s 0x%" PRIx64 " size %" PRIu64
                ": 0x%" PRIx64 ", expected 0x%" PRIx64 "\n",
                vcpu->index, traffic_count(&vcpu->traffic),
                access->type == REQUEST_PORTIO ? "portio" : "mmio", access->address,
                access->size_bytes, access->value, expected);
}

/* When access number `done` of this vCPU is due in an open loop. 128 bits: exact for ever. */
static uint64_t load_due_ns(const struct load_vcpu *vcpu, uint64_t done)
{
    const struct load_session *session = vcpu->session;
    unsigned __int128 number = (unsigned __int128)done * session->vcpu_count + vcpu->index;
    return session->begin_ns + (uint64_t)(number * 1000000000u / session->options->rate);
}

/* False: the run ended before. */
static bool load_wait_until_due(const struct load_vcpu *vcpu, uint64_t due_ns)
{
    for (;;) {
        if (ending_is_raised(&vcpu->session->ending))
            return false;
        uint64_t now_ns = monotonic_ns();
        if (now_ns >= due_ns)
            return true;
        uint64_t left_ns = due_ns - now_ns;
        if (left_ns <= SLEEP_MARGIN_NS) {
            ticks_pause();
            sched_yield(); /* the poller may need this CPU */
            continue;
        }
        left_ns -= SLEEP_MARGIN_NS;
        /* In short steps, so that the end of the run is seen. */
        struct timespec nap = {.tv_nsec = left_ns < 10000000u ? (long)left_ns : 10000000};
        clock_nanosleep(CLOCK_MONOTONIC, 0, &nap, NULL);
    }
}

static void load_raise_access_error(struct load_vcpu *vcpu, int result)
{
    if (result == -ESHUTDOWN)
        ending_raise(&vcpu->session->ending, ENDING_SERVER_GONE,
                     "the server closed the connection (look into its log and start it again)");
    else
        ending_raise(&vcpu->session->ending, ENDING_PROTOCOL,
                     "slot %" PRIu32 " was not FREE: the server broke the protocol", vcpu->index);
}

static void load_make_accesses(struct load_vcpu *vcpu)
{
    struct load_session *session = vcpu->session;
    bool is_open_loop = session->options->rate != 0;
    for (uint64_t done = 0; done < vcpu->count && !ending_is_raised(&session->ending); done++) {
        uint64_t due_ns = is_open_loop ? load_due_ns(vcpu, done) : 0;
        if (is_open_loop && !load_wait_until_due(vcpu, due_ns))
            break;
        struct requester_access access;
        load_plan_next(vcpu->plan, &access);
        uint64_t begin_ns = is_open_loop ? due_ns : monotonic_ns();
        int result = requester_access(session->requester, vcpu->index, &access);
        if (result != 0) {
            load_raise_access_error(vcpu, result);
            break;
        }
        traffic_add(&vcpu->traffic, &access, monotonic_ns() - begin_ns);
        load_count_answer(vcpu, &access);
    }
}

static void *load_thread(void *argument)
{
    struct load_vcpu *vcpu = argument;
    struct load_session *session = vcpu->session;
    char error[512];
    if (affinity_apply(&session->affinity, vcpu->index, error, sizeof(error)) != 0)
        ending_raise(&session->ending, ENDING_FAILED, "%s", error);
    load_make_accesses(vcpu);
    /* Relaxed: the join orders. The last one out has seen the others make theirs. */
    if (atomic_fetch_sub_explicit(&session->running_count, 1, memory_order_relaxed) == 1)
        ending_raise(&session->ending, ENDING_DONE, "all accesses were made");
    return NULL;
}

static int load_create_plans(struct load_session *session)
{
    const struct load_options *options = session->options;
    uint64_t count = options->count;
    if (count == 0 && options->duration_ns == 0)
        count = LOAD_DEFAULT_COUNT;
    for (uint32_t i = 0; i < session->vcpu_count; i++) {
        struct load_vcpu *vcpu = &session->vcpus[i];
        const struct load_plan_setup setup = {
            .mix = &options->mix,
            .seed = options->seed,
            .vcpu = i,
            .vcpu_count = session->vcpu_count,
            .read_percent = options->read_percent,
        };
        vcpu->session = session;
        vcpu->index = i;
        vcpu->count = UINT64_MAX;
        if (count) /* the first vCPUs take the remainder */
            vcpu->count = count / session->vcpu_count + (i < count % session->vcpu_count);
        vcpu->plan = load_plan_create(&setup);
        if (!vcpu->plan)
            return command_fail(COMMAND, "out of memory");
    }
    return EXIT_OK;
}

static void load_run_threads(struct load_session *session)
{
    session->running_count = session->vcpu_count;
    session->begin_ns = monotonic_ns();
    for (; session->started_count < session->vcpu_count; session->started_count++) {
        struct load_vcpu *vcpu = &session->vcpus[session->started_count];
        int result = -pthread_create(&vcpu->thread, NULL, load_thread, vcpu);
        if (result != 0) {
            ending_raise(&session->ending, ENDING_FAILED, "cannot start a thread: %s",
                         strerror(-result));
            atomic_fetch_sub_explicit(&session->running_count,
                                      session->vcpu_count - session->started_count,
                                      memory_order_relaxed);
            break;
        }
    }
    if (!ending_wait(&session->ending, session->options->duration_ns))
        ending_raise(&session->ending, ENDING_TIMEOUT, "--duration is over");
    if (!ending_wait_for_none(&session->running_count, STOP_GRACE_NS)) {
        /* Relaxed: whoever is answered only now is counted, too. */
        session->unanswered_count =
            atomic_load_explicit(&session->running_count, memory_order_relaxed);
        requester_stop(session->requester); /* the server owes an answer and does not give it */
    }
    for (uint32_t i = 0; i < session->started_count; i++)
        pthread_join(session->vcpus[i].thread, NULL);
    session->end_ns = monotonic_ns();
}

struct load_result {
    struct traffic traffic;
    uint64_t verified_count;
    uint64_t wrong_count;
    uint64_t given_up_count;
    double seconds;
    bool has_passed;
};

static void load_print(const struct load_session *session, const struct load_result *result,
                       FILE *report)
{
    const struct load_options *options = session->options;
    const char *ending = ending_name(ending_get(&session->ending));
    double per_second = (double)traffic_count(&result->traffic) / result->seconds;
    if (options->wants_json) {
        fputs("{\"command\": \"load\", \"vm\": ", report);
        json_print_string(options->attach.vm_name, report);
        fprintf(report,
                ", \"vcpus\": %" PRIu32 ", \"seed\": %" PRIu64 ", \"loop\": \"%s\", "
                "\"rate\": %" PRIu64 ", \"ending\": \"%s\", \"reason\": ",
                session->vcpu_count, options->seed, options->rate ? "open" : "closed",
                options->rate, ending);
        json_print_string(session->ending.text, report);
        fputs(", ", report);
        affinity_print_json(&session->affinity, report);
        fprintf(report,
                "\"passed\": %s, \"seconds\": %.3f, \"per_second\": %.0f, \"verified\": %" PRIu64
                ", \"wrong\": %" PRIu64 ", \"given_up\": %" PRIu64 ", \"unanswered\": %" PRIu32
                ", ",
                result->has_passed ? "true" : "false", result->seconds, per_second,
                result->verified_count, result->wrong_count, result->given_up_count,
                session->unanswered_count);
        traffic_print_json(&result->traffic, report);
        fputs("}\n", report);
        return;
    }
    fprintf(report, "load          %s: %" PRIu32 " vCPU%s, %s loop, seed %" PRIu64 "\n",
            options->attach.vm_name, session->vcpu_count, session->vcpu_count == 1 ? "" : "s",
            options->rate ? "open" : "closed", options->seed);
    affinity_print(&session->affinity, report);
    fprintf(report, "ended         %s after %.3f s: %s\n", ending, result->seconds,
            session->ending.text);
    fprintf(report,
            "answers       %" PRIu64 " verified, %" PRIu64 " wrong, %.0f accesses a second\n",
            result->verified_count, result->wrong_count, per_second);
    if (result->given_up_count)
        fprintf(report, "given up      %" PRIu64 " reads: the server answered for their device\n",
                result->given_up_count);
    traffic_print(&result->traffic, report);
    affinity_print_hint(&session->affinity, &result->traffic, report);
}

/* For each part that answered wrong: what the mix takes to be there. */
static void load_explain_wrong_parts(const struct load_session *session)
{
    const struct load_mix *mix = &session->options->mix;
    for (uint32_t i = 0; i < mix->count; i++) {
        const struct load_part *part = &mix->parts[i];
        if (!(atomic_load_explicit(&session->wrong_parts, memory_order_relaxed) >> i & 1))
            continue;
        command_warn(COMMAND, "%s:0x%" PRIx64 "-0x%" PRIx64 ": %s",
                     part->range.type == REQUEST_PORTIO ? "portio" : "mmio", part->range.first,
                     part->range.last,
                     part->kind == LOAD_SCRATCH
                         ? "is there a register_bank with count at this range? (scratch)"
                     : part->kind == LOAD_ONES
                         ? "is there a device at this range? (ones)"
                         : "is there a device that answers by load_formula? (formula)");
    }
}

static int load_finish(const struct load_session *session, FILE *report)
{
    struct load_result result = {.seconds = (double)(session->end_ns - session->begin_ns) / 1e9};
    for (uint32_t i = 0; i < session->started_count; i++) {
        traffic_merge(&result.traffic, &session->vcpus[i].traffic);
        result.verified_count += session->vcpus[i].verified_count;
        result.wrong_count += session->vcpus[i].wrong_count;
        result.given_up_count += session->vcpus[i].given_up_count;
    }
    enum ending_cause cause = ending_get(&session->ending);
    bool has_ended_well = cause == ENDING_DONE || cause == ENDING_TIMEOUT || cause == ENDING_SIGNAL;
    result.has_passed = has_ended_well && result.wrong_count == 0 && session->unanswered_count == 0;
    load_print(session, &result, report);
    if (!has_ended_well)
        return command_fail(COMMAND, "%s", session->ending.text);
    if (result.wrong_count) {
        load_explain_wrong_parts(session);
        return command_fail(COMMAND, "%" PRIu64 " wrong answers (again with --seed %" PRIu64 ")",
                            result.wrong_count, session->options->seed);
    }
    if (!result.has_passed)
        return command_fail(COMMAND, "%" PRIu32 " accesses were not answered within 2 s of the end",
                            session->unanswered_count);
    return EXIT_OK;
}

static int load_attached(struct load_session *session, FILE *report)
{
    const struct load_options *options = session->options;
    uint32_t page_vcpu_count = requester_vcpu_count(session->requester);
    session->vcpu_count = options->vcpu_count ? options->vcpu_count : page_vcpu_count;
    if (session->vcpu_count > page_vcpu_count)
        return option_refuse(COMMAND,
                             "--vcpus %" PRIu32 ", but VM '%s' has %" PRIu32
                             " (key vcpus of the server's configuration)",
                             session->vcpu_count, options->attach.vm_name, page_vcpu_count);
    if (options->cpus.count > 0 && options->cpus.count < session->vcpu_count)
        return option_refuse(COMMAND,
                             "--cpus names %zu CPUs for %" PRIu32 " vCPUs: name one for "
                             "each, or fewer --vcpus",
                             options->cpus.count, session->vcpu_count);
    if (!load_mix_suffices(&options->mix, session->vcpu_count))
        return option_refuse(COMMAND, "--mix: a scratch range has fewer 8-byte units than the load "
                                      "has vCPUs");
    session->vcpus = calloc(session->vcpu_count, sizeof(*session->vcpus));
    int code = session->vcpus ? load_create_plans(session) : command_fail(COMMAND, "out of memory");
    if (code == EXIT_OK) {
        affinity_init(&session->affinity, &options->cpus, session->vcpu_count,
                      requester_poller_cpu(session->requester));
        affinity_warn(&session->affinity, COMMAND);
        load_run_threads(session);
        code = load_finish(session, report);
    }
    for (uint32_t i = 0; session->vcpus && i < session->vcpu_count; i++)
        if (session->vcpus[i].plan)
            load_plan_destroy(session->vcpus[i].plan);
    free(session->vcpus);
    return code;
}

int load_run(const struct load_options *options, FILE *report)
{
    struct load_session session = {.options = options};
    int result = ending_init(&session.ending);
    if (result != 0)
        return command_fail(COMMAND, "cannot wait for signals: %s", strerror(-result));
    int code = attach_requester(&options->attach, options->vcpu_count, &session.requester, COMMAND);
    if (code == EXIT_OK) {
        code = load_attached(&session, report);
        requester_detach(session.requester);
    }
    ending_fini(&session.ending);
    return code;
}
