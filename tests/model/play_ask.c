/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests as a requester makes them that knows where the ranges are, and has no manners. */
#include "tests/model/play.h"

static const uint32_t states[] = {SLOT_PENDING, SLOT_COMPLETE, SLOT_PROCESSING, SLOT_FREE, 4, 7,
                                  UINT32_MAX};

uint32_t play_type(struct play *play)
{
    static const uint32_t types[] = {REQUEST_PORTIO, REQUEST_PORTIO, REQUEST_MMIO, REQUEST_MMIO,
                                     REQUEST_MMIO,   REQUEST_PCICFG, REQUEST_WP};
    if (play_one_in(play, 40))
        return play_one_in(play, 2) ? 4 + play_below(play, 4) : UINT32_MAX;
    return types[play_below(play, 7)];
}

uint64_t play_address(struct play *play, uint32_t type)
{
    uint64_t near = play_below(play, 64);
    if (play_one_in(play, 60))
        return play_random(play);
    if (type == REQUEST_PORTIO) {
        const uint64_t bases[] = {0, 0, 0xcf0, 0xffc8, 0x10000, 0x100000000};
        return bases[play_below(play, 6) % (play_one_in(play, 8) ? 6 : 4)] + near % 56;
    }
    if (type == REQUEST_PCICFG)
        return (uint64_t)play_below(play, 4) << 12 | (play_one_in(play, 4) ? 0xfc0 : 0) | near;
    const uint64_t bases[] = {0x1000, 0x1000, 0, UINT64_MAX - 63};
    return bases[play_below(play, 4)] + near;
}

static uint64_t any_size(struct play *play)
{
    static const uint64_t odd[] = {0, 3, 5, 7, 16, 255, 1ull << 32, UINT64_MAX - 255, UINT64_MAX};
    return play_one_in(play, 20) ? odd[play_below(play, 9)] : 1ull << play_below(play, 4);
}

static void any_pci_access(struct play *play, struct acrn_io_request *slot)
{
    uint64_t address = play_address(play, REQUEST_PCICFG);
    struct acrn_pci_request *pci = &slot->reqs.pci_request;
    pci->bus = (uint32_t)(address >> 20);
    pci->dev = address >> 15 & 31;
    pci->func = address >> 12 & 7;
    pci->reg = address & 0xfff;
    if (play_one_in(play, 16))
        *(play_one_in(play, 2) ? &pci->dev : &pci->func) = play_below(play, 40);
    if (play_one_in(play, 16))
        pci->reg = 0xff8 + play_below(play, 16);
}

/* An access to 0xcf8..0xcff as firmware makes them, now and then a little off. */
static void pci_port_access(struct play *play, struct acrn_io_request *slot)
{
    struct acrn_pio_request *pio = &slot->reqs.pio_request;
    static const uint32_t sizes[] = {4, 4, 4, 2, 1};
    slot->type = REQUEST_PORTIO;
    pio->size = sizes[play_below(play, 5)];
    if (play_one_in(play, 2)) {
        pio->address = 0xcf8;
        pio->value = (play_one_in(play, 4) ? 0 : 0x80000000) | play_below(play, 4) << 8 |
                     play_below(play, 64);
    } else {
        pio->address = 0xcfc + (play_one_in(play, 2) ? play_below(play, 4) : 0);
    }
    if (play_one_in(play, 8))
        pio->address = 0xcf6 + play_below(play, 12);
}

/* Everything but the state. */
static void fill(struct play *play, const struct play_vm *vm, struct acrn_io_request *slot)
{
    slot->type = play_type(play);
    slot->completion_polling = !play_one_in(play, 8);
    slot->kernel_handled = play_below(play, 3);
    struct acrn_mmio_request *mmio = &slot->reqs.mmio_request;
    mmio->direction = play_one_in(play, 40) ? 2 + play_below(play, 3) : play_below(play, 2);
    mmio->address = play_address(play, slot->type);
    mmio->size = any_size(play);
    mmio->value = play_random(play);
    if (slot->type == REQUEST_PCICFG)
        any_pci_access(play, slot);
    else if (vm->vm->has_pci && play_one_in(play, 4))
        pci_port_access(play, slot);
}

void play_ask(struct play *play, struct play_vm *vm)
{
    bool is_hostile = play_one_in(play, 24);
    /* Mostly its own vCPUs. */
    uint32_t slot_index = play_below(play, is_hostile ? SLOT_COUNT : vm->model->vcpus);
    struct acrn_io_request *theirs = &vm->vm->source.slots[slot_index];
    struct acrn_io_request *ours = &vm->model->slots[slot_index];
    uint32_t state = SLOT_PENDING;
    if (is_hostile)
        state = states[play_below(play, 7)];
    else if (ours->processed != SLOT_FREE && ours->processed != SLOT_COMPLETE)
        return; /* waits for its answer, as it should */
    if (!is_hostile || play_one_in(play, 2))
        fill(play, vm, ours);
    ours->processed = state;
    *theirs = *ours;
    play_line(play, "%s slot %u: type %u direction %u address %#llx size %#llx state %u", vm->name,
              slot_index, ours->type, ours->reqs.mmio_request.direction,
              (unsigned long long)ours->reqs.mmio_request.address,
              (unsigned long long)ours->reqs.mmio_request.size, state);
}
