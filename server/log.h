/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * log.h - one line to stderr for the operator.
 *
 * Threads: control only. Pollers count; control turns rising counters into lines (events.c).
 * Errors:  a line that cannot be written at once (stderr closed, disk full, nobody reads the pipe)
 *          is lost and counted; the next one that gets through says how many. Never waits. A line
 *          that got through in part is completed before the next one.
 */
#ifndef SERVER_LOG_H
#define SERVER_LOG_H

#include <stdint.h>

__attribute__((format(printf, 1, 2))) void log_info(const char *format, ...);
__attribute__((format(printf, 1, 2))) void log_warning(const char *format, ...);
__attribute__((format(printf, 1, 2))) void log_error(const char *format, ...);

/* Since the start. */
uint64_t log_lines_lost(void);

#endif
