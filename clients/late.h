/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * late.h - what a read gets whose client does not answer in time: the policy of a client on another poller
 * or in another process.
 *
 * Flow:    late_remember, each answer that came in time -> late_answer, past a deadline.
 * Threads: the poller that sweeps the client's VM.
 * Memory:  the owner's; of LATE_LAST the last answers to LATE_CELLS addresses, where two share a cell the
 *          later one.
 */
#ifndef CLIENTS_LATE_H
#define CLIENTS_LATE_H

#include "clients/request.h"

#define LATE_CELLS 64u /* a power of two */

/* All-ones; the last answer to that address, or all-ones; a value, cut to the size of the access. */
enum late_kind { LATE_ONES, LATE_LAST, LATE_VALUE };

struct late_cell {
    uint64_t address, value;
    uint32_t size_bytes; /* 0: none */
    uint32_t type;
};

/* Of a client on another poller; a process has the same in its port and policy. */
struct late {
    enum late_kind kind;
    uint64_t value; /* LATE_VALUE */
    struct late_cell last[LATE_CELLS];
};

static inline struct late_cell *late_cell_of(struct late_cell last[LATE_CELLS],
                                             const struct request *request)
{
    uint64_t address = request->address;
    return &last[(address ^ address >> 6 ^ address >> 12) % LATE_CELLS];
}

static inline void late_remember(enum late_kind kind, struct late_cell last[LATE_CELLS],
                                 const struct request *request, uint64_t value)
{
    if (kind == LATE_LAST && request_is_read(request))
        *late_cell_of(last, request) =
            (struct late_cell){request->address, value, request->size_bytes, request->type};
}

static inline uint64_t late_answer(enum late_kind kind, uint64_t value,
                                   struct late_cell last[LATE_CELLS], const struct request *request)
{
    if (kind == LATE_VALUE)
        return value;
    const struct late_cell *cell = late_cell_of(last, request);
    bool is_known = kind == LATE_LAST && cell->address == request->address &&
                    cell->size_bytes == request->size_bytes && cell->type == request->type;
    return is_known ? cell->value : UINT64_MAX;
}

#endif
