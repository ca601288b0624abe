/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * problems.h - the problems of a configuration file, as an operator reads them.
 *
 * Flow:    problems_add in whatever order checks find them -> problems_flush prints them in file
 *          order -> problems_print for what is found later. One problem:
 *
 *              FILE:LINE:COLUMN: problem; expected X
 *                  the line, clipped around the place, bytes other than printable ASCII as \xNN
 *                      ^
 * Threads: one thread.
 * Memory:  texts from the arena; at most PROBLEMS_KEPT_MAX are kept, the rest only counted.
 * Errors:  failing to write is ignored: there is nobody left to tell.
 * Source:  the form compilers use, which editors can jump to.
 */
#ifndef CONFIG_PROBLEMS_H
#define CONFIG_PROBLEMS_H

#include "config/arena.h"
#include "config/config.h"
#include "config/input.h"

#include <stdarg.h>

#define PROBLEMS_KEPT_MAX 1000u

struct problem {
    struct config_mark mark;
    size_t found; /* keeps problems at one place in the order they were found */
    const char *text;
};

/* A column already looked up: problems come in file order, so a line is walked once. */
struct problem_cursor {
    struct config_mark mark;
    size_t byte;
};

struct problems {
    const char *path;
    const struct input *input; /* NULL: no excerpts */
    struct arena *arena;
    FILE *stream; /* NULL: count only */
    struct problem *kept;
    size_t kept_count;
    size_t count;
    struct problem_cursor cursor;
};

__attribute__((format(printf, 3, 4))) void
problems_add(struct problems *problems, struct config_mark mark, const char *format, ...);

/* False: one more problem would only be counted; spares the search for a good suggestion. */
bool problems_have_room(const struct problems *problems);

/* Prints what was collected, in file order, and forgets it; the count stays. */
void problems_flush(struct problems *problems);

/* Prints one problem at once and counts it. */
__attribute__((format(printf, 3, 0))) void problems_print(struct problems *problems,
                                                          struct config_mark mark,
                                                          const char *format, va_list arguments);

/* "PATH: " and the message: for what is wrong with a file as a whole. */
__attribute__((format(printf, 2, 3))) void problems_print_file(struct problems *problems,
                                                               const char *format, ...);

#define QUOTE_BYTES 64u
struct quote {
    char text[QUOTE_BYTES];
};

/* 'text' in quotes, other bytes than printable ASCII escaped, clipped with "...". */
struct quote quote_text(const char *text, size_t text_bytes);

#endif
