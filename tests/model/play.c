/* SPDX-License-Identifier: BSD-3-Clause */
#include "tests/model/play.h"

#include <stdio.h>
#include <time.h>

/* The one whose turns nanosleep gives; NULL: nobody's, nanosleep sleeps. */
static struct play *playing;

uint64_t play_random(struct play *play)
{
    /* splitmix64 */
    uint64_t z = play->random += 0x9e3779b97f4a7c15;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
    z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
    return z ^ (z >> 31);
}

/* ---- history ----------------------------------------------------------------------------- */

void play_line(struct play *play, const char *format, ...)
{
    char *line = play->lines[play->line_count++ % PLAY_LINES];
    int used = snprintf(line, sizeof(play->lines[0]), "%8llu %s",
                        (unsigned long long)play->operations, play->step_count ? "  | " : "");
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line + used, sizeof(play->lines[0]) - (size_t)used, format, arguments);
    va_end(arguments);
}

void play_differ(struct play *play, const char *format, ...)
{
    playing = NULL;
    uint64_t first = play->line_count > PLAY_LINES ? play->line_count - PLAY_LINES : 0;
    for (uint64_t i = first; i < play->line_count; i++)
        printf("%s\n", play->lines[i % PLAY_LINES]);
    printf("server and model differ: ");
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    printf("\nreplay: --seed %llu --count %llu\n", (unsigned long long)play->seed,
           (unsigned long long)play->operations + 1);
    exit(1);
}

/* ---- devices ----------------------------------------------------------------------------- */

static uint64_t mix(uint64_t hash, uint64_t word)
{
    hash = (hash ^ word) * 0xff51afd7ed558ccd;
    return hash ^ (hash >> 32);
}

int play_handle(struct play_device *device, struct request *request)
{
    uint64_t hash = mix(device->hash, request->address);
    hash = mix(hash, request->offset);
    hash = mix(hash, request->value);
    hash = mix(hash, request->range_index);
    hash = mix(hash, (uint64_t)request->vcpu << 32 | (uint64_t)request->type << 16 |
                         (uint64_t)request->direction << 8 | request->size_bytes);
    device->hash = hash;
    device->calls++;
    request->value = mix(hash, 1);
    return device->is_flaky && (hash & 7) == 0 ? -EIO : 0;
}

void play_device_init(struct play_device *device, uint64_t seed, bool is_flaky)
{
    device->seed = device->hash = seed;
    device->is_flaky = is_flaky;
}

void play_device_reset(struct play_device *device)
{
    device->hash = device->seed;
}

/* ---- steps ------------------------------------------------------------------------------- */

void play_begin(struct play *play)
{
    play->step_count = play->steps_done = play->sleeps = 0;
    play->is_step_posted = false;
}

void play_step(struct play *play, struct play_step step)
{
    assert_true(play->step_count < PLAY_STEPS);
    play->steps[play->step_count++] = step;
}

void play_end(struct play *play, const char *what, int theirs, int ours)
{
    if (theirs != ours)
        play_differ(play, "%s: %d, should be %d", what, theirs, ours);
    if (theirs >= 0 && play->steps_done != play->step_count)
        play_differ(play, "%s: %u commands instead of %u", what, play->steps_done,
                    play->step_count);
    play->step_count = 0;
}

static void note_posted(struct play *play)
{
    struct play_step *step = &play->steps[play->steps_done];
    if (play->is_step_posted || play->steps_done == play->step_count)
        return;
    play->is_step_posted = true;
    if (step->when_posted)
        step->when_posted(step);
}

static void note_run(struct play *play)
{
    struct play_step *step = &play->steps[play->steps_done];
    if (play->steps_done == play->step_count)
        return;
    play->is_step_posted = false;
    play->steps_done++;
    if (step->when_run)
        step->when_run(step);
}

/* ---- the others -------------------------------------------------------------------------- */

static struct poller *poller_of(struct play *play, uint32_t poller_index)
{
    return play->world.pollers[poller_index].poller;
}

/* A command is run at the end of a round. */
void play_round(struct play *play, uint32_t poller_index)
{
    struct poller *poller = poller_of(play, poller_index);
    bool has_command = atomic_load(&poller->command) != NULL;
    play_line(play, "poller %u%s", poller_index, has_command ? " and a command" : "");
    poller_round(poller);
    reference_round(&play->reference, poller_index);
    if (has_command)
        note_run(play);
}

static struct play_vm *any_vm(struct play *play)
{
    return play->vm_count ? play->vms[play_below(play, play->vm_count)] : NULL;
}

static void compare_look(struct play *play, struct play_vm *vm, struct play_client *client,
                         uint32_t vcpu)
{
    struct request theirs = {0}, ours = {0};
    int their_result = vm_client_look(client->client, vcpu, &theirs);
    int result = reference_look(vm->model, client->model, vcpu, &ours);
    if (their_result != result)
        play_differ(play, "look: %d, should be %d", their_result, result);
    if (result == 0 && (theirs.address != ours.address || theirs.offset != ours.offset ||
                        theirs.value != ours.value || theirs.range_index != ours.range_index ||
                        theirs.vcpu != vcpu || theirs.type != ours.type ||
                        theirs.direction != ours.direction || theirs.size_bytes != ours.size_bytes))
        play_differ(play, "look: another request");
}

static void outside(struct play *play, struct play_vm *vm)
{
    if (!vm->client_count)
        return;
    struct play_client *client = vm->clients[play_below(play, vm->client_count)];
    if (!client->is_external && !play_one_in(play, 8))
        return;
    uint32_t vcpu = play_below(play, play_one_in(play, 16) ? 20 : vm->model->vcpus), waiting = 0;
    if (client->is_external && !play->step_count) {
        int result = vm_client_wait(client->client, 0, &waiting);
        uint32_t expected = reference_waiting(vm->model, client->model);
        if (waiting != expected || result != (expected ? 0 : -ETIMEDOUT))
            play_differ(play, "wait: %#x, should be %#x", waiting, expected);
        if (expected && play_one_in(play, 2))
            vcpu = (uint32_t)__builtin_ctz(expected);
    }
    compare_look(play, vm, client, vcpu);
    uint64_t value = play_random(play);
    play_line(play, "%s %s finishes %u", vm->name, client->name, vcpu);
    int theirs = vm_client_finish(client->client, vcpu, value);
    int ours = reference_finish(vm->model, client->model, vcpu, value);
    if (theirs != ours)
        play_differ(play, "finish of vCPU %u: %d, should be %d", vcpu, theirs, ours);
}

void play_others(struct play *play)
{
    struct play_vm *vm = any_vm(play);
    uint32_t choice = play_below(play, 8);
    if (choice < 4 && vm && vm->is_attached) {
        for (uint32_t i = play_below(play, 4) + 1; i > 0; i--)
            play_ask(play, vm);
    } else if (choice < 5 && vm) {
        outside(play, vm);
    } else if (play->lazy > 0 && play->lazy_index == (choice == 7)) {
        play->lazy--;
    } else {
        play_round(play, choice == 7);
    }
}

/* Whoever still has a request of a VM that is being cleared answers it. */
static void finish_all(struct play *play)
{
    for (uint32_t i = 0; i < 4; i++)
        play_round(play, 0), play_round(play, 1);
    for (uint32_t i = 0; i < play->vm_count; i++) {
        struct play_vm *vm = play->vms[i];
        for (uint32_t k = 0; k < vm->client_count; k++) {
            struct play_client *client = vm->clients[k];
            for (uint32_t vcpu = 0; client->is_external && vcpu < vm->model->vcpus; vcpu++)
                if (vm_client_finish(client->client, vcpu, vcpu) !=
                    reference_finish(vm->model, client->model, vcpu, vcpu))
                    play_differ(play, "finish of vCPU %u", vcpu);
        }
    }
}

/* Control waits, for a command or for clients: the others' turn. */
int nanosleep(const struct timespec *request, struct timespec *remain)
{
    struct play *play = playing;
    if (!play)
        return clock_nanosleep(CLOCK_MONOTONIC, 0, request, remain);
    struct poller *waited_for = NULL;
    uint32_t poller_index = 0;
    for (uint32_t i = 0; i < WORLD_POLLERS; i++)
        if (atomic_load(&poller_of(play, i)->command))
            waited_for = poller_of(play, poller_index = i);
    if (waited_for)
        note_posted(play);
    for (uint32_t i = play_below(play, 4); i > 0; i--)
        play_others(play);
    if (++play->sleeps % 16 == 0)
        finish_all(play);
    if (waited_for && atomic_load(&waited_for->command) && !play_one_in(play, 4))
        play_round(play, poller_index);
    return 0;
}

/* ---- life -------------------------------------------------------------------------------- */

static void set_pollers_state(struct play *play, uint32_t state)
{
    for (uint32_t i = 0; i < WORLD_POLLERS; i++)
        atomic_store(&poller_of(play, i)->state, state);
}

void play_create(struct play *play, uint64_t seed)
{
    ticks_per_second(); /* sleeps, the first time */
    *play = (struct play){.seed = seed, .random = seed};
    world_create(&play->world, WORLD_POLLERS);
    set_pollers_state(play, POLLER_RUNNING);
    playing = play;
}

void play_forget_vm(struct play *play, struct play_vm *vm)
{
    for (uint32_t i = 0; i < PAGE_COUNTER_COUNT; i++)
        play->counted[i] += vm->model->counters[i];
    for (uint32_t i = 0; i < PAGE_SETTLED_COUNT; i++)
        play->settled[i] += vm->model->settled[i];
    reference_vm_remove(&play->reference, vm->model);
}

void play_destroy(struct play *play)
{
    playing = NULL;
    set_pollers_state(play, POLLER_NEW);
    world_destroy(&play->world);
    for (uint32_t i = 0; i < play->vm_count; i++) {
        play_forget_vm(play, play->vms[i]);
        for (uint32_t k = 0; k < play->vms[i]->client_count; k++)
            free(play->vms[i]->clients[k]);
        free(play->vms[i]);
    }
}
