/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * trace_file.h - a folder for one trace file, and that whoever writes or reads it leaves nothing else
 * there.
 *
 * Flow:    trace_file_setup as a test's setup -> trace_path -> trace_file_teardown.
 */
#ifndef TESTS_SERVER_VM_TRACE_FILE_H
#define TESTS_SERVER_VM_TRACE_FILE_H

#include "tests/support/scratch_folder.h"

#include <unistd.h>

static char trace_folder[SCRATCH_FOLDER_BYTES];
static char trace_path[SCRATCH_FOLDER_BYTES + 16];

static inline int trace_file_setup(void **state)
{
    (void)state;
    scratch_folder_create(trace_folder);
    snprintf(trace_path, sizeof(trace_path), "%s/t.trace", trace_folder);
    return 0;
}

static inline int trace_file_teardown(void **state)
{
    (void)state;
    unlink(trace_path);
    return rmdir(trace_folder); /* fails when anything was left behind */
}

#endif
