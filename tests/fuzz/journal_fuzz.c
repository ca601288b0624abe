/* SPDX-License-Identifier: BSD-3-Clause */
/* What an earlier ioreqd left, any bytes: a page's records and a page in any states. Whatever is believed of
 * them, each slot that was PROCESSING ends as the adoption's table says, nobody else's is touched, and what
 * is kept is sound afterwards. The first byte chooses whether checks are made to fit. */
#include "pollers/page_adopt.h"

#include "pollers/page_settle.h"

#include <string.h>

#define VCPUS 12u

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static struct acrn_io_request slots[SLOT_COUNT];
static struct page page;
static struct page_kept kept;

static size_t take(void *to, size_t wanted, const uint8_t *bytes, size_t size, size_t at)
{
    size_t count = at < size ? size - at : 0;
    count = count < wanted ? count : wanted;
    memcpy(to, bytes + (count ? at : 0), count);
    return at + count;
}

/* So that not only refusals are tried. */
static void make_fit(struct slot_record *record, uint8_t choice)
{
    uint64_t word = slot_record_word(record), sequence = word >> SLOT_PHASE_BITS;
    uint64_t handed = atomic_load_explicit(&record->handed, memory_order_relaxed);
    enum slot_phase phase = (enum slot_phase)(1 + choice % 4);
    word = sequence << SLOT_PHASE_BITS | phase;
    atomic_store_explicit(&record->word, word, memory_order_relaxed);
    record->begun = ~(sequence << SLOT_PHASE_BITS |
                      (phase == SLOT_PHASE_HANDLING ? SLOT_PHASE_HANDLING : SLOT_PHASE_IN_FLIGHT));
    atomic_store_explicit(&record->handed,
                          slot_handed_make(sequence, (enum slot_place)(1 + choice / 4 % 4),
                                           (uint32_t)handed & 0xff, (uint32_t)(handed >> 32)),
                          memory_order_relaxed);
    if (choice & 0x40)
        record->answer_check = slot_record_answer_check(record, word);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    uint8_t states[SLOT_COUNT + 1] = {0};
    size_t at = take(states, sizeof(states), bytes, size, 0);
    page_init(&page, VCPUS, NULL, NULL);
    page_kept_init(&kept, 0);
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        struct slot_record *record = &kept.records[i];
        memset(&slots[i], 0, sizeof(slots[i]));
        slots[i].processed = states[i] & 7;
        at = take(record, offsetof(struct slot_record, type), bytes, size, at);
        record->type = states[i] >> 3 & 3;
        record->size_bytes = 1;
        if (states[SLOT_COUNT] & 1)
            make_fit(record, states[i]);
    }
    bool is_believed = !(states[SLOT_COUNT] & 2);
    struct page_adoption adoption;
    page_keep(&page, &kept);
    page_adopt(&page, slots, is_believed, &adoption);
    uint32_t processing = 0;
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        uint32_t before = states[i] & 7, after = slots[i].processed;
        bool was_ours = before == SLOT_PROCESSING && i < VCPUS,
             is_awaited = adoption.awaited >> i & 1;
        processing += was_ours;
        if (!was_ours)
            assert(after == before && !is_awaited);
        else
            assert(is_awaited ? after == SLOT_PROCESSING
                              : after == SLOT_COMPLETE || after == SLOT_PENDING);
        if (!is_awaited)
            assert(slot_record_is_idle(&kept.records[i]));
        if (is_awaited) /* and can be settled, once */
            assert(page_settle(&page, i, slot_record_word(&kept.records[i]), 0) &&
                   slots[i].processed == SLOT_COMPLETE);
    }
    assert(processing == adoption.ones + adoption.answered + adoption.again +
                             (uint32_t)__builtin_popcount(adoption.awaited));
    assert(is_believed || adoption.ones == processing);
    assert(page_kept_is_sound(&kept));
    return 0;
}
