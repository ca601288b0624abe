/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * table.h - the conformance suite: one row for each sentence of the protocol's description.
 *
 * Flow:    a program for each of its sections holds a table and calls table_run: it prints the
 *          table and runs each row's check as a test of the row's name. `--table` prints the table
 *          as Markdown and runs nothing.
 * Threads: none but what a check starts.
 * Errors:  a failed check fails the program.
 *
 * A check is given a world of two pollers without threads.
 */
#ifndef TESTS_SERVER_CONFORMANCE_TABLE_H
#define TESTS_SERVER_CONFORMANCE_TABLE_H

#include "tests/support/world.h"

#include <stdio.h>

struct row {
    const char *name;     /* the behaviour: the test's name */
    const char *sentence; /* of the description, shortened */
    const char *driver;   /* what Linux's driver (or the hypervisor) does */
    const char *ours;     /* NULL: the same */
    const char *why;      /* NULL: nothing differs */
    void (*check)(struct world *world);
};

#define TABLE_ROWS_MAX 64u

static inline void table_print(const char *section, const struct row *rows, size_t count)
{
    printf("### %s\n\n| behaviour | sentence | driver | ours | why |\n|---|---|---|---|---|\n",
           section);
    for (size_t i = 0; i < count; i++)
        printf("| %s | %s | %s | %s | %s |\n", rows[i].name, rows[i].sentence, rows[i].driver,
               rows[i].ours ? rows[i].ours : "the same", rows[i].why ? rows[i].why : "");
    printf("\n");
    fflush(stdout);
}

static inline void table_check_row(void **state)
{
    const struct row *row = *state;
    struct world world;
    world_create(&world, WORLD_POLLERS);
    row->check(&world);
    world_destroy(&world);
}

static inline int table_run(int argc, char **argv, const char *section, const struct row *rows,
                            size_t count)
{
    struct CMUnitTest tests[TABLE_ROWS_MAX] = {{0}};
    assert_true(count <= TABLE_ROWS_MAX);
    table_print(section, rows, count);
    if (argc > 1 && strcmp(argv[1], "--table") == 0)
        return 0;
    for (size_t i = 0; i < count; i++)
        tests[i] = (struct CMUnitTest){.name = rows[i].name,
                                       .test_func = table_check_row,
                                       .initial_state = (void *)(uintptr_t)&rows[i]};
    return _cmocka_run_group_tests(section, tests, count, NULL, NULL);
}

#endif
