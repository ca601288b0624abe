/* SPDX-License-Identifier: BSD-3-Clause */
/* A device's own keys: its table of options as schema keys, its schema values as config values. */
#include "config/load.h"

#include <assert.h>

/* Text and streams are paths at most. */
#define OPTION_TEXT_BYTES_MAX 4095u

static const enum schema_kind schema_kinds[] = {
    [CONFIG_OPTION_NUMBER] = SCHEMA_NUMBER,   [CONFIG_OPTION_SIZE] = SCHEMA_SIZE,
    [CONFIG_OPTION_BOOL] = SCHEMA_BOOL,       [CONFIG_OPTION_STRING] = SCHEMA_TEXT,
    [CONFIG_OPTION_CHOICE] = SCHEMA_CHOICE,   [CONFIG_OPTION_STREAM] = SCHEMA_STREAM,
    [CONFIG_OPTION_RECORDS] = SCHEMA_RECORDS,
};

static uint64_t default_maximum(enum config_option_kind kind)
{
    switch (kind) {
    case CONFIG_OPTION_STRING:
    case CONFIG_OPTION_STREAM:
        return OPTION_TEXT_BYTES_MAX;
    case CONFIG_OPTION_RECORDS:
        return CONFIG_RECORDS_MAX;
    default:
        return UINT64_MAX;
    }
}

/* depth: RECORDS have fields, but no fields that are RECORDS. */
static const struct schema_key *translate(struct arena *arena, const struct config_option *options,
                                          size_t option_count, int depth)
{
    assert(depth < 2);
    struct schema_key *keys = arena_alloc(arena, option_count, sizeof(*keys));
    for (size_t i = 0; keys && i < option_count; i++) {
        const struct config_option *option = &options[i];
        bool is_records = option->kind == CONFIG_OPTION_RECORDS;
        assert((size_t)option->kind < sizeof(schema_kinds) / sizeof(schema_kinds[0]));
        keys[i] = (struct schema_key){
            .name = option->name,
            .kind = schema_kinds[option->kind],
            .required = option->required,
            .default_text = option->default_text,
            .minimum = option->minimum,
            .maximum = option->maximum > 0 ? option->maximum : default_maximum(option->kind),
            .choices = option->choices,
            .default_meaning = is_records ? "[]" : NULL,
            .field_count = is_records ? option->field_count : 0,
            .help = option->help,
        };
        if (!is_records)
            continue;
        keys[i].default_text = NULL;
        keys[i].fields = translate(arena, option->fields, option->field_count, depth + 1);
        if (!keys[i].fields)
            return NULL;
    }
    return keys;
}

const struct schema_key *device_options_keys(struct arena *arena,
                                             const struct config_device_kind *kind)
{
    return translate(arena, kind->options, kind->option_count, 0);
}

static const struct config_value *convert(struct load *load, const struct schema_key *keys,
                                          size_t key_count, const struct schema_value *values)
{
    struct config_value *converted = arena_alloc(&load->arena, key_count, sizeof(*converted));
    for (size_t i = 0; converted && i < key_count; i++) {
        converted[i].number = values[i].number;
        converted[i].string = load_keep_text(load, values[i].string);
        converted[i].mark = values[i].mark;
        size_t count = values[i].record_count;
        if (count == 0)
            continue;
        const struct config_value **records = arena_alloc(&load->arena, count, sizeof(*records));
        for (size_t record = 0; records && record < count; record++) {
            records[record] = convert(load, keys[i].fields, keys[i].field_count,
                                      values[i].records[record].values);
            if (!records[record])
                return NULL;
        }
        if (!records)
            return NULL;
        converted[i].records = records;
        converted[i].record_count = count;
    }
    return converted;
}

const struct config_value *device_options_read(struct load *load, uint32_t kind,
                                               const struct schema_value *options,
                                               struct config_mark client_mark)
{
    const struct schema_key *keys = load->kind_keys[kind];
    size_t key_count = load->kinds[kind].option_count;
    const struct schema_value *values =
        schema_read(&load->context, "options", keys, key_count,
                    options->is_valid ? options->node : NULL, client_mark);
    return values ? convert(load, keys, key_count, values) : NULL;
}
