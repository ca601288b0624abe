/* SPDX-License-Identifier: BSD-3-Clause */
#include "pollers/page_adopt.h"

#include "pollers/page_look.h"
#include "pollers/page_settle.h"
#include "pollers/pci_ports.h"
#include "pollers/ticks.h"

/* ---- what is believed -------------------------------------------------------------------- */

static uint64_t sequence_of(uint64_t word)
{
    return word >> SLOT_PHASE_BITS;
}

/* A word and the complement of the one that began its sequence, which is stored before it. */
static bool word_is_sound(uint64_t word, uint64_t begun)
{
    enum slot_phase phase = slot_record_phase(word), first = slot_record_phase(begun);
    if (phase == SLOT_PHASE_IDLE && sequence_of(begun) == sequence_of(word) + 1)
        return first == SLOT_PHASE_HANDLING || first == SLOT_PHASE_IN_FLIGHT; /* cut off */
    if (sequence_of(begun) != sequence_of(word))
        return false;
    switch (first) {
    case SLOT_PHASE_IDLE:
        return phase == SLOT_PHASE_IDLE; /* never used */
    case SLOT_PHASE_HANDLING:
        return phase == SLOT_PHASE_HANDLING || phase == SLOT_PHASE_IDLE;
    case SLOT_PHASE_IN_FLIGHT:
        return phase == SLOT_PHASE_IN_FLIGHT || phase == SLOT_PHASE_SETTLING ||
               phase == SLOT_PHASE_IDLE;
    default:
        return false;
    }
}

static bool record_is_sound(const struct slot_record *record)
{
    uint64_t word = slot_record_word(record);
    if (!word_is_sound(word, ~record->begun))
        return false;
    enum slot_phase phase = slot_record_phase(word);
    /* relaxed: whoever wrote it is dead */
    return phase == SLOT_PHASE_IDLE || phase == SLOT_PHASE_HANDLING ||
           slot_handed_is_sound(atomic_load_explicit(&record->handed, memory_order_relaxed),
                                sequence_of(word));
}

static bool pci_address_is_sound(const struct page_kept *kept)
{
    uint64_t word = atomic_load_explicit(&kept->pci_address, memory_order_relaxed);
    return (uint32_t)(word >> 32) == ~(uint32_t)word;
}

bool page_kept_is_sound(const struct page_kept *kept)
{
    bool is_sound = pci_address_is_sound(kept);
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        is_sound = is_sound && record_is_sound(&kept->records[i]);
    return is_sound;
}

/* ---- a slot ------------------------------------------------------------------------------ */

/* Nobody's any more: the ticket of a sequence that is over wins nothing. One store, so that a record is
 * sound before and after. */
static void release(struct slot_record *record)
{
    uint64_t word = slot_record_word(record);
    if (!word_is_sound(word, ~record->begun))
        slot_record_init_at(record, sequence_of(word) + 1);
    else if (slot_record_phase(word) != SLOT_PHASE_IDLE)
        slot_record_close(record, word);
}

/* Once too often does no harm. */
static void tell(struct page *page, uint32_t slot_index)
{
    struct slot_copy copy;
    slot_copy_out(&page->slots[slot_index], &copy);
    if (copy.completion_polling == 0)
        page_notify_later(&page->notify, slot_index);
}

static void answer_ones(struct page *page, uint32_t slot_index)
{
    /* The size cannot be believed, and the requester takes its own of 64 bits. */
    slot_complete(&page->slots[slot_index], SLOT_PROCESSING, true, REQUEST_MMIO, UINT64_MAX);
}

static bool answer_is_known(const struct slot_record *record, uint64_t word)
{
    return slot_record_phase(word) == SLOT_PHASE_SETTLING &&
           record->answer_check == slot_record_answer_check(record, word);
}

/* True: it is with another process, or to go there. An external client's is offered again: it sees what
 * waits for it anew each time, and what it finished is known. */
static bool is_elsewhere(const struct slot_record *record, uint64_t word)
{
    enum slot_phase phase = slot_record_phase(word);
    uint64_t handed = atomic_load_explicit(&record->handed, memory_order_relaxed);
    enum slot_place place = slot_handed_place(handed);
    bool is_external = place == SLOT_PLACE_TAKEN && slot_handed_owner(handed) == SLOT_NO_OWNER;
    return (phase == SLOT_PHASE_IN_FLIGHT || phase == SLOT_PHASE_SETTLING) &&
           place != SLOT_PLACE_HERE && !is_external;
}

static void adopt_processing(struct page *page, uint32_t slot_index, bool is_believed,
                             struct page_adoption *adoption)
{
    struct slot_record *record = &page->records[slot_index];
    uint64_t word = slot_record_word(record);
    if (!is_believed || !record_is_sound(record)) {
        answer_ones(page, slot_index);
        tell(page, slot_index);
        adoption->ones++;
    } else if (answer_is_known(record, word)) {
        slot_complete(&page->slots[slot_index], SLOT_PROCESSING, record->is_read, record->type,
                      record->answer);
        tell(page, slot_index);
        adoption->answered++;
    } else if (is_elsewhere(record, word)) {
        /* Who had won it wrote nothing. Its ticket is the word while IN_FLIGHT, as it was. */
        atomic_store_explicit(&record->word,
                              (word & ~(uint64_t)SLOT_PHASE_MASK) | SLOT_PHASE_IN_FLIGHT,
                              memory_order_release);
        adoption->awaited |= 1u << slot_index;
        return;
    } else {
        page_adopt_ask_again(page, slot_index);
        adoption->again++;
        return;
    }
    release(record);
}

/* ---- a page ------------------------------------------------------------------------------ */

void page_adopt(struct page *page, struct acrn_io_request *slots, bool is_believed,
                struct page_adoption *adoption)
{
    *adoption = (struct page_adoption){0};
    page->slots = slots;
    for (uint32_t i = 0; i < SLOT_COUNT; i++) {
        uint32_t state = slot_state(&slots[i]);
        if (i < page->vcpu_count && state == SLOT_PROCESSING) {
            adopt_processing(page, i, is_believed, adoption);
            continue;
        }
        adoption->pending += i < page->vcpu_count && state == SLOT_PENDING;
        if (i < page->vcpu_count && state == SLOT_COMPLETE)
            tell(page, i); /* whoever completed it may have died before it did */
        release(&page->records[i]);
    }
    if (!pci_address_is_sound(page->kept))
        page_set_pci_address(page, 0);
    page->stray_seen = 0;
    page->is_open = true;
}

void page_adopt_ask_again(struct page *page, uint32_t slot_index)
{
    slot_unclaim(&page->slots[slot_index]);
    release(&page->records[slot_index]);
}

bool page_adopt_route(struct page *page, uint32_t slot_index, struct request *request,
                      struct client **client)
{
    struct slot_copy copy = {0};
    slot_copy_out(&page->slots[slot_index], &copy);
    request->vcpu = (uint16_t)slot_index;
    request->arrival_ticks = ticks_now();
    if (request_check(&copy, request) != REQUEST_FAULT_NONE)
        return false;
    if (page->has_pci && request->type == REQUEST_PORTIO &&
        (request->address & ~7ull) == PCI_PORT_ADDRESS &&
        pci_ports_translate(request, page_pci_address(page)) != PCI_PORTS_CONFIG)
        return false;
    *client = page_route(page, request);
    struct slot_record *record = &page->records[slot_index];
    record->type = (uint8_t)copy.type; /* as the requester will read the answer */
    record->size_bytes = request->size_bytes;
    record->is_read = request_is_read(request);
    record->notify_wanted = copy.completion_polling == 0;
    record->was_full = false;
    return true;
}
