/* SPDX-License-Identifier: BSD-3-Clause */
/* What control does to VMs. */
#include "tests/model/play.h"

#include <stdio.h>

/* ---- VMs --------------------------------------------------------------------------------- */

void play_create_vm(struct play *play)
{
    if (play->vm_count == PLAY_VMS)
        return;
    struct play_vm *vm = calloc(1, sizeof(*vm));
    assert_non_null(vm);
    bool is_twin = play->vm_count && play_one_in(play, 10);
    if (is_twin)
        snprintf(vm->name, sizeof(vm->name), "%s", play->vms[0]->name);
    else
        snprintf(vm->name, sizeof(vm->name), "vm%u", play->names++);
    struct vm_options options = {
        .name = play_one_in(play, 20) ? "" : vm->name,
        .vcpus = 1 + play_below(play, play_one_in(play, 3) ? 20 : 4),
        .poller_index = play_below(play, play_one_in(play, 20) ? 4 : 2),
        .clear_timeout_ns = play_one_in(play, 2) ? 1 : 60000000000ull,
        .has_pci = play_one_in(play, 2),
    };
    bool is_valid = options.name[0] && options.vcpus <= 16 && options.poller_index < WORLD_POLLERS;
    int expected = !is_valid ? -EINVAL : is_twin ? -EEXIST : 0;
    play_line(play, "create %s vcpus %u poller %u pci %d: %d", vm->name, options.vcpus,
              options.poller_index, options.has_pci, expected);
    if (expected == 0)
        play_step(play, (struct play_step){0});
    play_end(play, "vm_create", vm_create(&play->world.topology, &options, &vm->vm), expected);
    if (expected < 0) {
        free(vm);
        return;
    }
    vm->state = VM_STOPPED;
    vm->model =
        reference_vm_add(&play->reference, options.poller_index, options.vcpus, options.has_pci);
    play->vms[play->vm_count++] = vm;
}

static void set_closed(struct play_step *step)
{
    reference_close(step->vm->model);
}

static void set_open(struct play_step *step)
{
    reference_open(step->vm->model, step->vm->state == VM_RUNNING);
}

void play_client_free(struct play *play, struct play_client *client)
{
    if (client->can_reset && !client->theirs.is_destroyed)
        play_differ(play, "%s: its device was not destroyed", client->name);
    free(client);
}

void play_destroy_vm(struct play *play, struct play_vm *vm)
{
    play_line(play, "destroy %s", vm->name);
    /* From now on its requester and its clients are not there. */
    uint32_t place = 0;
    while (play->vms[place] != vm)
        place++;
    play->vms[place] = play->vms[--play->vm_count];
    if (vm->is_attached)
        play_step(play, (struct play_step){.when_run = set_closed, .vm = vm});
    play_end(play, "vm_destroy", vm_destroy(vm->vm), 0);
    play_forget_vm(play, vm);
    for (uint32_t i = 0; i < vm->client_count; i++)
        play_client_free(play, vm->clients[i]);
    free(vm);
}

static void reset_ours(struct play_step *step)
{
    play_device_reset(&step->client->ours);
}

static void expect_device_resets(struct play *play, struct play_vm *vm)
{
    for (uint32_t i = 0; i < vm->client_count; i++)
        if (vm->clients[i]->can_reset)
            play_step(play, (struct play_step){
                                .when_run = reset_ours, .vm = vm, .client = vm->clients[i]});
}

void play_attach(struct play *play, struct play_vm *vm)
{
    int descriptor, expected = vm->is_attached ? -EEXIST : 0;
    play_line(play, "attach %s: %d", vm->name, expected);
    if (expected == 0) {
        expect_device_resets(play, vm);
        play_step(play, (struct play_step){.when_run = set_open, .vm = vm});
    }
    play_end(play, "vm_attach", vm_attach(vm->vm, WORLD_PID, &descriptor), expected);
    vm->is_attached = true;
}

void play_detach(struct play *play, struct play_vm *vm)
{
    play_line(play, "detach %s", vm->name);
    if (vm->is_attached)
        play_step(play, (struct play_step){.when_run = set_closed, .vm = vm});
    vm->is_attached = false; /* the requester is gone, and touches the page no more */
    vm_detach(vm->vm);
    play_end(play, "vm_detach", 0, 0);
}

static void set_swept(struct play_step *step)
{
    step->vm->model->is_swept = true;
}

static void set_not_swept(struct play_step *step)
{
    step->vm->model->is_swept = false;
}

void play_change_state(struct play *play, struct play_vm *vm)
{
    static const struct {
        const char *name;
        int (*function)(struct vm *vm);
        enum vm_state from, to;
        void (*step)(struct play_step *step);
    } changes[] = {
        {"vm_start", vm_start, VM_STOPPED, VM_RUNNING, set_swept},
        {"vm_pause", vm_pause, VM_RUNNING, VM_PAUSED, set_not_swept},
        {"vm_resume", vm_resume, VM_PAUSED, VM_RUNNING, set_swept},
    };
    uint32_t i = play_below(play, 3);
    if (i == 1 && play_one_in(play, 2))
        i = 2;
    int expected = vm->state == changes[i].from ? 0 : -EINVAL;
    play_line(play, "%s %s: %d", changes[i].name, vm->name, expected);
    if (expected == 0 && vm->is_attached)
        play_step(play, (struct play_step){.when_run = changes[i].step, .vm = vm});
    play_end(play, changes[i].name, changes[i].function(vm->vm), expected);
    if (expected == 0)
        vm->state = changes[i].to;
}

static void begin_clearing(struct play_step *step)
{
    step->vm->model->is_clearing = true;
}

static void settle_rest(struct play_step *step)
{
    step->result = reference_settle_all(step->vm->model);
}

static void abandon_settled(struct play_step *step)
{
    reference_abandon_settled(step->vm->model);
}

static void end_clearing(struct play_step *step)
{
    step->vm->model->is_clearing = false;
}

void play_clear(struct play *play, struct play_vm *vm)
{
    bool with_reset = play_one_in(play, 2);
    play_line(play, "%s %s", with_reset ? "reset" : "clear", vm->name);
    play_step(play, (struct play_step){.when_run = begin_clearing, .vm = vm});
    /* One more round while it lasts. */
    play_step(play, (struct play_step){.when_run = abandon_settled, .vm = vm});
    if (with_reset)
        expect_device_resets(play, vm);
    play_step(play, (struct play_step){.when_run = end_clearing, .vm = vm});
    /* The clients' time is over when control asks for what comes next. */
    play->steps[1].when_posted = settle_rest;
    int result = with_reset ? vm_reset(vm->vm) : vm_clear(vm->vm);
    play_end(play, "vm_clear", result, play->steps[1].result);
}
