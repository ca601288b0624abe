/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * print.h - the reference of every key, from the tables that read the file.
 *
 * Flow:    config_visit_keys walks the tables; the printer is a visitor of it.
 * Threads: control thread.
 * Memory:  what a walk allocates is freed before it returns.
 * Errors:  -ENOMEM; failing to write shows in ferror(stream).
 * Source:  none.
 */
#ifndef CONFIG_PRINT_H
#define CONFIG_PRINT_H

#include "config/config.h"

/* One key of the file. The texts live only during the visit, names and help as long as kinds. */
struct config_key {
    const char *section; /* "server", "clients.ranges", "options of register_bank.registers" */
    const char *name;
    const char *expected;     /* "a number from 1 to 16" */
    const char *default_text; /* as in the file or in words; NULL when required */
    const char *help;
    bool required;
    const char *unless; /* required, unless that key stands; or NULL */
};

/* Calls visit for every key, sections in the order of the file, then the kinds' options. */
int config_visit_keys(const struct config_device_kind *kinds, size_t kind_count,
                      void (*visit)(const struct config_key *key, void *context), void *context);

/* Every key with what may stand there, its default and why: for people. */
int config_print_reference(const struct config_device_kind *kinds, size_t kind_count, FILE *stream);

#endif
