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
 */
#ifndef SERVER_VM_LOAD_MIX_H
#define SERVER_VM_LOAD_MIX_H

#include "server/vm/volatile_answers.h"

#define LOAD_PARTS_MAX         16
#define LOAD_WEIGHT_MAX        1000000u
#define LOAD_UNIT_BYTES        8u
#define LOAD_SCRATCH_MAX_BYTES (16u << 20) /* a range */

#define LOAD_DEFAULT_MIX "scratch:mmio:0xfe000000-0xfe000fff=8,ones:mmio:0xfd000000-0xfd000fff=1"

enum load_kind {
    LOAD_SCRATCH,
    LOAD_ONES,
};

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
