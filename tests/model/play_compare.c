/* SPDX-License-Identifier: BSD-3-Clause */
/* Everything that can be seen of the server, against the model. */
#include "tests/model/play.h"

#include "pollers/histogram.h"

static void compare_page(struct play *play, const struct play_vm *vm)
{
    const struct acrn_io_request *theirs = vm->vm->source.slots, *ours = vm->model->slots;
    if (memcmp(theirs, ours, sizeof(vm->model->slots)) == 0)
        return;
    uint32_t i = 0;
    while (memcmp(&theirs[i], &ours[i], sizeof(ours[i])) == 0)
        i++;
    play_differ(play,
                "%s slot %u: state %u value %#llx handled %u, should be state %u value %#llx "
                "handled %u",
                vm->name, i, theirs[i].processed,
                (unsigned long long)theirs[i].reqs.mmio_request.value, theirs[i].kernel_handled,
                ours[i].processed, (unsigned long long)ours[i].reqs.mmio_request.value,
                ours[i].kernel_handled);
}

/* What others than the poller completed it counts in its next round. */
static uint64_t settled(const struct page *page, uint32_t i)
{
    uint32_t due = atomic_load_explicit(&page->notify.due, memory_order_relaxed);
    return counter_read(&page->settled[i]) +
           (i == PAGE_UNNOTIFIED ? (uint32_t)__builtin_popcount(due) : 0);
}

static void compare_counters(struct play *play, const struct play_vm *vm)
{
    const struct page *page = vm->vm->page;
    for (uint32_t i = 0; i < PAGE_COUNTER_COUNT; i++)
        if (counter_read(&page->counters[i]) != vm->model->counters[i])
            play_differ(play, "%s counter %u: %llu, should be %llu", vm->name, i,
                        (unsigned long long)counter_read(&page->counters[i]),
                        (unsigned long long)vm->model->counters[i]);
    for (uint32_t i = 0; i < PAGE_SETTLED_COUNT; i++)
        if (settled(page, i) != vm->model->settled[i])
            play_differ(play, "%s settled %u: %llu, should be %llu", vm->name, i,
                        (unsigned long long)settled(page, i),
                        (unsigned long long)vm->model->settled[i]);
    uint32_t in_flight = 0;
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        in_flight += vm->model->flights[i].client != NULL;
    if (page_in_flight(page) != in_flight)
        play_differ(play, "%s: %u in flight, should be %u", vm->name, page_in_flight(page),
                    in_flight);
}

static void compare_client(struct play *play, const struct play_vm *vm,
                           const struct play_client *client)
{
    const struct reference_client *model = client->model;
    const struct client *server = &client->client->client;
    size_t range_count = 0;
    for (const struct reference_range *range = model->ranges; range; range = range->next)
        range_count++;
    if (client->theirs.hash != client->ours.hash || client->theirs.calls != client->ours.calls)
        play_differ(play, "%s %s was asked %llu times, should be %llu, or for something else",
                    vm->name, client->name, (unsigned long long)client->theirs.calls,
                    (unsigned long long)client->ours.calls);
    if (counter_read(&server->errors) != model->errors || server->is_broken != model->is_broken ||
        server->is_default != model->is_default || client->client->range_count != range_count)
        play_differ(play, "%s %s: errors, broken, default or ranges", vm->name, client->name);
    /* A sum over a thousand buckets: now and then. */
    if (play->operations % 256 == 0 && histogram_count(server->latency) != model->accesses)
        play_differ(play, "%s %s: %llu accesses, should be %llu", vm->name, client->name,
                    (unsigned long long)histogram_count(server->latency),
                    (unsigned long long)model->accesses);
}

void play_compare(struct play *play)
{
    if (play->world.topology.vm_count != play->vm_count)
        play_differ(play, "%zu VMs", play->world.topology.vm_count);
    for (uint32_t i = 0; i < play->vm_count; i++) {
        const struct play_vm *vm = play->vms[i];
        if (vm->vm->state != vm->state || vm->vm->client_count != vm->client_count ||
            vm->vm->is_stuck || vm->vm->is_attached != vm->is_attached ||
            vm->vm->page->is_open != vm->model->is_swept)
            play_differ(play, "%s: state, clients, requester, or swept", vm->name);
        if (vm->is_attached)
            compare_page(play, vm);
        compare_counters(play, vm);
        for (uint32_t k = 0; k < vm->client_count; k++)
            compare_client(play, vm, vm->clients[k]);
    }
    for (uint32_t i = 0; i < WORLD_POLLERS; i++) {
        struct poller_figures figures = poller_figures(play->world.pollers[i].poller);
        if (figures.requests != play->reference.requests[i] ||
            figures.sweeps != play->reference.rounds[i])
            play_differ(play, "poller %u: %llu requests, should be %llu (or sweeps)", i,
                        (unsigned long long)figures.requests,
                        (unsigned long long)play->reference.requests[i]);
    }
}
