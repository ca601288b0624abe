/* SPDX-License-Identifier: BSD-3-Clause */
#include "config/scalar.h"

#include "config/cpu_list.h"
#include "config/suggest.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

struct unit {
    const char *name;
    uint64_t factor;
};

static const struct unit no_units[] = {{"", 1}, {NULL, 0}};
static const struct unit size_units[] = {
    {"", 1}, {"KiB", 1u << 10}, {"MiB", 1u << 20}, {"GiB", 1u << 30}, {NULL, 0}};
static const struct unit duration_units[] = {
    {"ns", 1}, {"us", 1000}, {"ms", 1000 * 1000}, {"s", 1000 * 1000 * 1000}, {NULL, 0}};

__attribute__((format(printf, 3, 4))) static bool
refuse(struct scalar_text written, char problem[SCALAR_PROBLEM_BYTES], const char *format, ...)
{
    struct quote quote = quote_text(written.text, written.bytes);
    int used = snprintf(problem, SCALAR_PROBLEM_BYTES, "%s ", quote.text);
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(problem + used, SCALAR_PROBLEM_BYTES - (size_t)used, format, arguments);
    va_end(arguments);
    return false;
}

static int digit_value(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return 16;
}

static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

/* Takes the digits at the front; *rest is what follows them. False: *why says what is wrong. */
static bool read_digits(const char *text, uint64_t *number, const char **rest, const char **why)
{
    unsigned base = 10;
    if (text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
        base = 16;
        text += 2;
    } else if (text[0] == '0' && is_digit(text[1])) {
        *why = "begins with a zero, which some take for octal";
        return false;
    }
    if (digit_value(text[0]) >= (int)base) {
        *why = "is no number";
        return false;
    }
    *number = 0;
    for (; digit_value(*text) < (int)base; text++) {
        if (__builtin_mul_overflow(*number, (uint64_t)base, number) ||
            __builtin_add_overflow(*number, (uint64_t)digit_value(*text), number)) {
            *why = "does not fit into 64 bits";
            return false;
        }
    }
    *rest = text;
    return true;
}

static bool read_number(const struct schema_key *key, struct scalar_text written,
                        const struct unit *units, struct schema_value *value, char *problem)
{
    const char *rest = NULL;
    const char *why = NULL;
    if (written.quoted)
        return refuse(written, problem, "is text because of its quotes");
    if (written.text[0] == '-')
        return refuse(written, problem, "is negative or no number");
    if (!read_digits(written.text, &value->number, &rest, &why))
        return refuse(written, problem, "%s", why);
    if (units != no_units && *rest == ' ' && rest[1] != '\0' && rest[1] != ' ')
        rest++; /* "64 MiB" */
    const struct unit *unit = units;
    while (unit->name && strcmp(unit->name, rest) != 0)
        unit++;
    if (!unit->name && *rest == '\0')
        return refuse(written, problem, "has no unit");
    if (!unit->name)
        return refuse(written, problem, "is no %s",
                      units == no_units ? "whole number" : "number with a known unit");
    if (__builtin_mul_overflow(value->number, unit->factor, &value->number))
        return refuse(written, problem, "does not fit into 64 bits");
    if (value->number < key->minimum || value->number > key->maximum)
        return refuse(written, problem, "is out of range");
    return true;
}

static bool read_bool(struct scalar_text written, struct schema_value *value, char *problem)
{
    if (written.quoted)
        return refuse(written, problem, "is text because of its quotes");
    value->number = strcmp(written.text, "true") == 0;
    if (!value->number && strcmp(written.text, "false") != 0)
        return refuse(written, problem, "is neither true nor false");
    return true;
}

static bool read_name(struct scalar_text written, struct schema_value *value, char *problem)
{
    for (size_t i = 0; i < written.bytes; i++) {
        char byte = written.text[i];
        bool is_allowed =
            (byte >= 'a' && byte <= 'z') || is_digit(byte) || byte == '_' || byte == '-';
        if (!is_allowed) {
            struct quote quote = quote_text(&byte, 1);
            return refuse(written, problem, "has %s in it", quote.text);
        }
    }
    if (written.bytes == 0 || written.bytes > CONFIG_NAME_MAX)
        return refuse(written, problem, "has %zu characters", written.bytes);
    value->string = written.text;
    return true;
}

static bool read_text(const struct schema_key *key, struct scalar_text written,
                      struct schema_value *value, char *problem)
{
    for (size_t i = 0; i < written.bytes; i++) {
        unsigned char byte = (unsigned char)written.text[i];
        if (byte < ' ' || byte == 0x7f)
            return refuse(written, problem, "has a control character in it");
    }
    if (written.bytes < key->minimum || written.bytes > key->maximum)
        return refuse(written, problem, "has %zu bytes", written.bytes);
    value->string = written.text;
    return true;
}

static bool read_choice(const struct schema_key *key, struct scalar_text written,
                        struct schema_value *value, char *problem)
{
    struct suggest suggest;
    suggest_begin(&suggest, written.text);
    for (size_t i = 0; key->choices[i]; i++) {
        if (strcmp(key->choices[i], written.text) == 0) {
            value->number = i;
            return true;
        }
        suggest_offer(&suggest, key->choices[i]);
    }
    return refuse(written, problem, "is none of the choices%s", suggest_hint(&suggest));
}

static bool read_stream(const struct schema_key *key, struct scalar_text written,
                        struct schema_value *value, char *problem)
{
    static const char *const words[] = {"none", "stdio", "pty", NULL};
    static const char *const prefixes[] = {"pty:", "file:", NULL};
    if (!read_text(key, written, value, problem))
        return false;
    for (size_t i = 0; words[i]; i++) {
        if (strcmp(words[i], written.text) == 0)
            return true;
    }
    for (size_t i = 0; prefixes[i]; i++) {
        size_t prefix_bytes = strlen(prefixes[i]);
        if (strncmp(prefixes[i], written.text, prefix_bytes) != 0)
            continue;
        if (written.bytes == prefix_bytes)
            return refuse(written, problem, "names no path");
        return true;
    }
    struct suggest suggest;
    suggest_begin(&suggest, written.text);
    for (size_t i = 0; words[i]; i++)
        suggest_offer(&suggest, words[i]);
    return refuse(written, problem, "is no stream%s", suggest_hint(&suggest));
}

/* Takes 1 to digits_max digits at the front and what must follow them; false: other text stands
 * there. */
static bool read_bdf_part(const char **text, size_t digits_max, char end, uint64_t *number)
{
    size_t digits = 0;
    *number = 0;
    for (; digits < digits_max && digit_value((*text)[digits]) < 16; digits++)
        *number = *number << 4 | (uint64_t)digit_value((*text)[digits]);
    if (digits == 0 || (*text)[digits] != end)
        return false;
    *text += digits + (end != '\0');
    return true;
}

static bool read_bdf(struct scalar_text written, struct schema_value *value, char *problem)
{
    const char *text = written.text;
    uint64_t bus, device, function;
    if (!read_bdf_part(&text, 2, ':', &bus) || !read_bdf_part(&text, 2, '.', &device) ||
        !read_bdf_part(&text, 1, '\0', &function))
        return refuse(written, problem, "names no PCI function");
    if (device > 0x1f)
        return refuse(written, problem, "has a device above 1f");
    if (function > 7)
        return refuse(written, problem, "has a function above 7");
    value->number = bus << 20 | device << 15 | function << 12;
    return true;
}

/* Quotes are needed where a comma would end the value. */
static bool read_cpu_list(struct scalar_text written, struct schema_value *value, char *problem)
{
    size_t count;
    const char *wrong = cpu_list_read(written.text, NULL, &count);
    if (wrong)
        return refuse(written, problem, "%s", wrong);
    value->string = written.text;
    value->number = count;
    return true;
}

bool scalar_read(const struct schema_key *key, struct scalar_text written,
                 struct schema_value *value, char problem[SCALAR_PROBLEM_BYTES])
{
    /* "a\0b" must not pass for "a". */
    if (strlen(written.text) != written.bytes)
        return refuse(written, problem, "has a NUL in it");
    switch (key->kind) {
    case SCHEMA_NUMBER:
    case SCHEMA_NUMBERS:
        return read_number(key, written, no_units, value, problem);
    case SCHEMA_SIZE:
        return read_number(key, written, size_units, value, problem);
    case SCHEMA_DURATION:
        return read_number(key, written, duration_units, value, problem);
    case SCHEMA_BOOL:
        return read_bool(written, value, problem);
    case SCHEMA_NAME:
    case SCHEMA_REFERENCE:
        return read_name(written, value, problem);
    case SCHEMA_TEXT:
    case SCHEMA_TEXTS:
        return read_text(key, written, value, problem);
    case SCHEMA_CHOICE:
        return read_choice(key, written, value, problem);
    case SCHEMA_STREAM:
        return read_stream(key, written, value, problem);
    case SCHEMA_BDF:
        return read_bdf(written, value, problem);
    case SCHEMA_CPU_LIST:
        return read_cpu_list(written, value, problem);
    case SCHEMA_CPU:
        if (strcmp(written.text, "any") == 0) {
            value->number = CONFIG_CPU_ANY;
            return true;
        }
        return read_number(key, written, no_units, value, problem);
    default:
        assert(false && "a key that is no scalar");
        return false;
    }
}
