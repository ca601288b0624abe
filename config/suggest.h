/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * suggest.h - "did you mean": the nearest of some words to one that was written wrong.
 *
 * Flow:    suggest_begin -> suggest_offer for every right word -> suggest_hint.
 * Threads: one thread.
 * Memory:  none beside the struct; the words are the caller's.
 * Errors:  none: without a word near enough the hint is empty.
 * Source:  V. Levenshtein's distance, with swapped neighbours as one step (optimal string
 *          alignment).
 */
#ifndef CONFIG_SUGGEST_H
#define CONFIG_SUGGEST_H

#include <stddef.h>

struct suggest {
    const char *written; /* NUL-terminated */
    size_t written_bytes;
    const char *nearest; /* NULL: none is near enough */
    size_t distance;
    char hint[64];
};

void suggest_begin(struct suggest *suggest, const char *written);
void suggest_offer(struct suggest *suggest, const char *word);

/* " (did you mean 'word'?)" or ""; belongs to suggest. */
const char *suggest_hint(struct suggest *suggest);

#endif
