/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/log.h"

#include "server/devices/terminal.h"
#include "server/output.h"

#include <errno.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define LINE_BYTES 1024

static uint64_t lines_lost;
static uint64_t lines_lost_reported;

static struct output out;
static bool is_open;
/* The end of a line whose beginning is out already. */
static char rest[LINE_BYTES + 1];
static size_t rest_begin, rest_end;

/* 0: rest is out. */
static int write_rest(void)
{
    while (rest_begin < rest_end) {
        ssize_t written = output_write(&out, rest + rest_begin, rest_end - rest_begin);
        if (written < 0)
            return (int)written;
        rest_begin += (size_t)written;
    }
    return 0;
}

/* line ends in a line feed, and has room for one more byte. */
static bool write_line(char *line, size_t length)
{
    if (!is_open)
        out = output_open(STDERR_FILENO);
    is_open = true;
    if (write_rest() == -EAGAIN)
        return false;
    /* On a terminal lent to a guest a line feed does not go back to the first column. */
    if (terminal_is_borrowed() && isatty(out.descriptor)) {
        memcpy(line + length - 1, "\r\n", 2);
        length++;
    }
    memcpy(rest, line, length);
    rest_begin = 0;
    rest_end = length;
    int result = write_rest();
    if (result == 0 || (result == -EAGAIN && rest_begin > 0))
        return true;
    rest_begin = rest_end = 0;
    return false;
}

__attribute__((format(printf, 2, 0))) static void log_line(const char *level, const char *format,
                                                           va_list arguments)
{
    char line[LINE_BYTES + 1];
    if (lines_lost != lines_lost_reported) {
        int length = snprintf(line, sizeof(line), "ioreqd: warning: %llu log lines were lost\n",
                              (unsigned long long)(lines_lost - lines_lost_reported));
        if (write_line(line, (size_t)length))
            lines_lost_reported = lines_lost;
    }
    int length = snprintf(line, sizeof(line), "ioreqd: %s", level);
    length += vsnprintf(line + length, LINE_BYTES - (size_t)length - 1, format, arguments);
    if (length > LINE_BYTES - 2)
        length = LINE_BYTES - 2;
    line[length++] = '\n';
    if (!write_line(line, (size_t)length))
        lines_lost++;
}

void log_info(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    log_line("", format, arguments);
    va_end(arguments);
}

void log_warning(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    log_line("warning: ", format, arguments);
    va_end(arguments);
}

void log_error(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    log_line("error: ", format, arguments);
    va_end(arguments);
}

uint64_t log_lines_lost(void)
{
    return lines_lost;
}
