/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * scalar.h - one text of the file to one value: numbers, sizes, durations, names, streams.
 *
 * Flow:    text -> scalar_read -> schema_value.
 * Threads: any; no state.
 * Memory:  the value's string is the given text.
 * Errors:  what is wrong goes to `problem`, without the expectation, which the caller adds.
 * Rules:   010 is refused: some readers take it for 8. 1e9, 1.0, 1_000, +1 are refused: one way to
 *          write a number. "12" in quotes is text, not a number. Nothing wraps.
 */
#ifndef CONFIG_SCALAR_H
#define CONFIG_SCALAR_H

#include "config/schema.h"

#define SCALAR_PROBLEM_BYTES 160u

struct scalar_text {
    const char *text; /* NUL-terminated */
    size_t bytes;
    bool quoted;
};

/* True: value->number or ->string is set as key's kind says. */
bool scalar_read(const struct schema_key *key, struct scalar_text written,
                 struct schema_value *value, char problem[SCALAR_PROBLEM_BYTES]);

#endif
