/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/vm/trace.h"

#include "clients/request.h"
#include "pollers/slot.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRACE_FIELDS_MAX 8

struct trace_reader {
    FILE *file;
    char *path;
    uint64_t line;
    uint64_t count;
    uint64_t done_bytes;
    uint64_t all_bytes;
    bool is_finished;
    struct trace_header header;
};

/* A line taken apart at its blanks; the fields point into text. */
struct trace_line {
    char text[TRACE_LINE_MAX + 1];
    char *fields[TRACE_FIELDS_MAX];
    size_t field_count;
};

static int trace_refuse(const struct trace_reader *reader, char *error, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int trace_refuse(const struct trace_reader *reader, char *error, const char *format, ...)
{
    int length = snprintf(error, TRACE_ERROR_BYTES, "%s:%" PRIu64 ": ", reader->path, reader->line);
    if (length < 0 || length >= TRACE_ERROR_BYTES)
        return -EINVAL;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error + length, TRACE_ERROR_BYTES - (size_t)length, format, arguments);
    va_end(arguments);
    return -EINVAL;
}

/* Takes one line off the file. 1; 0 at the end of the file; a negative errno with error written. */
static int trace_read_text(struct trace_reader *reader, char *text, char *error)
{
    size_t length = 0;
    reader->line++;
    for (;;) {
        int byte = getc_unlocked(reader->file); /* one thread: the lock would cost the most here */
        if (byte == EOF) {
            if (ferror(reader->file)) {
                trace_refuse(reader, error, "cannot read: %s", strerror(errno));
                return -EIO;
            }
            if (length == 0)
                return 0;
            return trace_refuse(reader, error, "the file ends inside a line: it is truncated");
        }
        reader->done_bytes++;
        if (byte == '\n')
            break;
        if (length == TRACE_LINE_MAX)
            return trace_refuse(reader, error, "longer than %d bytes", TRACE_LINE_MAX);
        if (byte < ' ' || byte >= 0x7f)
            return trace_refuse(reader, error, "byte 0x%02x in column %zu: not plain text", byte,
                                length + 1);
        text[length++] = (char)byte;
    }
    text[length] = '\0';
    return 1;
}

/* Reads the next line that is no comment and splits it. As trace_read_text. */
static int trace_read_line(struct trace_reader *reader, struct trace_line *line, char *error)
{
    do {
        int result = trace_read_text(reader, line->text, error);
        if (result <= 0)
            return result;
    } while (line->text[0] == '#');
    line->field_count = 0;
    char *rest = line->text;
    char *field;
    while ((field = strsep(&rest, " "))) {
        if (*field == '\0')
            return trace_refuse(reader, error,
                                "empty line or field: fields are separated by one "
                                "blank each");
        if (line->field_count == TRACE_FIELDS_MAX)
            return trace_refuse(reader, error, "too many fields");
        line->fields[line->field_count++] = field;
    }
    return 1;
}

/* "0x" and 1..16 hexadecimal digits, or (base 10) 1..19 decimal digits; nothing else. */
static bool parse_number(const char *text, unsigned base, uint64_t *value)
{
    if (base == 16) {
        if (text[0] != '0' || text[1] != 'x')
            return false;
        text += 2;
    }
    size_t digits_max = base == 16 ? 16 : 19; /* both fit into 64 bits */
    uint64_t number = 0;
    size_t length = 0;
    for (; text[length]; length++) {
        unsigned digit;
        if (text[length] >= '0' && text[length] <= '9')
            digit = (unsigned)(text[length] - '0');
        else if (base == 16 && text[length] >= 'a' && text[length] <= 'f')
            digit = (unsigned)(text[length] - 'a') + 10;
        else
            return false;
        if (length == digits_max)
            return false;
        number = number * base + digit;
    }
    *value = number;
    return length > 0;
}

/* The text behind "key=" in field, or NULL. */
static const char *field_value(const char *field, const char *key)
{
    size_t length = strlen(key);
    return strncmp(field, key, length) == 0 && field[length] == '=' ? field + length + 1 : NULL;
}

static int trace_parse_header(struct trace_reader *reader, const struct trace_line *line,
                              char *error)
{
    char *const *fields = line->fields;
    uint64_t version;
    if (line->field_count < 2 || strcmp(fields[0], "ioreq-trace") != 0 ||
        !parse_number(fields[1], 10, &version))
        return trace_refuse(reader, error, "expected 'ioreq-trace %d ...': not a trace",
                            TRACE_VERSION);
    if (version != TRACE_VERSION)
        return trace_refuse(reader, error,
                            "format version %" PRIu64 "; this program reads version %d", version,
                            TRACE_VERSION);
    const char *vcpus = line->field_count == 5 ? field_value(fields[2], "vcpus") : NULL;
    const char *bytes = vcpus ? field_value(fields[3], "firmware_bytes") : NULL;
    const char *name = bytes ? field_value(fields[4], "firmware") : NULL;
    uint64_t vcpu_count;
    if (!name || !parse_number(vcpus, 10, &vcpu_count) ||
        !parse_number(bytes, 10, &reader->header.firmware_bytes))
        return trace_refuse(reader, error,
                            "expected 'vcpus=N firmware_bytes=N firmware=NAME' behind the version");
    if (vcpu_count < 1 || vcpu_count > SLOT_COUNT)
        return trace_refuse(reader, error, "vcpus=%" PRIu64 ": expected 1..%d", vcpu_count,
                            SLOT_COUNT);
    if (strlen(name) > TRACE_NAME_MAX)
        return trace_refuse(reader, error, "firmware name longer than %d bytes", TRACE_NAME_MAX);
    reader->header.vcpu_count = (uint32_t)vcpu_count;
    memcpy(reader->header.firmware_name, name, strlen(name) + 1); /* checked above */
    return 0;
}

static int trace_read_header(struct trace_reader *reader, char *error)
{
    struct trace_line line;
    int result = trace_read_line(reader, &line, error);
    if (result == 0)
        return trace_refuse(reader, error, "empty: expected 'ioreq-trace %d ...'", TRACE_VERSION);
    return result < 0 ? result : trace_parse_header(reader, &line, error);
}

int trace_reader_open(const char *path, struct trace_reader **reader, char *error)
{
    struct trace_reader *created = calloc(1, sizeof(*created));
    if (!created || !(created->path = strdup(path))) {
        free(created);
        snprintf(error, TRACE_ERROR_BYTES, "%s: out of memory", path);
        return -ENOMEM;
    }
    struct stat status;
    int result = -EINVAL;
    /* O_NONBLOCK: opening a FIFO must not wait for a writer. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 || fstat(fd, &status) != 0) {
        result = -errno;
        snprintf(error, TRACE_ERROR_BYTES, "cannot open %s: %s", path, strerror(-result));
    } else if (!S_ISREG(status.st_mode)) {
        snprintf(error, TRACE_ERROR_BYTES, "%s: not a regular file", path);
    } else if (!(created->file = fdopen(fd, "r"))) {
        result = -errno;
        snprintf(error, TRACE_ERROR_BYTES, "cannot open %s: %s", path, strerror(-result));
    } else {
        fd = -1; /* the stream's now */
        created->all_bytes = (uint64_t)status.st_size;
        result = trace_read_header(created, error);
    }
    if (fd >= 0)
        close(fd);
    if (result != 0) {
        trace_reader_close(created);
        return result;
    }
    *reader = created;
    return 0;
}

const struct trace_header *trace_reader_header(const struct trace_reader *reader)
{
    return &reader->header;
}

/* "end N" and nothing behind it. */
static int trace_parse_end(struct trace_reader *reader, const struct trace_line *line, char *error)
{
    uint64_t count;
    if (line->field_count != 2 || !parse_number(line->fields[1], 10, &count))
        return trace_refuse(reader, error, "expected 'end COUNT'");
    if (count != reader->count)
        return trace_refuse(reader, error, "end %" PRIu64 ", but %" PRIu64 " accesses stand above",
                            count, reader->count);
    struct trace_line more;
    int result = trace_read_line(reader, &more, error);
    if (result > 0)
        return trace_refuse(reader, error, "more text behind the last line 'end %" PRIu64 "'",
                            count);
    reader->is_finished = result == 0;
    return result;
}

/* The checks that need more than one field. */
static int trace_check_entry(struct trace_reader *reader, const struct trace_entry *entry,
                             char *error)
{
    const struct requester_access *access = &entry->access;
    bool is_port = access->type == REQUEST_PORTIO;
    uint64_t size_bytes = access->size_bytes;
    if (entry->vcpu >= reader->header.vcpu_count)
        return trace_refuse(reader, error, "vCPU %" PRIu32 ", but the trace has vcpus=%" PRIu32,
                            entry->vcpu, reader->header.vcpu_count);
    if (size_bytes != 1 && size_bytes != 2 && size_bytes != 4 && (size_bytes != 8 || is_port))
        return trace_refuse(reader, error, "size %" PRIu64 ": expected 1, 2, 4%s", size_bytes,
                            is_port ? "" : " or 8");
    /* A processor lets an access begin at the last ports and end behind them. */
    if (is_port && access->address > 0xffff)
        return trace_refuse(reader, error, "port 0x%" PRIx64 ": expected 0x0 to 0xffff",
                            access->address);
    if (!is_port && access->address > UINT64_MAX - (size_bytes - 1))
        return trace_refuse(reader, error,
                            "address 0x%" PRIx64 " size %" PRIu64 " ends behind the address space",
                            access->address, size_bytes);
    if (access->value > request_ones((uint32_t)size_bytes))
        return trace_refuse(reader, error,
                            "value 0x%" PRIx64 " does not fit into %" PRIu64 " bytes",
                            access->value, size_bytes);
    if (entry->is_volatile && access->direction == REQUEST_WRITE)
        return trace_refuse(reader, error, "'~' behind a write: it marks answers of reads");
    return 0;
}

static int trace_parse_entry(struct trace_reader *reader, const struct trace_line *line,
                             struct trace_entry *entry, char *error)
{
    char *const *fields = line->fields;
    struct trace_entry parsed = {.is_volatile = line->field_count == 7};
    struct requester_access *access = &parsed.access;
    uint64_t vcpu;
    if (line->field_count != 6 && line->field_count != 7)
        return trace_refuse(reader, error,
                            "%zu fields: expected VCPU SPACE r|w ADDRESS SIZE VALUE "
                            "[~]",
                            line->field_count);
    if (!parse_number(fields[0], 10, &vcpu) || vcpu >= SLOT_COUNT)
        return trace_refuse(reader, error, "vCPU '%s': expected 0..%d", fields[0], SLOT_COUNT - 1);
    parsed.vcpu = (uint32_t)vcpu;
    if (strcmp(fields[1], "portio") != 0 && strcmp(fields[1], "mmio") != 0)
        return trace_refuse(reader, error, "space '%s': expected portio or mmio", fields[1]);
    access->type = fields[1][0] == 'p' ? REQUEST_PORTIO : REQUEST_MMIO;
    if (strcmp(fields[2], "r") != 0 && strcmp(fields[2], "w") != 0)
        return trace_refuse(reader, error, "direction '%s': expected r or w", fields[2]);
    access->direction = fields[2][0] == 'r' ? REQUEST_READ : REQUEST_WRITE;
    if (!parse_number(fields[3], 16, &access->address))
        return trace_refuse(reader, error, "address '%s': expected 0x and up to 16 digits",
                            fields[3]);
    if (!parse_number(fields[4], 10, &access->size_bytes))
        return trace_refuse(reader, error, "size '%s': expected 1, 2, 4 or 8", fields[4]);
    if (!parse_number(fields[5], 16, &access->value))
        return trace_refuse(reader, error, "value '%s': expected 0x and up to 16 digits",
                            fields[5]);
    if (parsed.is_volatile && strcmp(fields[6], "~") != 0)
        return trace_refuse(reader, error, "'%s' behind the value: expected ~ or nothing",
                            fields[6]);
    *entry = parsed;
    return trace_check_entry(reader, entry, error);
}

int trace_read(struct trace_reader *reader, struct trace_entry *entry, char *error)
{
    struct trace_line line;
    if (reader->is_finished)
        return 0;
    int result = trace_read_line(reader, &line, error);
    if (result < 0)
        return result;
    if (result == 0)
        return trace_refuse(reader, error, "no last line 'end %" PRIu64 "': the file is truncated",
                            reader->count);
    if (strcmp(line.fields[0], "end") == 0)
        return trace_parse_end(reader, &line, error);
    if (reader->count == TRACE_COUNT_MAX)
        return trace_refuse(reader, error, "more than %" PRIu64 " accesses",
                            (uint64_t)TRACE_COUNT_MAX);
    result = trace_parse_entry(reader, &line, entry, error);
    if (result != 0)
        return result;
    reader->count++;
    return 1;
}

int trace_reader_check(struct trace_reader *reader, char *error)
{
    struct trace_entry entry;
    int result;
    do {
        result = trace_read(reader, &entry, error);
    } while (result > 0);
    if (result < 0)
        return result;
    if (fseeko(reader->file, 0, SEEK_SET) != 0) {
        result = -errno;
        snprintf(error, TRACE_ERROR_BYTES, "cannot read %s again: %s", reader->path,
                 strerror(-result));
        return result;
    }
    reader->line = 0;
    reader->count = 0;
    reader->done_bytes = 0;
    reader->is_finished = false;
    return trace_read_header(reader, error);
}

uint64_t trace_reader_line(const struct trace_reader *reader)
{
    return reader->line;
}

void trace_reader_position(const struct trace_reader *reader, uint64_t *done_bytes,
                           uint64_t *all_bytes)
{
    *done_bytes = reader->done_bytes;
    *all_bytes = reader->all_bytes;
}

void trace_reader_close(struct trace_reader *reader)
{
    if (reader->file)
        fclose(reader->file);
    free(reader->path);
    free(reader);
}
