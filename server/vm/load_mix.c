/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/vm/load_mix.h"

#include "clients/request.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool refuse(char *error, size_t error_bytes, const char *part, const char *expected)
{
    snprintf(error, error_bytes, "'%.*s': %s", (int)strcspn(part, ","), part, expected);
    return false;
}

static bool parse_weight(const char *text, uint32_t *weight, const char **end)
{
    if (*text < '0' || *text > '9')
        return false;
    char *rest;
    unsigned long number = strtoul(text, &rest, 10);
    if (number < 1 || number > LOAD_WEIGHT_MAX)
        return false;
    *weight = (uint32_t)number;
    *end = rest;
    return true;
}

/* Parts of the same space must not meet where a write would break another part's oracle. */
static bool parts_overlap(const struct load_part *a, const struct load_part *b)
{
    return a->range.type == b->range.type && a->range.first <= b->range.last &&
           b->range.first <= a->range.last;
}

static bool parse_part(const char *text, struct load_part *part, const char **end, char *error,
                       size_t error_bytes)
{
    const char *range;
    if (strncmp(text, "scratch:", 8) == 0) {
        part->kind = LOAD_SCRATCH;
        range = text + 8;
    } else if (strncmp(text, "ones:", 5) == 0) {
        part->kind = LOAD_ONES;
        range = text + 5;
    } else if (strncmp(text, "formula:", 8) == 0) {
        part->kind = LOAD_FORMULA;
        range = text + 8;
    } else if (strncmp(text, "any:", 4) == 0) {
        part->kind = LOAD_ANY;
        range = text + 4;
    } else {
        return refuse(
            error, error_bytes, text,
            "expected scratch:..., ones:..., formula:... or any:..., such as " LOAD_DEFAULT_MIX);
    }
    if (!address_range_parse(range, &part->range, end))
        return refuse(error, error_bytes, text,
                      "expected portio:FIRST-LAST or mmio:FIRST-LAST behind the kind, with "
                      "FIRST <= LAST, ports up to 0xffff");
    if (**end != '=' || !parse_weight(*end + 1, &part->weight, end) ||
        (**end != '\0' && **end != ','))
        return refuse(error, error_bytes, text, "expected =WEIGHT, 1 to 1000000, behind the range");
    uint64_t last = part->range.last;
    if (part->kind != LOAD_SCRATCH)
        return true;
    if (part->range.first % LOAD_UNIT_BYTES != 0 || last % LOAD_UNIT_BYTES != LOAD_UNIT_BYTES - 1)
        return refuse(error, error_bytes, text,
                      "a scratch range begins at a multiple of 8 and ends before one");
    if (last - part->range.first >= LOAD_SCRATCH_MAX_BYTES)
        return refuse(error, error_bytes, text, "a scratch range has at most 16 MiB");
    return true;
}

bool load_mix_parse(const char *text, struct load_mix *mix, char *error, size_t error_bytes)
{
    struct load_mix parsed = {0};
    for (;;) {
        if (parsed.count == LOAD_PARTS_MAX)
            return refuse(error, error_bytes, text, "more than 16 parts");
        struct load_part *part = &parsed.parts[parsed.count];
        const char *end;
        if (!parse_part(text, part, &end, error, error_bytes))
            return false;
        for (size_t i = 0; i < parsed.count; i++)
            if (parts_overlap(part, &parsed.parts[i]))
                return refuse(error, error_bytes, text, "overlaps a part before it");
        parsed.weight += part->weight;
        parsed.count++;
        if (*end == '\0')
            break;
        text = end + 1;
    }
    *mix = parsed;
    return true;
}
