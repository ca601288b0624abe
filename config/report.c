/* SPDX-License-Identifier: BSD-3-Clause */
#include "config/report.h"

#include <stdlib.h>
#include <string.h>

#define REPORT_TEXT_BYTES      640u /* of one message */
#define REPORT_BEFORE_COLUMNS  60u  /* of a long line, shown before the caret */
#define REPORT_EXCERPT_COLUMNS 100u

bool report_has_room(const struct report *report)
{
    return report->kept_count < REPORT_PROBLEMS_MAX;
}

void report_problem(struct report *report, struct config_mark mark, const char *format, ...)
{
    report->count++;
    if (!report_has_room(report))
        return;
    if (!report->problems)
        report->problems =
            arena_alloc(report->arena, REPORT_PROBLEMS_MAX, sizeof(*report->problems));
    char text[REPORT_TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    const char *copy = arena_copy_text(report->arena, text, strlen(text));
    if (!report->problems || !copy)
        return; /* the arena remembers that it failed */
    report->problems[report->kept_count] =
        (struct report_problem){.mark = mark, .found = report->kept_count, .text = copy};
    report->kept_count++;
}

static int compare_u64(uint64_t left, uint64_t right)
{
    return (left > right) - (left < right);
}

static int compare_problems(const void *left, const void *right)
{
    const struct report_problem *a = left, *b = right;
    int order = compare_u64(a->mark.line, b->mark.line);
    if (order == 0)
        order = compare_u64(a->mark.column, b->mark.column);
    return order != 0 ? order : compare_u64(a->found, b->found);
}

static bool is_printable(char byte)
{
    return byte >= ' ' && byte <= '~';
}

static bool begins_character(char byte)
{
    return ((unsigned char)byte & 0xc0) != 0x80;
}

/* Columns one byte takes in an excerpt. */
static size_t byte_columns(char byte)
{
    return is_printable(byte) || byte == '\t' ? 1 : 4;
}

static void print_byte(FILE *stream, char byte)
{
    if (byte_columns(byte) > 1)
        fprintf(stream, "\\x%02x", (unsigned)(unsigned char)byte);
    else
        fputc(byte == '\t' ? ' ' : byte, stream);
}

static size_t find_column(struct report *report, struct config_mark mark, const char *line,
                          size_t line_bytes)
{
    struct report_cursor *cursor = &report->cursor;
    if (cursor->mark.line != mark.line || cursor->mark.column > mark.column)
        *cursor = (struct report_cursor){.mark = {.line = mark.line, .column = 1}};
    while (cursor->mark.column < mark.column && cursor->byte < line_bytes) {
        cursor->byte++;
        while (cursor->byte < line_bytes && !begins_character(line[cursor->byte]))
            cursor->byte++;
        cursor->mark.column++;
    }
    return cursor->byte;
}

static void print_excerpt(struct report *report, struct config_mark mark)
{
    FILE *stream = report->stream;
    size_t line_bytes;
    const char *line = source_line(report->source, mark.line, &line_bytes);
    size_t caret = find_column(report, mark, line, line_bytes);
    size_t begin = caret;
    size_t before = 0; /* columns shown before the caret */
    while (begin > 0 && before + byte_columns(line[begin - 1]) <= REPORT_BEFORE_COLUMNS)
        before += byte_columns(line[--begin]);
    const char *indent = begin > 0 ? "    ..." : "    ";
    fputs(indent, stream);
    size_t at = begin;
    for (size_t columns = 0; at < line_bytes && columns < REPORT_EXCERPT_COLUMNS; at++) {
        columns += byte_columns(line[at]);
        print_byte(stream, line[at]);
    }
    fprintf(stream, "%s\n%*s^\n", at < line_bytes ? "..." : "", (int)(strlen(indent) + before), "");
}

static void print_path(const struct report *report)
{
    for (const char *byte = report->path; *byte; byte++)
        print_byte(report->stream, *byte);
}

static void print_problem(struct report *report, struct config_mark mark, const char *text)
{
    if (!report->stream)
        return;
    print_path(report);
    if (mark.line > 0)
        fprintf(report->stream, ":%u:%u", (unsigned)mark.line, (unsigned)mark.column);
    fprintf(report->stream, ": %s\n", text);
    if (report->source && mark.line > 0 && mark.line <= report->source->line_count)
        print_excerpt(report, mark);
}

void report_flush(struct report *report)
{
    if (report->kept_count > 0)
        qsort(report->problems, report->kept_count, sizeof(*report->problems), compare_problems);
    for (size_t i = 0; i < report->kept_count; i++)
        print_problem(report, report->problems[i].mark, report->problems[i].text);
    if (report->count > report->kept_count && report->kept_count > 0)
        report_print_file(report, "%zu more problems are not shown",
                          report->count - report->kept_count);
    report->kept_count = 0;
}

void report_print(struct report *report, struct config_mark mark, const char *format,
                  va_list arguments)
{
    char text[REPORT_TEXT_BYTES];
    vsnprintf(text, sizeof(text), format, arguments);
    report->count++;
    print_problem(report, mark, text);
}

void report_print_file(struct report *report, const char *format, ...)
{
    if (!report->stream)
        return;
    print_path(report);
    fputs(": ", report->stream);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(report->stream, format, arguments);
    va_end(arguments);
    fputc('\n', report->stream);
}

struct report_quote report_quote(const char *text, size_t text_bytes)
{
    struct report_quote quote;
    const size_t end = sizeof(quote.text) - sizeof("...'"); /* room to close it */
    size_t used = 0;
    size_t at = 0;
    quote.text[used++] = '\'';
    for (; at < text_bytes; at++) {
        char piece[8];
        int length = snprintf(piece, sizeof(piece), is_printable(text[at]) ? "%c" : "\\x%02x",
                              (unsigned char)text[at]);
        if (used + (size_t)length > end)
            break;
        memcpy(quote.text + used, piece, (size_t)length);
        used += (size_t)length;
    }
    strcpy(quote.text + used, at < text_bytes ? "...'" : "'");
    return quote;
}
