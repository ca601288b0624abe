/* SPDX-License-Identifier: BSD-3-Clause */
#include "config/suggest.h"

#include <stdio.h>
#include <string.h>

#define SUGGEST_WORD_BYTES_MAX 32u /* longer ones are never suggested for */

static size_t least(size_t left, size_t right)
{
    return left < right ? left : right;
}

static size_t edit_distance(const char *left, size_t left_bytes, const char *right,
                            size_t right_bytes)
{
    /* Three rows of the table: two back, one back, this one. */
    size_t rows[3][SUGGEST_WORD_BYTES_MAX + 1];
    for (size_t j = 0; j <= right_bytes; j++)
        rows[0][j] = j;
    for (size_t i = 1; i <= left_bytes; i++) {
        size_t *row = rows[i % 3], *back = rows[(i + 2) % 3], *back2 = rows[(i + 1) % 3];
        row[0] = i;
        for (size_t j = 1; j <= right_bytes; j++) {
            size_t change = back[j - 1] + (left[i - 1] != right[j - 1]);
            row[j] = least(change, least(back[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && left[i - 1] == right[j - 2] && left[i - 2] == right[j - 1])
                row[j] = least(row[j], back2[j - 2] + 1);
        }
    }
    return rows[left_bytes % 3][right_bytes];
}

void suggest_begin(struct suggest *suggest, const char *written)
{
    *suggest = (struct suggest){.written = written, .written_bytes = strlen(written)};
    /* A third of the word may be wrong; of a short one, one letter. */
    suggest->distance = suggest->written_bytes / 3 + 1;
}

void suggest_offer(struct suggest *suggest, const char *word)
{
    size_t word_bytes = strlen(word);
    if (word_bytes > SUGGEST_WORD_BYTES_MAX || suggest->written_bytes > SUGGEST_WORD_BYTES_MAX)
        return;
    size_t distance = edit_distance(suggest->written, suggest->written_bytes, word, word_bytes);
    if (distance > suggest->distance || (distance == suggest->distance && suggest->nearest) ||
        distance >= word_bytes)
        return;
    suggest->nearest = word;
    suggest->distance = distance;
}

const char *suggest_hint(struct suggest *suggest)
{
    suggest->hint[0] = '\0';
    if (suggest->nearest)
        snprintf(suggest->hint, sizeof(suggest->hint), " (did you mean '%s'?)", suggest->nearest);
    return suggest->hint;
}
