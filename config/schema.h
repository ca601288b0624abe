/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * schema.h - tables of keys, and reading a mapping of the file through such a table.
 *
 * Flow:    node of the document + table of keys -> one value per key, defaults filled in. The same
 *          tables print the reference (print.h), so that it cannot differ from what is accepted.
 * Threads: one thread.
 * Memory:  values from the arena; their texts are the document's or the table's.
 * Errors:  each is reported where it stands and leaves its value with is_valid false, so that
 *          later checks pass over it; reading goes on with the next key.
 * Source:  the idea of one table for parsing and manual: TigerBeetle's and Firedancer's command
 *          line tables.
 */
#ifndef CONFIG_SCHEMA_H
#define CONFIG_SCHEMA_H

#include "config/arena.h"
#include "config/config.h"
#include "config/document.h"
#include "config/problems.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum schema_kind {
    SCHEMA_NUMBER = 1, /* decimal, or hexadecimal with 0x; no sign, no leading zero */
    SCHEMA_SIZE,       /* a number with an optional KiB, MiB or GiB */
    SCHEMA_DURATION,   /* a decimal number with ns, us, ms or s; the value is in ns */
    SCHEMA_BOOL,       /* true or false */
    SCHEMA_NAME,       /* 1..CONFIG_NAME_MAX of a-z 0-9 _ - */
    SCHEMA_REFERENCE,  /* a name defined elsewhere; `refers` says of what */
    SCHEMA_TEXT,       /* minimum..maximum bytes without control characters */
    SCHEMA_CHOICE,     /* one of `choices`; the value is its index */
    SCHEMA_STREAM,     /* none, stdio, pty, pty:LINK, file:PATH */
    SCHEMA_CPU,        /* a number, or any: CONFIG_CPU_ANY */
    SCHEMA_CPU_LIST,   /* cpu_list.h, or none; `string` is the text, `number` how many */
    SCHEMA_BDF, /* bus:device.function; the value is bus << 20 | device << 15 | function << 12 */
    SCHEMA_NUMBERS, /* a list of numbers; records of one value */
    SCHEMA_TEXTS,   /* a list of texts, likewise */
    SCHEMA_RECORDS, /* a list of minimum..maximum mappings of `fields` */
    SCHEMA_MAPPING, /* one mapping of `fields`: records[0] */
    SCHEMA_OPTIONS, /* a mapping read later: only `node` is set */
};

struct schema_key {
    const char *name;
    enum schema_kind kind;
    bool required;
    const char *unless;       /* `required`, unless this key of the same mapping stands; or NULL */
    const char *default_text; /* as it would stand in the file; NULL: 0, false, "" or nothing */
    uint64_t minimum;         /* of numbers, sizes, durations, bytes of text, or records */
    uint64_t maximum;
    uint64_t count_max;          /* NUMBERS, TEXTS: how many */
    const char *const *choices;  /* CHOICE: NULL-terminated */
    const char *refers;          /* REFERENCE: what the name is of, such as "poller" */
    const char *default_meaning; /* what stands in where there is no default_text */
    const struct schema_key *fields;
    size_t field_count;
    bool is_short; /* MAPPING: one word stands for a mapping of the first field alone */
    const char *help;
};

struct schema_record;

struct schema_value {
    bool is_valid;
    struct config_mark mark;          /* line 0: not in the file */
    const struct document_node *node; /* NULL: not in the file */
    uint64_t number;
    const char *string;
    const struct schema_record *records;
    size_t record_count;
};

struct schema_record {
    struct config_mark mark;
    const struct schema_value *values; /* [field_count of the key], never NULL */
};

struct schema_context {
    struct arena *arena;
    struct problems *problems;
};

/*
 * Reads node, a mapping, by keys [key_count]; section names it in reports. node NULL: every key has
 * its default. Required keys that are missing are reported at required_mark.
 * Returns values [key_count], or NULL when the arena is exhausted.
 */
const struct schema_value *schema_read(struct schema_context *context, const char *section,
                                       const struct schema_key *keys, size_t key_count,
                                       const struct document_node *node,
                                       struct config_mark required_mark);

#define SCHEMA_EXPECTED_BYTES 160u
struct schema_expected {
    char text[SCHEMA_EXPECTED_BYTES];
};

/* What may stand as the value of key: "a number from 1 to 16". */
struct schema_expected schema_expected(const struct schema_key *key);

#endif
