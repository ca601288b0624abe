/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * scratch_folder.h - a folder in /tmp of a test's own, and text files in it.
 *
 * Flow:    scratch_folder_create -> scratch_file_write... -> scratch_folder_destroy.
 * Memory:  the caller's name [SCRATCH_FOLDER_BYTES]; the folder goes with all that is in it.
 * Errors:  asserted: a test cannot go on.
 */
#ifndef TESTS_SUPPORT_SCRATCH_FOLDER_H
#define TESTS_SUPPORT_SCRATCH_FOLDER_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
/* after those, as it asks */
#include <cmocka.h>

#define SCRATCH_FOLDER_BYTES 32

static inline void scratch_folder_create(char *folder)
{
    snprintf(folder, SCRATCH_FOLDER_BYTES, "/tmp/ioreqd-test-XXXXXX");
    assert_non_null(mkdtemp(folder));
}

static inline void scratch_folder_destroy(const char *folder)
{
    char command[SCRATCH_FOLDER_BYTES + 16];
    snprintf(command, sizeof(command), "rm -rf '%s'", folder);
    assert_int_equal(system(command), 0);
}

static inline void scratch_file_write(const char *path, const char *text)
{
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
}

#endif
