/* SPDX-License-Identifier: BSD-3-Clause */
/* "What the Linux driver does": VMs, clients, ranges, dispatch and completion. */
#include "tests/server/conformance/table.h"

static void second_page(struct world *world)
{
    struct vm *vm = world_vm(world, "vm", 1);
    int descriptor = -7;
    assert_int_equal(vm_attach(vm, WORLD_PID + 1, &descriptor), -EEXIST);
    assert_int_equal(descriptor, -7);
    assert_int_equal(vm->requester_pid, WORLD_PID);
    vm_detach(vm);
    assert_int_equal(vm_attach(vm, WORLD_PID + 1, &descriptor), 0);
}

static void vcpu_counts(struct world *world)
{
    const uint32_t invalid[] = {0, 17, 65535, 65536 + 1, UINT32_MAX};
    struct vm_options options = {.name = "vm"};
    struct vm *vm = NULL;
    for (size_t i = 0; i < sizeof(invalid) / sizeof(invalid[0]); i++) {
        options.vcpus = invalid[i];
        assert_int_equal(vm_create(&world->topology, &options, &vm), -EINVAL);
    }
    assert_null(vm);
    assert_int_equal(world->topology.vm_count, 0);
    for (options.vcpus = 1; options.vcpus <= 16; options.vcpus++) {
        assert_int_equal(vm_create(&world->topology, &options, &vm), 0);
        assert_int_equal(vm_destroy(vm), 0);
    }
}

/* A device of the test's own, which tells of its end. */
static int destroyed;

static void count_destroy(struct device *device)
{
    (void)device;
    destroyed++;
}

static const struct device_ops counted_ops = {.name = "counted", .destroy = count_destroy};

static void vm_destroy_takes_all(struct world *world)
{
    struct vm *vm = world_vm(world, "vm", 1);
    struct device devices[2] = {{.ops = &counted_ops}, {.ops = &counted_ops}};
    struct vm_client *client;
    destroyed = 0;
    for (uint32_t i = 0; i < 2; i++) {
        struct vm_client_options options = {
            .name = i ? "b" : "a", .poller_index = i, .device = &devices[i]};
        assert_int_equal(vm_client_create(vm, &options, &client), 0);
    }
    world_external(vm, "outside");
    world_ask(vm, 0, world_read(REQUEST_MMIO, WORLD_MMIO, 4));
    poller_round(world->pollers[0].poller); /* in flight */
    assert_int_equal(vm_destroy(vm), 0);
    assert_int_equal(destroyed, 2);
    assert_int_equal(world->topology.vm_count, 0);
    for (uint32_t i = 0; i < WORLD_POLLERS; i++) {
        assert_int_equal(world->pollers[i].poller->page_count, 0);
        assert_int_equal(world->pollers[i].poller->inbox_count, 0);
    }
}

static void client_names(struct world *world)
{
    struct vm *vm = world_vm(world, "vm", 1);
    struct world_device device = {0};
    struct vm_client *client = NULL;
    const char *invalid[] = {NULL, "", "sixteen_letters_"};
    for (size_t i = 0; i < 3; i++) {
        struct vm_client_options options = world_client_options(invalid[i], &device);
        assert_int_equal(vm_client_create(vm, &options, &client), -EINVAL);
    }
    assert_int_equal(vm->client_count, 0);
    client = world_client(vm, "fifteen_letters", 0, &device);
    assert_string_equal(client->client.name, "fifteen_letters");
    struct vm_client_options options = world_client_options("fifteen_letters", &device);
    assert_int_equal(vm_client_create(vm, &options, &client), -EEXIST);
}

static void handlers(struct world *world)
{
    struct vm *vm = world_vm(world, "vm", 1);
    struct vm_client *client = NULL;
    const struct vm_client_options silent = {.name = "silent"};
    const struct vm_client_options external = {.name = "external", .is_external = true};
    assert_int_equal(vm_client_create(vm, &silent, &client), -EINVAL);
    assert_int_equal(vm_client_create(vm, &external, &client), -EINVAL);
    struct world_device device = {0};
    struct vm_client_options both = world_client_options("both", &device);
    both.is_external = both.is_default = true;
    assert_int_equal(vm_client_create(vm, &both, &client), -EINVAL);
    world_external(vm, "default");
}

static void second_default(struct world *world)
{
    struct vm *vm = world_vm(world, "vm", 1);
    struct world_device device;
    struct vm_client *first = world_default(vm, "first", &device), *second = NULL;
    struct vm_client_options options = world_client_options("second", &device);
    options.is_default = true;
    assert_int_equal(vm_client_create(vm, &options, &second), -EEXIST);
    assert_int_equal(vm_client_destroy(first), 0);
    assert_int_equal(vm_client_create(vm, &options, &second), 0);
}

static void default_takes_the_rest(struct world *world)
{
    struct vm *vm = world_vm(world, "vm", 1);
    struct world_device mine, rest;
    world_range(world_client(vm, "mine", 0, &mine), REQUEST_PORTIO, WORLD_PORT, WORLD_PORT + 3);
    world_default(vm, "rest", &rest);
    world_do(world, vm, world_read(REQUEST_PORTIO, WORLD_PORT, 4));
    world_do(world, vm, world_read(REQUEST_MMIO, WORLD_PORT, 4));
    assert_int_equal(mine.calls, 1);
    assert_int_equal(rest.calls, 1);
    assert_int_equal(rest.last.range_index, REQUEST_NO_RANGE);
    assert_int_equal(rest.last.offset, WORLD_PORT);
}

static void without_any_client(struct world *world)
{
    struct vm *vm = world_vm(world, "vm", 3);
    for (uint32_t i = 0; i < 3; i++)
        world_ask(vm, i, world_read(REQUEST_MMIO, WORLD_MMIO, 2));
    poller_round(world->pollers[0].poller);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(world_await(world, vm, i), 0xffff);
    assert_int_equal(world_counter(vm, PAGE_UNROUTED), 3);
}

static void last_is_inclusive(struct world *world)
{
    struct vm *vm = world_vm(world, "vm", 1);
    struct world_device device;
    struct vm_client *client = world_client(vm, "client", 0, &device);
    assert_int_equal(vm_client_add_range(client, REQUEST_MMIO, 8, 7, 0), -EINVAL);
    assert_int_equal(client->range_count, 0);
    world_range(client, REQUEST_MMIO, 7, 7);
    assert_int_equal(world_do(world, vm, world_read(REQUEST_MMIO, 7, 1)), WORLD_ANSWER & 0xff);
    assert_int_equal(world_do(world, vm, world_read(REQUEST_MMIO, 8, 1)), 0xff);
    world_range(client, REQUEST_MMIO, UINT64_MAX - 7, UINT64_MAX);
    assert_int_equal(world_do(world, vm, world_read(REQUEST_MMIO, UINT64_MAX - 7, 8)),
                     WORLD_ANSWER);
}

static void whole_access_in_the_range(struct world *world)
{
    struct vm *vm = world_vm(world, "vm", 1);
    struct world_device low, high, rest;
    world_range(world_client(vm, "low", 0, &low), REQUEST_MMIO, WORLD_MMIO, WORLD_MMIO + 7);
    world_range(world_client(vm, "high", 0, &high), REQUEST_MMIO, WORLD_MMIO + 8, WORLD_MMIO + 15);
    world_default(vm, "rest", &rest);
    const struct world_access outside[] = {
        world_read(REQUEST_MMIO, WORLD_MMIO - 1, 2),
        world_read(REQUEST_MMIO, WORLD_MMIO + 15, 2),
        world_read(REQUEST_MMIO, WORLD_MMIO + 7, 2), /* spans two */
        world_read(REQUEST_MMIO, WORLD_MMIO + 4, 8),
    };
    for (size_t i = 0; i < 4; i++)
        world_do(world, vm, outside[i]);
    assert_int_equal(low.calls + high.calls, 0);
    assert_int_equal(rest.calls, 4);
}

static void pcicfg_and_wp(struct world *world)
{
    struct vm *vm = world_vm(world, "vm", 1);
    struct world_device function, rest;
    struct vm_client *client = world_client(vm, "function", 0, &function);
    world_default(vm, "rest", &rest);
    world_range(client, REQUEST_PCICFG, 0x1f000, 0x1ffff); /* bus 0, device 3, function 7 */
    assert_int_equal(vm_client_add_range(client, REQUEST_WP, 0, 0xfff, 0), -EINVAL);
    world_ask_pcicfg(vm, 0, REQUEST_READ, 0x1f, 0x10, 4);
    assert_int_equal(world_await(world, vm, 0) & 0xffffffff, WORLD_ANSWER & 0xffffffff);
    assert_int_equal(function.calls, 1);
    assert_int_equal(function.last.offset, 0x10);
    world_ask_pcicfg(vm, 0, REQUEST_READ, 0x1e, 0x10, 4);
    world_await(world, vm, 0);
    assert_int_equal(rest.last.address, 0x1e010);
    world_do(world, vm, world_write(REQUEST_WP, 0x1f010, 4, 1));
    assert_int_equal(rest.calls, 2);
    assert_int_equal(rest.last.type, REQUEST_WP);
}

static void overlaps(struct world *world)
{
    struct vm *vm = world_vm(world, "vm", 1);
    struct world_device a, b;
    struct vm_client *old = world_client(vm, "old", 0, &a), *new = world_client(vm, "new", 0, &b);
    world_range(old, REQUEST_MMIO, 0x1000, 0x1fff);
    assert_int_equal(vm_client_add_range(new, REQUEST_MMIO, 0x1fff, 0x2fff, 0), -EEXIST);
    assert_int_equal(vm_client_add_range(old, REQUEST_MMIO, 0x1000, 0x1fff, 0), -EEXIST);
    assert_int_equal(vm_client_add_range(new, REQUEST_MMIO, 0x1800, 0x18ff, 1), 0);
    world_do(world, vm, world_read(REQUEST_MMIO, 0x1800, 4));
    world_do(world, vm, world_read(REQUEST_MMIO, 0x1900, 4));
    assert_int_equal(a.calls, 1);
    assert_int_equal(b.calls, 1);
    /* What lies in neither as a whole belongs to neither. */
    assert_int_equal(world_do(world, vm, world_read(REQUEST_MMIO, 0x17fe, 4)), 0xffffffff);
    assert_int_equal(a.calls + b.calls, 2);
}

static void exact_delete(struct world *world)
{
    struct vm *vm = world_vm(world, "vm", 1);
    struct world_device device;
    struct vm_client *client = world_client(vm, "client", 0, &device);
    world_range(client, REQUEST_MMIO, 0x1000, 0x1fff);
    assert_int_equal(vm_client_delete_range(client, REQUEST_MMIO, 0x1000, 0x1ffe), -ENOENT);
    assert_int_equal(vm_client_delete_range(client, REQUEST_MMIO, 0x1001, 0x1fff), -ENOENT);
    assert_int_equal(vm_client_delete_range(client, REQUEST_PORTIO, 0x1000, 0x1fff), -ENOENT);
    world_do(world, vm, world_read(REQUEST_MMIO, 0x1000, 4));
    assert_int_equal(device.calls, 1);
    assert_int_equal(vm_client_delete_range(client, REQUEST_MMIO, 0x1000, 0x1fff), 0);
    world_do(world, vm, world_read(REQUEST_MMIO, 0x1000, 4));
    assert_int_equal(device.calls, 1);
}

static void dispatch_marks(struct world *world)
{
    struct vm *vm = world_vm(world, "vm", 3);
    struct world_device device;
    world_range(world_client(vm, "far", 1, &device), REQUEST_MMIO, WORLD_MMIO, WORLD_MMIO + 7);
    world_external(vm, "default");
    world_ask(vm, 0, world_read(REQUEST_MMIO, WORLD_MMIO, 4));
    world_ask(vm, 2, world_read(REQUEST_MMIO, 0, 4));
    world_ask(vm, 3, world_read(REQUEST_MMIO, 0, 4)); /* beyond the vCPUs */
    vm->source.slots[2].kernel_handled = 77;
    poller_round(world->pollers[0].poller);
    assert_int_equal(world_state(vm, 0), SLOT_PROCESSING);
    assert_int_equal(vm->source.slots[0].kernel_handled, 1);
    assert_int_equal(world_state(vm, 1), SLOT_FREE);
    assert_int_equal(world_state(vm, 2), SLOT_PROCESSING);
    assert_int_equal(vm->source.slots[2].kernel_handled, 0);
    assert_int_equal(world_state(vm, 3), SLOT_PENDING);
    struct vm *nobodys = world_vm(world, "nobodys", 1);
    world_ask(nobodys, 0, world_read(REQUEST_MMIO, 0, 4));
    nobodys->source.slots[0].kernel_handled = 77;
    poller_round(world->pollers[0].poller);
    assert_int_equal(world_state(nobodys, 0), SLOT_COMPLETE);
    assert_int_equal(nobodys->source.slots[0].kernel_handled, 77);
}

static void polling_sampled_before_complete(struct world *world)
{
    struct vm *vm = world_vm(world, "vm", 2);
    struct world_device device;
    world_range(world_client(vm, "far", 1, &device), REQUEST_MMIO, WORLD_MMIO, WORLD_MMIO + 7);
    /* vCPU 0 polls when it asks, vCPU 1 does not; both change their minds in flight. */
    for (uint32_t i = 0; i < 2; i++) {
        world_fill(vm, i, world_read(REQUEST_MMIO, WORLD_MMIO, 4));
        vm->source.slots[i].completion_polling = !i;
        world_set_state(vm, i, SLOT_PENDING);
    }
    poller_round(world->pollers[0].poller);
    assert_true(vm->page->records[1].notify_wanted);
    assert_false(vm->page->records[0].notify_wanted);
    for (uint32_t i = 0; i < 2; i++)
        vm->source.slots[i].completion_polling = i;
    world_round(world);
    world_round(world); /* what the other poller answered is taken by the next */
    for (uint32_t i = 0; i < 2; i++)
        assert_int_equal(world_state(vm, i), SLOT_COMPLETE);
}

static void handler_error(struct world *world)
{
    struct vm *vm = world_vm(world, "vm", 1);
    struct world_device device = {.answer = 5, .result = -EIO};
    struct vm_client_options options = world_client_options("failing", &device);
    struct vm_client *client = NULL;
    options.broken_after = 3;
    assert_int_equal(vm_client_create(vm, &options, &client), 0);
    world_range(client, REQUEST_MMIO, WORLD_MMIO, WORLD_MMIO + 7);
    for (int i = 0; i < 5; i++)
        assert_int_equal(world_do(world, vm, world_read(REQUEST_MMIO, WORLD_MMIO, 4)), 0xffffffff);
    assert_int_equal(device.calls, 3);
    assert_int_equal(counter_read(&client->client.errors), 3);
    assert_true(client->client.is_broken);
}

static void destroy_rescans(struct world *world)
{
    struct vm *vm = world_vm(world, "vm", 2);
    struct world_device a, b;
    struct vm_client *old = world_client(vm, "old", 0, &a), *new = world_client(vm, "new", 0, &b);
    world_range(old, REQUEST_MMIO, WORLD_MMIO, WORLD_MMIO + 7);
    assert_int_equal(vm_client_add_range(new, REQUEST_MMIO, WORLD_MMIO, WORLD_MMIO + 7, 1), 0);
    world_ask(vm, 0, world_read(REQUEST_MMIO, WORLD_MMIO, 8));
    assert_int_equal(vm_client_destroy(new), 0);
    assert_int_equal(world_await(world, vm, 0), WORLD_ANSWER); /* by the one that is left */
    assert_int_equal(a.calls, 1);
    assert_int_equal(b.calls, 0); /* it got nothing on its way out */
    world_ask(vm, 1, world_read(REQUEST_MMIO, WORLD_MMIO, 8));
    assert_int_equal(vm_client_destroy(old), 0);
    assert_int_equal(world_await(world, vm, 1), UINT64_MAX);
}

static const struct row rows[] = {
    {"second_page_is_refused", "VM create takes the page; a page that is already set: EEXIST.",
     "EEXIST", "vm_attach: EEXIST; after vm_detach a fresh page is given",
     "the page is made by the server, anew for each requester", second_page},
    {"vcpu_count_is_1_to_16", "VM create takes the vCPU count.", "any 16-bit count is taken",
     "EINVAL unless 1..16", "17 would walk off the page", vcpu_counts},
    {"vm_destroy_takes_clients_then_the_page", "VM destroy tears down every client, then the page.",
     "the same", NULL, NULL, vm_destroy_takes_all},
    {"name_of_a_client_is_1_to_15_characters", "Clients: name up to 15 characters.",
     "cuts a longer one; twins are allowed", "EINVAL; a second one of that name: EEXIST",
     "a cut name is another client's name sooner or later", client_names},
    {"client_without_a_handler_must_be_the_default",
     "A non-default client without a handler is refused.", "EINVAL", NULL, NULL, handlers},
    {"one_default_client_a_vm", "One default client per VM (second one: EEXIST).", "EEXIST", NULL,
     NULL, second_default},
    {"default_client_takes_what_no_range_matches",
     "The default client takes all that no range matches.", "the same", NULL, NULL,
     default_takes_the_rest},
    {"without_any_client_all_are_answered",
     "Without any client: leaves the slot PENDING and skips the other vCPUs.", "PENDING for ever",
     "all-ones for the size, counted, and the sweep goes on", "a bug there", without_any_client},
    {"range_ends_inclusive_and_backwards_is_refused",
     "Ranges: (type, first, last), last inclusive, last < first: EINVAL.", "the same", NULL, NULL,
     last_is_inclusive},
    {"whole_access_lies_in_one_range",
     "The whole access must lie in the range, else it goes to the default client.", "the same",
     NULL, NULL, whole_access_in_the_range},
    {"pcicfg_is_routed_by_bus_device_function",
     "Only PORTIO and MMIO are matched; PCICFG and WP always go to the default client.", "the same",
     "PCICFG too has ranges, in ECAM form; WP goes to the default client",
     "a client can own one PCI function", pcicfg_and_wp},
    {"overlap_needs_a_higher_priority", "Newest wins on overlap.", "newest first in the list",
     "EEXIST, unless priorities differ: then the higher one owns the shared addresses",
     "who answers must not depend on the order of two starts", overlaps},
    {"delete_needs_the_exact_range", "Delete needs the exact (type, first, last).",
     "success, even if nothing was there", "ENOENT when there is no such range",
     "a deletion that did nothing should not look done", exact_delete},
    {"dispatch_marks_who_handles",
     "Slots 0..vcpu_num-1; kernel_handled 1 for non-default clients, 0 "
     "for the default; PROCESSING.",
     "every request", "those that are handed over, or whose device may take its time",
     "what is answered at once nobody else looks at: COMPLETE without PROCESSING", dispatch_marks},
    {"completion_polling_is_sampled_before_complete",
     "Completion: read completion_polling before storing COMPLETE.", "read at completion",
     "read once, with the request",
     "after COMPLETE the slot is the hypervisor's; every field is "
     "read once",
     polling_sampled_before_complete},
    {"handler_error_is_answered_and_counted", "Handler error: never completed, endless retry.",
     "retries for ever",
     "all-ones, counted; after `broken_after` errors the device is asked no more",
     "one broken device must not cost a vCPU", handler_error},
    {"destroying_a_client_loses_no_request",
     "Destroying a client pauses dispatch, flushes, and rescans once after resuming.",
     "the same; may first hand it more requests",
     "the ranges go first; the next sweep finds the rest", "sweeping needs no rescan",
     destroy_rescans},
};

int main(int argc, char **argv)
{
    return table_run(argc, argv, "What the Linux driver does: clients and ranges", rows,
                     sizeof(rows) / sizeof(rows[0]));
}
