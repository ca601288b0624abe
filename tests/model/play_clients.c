/* SPDX-License-Identifier: BSD-3-Clause */
/* What control does to clients and their ranges. */
#include "tests/model/play.h"

#include <stdio.h>

/* ---- clients ----------------------------------------------------------------------------- */

static int handle_theirs(struct device *device, struct request *request)
{
    return play_handle((struct play_device *)device, request);
}

static int handle_context(void *context, struct request *request)
{
    return play_handle(context, request);
}

static void reset_theirs(struct device *device)
{
    play_device_reset((struct play_device *)device);
}

static void destroy_theirs(struct device *device)
{
    ((struct play_device *)device)->is_destroyed = true;
}

static const struct device_ops device_ops = {
    .name = "play", .handle = handle_theirs, .reset = reset_theirs, .destroy = destroy_theirs};

static const struct device_ops prompt_ops = {.name = "prompt",
                                             .handle = handle_theirs,
                                             .is_prompt = true,
                                             .reset = reset_theirs,
                                             .destroy = destroy_theirs};

static void set_default(struct play_step *step)
{
    reference_set_default(step->vm->model, step->client ? step->client->model : NULL);
}

static struct vm_client_options any_client(struct play *play, struct play_vm *vm,
                                           struct play_client *client)
{
    bool is_flaky = play_one_in(play, 3);
    uint64_t seed = play_random(play);
    play_device_init(&client->theirs, seed, is_flaky);
    play_device_init(&client->ours, seed, is_flaky);
    client->theirs.device.ops = play_one_in(play, 2) ? &prompt_ops : &device_ops;
    if (vm->client_count && play_one_in(play, 10))
        snprintf(client->name, sizeof(client->name), "%s", vm->clients[0]->name);
    else
        snprintf(client->name, sizeof(client->name), "client%u", play->names++);
    struct vm_client_options options = {
        .name = play_one_in(play, 20) ? "sixteen_letters_" : client->name,
        .poller_index = play_below(play, play_one_in(play, 20) ? 4 : 2),
        .broken_after = play_one_in(play, 4) ? 3 : 0,
    };
    uint32_t kind = play_below(play, 10);
    options.device = kind < 4 ? &client->theirs.device : NULL;
    options.handle = kind >= 3 && kind < 6 ? handle_context : NULL; /* 3: both */
    options.context = &client->theirs;
    options.is_external = kind >= 6 && kind < 9; /* 9: nothing */
    options.is_default = options.is_external ? !play_one_in(play, 8) : play_one_in(play, 4);
    client->can_reset = options.device != NULL;
    client->is_external = options.is_external;
    return options;
}

static int expect_client(const struct play_vm *vm, const struct vm_client_options *options)
{
    int answering = (options->device != NULL) + (options->handle != NULL) + options->is_external;
    if (strlen(options->name) > 15 || answering != 1 || options->poller_index >= WORLD_POLLERS ||
        (options->is_external && !options->is_default))
        return -EINVAL;
    for (uint32_t i = 0; i < vm->client_count; i++)
        if (strcmp(vm->clients[i]->name, options->name) == 0)
            return -EEXIST;
    return options->is_default && vm->model->default_client ? -EEXIST : 0;
}

void play_create_client(struct play *play, struct play_vm *vm)
{
    if (vm->client_count == PLAY_CLIENTS)
        return;
    struct play_client *client = calloc(1, sizeof(*client));
    assert_non_null(client);
    struct vm_client_options options = any_client(play, vm, client);
    int expected = expect_client(vm, &options);
    play_line(play, "%s create %s poller %u%s%s: %d", vm->name, client->name, options.poller_index,
              options.is_default ? " default" : "", options.is_external ? " external" : "",
              expected);
    if (expected == 0) {
        client->model = reference_client_add(vm->model, options.poller_index, options.is_external);
        client->model->handle = handle_context;
        client->model->context = &client->ours;
        client->model->broken_after = options.broken_after;
        client->model->is_prompt = options.device && options.device->ops->is_prompt;
        if (client->model->is_far)
            play_step(play, (struct play_step){0});
        if (options.is_default)
            play_step(play,
                      (struct play_step){.when_run = set_default, .vm = vm, .client = client});
    }
    play_end(play, "vm_client_create", vm_client_create(vm->vm, &options, &client->client),
             expected);
    if (expected == 0) {
        vm->clients[vm->client_count++] = client;
        return;
    }
    if (client->theirs.is_destroyed)
        play_differ(play, "a device was destroyed that is the caller's");
    free(client);
}

static void forget_ranges(struct play_step *step)
{
    reference_forget_ranges(step->client->model);
}

void play_destroy_client(struct play *play, struct play_vm *vm, struct play_client *client)
{
    play_line(play, "%s destroy %s", vm->name, client->name);
    play_step(play, (struct play_step){0});
    play_step(play, (struct play_step){.when_posted = forget_ranges, .client = client});
    if (vm->model->default_client == client->model)
        play_step(play, (struct play_step){.when_run = set_default, .vm = vm});
    play_step(play, (struct play_step){0});
    play_end(play, "vm_client_destroy", vm_client_destroy(client->client), 0);
    if (client->model->inbox_count > 0)
        play_differ(play, "%s: %u requests were left in its inbox", client->name,
                    client->model->inbox_count);
    reference_client_remove(vm->model, client->model);
    uint32_t place = 0;
    while (vm->clients[place] != client)
        place++;
    vm->client_count--;
    memmove(&vm->clients[place], &vm->clients[place + 1],
            (vm->client_count - place) * sizeof(vm->clients[0]));
    play_client_free(play, client);
}

void play_set_default(struct play *play, struct play_vm *vm, struct play_client *client)
{
    play_line(play, "%s default %s", vm->name, client ? client->name : "nobody");
    play_step(play, (struct play_step){.when_run = set_default, .vm = vm, .client = client});
    play_end(play, "vm_set_default_client",
             vm_set_default_client(vm->vm, client ? client->client : NULL), 0);
}

/* ---- ranges ------------------------------------------------------------------------------ */

static struct reference_range any_range(struct play *play)
{
    static const uint64_t lengths[] = {0, 1, 3, 7, 15, 31};
    struct reference_range range = {.type = play_type(play),
                                    .priority = play_below(play, 3),
                                    .range_index = play_below(play, 8)};
    range.first = play_address(play, range.type);
    range.last = range.first + lengths[play_below(play, 6)];
    if (play_one_in(play, 20))
        range.last = play_address(play, range.type);
    return range;
}

void play_add_range(struct play *play, struct play_vm *vm, struct play_client *client)
{
    struct reference_range range = any_range(play);
    int expected = reference_add_range(vm->model, client->model, &range);
    play_line(play, "%s %s add type %u %#llx-%#llx priority %u: %d", vm->name, client->name,
              range.type, (unsigned long long)range.first, (unsigned long long)range.last,
              range.priority, expected);
    if (expected == 0)
        play_step(play, (struct play_step){0});
    play_end(
        play, "vm_client_add_range",
        vm_client_add_range(client->client, range.type, range.first, range.last, range.priority),
        expected);
}

void play_delete_range(struct play *play, struct play_vm *vm, struct play_client *client)
{
    const struct reference_range *range = client->model->ranges;
    for (uint32_t i = play_below(play, 4); i > 0 && range; i--)
        range = range->next;
    struct reference_range deleted = range ? *range : any_range(play);
    if (play_one_in(play, 8))
        deleted.last++;
    int expected = reference_delete_range(client->model, deleted.type, deleted.first, deleted.last);
    play_line(play, "%s %s delete type %u %#llx-%#llx: %d", vm->name, client->name, deleted.type,
              (unsigned long long)deleted.first, (unsigned long long)deleted.last, expected);
    if (expected == 0)
        play_step(play, (struct play_step){0});
    play_end(play, "vm_client_delete_range",
             vm_client_delete_range(client->client, deleted.type, deleted.first, deleted.last),
             expected);
}

void play_set_ranges(struct play *play, struct play_vm *vm)
{
    struct reference_range ranges[8];
    struct reference_client *owners[8];
    struct router_range theirs[8];
    uint32_t count = vm->client_count ? play_below(play, 8) : 0;
    for (uint32_t i = 0; i < count; i++) {
        struct play_client *client = vm->clients[play_below(play, vm->client_count)];
        const struct play_vm *other = play->vms[play_below(play, play->vm_count)];
        bool is_foreign = other != vm && other->client_count && play_one_in(play, 20);
        ranges[i] = any_range(play);
        owners[i] = is_foreign ? NULL : client->model;
        theirs[i] = (struct router_range){
            .first = ranges[i].first,
            .last = ranges[i].last,
            .client = is_foreign ? &other->clients[0]->client->client : &client->client->client,
            .type = ranges[i].type,
            .range_index = ranges[i].range_index,
            .priority = ranges[i].priority,
        };
    }
    int expected = reference_set_ranges(vm->model, owners, ranges, count);
    play_line(play, "%s set %u ranges: %d", vm->name, count, expected);
    if (expected == 0)
        play_step(play, (struct play_step){0});
    play_end(play, "vm_set_ranges", vm_set_ranges(vm->vm, theirs, count), expected);
}
