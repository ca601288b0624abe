/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * report.h - the problems of a configuration file, as an operator reads them.
 *
 * Flow:    report_problem in whatever order checks find them -> report_flush prints them in file
 *          order -> report_print for what is found later. One problem:
 *
 *              FILE:LINE:COLUMN: problem; expected X
 *                  the line, clipped around the place, bytes other than printable ASCII as \xNN
 *                      ^
 * Threads: one thread.
 * Memory:  texts from the arena; at most REPORT_PROBLEMS_MAX are kept, the rest only counted.
 * Errors:  failing to write is ignored: there is nobody left to tell.
 * Source:  the form compilers use, which editors can jump to.
 */
#ifndef CONFIG_REPORT_H
#define CONFIG_REPORT_H

#include "config/arena.h"
#include "config/config.h"
#include "config/source.h"

#include <stdarg.h>

#define REPORT_PROBLEMS_MAX 1000u

struct report_problem {
    struct config_mark mark;
    size_t found; /* keeps problems at one place in the order they were found */
    const char *text;
};

/* A column already looked up: problems come in file order, so a line is walked once. */
struct report_cursor {
    struct config_mark mark;
    size_t byte;
};

struct report {
    const char *path;
    const struct source *source; /* NULL: no excerpts */
    struct arena *arena;
    FILE *stream; /* NULL: count only */
    struct report_problem *problems;
    size_t kept_count;
    size_t count;
    struct report_cursor cursor;
};

__attribute__((format(printf, 3, 4))) void
report_problem(struct report *report, struct config_mark mark, const char *format, ...);

/* False: one more problem would only be counted; spares the search for a good suggestion. */
bool report_has_room(const struct report *report);

/* Prints what was collected, in file order, and forgets it; the count stays. */
void report_flush(struct report *report);

/* Prints one problem at once and counts it. */
__attribute__((format(printf, 3, 0))) void
report_print(struct report *report, struct config_mark mark, const char *format, va_list arguments);

/* "PATH: " and the message: for what is wrong with a file as a whole. */
__attribute__((format(printf, 2, 3))) void report_print_file(struct report *report,
                                                             const char *format, ...);

#define REPORT_QUOTE_BYTES 64u
struct report_quote {
    char text[REPORT_QUOTE_BYTES];
};

/* 'text' in quotes, other bytes than printable ASCII escaped, clipped with "...". */
struct report_quote report_quote(const char *text, size_t text_bytes);

#endif
