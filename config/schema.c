/* SPDX-License-Identifier: BSD-3-Clause */
#include "config/schema.h"

#include "config/scalar.h"
#include "config/suggest.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *node_kind_name(const struct document_node *node)
{
    switch (node->kind) {
    case DOCUMENT_SEQUENCE:
        return "a list";
    case DOCUMENT_MAPPING:
        return "a mapping";
    default:
        return "one word";
    }
}

static bool is_null(const struct document_node *node)
{
    return node->kind == DOCUMENT_SCALAR && !node->quoted &&
           (node->text_bytes == 0 || strcmp(node->text, "~") == 0 ||
            strcmp(node->text, "null") == 0);
}

/* A value of the wrong shape; always false. */
static bool refuse_shape(struct schema_context *context, const struct schema_key *key,
                         const struct document_node *node)
{
    struct schema_expected expected = schema_expected(key);
    if (is_null(node))
        problems_add(context->problems, node->mark, "%s: no value; expected %s", key->name,
                     expected.text);
    else
        problems_add(context->problems, node->mark, "%s: %s; expected %s", key->name,
                     node_kind_name(node), expected.text);
    return false;
}

static bool read_scalar(struct schema_context *context, const struct schema_key *key,
                        const struct document_node *node, struct schema_value *value)
{
    if (node->kind != DOCUMENT_SCALAR || is_null(node))
        return refuse_shape(context, key, node);
    char problem[SCALAR_PROBLEM_BYTES];
    struct scalar_text written = {node->text, node->text_bytes, node->quoted};
    if (scalar_read(key, written, value, problem))
        return true;
    struct schema_expected expected = schema_expected(key);
    problems_add(context->problems, node->mark, "%s: %s; expected %s", key->name, problem,
                 expected.text);
    return false;
}

/* The table is ours, so a default that its own key would refuse is the programmer's fault. */
static void fill_default(const struct schema_key *key, struct schema_value *value)
{
    value->is_valid = true;
    value->string = key->kind == SCHEMA_STREAM ? "none" : "";
    if (!key->default_text)
        return;
    char problem[SCALAR_PROBLEM_BYTES];
    struct scalar_text written = {key->default_text, strlen(key->default_text), false};
    if (!scalar_read(key, written, value, problem)) {
        fprintf(stderr, "the default of %s: %s\n", key->name, problem);
        assert(false && "a default text that its key does not accept");
    }
}

/* How many of the list's elements are read; too many or too few are reported. */
static size_t count_elements(struct schema_context *context, const struct schema_key *key,
                             const struct document_node *node, uint64_t minimum, uint64_t maximum)
{
    struct schema_expected expected = schema_expected(key);
    if (node->child_count < minimum)
        problems_add(context->problems, node->mark, "%s: %zu in the list; expected %s", key->name,
                     node->child_count, expected.text);
    if (node->child_count <= maximum)
        return node->child_count;
    const struct document_node *first_over = node->children;
    for (uint64_t i = 0; i < maximum; i++)
        first_over = first_over->next;
    problems_add(context->problems, first_over->mark, "%s: %zu in the list; expected %s", key->name,
                 node->child_count, expected.text);
    return (size_t)maximum;
}

/* A list of scalars. */
static bool read_list(struct schema_context *context, const struct schema_key *key,
                      const struct document_node *node, struct schema_value *value)
{
    if (node->kind != DOCUMENT_SEQUENCE)
        return refuse_shape(context, key, node);
    size_t count = count_elements(context, key, node, 0, key->count_max);
    struct schema_record *records = arena_alloc(context->arena, count, sizeof(*records));
    struct schema_value *elements = arena_alloc(context->arena, count, sizeof(*elements));
    if (!records || !elements)
        return false;
    struct schema_key element = *key;
    element.kind = key->kind == SCHEMA_TEXTS ? SCHEMA_TEXT : SCHEMA_NUMBER;
    bool is_valid = count == node->child_count;
    const struct document_node *child = node->children;
    for (size_t i = 0; i < count; i++, child = child->next) {
        elements[i] = (struct schema_value){.mark = child->mark, .node = child};
        elements[i].is_valid = read_scalar(context, &element, child, &elements[i]);
        records[i] = (struct schema_record){.mark = child->mark, .values = &elements[i]};
        is_valid = is_valid && elements[i].is_valid;
    }
    value->records = records;
    value->record_count = count;
    return is_valid;
}

/* Values of a record that could not be read at all: none of them valid. */
static const struct schema_value *unread_values(struct schema_context *context, size_t count)
{
    return arena_alloc(context->arena, count, sizeof(struct schema_value));
}

/* One word, for the first field; it is reported under the mapping's own name. */
static bool read_short(struct schema_context *context, const struct schema_key *key,
                       const struct document_node *node, struct schema_value *value)
{
    struct schema_record *record = arena_alloc(context->arena, 1, sizeof(*record));
    struct schema_value *values = arena_alloc(context->arena, key->field_count, sizeof(*values));
    if (!record || !values)
        return false;
    for (size_t i = 0; i < key->field_count; i++)
        fill_default(&key->fields[i], &values[i]);
    struct schema_key first = key->fields[0];
    first.name = key->name;
    values[0] = (struct schema_value){.mark = node->mark, .node = node};
    values[0].is_valid = read_scalar(context, &first, node, &values[0]);
    *record = (struct schema_record){.mark = node->mark, .values = values};
    value->records = record;
    value->record_count = 1;
    return values[0].is_valid;
}

static bool read_records(struct schema_context *context, const struct schema_key *key,
                         const struct document_node *node, struct schema_value *value)
{
    if (key->is_short && node->kind == DOCUMENT_SCALAR && !is_null(node))
        return read_short(context, key, node, value);
    bool is_list = key->kind == SCHEMA_RECORDS;
    if (node->kind != (is_list ? DOCUMENT_SEQUENCE : DOCUMENT_MAPPING))
        return refuse_shape(context, key, node);
    size_t count = is_list ? count_elements(context, key, node, key->minimum, key->maximum) : 1;
    struct schema_record *records = arena_alloc(context->arena, count, sizeof(*records));
    if (!records)
        return false;
    const struct document_node *child = is_list ? node->children : node;
    for (size_t i = 0; i < count; i++, child = child->next) {
        records[i].mark = child->mark;
        if (child->kind == DOCUMENT_MAPPING) {
            records[i].values =
                schema_read(context, key->name, key->fields, key->field_count, child, child->mark);
        } else {
            problems_add(context->problems, child->mark,
                         "%s: %s; expected a mapping with the key %s", key->name,
                         is_null(child) ? "no value" : node_kind_name(child), key->fields[0].name);
            records[i].values = unread_values(context, key->field_count);
        }
        if (!records[i].values)
            return false;
    }
    value->records = records;
    value->record_count = count;
    return true;
}

static void read_value(struct schema_context *context, const struct schema_key *key,
                       const struct document_node *node, struct schema_value *value)
{
    value->mark = node->mark;
    value->node = node;
    switch (key->kind) {
    case SCHEMA_NUMBERS:
    case SCHEMA_TEXTS:
        value->is_valid = read_list(context, key, node, value);
        break;
    case SCHEMA_RECORDS:
    case SCHEMA_MAPPING:
        value->is_valid = read_records(context, key, node, value);
        break;
    case SCHEMA_OPTIONS:
        value->is_valid = node->kind == DOCUMENT_MAPPING || refuse_shape(context, key, node);
        break;
    default:
        value->is_valid = read_scalar(context, key, node, value);
    }
}

/* "name, vcpus, ..." */
static void list_keys(const struct schema_key *keys, size_t key_count, char *text,
                      size_t text_bytes)
{
    size_t used = 0;
    for (size_t i = 0; i < key_count && used < text_bytes; i++)
        used += (size_t)snprintf(text + used, text_bytes - used, "%s%s", i > 0 ? ", " : "",
                                 keys[i].name);
}

static void refuse_key(struct schema_context *context, const char *section,
                       const struct schema_key *keys, size_t key_count,
                       const struct document_node *node)
{
    if (!problems_have_room(context->problems)) { /* the search below has its price */
        context->problems->count++;
        return;
    }
    char expected[256] = "no key at all";
    list_keys(keys, key_count, expected, sizeof(expected));
    if (node->kind != DOCUMENT_SCALAR) {
        problems_add(context->problems, node->mark, "%s as a key of %s; expected %s",
                     node_kind_name(node), section, expected);
        return;
    }
    struct suggest suggest;
    suggest_begin(&suggest, node->text);
    for (size_t i = 0; i < key_count; i++)
        suggest_offer(&suggest, keys[i].name);
    struct quote quote = quote_text(node->text, node->text_bytes);
    problems_add(context->problems, node->mark, "unknown key %s in %s%s; expected %s", quote.text,
                 section, suggest_hint(&suggest), expected);
}

static size_t find_key(const struct schema_key *keys, size_t key_count,
                       const struct document_node *node)
{
    size_t i = 0;
    if (node->kind != DOCUMENT_SCALAR || strlen(node->text) != node->text_bytes)
        return key_count;
    while (i < key_count && strcmp(keys[i].name, node->text) != 0)
        i++;
    return i;
}

static void read_pair(struct schema_context *context, const char *section,
                      const struct schema_key *keys, size_t key_count,
                      const struct document_node *pair, struct config_mark *key_marks,
                      struct schema_value *values)
{
    size_t index = find_key(keys, key_count, pair);
    if (index == key_count) {
        refuse_key(context, section, keys, key_count, pair);
    } else if (key_marks[index].line > 0) {
        problems_add(context->problems, pair->mark,
                     "duplicate key '%s' in %s; expected it once, it stands at %u:%u already",
                     keys[index].name, section, (unsigned)key_marks[index].line,
                     (unsigned)key_marks[index].column);
    } else {
        key_marks[index] = pair->mark;
        read_value(context, &keys[index], pair->next, &values[index]);
    }
}

/* True: the key that may stand instead of `key` does. */
static bool is_replaced(const struct schema_key *key, const struct schema_key *keys,
                        size_t key_count, const struct config_mark *key_marks)
{
    for (size_t i = 0; key->unless && i < key_count; i++) {
        if (strcmp(keys[i].name, key->unless) == 0)
            return key_marks[i].line > 0;
    }
    return false;
}

const struct schema_value *schema_read(struct schema_context *context, const char *section,
                                       const struct schema_key *keys, size_t key_count,
                                       const struct document_node *node,
                                       struct config_mark required_mark)
{
    struct schema_value *values = arena_alloc(context->arena, key_count, sizeof(*values));
    struct config_mark *key_marks = arena_alloc(context->arena, key_count, sizeof(*key_marks));
    if (!values || !key_marks)
        return NULL;
    const struct document_node *pair = node ? node->children : NULL;
    for (; pair; pair = pair->next->next) /* keys and values come in pairs */
        read_pair(context, section, keys, key_count, pair, key_marks, values);
    for (size_t i = 0; i < key_count; i++) {
        if (key_marks[i].line > 0)
            continue;
        if (!keys[i].required || is_replaced(&keys[i], keys, key_count, key_marks)) {
            fill_default(&keys[i], &values[i]);
            continue;
        }
        struct schema_expected expected = schema_expected(&keys[i]);
        problems_add(context->problems, required_mark, "key '%s' is missing in %s; expected %s%s%s",
                     keys[i].name, section, expected.text, keys[i].unless ? ", or " : "",
                     keys[i].unless ? keys[i].unless : "");
    }
    return context->arena->failed ? NULL : values;
}

/* Addresses read better in hexadecimal, counts in decimal: a large round number is a count. */
static bool reads_as_address(const struct schema_key *key, uint64_t bound)
{
    return key->kind == SCHEMA_NUMBER && bound >= 0xfffe && bound % 1000 != 0;
}

static void print_bound(char *text, size_t text_bytes, const struct schema_key *key, uint64_t bound)
{
    static const char *const sizes[] = {"", "KiB", "MiB", "GiB"};
    static const char *const durations[] = {"ns", "us", "ms", "s"};
    size_t step = 0;
    if (key->kind == SCHEMA_SIZE) {
        for (; step < 3 && bound > 0 && bound % 1024 == 0; step++)
            bound /= 1024;
        snprintf(text, text_bytes, "%" PRIu64 "%s", bound, sizes[step]);
    } else if (key->kind == SCHEMA_DURATION) {
        for (; step < 3 && bound > 0 && bound % 1000 == 0; step++)
            bound /= 1000;
        snprintf(text, text_bytes, "%" PRIu64 "%s", bound, durations[step]);
    } else {
        snprintf(text, text_bytes, reads_as_address(key, bound) ? "0x%" PRIx64 : "%" PRIu64, bound);
    }
}

static void print_choices(char *text, size_t text_bytes, const char *const *choices)
{
    size_t used = (size_t)snprintf(text, text_bytes, "one of");
    for (size_t i = 0; choices[i] && used < text_bytes; i++)
        used +=
            (size_t)snprintf(text + used, text_bytes - used, "%s %s", i > 0 ? "," : "", choices[i]);
}

struct schema_expected schema_expected(const struct schema_key *key)
{
    struct schema_expected expected;
    char *text = expected.text;
    char first[32], last[32];
    print_bound(first, sizeof(first), key, key->minimum);
    print_bound(last, sizeof(last), key, key->maximum);
    const char *example = key->default_text ? key->default_text : first; /* lies in the range */
    switch (key->kind) {
    case SCHEMA_NUMBER:
        snprintf(text, sizeof(expected.text), "a number from %s to %s", first, last);
        break;
    case SCHEMA_SIZE:
        snprintf(text, sizeof(expected.text), "a size from %s to %s, such as %s", first, last,
                 example);
        break;
    case SCHEMA_DURATION:
        snprintf(text, sizeof(expected.text), "a duration from %s to %s, such as %s", first, last,
                 example);
        break;
    case SCHEMA_BOOL:
        snprintf(text, sizeof(expected.text), "true or false");
        break;
    case SCHEMA_NAME:
        snprintf(text, sizeof(expected.text), "a name of 1 to %d characters of a-z 0-9 _ -",
                 CONFIG_NAME_MAX);
        break;
    case SCHEMA_REFERENCE:
        snprintf(text, sizeof(expected.text), "the name of a %s", key->refers);
        break;
    case SCHEMA_TEXT:
        snprintf(text, sizeof(expected.text), "text of %s to %s bytes", first, last);
        break;
    case SCHEMA_CHOICE:
        print_choices(text, sizeof(expected.text), key->choices);
        break;
    case SCHEMA_STREAM:
        snprintf(text, sizeof(expected.text), "none, stdio, pty, pty:LINK or file:PATH");
        break;
    case SCHEMA_CPU:
        snprintf(text, sizeof(expected.text), "the number of a CPU, or any");
        break;
    case SCHEMA_CPU_LIST:
        snprintf(text, sizeof(expected.text), "a list of CPUs such as \"2-5,8\", or none");
        break;
    case SCHEMA_BDF:
        snprintf(text, sizeof(expected.text), "bus:device.function, such as 00:1f.3");
        break;
    case SCHEMA_NUMBERS:
        snprintf(text, sizeof(expected.text), "a list of up to %" PRIu64 " numbers from %s to %s",
                 key->count_max, first, last);
        break;
    case SCHEMA_TEXTS:
        snprintf(text, sizeof(expected.text), "a list of up to %" PRIu64 " texts of %s to %s bytes",
                 key->count_max, first, last);
        break;
    case SCHEMA_RECORDS:
        snprintf(text, sizeof(expected.text), "a list of %s to %s mappings", first, last);
        break;
    case SCHEMA_MAPPING:
        if (key->is_short)
            snprintf(text, sizeof(expected.text), "%.140s, or a mapping",
                     schema_expected(&key->fields[0]).text);
        else
            snprintf(text, sizeof(expected.text), "a mapping");
        break;
    case SCHEMA_OPTIONS:
        snprintf(text, sizeof(expected.text), "a mapping");
        break;
    }
    return expected;
}
