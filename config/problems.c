/* SPDX-License-Identifier: BSD-3-Clause */
#include "config/problems.h"

#include <stdlib.h>
#include <string.h>

#define PROBLEMS_TEXT_BYTES      640u /* of one message */
#define PROBLEMS_BEFORE_COLUMNS  60u  /* of a long line, shown before the caret */
#define PROBLEMS_EXCERPT_COLUMNS 100u

bool problems_have_room(const struct problems *problems)
{
    return problems->kept_count < PROBLEMS_KEPT_MAX;
}

void problems_add(struct problems *problems, struct config_mark mark, const char *format, ...)
{
    problems->count++;
    if (!problems_have_room(problems))
        return;
    if (!problems->kept)
        problems->kept = arena_alloc(problems->arena, PROBLEMS_KEPT_MAX, sizeof(*problems->kept));
    char text[PROBLEMS_TEXT_BYTES];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    const char *copy = arena_copy_text(problems->arena, text, strlen(text));
    if (!problems->kept || !copy)
        return; /* the arena remembers that it failed */
    problems->kept[problems->kept_count] =
        (struct problem){.mark = mark, .found = problems->kept_count, .text = copy};
    problems->kept_count++;
}

static int compare_u64(uint64_t left, uint64_t right)
{
    return (left > right) - (left < right);
}

static int compare_problems(const void *left, const void *right)
{
    const struct problem *a = left, *b = right;
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

static size_t find_column(struct problems *problems, struct config_mark mark, const char *line,
                          size_t line_bytes)
{
    struct problem_cursor *cursor = &problems->cursor;
    if (cursor->mark.line != mark.line || cursor->mark.column > mark.column)
        *cursor = (struct problem_cursor){.mark = {.line = mark.line, .column = 1}};
    while (cursor->mark.column < mark.column && cursor->byte < line_bytes) {
        cursor->byte++;
        while (cursor->byte < line_bytes && !begins_character(line[cursor->byte]))
            cursor->byte++;
        cursor->mark.column++;
    }
    return cursor->byte;
}

static void print_excerpt(struct problems *problems, struct config_mark mark)
{
    FILE *stream = problems->stream;
    size_t line_bytes;
    const char *line = input_line(problems->input, mark.line, &line_bytes);
    size_t caret = find_column(problems, mark, line, line_bytes);
    size_t begin = caret;
    size_t before = 0; /* columns shown before the caret */
    while (begin > 0 && before + byte_columns(line[begin - 1]) <= PROBLEMS_BEFORE_COLUMNS)
        before += byte_columns(line[--begin]);
    const char *indent = begin > 0 ? "    ..." : "    ";
    fputs(indent, stream);
    size_t at = begin;
    for (size_t columns = 0; at < line_bytes && columns < PROBLEMS_EXCERPT_COLUMNS; at++) {
        columns += byte_columns(line[at]);
        print_byte(stream, line[at]);
    }
    fprintf(stream, "%s\n%*s^\n", at < line_bytes ? "..." : "", (int)(strlen(indent) + before), "");
}

static void print_path(const struct problems *problems)
{
    for (const char *byte = problems->path; *byte; byte++)
        print_byte(problems->stream, *byte);
}

static void print_problem(struct problems *problems, struct config_mark mark, const char *text)
{
    if (!problems->stream)
        return;
    print_path(problems);
    if (mark.line > 0)
        fprintf(problems->stream, ":%u:%u", (unsigned)mark.line, (unsigned)mark.column);
    fprintf(problems->stream, ": %s\n", text);
    if (problems->input && mark.line > 0 && mark.line <= problems->input->line_count)
        print_excerpt(problems, mark);
}

void problems_flush(struct problems *problems)
{
    if (problems->kept_count > 0)
        qsort(problems->kept, problems->kept_count, sizeof(*problems->kept), compare_problems);
    for (size_t i = 0; i < problems->kept_count; i++)
        print_problem(problems, problems->kept[i].mark, problems->kept[i].text);
    if (problems->count > problems->kept_count && problems->kept_count > 0)
        problems_print_file(problems, "%zu more problems are not shown",
                            problems->count - problems->kept_count);
    problems->kept_count = 0;
}

void problems_print(struct problems *problems, struct config_mark mark, const char *format,
                    va_list arguments)
{
    char text[PROBLEMS_TEXT_BYTES];
    vsnprintf(text, sizeof(text), format, arguments);
    problems->count++;
    print_problem(problems, mark, text);
}

void problems_print_file(struct problems *problems, const char *format, ...)
{
    if (!problems->stream)
        return;
    print_path(problems);
    fputs(": ", problems->stream);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(problems->stream, format, arguments);
    va_end(arguments);
    fputc('\n', problems->stream);
}

struct quote quote_text(const char *text, size_t text_bytes)
{
    struct quote quote;
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
