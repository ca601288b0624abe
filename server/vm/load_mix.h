/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * load_mix.h - which addresses `ioreq-vm load` accesses, how often, and what must answer there.
 *
 * Flow:    load_mix_parse or load_mix_init -> read by every vCPU's plan.
 * Threads: fixed before the first thread.
 * Memory:  plain data.
 * Errors:  one line that names the part.
 *
 * A mix is a comma-separated list of KIND:SPACE:FIRST-LAST=WEIGHT. KIND scratch: registers that
 * keep what is written, byte by byte, as a register bank of 8-byte registers does; its range starts
 * at a multiple of 8 and has whole 8-byte units. KIND ones: nothing is there, reads give all-ones.
 * KIND formula: reads only, each of load_formula; all-ones is right, too, and counted apart: the
 * server answered in place of a device that was not to be had. KIND any: whatever answers is right.
 */
#ifndef SERVER_VM_LOAD_MIX_H
#define SERVER_VM_LOAD_MIX_H

#include "clients/request.h"
#include "server/vm/volatile_answers.h"

#define LOAD_PARTS_MAX         16
#define LOAD_WEIGHT_MAX        1000000u
#define LOAD_UNIT_BYTES        8u
#define LOAD_SCRATCH_MAX_BYTES (16u << 20) /* a range */

#define LOAD_DEFAULT_MIX "scratch:mmio:0xfe000000-0xfe000fff=8,ones:mmio:0xfd000000-0xfd000fff=1"

enum load_kind {
    LOAD_SCRATCH,
    LOAD_ONES,
    LOAD_FORMULA,
    LOAD_ANY,
};

/* What a read of kind formula gives, of any size: never all-ones. */
static inline uint64_t load_formula(uint64_t address, uint32_t size_bytes)
{
    return address * 0x9e3779b97f4a7c15u & ~1ull & request_ones(size_bytes);
}

struct load_part {
    enum load_kind kind;
    struct address_range range;
    uint32_t weight;
};

struct load_mix {
    size_t count;
    uint32_t weight; /* of all parts */
    struct load_part parts[LOAD_PARTS_MAX];
};

/* False with a line in error [error_bytes]. */
bool load_mix_parse(const char *text, struct load_mix *mix, char *error, size_t error_bytes);

#endif
