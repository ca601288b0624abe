/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * device_harness.h - a device on the bench: made from option text, driven by single accesses.
 *
 * Flow:    device_harness_start, or device_harness_refusal for what must not start ->
 *          device_harness_read, _write, _access -> device_harness_stop.
 * Text:    one option per line, "key: value"; a record is a line "key: field=value field=value".
 *          Defaults are filled in as the server does it. "" takes all defaults.
 */
#ifndef TESTS_SUPPORT_DEVICE_HARNESS_H
#define TESTS_SUPPORT_DEVICE_HARNESS_H

#include "clients/device.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HARNESS_OPTIONS_MAX 8
#define HARNESS_FIELDS_MAX  16
#define HARNESS_RECORDS_MAX 64
#define HARNESS_TICKS_PER_SECOND \
    UINT64_C(2112000007) /* a prime-like rate: nothing divides evenly */
#define HARNESS_START_TICKS UINT64_C(0x123456789abc)

struct device_harness {
    struct device *device;
    struct device_setup setup; /* change it before device_harness_start */
    struct device_range range; /* the one range, unless setup.ranges is set */
    uint64_t now_ticks;        /* arrival_ticks of the next access */
    char error[256];
};

static inline uint64_t device_harness_size_unit(const char *suffix)
{
    static const struct {
        const char *suffix;
        uint64_t bytes;
    } units[] = {{"", 1}, {"KiB", 1ull << 10}, {"MiB", 1ull << 20}, {"GiB", 1ull << 30}};
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(suffix, units[i].suffix) == 0)
            return units[i].bytes;
    }
    fail_msg("no unit: '%s'", suffix);
    return 0;
}

static inline uint64_t device_harness_choice(const struct device_option *option, const char *text)
{
    uint64_t index = 0;
    while (option->choices[index] && strcmp(option->choices[index], text) != 0)
        index++;
    if (!option->choices[index])
        fail_msg("%s: no choice: '%s'", option->name, text);
    return index;
}

/* text: kept as it is for strings, so it must outlive create(). */
static inline struct device_value device_harness_value(const struct device_option *option,
                                                       const char *text)
{
    struct device_value value = {0};
    if (!text)
        text = option->default_text ? option->default_text : "";
    value.string = text;
    switch (option->kind) {
    case DEVICE_OPTION_NUMBER:
    case DEVICE_OPTION_SIZE: {
        char *end;
        value.number = strtoull(text, &end, 0);
        value.number *= device_harness_size_unit(end);
        if (value.number < option->minimum || value.number > option->maximum)
            fail_msg("%s: %s is out of bounds", option->name, text);
        break;
    }
    case DEVICE_OPTION_BOOL:
        value.number = strcmp(text, "true") == 0;
        break;
    case DEVICE_OPTION_CHOICE:
        value.number = *text ? device_harness_choice(option, text) : 0;
        break;
    default:
        break;
    }
    return value;
}

static inline size_t device_harness_find(const struct device_option *options, size_t count,
                                         const char *name)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(options[i].name, name) == 0)
            return i;
    }
    fail_msg("no option: '%s'", name);
    return 0;
}

static inline struct device_value *device_harness_record(const struct device_option *option,
                                                         char *line)
{
    const char *texts[HARNESS_FIELDS_MAX] = {0};
    char *rest = NULL;
    for (char *word = strtok_r(line, " ", &rest); word; word = strtok_r(NULL, " ", &rest)) {
        char *equals = strchr(word, '=');
        assert_non_null(equals);
        *equals = '\0';
        texts[device_harness_find(option->fields, option->field_count, word)] = equals + 1;
    }
    struct device_value *fields = calloc(option->field_count, sizeof(*fields));
    assert_non_null(fields);
    for (size_t i = 0; i < option->field_count; i++) {
        if (option->fields[i].required && !texts[i])
            fail_msg("%s: field %s is required", option->name, option->fields[i].name);
        fields[i] = device_harness_value(&option->fields[i], texts[i]);
    }
    return fields;
}

/* A harness with one range of size_bytes at `first`, ready for device_harness_start. */
static inline struct device_harness device_harness_init(uint32_t type, uint64_t first,
                                                        uint64_t size_bytes)
{
    return (struct device_harness){
        .range = {.first = first, .last = first + size_bytes - 1, .type = type},
        .setup = {.range_count = 1,
                  .ticks_per_second = HARNESS_TICKS_PER_SECOND,
                  .start_ticks = HARNESS_START_TICKS},
        .now_ticks = HARNESS_START_TICKS,
    };
}

/* create() with everything it was given freed afterwards, as the server may do it. */
static inline int device_harness_try_start(struct device_harness *harness, const char *kind,
                                           const char *options_text)
{
    const struct device_ops *ops = device_kind_find(kind);
    assert_non_null(ops);
    assert_true(ops->option_count <= HARNESS_OPTIONS_MAX);
    struct device_value *values = calloc(ops->option_count + 1, sizeof(*values));
    struct device_value *records[HARNESS_OPTIONS_MAX][HARNESS_RECORDS_MAX];
    char *text = strdup(options_text);
    assert_true(values && text);
    for (size_t i = 0; i < ops->option_count; i++)
        values[i] = device_harness_value(&ops->options[i], NULL);
    char *rest = NULL;
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *colon = strstr(line, ": ");
        assert_non_null(colon);
        *colon = '\0';
        size_t index = device_harness_find(ops->options, ops->option_count, line);
        const struct device_option *option = &ops->options[index];
        if (option->kind != DEVICE_OPTION_RECORDS) {
            values[index] = device_harness_value(option, colon + 2);
            continue;
        }
        assert_true(values[index].record_count < HARNESS_RECORDS_MAX);
        records[index][values[index].record_count++] = device_harness_record(option, colon + 2);
        values[index].records = (const struct device_value *const *)records[index];
    }
    struct device_range *ranges = malloc(sizeof(*ranges));
    assert_non_null(ranges);
    *ranges = harness->range;
    struct device_setup setup = harness->setup;
    setup.values = values;
    setup.error = harness->error;
    setup.error_bytes = sizeof(harness->error);
    if (!setup.ranges)
        setup.ranges = ranges;
    harness->error[0] = '\0';
    harness->device = NULL;
    int rc = ops->create(&setup, &harness->device);
    for (size_t i = 0; i < ops->option_count; i++) {
        for (size_t record = 0; record < values[i].record_count; record++)
            free(records[i][record]);
    }
    free(ranges);
    free(text);
    free(values);
    return rc;
}

/* The device after its first reset(); fails the test when create() refuses. */
static inline void device_harness_start(struct device_harness *harness, const char *kind,
                                        const char *options_text)
{
    int rc = device_harness_try_start(harness, kind, options_text);
    if (rc != 0)
        fail_msg("%s: %d: %s", kind, rc, harness->error);
    assert_ptr_equal(harness->device->ops, device_kind_find(kind));
    harness->device->ops->reset(harness->device);
}

/* Expects create() to refuse with `error` (positive errno) and a message that contains `words`. */
static inline void device_harness_refusal(struct device_harness *harness, const char *kind,
                                          const char *options_text, int error, const char *words)
{
    int rc = device_harness_try_start(harness, kind, options_text);
    assert_int_equal(rc, -error);
    assert_null(harness->device);
    if (!strstr(harness->error, words))
        fail_msg("'%s' is not in: %s", words, harness->error);
    assert_null(strchr(harness->error, '\n'));
}

static inline void device_harness_stop(struct device_harness *harness)
{
    harness->device->ops->destroy(harness->device);
    harness->device = NULL;
}

/* One access as a poller makes it: the value masked, the answer cut to size. handle()'s result. */
static inline int device_harness_access(struct device_harness *harness, uint32_t direction,
                                        uint64_t offset, uint32_t size_bytes, uint64_t *value)
{
    struct request request = {
        .address = harness->range.first + offset,
        .offset = offset,
        .value = direction == REQUEST_WRITE ? *value & request_ones(size_bytes) : 0,
        .arrival_ticks = harness->now_ticks,
        .type = (uint8_t)harness->range.type,
        .direction = (uint8_t)direction,
        .size_bytes = (uint8_t)size_bytes,
    };
    int rc = harness->device->ops->handle(harness->device, &request);
    *value = rc == 0 ? request.value & request_ones(size_bytes) : request_ones(size_bytes);
    return rc;
}

static inline uint64_t device_harness_read(struct device_harness *harness, uint64_t offset,
                                           uint32_t size_bytes)
{
    uint64_t value = 0;
    assert_int_equal(device_harness_access(harness, REQUEST_READ, offset, size_bytes, &value), 0);
    return value;
}

static inline void device_harness_write(struct device_harness *harness, uint64_t offset,
                                        uint32_t size_bytes, uint64_t value)
{
    assert_int_equal(device_harness_access(harness, REQUEST_WRITE, offset, size_bytes, &value), 0);
}

#endif
