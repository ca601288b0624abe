/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/restart/adoption.h"

#include "pollers/page_adopt.h"
#include "pollers/process_serve.h"
#include "pollers/slot.h"
#include "pollers/ticks.h"
#include "server/log.h"
#include "server/restart/journal.h"
#include "server/restart/keeper.h"
#include "server/restart/remake.h"
#include "server/restart/script.h"
#include "server/vm_hsm.h"
#include "server/vm_source.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define JOURNAL_NAME "journal"
#define VM_PREFIX    "vm-"

static void name_of(const char *vm, char name[KEEPER_NAME_BYTES])
{
    snprintf(name, KEEPER_NAME_BYTES, VM_PREFIX "%s", vm);
}

/* ---- the journal ------------------------------------------------------------------------- */

void adoption_recall(void)
{
    keeper_open();
    int descriptor = keeper_look(JOURNAL_NAME);
    uint64_t rate = descriptor < 0 ? 0 : journal_read_rate(descriptor);
    if (rate)
        ticks_recall(rate);
}

static void open_script(struct topology *topology)
{
    char reason[TOPOLOGY_REASON_BYTES];
    int descriptor = keeper_take(REMAKE_SCRIPT);
    if (descriptor < 0 || script_open(descriptor, &topology->script, reason, sizeof(reason)) == 0)
        return;
    log_error("what was made at run time is not made again: its script is refused: %s", reason);
    keeper_forget(REMAKE_SCRIPT);
}

void adoption_begin(struct topology *topology)
{
    char reason[TOPOLOGY_REASON_BYTES];
    int result = 0;
    keeper_open();
    if (!keeper_is_there())
        return;
    open_script(topology);
    int descriptor = keeper_take(JOURNAL_NAME);
    if (descriptor >= 0 &&
        journal_open(descriptor, &topology->journal, reason, sizeof(reason)) < 0) {
        log_error("the journal of an earlier ioreqd is refused: %s; what was in flight is "
                  "completed with all-ones",
                  reason);
        topology->journal_refused = true;
    }
    if (topology->journal)
        return;
    /* The old one stays with the keeper until every page of its time is settled: adoption_end. */
    result = journal_create(&topology->journal);
    if (result < 0)
        log_error("no journal: %s; a death of this ioreqd will lose requests", strerror(-result));
    topology->journal_is_fresh = result == 0;
}

static void store_fresh_journal(struct topology *topology)
{
    if (!topology->journal_is_fresh)
        return;
    keeper_forget(JOURNAL_NAME);
    keeper_store(JOURNAL_NAME, journal_descriptor(topology->journal));
    topology->journal_is_fresh = false;
}

/* ---- places ------------------------------------------------------------------------------ */

void adoption_place_vm(struct vm *vm)
{
    struct journal *journal = vm->topology->journal;
    /* A driver offers again what was not finished, and FINISHING is nothing that outlives us. */
    if (!journal || vm->source_kind->has_driver)
        return;
    uint32_t vcpu_count = vm->page->vcpu_count;
    vm->kept = journal_find_vm(journal, vm->name, vcpu_count, vm->node);
    vm->was_kept = vm->kept != NULL;
    if (!vm->kept)
        vm->kept = journal_add_vm(journal, vm->name, vcpu_count, vm->node);
    if (vm->kept)
        page_keep(vm->page, vm->kept);
    else
        log_warning("vm %s: no place in the journal; a death of this ioreqd loses its requests",
                    vm->name);
}

static void name_channel(uint32_t owner, uint32_t epoch, char name[KEEPER_NAME_BYTES])
{
    snprintf(name, KEEPER_NAME_BYTES, "channel-%u-%u", owner, epoch);
}

/* It stays with the keeper: who knows whether we live until the process comes. */
static uint32_t read_taken(uint32_t owner, uint32_t epoch)
{
    char name[KEEPER_NAME_BYTES];
    name_channel(owner, epoch, name);
    int descriptor = keeper_take(name);
    uint32_t taken = descriptor < 0 ? 0 : channel_read_taken(descriptor);
    if (descriptor >= 0)
        close(descriptor);
    return taken;
}

int adoption_note_channel(const struct vm_client *client, const struct channel *channel)
{
    char name[KEEPER_NAME_BYTES];
    if (!client->client.process->kept)
        return 0;
    name_channel(client->client.process->owner, channel->epoch, name);
    return keeper_store(name, channel->answers_descriptor);
}

void adoption_note_channel_end(const struct vm_client *client, uint32_t epoch)
{
    char name[KEEPER_NAME_BYTES];
    if (!client->client.process->kept || epoch == 0)
        return;
    name_channel(client->client.process->owner, epoch, name);
    keeper_forget(name);
}

void adoption_place_client(struct vm_client *client)
{
    struct journal *journal = client->vm->topology->journal;
    struct process_port *port = client->client.process;
    struct process_kept_words words;
    if (!journal)
        return;
    port->kept = journal_add_process(journal, client->vm->name, client->client.name, &port->owner);
    if (!port->kept || !process_kept_get(port->kept, &words) || words.epoch == 0)
        return;
    client->epoch = words.epoch;
    if (client->vm->topology->is_started) /* it succeeds one of this server's own */
        return;
    port->adopted_taken = read_taken(port->owner, words.epoch);
    process_adopt(&client->client, ticks_now() + ticks_from_ns(ADOPTION_PROCESS_NS));
}

/* A reload has two of one name for a moment, and one entry for both. */
static bool is_shared(const struct vm_client *client)
{
    const struct vm *vm = client->vm;
    for (uint32_t i = 0; i < vm->client_count; i++)
        if (vm->clients[i] != client && vm->clients[i]->client.process &&
            vm->clients[i]->client.process->owner == client->client.process->owner)
            return true;
    return false;
}

void adoption_forget_client(struct vm_client *client)
{
    if (client->vm->topology->journal && client->client.process && !is_shared(client))
        journal_forget_process(client->vm->topology->journal, client->client.process->owner);
}

/* ---- pages ------------------------------------------------------------------------------- */

static struct vm_client *find_owner(const struct vm *vm, uint32_t owner)
{
    for (uint32_t i = 0; owner != SLOT_NO_OWNER && i < vm->client_count; i++) {
        struct vm_client *client = vm->clients[i];
        if (client->client.process && client->client.process->owner == owner)
            return client;
    }
    return NULL;
}

/* A range that another client's hides by now is still its own; one that was deleted is not. */
static void place_in_own_range(const struct vm_client *client, struct request *request)
{
    for (size_t i = 0; i < client->range_count; i++) {
        const struct router_range *range = &client->ranges[i];
        if (range->type != request->type || request->address < range->first ||
            request->address > range->last ||
            range->last - request->address < request->size_bytes - 1u)
            continue;
        request->offset = request->address - range->first;
        request->range_index = range->range_index;
    }
}

/* What is with a process, or was to go there. A range that moved since leaves it with whoever had it. */
static void hand_back(struct vm *vm, uint32_t slot_index, struct page_adoption *adoption)
{
    struct slot_record *record = &vm->page->records[slot_index];
    uint64_t ticket = slot_record_word(record);
    uint64_t handed = atomic_load_explicit(&record->handed, memory_order_relaxed);
    struct vm_client *owner = find_owner(vm, slot_handed_owner(handed));
    struct request request;
    struct client *client;
    if (!owner || !owner->client.process->adopted_epoch ||
        !page_adopt_route(vm->page, slot_index, &request, &client)) {
        page_settle(vm->page, slot_index, ticket, UINT64_MAX); /* its device is gone */
        adoption->ones++;
        return;
    }
    if (client != &owner->client && slot_handed_place(handed) == SLOT_PLACE_WAITS) {
        page_adopt_ask_again(vm->page, slot_index);
        adoption->again++;
        return;
    }
    if (client != &owner->client)
        place_in_own_range(owner, &request);
    process_adopt_hold(vm->page, &owner->client, &request, ticket, handed);
    adoption->with_process++;
}

static void adopt_page(struct vm *vm)
{
    struct page_adoption adoption;
    page_adopt(vm->page, vm->source.slots, vm->was_kept && !vm->topology->journal_refused,
               &adoption);
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        if (adoption.awaited >> i & 1)
            hand_back(vm, i, &adoption);
    log_info("vm %s: adopted; requests: %u pending, %u asked again, %u answered, %u with their "
             "process, %u completed with all-ones",
             vm->name, adoption.pending, adoption.again, adoption.answered, adoption.with_process,
             adoption.ones);
    vm->adopted_ones = adoption.ones;
}

bool adoption_open_page(struct vm *vm)
{
    if (!vm->was_kept || vm->topology->is_started)
        return false;
    pid_t nobody;
    journal_read_vm(vm->kept, &nobody, &vm->adopts_paused);
    adopt_page(vm);
    return true;
}

void adoption_take_vm(struct vm *vm)
{
    char name[KEEPER_NAME_BYTES];
    name_of(vm->name, name);
    vm_hsm_take_kept(vm);
    int descriptor = vm->topology->journal && !vm_has_device(vm) ? keeper_take(name) : -1;
    if (descriptor < 0)
        return;
    int result = source_memfd_adopt(&vm->source, descriptor);
    if (result < 0) {
        log_error("vm %s: the page that was kept is refused: %s", vm->name, strerror(-result));
        keeper_forget(name);
        return;
    }
    bool is_paused = false;
    if (vm->was_kept)
        journal_read_vm(vm->kept, &vm->requester_pid, &is_paused);
    adopt_page(vm);
    page_pause(vm->page); /* until vm_start */
    vm->is_attached = true;
    vm->adopts_paused = is_paused;
    vm->orphan_since = ticks_now();
    vm->is_orphan = true;
}

/* The page of a VM that nobody describes any more. */
static void answer_orphan(const char *name, int descriptor)
{
    struct page_source source;
    uint32_t count = 0;
    if (source_memfd_adopt(&source, descriptor) < 0)
        return;
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        struct acrn_io_request *slot = &source.slots[i];
        count += slot_complete(slot, SLOT_PENDING, true, REQUEST_MMIO, UINT64_MAX) ||
                 slot_complete(slot, SLOT_PROCESSING, true, REQUEST_MMIO, UINT64_MAX);
    }
    log_warning("vm %s, which an earlier ioreqd served, is not in the configuration: %u requests "
                "completed with all-ones",
                name, count);
    page_source_close(&source);
}

void adoption_end(struct topology *topology)
{
    char name[KEEPER_NAME_BYTES];
    int descriptor;
    while ((descriptor = keeper_take_any(name)) >= 0) {
        if (strncmp(name, VM_PREFIX, strlen(VM_PREFIX)) == 0)
            answer_orphan(name + strlen(VM_PREFIX), descriptor);
        else
            close(descriptor); /* none of ours */
        keeper_forget(name);
    }
    if (!topology->journal)
        return;
    journal_forget_unclaimed(topology->journal);
    store_fresh_journal(topology);
}

/* ---- at work ----------------------------------------------------------------------------- */

void adoption_note_state(struct vm *vm)
{
    if (vm->kept)
        journal_note_vm(vm->kept, vm->requester_pid, vm->state == VM_PAUSED);
}

int adoption_note_attached(struct vm *vm)
{
    char name[KEEPER_NAME_BYTES];
    if (!vm->kept)
        return 0;
    adoption_note_state(vm);
    if (vm_has_device(vm))
        return 0;
    name_of(vm->name, name);
    return keeper_store(name, vm->source.descriptor);
}

void adoption_note_detached(struct vm *vm)
{
    char name[KEEPER_NAME_BYTES];
    vm_hsm_forget(vm);
    if (!vm->kept)
        return;
    name_of(vm->name, name);
    keeper_forget(name);
}

int adoption_return(struct vm *vm, int descriptor, pid_t pid)
{
    struct stat theirs, ours;
    if (!vm->is_attached)
        return -ENOENT;
    if (!vm->is_orphan)
        return -EEXIST;
    if (fstat(descriptor, &theirs) < 0 || fstat(vm->source.descriptor, &ours) < 0 ||
        theirs.st_dev != ours.st_dev || theirs.st_ino != ours.st_ino)
        return -ESTALE;
    vm->is_orphan = false;
    vm->requester_pid = pid;
    adoption_note_state(vm);
    return 0;
}

void adoption_tick(struct topology *topology)
{
    uint64_t oldest = ticks_now() - ticks_from_ns(ADOPTION_REQUESTER_NS);
    for (size_t i = 0; i < topology->vm_count; i++) {
        struct vm *vm = topology->vms[i];
        if (!vm->is_orphan || (int64_t)(vm->orphan_since - oldest) > 0)
            continue;
        log_info("vm %s: its requester did not come back", vm->name);
        vm->is_orphan = false;
        vm_detach(vm);
    }
    keeper_tick();
}

void adoption_forget(struct topology *topology)
{
    char name[KEEPER_NAME_BYTES];
    if (!topology->journal)
        return;
    for (size_t i = 0; i < topology->vm_count; i++) {
        const struct vm *vm = topology->vms[i];
        name_of(vm->name, name);
        keeper_forget(name);
        vm_hsm_forget(vm);
        for (uint32_t k = 0; k < vm->client_count; k++)
            if (vm->clients[k]->registration)
                adoption_note_channel_end(vm->clients[k], vm->clients[k]->epoch);
    }
    while (topology->script && script_count(topology->script) > 0) /* and what goes with them */
        remake_drop(topology, script_count(topology->script) - 1);
    keeper_forget(REMAKE_SCRIPT);
    keeper_forget(JOURNAL_NAME);
}
