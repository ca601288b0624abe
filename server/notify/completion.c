/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/notify/completion.h"

#include "pollers/memory.h"
#include "pollers/notifier.h"
#include "pollers/notify_ring.h"
#include "server/log.h"
#include "server/notify/eventfd.h"
#include "server/topology.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct completion {
    struct topology *topology;
    enum config_notify way;
    uint32_t cpu;
    pthread_mutex_t lock; /* of the rings, but for what is their pollers' */
    struct notify_ring *rings[CONFIG_POLLERS_MAX]; /* as the topology's pollers; NULL: none yet */
};

/* Of one vCPU; kind 0: none. */
struct assigned {
    struct notify_target target; /* its descriptor is a duplicate */
    enum page_notify_way way;
    uint32_t signal;
};

struct vm_completion {
    struct assigned slots[SLOT_COUNT];
};

/* Who carries what, by kind: the rings what is a write, the notifier's thread all but a store. */
static const struct {
    bool by_ring, by_thread, has_descriptor;
} kinds[] = {
    [NOTIFY_EVENTFD] = {.by_ring = true, .by_thread = true, .has_descriptor = true},
    [NOTIFY_CONTROL] = {.by_ring = true, .by_thread = true, .has_descriptor = true},
    [NOTIFY_DOORBELL] = {.by_ring = false},
    [NOTIFY_CALL] = {.by_thread = true},
};
#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

static const char *const ways[] = {
    [CONFIG_NOTIFY_SQPOLL] = "sqpoll",
    [CONFIG_NOTIFY_SUBMIT] = "submit",
    [CONFIG_NOTIFY_THREAD] = "thread",
};

static struct notifier_port *port_of(const struct vm *vm)
{
    return vm->topology->pollers[vm->poller_index].notifier_port;
}

/* ---- rings --------------------------------------------------------------------------------- */

static enum notify_ring_kind ring_kind(enum config_notify way)
{
    return way == CONFIG_NOTIFY_SQPOLL ? NOTIFY_RING_SQPOLL : NOTIFY_RING_SUBMIT;
}

enum config_notify completion_choose(enum config_notify wanted)
{
    if (wanted == CONFIG_NOTIFY_THREAD)
        return wanted;
    struct notify_ring *ring = NULL;
    const struct notify_ring_options options = {
        .kind = ring_kind(wanted), .sqpoll_cpu = RING_ANY_CPU, .node = MEMORY_ANY_NODE};
    int result = notify_ring_create(&options, &ring);
    if (result == 0) {
        notify_ring_destroy(ring);
        return wanted;
    }
    log_warning("no io_uring: %s; meanwhile the notifier's thread writes, by a system call each "
                "(notify: thread), and no poller waits",
                ring_explain(result));
    return CONFIG_NOTIFY_THREAD;
}

/* On the notifier's thread: every ring that has signals. */
static uint64_t tend(void *context)
{
    struct completion *completion = context;
    uint64_t next_ns = UINT64_MAX;
    pthread_mutex_lock(&completion->lock);
    for (size_t i = 0; i < CONFIG_POLLERS_MAX; i++) {
        struct notify_ring *ring = completion->rings[i];
        if (!ring || notify_ring_figures(ring).live == 0)
            continue;
        uint64_t ring_ns = notify_ring_tend(ring);
        next_ns = ring_ns < next_ns ? ring_ns : next_ns;
    }
    pthread_mutex_unlock(&completion->lock);
    return next_ns;
}

static const struct notify_ring *any_ring(const struct completion *completion)
{
    for (size_t i = 0; i < CONFIG_POLLERS_MAX; i++)
        if (completion->rings[i])
            return completion->rings[i];
    return NULL;
}

/* The ring of the VM's poller, made now if there is none. */
static int ring_of(const struct vm *vm, struct notify_ring **ring)
{
    struct completion *completion = vm->topology->completion;
    struct notify_ring **place = &completion->rings[vm->poller_index];
    int result = 0;
    if (!*place) {
        const struct notify_ring_options options = {
            .kind = ring_kind(completion->way),
            .sqpoll_cpu = completion->cpu,
            .node = vm->node,
            .shares = any_ring(completion),
        };
        struct notify_ring *created;
        result = notify_ring_create(&options, &created);
        if (result == 0 && completion->way == CONFIG_NOTIFY_SUBMIT) {
            result = poller_submit_to(vm->poller, notify_ring_port(created));
            if (result < 0)
                notify_ring_destroy(created);
        }
        if (result == 0)
            *place = created;
    }
    *ring = *place;
    return result;
}

int completion_create(struct topology *topology, enum config_notify notify, uint32_t cpu,
                      struct completion **completion)
{
    struct completion *created = calloc(1, sizeof(*created));
    if (!created)
        return -ENOMEM;
    created->topology = topology;
    created->way = notify;
    created->cpu = cpu;
    pthread_mutex_init(&created->lock, NULL);
    if (notify != CONFIG_NOTIFY_THREAD)
        notifier_tend_with(topology->notifier, tend, created);
    *completion = created;
    return 0;
}

void completion_destroy(struct completion *completion)
{
    if (!completion)
        return;
    for (size_t i = 0; i < CONFIG_POLLERS_MAX; i++)
        notify_ring_destroy(completion->rings[i]);
    pthread_mutex_destroy(&completion->lock);
    free(completion);
}

/* ---- signals ------------------------------------------------------------------------------- */

static int add_to_ring(const struct vm *vm, const struct notify_target *target, uint32_t *signal)
{
    struct completion *completion = vm->topology->completion;
    struct notify_ring *ring;
    pthread_mutex_lock(&completion->lock);
    int result = ring_of(vm, &ring);
    if (result == 0)
        result = target->kind == NOTIFY_CONTROL
                     ? notify_ring_add_value(ring, target->descriptor, target->value, signal)
                     : notify_ring_add(ring, target->descriptor, signal);
    pthread_mutex_unlock(&completion->lock);
    if (result == 0)
        notifier_wake(vm->topology->notifier);
    return result;
}

static int add_signal(const struct vm *vm, uint32_t vcpu, struct assigned *assigned)
{
    const struct completion *completion = vm->topology->completion;
    enum notify_kind kind = assigned->target.kind;
    bool has_ring = completion && completion->way != CONFIG_NOTIFY_THREAD;
    if (kinds[kind].by_ring && has_ring) {
        assigned->way = PAGE_NOTIFY_RING;
        return add_to_ring(vm, &assigned->target, &assigned->signal);
    }
    assigned->way = kinds[kind].by_thread ? PAGE_NOTIFY_THREAD : PAGE_NOTIFY_STORE;
    return kinds[kind].by_thread ? notifier_add_target(vm->topology->notifier, &assigned->target,
                                                       vcpu, &assigned->signal)
                                 : 0;
}

/* Its poller does not push it any more. */
static int remove_signal(const struct vm *vm, const struct assigned *assigned)
{
    struct completion *completion = vm->topology->completion;
    int result = 0;
    if (assigned->way == PAGE_NOTIFY_RING) {
        pthread_mutex_lock(&completion->lock);
        result = notify_ring_remove(completion->rings[vm->poller_index], assigned->signal);
        pthread_mutex_unlock(&completion->lock);
    } else if (assigned->way == PAGE_NOTIFY_THREAD) {
        result = notifier_remove(vm->topology->notifier, assigned->signal);
    }
    return result == -ENOENT ? 0 : result;
}

static int check_target(const struct vm *vm, uint32_t vcpu, const struct notify_target *target)
{
    uint64_t id;
    if (vcpu >= vm->page->vcpu_count || target->kind < NOTIFY_EVENTFD || target->kind >= KIND_COUNT)
        return -EINVAL;
    if (target->kind == NOTIFY_DOORBELL)
        return target->address ? 0 : -EINVAL;
    if (target->kind == NOTIFY_CALL)
        return target->call ? 0 : -EINVAL;
    int flags = fcntl(target->descriptor, F_GETFL);
    if (flags < 0)
        return -EBADF;
    if (target->kind == NOTIFY_CONTROL)
        return 0;
    return flags & O_NONBLOCK ? eventfd_identify(target->descriptor, &id) : -EINVAL;
}

/* ---- what the poller sees ------------------------------------------------------------------ */

/* [vcpu] of vm is told by *assigned; NULL: not at all. */
struct installation {
    struct vm *vm;
    uint32_t vcpu;
    const struct assigned *assigned;
};

static void install(void *context)
{
    const struct installation *installation = context;
    struct vm *vm = installation->vm;
    const struct completion *completion = vm->topology->completion;
    struct notify_ring *ring = completion ? completion->rings[vm->poller_index] : NULL;
    struct page_notify_slot slot = {.way = PAGE_NOTIFY_NONE};
    page_notify_due(vm->page); /* the old way, for what was completed before */
    vm->page->notify.ring = ring ? notify_ring_port(ring) : NULL;
    vm->page->notify.thread = port_of(vm);
    if (installation->assigned)
        slot = (struct page_notify_slot){
            .way = installation->assigned->way,
            .signal = installation->assigned->signal,
            .value = installation->assigned->target.value,
            .address = installation->assigned->target.address,
        };
    page_notify_set(vm->page, installation->vcpu, &slot);
}

static int tell_poller(struct vm *vm, uint32_t vcpu, const struct assigned *assigned)
{
    struct installation installation = {vm, vcpu, assigned};
    int result = poller_call_brief(vm->poller, install, &installation, VM_CALL_TIMEOUT_NS);
    /* A second one: what the first pushed is then submitted, too. */
    return result < 0 ? result : poller_quiesce(vm->poller, VM_CALL_TIMEOUT_NS);
}

/* ---- assign and release -------------------------------------------------------------------- */

static void close_target(struct notify_target *target)
{
    if (kinds[target->kind].has_descriptor)
        close(target->descriptor);
    *target = (struct notify_target){.descriptor = -1};
}

static int duplicate_target(const struct notify_target *target, struct notify_target *duplicate)
{
    *duplicate = *target;
    if (!kinds[target->kind].has_descriptor)
        return 0;
    duplicate->descriptor = fcntl(target->descriptor, F_DUPFD_CLOEXEC, 0);
    return duplicate->descriptor < 0 ? -errno : 0;
}

static int drop(struct vm *vm, struct assigned *assigned)
{
    int result = remove_signal(vm, assigned);
    if (result == 0) {
        close_target(&assigned->target);
        assigned->way = PAGE_NOTIFY_NONE;
    }
    return result;
}

int completion_assign(struct vm *vm, uint32_t vcpu, const struct notify_target *target)
{
    int result = check_target(vm, vcpu, target);
    if (result < 0)
        return result;
    if (!vm->completion)
        vm->completion = calloc(1, sizeof(*vm->completion));
    if (!vm->completion)
        return -ENOMEM;
    struct assigned *place = &vm->completion->slots[vcpu], assigned = {.signal = 0};
    result = duplicate_target(target, &assigned.target);
    if (result < 0)
        return result;
    result = add_signal(vm, vcpu, &assigned);
    if (result < 0) {
        close_target(&assigned.target);
        return result;
    }
    struct installation installation = {vm, vcpu, &assigned};
    result = poller_call_brief(vm->poller, install, &installation, VM_CALL_TIMEOUT_NS);
    if (result < 0) {
        drop(vm, &assigned);
        return result;
    }
    struct assigned before = *place;
    *place = assigned;
    /* A poller that does not answer may still submit the old one: rather leave that behind. */
    if (!before.target.kind || poller_quiesce(vm->poller, VM_CALL_TIMEOUT_NS) < 0)
        return 0;
    return drop(vm, &before);
}

int completion_release(struct vm *vm)
{
    int result = 0;
    for (uint32_t vcpu = 0; vm->completion && vcpu < SLOT_COUNT && result == 0; vcpu++) {
        struct assigned *assigned = &vm->completion->slots[vcpu];
        if (!assigned->target.kind)
            continue;
        result = tell_poller(vm, vcpu, NULL);
        if (result == 0)
            result = drop(vm, assigned);
    }
    if (result == 0) {
        free(vm->completion);
        vm->completion = NULL;
    }
    return result;
}

/* ---- the end ------------------------------------------------------------------------------- */

/* Here and now, by control. What cannot be written is full, and therefore told. */
static void tell_now(const struct notify_target *target, uint32_t vcpu)
{
    const uint64_t one = 1;
    ssize_t written = 0;
    switch (target->kind) {
    case NOTIFY_EVENTFD:
        written = write(target->descriptor, &one, sizeof(one));
        break;
    case NOTIFY_CONTROL:
        written = write(target->descriptor, &target->value, sizeof(target->value));
        break;
    case NOTIFY_DOORBELL:
        __atomic_store_n(target->address, target->value, __ATOMIC_RELEASE);
        break;
    case NOTIFY_CALL:
        target->call(target->context, vcpu);
        break;
    }
    (void)written;
}

/* A poller that was frozen may have completed a slot and not told of it: all are told, for one too many
 * costs a vCPU a look at its slot, and one too few its life. */
static void tell_rest(struct vm *vm)
{
    /* Acquire: pairs with page_notify_later. */
    uint32_t due = atomic_exchange_explicit(&vm->page->notify.due, 0, memory_order_acquire);
    if (poller_is_frozen(vm->poller))
        due = UINT32_MAX;
    for (uint32_t vcpu = 0; vm->completion && vcpu < SLOT_COUNT; vcpu++)
        if ((due >> vcpu & 1) && vm->completion->slots[vcpu].target.kind)
            tell_now(&vm->completion->slots[vcpu].target, vcpu);
}

void completion_settle(struct topology *topology)
{
    struct completion *completion = topology->completion;
    for (size_t i = 0; i < topology->vm_count; i++)
        tell_rest(topology->vms[i]);
    if (!completion)
        return;
    pthread_mutex_lock(&completion->lock);
    for (size_t i = 0; i < CONFIG_POLLERS_MAX; i++)
        if (completion->rings[i] && notify_ring_flush(completion->rings[i]) < 0)
            log_warning("poller %s: io_uring does not take its last notifications",
                        topology->pollers[i].name);
    pthread_mutex_unlock(&completion->lock);
}

struct completion_figures completion_figures(const struct completion *completion)
{
    struct completion_figures figures = {.way = ways[completion->way]};
    for (size_t i = 0; i < CONFIG_POLLERS_MAX; i++) {
        if (!completion->rings[i])
            continue;
        struct notify_ring_figures ring = notify_ring_figures(completion->rings[i]);
        figures.overflows += ring.overflows;
        figures.wakes += ring.wakes;
        figures.failures += ring.failures;
    }
    return figures;
}
