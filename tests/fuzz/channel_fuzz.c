/* SPDX-License-Identifier: BSD-3-Clause */
/* A hostile process on its channel: any words in the answers' memory, between requests, rounds, deaths
 * and deadlines. Whatever it does, a request is answered at most once and in the end exactly once, its
 * neighbours' slots are not touched, and the poller's state stays sound. */
#include "clients/channel_peer.h"
#include "pollers/deadlines.h"
#include "pollers/histogram.h"
#include "pollers/page_settle.h"
#include "pollers/process_serve.h"

#include <stdlib.h>

#define FOREIGN_SLOT 15u /* in flight with somebody else, all the time */

static struct page page;
static struct acrn_io_request slots[SLOT_COUNT];
static struct client client;
static struct process_port port;
static struct histogram latency;
static struct channel *channel;
static struct channel_peer peer;
static uint32_t epoch;
static uint64_t foreign_ticket;

struct input {
    const uint8_t *bytes;
    size_t left;
};

static uint8_t next(struct input *input)
{
    if (input->left == 0)
        return 0;
    input->left--;
    return *input->bytes++;
}

static uint64_t next_word(struct input *input)
{
    uint64_t word = 0;
    for (int i = 0; i < 8; i++)
        word = word << 8 | next(input);
    return word;
}

static void come(void)
{
    if (channel)
        return;
    if (channel_open(++epoch, &channel) < 0 ||
        channel_peer_map(channel->requests_descriptor, channel->answers_descriptor, &peer) < 0)
        abort();
    process_attach(&page, &client, channel, NULL, 0, (struct process_resume){0});
}

static void go(bool is_final)
{
    process_detach(&page, &client, is_final);
    channel_close(channel);
    channel_peer_unmap(&peer);
    channel = NULL;
}

static uint32_t open_slot(uint32_t slot_index, uint64_t *ticket)
{
    struct slot_record *record = &page.records[slot_index];
    slots[slot_index].processed = SLOT_PROCESSING;
    record->type = REQUEST_MMIO;
    record->size_bytes = 8;
    record->is_read = true;
    record->notify_wanted = false;
    *ticket = slot_record_open(record);
    return slot_index;
}

static void ask(uint32_t slot_index)
{
    struct inbox_entry entry = {
        .request = {.vcpu = (uint16_t)slot_index, .type = REQUEST_MMIO, .size_bytes = 8}};
    if (slot_index == FOREIGN_SLOT || slots[slot_index].processed == SLOT_PROCESSING ||
        !process_has_room(&page, &client))
        return;
    open_slot(slot_index, &entry.ticket);
    process_hand_over(&page, &client, &entry);
}

/* Any of its words, or what it should do. */
static void misbehave(struct input *input)
{
    struct channel_request request;
    _Atomic uint64_t *words = (_Atomic uint64_t *)peer.answers;
    switch (next(input) % 4) {
    case 0:
        if (channel_peer_take(&peer, &request)) {
            const struct channel_answer answer = {request.token, 1, request.epoch,
                                                  CHANNEL_ANSWERED};
            channel_peer_answer(&peer, &answer);
        }
        break;
    case 1: {
        const struct channel_answer answer = {next_word(input), 2, peer.epoch, next(input)};
        channel_peer_answer(&peer, &answer);
        break;
    }
    case 2:
        atomic_store(&words[next_word(input) % (sizeof(*peer.answers) / 8)], next_word(input));
        break;
    default:
        atomic_fetch_add(&peer.answers->cells[next(input) % CHANNEL_CAPACITY].turn,
                         next(input) % 70);
        break;
    }
}

static void check(void)
{
    assert(slot_record_word(&page.records[FOREIGN_SLOT]) == foreign_ticket);
    assert(slots[FOREIGN_SLOT].processed == SLOT_PROCESSING);
    bool may_wait = port.state == PROCESS_SERVING || port.state == PROCESS_AWAITED;
    for (uint32_t i = 0; i < FOREIGN_SLOT; i++) {
        bool is_open = slot_record_phase(slot_record_word(&page.records[i])) != SLOT_PHASE_IDLE;
        assert(is_open == (slots[i].processed == SLOT_PROCESSING)); /* answered once, and closed */
        assert(!is_open || (may_wait && (port.held >> i & 1)));     /* somebody has it */
    }
    assert((port.channel != NULL) == (port.state == PROCESS_SERVING));
    assert(!port.channel || port.channel == channel);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct input input = {bytes, size};
    page = (struct page){0};
    port = (struct process_port){.state = PROCESS_ABSENT};
    client = (struct client){.process = &port, .latency = &latency};
    page_init(&page, SLOT_COUNT, NULL, NULL);
    page_open(&page, slots);
    open_slot(FOREIGN_SLOT, &foreign_ticket);
    uint8_t policy = next(&input);
    port.policy = (struct process_policy){.deadline_ticks = policy & 1,
                                          .late = (enum late_kind)(policy >> 1 & 3) % 3,
                                          .quarantine_after = policy >> 3 & 3,
                                          .reissues = policy >> 5 & 1};
    come();
    while (input.left > 0) {
        uint8_t step = next(&input);
        if (step < 96)
            ask(step % SLOT_COUNT);
        else if (step < 160)
            process_drain(&page, &client);
        else if (step < 176)
            page_check_due(&page);
        else if (step < 184 && channel)
            go(step & 1);
        else if (step < 192)
            come();
        else if (channel)
            misbehave(&input);
        check();
    }
    if (channel)
        go(true);
    else
        process_detach(&page, &client, true);
    check();
    assert(page_in_flight(&page) == 1);
    return 0;
}
