/* SPDX-License-Identifier: BSD-3-Clause */
#include "server/log.h"

#include <poll.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <unistd.h>

#define LINE_BYTES 1024

static uint64_t lines_lost;
static uint64_t lines_lost_reported;

static bool write_line(const char *line, size_t length)
{
    struct pollfd ready = {.fd = STDERR_FILENO, .events = POLLOUT};
    /* A pipe that is ready takes PIPE_BUF bytes without blocking, and a line is shorter. */
    return poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT) &&
           write(STDERR_FILENO, line, length) == (ssize_t)length;
}

__attribute__((format(printf, 2, 0))) static void log_line(const char *level, const char *format,
                                                           va_list arguments)
{
    char line[LINE_BYTES];
    if (lines_lost != lines_lost_reported) {
        int length = snprintf(line, sizeof(line), "ioreqd: warning: %llu log lines were lost\n",
                              (unsigned long long)(lines_lost - lines_lost_reported));
        if (write_line(line, (size_t)length))
            lines_lost_reported = lines_lost;
    }
    int length = snprintf(line, sizeof(line), "ioreqd: %s", level);
    length += vsnprintf(line + length, sizeof(line) - (size_t)length - 1, format, arguments);
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
