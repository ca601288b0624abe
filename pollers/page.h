/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * page.h - one VM's page as its sweeping poller sees it, and the gate every answer passes.
 *
 * Flow:    page_init -> page_open with a mapping (requester attached) -> swept by a poller ->
 *          page_close (requester gone) -> page_open with the next mapping ...
 * Threads: page_open and page_close run on the sweeping poller (as commands). page_settle is for
 *          whoever holds a ticket. Counters: `swept` by the sweeping poller only; `settled` under
 *          the gate of each slot, therefore added atomically.
 * Memory:  the page belongs to its source; struct page to the topology, on the poller's node.
 * Errors:  what the requester does wrong is answered and counted here, never reported per request.
 */
#ifndef POLLERS_PAGE_H
#define POLLERS_PAGE_H

#include "clients/client.h"
#include "pollers/budget.h"
#include "pollers/check.h"
#include "pollers/counter.h"
#include "pollers/page_notify.h"
#include "pollers/router.h"
#include "pollers/slot_record.h"

/* Written by the sweeping poller. Indexed first by enum request_fault. */
enum page_counter {
    PAGE_REQUESTS = REQUEST_FAULT_NONE, /* claimed, or answered without a claim; valid or not */
    PAGE_FAULTS_END = REQUEST_FAULT_COUNT,
    PAGE_UNROUTED = PAGE_FAULTS_END, /* no range and no default client: answered all-ones */
    PAGE_CLEARED,                    /* came while the VM was cleared: answered all-ones */
    PAGE_BAD_PCI_PORT,               /* data access that leaves 0xcfc..0xcff: answered all-ones */
    PAGE_REVOKED,                    /* taken back while PENDING: before the claim, or the answer */
    PAGE_INBOX_FULL,                 /* left PENDING for a later sweep */
    PAGE_STRAY_SLOT,                 /* PENDING in a slot beyond the VM's vCPUs; never written */
    PAGE_ODD_STATE,                  /* a state that is none of the four; not touched */
    PAGE_COUNTER_COUNT,
};

/* Written by whoever won a slot: rare events only, so that the usual answer adds nothing here. */
enum page_settled {
    PAGE_DROPPED,    /* slot no longer PROCESSING: answer dropped, slot not written */
    PAGE_REFUSED,    /* answer to a request that is not in flight with who gave it */
    PAGE_UNNOTIFIED, /* completed, but the requester does not poll and nobody notified it */
    PAGE_SETTLED_COUNT,
};

/* The deadline of a request that was handed over. The sweeping poller's own. */
struct page_due {
    uint64_t ticket; /* is the record's word no longer this one, all of it means nothing */
    uint64_t ticks;  /* of the time-stamp counter */
    struct client *client;
};

/* What of a page must be known to the process that serves it after this one. Where it lies in memory of
 * its own (page_keep), that outlives the process: server/restart/journal.h. */
struct page_kept {
    struct slot_record records[SLOT_COUNT];
    _Atomic uint64_t pci_address; /* last 4-byte write to 0xcf8, and above it its complement */
};

/* A request that is with a client on another poller. The sweeping poller's own. */
struct page_asked {
    struct client *client;
    struct inbox_cell *cell;
    uint64_t ticket;
    /* Where the client has late_answers: what its device may be reading in the cell just now. */
    uint64_t address;
    uint8_t size_bytes, type, direction;
};

struct page {
    struct acrn_io_request *slots; /* [SLOT_COUNT], hostile; the last one's while closed */
    uint32_t asked;                /* bit per slot: `asks` says with whom its request is */
    bool is_open;                  /* swept */
    bool is_clearing;              /* a VM reset is on: new requests are answered at once */
    bool has_budgets;              /* the VM, or some client that the sweeping poller charges */
    bool has_driver;               /* a kernel driver dispatches on it too: page_driver.h */
    bool is_direct;                /* has_driver: slots that poll are completed past the driver */
    bool has_pci;                  /* ports 0xcf8..0xcff are the VM's own (pci_ports.h) */
    uint32_t vcpu_count;
    struct slot_record *records; /* [SLOT_COUNT], in kept */
    struct page_kept *kept;
    /* Acquire in the poller pairs with control's release: the tree is built before it is seen. */
    _Atomic(const struct router *) router;
    struct client *default_client; /* NULL: none */
    struct budget *budget;         /* of the VM; NULL: any */
    /* The sweeping poller's, one a vCPU: each has its own device that it comes back to. */
    _Alignas(64) struct router_hint hints[SLOT_COUNT];
    struct page_kept own; /* where nobody keeps it */
    struct page_asked asks[SLOT_COUNT];
    uint32_t watch_next; /* which slot the next sweep looks at for what should not be */
    uint32_t stray_seen; /* bit per slot: was PENDING at the last look */
    uint32_t upcall;     /* its entry in the poller's wait, or 0: none */
    uint64_t wait_ticks; /* without a request, then its poller may wait; 0: it never may */
    uint32_t timed;      /* bit per slot: handed over, and `due` says until when */
    uint32_t held;       /* bit per slot: not looked at before held_until_ticks */
    uint64_t held_until_ticks;
    _Atomic uint64_t counters[PAGE_COUNTER_COUNT];
    _Alignas(64) _Atomic uint64_t settled[PAGE_SETTLED_COUNT];
    _Alignas(64) struct page_due due[SLOT_COUNT];
    struct page_notify notify; /* of vCPUs that do not poll for completion */
    struct client *charged;    /* whose request is being handled; only where there are budgets */
    struct budget own_budget;  /* what `budget` points to, if it does */
};

/* 0; -EINVAL: vcpu_count is not 1..16. default_client may be NULL. */
int page_init(struct page *page, uint32_t vcpu_count, const struct router *router,
              struct client *default_client);

/* Before the first page_open: what must be kept lies in *kept from now on, which is left as it is and
 * outlives the page. */
void page_keep(struct page *page, struct page_kept *kept);

/* As page_init leaves a page's own: every record idle, the PCI address 0. Tickets begin at `sequence`, below
 * 2^56. */
void page_kept_init(struct page_kept *kept, uint64_t sequence);

/* What 0xcf8 of a VM that has_pci selects; page_open makes it 0. Sweeping poller. Relaxed: nobody orders
 * anything by it. */
static inline uint32_t page_pci_address(const struct page *page)
{
    return (uint32_t)atomic_load_explicit(&page->kept->pci_address, memory_order_relaxed);
}

static inline void page_set_pci_address(struct page *page, uint32_t address)
{
    atomic_store_explicit(&page->kept->pci_address, (uint64_t)~address << 32 | address,
                          memory_order_relaxed);
}

/* Sweeping poller: who is asked from now on where no range matches; NULL: nobody. */
void page_set_default_client(struct page *page, struct client *default_client);

/* Sweeping poller: frees every slot and begins to sweep. slots stay mapped until page_close. */
void page_open(struct page *page, struct acrn_io_request *slots);

/* Sweeping poller: begins to sweep a page that the hypervisor has registered, as it is: FREE slots stay
 * FREE, what is PENDING is served. What is PROCESSING an earlier server took and left behind: it is
 * answered all-ones. Returns how many that were. On a page with a driver (page_driver.h) PROCESSING means
 * that the driver offers it to us: it is served, and not counted. */
uint32_t page_open_registered(struct page *page, struct acrn_io_request *slots);

/* Sweeping poller: takes on no more requests; those in flight are answered as usual. */
void page_pause(struct page *page);

/* Sweeping poller: serves on after page_pause. */
void page_resume(struct page *page);

/* Sweeping poller: while clearing, new requests are answered with all-ones at once. */
void page_set_clearing(struct page *page, bool is_clearing);

/* Sweeping poller: stops sweeping and abandons what is in flight, unanswered: whoever waited for
 * it is gone. An external client may still be settling; control waits for it before it unmaps. */
void page_close(struct page *page);

/*
 * Any thread. Answers a slot once: the value of a read (cut to its size), then COMPLETE. A requester that
 * does not poll is told in the sweeping poller's next round. False: somebody else settled that ticket
 * before, or the requester took the slot back (counted).
 */
bool page_settle(struct page *page, uint32_t slot_index, uint64_t ticket, uint64_t value);

/* Control at shutdown, when a client did not answer in time: completes every slot in flight with
 * all-ones. Returns how many. */
uint32_t page_settle_all(struct page *page);

/* Control at shutdown, once the sweeping poller is frozen (poller_freeze): completes what is in flight, and
 * what that poller had claimed or asks a device for and nobody else has, with all-ones. Returns how many.
 * Frozen between an answer and the record's end, that may be the next request in the slot. */
uint32_t page_settle_frozen(struct page *page);

/* How many slots are in flight now. Any thread. */
uint32_t page_in_flight(const struct page *page);

#endif
