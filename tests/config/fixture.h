/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fixture.h - device kinds to load with, and loading from a text with the report kept.
 *
 * Flow:    loaded_text -> look at .error, .config, .report -> loaded_free.
 * Threads: one thread.
 * Memory:  loaded_free frees the configuration and the report.
 * Errors:  a failing allocation fails the test.
 * Source:  none.
 */
#ifndef TESTS_CONFIG_FIXTURE_H
#define TESTS_CONFIG_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka needs the four above. */
#include <cmocka.h>

#include "config/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const mode_choices[] = {"slow", "fast", NULL};

static const struct config_option register_fields[] = {
    {.name = "name", .kind = CONFIG_OPTION_STRING, .required = true, .help = "what logs call it"},
    {.name = "offset", .kind = CONFIG_OPTION_NUMBER, .required = true, .maximum = 0xffff},
    {.name = "size", .kind = CONFIG_OPTION_NUMBER, .default_text = "4", .minimum = 1, .maximum = 8},
    {.name = "reset", .kind = CONFIG_OPTION_NUMBER},
};

static const struct config_option every_options[] = {
    {.name = "level",
     .kind = CONFIG_OPTION_NUMBER,
     .default_text = "7",
     .minimum = 1,
     .maximum = 9,
     .help = "how much"},
    {.name = "memory",
     .kind = CONFIG_OPTION_SIZE,
     .default_text = "64MiB",
     .minimum = 1 << 20,
     .maximum = UINT64_C(1) << 40,
     .help = "how large"},
    {.name = "loud", .kind = CONFIG_OPTION_BOOL},
    {.name = "label", .kind = CONFIG_OPTION_STRING, .default_text = "plain"},
    {.name = "mode", .kind = CONFIG_OPTION_CHOICE, .default_text = "fast", .choices = mode_choices},
    {.name = "stream", .kind = CONFIG_OPTION_STREAM},
    {.name = "registers",
     .kind = CONFIG_OPTION_RECORDS,
     .fields = register_fields,
     .field_count = 4},
    {.name = "free", .kind = CONFIG_OPTION_NUMBER},
};
enum {
    EVERY_LEVEL,
    EVERY_MEMORY,
    EVERY_LOUD,
    EVERY_LABEL,
    EVERY_MODE,
    EVERY_STREAM,
    EVERY_REGISTERS,
    EVERY_FREE
};

static const struct config_option strict_options[] = {
    {.name = "must", .kind = CONFIG_OPTION_NUMBER, .required = true, .maximum = 10},
};

static const struct config_device_kind kinds[] = {
    {.name = "plain", .summary = "has no options"},
    {.name = "every",
     .summary = "one option of each kind",
     .options = every_options,
     .option_count = 8},
    {.name = "strict",
     .summary = "one required option",
     .options = strict_options,
     .option_count = 1},
};
#define KIND_COUNT (sizeof(kinds) / sizeof(kinds[0]))

struct loaded {
    int error;
    struct config *config;
    char *report; /* NUL-terminated */
    size_t report_bytes;
};

static inline struct loaded loaded_bytes(const void *bytes, size_t size_bytes)
{
    struct loaded loaded = {0};
    FILE *stream = open_memstream(&loaded.report, &loaded.report_bytes);
    assert_non_null(stream);
    loaded.error = config_load_bytes("test.yaml", bytes, size_bytes, kinds, KIND_COUNT, stream,
                                     &loaded.config);
    fclose(stream);
    if (loaded.config)
        assert_true(loaded.error == 0 || loaded.error == -EINVAL);
    return loaded;
}

static inline struct loaded loaded_text(const char *text)
{
    return loaded_bytes(text, strlen(text));
}

static inline void loaded_free(struct loaded *loaded)
{
    config_destroy(loaded->config);
    free(loaded->report);
}

/* text is refused and the report holds every one of the given lines, NULL-terminated, in order. */
static inline void refused(const char *text, const char *const *lines)
{
    struct loaded loaded = loaded_text(text);
    assert_int_equal(loaded.error, -EINVAL);
    assert_true(loaded.config->problem_count > 0);
    const char *at = loaded.report;
    for (size_t i = 0; lines[i]; i++) {
        const char *found = strstr(at, lines[i]);
        if (!found)
            print_error("missing or out of order: %s\nin:\n%s", lines[i], loaded.report);
        assert_non_null(found);
        at = found + strlen(lines[i]);
    }
    loaded_free(&loaded);
}
#define REFUSED(text, ...) refused(text, (const char *const[]){__VA_ARGS__, NULL})

/* What most tests change one thing of. Lines 1 to 5. */
#define GOOD_HEAD                               \
    "pollers:\n"                                \
    "  - name: rt\n"                            \
    "vms:\n"                                    \
    "  - {name: guest, vcpus: 2, poller: rt}\n" \
    "clients:\n"

#endif
