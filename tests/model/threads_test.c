/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * With real threads: two pollers, two vCPUs that ask without pause, an external client, and control
 * that moves ranges between clients, makes and destroys clients and VMs, clears, resets and pauses.
 *
 * Each request must be answered once, and by a client that owned its address at some instant while
 * the request was there. Control writes down who may own each region before an operation and who
 * does after it; a vCPU looks at what was written down between its question and the answer.
 */
#include "tests/model/history.h"
#include "tests/support/world.h"

#include <pthread.h>
#include <stdio.h>
#include <sys/random.h>
#include <time.h>

#define REGIONS      4u
#define REGION_BYTES (1ull << 26)
#define CLIENTS      4u /* two on each poller */
#define VCPUS        2u
#define SEQUENCES \
    (REGION_BYTES / 8 / VCPUS) /* requests of a vCPU; each has an address of its own */
#define SECONDS    5
#define NOBODY     UINT32_MAX
#define ONES_BIT   63u /* in a mask: all-ones is an answer, too */
#define IDENTITIES 48u

/* A client's incarnation. */
struct owner {
    struct vm_client *client;
    uint32_t identity;
};

struct vcpu {
    uint32_t index;
    uint64_t answered;
    pthread_t thread;
};

static struct world world;
static struct vm *vm;
static struct history histories[REGIONS];
static _Atomic uint8_t *handled[VCPUS]; /* [SEQUENCES]: how often each request was handled */
static struct vcpu vcpus[VCPUS];
static _Atomic bool is_over, is_outside_over;

/* Control's. */
static uint64_t random_state;
static struct owner clients[CLIENTS], outside;
static uint32_t next_identity;
static uint32_t base[REGIONS], front[REGIONS]; /* index into clients, or NOBODY */
static struct vm *other;

static void check(bool is_right, const char *what)
{
    if (is_right)
        return;
    fprintf(stderr, "%s\n", what);
    abort(); /* cmocka's way out works in its own thread only */
}

static uint32_t below(uint32_t limit)
{
    random_state = random_state * 6364136223846793005 + 1442695040888963407;
    return (uint32_t)(random_state >> 33) % limit;
}

/* ---- requests ---------------------------------------------------------------------------- */

static uint64_t answer_of(uint32_t identity, uint64_t address)
{
    return (uint64_t)(identity + 1) << 56 | address;
}

static void note_handled(const struct request *request)
{
    uint64_t sequence = request->address % REGION_BYTES / 8 / VCPUS;
    uint8_t before = atomic_fetch_add(&handled[request->vcpu][sequence], 1);
    check(before == 0, "a request was handled twice");
}

static int handle(void *context, struct request *request)
{
    note_handled(request);
    request->value = answer_of(((struct owner *)context)->identity, request->address);
    return 0;
}

/* Somebody who could give this answer was there between the events `first` and `last`. */
static bool is_allowed(const struct history *history, uint32_t first, uint32_t last, uint64_t value,
                       uint64_t address)
{
    uint32_t bit = value == UINT64_MAX ? ONES_BIT : (uint32_t)(value >> 56) - 1;
    if (bit != ONES_BIT && (bit >= IDENTITIES || value != answer_of(bit, address)))
        return false;
    return history_allows(history, first, last, bit);
}

static void *vcpu_run(void *argument)
{
    struct vcpu *vcpu = argument;
    for (uint64_t sequence = 0; sequence < SEQUENCES && !atomic_load(&is_over); sequence++) {
        uint32_t region = (uint32_t)(sequence * 2654435761u >> 8) % REGIONS;
        const struct history *history = &histories[region];
        uint64_t address = region * REGION_BYTES + (sequence * VCPUS + vcpu->index) * 8;
        uint32_t first = history_now(history);
        world_ask(vm, vcpu->index, world_read(REQUEST_MMIO, address, 8));
        while (world_state(vm, vcpu->index) != SLOT_COMPLETE)
            sched_yield();
        uint64_t value = world_value(vm, vcpu->index);
        uint32_t last = history_now(history);
        check(is_allowed(history, first, last, value, address), "answered by a stranger");
        world_set_state(vm, vcpu->index, SLOT_FREE);
        vcpu->answered++;
    }
    return NULL;
}

/* The external client's thread: it leaves a request lie now and then. Control makes and destroys
 * the client while this lock is held; all else goes on meanwhile. */
static pthread_mutex_t outside_lock = PTHREAD_MUTEX_INITIALIZER;

static void *outside_run(void *argument)
{
    (void)argument;
    for (uint32_t turn = 0; !atomic_load(&is_outside_over); turn++) {
        uint32_t waiting = 0;
        pthread_mutex_lock(&outside_lock);
        if (outside.client)
            vm_client_wait(outside.client, 0, &waiting);
        for (uint32_t i = 0; i < VCPUS; i++) {
            struct request request;
            if (!(waiting >> i & 1) || (turn + i) % 4 == 0 ||
                vm_client_look(outside.client, i, &request) < 0)
                continue;
            uint64_t value = answer_of(outside.identity, request.address);
            if (vm_client_finish(outside.client, i, value) == 0)
                note_handled(&request);
        }
        pthread_mutex_unlock(&outside_lock);
        sched_yield();
    }
    return NULL;
}

#define ONES (1ull << ONES_BIT)

/* On a machine that is busy with something else a poller may not answer in time; what was refused
 * for that changed nothing, and is asked for again. */
#define UNTIL_IN_TIME(result, operation) \
    do                                   \
        (result) = (operation);          \
    while ((result) == -ETIMEDOUT)

static void must(int result)
{
    assert_int_equal(result < 0 ? result : 0, 0);
}

/* ---- who owns what ----------------------------------------------------------------------- */

static uint64_t mask_of(uint32_t region)
{
    uint32_t owner = front[region] != NOBODY ? front[region] : base[region];
    if (owner != NOBODY)
        return 1ull << clients[owner].identity;
    return 1ull << (outside.client ? outside.identity : ONES_BIT);
}

static uint64_t before[REGIONS];

/* An operation begins: what is true now is kept. */
static void begin(void)
{
    for (uint32_t i = 0; i < REGIONS; i++)
        before[i] = mask_of(i);
}

/* What will be true is in place, and the operation comes next. also: what else may answer. */
static void announce(uint64_t also)
{
    for (uint32_t i = 0; i < REGIONS; i++)
        history_write(&histories[i], before[i] | mask_of(i) | also);
}

static void end(int result)
{
    must(result);
    for (uint32_t i = 0; i < REGIONS; i++)
        history_write(&histories[i], mask_of(i));
}

/* ---- operations -------------------------------------------------------------------------- */

static uint64_t first_of(uint32_t region)
{
    return region * REGION_BYTES;
}

static uint64_t last_of(uint32_t region)
{
    return first_of(region) + REGION_BYTES - 1;
}

/* A range comes or goes, behind or in front of another one. */
static void toggle_range(void)
{
    uint32_t region = below(REGIONS), priority = below(2), index = below(CLIENTS);
    uint32_t *place = priority ? &front[region] : &base[region];
    uint32_t owner = *place;
    begin();
    *place = owner == NOBODY ? index : NOBODY;
    announce(0);
    struct vm_client *client = clients[owner == NOBODY ? index : owner].client;
    int result = 0;
    uint32_t other_place = priority ? base[region] : front[region];
    if (owner == NOBODY)
        UNTIL_IN_TIME(result, vm_client_add_range(client, REQUEST_MMIO, first_of(region),
                                                  last_of(region), priority));
    else if (owner == other_place && priority == 0)
        *place = owner; /* the one in front would go instead: leave it */
    else
        UNTIL_IN_TIME(result, vm_client_delete_range(client, REQUEST_MMIO, first_of(region),
                                                     last_of(region)));
    end(result);
}

/* All ranges move at once. */
static void move_ranges(void)
{
    struct router_range ranges[2 * REGIONS];
    size_t count = 0;
    begin();
    for (uint32_t i = 0; i < REGIONS; i++) {
        base[i] = below(CLIENTS);
        front[i] = below(3) ? NOBODY : below(CLIENTS);
        for (uint32_t priority = 0; priority < 2; priority++) {
            uint32_t owner = priority ? front[i] : base[i];
            if (owner != NOBODY)
                ranges[count++] = (struct router_range){.first = first_of(i),
                                                        .last = last_of(i),
                                                        .client = &clients[owner].client->client,
                                                        .type = REQUEST_MMIO,
                                                        .priority = priority};
        }
    }
    announce(0);
    int result;
    UNTIL_IN_TIME(result, vm_set_ranges(vm, ranges, count));
    end(result);
}

static void create_client(uint32_t index)
{
    char name[16];
    clients[index].identity = next_identity++ % IDENTITIES;
    snprintf(name, sizeof(name), "client%u", index);
    const struct vm_client_options options = {.name = name,
                                              .poller_index = index % 2,
                                              .handle = handle,
                                              .context = &clients[index],
                                              .is_prompt = below(2)};
    int result;
    UNTIL_IN_TIME(result, vm_client_create(vm, &options, &clients[index].client));
    must(result);
}

static void replace_client(void)
{
    uint32_t index = below(CLIENTS);
    begin();
    for (uint32_t i = 0; i < REGIONS; i++) {
        base[i] = base[i] == index ? NOBODY : base[i];
        front[i] = front[i] == index ? NOBODY : front[i];
    }
    announce(0);
    int result;
    UNTIL_IN_TIME(result, vm_client_destroy(clients[index].client));
    end(result);
    create_client(index);
}

static void toggle_outside(void)
{
    int result = 0;
    pthread_mutex_lock(&outside_lock);
    begin();
    struct vm_client *client = outside.client;
    if (client) {
        outside.client = NULL;
        announce(ONES);
        UNTIL_IN_TIME(result, vm_client_destroy(client));
    } else {
        const struct vm_client_options options = {
            .name = "outside", .is_external = true, .is_default = true};
        outside.identity = next_identity++ % IDENTITIES;
        for (uint32_t i = 0; i < REGIONS; i++) /* it takes requests before create returns */
            history_write(&histories[i], before[i] | 1ull << outside.identity);
        UNTIL_IN_TIME(result, vm_client_create(vm, &options, &outside.client));
    }
    end(result);
    pthread_mutex_unlock(&outside_lock);
}

static void clear_vm(void)
{
    begin();
    announce(ONES);
    bool with_reset = below(2);
    int result;
    UNTIL_IN_TIME(result, with_reset ? vm_reset(vm) : vm_clear(vm));
    end(result);
}

static void pause_vm(void)
{
    int result;
    UNTIL_IN_TIME(result, vm_pause(vm));
    must(result);
    for (uint32_t i = below(10); i > 0; i--)
        sched_yield();
    UNTIL_IN_TIME(result, vm_resume(vm));
    must(result);
}

static struct vm *start_vm(struct vm_options options)
{
    struct vm *started;
    int result, descriptor;
    UNTIL_IN_TIME(result, vm_create(&world.topology, &options, &started));
    must(result);
    UNTIL_IN_TIME(result, vm_attach(started, WORLD_PID, &descriptor));
    must(result);
    UNTIL_IN_TIME(result, vm_start(started));
    must(result);
    return started;
}

/* Another VM comes and goes, with requests in flight of its own. */
static void replace_vm(void)
{
    if (other)
        world_destroy_vm(other);
    other = start_vm((struct vm_options){.name = "other", .vcpus = 2, .poller_index = below(2)});
    struct vm_client *client = NULL;
    const struct vm_client_options options = {
        .name = "outside", .is_external = true, .is_default = true};
    int result;
    UNTIL_IN_TIME(result, vm_client_create(other, &options, &client));
    must(result);
    world_ask(other, 0, world_read(REQUEST_MMIO, 0, 8));
    world_ask(other, 1, world_read(REQUEST_MMIO, 0, 0));
}

static void any_operation(void)
{
    static void (*const operations[])(void) = {
        toggle_range,   toggle_range, toggle_range, move_ranges, replace_client,
        toggle_outside, clear_vm,     pause_vm,     replace_vm,
    };
    operations[below(sizeof(operations) / sizeof(operations[0]))]();
}

/* ---- all of it --------------------------------------------------------------------------- */

static void build(void)
{
    world_create(&world, WORLD_POLLERS);
    world_start(&world);
    vm = world_vm_with(
        &world, (struct vm_options){.name = "vm", .vcpus = VCPUS, .clear_timeout_ns = 2000000});
    for (uint32_t i = 0; i < CLIENTS; i++)
        create_client(i);
    for (uint32_t i = 0; i < REGIONS; i++) {
        base[i] = front[i] = NOBODY;
        history_write(&histories[i], mask_of(i));
    }
    for (uint32_t i = 0; i < VCPUS; i++) {
        handled[i] = calloc(SEQUENCES, sizeof(*handled[i]));
        assert_non_null(handled[i]);
    }
}

static time_t seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec;
}

static void each_request_is_answered_once_by_an_owner(void **state)
{
    (void)state;
    uint64_t seed = 0;
    assert_true(getrandom(&seed, sizeof(seed), 0) == sizeof(seed));
    random_state = seed;
    print_message("seed %llu (threads: it does not replay)\n", (unsigned long long)seed);
    build();
    pthread_t outside_thread;
    for (uint32_t i = 0; i < VCPUS; i++) {
        vcpus[i].index = i;
        assert_int_equal(pthread_create(&vcpus[i].thread, NULL, vcpu_run, &vcpus[i]), 0);
    }
    assert_int_equal(pthread_create(&outside_thread, NULL, outside_run, NULL), 0);
    uint64_t operations = 0;
    for (time_t until = seconds() + SECONDS; seconds() < until && !history_is_full(&histories[0]);
         operations++)
        any_operation();
    atomic_store(&is_over, true);
    uint64_t answered = 0;
    for (uint32_t i = 0; i < VCPUS; i++) {
        pthread_join(vcpus[i].thread, NULL);
        answered += vcpus[i].answered;
    }
    atomic_store(&is_outside_over, true); /* the vCPUs waited for it */
    pthread_join(outside_thread, NULL);
    print_message("%llu requests, %llu operations\n", (unsigned long long)answered,
                  (unsigned long long)operations);
    assert_int_equal(world_counter(vm, PAGE_REQUESTS), answered);
    assert_int_equal(world_settled(vm, PAGE_DROPPED), 0);
    assert_int_equal(world_counter(vm, PAGE_REVOKED), 0);
    assert_true(answered > 0 && operations > 0);
    world_destroy(&world);
    for (uint32_t i = 0; i < VCPUS; i++)
        free((void *)handled[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_request_is_answered_once_by_an_owner)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
