/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * report.h - builds one JSON object and turns it into text. jansson.
 *
 * Flow:    report_create -> members added, children returned -> report_text -> report_destroy
 *          (root).
 * Memory:  a child belongs to its parent; names and texts are copied; the result of report_text is
 *          the caller's to free().
 * Errors:  no memory: NULL from report_create and report_text; adding to NULL does nothing.
 */
#ifndef SERVER_REPORT_H
#define SERVER_REPORT_H

#include <stdbool.h>
#include <stdint.h>

struct report;

struct report *report_create(void);
void report_destroy(struct report *root);
/* One line, members in the order they were added. */
char *report_text(const struct report *root);

void report_add_text(struct report *object, const char *name, const char *value);
void report_add_number(struct report *object, const char *name, uint64_t value);
void report_add_real(struct report *object, const char *name, double value);
void report_add_bool(struct report *object, const char *name, bool value);
struct report *report_add_object(struct report *object, const char *name);
struct report *report_add_array(struct report *object, const char *name);

/* To the end of an array. */
struct report *report_append_object(struct report *array);
void report_append_text(struct report *array, const char *value);
void report_append_real(struct report *array, double value);

#endif
