/* SPDX-License-Identifier: BSD-3-Clause */
#include "config/print.h"

#include "config/load.h"
#include "config/tables.h"

#include <errno.h>
#include <string.h>

#define PRINT_MEMORY_BYTES_MAX ((size_t)1 << 20)
#define SECTION_BYTES          80u

struct walk {
    void (*visit)(const struct config_key *key, void *context);
    void *context;
};

/* Without default_text a value is what zeroed memory means for its kind. */
static const char *default_of(const struct schema_key *key)
{
    if (key->required)
        return NULL;
    if (key->default_text)
        return *key->default_text ? key->default_text : "\"\"";
    if (key->default_meaning)
        return key->default_meaning;
    switch (key->kind) {
    case SCHEMA_BOOL:
        return "false";
    case SCHEMA_CHOICE:
        return key->choices[0];
    case SCHEMA_STREAM:
        return "none";
    case SCHEMA_TEXT:
        return "\"\"";
    default:
        return "0";
    }
}

/* Recursion as deep as the tables: the file, a section, its records. */
static void walk_keys(const struct walk *walk, const char *section, const struct schema_key *keys,
                      size_t key_count)
{
    for (size_t i = 0; i < key_count; i++) {
        struct schema_expected expected = schema_expected(&keys[i]);
        struct config_key key = {
            .section = section,
            .name = keys[i].name,
            .expected = expected.text,
            .default_text = default_of(&keys[i]),
            .help = keys[i].help,
            .required = keys[i].required,
            .unless = keys[i].unless,
        };
        walk->visit(&key, walk->context);
    }
    for (size_t i = 0; i < key_count; i++) {
        if (!keys[i].fields)
            continue;
        char name[SECTION_BYTES];
        snprintf(name, sizeof(name), "%s%s%s", section, *section ? "." : "", keys[i].name);
        walk_keys(walk, name, keys[i].fields, keys[i].field_count);
    }
}

int config_visit_keys(const struct config_device_kind *kinds, size_t kind_count,
                      void (*visit)(const struct config_key *key, void *context), void *context)
{
    struct walk walk = {.visit = visit, .context = context};
    struct arena arena;
    arena_init(&arena, PRINT_MEMORY_BYTES_MAX);
    walk_keys(&walk, "", file_keys, FILE_ROWS);
    for (size_t i = 0; i < kind_count && !arena.failed; i++) {
        char section[SECTION_BYTES];
        snprintf(section, sizeof(section), "options of %s", kinds[i].name);
        const struct schema_key *keys = device_options_keys(&arena, &kinds[i]);
        if (keys)
            walk_keys(&walk, section, keys, kinds[i].option_count);
    }
    int error = arena.failed ? -ENOMEM : 0;
    arena_fini(&arena);
    return error;
}

/* ---- for people -------------------------------------------------------------------------- */

struct reference {
    FILE *stream;
    const struct config_device_kind *kinds;
    size_t kind_count;
    char section[SECTION_BYTES];
};

static const char *kind_summary(const struct reference *reference, const char *section)
{
    static const char prefix[] = "options of ";
    for (size_t i = 0; i < reference->kind_count; i++) {
        if (strncmp(section, prefix, strlen(prefix)) == 0 &&
            strcmp(section + strlen(prefix), reference->kinds[i].name) == 0)
            return reference->kinds[i].summary;
    }
    return NULL;
}

static void print_key(const struct config_key *key, void *context)
{
    struct reference *reference = context;
    FILE *stream = reference->stream;
    if (strcmp(reference->section, key->section) != 0) {
        const char *summary = kind_summary(reference, key->section);
        fprintf(stream, "\n%s%s%s\n", key->section, summary ? ": " : "", summary ? summary : "");
        snprintf(reference->section, sizeof(reference->section), "%s", key->section);
    }
    fprintf(stream, "  %-18s %s; %s%s%s%s\n", key->name, key->expected,
            key->required ? "required" : "default ", key->required ? "" : key->default_text,
            key->unless ? ", unless " : "", key->unless ? key->unless : "");
    if (key->help)
        fprintf(stream, "  %-18s   %s\n", "", key->help);
}

int config_print_reference(const struct config_device_kind *kinds, size_t kind_count, FILE *stream)
{
    struct reference reference = {.stream = stream, .kinds = kinds, .kind_count = kind_count};
    fprintf(stream, "The configuration file is one YAML mapping of these keys:\n");
    int error = config_visit_keys(kinds, kind_count, print_key, &reference);
    fprintf(stream, "\nDevice kinds\n");
    for (size_t i = 0; i < kind_count; i++)
        fprintf(stream, "  %-18s %s%s\n", kinds[i].name, kinds[i].summary ? kinds[i].summary : "",
                kinds[i].option_count > 0 ? "" : " (no options)");
    return error;
}
