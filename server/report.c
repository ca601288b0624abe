/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/report.h"

#include <jansson.h>

#define SIGNIFICANT_DIGITS 6

/* struct report is jansson's value under our name. */
static json_t *value_of(const struct report *report)
{
    return (json_t *)(uintptr_t)report;
}

static struct report *add(struct report *object, const char *name, json_t *value)
{
    return json_object_set_new(value_of(object), name, value) == 0 ? (struct report *)value : NULL;
}

static struct report *append(struct report *array, json_t *value)
{
    return json_array_append_new(value_of(array), value) == 0 ? (struct report *)value : NULL;
}

struct report *report_create(void)
{
    return (struct report *)json_object();
}

void report_destroy(struct report *root)
{
    json_decref(value_of(root));
}

char *report_text(const struct report *root)
{
    return json_dumps(value_of(root), JSON_REAL_PRECISION(SIGNIFICANT_DIGITS));
}

void report_add_text(struct report *object, const char *name, const char *value)
{
    add(object, name, json_string(value));
}

void report_add_number(struct report *object, const char *name, uint64_t value)
{
    add(object, name, json_integer((json_int_t)value));
}

void report_add_real(struct report *object, const char *name, double value)
{
    add(object, name, json_real(value));
}

void report_add_bool(struct report *object, const char *name, bool value)
{
    add(object, name, json_boolean(value));
}

struct report *report_add_object(struct report *object, const char *name)
{
    return add(object, name, json_object());
}

struct report *report_add_array(struct report *object, const char *name)
{
    return add(object, name, json_array());
}

struct report *report_append_object(struct report *array)
{
    return append(array, json_object());
}

void report_append_text(struct report *array, const char *value)
{
    append(array, json_string(value));
}

void report_append_real(struct report *array, double value)
{
    append(array, json_real(value));
}
