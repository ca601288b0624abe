/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * slot.h - the only file that touches the shared page.
 *
 * Flow:    FREE -> PENDING -> PROCESSING -> COMPLETE -> FREE. The server moves PENDING on to
 *          PROCESSING and COMPLETE; FREE and COMPLETE belong to the hypervisor. What is refused, and what a
 *          prompt device (device.h) answers, goes from PENDING to COMPLETE: PROCESSING would be one more
 *          locked step on a line that the requester looks at, 4 to 16 % of a round trip (ioreq-bench rtt).
 * Threads: the other side is another machine as far as C is concerned: it may change any word at
 *          any time. Each function reads a word at most once, with one instruction, into private
 *          memory; nothing is decided on what the page says afterwards.
 * Memory:  4096 bytes, 16 slots of 256 bytes, mapped by a page source.
 * Errors:  none; checking is check.h's work.
 * Source:  <linux/acrn.h>.
 *
 * PENDING is 0: a page of zeroes reads as 16 pending port reads of no bytes.
 *
 * A page has no sequence numbers. Who resets a VM clears it first (vm.h), and nothing is under way then. A
 * hypervisor that resets it without, while the VM is quick enough to ask again in the same slot, may see the
 * new request answered with what was meant for the old one, or the value of a read not written: of what is
 * claimed between the copy and the claim, of what is not between the copy and COMPLETE. That is a fraction of
 * a microsecond, or as long as the poller is kept from its CPU there. The state word stays right always.
 */
#ifndef POLLERS_SLOT_H
#define POLLERS_SLOT_H

#include "clients/request.h"

#include <linux/acrn.h>
#include <stdatomic.h>
#include <stddef.h>

#if defined(__SANITIZE_THREAD__)
#define SLOT_PORTABLE
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define SLOT_PORTABLE
#endif
#endif

#define SLOT_COUNT ACRN_IO_REQUEST_MAX
#define PAGE_BYTES 4096

enum slot_state {
    SLOT_PENDING = ACRN_IOREQ_STATE_PENDING,
    SLOT_COMPLETE = ACRN_IOREQ_STATE_COMPLETE,
    SLOT_PROCESSING = ACRN_IOREQ_STATE_PROCESSING,
    SLOT_FREE = ACRN_IOREQ_STATE_FREE,
};

_Static_assert(SLOT_COUNT == 16, "16 slots a page");
_Static_assert(sizeof(struct acrn_io_request_buffer) == PAGE_BYTES, "one page");
_Static_assert(sizeof(struct acrn_io_request) == 256, "slot size");
_Static_assert(offsetof(struct acrn_io_request, type) == 0, "ABI");
_Static_assert(offsetof(struct acrn_io_request, completion_polling) == 4, "ABI");
_Static_assert(offsetof(struct acrn_io_request, reqs) == 64, "ABI");
_Static_assert(offsetof(struct acrn_io_request, kernel_handled) == 132, "ABI");
_Static_assert(offsetof(struct acrn_io_request, processed) == 136, "ABI");
_Static_assert(offsetof(struct acrn_pio_request, address) == 8, "ABI");
_Static_assert(offsetof(struct acrn_mmio_request, address) == 8, "ABI");
_Static_assert(offsetof(struct acrn_pio_request, size) == 16, "ABI");
_Static_assert(offsetof(struct acrn_mmio_request, size) == 16, "ABI");
_Static_assert(offsetof(struct acrn_pci_request, size) == 16, "ABI");
_Static_assert(offsetof(struct acrn_pio_request, value) == 24, "ABI");
_Static_assert(offsetof(struct acrn_mmio_request, value) == 24, "ABI");
_Static_assert(offsetof(struct acrn_pci_request, value) == 24, "ABI");
_Static_assert(offsetof(struct acrn_pci_request, bus) == 28, "ABI");
_Static_assert(offsetof(struct acrn_pci_request, dev) == 32, "ABI");
_Static_assert(offsetof(struct acrn_pci_request, func) == 36, "ABI");
_Static_assert(offsetof(struct acrn_pci_request, reg) == 40, "ABI");
_Static_assert(SLOT_PENDING == 0 && SLOT_COMPLETE == 1, "ABI");
_Static_assert(SLOT_PROCESSING == 2 && SLOT_FREE == 3, "ABI");
_Static_assert((int)REQUEST_PORTIO == ACRN_IOREQ_TYPE_PORTIO, "ABI");
_Static_assert((int)REQUEST_MMIO == ACRN_IOREQ_TYPE_MMIO, "ABI");
_Static_assert((int)REQUEST_PCICFG == ACRN_IOREQ_TYPE_PCICFG, "ABI");
_Static_assert((int)REQUEST_READ == ACRN_IOREQ_DIR_READ, "ABI");
_Static_assert((int)REQUEST_WRITE == ACRN_IOREQ_DIR_WRITE, "ABI");

/* A slot's words as they were when they were read. Nothing in here has been checked. */
struct slot_copy {
    uint64_t address;
    uint64_t size_bytes;
    uint64_t value; /* PCICFG: low half the value, high half the bus */
    uint32_t type;
    uint32_t direction;
    uint32_t completion_polling;
    uint32_t dev, func, reg; /* PCICFG only */
};

/* Acquire: pairs with the requester's release of PENDING; what it wrote before is then visible. */
static inline uint32_t slot_state(const struct acrn_io_request *slot)
{
    return __atomic_load_n(&slot->processed, __ATOMIC_ACQUIRE);
}

/*
 * Shifts in whether the slot is PENDING, which is 0: one comparison with memory and one addition with carry,
 * of which compilers make five instructions, 6 % of a round trip with 16 vCPUs (ioreq-bench rtt). Acquire as
 * slot_state: on x86 every load is, and the compiler moves nothing across. Thread sanitizers do not see
 * into it, and relacy's slots are no memory.
 */
static inline uint32_t slot_shift_in_pending(uint32_t pending, const struct acrn_io_request *slot)
{
#if defined(__x86_64__) && !defined(SLOT_PORTABLE)
    __asm__ volatile("cmpl $1, %[state]\n\tadcl %[pending], %[pending]"
                     : [pending] "+r"(pending)
                     : [state] "m"(slot->processed)
                     : "cc", "memory");
    return pending;
#else
    return pending << 1 | (slot_state(slot) == SLOT_PENDING);
#endif
}

/* Relaxed loads throughout: ordered by the acquire of slot_state; atomic so that each is one load.
 */
static inline void slot_copy_out(const struct acrn_io_request *slot, struct slot_copy *copy)
{
    const struct acrn_mmio_request *mmio = &slot->reqs.mmio_request;
    copy->type = __atomic_load_n(&slot->type, __ATOMIC_RELAXED);
    copy->completion_polling = __atomic_load_n(&slot->completion_polling, __ATOMIC_RELAXED);
    copy->direction = __atomic_load_n(&mmio->direction, __ATOMIC_RELAXED);
    copy->address = __atomic_load_n(&mmio->address, __ATOMIC_RELAXED);
    copy->size_bytes = __atomic_load_n(&mmio->size, __ATOMIC_RELAXED);
    copy->value = __atomic_load_n(&mmio->value, __ATOMIC_RELAXED);
    if (copy->type == REQUEST_PCICFG) {
        const struct acrn_pci_request *pci = &slot->reqs.pci_request;
        copy->dev = __atomic_load_n(&pci->dev, __ATOMIC_RELAXED);
        copy->func = __atomic_load_n(&pci->func, __ATOMIC_RELAXED);
        copy->reg = __atomic_load_n(&pci->reg, __ATOMIC_RELAXED);
    }
}

/*
 * PENDING -> PROCESSING. kernel_handled goes first: whoever sees PROCESSING decides by it. False:
 * the slot was taken back (VM reset) since it was read; it is the hypervisor's again, and nothing
 * was stored, but for kernel_handled, which it never reads, if that happened within this function.
 */
static inline bool slot_claim(struct acrn_io_request *slot, bool for_default_client)
{
    uint32_t expected = SLOT_PENDING, kernel_handled = for_default_client ? 0 : 1;
    if (__atomic_load_n(&slot->processed, __ATOMIC_RELAXED) != expected)
        return false;
    /* As a rule it stands there from the last time: the compare-and-swap would wait for the store, 3 to
     * 13 % of a round trip. */
    if (__builtin_expect(__atomic_load_n(&slot->kernel_handled, __ATOMIC_RELAXED) != kernel_handled,
                         0))
        __atomic_store_n(&slot->kernel_handled, kernel_handled, __ATOMIC_RELAXED);
    /* Release: pairs with an external default client's acquire of PROCESSING. */
    return __atomic_compare_exchange_n(&slot->processed, &expected, SLOT_PROCESSING, false,
                                       __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}

/* PROCESSING -> PENDING, of a server that died: nobody has acted on it whom that matters to. False: the
 * slot was taken back. Relaxed: what the request says has stood there since the requester's release. */
static inline bool slot_unclaim(struct acrn_io_request *slot)
{
    uint32_t expected = SLOT_PROCESSING;
    return __atomic_compare_exchange_n(&slot->processed, &expected, SLOT_PENDING, false,
                                       __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

/* Puts the answer of a read where the requester looks for it: 32 bits, for MMIO and WP 64. */
static inline void slot_answer(struct acrn_io_request *slot, uint32_t type, uint64_t value)
{
    if (type == REQUEST_PORTIO || type == REQUEST_PCICFG)
        __atomic_store_n(&slot->reqs.pio_request.value, (uint32_t)value, __ATOMIC_RELAXED);
    else
        __atomic_store_n(&slot->reqs.mmio_request.value, value, __ATOMIC_RELAXED);
}

/*
 * `from`, PENDING or PROCESSING, -> COMPLETE, value first (of a read; of a write is_read is false). False:
 * the slot was taken back since it was looked at or claimed; it is not touched. A compare-and-swap, as a
 * store would overwrite the FREE of a reset that slips in between, and no access of that vCPU would ever
 * succeed again.
 */
static inline bool slot_complete(struct acrn_io_request *slot, enum slot_state from, bool is_read,
                                 uint32_t type, uint64_t value)
{
    uint32_t expected = from;
    if (__atomic_load_n(&slot->processed, __ATOMIC_RELAXED) != expected)
        return false;
    if (is_read)
        slot_answer(slot, type, value);
    /* Release: pairs with the requester's acquire of COMPLETE; it then sees the answer. */
    return __atomic_compare_exchange_n(&slot->processed, &expected, SLOT_COMPLETE, false,
                                       __ATOMIC_RELEASE, __ATOMIC_RELAXED);
}

/* On a page with a kernel driver: it made the slot PROCESSING, for us and not for a client in the kernel.
 * slot_state's acquire pairs with the driver's release of PROCESSING, which comes after kernel_handled. */
static inline bool slot_is_offered(const struct acrn_io_request *slot)
{
    return slot_state(slot) == SLOT_PROCESSING &&
           __atomic_load_n(&slot->kernel_handled, __ATOMIC_RELAXED) == 0;
}

/* The value alone, of a slot that a driver will make COMPLETE. False: the slot was taken back. */
static inline bool slot_put_answer(struct acrn_io_request *slot, bool is_read, uint32_t type,
                                   uint64_t value)
{
    /* Relaxed: decides nothing but whether it is still ours; the driver is told with a release. */
    if (__atomic_load_n(&slot->processed, __ATOMIC_RELAXED) != SLOT_PROCESSING)
        return false;
    if (is_read)
        slot_answer(slot, type, value);
    return true;
}

/* Hands all slots to the requester. Only while no requester can see the page. Relaxed: it is told of
 * the page by a message, which orders all that was stored before. */
static inline void slots_free_all(struct acrn_io_request *slots)
{
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        __atomic_store_n(&slots[i].processed, SLOT_FREE, __ATOMIC_RELAXED);
}

/* What a page looks like before anybody serves it. */
enum slots_look {
    SLOTS_SOUND,
    SLOTS_ZERO,    /* nobody registered it: the hypervisor would have made all slots FREE */
    SLOTS_ONES,    /* no memory there: what a bus answers for a device that is off or gone */
    SLOTS_STRANGE, /* a state that is none of the four */
};

/* Control, never a poller. Relaxed: nothing is decided on what else stands in the page. */
static inline enum slots_look slots_look(const struct acrn_io_request *slots)
{
    uint64_t any = 0, all = UINT64_MAX;
    bool is_strange = false;
    for (uint32_t i = 0; i < SLOT_COUNT; i++)
        is_strange |= __atomic_load_n(&slots[i].processed, __ATOMIC_RELAXED) > SLOT_FREE;
    for (const uint64_t *word = (const uint64_t *)slots;
         word < (const uint64_t *)(slots + SLOT_COUNT); word++) {
        uint64_t value = __atomic_load_n(word, __ATOMIC_RELAXED);
        any |= value;
        all &= value;
    }
    return any == 0            ? SLOTS_ZERO
           : all == UINT64_MAX ? SLOTS_ONES
           : is_strange        ? SLOTS_STRANGE
                               : SLOTS_SOUND;
}

#endif
